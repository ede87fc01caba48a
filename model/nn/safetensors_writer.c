#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/base/buffer.h"
#include "model/base/half.h"
#include "model/nn/safetensors.h"

struct entry {
    char *key, *value; /* owned */
};

struct declared {
    char *name; /* owned */
    enum dtype dtype;
    int rank;
    int64_t shape[SAFETENSORS_MAX_RANK];
    int64_t elements;
    size_t bytes;
    uint64_t place; /* in the file; set when the layout is fixed */
    bool written;
};

struct safetensors_writer {
    char *path, *temporary; /* owned */
    int fd;                 /* of the temporary file; -1 where there is none */
    bool fixed;             /* header written: no more declarations */
    bool created;           /* the temporary file is there */
    bool committed;
    struct entry *metadata;
    size_t metadata_count, metadata_room;
    struct declared *tensors; /* in order of declaration, then of layout */
    size_t count, room;
    struct declared **by_name; /* sorted, once the layout is fixed */
};

static int out_of_memory(struct error *err)
{
    return error_set(err, ERR_MEMORY, "out of memory writing weights");
}

static int io_error(const struct safetensors_writer *w, const char *what, struct error *err)
{
    return error_set(err, ERR_IO, "%s: %s: %s", w->temporary, what, strerror(errno));
}

/* The array with room for one more element of `size` bytes; on failure NULL, the old one stays. */
static void *grow(void *array, size_t *room, size_t count, size_t size)
{
    if (count < *room)
        return array;
    size_t wanted = *room ? *room * 2 : 64;
    array = reallocarray(array, wanted, size);
    if (array)
        *room = wanted;
    return array;
}

static int open_temporary(struct safetensors_writer *w, struct error *err)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    w->fd = open(w->temporary, flags, 0666);
    if (w->fd < 0 && errno == EEXIST) {
        /* left by a process of the same id that was killed, common in containers */
        unlink(w->temporary);
        w->fd = open(w->temporary, flags, 0666);
    }
    if (w->fd < 0)
        return io_error(w, "cannot create", err);
    w->created = true;
    return 0;
}

int safetensors_writer_open(struct safetensors_writer **out, const char *path, struct error *err)
{
    int rc = 0;
    *out = NULL;
    struct safetensors_writer *w = calloc(1, sizeof *w);
    if (!w)
        return out_of_memory(err);
    w->fd = -1;
    w->path = strdup(path);
    size_t size = strlen(path) + 32;
    w->temporary = malloc(size);
    if (!w->path || !w->temporary) {
        rc = out_of_memory(err);
        goto done;
    }
    snprintf(w->temporary, size, "%s.tmp-%ld", path, (long)getpid());
    TRY(open_temporary(w, err));
done:
    if (rc) {
        safetensors_writer_close(w);
        return rc;
    }
    *out = w;
    return 0;
}

/* ---- declarations ---- */

static int check_name(const struct safetensors_writer *w, const char *name, struct error *err)
{
    size_t length = strlen(name);
    if (w->fixed)
        return error_set(err, ERR_ARGUMENT, "\"%s\" is declared after the first tensor was put",
                         name);
    if (length == 0 || length > SAFETENSORS_MAX_NAME || strcmp(name, "__metadata__") == 0)
        return error_set(err, ERR_ARGUMENT, "\"%.64s\" cannot be the name of a tensor", name);
    for (const char *p = name; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return error_set(err, ERR_ARGUMENT, "a tensor's name has control characters");
    return 0;
}

int safetensors_writer_metadata(struct safetensors_writer *w, const char *key, const char *value,
                                struct error *err)
{
    if (check_name(w, key, err))
        return -1;
    for (size_t i = 0; i < w->metadata_count; i++)
        if (strcmp(w->metadata[i].key, key) == 0)
            return error_set(err, ERR_ARGUMENT, "metadata \"%s\" is given twice", key);
    struct entry *metadata =
        grow(w->metadata, &w->metadata_room, w->metadata_count, sizeof *metadata);
    if (!metadata)
        return out_of_memory(err);
    w->metadata = metadata;
    struct entry entry = {strdup(key), strdup(value)};
    if (!entry.key || !entry.value) {
        free(entry.key);
        free(entry.value);
        return out_of_memory(err);
    }
    w->metadata[w->metadata_count++] = entry;
    return 0;
}

int safetensors_writer_declare(struct safetensors_writer *w, const char *name, enum dtype dtype,
                               int rank, const int64_t *shape, struct error *err)
{
    if (check_name(w, name, err))
        return -1;
    if ((unsigned)dtype >= DTYPES || rank < 0 || rank > SAFETENSORS_MAX_RANK)
        return error_set(err, ERR_ARGUMENT, "tensor \"%s\": no such dtype or rank", name);
    if (w->count >= SAFETENSORS_MAX_TENSORS)
        return error_set(err, ERR_ARGUMENT, "more than %d tensors", SAFETENSORS_MAX_TENSORS);
    struct declared t = {.dtype = dtype, .rank = rank, .elements = 1};
    for (int i = 0; i < rank; i++) {
        t.shape[i] = shape[i];
        if (shape[i] < 0 || __builtin_mul_overflow(t.elements, shape[i], &t.elements))
            return error_set(err, ERR_ARGUMENT, "tensor \"%s\": bad shape", name);
    }
    if (__builtin_mul_overflow((uint64_t)t.elements, dtype_size(dtype), &t.bytes))
        return error_set(err, ERR_ARGUMENT, "tensor \"%s\": bad shape", name);
    struct declared *tensors = grow(w->tensors, &w->room, w->count, sizeof *tensors);
    if (!tensors)
        return out_of_memory(err);
    w->tensors = tensors;
    t.name = strdup(name);
    if (!t.name)
        return out_of_memory(err);
    w->tensors[w->count++] = t;
    return 0;
}

/* ---- layout ---- */

/* Wider elements first, so that each tensor lies on a multiple of its element's size. */
static int compare_layout(const void *a, const void *b)
{
    const struct declared *x = a, *y = b;
    size_t sx = dtype_size(x->dtype), sy = dtype_size(y->dtype);
    return sx != sy ? (sx > sy ? -1 : 1) : strcmp(x->name, y->name);
}

static int compare_names(const void *a, const void *b)
{
    const struct declared *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int compare_keys(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static int sort_tensors(struct safetensors_writer *w, struct error *err)
{
    if (w->count)
        qsort(w->tensors, w->count, sizeof *w->tensors, compare_layout);
    free(w->by_name);
    w->by_name = calloc(w->count + 1, sizeof *w->by_name);
    if (!w->by_name)
        return out_of_memory(err);
    for (size_t i = 0; i < w->count; i++)
        w->by_name[i] = &w->tensors[i];
    qsort(w->by_name, w->count, sizeof *w->by_name, compare_names);
    for (size_t i = 1; i < w->count; i++)
        if (strcmp(w->by_name[i - 1]->name, w->by_name[i]->name) == 0)
            return error_set(err, ERR_ARGUMENT, "tensor \"%s\" is declared twice",
                             w->by_name[i]->name);
    return 0;
}

static int append_string(struct buffer *b, const char *text, struct error *err)
{
    if (buffer_append(b, "\"", 1, err))
        return -1;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        int rc;
        if (c == '"' || c == '\\')
            rc = buffer_printf(b, err, "\\%c", c);
        else if (c < 0x20)
            rc = buffer_printf(b, err, "\\u%04x", c);
        else
            rc = buffer_append(b, text, 1, err);
        if (rc)
            return rc;
    }
    return buffer_append(b, "\"", 1, err);
}

static int append_metadata(struct buffer *b, const struct safetensors_writer *w, struct error *err)
{
    if (w->metadata_count == 0)
        return 0;
    if (buffer_printf(b, err, "\"__metadata__\":{"))
        return -1;
    for (size_t i = 0; i < w->metadata_count; i++)
        if ((i && buffer_append(b, ",", 1, err)) || append_string(b, w->metadata[i].key, err) ||
            buffer_append(b, ":", 1, err) || append_string(b, w->metadata[i].value, err))
            return -1;
    return buffer_append(b, "}", 1, err);
}

static int append_tensor(struct buffer *b, const struct declared *t, uint64_t begin,
                         struct error *err)
{
    if (append_string(b, t->name, err) ||
        buffer_printf(b, err, ":{\"dtype\":\"%s\",\"shape\":[", dtype_name(t->dtype)))
        return -1;
    for (int i = 0; i < t->rank; i++)
        if (buffer_printf(b, err, "%s%lld", i ? "," : "", (long long)t->shape[i]))
            return -1;
    return buffer_printf(b, err, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)begin,
                         (unsigned long long)(begin + t->bytes));
}

/* The JSON header, and every tensor's `place` relative to the data; `*total` is their length. */
static int build_header(struct buffer *b, struct safetensors_writer *w, uint64_t *total,
                        struct error *err)
{
    uint64_t place = 0;
    if (buffer_append(b, "{", 1, err) || append_metadata(b, w, err))
        return -1;
    for (size_t i = 0; i < w->count; i++) {
        struct declared *t = &w->tensors[i];
        t->place = place;
        if (((i || w->metadata_count) && buffer_append(b, ",", 1, err)) ||
            append_tensor(b, t, place, err))
            return -1;
        if (__builtin_add_overflow(place, t->bytes, &place) || place > INT64_MAX / 2)
            return error_set(err, ERR_ARGUMENT, "the tensors are too large for one file");
    }
    *total = place;
    if (buffer_append(b, "}", 1, err))
        return -1;
    while (b->length % 8) /* the data begin at a multiple of 8 */
        if (buffer_append(b, " ", 1, err))
            return -1;
    return 0;
}

static int write_at(const struct safetensors_writer *w, const void *data, size_t length,
                    uint64_t place, struct error *err)
{
    const char *p = data;
    while (length > 0) {
        ssize_t n = pwrite(w->fd, p, length, (off_t)place);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return io_error(w, "cannot write", err);
        p += n;
        length -= (size_t)n;
        place += (size_t)n;
    }
    return 0;
}

static int fix_layout(struct safetensors_writer *w, struct error *err)
{
    int rc = 0;
    if (w->fixed)
        return 0;
    struct buffer header;
    buffer_init(&header, SAFETENSORS_MAX_HEADER);
    if (w->metadata_count)
        qsort(w->metadata, w->metadata_count, sizeof *w->metadata, compare_keys);
    TRY(sort_tensors(w, err));
    uint64_t total = 0;
    TRY(build_header(&header, w, &total, err));
    uint64_t size = header.length;
    TRY(write_at(w, &size, sizeof size, 0, err));
    TRY(write_at(w, header.bytes, header.length, 8, err));
    for (size_t i = 0; i < w->count; i++)
        w->tensors[i].place += 8 + size;
    /* a full disk shows here instead of after minutes; some file systems cannot reserve */
    if (total > 0 && fallocate(w->fd, 0, (off_t)(8 + size), (off_t)total) != 0 &&
        (errno == ENOSPC || errno == EFBIG || errno == EDQUOT)) {
        rc = io_error(w, "cannot reserve space", err);
        goto done;
    }
    w->fixed = true;
done:
    buffer_free(&header);
    return rc;
}

/* ---- data ---- */

static int find_declared(struct declared **out, struct safetensors_writer *w, const char *name,
                         struct error *err)
{
    if (fix_layout(w, err))
        return -1;
    const struct declared key = {.name = (char *)name};
    const struct declared *pointer = &key;
    struct declared **found =
        bsearch(&pointer, w->by_name, w->count, sizeof *w->by_name, compare_names);
    if (!found)
        return error_set(err, ERR_ARGUMENT, "tensor \"%s\" was not declared", name);
    if ((*found)->written)
        return error_set(err, ERR_ARGUMENT, "tensor \"%s\" is put twice", name);
    *out = *found;
    return 0;
}

int safetensors_writer_put(struct safetensors_writer *w, const char *name, const void *data,
                           size_t bytes, struct error *err)
{
    struct declared *t;
    if (find_declared(&t, w, name, err))
        return -1;
    if (bytes != t->bytes)
        return error_set(err, ERR_ARGUMENT, "tensor \"%s\": %zu bytes put, %zu declared", name,
                         bytes, t->bytes);
    if (write_at(w, data, bytes, t->place, err))
        return -1;
    t->written = true;
    return 0;
}

static void f64_from_f32(void *out, const float *in, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double value = in[i];
        memcpy((char *)out + i * sizeof value, &value, sizeof value);
    }
}

int safetensors_writer_put_f32(struct safetensors_writer *w, const char *name, const float *values,
                               int64_t count, struct error *err)
{
    static void (*const from_f32[DTYPES])(void *out, const float *in, size_t count) = {
        [DTYPE_F16] = f16_from_f32, [DTYPE_BF16] = bf16_from_f32, [DTYPE_F64] = f64_from_f32};
    struct declared *t;
    if (find_declared(&t, w, name, err))
        return -1;
    if (count != t->elements)
        return error_set(err, ERR_ARGUMENT, "tensor \"%s\": %lld values put, %lld declared", name,
                         (long long)count, (long long)t->elements);
    if (t->dtype == DTYPE_F32)
        return safetensors_writer_put(w, name, values, t->bytes, err);
    if (!from_f32[t->dtype])
        return error_set(err, ERR_ARGUMENT, "tensor \"%s\": floats put, declared %s", name,
                         dtype_name(t->dtype));
    enum { CHUNK = 4096 };
    unsigned char chunk[CHUNK * sizeof(double)];
    size_t size = dtype_size(t->dtype);
    for (int64_t i = 0; i < count; i += CHUNK) {
        size_t n = (size_t)(count - i < CHUNK ? count - i : CHUNK);
        from_f32[t->dtype](chunk, values + i, n);
        if (write_at(w, chunk, n * size, t->place + (uint64_t)i * size, err))
            return -1;
    }
    t->written = true;
    return 0;
}

/* ---- the end ---- */

/* A rename survives a crash only once the folder is on disk too; not every file system can. */
static void sync_folder(const char *path)
{
    char *folder = strdup(path);
    if (!folder)
        return;
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder ? 1 : 0] = 0;
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(folder);
}

int safetensors_writer_commit(struct safetensors_writer *w, struct error *err)
{
    if (w->committed)
        return error_set(err, ERR_ARGUMENT, "%s is committed already", w->path);
    if (fix_layout(w, err))
        return -1;
    for (size_t i = 0; i < w->count; i++)
        if (!w->tensors[i].written)
            return error_set(err, ERR_ARGUMENT, "tensor \"%s\" was declared but never put",
                             w->tensors[i].name);
    /* what could not be read back (a name that is not UTF-8, say) must never take a file's place */
    struct safetensors *check;
    if (safetensors_open(&check, w->temporary, err))
        return -1;
    safetensors_close(check);
    if (fsync(w->fd) != 0)
        return io_error(w, "cannot flush", err);
    int closed = close(w->fd);
    w->fd = -1;
    if (closed != 0)
        return io_error(w, "cannot close", err);
    if (rename(w->temporary, w->path) != 0)
        return error_set(err, ERR_IO, "%s: cannot rename from %s: %s", w->path, w->temporary,
                         strerror(errno));
    w->committed = true;
    sync_folder(w->path);
    return 0;
}

void safetensors_writer_close(struct safetensors_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    if (w->created && !w->committed)
        unlink(w->temporary);
    for (size_t i = 0; i < w->metadata_count; i++) {
        free(w->metadata[i].key);
        free(w->metadata[i].value);
    }
    for (size_t i = 0; i < w->count; i++)
        free(w->tensors[i].name);
    free(w->metadata);
    free(w->by_name);
    free(w->tensors);
    free(w->temporary);
    free(w->path);
    free(w);
}
