/* Compiling a graph: passes, its ops forwards and backwards, a map of memory. */
#include <stdlib.h>
#include <string.h>

#include "model/nn/passes.h"
#include "model/nn/plan_private.h"

/* ---- questions ops ask ---- */

dnnl_engine_t plan_engine(const struct plan *plan)
{
    return plan->engine;
}

const struct graph *plan_graph(const struct plan *plan)
{
    return plan->graph;
}

const struct node *plan_node(const struct plan *plan, int node)
{
    return &plan->nodes[node];
}

struct shape plan_shape(const struct plan *plan, int node)
{
    return graph_shape(plan->graph, node, plan->options.batch);
}

bool plan_inference(const struct plan *plan)
{
    return !(plan->options.flags & (PLAN_GRAD_INPUT | PLAN_GRAD_PARAMS));
}

bool plan_train_stats(const struct plan *plan)
{
    return plan->options.flags & PLAN_TRAIN_STATS;
}

int plan_value(const struct plan *plan, int node)
{
    return plan->value[passes_resolve(plan->nodes, node)];
}

void plan_set_value(struct plan *plan, int node, int slot)
{
    plan->value[node] = slot;
}

const dnnl_memory_desc_t *plan_md(const struct plan *plan, int slot)
{
    return &plan->slots[slot].md;
}

float *plan_constant_data(const struct plan *plan, int slot)
{
    return plan->slots[slot].fixed;
}

int plan_input_of(const struct plan *plan, int node, int which)
{
    return passes_resolve(plan->nodes, plan->nodes[node].input[which]);
}

void plan_keep(struct plan *plan, int node, const int *slots, int count)
{
    memcpy(plan->kept[node], slots, (size_t)count * sizeof *slots);
}

void plan_kept(const struct plan *plan, int node, int *slots, int count)
{
    memcpy(slots, plan->kept[node], (size_t)count * sizeof *slots);
}

bool plan_last_reader(const struct plan *plan, int node, int other)
{
    other = passes_resolve(plan->nodes, other);
    if (plan->pinned[other] || plan->nodes[other].kind == OP_INPUT)
        return false; /* somebody outside looks at it */
    for (int i = 0; i < plan->graph->count; i++) {
        const struct node *reader = &plan->nodes[i];
        if (plan->pinned[i] && passes_resolve(plan->nodes, i) == other)
            return false;
        if (i <= node || reader->alias >= 0 || reader->dead)
            continue;
        for (int k = 0; k < reader->inputs; k++)
            if (passes_resolve(plan->nodes, reader->input[k]) == other)
                return false;
        if (reader->residual >= 0 && passes_resolve(plan->nodes, reader->residual) == other)
            return false;
    }
    return true;
}

const float *node_param(const struct plan *plan, int node, int which)
{
    int index = plan->nodes[node].param[which];
    return index < 0 ? NULL : params_peek(plan->graph->params, index)->value;
}

static enum param_fate fate(const struct plan *plan, int param)
{
    const struct plan_options *options = &plan->options;
    if (options->fate)
        return options->fate(params_peek(plan->graph->params, param)->name, options->context);
    return options->flags & PLAN_GRAD_PARAMS ? PARAM_TRAINS : PARAM_FIXED;
}

float *node_param_grad(const struct plan *plan, int node, int which)
{
    int index = plan->nodes[node].param[which];
    if (index < 0 || !(plan->options.flags & PLAN_GRAD_PARAMS) || fate(plan, index) != PARAM_TRAINS)
        return NULL;
    return params_at(plan->graph->params, index)->grad;
}

bool node_frozen(const struct plan *plan, int node)
{
    return fate(plan, plan->nodes[node].param[0]) == PARAM_FIXED;
}

/* ---- gradients ---- */

static void kernel_sum(const struct step *step, void *const *p)
{
    float *restrict out = p[2];
    const float *a = p[0], *b = p[1];
    int64_t count = step->number[0];
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++)
        out[i] = a[i] + b[i];
}

/* Gradient behind a ReLU: what came out as zero passes nothing back. */
static void kernel_relu_grad(const struct step *step, void *const *p)
{
    float *restrict out = p[2];
    const float *grad = p[0], *value = p[1];
    int64_t count = step->number[0];
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < count; i++)
        out[i] = value[i] > 0 ? grad[i] : 0;
}

/* A kernel over the bytes of two slots of one layout into a third. */
static int elementwise(struct plan *plan, void (*kernel)(const struct step *, void *const *), int a,
                       int b, struct error *err)
{
    int out = plan_new_slot(plan, plan_md(plan, a), err);
    struct step *step = plan_add_kernel(plan, kernel, 3, (const int[]){a, b, out}, err);
    if (!step)
        return -1;
    step->number[0] = (int64_t)(dnnl_memory_desc_get_size(plan_md(plan, a)) / sizeof(float));
    return out;
}

bool plan_wants_grad(const struct plan *plan, int node)
{
    return plan->wants_grad[passes_resolve(plan->nodes, node)];
}

int plan_give_grad(struct plan *plan, int node, int slot, struct error *err)
{
    node = passes_resolve(plan->nodes, node);
    if (!plan->wants_grad[node])
        return 0;
    slot = plan_in_layout(plan, slot, plan_md(plan, plan->value[node]), err);
    if (slot < 0)
        return -1;
    /* Never summed in place: the slot may be shared with another node's gradient. */
    int old = plan->grad[node];
    plan->grad[node] = old < 0 ? slot : elementwise(plan, kernel_sum, old, slot, err);
    return plan->grad[node] < 0 ? -1 : 0;
}

int plan_masked_grad(struct plan *plan, int node, struct error *err)
{
    return elementwise(plan, kernel_relu_grad, plan->grad[node], plan->value[node], err);
}

int plan_output_grad(struct plan *plan, int node, struct error *err)
{
    return plan->nodes[node].relu ? plan_masked_grad(plan, node, err) : plan->grad[node];
}

int plan_give_param_grad(struct plan *plan, int node, int which, const dnnl_memory_desc_t *plain_md,
                         int slot, struct error *err)
{
    float *grad = node_param_grad(plan, node, which);
    if (!grad)
        return 0;
    int target = plan_add_slot(plan, plain_md, -1, grad, err);
    return target < 0 ? -1 : plan_add_reorder(plan, slot, target, true, err);
}

/* ---- compiling ---- */

static dnnl_format_tag_t layout_tag(enum layout layout)
{
    return layout == LAYOUT_NHWC ? dnnl_nhwc : dnnl_nchw;
}

static int compile_input(struct plan *plan, int node, struct error *err)
{
    dnnl_memory_desc_t md = md_4d(plan_shape(plan, node), layout_tag(plan->nodes[node].layout));
    int slot = plan_new_slot(plan, &md, err);
    if (slot < 0)
        return -1;
    plan->buffers[plan->slots[slot].buffer].pinned = true;
    plan->external_value[node] = slot;
    plan_set_value(plan, node, slot);
    return 0;
}

static int compile_outputs(struct plan *plan, const struct plan_output *outputs, int count,
                           struct error *err)
{
    for (int i = 0; i < count; i++) {
        int node = outputs[i].node;
        dnnl_memory_desc_t md = md_4d(plan_shape(plan, node), layout_tag(outputs[i].layout));
        int slot = plan_in_layout(plan, plan_value(plan, node), &md, err);
        if (slot < 0)
            return -1;
        plan->buffers[plan->slots[slot].buffer].pinned = true;
        plan->external_value[node] = slot;
    }
    return 0;
}

/* Which values lie between a wanted gradient and the outputs. */
static void mark_wanted(struct plan *plan)
{
    for (int i = 0; i < plan->graph->count; i++) {
        const struct node *node = &plan->nodes[i];
        if (node->alias >= 0 || node->dead)
            continue;
        bool wanted = node->kind == OP_INPUT && plan->options.flags & PLAN_GRAD_INPUT;
        for (int k = 0; k < node->inputs; k++)
            wanted |= plan_wants_grad(plan, node->input[k]);
        wanted |= node->residual >= 0 && plan_wants_grad(plan, node->residual);
        for (int k = 0; k < NODE_PARAMS; k++)
            wanted |= node_param_grad(plan, i, k) != NULL;
        plan->wants_grad[i] = wanted;
    }
}

static int compile_backward(struct plan *plan, const struct plan_output *outputs, int count,
                            struct error *err)
{
    for (int i = 0; i < count; i++) {
        int node = outputs[i].node;
        if (!plan_wants_grad(plan, node))
            continue;
        int slot = plan_new_slot(plan, plan_md(plan, plan->external_value[node]), err);
        if (slot < 0)
            return -1;
        plan->buffers[plan->slots[slot].buffer].pinned = true;
        plan->external_grad[node] = slot;
        if (plan_give_grad(plan, node, slot, err) != 0)
            return -1;
    }
    for (int i = plan->graph->count - 1; i >= 0; i--) {
        const struct node *node = &plan->nodes[i];
        if (node->alias >= 0 || node->dead || !plan->wants_grad[i] || plan->grad[i] < 0)
            continue;
        plan->compiling = i;
        if (node->kind == OP_INPUT) {
            int slot = plan->grad[i];
            plan->buffers[plan->slots[slot].buffer].pinned = true;
            plan->external_grad[i] = slot;
        } else if (ops[node->kind]->backward(plan, i, err) != 0) {
            return error_prefix(err, "backward of %s (node %d)", ops[node->kind]->name, i);
        }
    }
    return 0;
}

/*
 * Gives every buffer an offset so that those alive at the same step do not overlap: largest first,
 * each at the lowest free place. Pinned buffers get places of their own in the external block.
 */
static int by_size(const void *a, const void *b)
{
    const struct buffer_plan *const *p = a, *const *q = b;
    return (*p)->bytes < (*q)->bytes ? 1 : (*p)->bytes > (*q)->bytes ? -1 : *p < *q ? -1 : 1;
}

static int place_buffers(struct plan *plan, struct error *err)
{
    int count = 0;
    struct buffer_plan **order = malloc(((size_t)plan->buffers_count + 1) * sizeof *order);
    if (!order)
        return error_set(err, ERR_MEMORY, "out of memory while compiling the network");
    for (int i = 0; i < plan->buffers_count; i++) {
        struct buffer_plan *buffer = &plan->buffers[i];
        if (buffer->pinned) {
            buffer->offset = plan->external_bytes;
            plan->external_bytes += buffer->bytes;
        } else if (buffer->first >= 0) {
            order[count++] = buffer;
        }
    }
    qsort(order, (size_t)count, sizeof *order, by_size);
    for (int i = 0; i < count; i++) {
        struct buffer_plan *buffer = order[i];
        size_t offset = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (int k = 0; k < i; k++) {
                const struct buffer_plan *other = order[k];
                bool together = other->first <= buffer->last && buffer->first <= other->last;
                if (together && offset < other->offset + other->bytes &&
                    other->offset < offset + buffer->bytes) {
                    offset = other->offset + other->bytes;
                    moved = true;
                }
            }
        }
        buffer->offset = offset;
        if (offset + buffer->bytes > plan->workspace_bytes)
            plan->workspace_bytes = offset + buffer->bytes;
    }
    free(order);
    return 0;
}

static int allocate(struct plan *plan, const struct graph *graph, struct error *err)
{
    size_t n = (size_t)graph->count;
    plan->nodes = malloc(n * sizeof *plan->nodes);
    plan->value = malloc(n * sizeof(int));
    plan->grad = malloc(n * sizeof(int));
    plan->kept = calloc(n, sizeof *plan->kept);
    plan->external_value = malloc(n * sizeof(int));
    plan->external_grad = malloc(n * sizeof(int));
    plan->wants_grad = calloc(n, sizeof(bool));
    plan->pinned = calloc(n, sizeof(bool));
    if (!plan->nodes || !plan->value || !plan->grad || !plan->kept || !plan->external_value ||
        !plan->external_grad || !plan->wants_grad || !plan->pinned)
        return error_set(err, ERR_MEMORY, "out of memory while compiling the network");
    memcpy(plan->nodes, graph->nodes, n * sizeof *plan->nodes);
    for (size_t i = 0; i < n; i++)
        plan->value[i] = plan->grad[i] = plan->external_value[i] = plan->external_grad[i] = -1;
    return 0;
}

int plan_compile(struct plan **out, const struct graph *graph, const struct plan_output *outputs,
                 int outputs_count, const struct plan_options *options, struct error *err)
{
    int rc;
    *out = NULL;
    struct plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return error_set(err, ERR_MEMORY, "out of memory while compiling the network");
    plan->graph = graph;
    plan->options = *options;
    TRY(allocate(plan, graph, err));
    TRY(dnn_check(dnnl_engine_create(&plan->engine, dnnl_cpu, 0), "a CPU engine", err));
    TRY(dnn_check(dnnl_stream_create(&plan->stream, plan->engine, dnnl_stream_default_flags),
                  "a stream", err));
    for (int i = 0; i < outputs_count; i++)
        plan->pinned[outputs[i].node] = true;
    /* A norm by the statistics of what runs through cannot be folded, whatever its own mode. */
    passes_apply(plan->nodes, graph->count, plan->pinned,
                 plan_inference(plan) && !plan_train_stats(plan));
    mark_wanted(plan);
    for (int i = 0; i < graph->count; i++) {
        const struct node *node = &plan->nodes[i];
        if (node->alias >= 0 || node->dead)
            continue;
        plan->compiling = i;
        rc = node->kind == OP_INPUT ? compile_input(plan, i, err)
                                    : ops[node->kind]->forward(plan, i, err);
        if (rc != 0) {
            error_prefix(err, "%s (node %d)",
                         node->kind == OP_INPUT ? "input" : ops[node->kind]->name, i);
            goto done;
        }
    }
    plan->compiling = -1;
    TRY(compile_outputs(plan, outputs, outputs_count, err));
    plan->forward_steps = plan->steps_count;
    if (!plan_inference(plan))
        TRY(compile_backward(plan, outputs, outputs_count, err));
    TRY(place_buffers(plan, err));
    TRY(dnn_check(dnnl_stream_wait(plan->stream), "packing weights", err));
    if (plan_inference(plan) && !plan->options.fate) { /* nothing will be packed again */
        for (int i = 0; i < plan->packs_count; i++)
            plan_free_pack(plan, &plan->packs[i]);
        plan->packs_count = 0;
    }
    *out = plan;
    plan = NULL;
done:
    plan_free(plan);
    return rc;
}

void plan_free(struct plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->steps_count; i++)
        if (plan->steps[i].primitive)
            dnnl_primitive_destroy(plan->steps[i].primitive);
    for (int i = 0; i < plan->packs_count; i++)
        plan_free_pack(plan, &plan->packs[i]);
    for (int i = 0; i < plan->constants_count; i++)
        free(plan->constants[i]);
    if (plan->stream)
        dnnl_stream_destroy(plan->stream);
    if (plan->engine)
        dnnl_engine_destroy(plan->engine);
    free(plan->steps);
    free(plan->packs);
    free(plan->constants);
    free(plan->slots);
    free(plan->buffers);
    free(plan->nodes);
    free(plan->value);
    free(plan->grad);
    free(plan->kept);
    free(plan->external_value);
    free(plan->external_grad);
    free(plan->wants_grad);
    free(plan->pinned);
    free(plan);
}

size_t plan_workspace(const struct plan *plan)
{
    return plan->workspace_bytes;
}
