#include "model/nn/plan.h"

#include <stdlib.h>
#include <string.h>

#include "model/base/pages.h"
#include "model/nn/compile.h"
#include "model/nn/passes.h"
#include "model/nn/plan_private.h"

enum { ALIGNMENT = 64 };

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

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

/* ---- slots, steps, packs ---- */

/* Room for one more item in a growing array of the plan. */
static int reserve(void **items, int count, int *capacity, size_t size, struct error *err)
{
    if (count < *capacity)
        return 0;
    int wanted = *capacity ? 2 * *capacity : 64;
    void *grown = realloc(*items, (size_t)wanted * size);
    if (!grown)
        return error_set(err, ERR_MEMORY, "out of memory while compiling the network");
    *items = grown;
    *capacity = wanted;
    return 0;
}

static int new_buffer(struct plan *plan, size_t bytes, struct error *err)
{
    if (reserve((void **)&plan->buffers, plan->buffers_count, &plan->buffers_capacity,
                sizeof *plan->buffers, err) != 0)
        return -1;
    plan->buffers[plan->buffers_count] =
        (struct buffer_plan){.bytes = aligned(bytes), .first = -1, .last = -1};
    return plan->buffers_count++;
}

static int add_slot(struct plan *plan, const dnnl_memory_desc_t *md, int buffer, void *fixed,
                    struct error *err)
{
    struct slot slot = {.md = *md, .buffer = buffer, .fixed = fixed}; /* md may lie in the array */
    if (reserve((void **)&plan->slots, plan->slots_count, &plan->slots_capacity,
                sizeof *plan->slots, err) != 0)
        return -1;
    plan->slots[plan->slots_count] = slot;
    return plan->slots_count++;
}

int plan_new_slot(struct plan *plan, const dnnl_memory_desc_t *md, struct error *err)
{
    int buffer = new_buffer(plan, dnnl_memory_desc_get_size(md), err);
    return buffer < 0 ? -1 : add_slot(plan, md, buffer, NULL, err);
}

int plan_alias_slot(struct plan *plan, int slot, const dnnl_memory_desc_t *md, struct error *err)
{
    return add_slot(plan, md, plan->slots[slot].buffer, plan->slots[slot].fixed, err);
}

int plan_floats(struct plan *plan, int64_t count, struct error *err)
{
    dnnl_memory_desc_t md = md_of(1, &count, dnnl_a);
    return plan_new_slot(plan, &md, err);
}

int plan_constant(struct plan *plan, const dnnl_memory_desc_t *md, struct error *err)
{
    size_t bytes = aligned(dnnl_memory_desc_get_size(md));
    if (reserve((void **)&plan->constants, plan->constants_count, &plan->constants_capacity,
                sizeof *plan->constants, err) != 0)
        return -1;
    void *data = pages_take(bytes);
    if (!data)
        return error_set(err, ERR_MEMORY, "out of memory for %zu bytes of packed weights", bytes);
    plan->constants[plan->constants_count++] = data;
    return add_slot(plan, md, -1, data, err);
}

int plan_constant_part(struct plan *plan, int slot, int64_t offset, const dnnl_memory_desc_t *md,
                       struct error *err)
{
    return slot < 0 ? -1 : add_slot(plan, md, -1, plan_constant_data(plan, slot) + offset, err);
}

static void touch(struct plan *plan, int slot, int step)
{
    int b = plan->slots[slot].buffer;
    if (b < 0)
        return;
    struct buffer_plan *buffer = &plan->buffers[b];
    if (buffer->first < 0)
        buffer->first = step;
    buffer->last = step;
}

static struct step *add_step(struct plan *plan, int count, const int *args, const int *slots,
                             struct error *err)
{
    if (reserve((void **)&plan->steps, plan->steps_count, &plan->steps_capacity,
                sizeof *plan->steps, err) != 0)
        return NULL;
    struct step *step = &plan->steps[plan->steps_count];
    memset(step, 0, sizeof *step);
    step->count = count;
    step->node = plan->compiling;
    for (int i = 0; i < count; i++) {
        if (slots[i] < 0)
            return NULL; /* the error of the failed slot stands */
        step->arg[i] = args ? args[i] : 0;
        step->slot[i] = slots[i];
        touch(plan, slots[i], plan->steps_count);
    }
    plan->steps_count++;
    return step;
}

struct step *plan_add_kernel(struct plan *plan, void (*kernel)(const struct step *, void *const *),
                             int count, const int *slots, struct error *err)
{
    struct step *step = add_step(plan, count, NULL, slots, err);
    if (step)
        step->kernel = kernel;
    return step;
}

static bool is_product(dnnl_primitive_desc_t pd)
{
    dnnl_primitive_kind_t kind = dnnl_undefined_primitive;
    dnnl_primitive_desc_query(pd, dnnl_query_primitive_kind, 0, &kind);
    return kind == dnnl_convolution || kind == dnnl_inner_product || kind == dnnl_matmul ||
           kind == dnnl_rnn;
}

int plan_add_primitive(struct plan *plan, dnnl_primitive_desc_t pd, int count, const int *args,
                       const int *slots, struct error *err)
{
    int rc, all_args[STEP_SLOTS], all_slots[STEP_SLOTS];
    memcpy(all_args, args, (size_t)count * sizeof *args);
    memcpy(all_slots, slots, (size_t)count * sizeof *slots);
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    if (scratch && dnnl_memory_desc_get_size(scratch) > 0) {
        all_args[count] = DNNL_ARG_SCRATCHPAD;
        all_slots[count++] = plan_new_slot(plan, scratch, err);
    }
    dnnl_primitive_t primitive = NULL;
    TRY(dnn_check(dnnl_primitive_create(&primitive, pd), "a primitive", err));
    struct step *step = add_step(plan, count, all_args, all_slots, err);
    TRY(step ? 0 : -1);
    step->primitive = primitive;
    step->product = is_product(pd);
    primitive = NULL;
done:
    if (primitive)
        dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(pd);
    return rc;
}

int plan_add_product(struct plan *plan, int a, int b, int c, struct error *err)
{
    int rc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_matmul_desc_t desc;
    TRY(dnn_attr(&attr, err));
    TRY(dnn_check(
        dnnl_matmul_desc_init(&desc, plan_md(plan, a), plan_md(plan, b), NULL, plan_md(plan, c)),
        "a matrix product", err));
    TRY(dnn_check(dnnl_primitive_desc_create(&pd, &desc, attr, plan_engine(plan), NULL),
                  "a matrix product", err));
    TRY(plan_add_primitive(plan, pd, 3, (const int[]){DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
                           (const int[]){a, b, c}, err));
done:
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return rc;
}

static int add_reorder(struct plan *plan, int from, int to, bool accumulate, struct error *err)
{
    int rc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t post = NULL;
    dnnl_primitive_desc_t pd = NULL;
    TRY(dnn_attr(&attr, err));
    if (accumulate) {
        TRY(dnn_check(dnnl_post_ops_create(&post), "post-ops", err));
        TRY(dnn_check(dnnl_post_ops_append_sum(post, 1), "a sum", err));
        TRY(dnn_check(dnnl_primitive_attr_set_post_ops(attr, post), "post-ops", err));
    }
    TRY(dnn_check(dnnl_reorder_primitive_desc_create(&pd, plan_md(plan, from), plan->engine,
                                                     plan_md(plan, to), plan->engine, attr),
                  "a reorder", err));
    TRY(plan_add_primitive(plan, pd, 2, (const int[]){DNNL_ARG_FROM, DNNL_ARG_TO},
                           (const int[]){from, to}, err));
done:
    if (post)
        dnnl_post_ops_destroy(post);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return rc;
}

int plan_in_layout(struct plan *plan, int slot, const dnnl_memory_desc_t *md, struct error *err)
{
    if (slot < 0)
        return -1;
    if (md_same_bytes(plan_md(plan, slot), md))
        return slot;
    int other = plan_new_slot(plan, md, err);
    return other < 0 || add_reorder(plan, slot, other, false, err) != 0 ? -1 : other;
}

int plan_copy(struct plan *plan, int slot, struct error *err)
{
    dnnl_memory_desc_t md = *plan_md(plan, slot);
    int copy = plan_new_slot(plan, &md, err);
    return copy < 0 || add_reorder(plan, slot, copy, false, err) != 0 ? -1 : copy;
}

/* Sum over everything a pack may read: it only ever grows. */
static uint32_t versions_of(const struct plan *plan, int node)
{
    const struct params *params = plan->graph->params;
    const int nodes[] = {node, plan->nodes[node].folded_norm, plan->nodes[node].composed};
    uint32_t sum = 0;
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
        for (int k = 0; nodes[i] >= 0 && k < NODE_PARAMS; k++)
            if (plan->nodes[nodes[i]].param[k] >= 0)
                sum += params_peek(params, plan->nodes[nodes[i]].param[k])->version;
    return sum;
}

static int run_pack(struct plan *plan, struct pack *pack, struct error *err)
{
    pack->version = versions_of(plan, pack->node);
    if (pack->fill && pack->fill(plan, pack, err) != 0)
        return -1;
    if (!pack->reorder)
        return 0;
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, pack->source}, {DNNL_ARG_TO, pack->target}};
    return dnn_check(dnnl_primitive_execute(pack->reorder, plan->stream, 2, args),
                     "packing weights", err);
}

int plan_pack(struct plan *plan, int node, int param, const dnnl_memory_desc_t *plain_md,
              const dnnl_memory_desc_t *packed_md,
              int (*fill)(struct plan *, struct pack *, struct error *), struct error *err)
{
    int rc;
    dnnl_primitive_desc_t pd = NULL;
    struct pack pack = {.fill = fill, .node = node};
    pack.slot = plan_constant(plan, packed_md, err);
    TRY(pack.slot < 0 ? -1 : 0);
    float *target = plan_constant_data(plan, pack.slot);
    bool direct = md_same_bytes(plain_md, packed_md);
    if (fill && direct) {
        pack.plain = target;
    } else {
        if (fill) {
            int64_t bytes = (int64_t)aligned(dnnl_memory_desc_get_size(plain_md));
            pack.plain = aligned_alloc(ALIGNMENT, (size_t)bytes);
            TRY(pack.plain ? 0 : error_set(err, ERR_MEMORY, "out of memory for packing weights"));
        }
        void *source = fill ? pack.plain : (void *)(uintptr_t)node_param(plan, node, param);
        TRY(dnn_check(dnnl_memory_create(&pack.source, plain_md, plan->engine, source), "memory",
                      err));
        TRY(dnn_check(dnnl_memory_create(&pack.target, packed_md, plan->engine, target), "memory",
                      err));
        TRY(dnn_check(dnnl_reorder_primitive_desc_create(&pd, plain_md, plan->engine, packed_md,
                                                         plan->engine, NULL),
                      "a weight reorder", err));
        TRY(dnn_check(dnnl_primitive_create(&pack.reorder, pd), "a weight reorder", err));
    }
    TRY(run_pack(plan, &pack, err));
    TRY(reserve((void **)&plan->packs, plan->packs_count, &plan->packs_capacity,
                sizeof *plan->packs, err));
    plan->packs[plan->packs_count++] = pack;
    pack = (struct pack){.slot = pack.slot};
done:
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    plan_free_pack(plan, &pack);
    return rc ? -1 : pack.slot;
}

void plan_free_pack(const struct plan *plan, struct pack *pack)
{
    if (pack->plain && !(pack->slot >= 0 && pack->plain == plan->slots[pack->slot].fixed))
        free(pack->plain);
    if (pack->reorder)
        dnnl_primitive_destroy(pack->reorder);
    if (pack->source)
        dnnl_memory_destroy(pack->source);
    if (pack->target)
        dnnl_memory_destroy(pack->target);
    pack->plain = NULL;
    pack->reorder = NULL;
    pack->source = pack->target = NULL;
}

int plan_refresh(struct plan *plan, struct error *err)
{
    for (int i = 0; i < plan->packs_count; i++)
        if (plan->packs[i].version != versions_of(plan, plan->packs[i].node) &&
            run_pack(plan, &plan->packs[i], err) != 0)
            return -1;
    return dnn_check(dnnl_stream_wait(plan->stream), "packing weights", err);
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
    int target = add_slot(plan, plain_md, -1, grad, err);
    return target < 0 ? -1 : add_reorder(plan, slot, target, true, err);
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
