/*
 * A plan is a graph compiled for one batch size: oneDNN primitives, packed weights, and a map of
 * the memory a run needs. A run is one instance of that memory.
 *
 * Compile once, share the plan between any number of runs (it is read-only but for plan_refresh).
 * A run belongs to the thread that opened it and allocates nothing after run_open(). Both must see
 * the same number of OpenMP threads that plan_compile() saw.
 *
 * Compiling for inference applies two passes the description knows nothing of: norms with stored
 * statistics are folded into the convolution right before them, and ReLUs and residual sums are
 * fused into their producers. Compiling with gradients keeps every value the backward pass reads.
 */
#ifndef ONESHOT_NN_PLAN_H
#define ONESHOT_NN_PLAN_H

#include "model/nn/graph.h"

enum plan_flags {
    PLAN_TRAIN_STATS = 1, /* norms use batch statistics and update the running ones */
    PLAN_GRAD_INPUT = 2,  /* backward gives gradients of the inputs */
    PLAN_GRAD_PARAMS = 4, /* backward accumulates gradients of parameters */
};

struct plan_output {
    int node;
    enum layout layout; /* in which run_value() shows it */
};

/* What happens to a parameter while the plan lives. */
enum param_fate {
    PARAM_FIXED,   /* nothing: it may be packed in ways that take long */
    PARAM_CHANGES, /* somebody else changes it and calls plan_refresh() */
    PARAM_TRAINS,  /* the same, and this plan computes its gradient under PLAN_GRAD_PARAMS */
};

struct plan_options {
    int batch;
    unsigned flags;
    /* NULL: PARAM_TRAINS under PLAN_GRAD_PARAMS, else PARAM_FIXED for all. */
    enum param_fate (*fate)(const char *name, const void *context);
    const void *context;
};

struct plan;
struct run;

/* Errors: ERR_MEMORY; ERR_INTERNAL naming the layer oneDNN refused. */
int plan_compile(struct plan **out, const struct graph *graph, const struct plan_output *outputs,
                 int outputs_count, const struct plan_options *options, struct error *err);
void plan_free(struct plan *plan); /* after its runs are closed; NULL is fine */

/* Packs again the weights whose parameters changed (param.version) since they were packed. */
int plan_refresh(struct plan *plan, struct error *err);

/* Bytes of working memory one run needs besides its inputs and outputs. */
size_t plan_workspace(const struct plan *plan);

/*
 * `workspace` (64-byte aligned, plan_workspace() bytes) may be shared by runs of several plans
 * that never hold results in it at the same time, which is so for plans without gradients; NULL
 * lets the run have its own.
 */
int run_open(struct run **out, const struct plan *plan, void *workspace, struct error *err);
void run_close(struct run *run);

/* An input's or an output's values, in the layout declared for it; valid as long as the run. */
float *run_value(const struct run *run, int node);
/* Their gradients: the caller fills those of outputs before run_backward(), reads those of inputs
 * after it. */
float *run_grad(const struct run *run, int node);

/*
 * For measurements: after every step of a run `watch` is told what was done, and once with NULL
 * before the first step of a pass. What it takes is read from the caller's own clock.
 */
struct run_note {
    const char *op;    /* "convolution" */
    const char *layer; /* the first parameter's name, or "" */
    const char *how;   /* oneDNN's implementation, or "kernel" */
    bool product;      /* convolution, matrix product or LSTM */
    bool backward;
};
void run_watch(struct run *run, void (*watch)(void *context, const struct run_note *note),
               void *context);

int run_forward(struct run *run, struct error *err);
/* Parameter gradients are added to what params already hold. */
int run_backward(struct run *run, struct error *err);

#endif
