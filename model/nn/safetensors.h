/*
 * The safetensors weight file: eight bytes of header length (little endian), a JSON header that
 * gives every tensor's dtype, shape and place, then the tensors' bytes back to back.
 *
 * Reading is strict: what the format demands is checked before anything is handed out (ranges,
 * sizes, no overlap, no hole, no duplicate or unknown key), so a tensor_view can be used without
 * further checks. Writing is atomic (a file appears complete or not at all), and the same tensors
 * and metadata give the same bytes in whatever order they were declared.
 */
#ifndef ONESHOT_NN_SAFETENSORS_H
#define ONESHOT_NN_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

enum dtype {
    DTYPE_F64,
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_I64,
    DTYPE_I32,
    DTYPE_I16,
    DTYPE_I8,
    DTYPE_U8,
    DTYPE_BOOL, /* one byte, 0 or 1 */
    DTYPES
};

const char *dtype_name(enum dtype dtype); /* "F32"; "?" where out of range */
size_t dtype_size(enum dtype dtype);      /* bytes per element */

enum {
    SAFETENSORS_MAX_HEADER = 8 << 20, /* bytes; a header of 1000 tensors has about 100 KB */
    SAFETENSORS_MAX_TENSORS = 1 << 16,
    SAFETENSORS_MAX_NAME = 512, /* bytes of a tensor's name or a metadata key */
    SAFETENSORS_MAX_RANK = 8,
};

/* One tensor of an open file. Rank 0 is a scalar: one element. */
struct tensor_view {
    const char *name; /* UTF-8 without control characters; lives as long as the file */
    enum dtype dtype;
    int rank;
    int64_t shape[SAFETENSORS_MAX_RANK]; /* row-major, outermost first; zeros past the rank */
    int64_t elements;
    const void *data; /* little endian, not necessarily aligned; lives as long as the file */
    size_t bytes;     /* elements * dtype_size(dtype) */
};

/* ---- reading: immutable once open, may be shared by any number of threads ---- */

struct safetensors;

/*
 * Maps and checks a file. It must not be truncated while open. Errors: ERR_IO, ERR_MEMORY,
 * ERR_BAD_WEIGHTS naming file, tensor and what is wrong.
 */
int safetensors_open(struct safetensors **out, const char *path, struct error *err);

/* The same from memory. `bytes` stays the caller's and must outlive the result. */
int safetensors_parse(struct safetensors **out, const void *bytes, size_t length,
                      struct error *err);

void safetensors_close(struct safetensors *file); /* NULL is fine */

size_t safetensors_count(const struct safetensors *file);

/* Tensor `index` in the order of their data; NULL past the end. */
const struct tensor_view *safetensors_at(const struct safetensors *file, size_t index);

/* NULL where there is none of that name. Logarithmic in the number of tensors. */
const struct tensor_view *safetensors_find(const struct safetensors *file, const char *name);

/* A value of the header's "__metadata__"; NULL where there is none. Lives as long as the file. */
const char *safetensors_metadata(const struct safetensors *file, const char *key);

/* Entry `index` of the metadata, by ascending key; returns 0, or -1 past the end. */
int safetensors_metadata_at(const struct safetensors *file, size_t index, const char **key,
                            const char **value);

/* The whole file, for hashing. */
const void *safetensors_bytes(const struct safetensors *file, size_t *length);

/* Gives the file's pages back to the system, once packed elsewhere; views stay valid (slower). */
void safetensors_release_pages(const struct safetensors *file);

/*
 * Converts to `out` (t->elements floats): widening is exact, F64 and integers round to nearest,
 * BOOL gives 0 or 1. ERR_BAD_WEIGHTS where a finite F64 value does not fit a float.
 */
int tensor_to_f32(float *out, const struct tensor_view *t, struct error *err);

/* ---- writing: one thread at a time ---- */

struct safetensors_writer;

/*
 * Begins a file that will stand at `path`; until the commit the bytes go to "<path>.tmp-<pid>"
 * beside it. Declare everything, then put every tensor once in any order, then commit, then close.
 */
int safetensors_writer_open(struct safetensors_writer **out, const char *path, struct error *err);

/* ERR_ARGUMENT: duplicate or malformed key, or a tensor was put already. Both texts are copied. */
int safetensors_writer_metadata(struct safetensors_writer *writer, const char *key,
                                const char *value, struct error *err);

/* Announces a tensor; `shape` has `rank` numbers (0..8). The same errors. */
int safetensors_writer_declare(struct safetensors_writer *writer, const char *name,
                               enum dtype dtype, int rank, const int64_t *shape, struct error *err);

/* Writes a tensor's bytes as they are. ERR_ARGUMENT: not declared, put twice, wrong size; ERR_IO.
 */
int safetensors_writer_put(struct safetensors_writer *writer, const char *name, const void *data,
                           size_t bytes, struct error *err);

/* Writes a tensor declared F32, F16, BF16 or F64 from `count` floats, rounding to its dtype. */
int safetensors_writer_put_f32(struct safetensors_writer *writer, const char *name,
                               const float *values, int64_t count, struct error *err);

/*
 * Makes the file durable and visible under its name, replacing one that was there. ERR_ARGUMENT
 * where a declared tensor was never put; ERR_IO. On error nothing appears at `path`.
 */
int safetensors_writer_commit(struct safetensors_writer *writer, struct error *err);

/* Frees the writer, and removes the temporary file unless it was committed. NULL is fine. */
void safetensors_writer_close(struct safetensors_writer *writer);

#endif
