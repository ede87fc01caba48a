/* Adam's state in a checkpoint, assigned to parameters by name. Private to model/convert. */
#ifndef ONESHOT_CONVERT_MOMENTS_H
#define ONESHOT_CONVERT_MOMENTS_H

#include "model/convert/weights.h"

struct moment {
    const struct weight *weight;
    struct checkpoint_tensor m, v; /* exp_avg, exp_avg_sq: of the weight's shape */
    int64_t step;
};

struct moments {
    struct moment *at; /* owned */
    size_t count;
    int64_t step; /* the largest */
};

/*
 * An optimizer's state numbers parameters instead of naming them: a group lists numbers in the
 * order parameters were given to it, which is the order of the state dict without buffers and
 * without second names of a shared tensor. Where the group has as many numbers as there are
 * parameters they belong together one by one. Where it has fewer (some were frozen) they are
 * assigned in that order so that all shapes agree; if there is more than one way to do so, this is
 * an error. Groups that carry "param_names" are taken at their word.
 *
 * `optimizer` is the optimizer's state_dict(). Zeroed before; moments_free() also after an error.
 * Errors: ERR_BAD_WEIGHTS, ERR_UNSUPPORTED, ERR_MEMORY.
 */
int moments_collect(struct moments *moments, struct checkpoint *checkpoint,
                    const struct pickle_value *optimizer, const struct weights *weights,
                    struct error *err);
void moments_free(struct moments *moments);

#endif
