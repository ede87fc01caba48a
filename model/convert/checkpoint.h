/*
 * Files written by torch.save, both containers: the zip archive of PyTorch 1.6 and later, and the
 * legacy stream before it. Gives the pickled object as data and any tensor in it, whatever its
 * place, shape and strides in a storage that others may share. Nothing in the file is executed.
 *
 * The file is mapped; a tensor's bytes are read when asked for. One thread at a time.
 */
#ifndef ONESHOT_CONVERT_CHECKPOINT_H
#define ONESHOT_CONVERT_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"
#include "model/convert/pickle.h"
#include "model/nn/safetensors.h"

struct checkpoint;

/*
 * Errors: ERR_IO; ERR_BAD_WEIGHTS, ERR_UNSUPPORTED naming file and offset, entry or storage;
 * ERR_MEMORY.
 */
int checkpoint_open(struct checkpoint **out, const char *path, struct error *err);

/* The same from memory. `bytes` stays the caller's and must outlive the result. */
int checkpoint_parse(struct checkpoint **out, const void *bytes, size_t length, struct error *err);

void checkpoint_close(struct checkpoint *checkpoint); /* NULL is fine */

const char *checkpoint_container(const struct checkpoint *checkpoint); /* "zip" or "legacy" */
size_t checkpoint_length(const struct checkpoint *checkpoint);         /* bytes of the file */

/* The object that was saved. */
const struct pickle_value *checkpoint_root(const struct checkpoint *checkpoint);

/* Where a tensor lies. */
struct checkpoint_tensor {
    enum dtype dtype;
    int rank;
    int64_t shape[SAFETENSORS_MAX_RANK];
    int64_t stride[SAFETENSORS_MAX_RANK]; /* in elements, not negative */
    int64_t offset;                       /* of the first element in its storage, in elements */
    int64_t elements;
    size_t bytes;   /* of the elements, contiguous */
    size_t storage; /* equal for tensors that share one */
};

/* True where the value is a dense tensor, or a parameter made of one, right or wrong. */
bool checkpoint_is_tensor(const struct pickle_value *value);

/*
 * Describes the tensor a value stands for. ERR_BAD_WEIGHTS where it is malformed or does not lie
 * inside its storage, ERR_UNSUPPORTED where its type is none of enum dtype.
 */
int checkpoint_tensor(struct checkpoint_tensor *out, const struct checkpoint *checkpoint,
                      const struct pickle_value *value, struct error *err);

/*
 * Gives a tensor's elements, row-major and little endian: t->bytes bytes, at no particular
 * alignment, valid until the next call or the end of the checkpoint.
 */
int checkpoint_read(const void **data, struct checkpoint *checkpoint,
                    const struct checkpoint_tensor *t, struct error *err);

/* Gives the file's pages back to the system; they are read again when needed. */
void checkpoint_release_pages(const struct checkpoint *checkpoint);

#endif
