/*
 * What the files that build JSON share. Values are built from the inside out with json_pack: a part
 * that could not be made is NULL, and the object around it then becomes NULL too, so one check at
 * the end is enough.
 */
#ifndef ONESHOT_API_JSON_PARTS_H
#define ONESHOT_API_JSON_PARTS_H

#include <jansson.h>

#include "api/scan.h"
#include "model/base/error.h"

enum { JSON_PLAIN = JSON_COMPACT | JSON_REAL_PRECISION(9) };

/* A number rounded to 1 / scale; NULL where it is not finite. */
json_t *decimals(double value, double scale);

/* A number with six significant digits; NULL where it is not finite. */
json_t *significant(double value);

/* Text from outside: bytes that are not UTF-8 become '?'. */
json_t *outside_text(const char *text);

json_t *milliseconds(double value);

/* A place in mm. */
json_t *point_mm(const double world[3]);

/* Moves the members of `more` into `root` and gives root; takes both. NULL where either is. */
json_t *merged(json_t *root, json_t *more);

json_t *model_brief(const struct model_info *model);
json_t *timing_json(const struct slice_timing *timing);
json_t *warnings_json(const struct slice_warning *warnings, int count);
json_t *problem_json(const struct problem *problem, const char *request_id);

/* What an answer says of its input; sha256 and file may be "". */
struct slice_input {
    const char *kind;
    int width, height, bit_depth;
    size_t bytes;
    const char *sha256, *file;
    struct slice_intensity intensity;
};
json_t *input_json(const struct slice_input *input);

/* Pastes the masks of a slice; its findings without what is the same for a whole volume. */
json_t *findings_json(struct slice *slice, struct slice_worker *worker,
                      const struct slice_options *options, struct error *err);

/* The document of a picture. */
json_t *slice_json(struct slice *slice, struct slice_worker *worker, const char *request_id,
                   const struct slice_options *options, struct error *err);

/* A slice of a volume, or the problem in its place. */
json_t *scan_entry_json(const struct scan *scan, struct slice *slice, struct slice_worker *worker,
                        const struct slice_options *options, const struct problem *problem,
                        struct error *err);

/* The document of a volume, with these entries, which it takes. */
json_t *scan_json(const struct scan *scan, const char *request_id, json_t *slices);

/* Writes a value, which it takes, with the library's flags. ERR_INTERNAL where root is NULL. */
int json_write(char **text, size_t *length, json_t *root, size_t flags, struct error *err);

#endif
