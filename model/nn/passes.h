/*
 * Rewrites of a graph's nodes before they are compiled. A node that was merged into another one
 * becomes an alias of it; its index keeps meaning "this value", so callers notice nothing.
 */
#ifndef ONESHOT_NN_PASSES_H
#define ONESHOT_NN_PASSES_H

#include "model/nn/graph.h"

/*
 * `pinned[i]` marks the outputs; what none of them depends on becomes dead. `inference` allows what
 * only holds without gradients: folding norms into convolutions, multiplying two linear layers into
 * one, and summing into a convolution's result.
 */
void passes_apply(struct node *nodes, int count, const bool *pinned, bool inference);

/* The node that now computes the value of `node`. */
int passes_resolve(const struct node *nodes, int node);

#endif
