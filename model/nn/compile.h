/*
 * What plan.c and plan_parts.c offer the ops while a plan is being compiled: slots, steps,
 * gradients.
 *
 * A slot is a value with a oneDNN memory descriptor; slots live in buffers, and how long a buffer
 * lives follows from the steps that name its slots. A step is a oneDNN primitive or a C kernel over
 * slots. Forward and backward are one list of steps, cut in two. A pack step fills a constant slot
 * from parameters and runs at compile time and at every plan_refresh().
 */
#ifndef ONESHOT_NN_COMPILE_H
#define ONESHOT_NN_COMPILE_H

#include <dnnl.h>

#include "model/nn/graph.h"
#include "model/nn/plan.h"

enum { STEP_SLOTS = 16, NODE_KEPT = 6, STEP_NUMBERS = 12 };

struct step {
    dnnl_primitive_t primitive; /* or */
    void (*kernel)(const struct step *step, void *const *p);
    int count;                    /* slots it touches */
    int arg[STEP_SLOTS];          /* DNNL_ARG_… of each, for primitives */
    int slot[STEP_SLOTS];         /* a kernel gets their addresses as p[0..] */
    int64_t number[STEP_NUMBERS]; /* sizes, for kernels */
    float *param[4];              /* running statistics and gradients a kernel writes */
    int node;                     /* whose op added it; -1: an output's layout */
    bool product;                 /* convolution, matrix product or LSTM: work that FLOPs count */
};

struct pack {
    int (*fill)(struct plan *plan, struct pack *pack, struct error *err);
    int node;
    int slot;                 /* the constant to fill */
    dnnl_primitive_t reorder; /* from `plain` to the slot's layout; NULL: fill writes the slot */
    float *plain;             /* `count` floats in PyTorch's layout; NULL: param's own values */
    dnnl_memory_t source, target;
    uint32_t version; /* of the parameters it was last filled from */
};

/* ---- oneDNN ---- */

/* Turns a oneDNN status into an error that names what was tried. 0 where status is success. */
int dnn_check(dnnl_status_t status, const char *what, struct error *err);
dnnl_engine_t plan_engine(const struct plan *plan);
/* Attributes every primitive starts from: user scratchpad. The caller destroys them. */
int dnn_attr(dnnl_primitive_attr_t *out, struct error *err);
/* The same where results are added to what the memory held, then clipped at zero. */
int dnn_attr_after(dnnl_primitive_attr_t *out, bool sum, bool relu, struct error *err);

/* Dense descriptors. `tag` as dnnl_nchw, dnnl_nhwc, dnnl_format_tag_any. */
dnnl_memory_desc_t md_4d(struct shape shape, dnnl_format_tag_t tag);
dnnl_memory_desc_t md_of(int rank, const int64_t *dim, dnnl_format_tag_t tag);
bool md_same_bytes(const dnnl_memory_desc_t *a, const dnnl_memory_desc_t *b);

/* How a C kernel sees a value: (outer, spatial, inner), channels = blocks x inner, padded. */
struct blocked {
    int64_t n, blocks, spatial, inner;
    int64_t channels; /* without padding */
};
/* False where the layout is not one the kernels walk (then reorder to dnnl_nhwc first). */
bool md_blocked(const dnnl_memory_desc_t *md, struct blocked *out);

/* ---- what an op may ask of the plan ---- */

const struct graph *plan_graph(const struct plan *plan);
const struct node *plan_node(const struct plan *plan, int node); /* after the passes */
struct shape plan_shape(const struct plan *plan, int node);
bool plan_inference(const struct plan *plan); /* no gradients asked for */
bool plan_train_stats(const struct plan *plan);

int plan_value(const struct plan *plan, int node); /* slot of a node's value */
void plan_set_value(struct plan *plan, int node, int slot);
const dnnl_memory_desc_t *plan_md(const struct plan *plan, int slot);

/* New slots; -1 with err set on failure. */
int plan_new_slot(struct plan *plan, const dnnl_memory_desc_t *md, struct error *err);
int plan_alias_slot(struct plan *plan, int slot, const dnnl_memory_desc_t *md, struct error *err);
int plan_floats(struct plan *plan, int64_t count, struct error *err); /* per-run vector */
int plan_constant(struct plan *plan, const dnnl_memory_desc_t *md, struct error *err);
float *plan_constant_data(const struct plan *plan, int slot);
/* The same value in another layout: itself where the bytes agree, else through a reorder step. */
int plan_in_layout(struct plan *plan, int slot, const dnnl_memory_desc_t *md, struct error *err);
/* A private copy of a slot, made by a step. */
int plan_copy(struct plan *plan, int slot, struct error *err);
/* Slots an op's backward needs again, kept by node (at most NODE_KEPT). */
void plan_keep(struct plan *plan, int node, const int *slots, int count);
void plan_kept(const struct plan *plan, int node, int *slots, int count);
/* The node whose value a node's input really is, after the passes. */
int plan_input_of(const struct plan *plan, int node, int which);
/* True where nothing after `node` reads the value of `other`: its memory may be overwritten. */
bool plan_last_reader(const struct plan *plan, int node, int other);

/* Appends a step. plan_add_primitive() takes `pd` over and adds the scratchpad itself. */
struct step *plan_add_kernel(struct plan *plan, void (*kernel)(const struct step *, void *const *),
                             int count, const int *slots, struct error *err);
int plan_add_primitive(struct plan *plan, dnnl_primitive_desc_t pd, int count, const int *args,
                       const int *slots, struct error *err);

/*
 * A constant slot filled from a parameter. `plain_md` is PyTorch's layout as oneDNN sees it.
 * With `fill` the op computes the plain values itself into pack->plain (`plain_count` floats).
 */
int plan_pack(struct plan *plan, int node, int param, const dnnl_memory_desc_t *plain_md,
              const dnnl_memory_desc_t *packed_md,
              int (*fill)(struct plan *, struct pack *, struct error *), struct error *err);
/* Whether a step may change the node's first parameter under this plan's eyes. */
bool node_frozen(const struct plan *plan, int node);
/* Values, gradient of a node's parameter; NULL where it has none or it is not to be trained. */
const float *node_param(const struct plan *plan, int node, int which);
float *node_param_grad(const struct plan *plan, int node, int which);

/* ---- gradients ---- */

bool plan_wants_grad(const struct plan *plan, int node); /* does anything upstream want it? */
/* The gradient slot of a node's value with a fused ReLU undone; -1 on failure. */
int plan_output_grad(struct plan *plan, int node, struct error *err);
/* The same, masked by the value's sign whether or not a ReLU was fused. */
int plan_masked_grad(struct plan *plan, int node, struct error *err);
/* Hands a contribution to the gradient of `node`'s value over (any layout). */
int plan_give_grad(struct plan *plan, int node, int slot, struct error *err);
/* Adds a computed parameter gradient (slot, any layout) to the store; plain_md is PyTorch's. */
int plan_give_param_grad(struct plan *plan, int node, int which, const dnnl_memory_desc_t *plain_md,
                         int slot, struct error *err);

/* ---- the table ---- */

struct op {
    const char *name;
    int (*forward)(struct plan *plan, int node, struct error *err);
    int (*backward)(struct plan *plan, int node, struct error *err);
};

extern const struct op *const ops[OP_KINDS]; /* by kind; NULL for inputs */

/* One row each, in op_*.c. */
extern const struct op op_conv, op_deconv, op_linear, op_norm, op_relu, op_add, op_max_pool,
    op_lstm, op_last_row, op_matmul, op_softmax, op_upconv;

#endif
