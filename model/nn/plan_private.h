/* What a plan holds. For plan.c and plan_parts.c, which build it, and run.c, which executes it. */
#ifndef ONESHOT_NN_PLAN_PRIVATE_H
#define ONESHOT_NN_PLAN_PRIVATE_H

#include "model/nn/compile.h"

struct slot {
    dnnl_memory_desc_t md;
    int buffer;  /* -1: at a fixed address, the same for all runs */
    void *fixed; /* a packed weight, or a gradient in the parameter store */
};

struct buffer_plan {
    size_t bytes, offset;
    int first, last; /* steps that touch it first and last; -1: none */
    bool pinned;     /* read or written from outside: lives in the external block */
};

struct plan {
    const struct graph *graph;
    struct plan_options options;
    dnnl_engine_t engine;
    dnnl_stream_t stream; /* for packing */

    struct node *nodes; /* the graph's, after the passes */
    bool *pinned;       /* by node: an output */
    bool *wants_grad;
    int *value, *grad; /* by node: slots */
    int (*kept)[NODE_KEPT];
    int *external_value, *external_grad;

    struct slot *slots;
    int slots_count, slots_capacity;
    struct buffer_plan *buffers;
    int buffers_count, buffers_capacity;
    struct step *steps;
    int steps_count, steps_capacity, forward_steps;
    struct pack *packs;
    int packs_count, packs_capacity;
    void **constants;
    int constants_count, constants_capacity;

    size_t workspace_bytes, external_bytes;
    int compiling; /* the node whose op is adding steps; -1: none */
};

/* A slot in a buffer, or with -1 at a fixed address; -1 with err set on failure. */
int plan_add_slot(struct plan *plan, const dnnl_memory_desc_t *md, int buffer, void *fixed,
                  struct error *err);
/* A step that copies a slot's value into another's layout, or adds it to what is there. */
int plan_add_reorder(struct plan *plan, int from, int to, bool accumulate, struct error *err);
void plan_free_pack(const struct plan *plan, struct pack *pack);

#endif
