#include "server/flags.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server/file.h"

enum {
    VARIABLE_SIZE = 64,
    MOST_FLAGS = 64,      /* in a table that may come from a file */
    LARGEST_FILE = 65536, /* bytes */
};

static void variable_name(char out[VARIABLE_SIZE], const struct flag *flag)
{
    int n = snprintf(out, VARIABLE_SIZE, "ONESHOT_%s", flag->name);
    for (int i = 0; i < n && i < VARIABLE_SIZE - 1; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

/* ---- values ---- */

struct unit {
    const char *name;
    double factor;
};

static const struct unit byte_units[] = {
    {"", 1},          {"K", 1024},       {"KiB", 1024},       {"M", 1048576},
    {"MiB", 1048576}, {"G", 1073741824}, {"GiB", 1073741824}, {NULL, 0},
};

static const struct unit time_units[] = {
    {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {NULL, 0},
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};

static bool read_number(double *out, const char *text, const struct unit *units)
{
    if (!isdigit((unsigned char)*text) && *text != '.' && *text != '-')
        return false;
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end == text || errno != 0 || !isfinite(value) || strpbrk(text, "xX"))
        return false;
    for (; units->name; units++)
        if (strcmp(end, units->name) == 0) {
            *out = value * units->factor;
            return true;
        }
    return false;
}

static const char *takes(const struct flag *flag)
{
    switch (flag->kind) {
    case FLAG_BYTES:
        return "a size such as 65536, 512K or 32M";
    case FLAG_DURATION:
        return "a time such as 30s, 500ms or 5m";
    case FLAG_INT:
        return "a whole number";
    case FLAG_NUMBER:
        return "a number";
    default:
        return "a value";
    }
}

static int set_choice(const struct flag *flag, char *field, const char *label, const char *value,
                      struct error *err)
{
    char all[256] = "";
    size_t n = 0;
    for (int i = 0; flag->choices[i]; i++) {
        if (strcmp(flag->choices[i], value) == 0) {
            *(int *)(void *)field = i;
            return 0;
        }
        if (n < sizeof all)
            n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i ? ", " : "", flag->choices[i]);
    }
    return error_set(err, ERR_ARGUMENT, "%s takes one of %s, not \"%.80s\"", label, all, value);
}

static int set_number(const struct flag *flag, char *field, const char *label, const char *value,
                      struct error *err)
{
    const struct unit *units = flag->kind == FLAG_BYTES      ? byte_units
                               : flag->kind == FLAG_DURATION ? time_units
                                                             : no_units;
    double number;
    if (!read_number(&number, value, units) ||
        (flag->kind != FLAG_NUMBER && number != floor(number)))
        return error_set(err, ERR_ARGUMENT, "%s takes %s, not \"%.80s\"", label, takes(flag),
                         value);
    double maximum = flag->maximum > 0 ? flag->maximum : flag->kind == FLAG_BYTES ? 1e15 : 2e9;
    if (number < flag->minimum || number > maximum) {
        const char *unit = flag->kind == FLAG_BYTES      ? " bytes"
                           : flag->kind == FLAG_DURATION ? " ms"
                                                         : "";
        return error_set(err, ERR_ARGUMENT, "%s takes %.15g to %.15g%s, not \"%.80s\"", label,
                         flag->minimum, maximum, unit, value);
    }
    if (flag->kind == FLAG_BYTES)
        *(size_t *)(void *)field = (size_t)number;
    else if (flag->kind == FLAG_NUMBER)
        *(float *)(void *)field = (float)number;
    else
        *(int *)(void *)field = (int)number;
    return 0;
}

/* `label` is the flag or variable as the reader knows it. */
static int set_flag(const struct flag *flag, void *fields, const char *label, const char *value,
                    struct error *err)
{
    char *field = (char *)fields + flag->offset;
    switch (flag->kind) {
    case FLAG_TEXT:
        *(const char **)(void *)field = value;
        return 0;
    case FLAG_SWITCH:
        *(bool *)(void *)field = true;
        return 0;
    case FLAG_CHOICE:
        return set_choice(flag, field, label, value, err);
    default:
        return set_number(flag, field, label, value, err);
    }
}

static int set_fallbacks(const struct flags *flags, void *fields, struct error *err)
{
    for (size_t i = 0; i < flags->count; i++) {
        const struct flag *flag = &flags->table[i];
        if (flag->kind != FLAG_SWITCH && flag->fallback &&
            (*flag->fallback || flag->kind == FLAG_TEXT) &&
            set_flag(flag, fields, flag->name, flag->fallback, err) != 0)
            return -1;
    }
    return 0;
}

/* What the environment says of a flag; NULL: nothing. `name` becomes the variable's. */
static const char *variable(char name[VARIABLE_SIZE], const struct flags *flags,
                            const struct flag *flag)
{
    variable_name(name, flag);
    const char *value = flags->environment && flag->kind != FLAG_SWITCH ? getenv(name) : NULL;
    return value && *value ? value : NULL;
}

static int set_variables(const struct flags *flags, void *fields, struct error *err)
{
    for (size_t i = 0; i < flags->count; i++) {
        char name[VARIABLE_SIZE];
        const char *value = variable(name, flags, &flags->table[i]);
        if (value && set_flag(&flags->table[i], fields, name, value, err) != 0)
            return -1;
    }
    return 0;
}

/* ---- the command line ---- */

static const struct flag *find_long(const struct flags *flags, const char *name, size_t length)
{
    for (size_t i = 0; i < flags->count; i++)
        if (strlen(flags->table[i].name) == length &&
            strncmp(flags->table[i].name, name, length) == 0)
            return &flags->table[i];
    return NULL;
}

static const struct flag *find_letter(const struct flags *flags, char letter)
{
    for (size_t i = 0; i < flags->count; i++)
        if (letter && flags->table[i].letter == letter)
            return &flags->table[i];
    return NULL;
}

/* ---- the file ---- */

/* What an argument says of the file: the name behind a "=", or `next`; NULL where it is another. */
static const char *file_argument(const struct flag *flag, const char *argument, const char *next)
{
    size_t length = strlen(flag->name);
    if (argument[0] == '-' && flag->letter && argument[1] == flag->letter && argument[2] == 0)
        return next;
    if (strncmp(argument, "--", 2) != 0 || strncmp(argument + 2, flag->name, length) != 0)
        return NULL;
    const char *rest = argument + 2 + length;
    return *rest == '=' ? rest + 1 : *rest == 0 ? next : NULL;
}

/* The file's name from the command line, else from the environment; NULL: none. */
static const char *file_path(const struct flags *flags, int argc, char **argv)
{
    char name[VARIABLE_SIZE];
    const struct flag *flag = find_long(flags, flags->file, strlen(flags->file));
    const char *path = variable(name, flags, flag);
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *given = file_argument(flag, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        if (given)
            path = given;
    }
    return path && *path ? path : NULL;
}

/* Cuts the spaces around a text. */
static char *trim(char *text)
{
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = 0;
    return text + strspn(text, " \t");
}

/* Ends a line where its comment begins: at a # that is the first or stands behind a space. */
static void cut_comment(char *line)
{
    for (char *at = strchr(line, '#'); at; at = strchr(at + 1, '#'))
        if (at == line || isspace((unsigned char)at[-1])) {
            *at = 0;
            return;
        }
}

static int set_line(const struct flags *flags, void *fields, char *line, bool *seen,
                    const char *place, struct error *err)
{
    char label[ERROR_TEXT_SIZE / 2];
    char *equals = strchr(line, '=');
    if (!equals)
        return error_set(err, ERR_ARGUMENT, "%s: a line is NAME = VALUE, not \"%.80s\"", place,
                         line);
    *equals = 0;
    const char *name = trim(line);
    const struct flag *flag = find_long(flags, name, strlen(name));
    if (!flag || flag->kind == FLAG_SWITCH || strcmp(name, flags->file) == 0)
        return error_set(err, ERR_ARGUMENT, "%s: there is no \"%.80s\"; --help lists the names",
                         place, name);
    if (seen[flag - flags->table])
        return error_set(err, ERR_ARGUMENT, "%s: %s is there more than once", place, name);
    seen[flag - flags->table] = true;
    snprintf(label, sizeof label, "%s: %s", place, name);
    return set_flag(flag, fields, label, trim(equals + 1), err);
}

static int set_lines(const struct flags *flags, void *fields, char *text, const char *path,
                     struct error *err)
{
    bool seen[MOST_FLAGS] = {false};
    char place[300];
    int rc = 0;
    for (int number = 1; rc == 0 && text; number++) {
        char *line = strsep(&text, "\n");
        cut_comment(line);
        line = trim(line);
        snprintf(place, sizeof place, "%.255s:%d", path, number);
        if (*line)
            rc = set_line(flags, fields, line, seen, place, err);
    }
    return rc;
}

static int set_from_file(const struct flags *flags, void *fields, const char *path,
                         struct error *err)
{
    uint8_t *bytes;
    size_t length;
    if (flags->count > MOST_FLAGS)
        return error_set(err, ERR_INTERNAL, "more flags than a file can have");
    if (file_read(&bytes, &length, path, LARGEST_FILE, err) != 0)
        return -1;
    char *text = (char *)bytes;
    *(char **)(void *)((char *)fields + flags->file_text) = text;
    if (strlen(text) != length)
        return error_set(err, ERR_ARGUMENT, "%.255s is not text: it has a zero byte", path);
    static const char mark[] = "\xef\xbb\xbf"; /* that some editors put in front of UTF-8 */
    if (strncmp(text, mark, sizeof mark - 1) == 0)
        text += sizeof mark - 1;
    return set_lines(flags, fields, text, path, err);
}

/* ---- all of them ---- */

static bool asks_for_help(const struct flags *flags, const char *argument)
{
    bool markdown = strcmp(argument, "--help=markdown") == 0;
    if (!markdown && strcmp(argument, "--help") != 0 && strcmp(argument, "-h") != 0)
        return false;
    flags_print(flags, stdout, markdown);
    return true;
}

int flags_parse(const struct flags *flags, void *fields, int argc, char **argv, int *operands,
                bool *help, struct error *err)
{
    *operands = 0;
    *help = false;
    const char *path = flags->file ? file_path(flags, argc, argv) : NULL;
    if (set_fallbacks(flags, fields, err) != 0 ||
        (path && set_from_file(flags, fields, path, err) != 0) ||
        set_variables(flags, fields, err) != 0)
        return -1;
    bool only_operands = false;
    for (int i = 1; i < argc; i++) {
        char *argument = argv[i];
        if (only_operands || argument[0] != '-' || argument[1] == 0) {
            argv[++*operands] = argument;
            continue;
        }
        if (strcmp(argument, "--") == 0) {
            only_operands = true;
            continue;
        }
        if (asks_for_help(flags, argument)) {
            *help = true;
            return 0;
        }
        bool is_long = argument[1] == '-';
        const char *equals = is_long ? strchr(argument, '=') : NULL;
        size_t length = equals ? (size_t)(equals - argument - 2) : strlen(argument + 1) - is_long;
        const struct flag *flag = is_long       ? find_long(flags, argument + 2, length)
                                  : length == 1 ? find_letter(flags, argument[1])
                                                : NULL;
        if (!flag)
            return error_set(err, ERR_ARGUMENT, "there is no flag %.80s; --help lists them",
                             argument);
        const char *value = equals ? equals + 1 : NULL;
        if (flag->kind == FLAG_SWITCH && value)
            return error_set(err, ERR_ARGUMENT, "--%s takes no value", flag->name);
        if (flag->kind != FLAG_SWITCH && !value) {
            if (i + 1 == argc)
                return error_set(err, ERR_ARGUMENT, "--%s needs a value (%s)", flag->name,
                                 flag->value);
            value = argv[++i];
        }
        char label[VARIABLE_SIZE];
        snprintf(label, sizeof label, "--%s", flag->name);
        if (set_flag(flag, fields, label, value, err) != 0)
            return -1;
    }
    return 0;
}

/* ---- help ---- */

static void print_row(const struct flags *flags, const struct flag *flag, FILE *out)
{
    char name[VARIABLE_SIZE], left[80];
    variable_name(name, flag);
    snprintf(left, sizeof left, "%s%c%s --%s%s%s", flag->letter ? "-" : " ",
             flag->letter ? flag->letter : ' ', flag->letter ? "," : " ", flag->name,
             flag->value ? " " : "", flag->value ? flag->value : "");
    fprintf(out, "  %-28s %s", left, flag->help);
    if (flag->fallback && *flag->fallback)
        fprintf(out, " [%s]", flag->fallback);
    if (flags->environment && flag->kind != FLAG_SWITCH)
        fprintf(out, " $%s", name);
    fputc('\n', out);
}

static void print_markdown(const struct flag *flag, FILE *out)
{
    char name[VARIABLE_SIZE];
    variable_name(name, flag);
    fprintf(out, "| `--%s%s%s` | `%s` | %s | %s |\n", flag->name, flag->value ? " " : "",
            flag->value ? flag->value : "", name,
            flag->fallback && *flag->fallback ? flag->fallback : "", flag->help);
}

void flags_print(const struct flags *flags, FILE *out, bool markdown)
{
    if (markdown) {
        fprintf(out, "| flag | variable | default | |\n| --- | --- | --- | --- |\n");
        for (size_t i = 0; i < flags->count; i++)
            print_markdown(&flags->table[i], out);
        return;
    }
    fprintf(out, "usage: %s\n\n", flags->usage);
    if (flags->about)
        fprintf(out, "%s\n\n", flags->about);
    for (size_t i = 0; i < flags->count; i++)
        print_row(flags, &flags->table[i], out);
    fprintf(out, "  -h, --help                   this text (--help=markdown: as a table)\n");
}
