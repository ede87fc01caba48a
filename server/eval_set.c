#include "server/eval_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { COLUMNS = 32 };
enum { FILE_COLUMN, SPLIT_COLUMN, SOURCE_COLUMN, PATIENT_COLUMN, KNOWN_COLUMNS };

static const char *const column_names[KNOWN_COLUMNS] = {"file", "split", "source", "patient"};

const char *const eval_group_names[EVAL_GROUPS + 1] = {"image", "patient", "series", "source",
                                                       NULL};

const char *eval_set_name(const struct eval_set *set, size_t index)
{
    const char *path = set->data.samples[index].path;
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- manifests ---- */

/* Cuts a line of comma-separated values in place; "" inside quotes is a quote. */
static int cut_line(char *fields[COLUMNS], char *line)
{
    int count = 0;
    line[strcspn(line, "\r\n")] = 0;
    for (char *in = line; in && count < COLUMNS;) {
        char *out = in;
        bool quoted = false;
        fields[count++] = out;
        for (; *in && (quoted || *in != ','); in++) {
            if (*in != '"')
                *out++ = *in;
            else if (quoted && in[1] == '"')
                *out++ = *in++;
            else
                quoted = !quoted;
        }
        in = *in ? in + 1 : NULL;
        *out = 0;
    }
    return count;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int replace_text(char **text, const char *with, struct error *err)
{
    char *copy = strdup(with);
    if (!copy)
        return error_set(err, ERR_MEMORY, "no memory for a manifest");
    free(*text);
    *text = copy;
    return 0;
}

/* Manifests have words for "not known"; taken as a name they would make one patient of many. */
static int set_patient(struct eval_origin *origin, const char *name, struct error *err)
{
    static const char *const unknown[] = {"unknown", "none", "na", "n/a", "nan", "null", "-", "?"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        if (strcasecmp(name, unknown[i]) == 0)
            name = "";
    return replace_text(&origin->patient, name, err);
}

/* "scan_01_0005.png" is of "scan_01"; a name without a last number is of no series. */
static int set_series(struct eval_origin *origin, const char *name, struct error *err)
{
    if (replace_text(&origin->series, name, err) != 0)
        return -1;
    char *dot = strrchr(origin->series, '.');
    if (dot)
        *dot = 0;
    char *end = strrchr(origin->series, '_');
    bool number = end && end[1] && end[1 + strspn(end + 1, "0123456789")] == 0;
    *(number ? end : origin->series) = 0;
    return 0;
}

/* Samples are sorted by path, not by base name: a sorted index makes rows cheap to find. */
struct by_name {
    const char *name;
    size_t index;
};

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct by_name *)a)->name, ((const struct by_name *)b)->name);
}

static int take_row(struct eval_set *set, const struct by_name *names, char *const *values,
                    struct error *err)
{
    const struct by_name wanted = {.name = base_name(values[FILE_COLUMN])};
    const struct by_name *found =
        bsearch(&wanted, names, set->data.count, sizeof *names, compare_names);
    if (!found)
        return 0;
    while (found > names && strcmp(found[-1].name, wanted.name) == 0)
        found--;
    for (; found < names + set->data.count && strcmp(found->name, wanted.name) == 0; found++) {
        struct eval_origin *origin = &set->origins[found->index];
        if (replace_text(&origin->source, values[SOURCE_COLUMN], err) != 0)
            return -1;
        if (*values[PATIENT_COLUMN] && set_patient(origin, values[PATIENT_COLUMN], err) != 0)
            return -1;
    }
    return 0;
}

/* Rows of other splits are passed over: two splits may hold files of one name. */
static int read_rows(struct eval_set *set, const struct by_name *names, FILE *file,
                     const char *split, struct error *err)
{
    int rc = 0;
    int columns[KNOWN_COLUMNS] = {-1, -1, -1, -1};
    char *line = NULL;
    size_t room = 0;
    char empty[] = "";
    for (bool header = true; getline(&line, &room, file) > 0; header = false) {
        char *fields[COLUMNS];
        char *values[KNOWN_COLUMNS];
        int count = cut_line(fields, line);
        for (int k = 0; k < KNOWN_COLUMNS; k++) {
            for (int i = 0; header && i < count; i++)
                if (strcmp(fields[i], column_names[k]) == 0)
                    columns[k] = i;
            values[k] = columns[k] >= 0 && columns[k] < count ? fields[columns[k]] : empty;
        }
        bool other =
            split && columns[SPLIT_COLUMN] >= 0 && strcmp(values[SPLIT_COLUMN], split) != 0;
        if (!header && !other)
            TRY(take_row(set, names, values, err));
    }
    if (ferror(file))
        rc = error_set(err, ERR_IO, "the manifest cannot be read to its end");
done:
    free(line);
    return rc;
}

/* The manifest beside or above the images; NULL where there is none. */
static FILE *open_manifest(char *folder_name, size_t size, const char **split, const char *folder,
                           const char *given_split)
{
    static const char *const places[] = {"manifest.csv", "../manifest.csv"};
    char path[4096];
    char *whole = realpath(folder, NULL);
    snprintf(folder_name, size, "%s", whole ? base_name(whole) : "");
    free(whole);
    const char *const splits[] = {given_split, folder_name};
    for (int k = 0; k < 2; k++) {
        int n = snprintf(path, sizeof path, "%s/%s", folder, places[k]);
        FILE *file = n > 0 && (size_t)n < sizeof path ? fopen(path, "r") : NULL;
        *split = splits[k];
        if (file)
            return file;
    }
    return NULL;
}

static int read_manifest(struct eval_set *set, const char *folder, const char *given_split,
                         struct error *err)
{
    char folder_name[256];
    const char *split;
    FILE *file = open_manifest(folder_name, sizeof folder_name, &split, folder, given_split);
    if (!file)
        return 0;
    int rc = 0;
    struct by_name *names = malloc((set->data.count + 1) * sizeof *names);
    if (!names)
        TRY(error_set(err, ERR_MEMORY, "no memory for a manifest"));
    for (size_t i = 0; i < set->data.count; i++)
        names[i] = (struct by_name){eval_set_name(set, i), i};
    qsort(names, set->data.count, sizeof *names, compare_names);
    rc = read_rows(set, names, file, split, err);
done:
    free(names);
    fclose(file);
    return rc == 0 ? 0 : error_prefix(err, "%s", folder);
}

/* ---- sets ---- */

int eval_set_open(struct eval_set *out, enum eval_kind kind, const char *folder,
                  const struct dataset_options *options, struct error *err)
{
    int rc = 0;
    *out = (struct eval_set){.folder = folder};
    if (kind == EVAL_SEGMENTATION)
        TRY(dataset_open_segmentation(&out->data, folder, options, err));
    else
        TRY(dataset_open_classification(&out->data, folder, options, err));
    out->origins = calloc(out->data.count, sizeof *out->origins);
    if (!out->origins)
        TRY(error_set(err, ERR_MEMORY, "no memory for %zu images", out->data.count));
    for (size_t i = 0; i < out->data.count; i++) {
        TRY(replace_text(&out->origins[i].source, "", err));
        TRY(set_patient(&out->origins[i], out->data.samples[i].patient, err));
        TRY(set_series(&out->origins[i], eval_set_name(out, i), err));
    }
    TRY(read_manifest(out, folder, options ? options->split : NULL, err));
done:
    if (rc != 0)
        eval_set_close(out);
    return rc;
}

void eval_set_close(struct eval_set *set)
{
    for (size_t i = 0; set->origins && i < set->data.count; i++) {
        free(set->origins[i].source);
        free(set->origins[i].patient);
        free(set->origins[i].series);
    }
    free(set->origins);
    dataset_free(&set->data);
    *set = (struct eval_set){0};
}

static const char *group_name(const struct eval_set *set, size_t index, enum eval_group by)
{
    const struct eval_origin *origin = &set->origins[index];
    const char *const names[EVAL_GROUPS] = {"", origin->patient, origin->series, origin->source};
    return names[by];
}

void eval_set_groups(int32_t *groups, size_t *unknown, const struct eval_set *set,
                     const size_t *chosen, size_t count, enum eval_group by)
{
    *unknown = 0;
    for (size_t k = 0; k < count; k++) {
        const char *name = group_name(set, chosen[k], by);
        groups[k] = (int32_t)k;
        *unknown += by != EVAL_BY_IMAGE && !*name;
        /* Backwards: neighbours mostly share a name, only a new one searches to the start. */
        for (size_t j = k; *name && j-- > 0;) {
            if (strcmp(group_name(set, chosen[j], by), name) == 0) {
                groups[k] = groups[j];
                break;
            }
        }
    }
}
