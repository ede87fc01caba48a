#include "api/options.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "api/target.h"
#include "model/model.h"

/* Bytes of a JSON object: a parsed one takes some twenty times as much memory. */
enum { LARGEST_JSON = 16 * 1024 };

enum kind { CHOICE, NUMBER, INTEGER, BOOLEAN };

struct option {
    const char *name;
    enum kind kind;
    size_t offset;
    double minimum, maximum; /* NUMBER: maximum excluded */
    const char *takes;       /* in words, for messages */
};

static const char *const mask_formats[] = {
    [MASKS_RLE] = "rle",
    [MASKS_POLYGON] = "polygon",
    [MASKS_PNG] = "png",
    [MASKS_NONE] = "none",
};

enum { MASK_FORMATS = sizeof mask_formats / sizeof *mask_formats };

static const struct option table[] = {
    {"masks", CHOICE, offsetof(struct slice_options, masks), 0, 0, "rle, polygon, png or none"},
    {"score_threshold", NUMBER, offsetof(struct slice_options, score_threshold), 0, 1,
     "a number from 0 up to, not including, 1"},
    {"max_detections", INTEGER, offsetof(struct slice_options, max_detections), 1,
     MODEL_MAX_DETECTIONS, "a whole number from 1 to 128"},
    {"explain", BOOLEAN, offsetof(struct slice_options, explain), 0, 0, "true or false"},
};

enum { OPTIONS = sizeof table / sizeof *table };

_Static_assert(MODEL_MAX_DETECTIONS == 128, "the text of max_detections names the limit");

void options_default(struct slice_options *options)
{
    *options = (struct slice_options){
        .masks = MASKS_RLE, .score_threshold = -1, .max_detections = 0, .explain = true};
}

const char *mask_format_name(enum mask_format format)
{
    return (unsigned)format < MASK_FORMATS ? mask_formats[format] : "none";
}

static bool read_choice(enum mask_format *out, const char *value)
{
    for (int i = 0; i < MASK_FORMATS; i++)
        if (strcmp(value, mask_formats[i]) == 0) {
            *out = (enum mask_format)i;
            return true;
        }
    return false;
}

/* Plain decimal notation only: no hexadecimal, no "nan", no surrounding space. */
static bool read_number(double *out, const char *value, const char *alphabet)
{
    if (*value == 0 || value[strspn(value, alphabet)] != 0)
        return false;
    char *end;
    errno = 0;
    *out = strtod(value, &end);
    return *end == 0 && errno == 0 && isfinite(*out);
}

static bool read_boolean(bool *out, const char *value)
{
    *out = strcmp(value, "true") == 0;
    return *out || strcmp(value, "false") == 0;
}

static bool assign(const struct option *option, struct slice_options *options, const char *value)
{
    char *field = (char *)options + option->offset;
    double number;
    switch (option->kind) {
    case CHOICE:
        return read_choice((enum mask_format *)(void *)field, value);
    case BOOLEAN:
        return read_boolean((bool *)field, value);
    case NUMBER:
        if (!read_number(&number, value, "0123456789.eE+-") || number < option->minimum ||
            (float)number >= (float)option->maximum)
            return false;
        *(float *)(void *)field = (float)number;
        return true;
    case INTEGER:
        if (!read_number(&number, value, "0123456789") || number < option->minimum ||
            number > option->maximum)
            return false;
        *(int *)(void *)field = (int)number;
        return true;
    }
    return false;
}

static int unknown(struct problem *problem, const char *name)
{
    char known[256];
    size_t n = 0;
    for (int i = 0; i < OPTIONS; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", table[i].name);
    return problem_set(problem, PROBLEM_BAD_OPTION, "There is no option \"%.64s\"; there are %s.",
                       name, known);
}

/* Index of an option, or -1 with the problem. */
static int find(const char *name, struct problem *problem)
{
    for (int i = 0; i < OPTIONS; i++)
        if (strcmp(table[i].name, name) == 0)
            return i;
    return unknown(problem, name);
}

static int set_checked(struct slice_options *options, unsigned *seen, const char *name,
                       const char *value, struct problem *problem)
{
    int i = find(name, problem);
    if (i < 0)
        return -1;
    if (*seen & 1u << i)
        return problem_set(problem, PROBLEM_BAD_OPTION, "Option %s is given more than once.", name);
    *seen |= 1u << i;
    if (!assign(&table[i], options, value))
        return problem_set(problem, PROBLEM_BAD_OPTION, "Option %s takes %s, not \"%.64s\".",
                           table[i].name, table[i].takes, value);
    return 0;
}

int options_set(struct slice_options *options, const char *name, const char *value,
                struct problem *problem)
{
    unsigned seen = 0;
    return set_checked(options, &seen, name, value, problem);
}

int options_from_query(struct slice_options *options, const char *query, struct problem *problem)
{
    struct query_field field;
    unsigned seen = 0;
    int more;
    while ((more = query_next(&field, &query)) > 0)
        if (set_checked(options, &seen, field.name, field.value, problem) != 0)
            return -1;
    if (more < 0)
        return problem_set(problem, PROBLEM_BAD_OPTION,
                           "The query cannot be read: a field is longer than %d bytes or has a "
                           "broken %%-escape.",
                           TARGET_TEXT_SIZE - 1);
    return 0;
}

struct members {
    struct slice_options *options;
    unsigned seen;
    struct problem *problem;
};

static int set_member(void *context, const char *name, const char *value)
{
    struct members *members = context;
    return set_checked(members->options, &members->seen, name, value, members->problem);
}

int options_from_json(struct slice_options *options, const char *text, size_t length,
                      struct problem *problem)
{
    struct members members = {options, 0, problem};
    char why[160];
    problem->kind = PROBLEM_NONE;
    if (length > LARGEST_JSON)
        return problem_set(problem, PROBLEM_BAD_OPTION,
                           "The part \"options\" has %zu bytes, more than the %d it may have.",
                           length, LARGEST_JSON);
    if (json_each_member(text, length, set_member, &members, why, sizeof why) == 0)
        return 0;
    if (problem->kind == PROBLEM_NONE)
        problem_set(problem, PROBLEM_BAD_OPTION,
                    "The part \"options\" takes one JSON object such as {\"masks\":\"none\"}: %s.",
                    why);
    return -1;
}
