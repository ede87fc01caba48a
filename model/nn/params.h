/*
 * Parameters of a model: a flat store by PyTorch state-dict name.
 *
 * Values stay in PyTorch's layout, row-major float32, and are the truth; packed copies belong to
 * plans. The store is built in two steps: the network's description declares every tensor it needs,
 * then a weight file (or the seeded filler) provides the values. While serving it is read-only and
 * may be shared by threads; training adds gradients and moments and has one owner.
 */
#ifndef ONESHOT_NN_PARAMS_H
#define ONESHOT_NN_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

struct safetensors;

enum param_role {
    PARAM_WEIGHT,
    PARAM_BIAS,
    PARAM_SCALE,  /* of a norm */
    PARAM_SHIFT,  /* of a norm */
    PARAM_BUFFER, /* running statistics: stored, never trained by gradient */
};

struct param {
    char *name;
    enum param_role role;
    int rank;
    int64_t dim[4];
    int64_t count;
    float *value;     /* count floats; NULL until provided */
    float *grad;      /* count floats; NULL unless params_enable_grad ran */
    uint32_t version; /* changes with the values: whoever writes them adds one */
    bool owned;       /* value was allocated here; otherwise it lies in the mapped file */
};

struct params;

int params_create(struct params **out, struct error *err);
void params_free(struct params *params);

/*
 * Declares a tensor and gives its index through *out. Declaring a name again with the same shape
 * gives the same index; with another shape it is ERR_INTERNAL.
 */
int params_declare(struct params *params, int *out, const char *name, enum param_role role,
                   int rank, const int64_t dim[], struct error *err);

int params_count(const struct params *params);
struct param *params_at(struct params *params, int index);
const struct param *params_peek(const struct params *params, int index);
int params_find(const struct params *params, const char *name); /* index or -1 */
int64_t params_total(const struct params *params);              /* trained elements, no buffers */

/*
 * Takes values from a weight file. Strict: every missing, unexpected and misshapen tensor, and
 * every one that holds a NaN or an infinity, is named in the one error (ERR_BAD_WEIGHTS).
 * `num_batches_tracked` counters are accepted and ignored, and `fpn.inner_blocks.0.0.*` stands for
 * `fpn.inner_blocks.0.*`. Float32 tensors are used in place: the file must outlive the store or
 * params_own() be called; other types are converted.
 */
int params_from_file(struct params *params, const struct safetensors *file, struct error *err);

/* Fills every tensor from a seed: the same name, shape and seed give the same values anywhere. */
int params_fill(struct params *params, uint64_t seed, struct error *err);

/* Copies values that still lie in the mapped file, so that it may be closed or values changed. */
int params_own(struct params *params, struct error *err);

/* Drops the values (a serving model has packed them into its plans by then). */
void params_drop_values(struct params *params);

/* Allocates and clears gradients of every parameter that is not a buffer. */
int params_enable_grad(struct params *params, struct error *err);
void params_clear_grad(struct params *params);

#endif
