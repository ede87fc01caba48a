/*
 * multipart/form-data (RFC 7578) over a body that is in memory as a whole. Nothing is copied: parts
 * point into the body. Strict where leniency would be a guess: a body that does not end with its
 * closing boundary, a part without Content-Disposition or a header that is too long is refused.
 * Pure, any thread.
 */
#ifndef ONESHOT_API_MULTIPART_H
#define ONESHOT_API_MULTIPART_H

#include <stddef.h>
#include <stdint.h>

#include "api/problem.h"

enum {
    MULTIPART_MAX_PARTS = 65,         /* 64 files and the options */
    MULTIPART_MAX_HEADERS = 8 * 1024, /* bytes of one part's headers */
    MULTIPART_NAME_SIZE = 64,
    MULTIPART_FILENAME_SIZE = 256,
    MULTIPART_TYPE_SIZE = 128,
};

struct multipart_part {
    char name[MULTIPART_NAME_SIZE];
    char filename[MULTIPART_FILENAME_SIZE]; /* "" where not given; cut, never trusted as a path */
    char type[MULTIPART_TYPE_SIZE];         /* Content-Type, "" where not given */
    const uint8_t *bytes;
    size_t length;
};

/*
 * Splits a body. `parts` has room for MULTIPART_MAX_PARTS; *count is how many there are (>= 1).
 * PROBLEM_BAD_MULTIPART.
 */
int multipart_parse(struct multipart_part *parts, int *count, const uint8_t *body, size_t length,
                    const char *boundary, struct problem *problem);

#endif
