#include "model/convert/storage.h"

#include <stdlib.h>
#include <string.h>

struct storage_type {
    const char *name;
    unsigned char size; /* bytes of an element, needed to step over it in a legacy stream */
    enum dtype dtype;   /* DTYPES where safetensors has none */
};

/* Classes of the modules torch and torch.cuda. */
static const struct storage_type types[] = {
    {"FloatStorage", 4, DTYPE_F32},     {"DoubleStorage", 8, DTYPE_F64},
    {"HalfStorage", 2, DTYPE_F16},      {"BFloat16Storage", 2, DTYPE_BF16},
    {"LongStorage", 8, DTYPE_I64},      {"IntStorage", 4, DTYPE_I32},
    {"ShortStorage", 2, DTYPE_I16},     {"CharStorage", 1, DTYPE_I8},
    {"ByteStorage", 1, DTYPE_U8},       {"BoolStorage", 1, DTYPE_BOOL},
    {"ComplexFloatStorage", 8, DTYPES}, {"ComplexDoubleStorage", 16, DTYPES},
    {"QInt8Storage", 1, DTYPES},        {"QUInt8Storage", 1, DTYPES},
    {"QInt32Storage", 4, DTYPES},
};

/* How much of a key a message shows; keys are digits unless someone made them up. */
static int shown(const struct pickle_text *key)
{
    int n = 0;
    while ((size_t)n < key->length && n < 40 && key->at[n] > 0x20 && key->at[n] < 0x7f)
        n++;
    return n;
}

static int bad(struct error *err, const struct pickle_text *key, const char *what)
{
    return error_set(err, ERR_BAD_WEIGHTS, "storage \"%.*s\": %s", shown(key), key->at, what);
}

static int compare_storages(const void *a, const void *b)
{
    const struct storage *x = a, *y = b;
    size_t n = x->key.length < y->key.length ? x->key.length : y->key.length;
    int order = n ? memcmp(x->key.at, y->key.at, n) : 0;
    return order ? order : (x->key.length > y->key.length) - (x->key.length < y->key.length);
}

static struct storage *find(const struct storages *s, const struct pickle_text *key)
{
    const struct storage wanted = {.key = *key};
    return bsearch(&wanted, s->at, s->count, sizeof *s->at, compare_storages);
}

/* ---- what the object refers to ---- */

static const struct storage_type *find_type(const struct pickle_value *value)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (pickle_global_is(value, "torch", types[i].name) ||
            pickle_global_is(value, "torch.cuda", types[i].name))
            return &types[i];
    return NULL;
}

/* Reads ('storage', class, key, device, elements[, view]); `storage->key.at` NULL if it is none. */
static int read_id(struct storage *storage, const struct pickle_value *id, struct error *err)
{
    const struct pickle_value *key = pickle_item(id, 2), *elements = pickle_item(id, 4);
    *storage = (struct storage){.type = find_type(pickle_item(id, 1))};
    if (!pickle_text_is(pickle_item(id, 0), "storage"))
        return 0;
    if (!key || key->kind != PICKLE_TEXT || !elements || elements->kind != PICKLE_INT ||
        elements->integer < 0)
        return error_set(err, ERR_BAD_WEIGHTS, "a reference to a storage is malformed");
    storage->key = key->text;
    storage->elements = elements->integer;
    int64_t bytes;
    if (storage->type && __builtin_mul_overflow(storage->elements, storage->type->size, &bytes))
        return bad(err, &storage->key, "its size overflows");
    return 0;
}

/* Sorts, and leaves one of each key; they must agree on what it is. */
static int unite(struct storages *s, struct error *err)
{
    if (s->count == 0)
        return 0;
    qsort(s->at, s->count, sizeof *s->at, compare_storages);
    size_t kept = 1;
    for (size_t i = 1; i < s->count; i++) {
        const struct storage *last = &s->at[kept - 1];
        if (compare_storages(last, &s->at[i]) != 0)
            s->at[kept++] = s->at[i];
        else if (last->type != s->at[i].type || last->elements != s->at[i].elements)
            return bad(err, &last->key, "references to it disagree on type or size");
    }
    s->count = kept;
    return 0;
}

int storages_collect(struct storages *s, const struct pickle *pickle, struct error *err)
{
    size_t count;
    const struct pickle_value *const *references = pickle_references(pickle, &count);
    s->at = calloc(count + 1, sizeof *s->at);
    if (!s->at)
        return error_set(err, ERR_MEMORY, "out of memory for %zu storages", count);
    for (size_t i = 0; i < count; i++) {
        if (read_id(&s->at[s->count], references[i]->reference, err))
            return -1;
        if (s->at[s->count].key.at)
            s->count++;
    }
    return unite(s, err);
}

void storages_free(struct storages *s)
{
    free(s->inflated);
    free(s->at);
    *s = (struct storages){0};
}

/* ---- where they are ---- */

int storages_find_in_zip(struct storages *s, const struct zip *zip, const char *prefix,
                         size_t prefix_length, struct error *err)
{
    static const char folder[] = "data/";
    char path[ZIP_MAX_NAME];
    if (prefix_length + sizeof folder > sizeof path)
        return error_set(err, ERR_BAD_WEIGHTS, "zip: its folder's name is too long");
    memcpy(path, prefix, prefix_length);
    memcpy(path + prefix_length, folder, sizeof folder - 1);
    prefix_length += sizeof folder - 1;
    for (size_t i = 0; i < s->count; i++) {
        struct storage *storage = &s->at[i];
        storage->entry = zip_find(zip, path, prefix_length, storage->key.at, storage->key.length);
        if (!storage->entry)
            return bad(err, &storage->key, "not in the archive");
        if (storage->type &&
            storage->entry->size != (uint64_t)storage->elements * storage->type->size)
            return bad(err, &storage->key, "its entry in the archive has another size");
    }
    return 0;
}

int storages_find_in_stream(struct storages *s, const struct pickle_value *keys,
                            const uint8_t *bytes, size_t at, size_t length, struct error *err)
{
    if (keys->kind != PICKLE_LIST)
        return error_set(err, ERR_BAD_WEIGHTS, "the list of storages is not a list");
    for (size_t i = 0; i < keys->items.count; i++) {
        const struct pickle_value *key = pickle_item(keys, i);
        if (key->kind != PICKLE_TEXT)
            return error_set(err, ERR_BAD_WEIGHTS, "a storage's key is not text");
        struct storage *storage = find(s, &key->text);
        if (!storage || storage->bytes)
            return bad(err, &key->text, "listed twice, or without use");
        if (!storage->type)
            return error_set(err, ERR_UNSUPPORTED, "storage \"%.*s\": elements of unknown type",
                             shown(&key->text), key->text.at);
        int64_t elements;
        if (length - at < sizeof elements)
            return bad(err, &key->text, "cut off");
        memcpy(&elements, bytes + at, sizeof elements);
        at += sizeof elements;
        if (elements != storage->elements)
            return bad(err, &key->text, "another number of elements than its references say");
        size_t size = (size_t)elements * storage->type->size;
        if (length - at < size)
            return bad(err, &key->text, "cut off");
        storage->bytes = bytes + at;
        at += size;
    }
    for (size_t i = 0; i < s->count; i++)
        if (!s->at[i].bytes)
            return bad(err, &s->at[i].key, "not in the file");
    return 0;
}

/* ---- use ---- */

/* A legacy id may end in (key, offset, elements): only that part of the storage is meant. */
static int apply_view(struct storage_slice *slice, const struct pickle_value *view,
                      const struct pickle_text *key, struct error *err)
{
    if (!view || view->kind == PICKLE_NONE)
        return 0;
    const struct pickle_value *offset = pickle_item(view, 1), *elements = pickle_item(view, 2);
    if (!offset || offset->kind != PICKLE_INT || offset->integer < 0 || !elements ||
        elements->kind != PICKLE_INT || elements->integer < 0 ||
        offset->integer > slice->elements || elements->integer > slice->elements - offset->integer)
        return bad(err, key, "a view of it is malformed or larger than it");
    slice->offset = offset->integer;
    slice->elements = elements->integer;
    return 0;
}

int storages_slice(struct storage_slice *out, const struct storages *s,
                   const struct pickle_value *reference, struct error *err)
{
    struct storage id;
    if (!reference || reference->kind != PICKLE_REFERENCE)
        return error_set(err, ERR_BAD_WEIGHTS, "a tensor without a storage");
    if (read_id(&id, reference->reference, err))
        return -1;
    if (!id.key.at)
        return error_set(err, ERR_BAD_WEIGHTS, "a tensor without a storage");
    if (!id.type || id.type->dtype == DTYPES)
        return error_set(err, ERR_UNSUPPORTED,
                         "storage \"%.*s\": elements of a type that "
                         "safetensors does not have",
                         shown(&id.key), id.key.at);
    const struct storage *storage = find(s, &id.key);
    if (!storage)
        return bad(err, &id.key, "not in the file");
    *out = (struct storage_slice){.storage = (size_t)(storage - s->at),
                                  .dtype = storage->type->dtype,
                                  .elements = storage->elements};
    return apply_view(out, pickle_item(reference->reference, 5), &id.key, err);
}

int storages_read(const uint8_t **bytes, struct storages *s, size_t index, struct error *err)
{
    struct storage *storage = &s->at[index];
    if (!storage->entry) {
        *bytes = storage->bytes;
        return 0;
    }
    if (storage->checked && !storage->entry->deflated) {
        *bytes = storage->entry->bytes;
        return 0;
    }
    if (s->inflated && s->inflated_index == index) {
        *bytes = s->inflated;
        return 0;
    }
    uint8_t *owned;
    if (zip_read(bytes, &owned, storage->entry, err))
        return -1;
    storage->checked = true;
    if (owned) {
        free(s->inflated);
        s->inflated = owned;
        s->inflated_index = index;
    }
    return 0;
}
