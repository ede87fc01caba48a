/* The machine's memory, stack, marks and memo. */
#include "model/convert/pickle_machine.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

int pvm_bad(struct machine *m, const char *what)
{
    return error_set(m->err, ERR_BAD_WEIGHTS, "pickle byte %zu (%s): %s", m->op_at, m->op_name,
                     what);
}

int pvm_no_memory(struct machine *m)
{
    return error_set(m->err, ERR_MEMORY, "out of memory reading a pickle");
}

/* ---- memory ---- */

void *pvm_allocate(struct machine *m, size_t size)
{
    enum { BLOCK = 64 << 10 };
    struct pickle *p = m->pickle;
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!p->blocks || p->blocks->size - p->blocks->used < size) {
        size_t room = size > BLOCK ? size : BLOCK;
        if (room > PICKLE_MAX_MEMORY - p->memory) {
            pvm_bad(m, "its values need more memory than allowed");
            return NULL;
        }
        struct block *block = malloc(sizeof *block + room);
        if (!block) {
            pvm_no_memory(m);
            return NULL;
        }
        *block = (struct block){.next = p->blocks, .size = room};
        p->blocks = block;
        p->memory += room;
    }
    void *result = p->blocks->bytes + p->blocks->used;
    p->blocks->used += size;
    memset(result, 0, size);
    return result;
}

struct pickle_value *pvm_make(struct machine *m, enum pickle_kind kind)
{
    if (m->made++ >= PICKLE_MAX_VALUES) {
        pvm_bad(m, "more values than allowed");
        return NULL;
    }
    struct pickle_value *value = pvm_allocate(m, sizeof *value);
    if (value)
        value->kind = kind;
    return value;
}

int pvm_add(struct machine *m, struct pickle_items *items, const struct pickle_value *value)
{
    if (items->count == items->room) {
        size_t room = items->room ? items->room * 2 : 4;
        const struct pickle_value **at = pvm_allocate(m, room * sizeof *at);
        if (!at)
            return -1;
        if (items->count)
            memcpy(at, items->at, items->count * sizeof *at);
        items->at = at;
        items->room = room;
    }
    items->at[items->count++] = value;
    return 0;
}

static int reserve(struct machine *m, struct values *values, size_t count)
{
    if (count <= values->room)
        return 0;
    size_t room = values->room ? values->room : 256;
    while (room < count)
        room *= 2;
    struct pickle_value **at = reallocarray(values->at, room, sizeof *at);
    if (!at)
        return pvm_no_memory(m);
    memset(at + values->room, 0, (room - values->room) * sizeof *at);
    values->at = at;
    values->room = room;
    return 0;
}

/* ---- stack, marks, memo ---- */

int pvm_push(struct machine *m, struct pickle_value *value)
{
    if (!value)
        return -1;
    if (m->stack.count >= PICKLE_MAX_STACK)
        return pvm_bad(m, "stack deeper than allowed");
    if (reserve(m, &m->stack, m->stack.count + 1))
        return -1;
    m->stack.at[m->stack.count++] = value;
    return 0;
}

size_t pvm_above_mark(const struct machine *m)
{
    return m->stack.count - (m->depth ? m->marks[m->depth - 1] : 0);
}

struct pickle_value *pvm_pop(struct machine *m)
{
    if (pvm_above_mark(m) == 0) {
        pvm_bad(m, "takes a value from an empty stack");
        return NULL;
    }
    return m->stack.at[--m->stack.count];
}

struct pickle_value *pvm_top(struct machine *m)
{
    struct pickle_value *value = pvm_pop(m);
    if (value)
        m->stack.count++;
    return value;
}

int pvm_pop_mark(struct machine *m, struct pickle_value ***first, size_t *count)
{
    if (m->depth == 0)
        return pvm_bad(m, "there is no mark on the stack");
    *count = pvm_above_mark(m);
    m->stack.count = m->marks[--m->depth];
    *first = m->stack.at ? m->stack.at + m->stack.count : NULL;
    return 0;
}

int pvm_put(struct machine *m, uint64_t index)
{
    struct pickle_value *value = pvm_top(m);
    if (!value)
        return -1;
    if (index > PICKLE_MAX_MEMO)
        return pvm_bad(m, "memo index larger than allowed");
    if (reserve(m, &m->memo, (size_t)index + 1))
        return -1;
    if (!m->memo.at[index])
        m->memo.count++;
    m->memo.at[index] = value;
    return 0;
}
