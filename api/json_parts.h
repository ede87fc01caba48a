/*
 * What the files that build JSON share. Values are built from the inside out with json_pack: a part
 * that could not be made is NULL, and the object around it then becomes NULL too, so one check at
 * the end is enough.
 */
#ifndef ONESHOT_API_JSON_PARTS_H
#define ONESHOT_API_JSON_PARTS_H

#include <jansson.h>

#include "model/base/error.h"

enum { JSON_PLAIN = JSON_COMPACT | JSON_REAL_PRECISION(9) };

/* A number rounded to 1 / scale; NULL where it is not finite. */
json_t *decimals(double value, double scale);

/* A number with six significant digits; NULL where it is not finite. */
json_t *significant(double value);

/* Text from outside: bytes that are not UTF-8 become '?'. */
json_t *outside_text(const char *text);

/* Writes a value, which it takes, with the library's flags. ERR_INTERNAL where root is NULL. */
int json_write(char **text, size_t *length, json_t *root, size_t flags, struct error *err);

#endif
