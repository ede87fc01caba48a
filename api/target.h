/*
 * The request target: path and query, percent-decoded. Pure, any thread.
 */
#ifndef ONESHOT_API_TARGET_H
#define ONESHOT_API_TARGET_H

#include <stdbool.h>
#include <stddef.h>

enum {
    TARGET_PATH_SIZE = 1024, /* longest decoded path, and the final zero */
    TARGET_TEXT_SIZE = 256,  /* longest decoded name or value of a query field, and the zero */
};

/*
 * Decodes `length` bytes of text into out (size bytes): %XX, and '+' as a space where `form`.
 * -1 where it does not fit, an escape is broken, or a zero byte comes out.
 */
int percent_decode(char *out, size_t size, const char *text, size_t length, bool form);

/*
 * Decodes the path of a target (everything before '?'); of an absolute one (http://host/path) the
 * part after the host. -1 as above.
 */
int target_path(char out[TARGET_PATH_SIZE], const char *target);

/* The query of a target, without '?'; "" when it has none. */
const char *target_query(const char *target);

struct query_field {
    char name[TARGET_TEXT_SIZE];
    char value[TARGET_TEXT_SIZE]; /* "" for a field without '=' */
};

/* The next field of a query; *rest moves on. 1 when there was one, 0 at the end, -1 malformed. */
int query_next(struct query_field *field, const char **rest);

#endif
