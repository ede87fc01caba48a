#include "model/nn/params.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/nn/safetensors.h"

struct params {
    struct param *items;
    int count, capacity;
    int *table; /* open addressing by name, index + 1; 0 = free */
    int table_size;
};

static uint64_t name_hash(const char *name)
{
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a */
    for (const unsigned char *p = (const unsigned char *)name; *p; p++)
        h = (h ^ *p) * 0x100000001B3u;
    return h;
}

int params_create(struct params **out, struct error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? 0 : error_set(err, ERR_MEMORY, "out of memory for the parameter store");
}

static void drop_value(struct param *param)
{
    if (param->owned)
        free(param->value);
    param->value = NULL;
    param->owned = false;
}

void params_free(struct params *params)
{
    if (!params)
        return;
    for (int i = 0; i < params->count; i++) {
        drop_value(&params->items[i]);
        free(params->items[i].grad);
        free(params->items[i].name);
    }
    free(params->items);
    free(params->table);
    free(params);
}

static int *find_slot(const struct params *params, const char *name)
{
    int mask = params->table_size - 1;
    int i = (int)(name_hash(name) & (uint64_t)mask);
    while (params->table[i] && strcmp(params->items[params->table[i] - 1].name, name) != 0)
        i = (i + 1) & mask;
    return &params->table[i];
}

static int grow(struct params *params)
{
    int capacity = params->capacity ? 2 * params->capacity : 256;
    int *table = calloc((size_t)capacity * 2, sizeof *table);
    struct param *items = table ? realloc(params->items, (size_t)capacity * sizeof *items) : NULL;
    if (!items) {
        free(table);
        return -1;
    }
    params->items = items;
    params->capacity = capacity;
    free(params->table);
    params->table = table;
    params->table_size = 2 * capacity;
    for (int i = 0; i < params->count; i++)
        *find_slot(params, params->items[i].name) = i + 1;
    return 0;
}

int params_declare(struct params *params, int *out, const char *name, enum param_role role,
                   int rank, const int64_t dim[], struct error *err)
{
    int found = params_find(params, name);
    if (found >= 0) {
        const struct param *old = &params->items[found];
        if (old->rank != rank || memcmp(old->dim, dim, (size_t)rank * sizeof *dim) != 0)
            return error_set(err, ERR_INTERNAL, "parameter %s is declared with two shapes", name);
        *out = found;
        return 0;
    }
    if (params->count == params->capacity && grow(params) != 0)
        return error_set(err, ERR_MEMORY, "out of memory for the parameter store");
    struct param *param = &params->items[params->count];
    *param = (struct param){.role = role, .rank = rank, .count = 1};
    for (int i = 0; i < rank; i++) {
        param->dim[i] = dim[i];
        if (dim[i] < 1 || __builtin_mul_overflow(param->count, dim[i], &param->count))
            return error_set(err, ERR_INTERNAL, "parameter %s has an impossible shape", name);
    }
    param->name = strdup(name);
    if (!param->name)
        return error_set(err, ERR_MEMORY, "out of memory for the parameter store");
    *find_slot(params, name) = params->count + 1;
    *out = params->count++;
    return 0;
}

int params_count(const struct params *params)
{
    return params->count;
}

struct param *params_at(struct params *params, int index)
{
    return &params->items[index];
}

const struct param *params_peek(const struct params *params, int index)
{
    return &params->items[index];
}

int params_find(const struct params *params, const char *name)
{
    return params->table_size ? *find_slot(params, name) - 1 : -1;
}

int64_t params_total(const struct params *params)
{
    int64_t total = 0;
    for (int i = 0; i < params->count; i++)
        if (params->items[i].role != PARAM_BUFFER)
            total += params->items[i].count;
    return total;
}

/* ---- values from a file ---- */

/* A list of complaints that stays readable: the first dozen by name, the rest counted. */
struct complaints {
    char text[ERROR_TEXT_SIZE];
    size_t length;
    int count, listed;
};

static void complain(struct complaints *list, const char *what, const char *name,
                     const char *detail)
{
    list->count++;
    size_t room = sizeof list->text - 64 - list->length;
    char line[320];
    int n =
        snprintf(line, sizeof line, "%s%s %.120s%s", list->length ? "; " : "", what, name, detail);
    if (n > 0 && (size_t)n < sizeof line && (size_t)n < room) {
        memcpy(list->text + list->length, line, (size_t)n + 1);
        list->length += (size_t)n;
        list->listed++;
    }
}

static void shape_text(char *out, size_t size, int rank, const int64_t *dim)
{
    size_t used = (size_t)snprintf(out, size, "(");
    for (int i = 0; i < rank && used < size; i++)
        used +=
            (size_t)snprintf(out + used, size - used, "%s%lld", i ? ", " : "", (long long)dim[i]);
    if (used < size)
        snprintf(out + used, size - used, ")");
}

/* Newer torchvision wraps these two layers in a Sequential and writes one more ".0". */
static const char *canonical_name(const char *name, char *buffer, size_t size)
{
    static const char *const layers[] = {"backbone.fpn.inner_blocks.0.0.",
                                         "backbone.fpn.layer_blocks.0.0."};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        size_t n = strlen(layers[i]);
        if (strncmp(name, layers[i], n) == 0) {
            snprintf(buffer, size, "%.*s%s", (int)(n - 2), layers[i], name + n);
            return buffer;
        }
    }
    return name;
}

static bool is_counter(const char *name)
{
    static const char leaf[] = ".num_batches_tracked";
    size_t n = strlen(name);
    return n > sizeof leaf - 1 && strcmp(name + n - (sizeof leaf - 1), leaf) == 0;
}

static int take_value(struct param *param, const struct tensor_view *view, struct error *err)
{
    drop_value(param);
    if (view->dtype == DTYPE_F32 && (uintptr_t)view->data % sizeof(float) == 0) {
        param->value = (float *)(uintptr_t)view->data; /* read-only while it is not owned */
        return 0;
    }
    param->value = malloc((size_t)param->count * sizeof(float));
    if (!param->value)
        return error_set(err, ERR_MEMORY, "out of memory for tensor %s", param->name);
    param->owned = true;
    return tensor_to_f32(param->value, view, err);
}

/* A ReLU would turn NaN into zero and hide it from every check behind. */
static bool all_finite(const struct param *param)
{
    int64_t strange = 0;
#pragma omp parallel for simd schedule(static) reduction(+ : strange)
    for (int64_t i = 0; i < param->count; i++)
        strange += !(fabsf(param->value[i]) <= FLT_MAX);
    return strange == 0;
}

int params_from_file(struct params *params, const struct safetensors *file, struct error *err)
{
    int rc = 0;
    struct complaints list = {.count = 0};
    char buffer[256], detail[160];
    bool *met = calloc((size_t)params->count + 1, sizeof *met); /* by parameter: is in the file */
    if (!met)
        return error_set(err, ERR_MEMORY, "out of memory for the parameter store");
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct tensor_view *view = safetensors_at(file, i);
        if (is_counter(view->name))
            continue;
        int index = params_find(params, canonical_name(view->name, buffer, sizeof buffer));
        if (index < 0) {
            complain(&list, "unexpected tensor", view->name, "");
            continue;
        }
        struct param *param = &params->items[index];
        if (met[index]) {
            complain(&list, "tensor given twice:", view->name, "");
        } else if (view->rank != param->rank ||
                   memcmp(view->shape, param->dim, (size_t)param->rank * sizeof(int64_t)) != 0) {
            char is[64], should[64];
            shape_text(is, sizeof is, view->rank, view->shape);
            shape_text(should, sizeof should, param->rank, param->dim);
            snprintf(detail, sizeof detail, " has shape %s, should be %s", is, should);
            complain(&list, "tensor", view->name, detail);
        } else {
            TRY(take_value(param, view, err));
            if (!all_finite(param))
                complain(&list, "tensor", view->name, " holds values that are not finite");
        }
        met[index] = true;
    }
    for (int i = 0; i < params->count; i++)
        if (!met[i])
            complain(&list, "missing tensor", params->items[i].name, "");
    if (list.count)
        rc = error_set(err, ERR_BAD_WEIGHTS, "%d of the tensors do not fit the model: %s%s",
                       list.count, list.text, list.listed < list.count ? "; and more" : "");
done:
    free(met);
    return rc;
}

int params_own(struct params *params, struct error *err)
{
    for (int i = 0; i < params->count; i++) {
        struct param *param = &params->items[i];
        if (param->owned || !param->value)
            continue;
        float *copy = malloc((size_t)param->count * sizeof *copy);
        if (!copy)
            return error_set(err, ERR_MEMORY, "out of memory for tensor %s", param->name);
        memcpy(copy, param->value, (size_t)param->count * sizeof *copy);
        param->value = copy;
        param->owned = true;
    }
    return 0;
}

void params_drop_values(struct params *params)
{
    for (int i = 0; i < params->count; i++)
        drop_value(&params->items[i]);
}

/* ---- gradients ---- */

int params_enable_grad(struct params *params, struct error *err)
{
    for (int i = 0; i < params->count; i++) {
        struct param *param = &params->items[i];
        if (param->role == PARAM_BUFFER || param->grad)
            continue;
        param->grad = calloc((size_t)param->count, sizeof *param->grad);
        if (!param->grad)
            return error_set(err, ERR_MEMORY, "out of memory for the gradient of %s", param->name);
    }
    return 0;
}

void params_clear_grad(struct params *params)
{
    for (int i = 0; i < params->count; i++)
        if (params->items[i].grad)
            memset(params->items[i].grad, 0, (size_t)params->items[i].count * sizeof(float));
}

/* ---- the seeded filler ---- */

static uint64_t splitmix64(uint64_t z)
{
    z += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static bool ends_with(const char *name, const char *tail)
{
    size_t n = strlen(name), t = strlen(tail);
    return n >= t && strcmp(name + n - t, tail) == 0;
}

/* offset + amplitude * u fills a tensor; both follow from its name and shape alone. */
static void fill_rule(const struct param *param, float *offset, float *amplitude)
{
    const char *name = param->name;
    *offset = 0;
    if (ends_with(name, ".running_mean") || ends_with(name, ".bias")) {
        *amplitude = 0.1f;
    } else if (ends_with(name, ".running_var")) {
        *offset = 1;
        *amplitude = 0.25f;
    } else if (strstr(name, "lstm")) {
        *amplitude = 0.125f;
    } else if (param->rank == 1) {
        *offset = 1;
        *amplitude = 0.25f;
    } else {
        bool transposed =
            strstr(name, "conv_mask") || strstr(name, "conv5_mask") || strstr(name, "conv_up");
        int64_t fan_in = transposed ? param->dim[0] : param->count / param->dim[0];
        float a = sqrtf((float)(6.0 / (double)fan_in));
        if (ends_with(name, "bbox_pred.weight"))
            a *= 0.25f;
        if (ends_with(name, "cls_score.weight"))
            a *= 0.3f;
        *amplitude = a;
    }
}

int params_fill(struct params *params, uint64_t seed, struct error *err)
{
    for (int i = 0; i < params->count; i++) {
        struct param *param = &params->items[i];
        if (!param->owned) {
            drop_value(param);
            param->value = malloc((size_t)param->count * sizeof(float));
            if (!param->value)
                return error_set(err, ERR_MEMORY, "out of memory for tensor %s", param->name);
            param->owned = true;
        }
        float offset, amplitude;
        fill_rule(param, &offset, &amplitude);
        /* A residual branch's last norm is damped, which keeps deep sums in range. */
        float damp = param->rank == 1 && ends_with(param->name, "bn3.weight") ? 0.35f : 1;
        uint64_t base = name_hash(param->name) + seed * 0x9E3779B97F4A7C15u;
#pragma omp parallel for schedule(static)
        for (int64_t k = 0; k < param->count; k++) {
            uint64_t h = splitmix64(base + (uint64_t)k);
            float u = (float)((double)(h >> 40) / (double)(1 << 23) - 1.0);
            param->value[k] = damp * (offset + amplitude * u);
        }
    }
    return 0;
}
