#include "model/nn/safetensors.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/half.h"
#include "model/base/mapped.h"
#include "model/base/vector.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "tensors are used as they lie in the file");

static const struct {
    const char *name;
    size_t size;
} dtypes[DTYPES] = {
    [DTYPE_F64] = {"F64", 8},   [DTYPE_F32] = {"F32", 4}, [DTYPE_F16] = {"F16", 2},
    [DTYPE_BF16] = {"BF16", 2}, [DTYPE_I64] = {"I64", 8}, [DTYPE_I32] = {"I32", 4},
    [DTYPE_I16] = {"I16", 2},   [DTYPE_I8] = {"I8", 1},   [DTYPE_U8] = {"U8", 1},
    [DTYPE_BOOL] = {"BOOL", 1},
};

const char *dtype_name(enum dtype dtype)
{
    return (unsigned)dtype < DTYPES ? dtypes[dtype].name : "?";
}

size_t dtype_size(enum dtype dtype)
{
    return (unsigned)dtype < DTYPES ? dtypes[dtype].size : 0;
}

struct entry {
    const char *key, *value;
};

struct safetensors {
    struct mapped map;    /* empty where the bytes are the caller's */
    const uint8_t *bytes; /* whole file */
    size_t length;
    json_t *header; /* owns every name and metadata text */
    size_t count;
    struct tensor_view *tensors;        /* by offset */
    const struct tensor_view **by_name; /* sorted */
    size_t metadata_count;
    struct entry *metadata; /* sorted by key */
};

static int bad(struct error *err, const char *name, const char *what)
{
    return error_set(err, ERR_BAD_WEIGHTS, "tensor \"%s\": %s", name, what);
}

/* Names end up in messages and logs, so they must not carry terminal or line control. */
static bool name_is_plain(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > SAFETENSORS_MAX_NAME)
        return false;
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return true;
}

/* ---- the header ---- */

static int read_header(struct safetensors *file, uint64_t *data_begin, struct error *err)
{
    uint64_t size = 0;
    if (file->length < 8)
        return error_set(err, ERR_BAD_WEIGHTS, "%zu bytes are too short for a safetensors file",
                         file->length);
    memcpy(&size, file->bytes, 8);
    if (size > SAFETENSORS_MAX_HEADER)
        return error_set(err, ERR_BAD_WEIGHTS,
                         "header length %llu is over the limit of %d bytes (not safetensors?)",
                         (unsigned long long)size, SAFETENSORS_MAX_HEADER);
    if (size > file->length - 8)
        return error_set(err, ERR_BAD_WEIGHTS,
                         "header length %llu is more than the file's remaining %zu bytes",
                         (unsigned long long)size, file->length - 8);
    const char *text = (const char *)file->bytes + 8;
    if (size == 0 || text[0] != '{')
        return error_set(err, ERR_BAD_WEIGHTS, "header does not begin with '{'");
    json_error_t cause;
    errno = 0;
    file->header = json_loadb(text, size, JSON_REJECT_DUPLICATES, &cause);
    if (!file->header) {
        /* jansson takes most failed allocations for a mistake in the text; malloc says so itself */
        if (errno == ENOMEM)
            return error_set(err, ERR_MEMORY, "out of memory reading the header");
        return error_set(err, ERR_BAD_WEIGHTS, "header is not valid JSON at byte %d: %s",
                         cause.position, cause.text);
    }
    if (!json_is_object(file->header))
        return error_set(err, ERR_BAD_WEIGHTS, "header is not a JSON object");
    *data_begin = 8 + size;
    return 0;
}

static int read_dtype(struct tensor_view *t, const json_t *value, struct error *err)
{
    if (!json_is_string(value))
        return bad(err, t->name, "dtype is missing or not a string");
    for (int d = 0; d < DTYPES; d++) {
        if (strcmp(json_string_value(value), dtypes[d].name) == 0) {
            t->dtype = (enum dtype)d;
            return 0;
        }
    }
    return error_set(err, ERR_BAD_WEIGHTS, "tensor \"%s\": unknown dtype \"%.32s\"", t->name,
                     name_is_plain(json_string_value(value)) ? json_string_value(value) : "?");
}

static int read_shape(struct tensor_view *t, const json_t *value, struct error *err)
{
    if (!json_is_array(value))
        return bad(err, t->name, "shape is missing or not an array");
    size_t rank = json_array_size(value);
    if (rank > SAFETENSORS_MAX_RANK)
        return error_set(err, ERR_BAD_WEIGHTS, "tensor \"%s\": rank %zu is over the limit of %d",
                         t->name, rank, SAFETENSORS_MAX_RANK);
    t->rank = (int)rank;
    t->elements = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_t *item = json_array_get(value, i);
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return bad(err, t->name, "shape is not made of non-negative integers");
        t->shape[i] = json_integer_value(item);
        if (__builtin_mul_overflow(t->elements, t->shape[i], &t->elements))
            return bad(err, t->name, "shape overflows");
    }
    if (__builtin_mul_overflow((uint64_t)t->elements, dtype_size(t->dtype), &t->bytes))
        return bad(err, t->name, "shape overflows");
    return 0;
}

static int read_offsets(struct tensor_view *t, const json_t *value, const uint8_t *data,
                        size_t data_length, struct error *err)
{
    if (!json_is_array(value) || json_array_size(value) != 2 ||
        !json_is_integer(json_array_get(value, 0)) || !json_is_integer(json_array_get(value, 1)))
        return bad(err, t->name, "data_offsets is not a pair of integers");
    int64_t begin = json_integer_value(json_array_get(value, 0));
    int64_t end = json_integer_value(json_array_get(value, 1));
    if (begin < 0 || end < begin)
        return bad(err, t->name, "data_offsets do not have 0 <= begin <= end");
    if ((uint64_t)end > data_length)
        return error_set(err, ERR_BAD_WEIGHTS,
                         "tensor \"%s\": data_offsets end at %lld, the data at %zu (truncated?)",
                         t->name, (long long)end, data_length);
    if ((uint64_t)(end - begin) != t->bytes)
        return error_set(err, ERR_BAD_WEIGHTS,
                         "tensor \"%s\": data_offsets hold %lld bytes, dtype and shape need %zu",
                         t->name, (long long)(end - begin), t->bytes);
    t->data = data + begin;
    return 0;
}

static int read_tensor(struct tensor_view *t, const char *name, json_t *value, const uint8_t *data,
                       size_t data_length, struct error *err)
{
    if (!name_is_plain(name))
        return error_set(err, ERR_BAD_WEIGHTS,
                         "a tensor's name is empty, longer than %d bytes or has control characters",
                         SAFETENSORS_MAX_NAME);
    *t = (struct tensor_view){.name = name};
    if (!json_is_object(value))
        return bad(err, name, "its entry is not an object");
    if (read_dtype(t, json_object_get(value, "dtype"), err) ||
        read_shape(t, json_object_get(value, "shape"), err) ||
        read_offsets(t, json_object_get(value, "data_offsets"), data, data_length, err))
        return -1;
    if (json_object_size(value) != 3)
        return bad(err, name, "its entry has fields other than dtype, shape and data_offsets");
    return 0;
}

static int compare_places(const void *a, const void *b)
{
    const struct tensor_view *x = a, *y = b;
    if (x->data != y->data)
        return (const uint8_t *)x->data < (const uint8_t *)y->data ? -1 : 1;
    if (x->bytes != y->bytes) /* empty tensors first, so that they do not look like overlaps */
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int compare_names(const void *a, const void *b)
{
    const struct tensor_view *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int compare_keys(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return strcmp(x->key, y->key);
}

/* Expects the tensors by offset: each begins where the one before it ends. */
static int check_coverage(const struct safetensors *file, const uint8_t *data, size_t data_length,
                          struct error *err)
{
    const uint8_t *place = data;
    for (size_t i = 0; i < file->count; i++) {
        const struct tensor_view *t = &file->tensors[i];
        if ((const uint8_t *)t->data < place)
            return error_set(err, ERR_BAD_WEIGHTS,
                             "tensor \"%s\": its data overlap those of \"%s\"", t->name,
                             file->tensors[i - 1].name);
        if ((const uint8_t *)t->data > place)
            return error_set(err, ERR_BAD_WEIGHTS,
                             "tensor \"%s\": %zu bytes before its data belong to no tensor",
                             t->name, (size_t)((const uint8_t *)t->data - place));
        place += t->bytes;
    }
    size_t covered = (size_t)(place - data);
    if (covered != data_length)
        return error_set(err, ERR_BAD_WEIGHTS, "%zu bytes at the end belong to no tensor",
                         data_length - covered);
    return 0;
}

static int read_metadata(struct safetensors *file, json_t *object, struct error *err)
{
    if (!json_is_object(object))
        return error_set(err, ERR_BAD_WEIGHTS, "__metadata__ is not an object");
    file->metadata = calloc(json_object_size(object) + 1, sizeof *file->metadata);
    if (!file->metadata)
        return error_set(err, ERR_MEMORY, "out of memory for the metadata");
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value)
    {
        if (!name_is_plain(key))
            return error_set(err, ERR_BAD_WEIGHTS,
                             "a __metadata__ key is empty, too long or has control characters");
        if (!json_is_string(value))
            return error_set(err, ERR_BAD_WEIGHTS, "__metadata__ \"%s\" is not a string", key);
        file->metadata[file->metadata_count++] = (struct entry){key, json_string_value(value)};
    }
    qsort(file->metadata, file->metadata_count, sizeof *file->metadata, compare_keys);
    return 0;
}

static int read_tensors(struct safetensors *file, uint64_t data_begin, struct error *err)
{
    const uint8_t *data = file->bytes + data_begin;
    size_t data_length = file->length - data_begin;
    size_t entries = json_object_size(file->header);
    if (entries > SAFETENSORS_MAX_TENSORS)
        return error_set(err, ERR_BAD_WEIGHTS, "%zu tensors are over the limit of %d", entries,
                         SAFETENSORS_MAX_TENSORS);
    file->tensors = calloc(entries + 1, sizeof *file->tensors);
    file->by_name = calloc(entries + 1, sizeof *file->by_name);
    if (!file->tensors || !file->by_name)
        return error_set(err, ERR_MEMORY, "out of memory for %zu tensors", entries);
    const char *name;
    json_t *value;
    json_object_foreach(file->header, name, value)
    {
        if (strcmp(name, "__metadata__") == 0) {
            if (read_metadata(file, value, err))
                return -1;
            continue;
        }
        if (read_tensor(&file->tensors[file->count], name, value, data, data_length, err))
            return -1;
        file->count++;
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, compare_places);
    for (size_t i = 0; i < file->count; i++)
        file->by_name[i] = &file->tensors[i];
    qsort(file->by_name, file->count, sizeof *file->by_name, compare_names);
    return check_coverage(file, data, data_length, err);
}

/* ---- open and close ---- */

static int parse(struct safetensors *file, const void *bytes, size_t length, struct error *err)
{
    uint64_t data_begin;
    file->bytes = bytes;
    file->length = length;
    if (read_header(file, &data_begin, err))
        return -1;
    return read_tensors(file, data_begin, err);
}

int safetensors_parse(struct safetensors **out, const void *bytes, size_t length, struct error *err)
{
    *out = NULL;
    struct safetensors *file = calloc(1, sizeof *file);
    if (!file)
        return error_set(err, ERR_MEMORY, "out of memory");
    if (parse(file, bytes, length, err)) {
        safetensors_close(file);
        return -1;
    }
    *out = file;
    return 0;
}

int safetensors_open(struct safetensors **out, const char *path, struct error *err)
{
    int rc = 0;
    *out = NULL;
    struct safetensors *file = calloc(1, sizeof *file);
    if (!file)
        return error_set(err, ERR_MEMORY, "out of memory");
    TRY(mapped_open(&file->map, path, err));
    rc = parse(file, file->map.bytes, file->map.length, err);
    if (rc)
        error_prefix(err, "%s", path);
done:
    if (rc) {
        safetensors_close(file);
        return rc;
    }
    *out = file;
    return 0;
}

void safetensors_close(struct safetensors *file)
{
    if (!file)
        return;
    free(file->metadata);
    free(file->by_name);
    free(file->tensors);
    json_decref(file->header);
    mapped_close(&file->map);
    free(file);
}

/* ---- access ---- */

size_t safetensors_count(const struct safetensors *file)
{
    return file->count;
}

const struct tensor_view *safetensors_at(const struct safetensors *file, size_t index)
{
    return index < file->count ? &file->tensors[index] : NULL;
}

const struct tensor_view *safetensors_find(const struct safetensors *file, const char *name)
{
    const struct tensor_view key = {.name = name};
    const struct tensor_view *pointer = &key;
    const struct tensor_view **found =
        bsearch(&pointer, file->by_name, file->count, sizeof *file->by_name, compare_names);
    return found ? *found : NULL;
}

const char *safetensors_metadata(const struct safetensors *file, const char *key)
{
    if (!file->metadata)
        return NULL;
    const struct entry wanted = {key, NULL};
    const struct entry *found = bsearch(&wanted, file->metadata, file->metadata_count,
                                        sizeof *file->metadata, compare_keys);
    return found ? found->value : NULL;
}

int safetensors_metadata_at(const struct safetensors *file, size_t index, const char **key,
                            const char **value)
{
    if (index >= file->metadata_count)
        return -1;
    *key = file->metadata[index].key;
    *value = file->metadata[index].value;
    return 0;
}

const void *safetensors_bytes(const struct safetensors *file, size_t *length)
{
    *length = file->length;
    return file->bytes;
}

void safetensors_release_pages(const struct safetensors *file)
{
    mapped_release_pages(&file->map); /* nothing where the bytes are the caller's */
}

/* ---- conversion ---- */

/* Element i of packed, perhaps unaligned values, as a float. */
#define DEFINE_WIDEN(name, type)                                                                   \
    VECTORIZED static void name(float *out, const void *in, size_t count)                          \
    {                                                                                              \
        const unsigned char *bytes = in;                                                           \
        for (size_t i = 0; i < count; i++) {                                                       \
            type value;                                                                            \
            memcpy(&value, bytes + i * sizeof value, sizeof value);                                \
            out[i] = (float)value;                                                                 \
        }                                                                                          \
    }

DEFINE_WIDEN(f64_to_f32, double)
DEFINE_WIDEN(i64_to_f32, int64_t)
DEFINE_WIDEN(i32_to_f32, int32_t)
DEFINE_WIDEN(i16_to_f32, int16_t)
DEFINE_WIDEN(i8_to_f32, int8_t)
DEFINE_WIDEN(u8_to_f32, uint8_t)

static void f32_to_f32(float *out, const void *in, size_t count)
{
    if (count)
        memcpy(out, in, count * sizeof *out);
}

static void bool_to_f32(float *out, const void *in, size_t count)
{
    const unsigned char *bytes = in;
    for (size_t i = 0; i < count; i++)
        out[i] = bytes[i] ? 1 : 0;
}

static void (*const to_f32[DTYPES])(float *out, const void *in, size_t count) = {
    [DTYPE_F64] = f64_to_f32,   [DTYPE_F32] = f32_to_f32, [DTYPE_F16] = f16_to_f32,
    [DTYPE_BF16] = bf16_to_f32, [DTYPE_I64] = i64_to_f32, [DTYPE_I32] = i32_to_f32,
    [DTYPE_I16] = i16_to_f32,   [DTYPE_I8] = i8_to_f32,   [DTYPE_U8] = u8_to_f32,
    [DTYPE_BOOL] = bool_to_f32,
};

int tensor_to_f32(float *out, const struct tensor_view *t, struct error *err)
{
    if ((unsigned)t->dtype >= DTYPES)
        return error_set(err, ERR_ARGUMENT, "tensor \"%s\": no such dtype", t->name);
    to_f32[t->dtype](out, t->data, (size_t)t->elements);
    if (t->dtype != DTYPE_F64)
        return 0;
    for (int64_t i = 0; i < t->elements; i++) {
        double value;
        memcpy(&value, (const unsigned char *)t->data + (size_t)i * sizeof value, sizeof value);
        if (isinf(out[i]) && !isinf(value))
            return error_set(err, ERR_BAD_WEIGHTS, "tensor \"%s\": element %lld does not fit F32",
                             t->name, (long long)i);
    }
    return 0;
}
