/*
 * Errors are values: the caller owns a struct error, passes it last, and reads it when a function
 * returns non-zero. The text is a sentence a person can act on (which file, which field, what was
 * found, what would have been right). Set once, where it happens; callers only pass it on.
 * No function of the project exits, aborts or asserts on anything that came from outside.
 */
#ifndef ONESHOT_BASE_ERROR_H
#define ONESHOT_BASE_ERROR_H

enum error_code {
    ERR_NONE = 0,
    ERR_MEMORY,         /* an allocation failed */
    ERR_IO,             /* open, read, write, map */
    ERR_ARGUMENT,       /* a value the caller gave is out of range or contradicts another */
    ERR_BAD_PNG,        /* bytes are not a readable PNG */
    ERR_BAD_NIFTI,      /* bytes are not a readable NIfTI */
    ERR_BAD_DICOM,      /* bytes are not a readable DICOM slice, or zip of a series */
    ERR_UNSUPPORTED,    /* understood, but not something this program handles */
    ERR_TOO_LARGE,      /* a limit on pixels, bytes, ratio was passed */
    ERR_CONSTANT_IMAGE, /* every pixel equal: nothing to standardise */
    ERR_BAD_WEIGHTS,    /* weight file corrupt, or does not fit the model */
    ERR_BAD_CONFIG,     /* model configuration in a file is malformed */
    ERR_BAD_DATA,       /* training or evaluation data are inconsistent */
    ERR_CANCELLED,      /* stopped because the caller asked */
    ERR_INTERNAL,       /* a defect of this program or of a library under it */
};

#define ERROR_TEXT_SIZE 1024

struct error {
    enum error_code code;
    char text[ERROR_TEXT_SIZE];
};

/* Fills err (which may be NULL) and returns -1, so that `return error_set(...)` reads well. */
int error_set(struct error *err, enum error_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "format: " in front of the text already there; returns -1. */
int error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Short lower-case name of a code, "bad_png"; never NULL. */
const char *error_name(enum error_code code);

/* Leaves the function through its one `done:` label when a call failed. Needs `int rc`. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        rc = (call);                                                                               \
        if (rc != 0)                                                                               \
            goto done;                                                                             \
    } while (0)

#endif
