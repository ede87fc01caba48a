/* Runs: the memory of a plan, and the one loop over its steps. */
#include <stdlib.h>
#include <string.h>

#include "model/base/pages.h"
#include "model/nn/plan_private.h"

struct run_step {
    dnnl_exec_arg_t args[STEP_SLOTS]; /* of a primitive */
    void *address[STEP_SLOTS];        /* of a kernel */
};

struct run {
    const struct plan *plan;
    dnnl_stream_t stream;
    void *external, *workspace; /* workspace NULL where it is shared */
    void **address;             /* by slot */
    struct run_step *steps;
    void (*watch)(void *context, const struct run_note *note); /* NULL: nobody looks */
    void *watch_context;
};

static int bind(struct run *run, struct error *err)
{
    const struct plan *plan = run->plan;
    for (int i = 0; i < plan->steps_count; i++) {
        const struct step *step = &plan->steps[i];
        struct run_step *bound = &run->steps[i];
        for (int k = 0; k < step->count; k++) {
            int slot = step->slot[k];
            bound->address[k] = run->address[slot];
            if (!step->primitive)
                continue;
            bound->args[k].arg = step->arg[k];
            if (dnn_check(dnnl_memory_create(&bound->args[k].memory, plan_md(plan, slot),
                                             plan->engine, run->address[slot]),
                          "memory", err) != 0)
                return -1;
        }
    }
    return 0;
}

int run_open(struct run **out, const struct plan *plan, void *workspace, struct error *err)
{
    int rc;
    *out = NULL;
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        return error_set(err, ERR_MEMORY, "out of memory for a run");
    run->plan = plan;
    run->external = pages_take(plan->external_bytes);
    if (!workspace)
        workspace = run->workspace = pages_take(plan->workspace_bytes);
    run->address = calloc((size_t)plan->slots_count + 1, sizeof *run->address);
    run->steps = calloc((size_t)plan->steps_count + 1, sizeof *run->steps);
    TRY(run->external && workspace && run->address && run->steps
            ? 0
            : error_set(err, ERR_MEMORY, "out of memory for a run (%zu bytes)",
                        plan->external_bytes + plan->workspace_bytes));
    for (int i = 0; i < plan->slots_count; i++) {
        const struct slot *slot = &plan->slots[i];
        if (slot->buffer < 0) {
            run->address[i] = slot->fixed;
        } else {
            const struct buffer_plan *buffer = &plan->buffers[slot->buffer];
            run->address[i] = (char *)(buffer->pinned ? run->external : workspace) + buffer->offset;
        }
    }
    TRY(dnn_check(dnnl_stream_create(&run->stream, plan->engine, dnnl_stream_default_flags),
                  "a stream", err));
    TRY(bind(run, err));
    *out = run;
    run = NULL;
done:
    run_close(run);
    return rc;
}

void run_close(struct run *run)
{
    if (!run)
        return;
    if (run->steps)
        for (int i = 0; i < run->plan->steps_count; i++)
            for (int k = 0; k < STEP_SLOTS; k++)
                if (run->steps[i].args[k].memory)
                    dnnl_memory_destroy(run->steps[i].args[k].memory);
    if (run->stream)
        dnnl_stream_destroy(run->stream);
    free(run->steps);
    free(run->address);
    free(run->external);
    free(run->workspace);
    free(run);
}

float *run_value(const struct run *run, int node)
{
    int slot = run->plan->external_value[node];
    return slot < 0 ? NULL : run->address[slot];
}

float *run_grad(const struct run *run, int node)
{
    int slot = run->plan->external_grad[node];
    return slot < 0 ? NULL : run->address[slot];
}

void run_watch(struct run *run, void (*watch)(void *context, const struct run_note *note),
               void *context)
{
    run->watch = watch;
    run->watch_context = context;
}

static void tell(const struct run *run, int index)
{
    const struct plan *plan = run->plan;
    const struct step *step = &plan->steps[index];
    const struct node *node = step->node < 0 ? NULL : &plan->nodes[step->node];
    struct run_note note = {.op = node ? ops[node->kind]->name : "output",
                            .layer = "",
                            .how = "kernel",
                            .product = step->product,
                            .backward = index >= plan->forward_steps};
    if (node && node->param[0] >= 0)
        note.layer = params_peek(plan->graph->params, node->param[0])->name;
    const_dnnl_primitive_desc_t pd;
    if (step->primitive && dnnl_primitive_get_primitive_desc(step->primitive, &pd) == dnnl_success)
        dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &note.how);
    run->watch(run->watch_context, &note);
}

static int execute(struct run *run, int first, int end, struct error *err)
{
    if (run->watch)
        run->watch(run->watch_context, NULL);
    for (int i = first; i < end; i++) {
        const struct step *step = &run->plan->steps[i];
        struct run_step *bound = &run->steps[i];
        dnnl_status_t status = dnnl_success;
        if (step->kernel)
            step->kernel(step, bound->address);
        else
            status = dnnl_primitive_execute(step->primitive, run->stream, step->count, bound->args);
        if (status != dnnl_success)
            return dnn_check(status, "to run a layer", err);
        if (run->watch)
            tell(run, i);
    }
    return dnn_check(dnnl_stream_wait(run->stream), "to finish a layer", err);
}

int run_forward(struct run *run, struct error *err)
{
    return execute(run, 0, run->plan->forward_steps, err);
}

int run_backward(struct run *run, struct error *err)
{
    return execute(run, run->plan->forward_steps, run->plan->steps_count, err);
}
