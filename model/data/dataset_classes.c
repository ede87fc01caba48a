/* Classification data: split files, manifests, names. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/data/dataset_parts.h"

bool scheme_classes(int8_t classes[DATASET_CLASSES], enum dataset_scheme scheme, const char *id,
                    size_t length)
{
    static const struct {
        int count;
        int8_t classes[3][DATASET_CLASSES];
    } schemes[] = {
        [DATASET_THREE] = {3, {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}},
        [DATASET_BINARY] = {2, {{-1, -1, 0}, {0, 0, 1}}},
    };
    if (length != 1 || id[0] < '0' || id[0] - '0' >= schemes[scheme].count)
        return false;
    memcpy(classes, schemes[scheme].classes[id[0] - '0'], DATASET_CLASSES);
    return true;
}

/* A text file read line by line; `line` has no line end. */
struct lines {
    const char *path;
    FILE *file;
    char *line;
    size_t capacity;
    int number;
    int failed; /* 0, or why it ended before the file's end: an errno */
};

static int lines_open(struct lines *l, const char *path, struct error *err)
{
    *l = (struct lines){.path = path, .file = fopen(path, "r")};
    return l->file != NULL ? 0 : dataset_io_error(path, errno, err);
}

/* False at the end. */
static bool lines_next(struct lines *l)
{
    ssize_t length = getline(&l->line, &l->capacity, l->file);
    if (length < 0) {
        l->failed = feof(l->file) ? 0 : errno;
        return false;
    }
    while (length > 0 && (l->line[length - 1] == '\n' || l->line[length - 1] == '\r'))
        l->line[--length] = 0;
    static const char mark[] = "\xef\xbb\xbf"; /* that spreadsheets put in front of UTF-8 */
    size_t marked = strlen(mark);
    if (l->number == 0 && strncmp(l->line, mark, marked) == 0)
        memmove(l->line, l->line + marked, (size_t)length + 1 - marked);
    l->number++;
    return true;
}

/* Passes rc on, or what went wrong while reading. */
static int lines_close(struct lines *l, int rc, struct error *err)
{
    if (l->file != NULL)
        fclose(l->file);
    free(l->line);
    if (rc == 0 && l->failed)
        return dataset_io_error(l->path, l->failed, err);
    return rc;
}

static int blame_line(struct dataset *out, const struct lines *l, struct error *err,
                      const char *reason, const char *value)
{
    char *where = NULL;
    if (asprintf(&where, "%s:%d", l->path, l->number) < 0)
        return error_set(err, ERR_MEMORY, "no memory for the list of training files");
    int rc = dataset_blame(out, where, err, "%s '%s'", reason, value);
    free(where);
    return rc;
}

/* folder/name, or folder/below/name where only that exists (below may be NULL). */
static char *find_file(const char *folder, const char *below, const char *name, struct error *err)
{
    char *path = path_join(folder, name, err);
    if (path == NULL || below == NULL || below[0] == 0 || access(path, R_OK) == 0)
        return path;
    free(path);
    char *inner = path_join(folder, below, err);
    path = inner != NULL ? path_join(inner, name, err) : NULL;
    free(inner);
    return path;
}

/* Adds a listed file if it is there. */
static int add_listed(struct dataset *out, struct lines *l, const char *folder, const char *below,
                      const char *name, struct sample *sample, struct error *err)
{
    if (!name_is_safe(name) || (below != NULL && below[0] != 0 && !name_is_safe(below)))
        return blame_line(out, l, err, "names a file outside the folder:", name);
    char *path = find_file(folder, below, name, err);
    if (path == NULL)
        return -1;
    int rc;
    if (access(path, R_OK) != 0) {
        rc = blame_line(out, l, err, "names a file that is not there or not readable:", path);
    } else {
        sample->path = path;
        rc = dataset_add(out, sample, err);
    }
    free(path);
    return rc;
}

/* ---- split files ---- */

/* Where the last word of text[0..length) begins; 0 where it is the first one. */
static size_t last_word(const char *text, size_t length)
{
    while (length > 0 && text[length - 1] != ' ' && text[length - 1] != '\t')
        length--;
    return length;
}

static size_t trim(char *text, size_t length)
{
    while (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'))
        length--;
    text[length] = 0;
    return length;
}

static bool whole_number(int *out, const char *text)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (end == text || *end != 0 || errno != 0 || v < -1000000 || v > 1000000)
        return false;
    *out = (int)v;
    return true;
}

/* "name class" or "name class x0 y0 x1 y1": words are taken from the end, names may have spaces. */
static int add_split_line(struct dataset *out, struct lines *l, const char *folder,
                          enum dataset_scheme scheme, struct error *err)
{
    struct sample sample = {0};
    int rc = -1, numbers[5], found = 0;
    size_t length = trim(l->line, strlen(l->line));
    char *whole = strdup(l->line);
    if (whole == NULL)
        return error_set(err, ERR_MEMORY, "no memory for a line of %s", l->path);
    for (size_t at; found < 5; found++) {
        at = last_word(l->line, length);
        if (at == 0 || !whole_number(&numbers[found], l->line + at))
            break;
        length = trim(l->line, at);
    }
    if (found == 5) {
        sample.boxed = true;
        sample.x0 = numbers[3];
        sample.y0 = numbers[2];
        sample.x1 = numbers[1];
        sample.y1 = numbers[0];
    }
    char id = found > 0 && numbers[found - 1] >= 0 && numbers[found - 1] <= 9
                  ? (char)('0' + numbers[found - 1])
                  : 'x';
    if (found != 1 && found != 5)
        rc = blame_line(out, l, err, "is not `filename class [xmin ymin xmax ymax]`:", whole);
    else if (!scheme_classes(sample.classes, scheme, &id, 1))
        rc = blame_line(out, l, err, "has an unknown class:", whole);
    else
        rc = add_listed(out, l, folder, NULL, l->line, &sample, err);
    free(whole);
    return rc;
}

static int read_split_file(struct dataset *out, const char *folder,
                           const struct dataset_options *options, struct error *err)
{
    int rc = -1;
    struct lines l;
    TRY(lines_open(&l, options->list, err));
    while (lines_next(&l))
        if (l.line[strspn(l.line, " \t")] != 0)
            TRY(add_split_line(out, &l, folder, options->scheme, err));
done:
    return lines_close(&l, rc, err);
}

/* ---- manifests ---- */

enum { COLUMNS = 256, SHOWN = 80 };
enum { FILE_COLUMN, SPLIT_COLUMN, PATIENT_COLUMN, CLASS_COLUMN, KNOWN_COLUMNS = CLASS_COLUMN + 3 };
static const char *const column_names[KNOWN_COLUMNS] = {
    "file", "split", "patient", "control", "common_pneumonia", "covid_19"};

/* Where the known columns are, -1 for none, and how many there are in all. */
struct header {
    int columns[KNOWN_COLUMNS], count;
};

/*
 * Cuts a line of comma-separated values in place, without the blanks around them; "" inside quotes
 * is a quote. -1 where one is not closed: the fields behind it would be part of it.
 */
static int cut_fields(char *fields[COLUMNS], char *line)
{
    int count = 0;
    char *in = line;
    while (count < COLUMNS) {
        in += strspn(in, " \t");
        char *out = in, *kept = in; /* the end of what is not blank, or was quoted */
        fields[count++] = out;
        bool quoted = *in == '"';
        in += quoted;
        while (*in != 0 && (quoted || *in != ',')) {
            if (quoted && *in == '"') {
                if (in[1] != '"') {
                    quoted = false;
                    kept = out;
                    in++;
                    continue;
                }
                in++;
            }
            if (quoted || (*in != ' ' && *in != '\t'))
                kept = out + 1;
            *out++ = *in++;
        }
        if (quoted)
            return -1;
        bool more = *in == ',';
        *kept = 0;
        if (!more)
            break;
        in++;
    }
    return count;
}

static int read_header(struct header *header, struct lines *l, struct error *err)
{
    char *fields[COLUMNS], shown[SHOWN + 1] = "";
    bool named = lines_next(l);
    if (l->failed)
        return dataset_io_error(l->path, l->failed, err);
    if (named)
        snprintf(shown, sizeof shown, "%s", l->line);
    for (char *c = shown; *c != 0; c++) /* whatever kind of file it is */
        *c = *c >= ' ' && *c <= '~' ? *c : '?';
    int classes = 0;
    header->count = named ? cut_fields(fields, l->line) : 0;
    for (int k = 0; k < KNOWN_COLUMNS; k++) {
        header->columns[k] = -1;
        for (int i = 0; i < header->count; i++)
            if (strcmp(fields[i], column_names[k]) == 0)
                header->columns[k] = i;
        classes += k >= CLASS_COLUMN && header->columns[k] >= 0;
    }
    if (header->columns[FILE_COLUMN] < 0 || classes == 0)
        return error_set(err, ERR_BAD_DATA,
                         "%s: its first line must name the columns `file` and at least one of "
                         "`control`, `common_pneumonia`, `covid_19`, with commas between; it is "
                         "\"%s\"",
                         l->path, shown);
    return 0;
}

static bool parse_class(int8_t *out, const char *text)
{
    static const struct {
        const char *text;
        int8_t value;
    } values[] = {{"1", 1}, {"0", 0}, {"-1", -1}, {"", -1}};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (strcmp(text, values[i].text) == 0) {
            *out = values[i].value;
            return true;
        }
    }
    return false;
}

static int add_row(struct dataset *out, struct lines *l, const char *folder, const char *split,
                   const struct header *header, struct error *err)
{
    char *fields[COLUMNS], shown[SHOWN + 1];
    char empty[] = "";
    snprintf(shown, sizeof shown, "%s", l->line);
    int count = cut_fields(fields, l->line);
    if (count < 0)
        return blame_line(out, l, err, "a quote is not closed on this line:", shown);
    for (int i = header->count; i < count; i++)
        if (*fields[i] != 0)
            return blame_line(out, l, err,
                              "has more fields than the first line; one with a comma in it needs "
                              "quotes:",
                              shown);
    char *values[KNOWN_COLUMNS];
    for (int k = 0; k < KNOWN_COLUMNS; k++) {
        int column = header->columns[k];
        values[k] = column >= 0 && column < count ? fields[column] : empty;
    }
    if (split != NULL && strcmp(values[SPLIT_COLUMN], split) != 0)
        return 0;
    struct sample sample = {.patient = values[PATIENT_COLUMN]};
    bool known = false;
    for (int c = 0; c < DATASET_CLASSES; c++) {
        const char *text = values[CLASS_COLUMN + c];
        if (!parse_class(&sample.classes[c], text))
            return blame_line(out, l, err, "a class is 1, 0 or -1 (unknown), not", text);
        known |= sample.classes[c] >= 0;
    }
    if (!known)
        return blame_line(out, l, err, "no class is known of", values[FILE_COLUMN]);
    return add_listed(out, l, folder, values[SPLIT_COLUMN], values[FILE_COLUMN], &sample, err);
}

/* `split` NULL takes every row. */
static int read_manifest(struct dataset *out, const char *folder, const char *path,
                         const char *split, struct error *err)
{
    int rc = -1;
    struct lines l;
    struct header header;
    TRY(lines_open(&l, path, err));
    TRY(read_header(&header, &l, err));
    while (lines_next(&l))
        if (l.line[0] != 0)
            TRY(add_row(out, &l, folder, split, &header, err));
done:
    return lines_close(&l, rc, err);
}

/* ---- names ---- */

static int read_names(struct dataset *out, const char *folder, enum dataset_scheme scheme,
                      struct error *err)
{
    int rc = -1;
    char *path = NULL;
    struct names names;
    TRY(names_read(&names, folder, err));
    for (size_t i = 0; i < names.count; i++) {
        struct sample sample = {0};
        const char *name = names.list[i];
        rc = -1;
        path = path_join(folder, name, err);
        if (path == NULL)
            goto done;
        const char *end = strchr(name, '_');
        sample.path = path;
        if (end != NULL && scheme_classes(sample.classes, scheme, name, (size_t)(end - name)))
            TRY(dataset_add(out, &sample, err));
        else
            TRY(dataset_blame(out, path, err,
                              "its class is not known: no manifest names it, and its name does "
                              "not begin with %s",
                              scheme == DATASET_THREE ? "0_, 1_ or 2_" : "0_ or 1_"));
        free(path);
        path = NULL;
    }
done:
    free(path);
    names_free(&names);
    return rc;
}

/* ---- which of them ---- */

int dataset_open_classification(struct dataset *out, const char *folder,
                                const struct dataset_options *options, struct error *err)
{
    static const struct dataset_options defaults = {0};
    const struct dataset_options *o = options != NULL ? options : &defaults;
    int rc = -1;
    *out = (struct dataset){.crop = o->crop, .max_pixels = o->max_pixels};
    char *inside = path_join(folder, "manifest.csv", err);
    char *beside = path_join(folder, "../manifest.csv", err);
    char *whole = realpath(folder, NULL);
    if (inside == NULL || beside == NULL)
        goto done;
    if (whole == NULL)
        TRY(dataset_io_error(folder, errno, err));
    const char *own_name = strrchr(whole, '/') + 1;

    if (o->list != NULL)
        TRY(read_split_file(out, folder, o, err));
    else if (access(inside, F_OK) == 0)
        TRY(read_manifest(out, folder, inside, o->split, err));
    else if (own_name[0] != 0 && access(beside, F_OK) == 0)
        TRY(read_manifest(out, folder, beside, own_name, err));
    if (out->count == 0 && out->problems_count == 0 && o->split != NULL && o->list == NULL &&
        access(inside, F_OK) == 0)
        TRY(error_set(err, ERR_BAD_DATA, "%s: no row has \"%s\" in a column `split`", inside,
                      o->split));
    if (out->count == 0 && out->problems_count == 0 && o->list == NULL && access(inside, F_OK) != 0)
        TRY(read_names(out, folder, o->scheme, err));
    TRY(dataset_finish(out, folder, err));
done:
    free(inside);
    free(beside);
    free(whole);
    if (rc != 0)
        dataset_free(out);
    return rc;
}
