#include "model/convert/moments.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_FIELDS = 64 }; /* of one parameter's state */

/* A parameter as the optimizer knows it. */
struct slot {
    int64_t number;
    const struct pickle_value *state; /* NULL where it never took a step */
    struct checkpoint_tensor m, v;
    size_t left, right; /* parameters it can be, counted from the first and from the last */
};

struct work {
    struct checkpoint *checkpoint;
    const struct weights *weights;
    const struct weight **parameters; /* owned: no buffers, no second names */
    size_t parameter_count;
    struct slot *states; /* owned: number and state, sorted by number */
    size_t state_count;
    struct slot *slots; /* owned: one group */
    bool *taken;        /* owned: per weight */
    struct moments *out;
};

static int out_of_memory(struct error *err)
{
    return error_set(err, ERR_MEMORY, "out of memory reading the optimizer's state");
}

static int bad(struct error *err, const char *what)
{
    return error_set(err, ERR_BAD_WEIGHTS, "optimizer state: %s", what);
}

/* ---- what there is to assign ---- */

static bool same_shape(const struct checkpoint_tensor *a, const struct checkpoint_tensor *b)
{
    return a->rank == b->rank && memcmp(a->shape, b->shape, sizeof a->shape) == 0;
}

static int compare_places(const void *a, const void *b)
{
    const struct weight *x = *(const struct weight *const *)a,
                        *y = *(const struct weight *const *)b;
    if (x->tensor.storage != y->tensor.storage)
        return x->tensor.storage < y->tensor.storage ? -1 : 1;
    if (x->tensor.offset != y->tensor.offset)
        return x->tensor.offset < y->tensor.offset ? -1 : 1;
    return x < y ? -1 : x > y; /* of two names the one saved first counts */
}

static int compare_order(const void *a, const void *b)
{
    const struct weight *x = *(const struct weight *const *)a,
                        *y = *(const struct weight *const *)b;
    return x < y ? -1 : x > y;
}

static int list_parameters(struct work *work, struct error *err)
{
    const struct weights *w = work->weights;
    size_t n = 0, kept = 0;
    work->parameters = calloc(w->count + 1, sizeof *work->parameters);
    work->taken = calloc(w->count + 1, sizeof *work->taken);
    if (!work->parameters || !work->taken)
        return out_of_memory(err);
    for (size_t i = 0; i < w->count; i++)
        if (!w->at[i].buffer)
            work->parameters[n++] = &w->at[i];
    qsort(work->parameters, n, sizeof *work->parameters, compare_places);
    for (size_t i = 0; i < n; i++) {
        const struct checkpoint_tensor *t = &work->parameters[i]->tensor;
        const struct checkpoint_tensor *last = kept ? &work->parameters[kept - 1]->tensor : NULL;
        if (!last || last->storage != t->storage || last->offset != t->offset ||
            !same_shape(last, t))
            work->parameters[kept++] = work->parameters[i];
    }
    qsort(work->parameters, kept, sizeof *work->parameters, compare_order);
    work->parameter_count = kept;
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    const struct slot *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int list_states(struct work *work, const struct pickle_value *optimizer, struct error *err)
{
    const struct pickle_value *states = pickle_get(optimizer, "state"), *key, *value;
    size_t count = pickle_entries(states);
    if (count > SAFETENSORS_MAX_TENSORS)
        return bad(err, "more entries than allowed");
    work->states = calloc(count + 1, sizeof *work->states);
    if (!work->states)
        return out_of_memory(err);
    for (size_t i = 0; pickle_entry(states, i, &key, &value) == 0; i++) {
        if (key->kind != PICKLE_INT || pickle_entries(value) > MAX_FIELDS)
            return bad(err, "an entry is malformed");
        work->states[work->state_count++] = (struct slot){.number = key->integer, .state = value};
    }
    qsort(work->states, work->state_count, sizeof *work->states, compare_numbers);
    return 0;
}

/* Fills a slot from the state under its number, where there is one. */
static int read_slot(struct slot *slot, const struct work *work, const struct pickle_value *number,
                     struct error *err)
{
    if (number->kind != PICKLE_INT)
        return bad(err, "a parameter's number is not a number");
    *slot = (struct slot){.number = number->integer};
    const struct slot *found =
        bsearch(slot, work->states, work->state_count, sizeof *slot, compare_numbers);
    if (!found || pickle_entries(found->state) == 0)
        return 0;
    slot->state = found->state;
    if (checkpoint_tensor(&slot->m, work->checkpoint, pickle_get(slot->state, "exp_avg"), err) ||
        checkpoint_tensor(&slot->v, work->checkpoint, pickle_get(slot->state, "exp_avg_sq"), err))
        return error_prefix(err, "optimizer state %lld (not Adam's?)", (long long)slot->number);
    if (!same_shape(&slot->m, &slot->v))
        return bad(err, "the two moments of a parameter have different shapes");
    return 0;
}

/* ---- assigning ---- */

static bool can_be(const struct slot *slot, const struct weight *parameter)
{
    return !slot->state || same_shape(&slot->m, &parameter->tensor);
}

/* Keeps the order, taking the first parameter that can be meant, then from the end the last. */
static int assign_in_order(struct work *work, size_t count, struct error *err)
{
    static const char misfit[] = "its shapes do not fit the parameters in their order";
    size_t p = 0;
    for (size_t i = 0; i < count; i++, p++) {
        while (p < work->parameter_count && !can_be(&work->slots[i], work->parameters[p]))
            p++;
        if (p >= work->parameter_count)
            return bad(err, misfit);
        work->slots[i].left = p;
    }
    p = work->parameter_count;
    for (size_t i = count; i-- > 0;) {
        do { /* ends: the assignment above is one this can fall back to */
            if (p == 0)
                return bad(err, misfit);
            p--;
        } while (!can_be(&work->slots[i], work->parameters[p]));
        work->slots[i].right = p;
    }
    for (size_t i = 0; i < count; i++)
        if (work->slots[i].state && work->slots[i].left != work->slots[i].right)
            return error_set(err, ERR_UNSUPPORTED,
                             "optimizer state: it has %zu of %zu parameters, and shapes do not "
                             "tell which (number %lld may be %.64s or %.64s)",
                             count, work->parameter_count, (long long)work->slots[i].number,
                             work->parameters[work->slots[i].left]->name,
                             work->parameters[work->slots[i].right]->name);
    return 0;
}

static int read_step(int64_t *step, struct checkpoint *checkpoint, const struct pickle_value *value,
                     struct error *err)
{
    double number = -1;
    if (checkpoint_is_tensor(value)) {
        struct checkpoint_tensor t;
        const void *data;
        float f;
        if (checkpoint_tensor(&t, checkpoint, value, err) || t.elements != 1)
            return bad(err, "a step is not one number");
        if (checkpoint_read(&data, checkpoint, &t, err))
            return -1;
        const struct tensor_view view = {
            .name = "step", .dtype = t.dtype, .elements = 1, .data = data, .bytes = t.bytes};
        if (tensor_to_f32(&f, &view, err))
            return -1;
        number = f;
    } else if (value && value->kind == PICKLE_INT) {
        number = (double)value->integer;
    } else if (value && value->kind == PICKLE_FLOAT) {
        number = value->real;
    }
    if (!(number >= 0 && number < 1e15))
        return bad(err, "a step is missing or out of range");
    *step = (int64_t)number;
    return 0;
}

static int keep(struct work *work, const struct slot *slot, const struct weight *weight,
                struct error *err)
{
    struct moment moment = {.weight = weight, .m = slot->m, .v = slot->v};
    size_t index = (size_t)(weight - work->weights->at);
    if (!slot->state)
        return 0;
    if (work->taken[index] || !can_be(slot, weight))
        return error_set(err, ERR_BAD_WEIGHTS,
                         "optimizer state: number %lld does not fit, or repeats, %.64s",
                         (long long)slot->number, weight->name);
    work->taken[index] = true;
    if (read_step(&moment.step, work->checkpoint, pickle_get(slot->state, "step"), err))
        return -1;
    if (moment.step > work->out->step)
        work->out->step = moment.step;
    work->out->at[work->out->count++] = moment;
    return 0;
}

static int assign_by_name(struct work *work, size_t count, const struct pickle_value *names,
                          struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const struct pickle_value *name = pickle_item(names, i);
        if (!name || name->kind != PICKLE_TEXT)
            return bad(err, "param_names are malformed");
        char *text = weights_canonical(name->text.at, name->text.length);
        if (!text)
            return out_of_memory(err);
        const struct weight *weight = weights_find(work->weights, text);
        if (!weight && strncmp(text, "module.", 7) == 0)
            weight = weights_find(work->weights, text + 7);
        free(text);
        if (!weight)
            return bad(err, "param_names has a name that is not among the tensors");
        if (keep(work, &work->slots[i], weight, err))
            return -1;
    }
    return 0;
}

static int read_group(struct work *work, const struct pickle_value *group, struct error *err)
{
    const struct pickle_value *numbers = pickle_get(group, "params"), *number;
    const struct pickle_value *names = pickle_get(group, "param_names");
    size_t count = 0;
    if (!numbers || numbers->kind != PICKLE_LIST)
        return bad(err, "a parameter group without params");
    if (numbers->items.count > work->parameter_count)
        return bad(err, "more parameters than the state dict has");
    for (; (number = pickle_item(numbers, count)); count++)
        if (read_slot(&work->slots[count], work, number, err))
            return -1;
    if (names)
        return assign_by_name(work, count, names, err);
    if (assign_in_order(work, count, err))
        return -1;
    for (size_t i = 0; i < count; i++)
        if (keep(work, &work->slots[i], work->parameters[work->slots[i].left], err))
            return -1;
    return 0;
}

int moments_collect(struct moments *moments, struct checkpoint *checkpoint,
                    const struct pickle_value *optimizer, const struct weights *weights,
                    struct error *err)
{
    int rc = 0;
    struct work work = {.checkpoint = checkpoint, .weights = weights, .out = moments};
    const struct pickle_value *groups = pickle_get(optimizer, "param_groups"), *group;
    TRY(list_parameters(&work, err));
    TRY(list_states(&work, optimizer, err));
    work.slots = calloc(work.parameter_count + 1, sizeof *work.slots);
    moments->at = calloc(weights->count + 1, sizeof *moments->at);
    if (!work.slots || !moments->at) {
        rc = out_of_memory(err);
        goto done;
    }
    if (!groups || groups->kind != PICKLE_LIST || groups->items.count > MAX_FIELDS) {
        rc = bad(err, "no parameter groups");
        goto done;
    }
    for (size_t i = 0; (group = pickle_item(groups, i)); i++)
        TRY(read_group(&work, group, err));
done:
    free(work.taken);
    free(work.slots);
    free(work.states);
    free(work.parameters);
    return rc;
}

void moments_free(struct moments *moments)
{
    free(moments->at);
    *moments = (struct moments){0};
}
