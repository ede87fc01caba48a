/*
 * The state of a run as a safetensors file: "value/NAME", "m/NAME", "v/NAME", "average/NAME", the
 * optimizer's step counts by parameter, and in the metadata the position and the settings. Numbers
 * that must not change by a bit are written in hexadecimal.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/nn/safetensors.h"
#include "model/train/loop_private.h"

enum { NAME_SIZE = 300, SHOWN = 200 };
static const char format_name[] = "oneshot-training-1";

/* The arrays that are kept of each parameter; NULL where it has none. */
enum kept { KEPT_VALUE, KEPT_M, KEPT_V, KEPT_AVERAGE, KEPT };
static const char *const kept_name[KEPT] = {"value", "m", "v", "average"};

static float *kept_array(const struct loop *l, int index, enum kept kept)
{
    switch (kept) {
    case KEPT_VALUE:
        return params_peek(l->network->params, index)->value;
    case KEPT_M:
        return l->adam->of[index].m;
    case KEPT_V:
        return l->adam->of[index].v;
    default:
        return l->average ? l->average[index] : NULL;
    }
}

static const char *full_name(char out[NAME_SIZE], enum kept kept, const struct param *param)
{
    snprintf(out, NAME_SIZE, "%s/%s", kept_name[kept], param->name);
    return out;
}

/* ---- writing ---- */

static int put_metadata(struct safetensors_writer *w, const struct loop *l, const char *settings,
                        double best, struct error *err)
{
    char iteration[32], previous[64], best_text[64];
    snprintf(iteration, sizeof iteration, "%lld", (long long)l->iteration);
    snprintf(previous, sizeof previous, "%a", l->previous_segment);
    snprintf(best_text, sizeof best_text, "%a", best);
    const char *const entries[][2] = {{"format", format_name},
                                      {"iteration", iteration},
                                      {"previous_segment", previous},
                                      {"best", best_text},
                                      {"settings", settings}};
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (safetensors_writer_metadata(w, entries[i][0], entries[i][1], err) != 0)
            return -1;
    return 0;
}

static int put_tensors(struct safetensors_writer *w, const struct loop *l, bool declare,
                       struct error *err)
{
    char name[NAME_SIZE];
    for (int i = 0; i < params_count(l->network->params); i++) {
        const struct param *p = params_peek(l->network->params, i);
        for (int k = 0; k < KEPT; k++) {
            const float *array = kept_array(l, i, (enum kept)k);
            if (!array)
                continue;
            full_name(name, (enum kept)k, p);
            if (declare ? safetensors_writer_declare(w, name, DTYPE_F32, p->rank, p->dim, err)
                        : safetensors_writer_put_f32(w, name, array, p->count, err))
                return -1;
        }
    }
    return 0;
}

int loop_save(const struct loop *l, const char *path, const char *settings, double best,
              struct error *err)
{
    int rc;
    struct safetensors_writer *w = NULL;
    int64_t count = l->adam->count;
    int64_t *steps = malloc(((size_t)count + 1) * sizeof *steps);
    if (!steps)
        return error_set(err, ERR_MEMORY, "out of memory for a checkpoint");
    for (int64_t i = 0; i < count; i++)
        steps[i] = l->adam->of[i].steps;
    TRY(safetensors_writer_open(&w, path, err));
    TRY(put_metadata(w, l, settings, best, err));
    TRY(safetensors_writer_declare(w, "steps", DTYPE_I64, 1, &count, err));
    TRY(put_tensors(w, l, true, err));
    TRY(safetensors_writer_put(w, "steps", steps, (size_t)count * sizeof *steps, err));
    TRY(put_tensors(w, l, false, err));
    TRY(safetensors_writer_commit(w, err));
done:
    safetensors_writer_close(w);
    free(steps);
    return rc;
}

/* ---- reading ---- */

static int bad(struct error *err, const char *what)
{
    return error_set(err, ERR_BAD_WEIGHTS, "not a training checkpoint of this run: %s", what);
}

/* The first line in which two texts differ, or NULL; *length is that of the line in `text`. */
static const char *differing_line(const char *text, const char *other, int *length)
{
    while (*text || *other) {
        size_t n = strcspn(text, "\n"), m = strcspn(other, "\n");
        *length = (int)n;
        if (n != m || memcmp(text, other, n) != 0)
            return text;
        text += n + (text[n] == '\n');
        other += m + (other[m] == '\n');
    }
    return NULL;
}

/* A line as a person wrote it: a number of single precision with as few digits as tell it. */
static const char *shown(char out[SHOWN], const char *line, int length)
{
    snprintf(out, SHOWN, "%.*s", length, line);
    char *value = strchr(out, ' '), *end;
    if (!value || !strpbrk(++value, ".e"))
        return out;
    float number = strtof(value, &end);
    if (end == value || *end)
        return out;
    char text[32] = "";
    for (int digits = 1; digits <= 9 && (!*text || strtof(text, NULL) != number); digits++)
        snprintf(text, sizeof text, "%.*g", digits, (double)number);
    snprintf(value, (size_t)(out + SHOWN - value), "%s", text);
    return out;
}

static int check_settings(const char *saved, const char *settings, struct error *err)
{
    int was_length = 0, is_length = 0;
    char before[SHOWN], now[SHOWN];
    const char *was = differing_line(saved, settings, &was_length);
    const char *is = differing_line(settings, saved, &is_length);
    if (!was)
        return 0;
    return error_set(err, ERR_ARGUMENT,
                     "the run was started with \"%s\", now it is \"%s\": a resumed run needs the "
                     "same settings (start a new one with --init to change them)",
                     shown(before, was, was_length), shown(now, is, is_length));
}

static int take_number(double *out, const struct safetensors *file, const char *key,
                       struct error *err)
{
    const char *text = safetensors_metadata(file, key);
    char *end;
    if (!text)
        return bad(err, key);
    *out = strtod(text, &end);
    return end == text || *end ? bad(err, key) : 0;
}

static int take_tensors(struct loop *l, const struct safetensors *file, struct error *err)
{
    char name[NAME_SIZE];
    for (int i = 0; i < params_count(l->network->params); i++) {
        struct param *p = params_at(l->network->params, i);
        for (int k = 0; k < KEPT; k++) {
            float *array = kept_array(l, i, (enum kept)k);
            if (!array)
                continue;
            const struct tensor_view *view =
                safetensors_find(file, full_name(name, (enum kept)k, p));
            if (!view || view->dtype != DTYPE_F32 || view->elements != p->count)
                return bad(err, name);
            memcpy(array, view->data, view->bytes);
        }
        p->version++;
    }
    return 0;
}

static int take_steps(struct loop *l, const struct safetensors *file, struct error *err)
{
    const struct tensor_view *view = safetensors_find(file, "steps");
    if (!view || view->dtype != DTYPE_I64 || view->elements != l->adam->count)
        return bad(err, "steps");
    for (int i = 0; i < l->adam->count; i++)
        memcpy(&l->adam->of[i].steps, (const char *)view->data + (size_t)i * sizeof(int64_t),
               sizeof(int64_t));
    return 0;
}

int loop_restore(struct loop *l, const char *path, const char *settings, double *best,
                 struct error *err)
{
    int rc;
    double iteration = 0, previous = 0;
    struct safetensors *file = NULL;
    TRY(safetensors_open(&file, path, err));
    const char *format = safetensors_metadata(file, "format");
    const char *saved = safetensors_metadata(file, "settings");
    if (!format || strcmp(format, format_name) != 0 || !saved)
        TRY(bad(err, "it has no settings"));
    TRY(check_settings(saved, settings, err));
    TRY(take_number(&iteration, file, "iteration", err));
    TRY(take_number(&previous, file, "previous_segment", err));
    TRY(take_number(best, file, "best", err));
    if (!(iteration >= 0 && iteration <= (double)l->options.iterations))
        TRY(bad(err, "iteration"));
    TRY(take_tensors(l, file, err));
    TRY(take_steps(l, file, err));
    TRY(trainer_refresh(l->trainer, err));
    l->iteration = (int64_t)iteration;
    l->previous_segment = previous;
done:
    if (rc && file)
        error_prefix(err, "%s", path);
    safetensors_close(file);
    return rc;
}
