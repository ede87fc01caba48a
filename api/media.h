/*
 * Kinds of bytes and names of kinds: what a file is by its first bytes, what a Content-Type claims,
 * which kind of answer an Accept header wants. Pure, any thread.
 */
#ifndef ONESHOT_API_MEDIA_H
#define ONESHOT_API_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/problem.h"

/* What the bytes are. */
enum media {
    MEDIA_UNKNOWN,
    MEDIA_PNG,
    MEDIA_NIFTI,
    MEDIA_GZIP,
    MEDIA_DICOM,
    MEDIA_JPEG,
    MEDIA_GIF,
    MEDIA_TIFF,
    MEDIA_BMP,
    MEDIA_WEBP,
    MEDIA_PDF,
    MEDIA_ZIP,
};

enum media media_sniff(const uint8_t *bytes, size_t length);

/* What a Content-Type says about a body. */
enum claim {
    CLAIM_NOTHING, /* absent, application/octet-stream, or what curl sends unasked */
    CLAIM_PNG,
    CLAIM_NIFTI, /* plain or gzip */
    CLAIM_GZIP,
    CLAIM_DICOM,
    CLAIM_ZIP,
    CLAIM_MULTIPART,
    CLAIM_OTHER, /* something the service does not take */
};

enum claim media_claim(const char *content_type); /* NULL: absent */

/*
 * What the bytes are, where they are something the service takes: a picture or a volume; else
 * PROBLEM_UNSUPPORTED_MEDIA or _EMPTY_BODY, saying what they are. A Content-Type that contradicts
 * them is refused, too.
 */
int media_require(enum media *out, const uint8_t *bytes, size_t length, const char *content_type,
                  struct problem *problem);

/* True for files that hold a volume: not for PNG and single slices of DICOM. */
bool media_is_volume(enum media media);

/* Kinds of answers; where an Accept header likes several equally, the first of them. */
enum answer {
    ANSWER_JSON,
    ANSWER_PNG,    /* the slice with its findings */
    ANSWER_NDJSON, /* events, one line each */
    ANSWER_SSE,    /* the same as server-sent events */
    ANSWER_NIFTI,  /* the label map, gzip */
    ANSWER_GZIP,   /* the same under its other name */
    ANSWERS
};

const char *answer_type(enum answer answer); /* "application/json" */

/* Whether an answer is sent slice by slice. */
bool answer_streams(enum answer answer);

/*
 * The answer an Accept header prefers (RFC 9110, 12.5.1; NULL: absent, JSON).
 * PROBLEM_NOT_ACCEPTABLE where it allows none.
 */
int media_negotiate(enum answer *out, const char *accept, struct problem *problem);

/*
 * Copies the boundary of a multipart/form-data type. -1 where there is none, or it is not 1..70
 * characters RFC 2046 allows. `out` has 71 bytes.
 */
int media_boundary(char out[71], const char *content_type);

#endif
