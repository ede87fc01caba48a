#include "model/convert/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#include "model/base/mapped.h"
#include "model/convert/storage.h"

struct checkpoint {
    struct mapped map; /* empty where the bytes are the caller's */
    const uint8_t *bytes;
    size_t length;
    const char *container;
    struct zip *zip;       /* NULL in a legacy stream */
    uint8_t *pickle_bytes; /* inflated, where the archive was compressed */
    struct pickle *pickle; /* of the object */
    struct storages storages;
    uint8_t *scratch; /* the last tensor that had to be gathered */
};

static int bad(struct error *err, const char *what)
{
    return error_set(err, ERR_BAD_WEIGHTS, "%s", what);
}

/* ---- the zip archive ---- */

/* The one "<folder>/data.pkl"; *folder is the length of "<folder>/". */
static int find_object(const struct zip_entry **out, size_t *folder, const struct zip *zip,
                       struct error *err)
{
    static const char name[] = "data.pkl";
    const size_t n = sizeof name - 1;
    *out = NULL;
    for (size_t i = 0; i < zip_count(zip); i++) {
        const struct zip_entry *entry = zip_at(zip, i);
        if (entry->name_length < n || memcmp(entry->name + entry->name_length - n, name, n) != 0)
            continue;
        const char *slash = memchr(entry->name, '/', entry->name_length);
        size_t prefix = slash ? (size_t)(slash - entry->name) + 1 : 0;
        if (prefix + n != entry->name_length)
            continue;
        if (*out)
            return bad(err, "zip: more than one data.pkl");
        *out = entry;
        *folder = prefix;
    }
    return *out ? 0 : bad(err, "zip: no data.pkl, so torch.save did not write it");
}

/* Written since PyTorch 2.1; before that all writers were little-endian. */
static int check_byte_order(const struct zip *zip, const char *prefix, size_t prefix_length,
                            struct error *err)
{
    const struct zip_entry *entry = zip_find(zip, prefix, prefix_length, "byteorder", 9);
    const uint8_t *bytes;
    uint8_t *owned;
    if (!entry)
        return 0;
    if (zip_read(&bytes, &owned, entry, err))
        return -1;
    bool little = entry->size == 6 && memcmp(bytes, "little", 6) == 0;
    free(owned);
    return little ? 0 : error_set(err, ERR_UNSUPPORTED, "tensors are not little-endian");
}

static const struct zip_limits zip_limits = {
    .fault = ERR_BAD_WEIGHTS, .max_entries = 1 << 17, .max_inflated = 1 << 29, .zip64 = true};

static int parse_zip(struct checkpoint *c, struct error *err)
{
    const struct zip_entry *object;
    size_t folder = 0;
    const uint8_t *bytes;
    c->container = "zip";
    if (zip_open(&c->zip, c->bytes, c->length, &zip_limits, err) ||
        find_object(&object, &folder, c->zip, err) ||
        check_byte_order(c->zip, object->name, folder, err) ||
        zip_read(&bytes, &c->pickle_bytes, object, err) ||
        pickle_parse(&c->pickle, bytes, object->size, NULL, err) ||
        storages_collect(&c->storages, c->pickle, err))
        return -1;
    return storages_find_in_zip(&c->storages, c->zip, object->name, folder, err);
}

/* ---- the legacy stream ---- */

static const unsigned char legacy_magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9,
                                             0x20, 0x6a, 0xa8, 0x50, 0x19};

/* Parses the next pickle of the stream. */
static int next_pickle(struct pickle **out, size_t *at, const struct checkpoint *c,
                       const char *what, struct error *err)
{
    size_t used;
    if (pickle_parse(out, c->bytes + *at, c->length - *at, &used, err))
        return error_prefix(err, "%s, which begins at byte %zu", what, *at);
    *at += used;
    return 0;
}

static int check_magic(const struct pickle_value *value, struct error *err)
{
    if (value->kind == PICKLE_LONG && value->text.length == sizeof legacy_magic &&
        memcmp(value->text.at, legacy_magic, sizeof legacy_magic) == 0)
        return 0;
    return bad(err, "a pickle, but not one that torch.save began");
}

static int check_protocol(const struct pickle_value *value, struct error *err)
{
    if (value->kind == PICKLE_INT && value->integer == 1001)
        return 0;
    return error_set(err, ERR_UNSUPPORTED, "legacy stream of another protocol than 1001");
}

static int check_system(const struct pickle_value *value, struct error *err)
{
    const struct pickle_value *little = pickle_get(value, "little_endian");
    if (!little || little->kind != PICKLE_BOOL || little->integer)
        return 0;
    return error_set(err, ERR_UNSUPPORTED, "tensors are not little-endian");
}

static int parse_legacy(struct checkpoint *c, struct error *err)
{
    static const struct {
        const char *what;
        int (*check)(const struct pickle_value *value, struct error *err);
    } heads[] = {
        {"the magic number", check_magic},
        {"the protocol", check_protocol},
        {"the system information", check_system},
    };
    size_t at = 0;
    struct pickle *pickle = NULL;
    int rc = 0;
    c->container = "legacy";
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        TRY(next_pickle(&pickle, &at, c, heads[i].what, err));
        TRY(heads[i].check(pickle_root(pickle), err));
        pickle_free(pickle);
        pickle = NULL;
    }
    TRY(next_pickle(&c->pickle, &at, c, "the object", err));
    TRY(storages_collect(&c->storages, c->pickle, err));
    TRY(next_pickle(&pickle, &at, c, "the list of storages", err));
    rc = storages_find_in_stream(&c->storages, pickle_root(pickle), c->bytes, at, c->length, err);
done:
    pickle_free(pickle);
    return rc;
}

/* ---- open and close ---- */

static int parse(struct checkpoint *c, const uint8_t *bytes, size_t length, struct error *err)
{
    c->bytes = bytes;
    c->length = length;
    if (length >= 4 && memcmp(bytes, "PK\3\4", 4) == 0)
        return parse_zip(c, err);
    if (length >= 2 && bytes[0] == 0x80)
        return parse_legacy(c, err);
    if (length >= 9 && bytes[8] == '{')
        return bad(err, "not a file of torch.save (safetensors already?)");
    return bad(err, "not a file of torch.save: neither a zip archive nor a pickle");
}

int checkpoint_parse(struct checkpoint **out, const void *bytes, size_t length, struct error *err)
{
    *out = NULL;
    struct checkpoint *c = calloc(1, sizeof *c);
    if (!c)
        return error_set(err, ERR_MEMORY, "out of memory");
    if (parse(c, bytes, length, err)) {
        checkpoint_close(c);
        return -1;
    }
    *out = c;
    return 0;
}

int checkpoint_open(struct checkpoint **out, const char *path, struct error *err)
{
    int rc = 0;
    *out = NULL;
    struct checkpoint *c = calloc(1, sizeof *c);
    if (!c)
        return error_set(err, ERR_MEMORY, "out of memory");
    TRY(mapped_open(&c->map, path, err));
    rc = parse(c, c->map.bytes, c->map.length, err);
    if (rc)
        error_prefix(err, "%s", path);
done:
    if (rc) {
        checkpoint_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

void checkpoint_close(struct checkpoint *c)
{
    if (!c)
        return;
    free(c->scratch);
    storages_free(&c->storages);
    pickle_free(c->pickle);
    free(c->pickle_bytes);
    zip_close(c->zip);
    mapped_close(&c->map);
    free(c);
}

const char *checkpoint_container(const struct checkpoint *c)
{
    return c->container;
}

size_t checkpoint_length(const struct checkpoint *c)
{
    return c->length;
}

const struct pickle_value *checkpoint_root(const struct checkpoint *c)
{
    return pickle_root(c->pickle);
}

void checkpoint_release_pages(const struct checkpoint *c)
{
    mapped_release_pages(&c->map);
}

/* ---- tensors ---- */

/* Functions of torch._utils that make a tensor of (storage, offset, size, stride, ...). */
static bool makes_tensor(const struct pickle_value *function)
{
    return pickle_global_is(function, "torch._utils", "_rebuild_tensor_v2") ||
           pickle_global_is(function, "torch._utils", "_rebuild_tensor");
}

/*
 * The arguments that describe the tensor, through the wrappers a parameter or subclass adds; NULL
 * where the value is no tensor.
 */
static const struct pickle_value *tensor_arguments(const struct pickle_value *value)
{
    for (int wrappers = 0; wrappers < 4 && value && value->kind == PICKLE_CALL; wrappers++) {
        const struct pickle_value *function = value->call->function;
        const struct pickle_value *arguments = value->call->arguments;
        if (makes_tensor(function))
            return arguments;
        if (pickle_global_is(function, "torch._tensor", "_rebuild_from_type_v2"))
            return makes_tensor(pickle_item(arguments, 0)) ? pickle_item(arguments, 2) : NULL;
        if (!pickle_global_is(function, "torch._utils", "_rebuild_parameter") &&
            !pickle_global_is(function, "torch._utils", "_rebuild_parameter_with_state"))
            return NULL;
        value = pickle_item(arguments, 0);
    }
    return NULL;
}

bool checkpoint_is_tensor(const struct pickle_value *value)
{
    return tensor_arguments(value) != NULL;
}

/* `rank` non-negative integers of a tuple (or list, or torch.Size). */
static int read_integers(int64_t out[SAFETENSORS_MAX_RANK], int *rank,
                         const struct pickle_value *value, struct error *err)
{
    if (value && value->kind == PICKLE_CALL) /* torch.Size(tuple) */
        value = pickle_item(value->call->arguments, 0);
    if (!value || (value->kind != PICKLE_TUPLE && value->kind != PICKLE_LIST))
        return bad(err, "size or stride is not a tuple");
    if (value->items.count > SAFETENSORS_MAX_RANK)
        return bad(err, "more dimensions than allowed");
    *rank = (int)value->items.count;
    for (int i = 0; i < *rank; i++) {
        const struct pickle_value *item = value->items.at[i];
        if (item->kind != PICKLE_INT || item->integer < 0)
            return bad(err, "size or stride is not made of non-negative integers");
        out[i] = item->integer;
    }
    return 0;
}

/* Refuses what leaves the `available` elements of the storage, or uses any of them twice over. */
static int check_extent(struct checkpoint_tensor *t, int64_t available, struct error *err)
{
    int64_t last = t->offset, reach;
    t->elements = 1;
    for (int i = 0; i < t->rank; i++)
        if (__builtin_mul_overflow(t->elements, t->shape[i], &t->elements))
            return bad(err, "size overflows");
    if (t->elements > 0)
        for (int i = 0; i < t->rank; i++)
            if (__builtin_mul_overflow(t->shape[i] - 1, t->stride[i], &reach) ||
                __builtin_add_overflow(last, reach, &last))
                return bad(err, "size and stride overflow");
    if (t->offset > available || (t->elements > 0 && last >= available))
        return bad(err, "reaches past the end of its storage");
    if (t->elements > available)
        return error_set(err, ERR_UNSUPPORTED, "repeats elements of its storage");
    t->bytes = (size_t)t->elements * dtype_size(t->dtype); /* no more than the file has */
    return 0;
}

int checkpoint_tensor(struct checkpoint_tensor *out, const struct checkpoint *c,
                      const struct pickle_value *value, struct error *err)
{
    const struct pickle_value *arguments = tensor_arguments(value);
    const struct pickle_value *offset = pickle_item(arguments, 1);
    struct checkpoint_tensor t = {0};
    struct storage_slice slice;
    int stride_rank = 0;
    if (!arguments)
        return bad(err, "not a tensor");
    if (storages_slice(&slice, &c->storages, pickle_item(arguments, 0), err))
        return -1;
    if (!offset || offset->kind != PICKLE_INT || offset->integer < 0)
        return bad(err, "offset is not a non-negative integer");
    if (read_integers(t.shape, &t.rank, pickle_item(arguments, 2), err) ||
        read_integers(t.stride, &stride_rank, pickle_item(arguments, 3), err))
        return -1;
    if (stride_rank != t.rank)
        return bad(err, "size and stride have different lengths");
    t.dtype = slice.dtype;
    t.storage = slice.storage;
    t.offset = offset->integer;
    if (check_extent(&t, slice.elements, err))
        return -1;
    t.offset += slice.offset;
    *out = t;
    return 0;
}

static bool is_contiguous(const struct checkpoint_tensor *t)
{
    int64_t expected = 1;
    for (int i = t->rank; i-- > 0;) {
        if (t->shape[i] != 1 && t->stride[i] != expected)
            return false;
        expected *= t->shape[i];
    }
    return true;
}

static void gather(uint8_t *out, const uint8_t *in, const struct checkpoint_tensor *t)
{
    const size_t size = dtype_size(t->dtype);
    int64_t index[SAFETENSORS_MAX_RANK] = {0};
    int64_t place = t->offset;
    for (int64_t n = 0; n < t->elements; n++) {
        memcpy(out, in + (size_t)place * size, size);
        out += size;
        for (int i = t->rank; i-- > 0;) {
            place += t->stride[i];
            if (++index[i] < t->shape[i])
                break;
            place -= t->shape[i] * t->stride[i];
            index[i] = 0;
        }
    }
}

int checkpoint_read(const void **data, struct checkpoint *c, const struct checkpoint_tensor *t,
                    struct error *err)
{
    const uint8_t *storage;
    if (storages_read(&storage, &c->storages, t->storage, err))
        return -1;
    if (t->elements == 0 || is_contiguous(t)) {
        *data = storage + (size_t)t->offset * dtype_size(t->dtype);
        return 0;
    }
    uint8_t *scratch = realloc(c->scratch, t->bytes);
    if (!scratch)
        return error_set(err, ERR_MEMORY, "out of memory for a tensor of %zu bytes", t->bytes);
    c->scratch = scratch;
    gather(scratch, storage, t);
    *data = scratch;
    return 0;
}
