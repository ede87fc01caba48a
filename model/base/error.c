#include "model/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#undef error_set /* see tests/lint/analyzer.h */
#undef error_prefix

int error_set(struct error *err, enum error_code code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return -1;
}

/* Adds what there is room for. */
static void append(struct error *err, const char *more)
{
    size_t used = strlen(err->text);
    size_t length = strnlen(more, sizeof err->text - 1 - used);
    memcpy(err->text + used, more, length);
    err->text[used + length] = 0;
}

int error_prefix(struct error *err, const char *format, ...)
{
    if (err) {
        char cause[ERROR_TEXT_SIZE];
        memcpy(cause, err->text, sizeof cause);
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
        append(err, ": ");
        append(err, cause);
    }
    return -1;
}

const char *error_name(enum error_code code)
{
    static const char *const names[] = {
        [ERR_NONE] = "none",
        [ERR_MEMORY] = "out_of_memory",
        [ERR_IO] = "io",
        [ERR_ARGUMENT] = "bad_argument",
        [ERR_BAD_PNG] = "bad_png",
        [ERR_BAD_NIFTI] = "bad_nifti",
        [ERR_BAD_DICOM] = "bad_dicom",
        [ERR_UNSUPPORTED] = "unsupported",
        [ERR_TOO_LARGE] = "too_large",
        [ERR_CONSTANT_IMAGE] = "constant_image",
        [ERR_BAD_WEIGHTS] = "bad_weights",
        [ERR_BAD_CONFIG] = "bad_config",
        [ERR_BAD_DATA] = "bad_data",
        [ERR_CANCELLED] = "cancelled",
        [ERR_INTERNAL] = "internal",
    };
    unsigned i = (unsigned)code;
    return i < sizeof names / sizeof *names && names[i] ? names[i] : "internal";
}
