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

enum kind { CHOICE, NUMBER, INTEGER, BOOLEAN, RANGE, ONE };

struct option {
    const char *name;
    enum kind kind;
    size_t offset;
    double minimum, maximum;    /* NUMBER: maximum excluded */
    const char *takes;          /* in words, for messages */
    const char *const *choices; /* CHOICE: names in the order of the enum, NULL at the end */
};

static const char *const mask_formats[] = {
    [MASKS_RLE] = "rle",
    [MASKS_POLYGON] = "polygon",
    [MASKS_PNG] = "png",
    [MASKS_NONE] = "none",
    NULL,
};

static const char *const intensities[] = {
    [INTENSITY_AUTO] = "auto",
    [INTENSITY_HU] = "hu",
    [INTENSITY_WINDOWED] = "windowed",
    NULL,
};

#define OF(field) offsetof(struct slice_options, field)

static const struct option table[] = {
    {"masks", CHOICE, OF(masks), 0, 0, "rle, polygon, png or none", mask_formats},
    {"score_threshold", NUMBER, OF(score_threshold), 0, 1,
     "a number from 0 up to, not including, 1", NULL},
    {"max_detections", INTEGER, OF(max_detections), 1, MODEL_MAX_DETECTIONS,
     "a whole number from 1 to 128", NULL},
    {"explain", BOOLEAN, OF(explain), 0, 0, "true or false", NULL},
    {"slices", RANGE, OF(slices), 0, 0,
     "first:last:step, such as 10:20 (10 to 19), ::2 (every other) or -5: (the last five)", NULL},
    {"slice", ONE, OF(slices), 0, 0, "the number of a slice, from 0", NULL},
    {"intensity", CHOICE, OF(intensity), 0, 0, "auto, hu or windowed", intensities},
    {"window", NUMBER, OF(window), 1, 20000, "a width in HU from 1 up to, not including, 20000",
     NULL},
    {"level", NUMBER, OF(level), -10000, 10000,
     "a middle in HU from -10000 up to, not including, 10000", NULL},
};

enum { OPTIONS = sizeof table / sizeof *table };

/* Among the bits of the options seen: one of those that choose slices. */
static const unsigned slices_seen = 1u << 31;

_Static_assert(MODEL_MAX_DETECTIONS == 128, "the text of max_detections names the limit");

void options_default(struct slice_options *options)
{
    *options = (struct slice_options){.masks = MASKS_RLE,
                                      .score_threshold = -1,
                                      .max_detections = 0,
                                      .explain = true,
                                      .level = NAN,
                                      .slices = {.step = 1}};
}

const char *mask_format_name(enum mask_format format)
{
    return (unsigned)format <= MASKS_NONE ? mask_formats[format] : "none";
}

const char *intensity_name(enum intensity intensity)
{
    return (unsigned)intensity <= INTENSITY_WINDOWED ? intensities[intensity] : "auto";
}

/* The fields that hold a choice are enums, which are ints here. */
_Static_assert(sizeof(enum mask_format) == sizeof(int) && sizeof(enum intensity) == sizeof(int),
               "choices are stored as int");

static bool read_choice(int *out, const char *const *choices, const char *value)
{
    for (int i = 0; choices[i]; i++)
        if (strcmp(value, choices[i]) == 0) {
            *out = i;
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

/* A number of a slice up to ':' or the end; *text moves on. False where there is none. */
static bool read_index(int *out, const char **text)
{
    enum { DIGITS = 6 };
    bool negative = **text == '-';
    const char *digits = *text + negative;
    size_t n = strspn(digits, "0123456789");
    if (n < 1 || n > DIGITS || (digits[n] != ':' && digits[n] != 0))
        return false;
    int value = (int)strtol(digits, NULL, 10);
    *out = negative ? -value : value;
    *text = digits + n;
    return true;
}

/* a:b:step, each of which may be left out. */
static bool read_range(struct slice_range *out, const char *value)
{
    struct slice_range r = {.given = true, .step = 1};
    if (*value != ':') {
        if (!read_index(&r.first, &value))
            return false;
        r.has_first = true;
    }
    if (*value++ != ':')
        return false;
    if (*value && *value != ':') {
        if (!read_index(&r.last, &value))
            return false;
        r.has_last = true;
    }
    if (*value == ':' && *++value && (!read_index(&r.step, &value) || *value))
        return false;
    *out = r;
    return r.step >= 1;
}

static bool read_one(struct slice_range *out, const char *value)
{
    struct slice_range r = {.given = true, .has_first = true, .has_last = true, .step = 1};
    if (!read_index(&r.first, &value) || *value || r.first < 0)
        return false;
    r.last = r.first + 1;
    *out = r;
    return true;
}

static bool assign(const struct option *option, struct slice_options *options, const char *value)
{
    char *field = (char *)options + option->offset;
    double number;
    switch (option->kind) {
    case CHOICE:
        return read_choice((int *)(void *)field, option->choices, value);
    case BOOLEAN:
        return read_boolean((bool *)field, value);
    case NUMBER:
        if (!read_number(&number, value, "0123456789.eE+-") || number < option->minimum ||
            (float)number >= (float)option->maximum)
            return false;
        *(float *)(void *)field = (float)number;
        return true;
    case RANGE:
        return read_range((struct slice_range *)(void *)field, value);
    case ONE:
        return read_one((struct slice_range *)(void *)field, value);
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
    if (table[i].offset == OF(slices)) {
        if (*seen & slices_seen)
            return problem_set(problem, PROBLEM_BAD_OPTION,
                               "Give either option slices or option slice, not both.");
        *seen |= slices_seen;
    }
    if (!assign(&table[i], options, value))
        return problem_set(problem, PROBLEM_BAD_OPTION, "Option %s takes %s, not \"%.64s\".",
                           table[i].name, table[i].takes, value);
    return 0;
}

/* Where a range's end lies among `count` slices; Python's rules. */
static int clip(int end, int count)
{
    if (end < 0)
        end += count;
    return end < 0 ? 0 : end > count ? count : end;
}

int options_choose(int *first, int *chosen, int *step, const struct slice_options *options,
                   int count, struct problem *problem)
{
    const struct slice_range *r = &options->slices;
    int begin = r->has_first ? clip(r->first, count) : 0;
    int end = r->has_last ? clip(r->last, count) : count;
    *first = begin;
    *step = r->step;
    *chosen = end > begin ? (end - begin + r->step - 1) / r->step : 0;
    if (*chosen > 0)
        return 0;
    return problem_set(problem, PROBLEM_BAD_OPTION,
                       "Options slices and slice choose none of the %d slices there are: 0 to %d.",
                       count, count - 1);
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
