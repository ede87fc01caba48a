/* What a plan consists of: slots in buffers, steps over slots, and packs of weights. */
#include <stdlib.h>
#include <string.h>

#include "model/base/pages.h"
#include "model/nn/plan_private.h"

enum { ALIGNMENT = 64 };

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

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

/* ---- slots ---- */

static int new_buffer(struct plan *plan, size_t bytes, struct error *err)
{
    if (reserve((void **)&plan->buffers, plan->buffers_count, &plan->buffers_capacity,
                sizeof *plan->buffers, err) != 0)
        return -1;
    plan->buffers[plan->buffers_count] =
        (struct buffer_plan){.bytes = aligned(bytes), .first = -1, .last = -1};
    return plan->buffers_count++;
}

int plan_add_slot(struct plan *plan, const dnnl_memory_desc_t *md, int buffer, void *fixed,
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
    return buffer < 0 ? -1 : plan_add_slot(plan, md, buffer, NULL, err);
}

int plan_alias_slot(struct plan *plan, int slot, const dnnl_memory_desc_t *md, struct error *err)
{
    return plan_add_slot(plan, md, plan->slots[slot].buffer, plan->slots[slot].fixed, err);
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
    return plan_add_slot(plan, md, -1, data, err);
}

/* ---- steps ---- */

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

int plan_add_reorder(struct plan *plan, int from, int to, bool accumulate, struct error *err)
{
    int rc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL;
    TRY(dnn_attr_after(&attr, accumulate, false, err));
    TRY(dnn_check(dnnl_reorder_primitive_desc_create(&pd, plan_md(plan, from), plan->engine,
                                                     plan_md(plan, to), plan->engine, attr),
                  "a reorder", err));
    TRY(plan_add_primitive(plan, pd, 2, (const int[]){DNNL_ARG_FROM, DNNL_ARG_TO},
                           (const int[]){from, to}, err));
done:
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
    return other < 0 || plan_add_reorder(plan, slot, other, false, err) != 0 ? -1 : other;
}

int plan_copy(struct plan *plan, int slot, struct error *err)
{
    dnnl_memory_desc_t md = *plan_md(plan, slot);
    int copy = plan_new_slot(plan, &md, err);
    return copy < 0 || plan_add_reorder(plan, slot, copy, false, err) != 0 ? -1 : copy;
}

/* ---- packs ---- */

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
