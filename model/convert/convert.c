#include "model/convert/convert.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/convert/architecture.h"
#include "model/convert/moments.h"

enum { TEXT = 512 };

struct norm_modes {
    char backbone[16], attention[16]; /* "batch" or "running" */
};

struct job {
    const struct convert_options *options;
    struct norm_modes norms;
    struct convert_report *report;
    struct checkpoint *checkpoint;
    struct weights weights;
    struct moments moments;
    struct architecture architecture;
    struct safetensors_writer *writer;
    float *scratch; /* a tensor on its way to F16 */
    uint64_t done;  /* bytes put */
};

/* ---- arguments ---- */

static int check_paths(const char *in, const char *out, bool force, struct error *err)
{
    struct stat a, b;
    if (stat(out, &b) != 0)
        return 0;
    if (stat(in, &a) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
        return error_set(err, ERR_IO, "%s: input and output are the same file", out);
    if (!S_ISREG(b.st_mode))
        return error_set(err, ERR_IO, "%s: not a regular file", out);
    if (!force)
        return error_set(err, ERR_IO, "%s: already there (--force replaces it)", out);
    return 0;
}

static bool is_mode(const char *text, size_t length)
{
    return (length == 5 && memcmp(text, "batch", 5) == 0) ||
           (length == 7 && memcmp(text, "running", 7) == 0);
}

static int read_batch_norm(struct norm_modes *modes, const char *text, struct error *err)
{
    text = text ? text : "batch";
    const char *slash = strchr(text, '/');
    size_t first = slash ? (size_t)(slash - text) : strlen(text);
    const char *second = slash ? slash + 1 : text;
    if (!is_mode(text, first) || !is_mode(second, strlen(second)))
        return error_set(err, ERR_ARGUMENT,
                         "batch norm \"%.40s\": must be batch, running, or two of them with a "
                         "slash between for backbone and attention layer",
                         text);
    snprintf(modes->backbone, sizeof modes->backbone, "%.*s", (int)first, text);
    snprintf(modes->attention, sizeof modes->attention, "%s", second);
    return 0;
}

/* ---- metadata ---- */

static int put_batch_norm(struct job *job, struct error *err)
{
    const struct norm_modes *modes = &job->norms;
    if (strcmp(modes->backbone, modes->attention) == 0)
        return safetensors_writer_metadata(job->writer, "batch_norm", modes->backbone, err);
    if (safetensors_writer_metadata(job->writer, "backbone_batch_norm", modes->backbone, err))
        return -1;
    return safetensors_writer_metadata(job->writer, "attention_batch_norm", modes->attention, err);
}

static int put_number(struct job *job, const char *key, int64_t value, struct error *err)
{
    char text[32];
    if (value == 0)
        return 0;
    snprintf(text, sizeof text, "%lld", (long long)value);
    return safetensors_writer_metadata(job->writer, key, text, err);
}

/* A number or short plain text as text; false where the value is anything else. */
static bool plain_text(char out[TEXT], const struct pickle_value *value)
{
    if (value->kind == PICKLE_INT)
        return snprintf(out, TEXT, "%lld", (long long)value->integer) > 0;
    if (value->kind == PICKLE_FLOAT)
        return isfinite(value->real) && snprintf(out, TEXT, "%.9g", value->real) > 0;
    if (value->kind != PICKLE_TEXT || value->text.length >= 128)
        return false;
    for (size_t i = 0; i < value->text.length; i++)
        if (value->text.at[i] < 0x20 || value->text.at[i] > 0x7e)
            return false;
    memcpy(out, value->text.at, value->text.length);
    out[value->text.length] = 0;
    return true;
}

/* "2,4,8" of ((2, 4, 8),), torchvision's one tuple for each level; 0 where there is another number
 * of levels or anything but numbers, else how many. */
static int list_text(char out[TEXT], const struct pickle_value *levels)
{
    const struct pickle_value *level = pickle_item(levels, 0), *item;
    size_t used = 0;
    int count = 0;
    char number[TEXT];
    if (!level || pickle_item(levels, 1))
        return 0;
    for (; (item = pickle_item(level, (size_t)count)); count++) {
        if (item->kind == PICKLE_TEXT || !plain_text(number, item) || used + 32 > TEXT)
            return 0;
        used += (size_t)snprintf(out + used, TEXT - used, "%s%.24s", count ? "," : "", number);
    }
    return count;
}

/* The pickled anchor generator is an object of a class we do not know, but its fields are plain. */
static int put_anchors(struct job *job, struct error *err)
{
    const struct pickle_value *object = pickle_get(job->weights.wrapper, "anchor_generator");
    const struct pickle_value *state =
        object && object->kind == PICKLE_CALL ? object->call->state : NULL;
    char sizes[TEXT] = "", ratios[TEXT] = "";
    int anchors = list_text(sizes, pickle_get(state, "sizes"));
    anchors *= list_text(ratios, pickle_get(state, "aspect_ratios"));
    if (anchors == 0 || anchors != job->architecture.anchors)
        return 0;
    if (safetensors_writer_metadata(job->writer, "anchor_sizes", sizes, err))
        return -1;
    return safetensors_writer_metadata(job->writer, "anchor_ratios", ratios, err);
}

static const char *const optimizer_keys[] = {"optimizer_state", "optimizer_state_dict", "optimizer",
                                             "optim"};

static const struct pickle_value *find_optimizer(const struct job *job)
{
    for (size_t i = 0; i < sizeof optimizer_keys / sizeof *optimizer_keys; i++) {
        const struct pickle_value *value = pickle_get(job->weights.wrapper, optimizer_keys[i]);
        if (pickle_get(value, "param_groups"))
            return value;
    }
    return NULL;
}

/* What the file says beside the state dict: kept as metadata, or noted as dropped. */
static int put_notes(struct job *job, struct error *err)
{
    static const char *const kept[] = {"epoch", "lrate", "model_name"};
    const struct pickle_value *wrapper = job->weights.wrapper, *key, *value;
    const struct pickle_value *dict =
        wrapper ? pickle_get(wrapper, job->weights.wrapper_key) : NULL;
    const struct pickle_value *optimizer = job->moments.count > 0 ? find_optimizer(job) : NULL;
    char text[TEXT];
    bool seen[sizeof kept / sizeof *kept] = {false};
    for (size_t i = 0; pickle_entry(wrapper, i, &key, &value) == 0; i++) {
        bool used = value == dict || value == optimizer;
        for (size_t k = 0; k < sizeof kept / sizeof *kept && !used; k++) {
            if (seen[k] || !pickle_text_is(key, kept[k]) || !plain_text(text, value))
                continue;
            used = seen[k] = true;
            if (safetensors_writer_metadata(job->writer, kept[k], text, err))
                return -1;
        }
        if (!used)
            dropped_add(&job->report->dropped, key, value);
    }
    return 0;
}

static int put_metadata(struct job *job, struct error *err)
{
    const struct architecture *a = &job->architecture;
    struct safetensors_writer *w = job->writer;
    char name[64];
    snprintf(name, sizeof name, "%s-%s", a->kind, a->backbone);
    if (safetensors_writer_metadata(w, "name", name, err) ||
        safetensors_writer_metadata(w, "architecture", a->kind, err) ||
        safetensors_writer_metadata(w, "backbone", a->backbone, err) ||
        safetensors_writer_metadata(w, "trained", "true", err) || put_batch_norm(job, err) ||
        put_number(job, "out_channels", a->out_channels, err) ||
        put_number(job, "representation", a->representation, err) || put_anchors(job, err) ||
        put_notes(job, err))
        return -1;
    return put_number(job, "adam.step", job->moments.step, err);
}

/* ---- tensors ---- */

static enum dtype stored_dtype(const struct job *job, const struct checkpoint_tensor *t)
{
    bool wide = t->dtype == DTYPE_F32 || t->dtype == DTYPE_F64 || t->dtype == DTYPE_BF16;
    return job->options->half && wide && t->rank >= 2 ? DTYPE_F16 : t->dtype;
}

/* `limit` is what all tensors together may still take. */
static int declare(struct job *job, const char *name, enum dtype dtype,
                   const struct checkpoint_tensor *t, uint64_t *limit, struct error *err)
{
    uint64_t bytes = (uint64_t)t->elements * dtype_size(dtype);
    if (bytes > *limit)
        return error_set(err, ERR_BAD_WEIGHTS,
                         "its tensors share storages so often that they "
                         "would take several times the file's size");
    *limit -= bytes;
    job->report->bytes += bytes;
    return safetensors_writer_declare(job->writer, name, dtype, t->rank, t->shape, err);
}

/* "adam.m/<parameter>" */
static const char *moment_name(char out[], const char *what, const struct moment *moment)
{
    snprintf(out, SAFETENSORS_MAX_NAME + 32, "adam.%s/%s", what, moment->weight->name);
    return out;
}

static int declare_all(struct job *job, struct error *err)
{
    static const struct checkpoint_tensor scalar = {.elements = 1};
    char name[SAFETENSORS_MAX_NAME + 32];
    uint64_t limit = 4 * (uint64_t)checkpoint_length(job->checkpoint) + (1 << 16);
    for (size_t i = 0; i < job->weights.count; i++) {
        const struct weight *w = &job->weights.at[i];
        if (declare(job, w->name, stored_dtype(job, &w->tensor), &w->tensor, &limit, err))
            return -1;
        job->report->tensors++;
        job->report->parameters += w->buffer ? 0 : w->tensor.elements;
    }
    for (size_t i = 0; i < job->moments.count; i++) {
        const struct moment *m = &job->moments.at[i];
        if (declare(job, moment_name(name, "m", m), m->m.dtype, &m->m, &limit, err) ||
            declare(job, moment_name(name, "v", m), m->v.dtype, &m->v, &limit, err) ||
            declare(job, moment_name(name, "step", m), DTYPE_I64, &scalar, &limit, err))
            return -1;
    }
    job->report->moments = job->moments.count;
    return 0;
}

static int put_half(struct job *job, const char *name, const struct tensor_view *view,
                    struct error *err)
{
    const float largest = 65520; /* the first that rounds to infinity */
    float *values = reallocarray(job->scratch, (size_t)view->elements + 1, sizeof *values);
    if (!values)
        return error_set(err, ERR_MEMORY, "out of memory for tensor %s", name);
    job->scratch = values;
    if (tensor_to_f32(values, view, err))
        return -1;
    for (int64_t i = 0; i < view->elements; i++)
        if (isfinite(values[i]) && fabsf(values[i]) >= largest)
            return error_set(err, ERR_UNSUPPORTED, "tensor \"%s\": %g does not fit F16", name,
                             (double)values[i]);
    return safetensors_writer_put_f32(job->writer, name, values, view->elements, err);
}

static int put(struct job *job, const char *name, const struct checkpoint_tensor *t,
               enum dtype dtype, struct error *err)
{
    const void *data;
    int rc;
    if (checkpoint_read(&data, job->checkpoint, t, err))
        return error_prefix(err, "tensor \"%s\"", name);
    const struct tensor_view view = {.name = name,
                                     .dtype = t->dtype,
                                     .rank = t->rank,
                                     .elements = t->elements,
                                     .data = data,
                                     .bytes = t->bytes};
    if (dtype == t->dtype)
        rc = safetensors_writer_put(job->writer, name, data, t->bytes, err);
    else
        rc = put_half(job, name, &view, err);
    checkpoint_release_pages(job->checkpoint);
    job->done += (uint64_t)t->elements * dtype_size(dtype);
    if (rc == 0 && job->options->progress)
        job->options->progress(job->options->progress_user, (int64_t)job->done,
                               (int64_t)job->report->bytes);
    return rc;
}

static int put_all(struct job *job, struct error *err)
{
    char name[SAFETENSORS_MAX_NAME + 32];
    for (size_t i = 0; i < job->weights.count; i++) {
        const struct weight *w = &job->weights.at[i];
        if (put(job, w->name, &w->tensor, stored_dtype(job, &w->tensor), err))
            return -1;
    }
    for (size_t i = 0; i < job->moments.count; i++) {
        const struct moment *m = &job->moments.at[i];
        if (put(job, moment_name(name, "m", m), &m->m, m->m.dtype, err) ||
            put(job, moment_name(name, "v", m), &m->v, m->v.dtype, err) ||
            safetensors_writer_put(job->writer, moment_name(name, "step", m), &m->step,
                                   sizeof m->step, err))
            return -1;
    }
    return 0;
}

/* ---- all of it ---- */

static int read_optimizer(struct job *job, struct error *err)
{
    if (!job->options->optimizer)
        return 0;
    const struct pickle_value *optimizer = find_optimizer(job);
    if (!optimizer)
        return error_set(err, ERR_BAD_WEIGHTS, "there is no optimizer state in it");
    return moments_collect(&job->moments, job->checkpoint, optimizer, &job->weights, err);
}

static int read_checkpoint(struct job *job, struct error *err)
{
    struct convert_report *report = job->report;
    if (weights_collect(&job->weights, &report->dropped, job->checkpoint, err) ||
        read_optimizer(job, err))
        return -1;
    job->architecture = architecture_recognise(&job->weights);
    report->container = checkpoint_container(job->checkpoint);
    report->architecture = job->architecture.kind;
    report->backbone = job->architecture.backbone;
    report->out_channels = job->architecture.out_channels;
    report->state_dict = job->weights.wrapper ? job->weights.wrapper_key : "";
    return 0;
}

int convert_checkpoint(const char *in, const char *out, const struct convert_options *options,
                       struct convert_report *report, struct error *err)
{
    static const struct convert_options defaults = {0};
    int rc = 0;
    struct job job = {.options = options ? options : &defaults, .report = report};
    *report = (struct convert_report){0};
    TRY(read_batch_norm(&job.norms, job.options->batch_norm, err));
    TRY(check_paths(in, out, job.options->force, err));
    TRY(checkpoint_open(&job.checkpoint, in, err));
    rc = read_checkpoint(&job, err);
    if (rc) {
        error_prefix(err, "%s", in);
        goto done;
    }
    TRY(safetensors_writer_open(&job.writer, out, err));
    TRY(put_metadata(&job, err));
    TRY(declare_all(&job, err));
    TRY(put_all(&job, err));
    TRY(safetensors_writer_commit(job.writer, err));
done:
    safetensors_writer_close(job.writer);
    free(job.scratch);
    moments_free(&job.moments);
    weights_free(&job.weights);
    checkpoint_close(job.checkpoint);
    return rc;
}
