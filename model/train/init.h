/*
 * Values that training starts from. Each tensor's numbers follow from its name and the seed alone,
 * so they do not depend on what else the network has.
 */
#ifndef ONESHOT_TRAIN_INIT_H
#define ONESHOT_TRAIN_INIT_H

#include "model/net/network.h"

enum init_scheme {
    /*
     * The paper's: convolutions He normal by fan-out; the RPN's normal of deviation .01; LSTMs
     * uniform within 1 / sqrt(hidden); in the classification branch biases of .01 and linear layers
     * He normal by fan-out as well. Box heads as PyTorch leaves them, uniform within 1 / sqrt(in).
     */
    INIT_PAPER,
    /*
     * The same, but linear layers by fan-in and the last ones small: fan-out of a layer with three
     * or four outputs makes first predictions of a hundred, which takes a thousand steps to
     * unlearn.
     */
    INIT_SMALL_LOGITS,
};

/* Provides every parameter, norms 1 and 0, running statistics 0 and 1. ERR_MEMORY. */
int init_parameters(struct network *network, enum init_scheme scheme, uint64_t seed,
                    struct error *err);

#endif
