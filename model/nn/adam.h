/*
 * Adam (Kingma and Ba, 2015) with L2 weight decay added to the gradient, as torch.optim.Adam does.
 *
 * A step covers a set of parameters. One outside the set is skipped entirely: no decay, no moment
 * update, and its own step count stands still, which is not the same as a zero gradient.
 */
#ifndef ONESHOT_NN_ADAM_H
#define ONESHOT_NN_ADAM_H

#include <stdbool.h>

#include "model/nn/params.h"

struct adam_options {
    float lr, beta1, beta2, epsilon, weight_decay;
};

struct adam_options adam_default(void); /* 1e-5, .9, .999, 1e-8, 1e-3: section 4.1 of the paper */

struct moments {
    float *m, *v; /* param.count floats each; NULL where the parameter has no gradient */
    int64_t steps;
};

struct adam {
    int count;
    struct moments *of; /* by parameter index */
};

int adam_open(struct adam **out, const struct params *params, struct error *err);
void adam_close(struct adam *adam);

/* Updates every parameter with a gradient for which `in_set` says so, and its version. */
void adam_step(struct adam *adam, struct params *params, const struct adam_options *options,
               bool (*in_set)(const char *name, const void *context), const void *context);

#endif
