/* What each opcode does, and the table of them all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/convert/pickle_machine.h"

static int run_nothing(struct machine *m, const struct operand *in, int detail)
{
    (void)m, (void)in, (void)detail;
    return 0;
}

static int run_proto(struct machine *m, const struct operand *in, int detail)
{
    return in->number > (uint64_t)detail ? pvm_bad(m, "protocol newer than 5") : 0;
}

static int run_stop(struct machine *m, const struct operand *in, int detail)
{
    (void)in, (void)detail;
    if (m->depth || m->stack.count != 1)
        return pvm_bad(m, "ends with other than one value on the stack");
    m->pickle->root = m->stack.at[0];
    m->stopped = true;
    return 0;
}

static int run_mark(struct machine *m, const struct operand *in, int detail)
{
    (void)in, (void)detail;
    if (m->depth >= PICKLE_MAX_DEPTH)
        return pvm_bad(m, "nested deeper than allowed");
    m->marks[m->depth++] = m->stack.count;
    return 0;
}

static int run_pop(struct machine *m, const struct operand *in, int detail)
{
    (void)in, (void)detail;
    if (m->depth && pvm_above_mark(m) == 0) {
        m->depth--;
        return 0;
    }
    return pvm_pop(m) ? 0 : -1;
}

static int run_pop_mark(struct machine *m, const struct operand *in, int detail)
{
    (void)in, (void)detail;
    struct pickle_value **first = NULL;
    size_t count = 0;
    return pvm_pop_mark(m, &first, &count);
}

static int run_dup(struct machine *m, const struct operand *in, int detail)
{
    (void)in, (void)detail;
    return pvm_push(m, pvm_top(m));
}

static int push_integer(struct machine *m, enum pickle_kind kind, int64_t integer)
{
    struct pickle_value *value = pvm_make(m, kind);
    if (value)
        value->integer = integer;
    return pvm_push(m, value);
}

/* NONE and the two truth values; `detail` is 2 for NONE. */
static int run_constant(struct machine *m, const struct operand *in, int detail)
{
    (void)in;
    return push_integer(m, detail == 2 ? PICKLE_NONE : PICKLE_BOOL, detail & 1);
}

/* `detail` is the width; four bytes are signed. */
static int run_int(struct machine *m, const struct operand *in, int detail)
{
    return push_integer(m, PICKLE_INT,
                        detail == 4 ? (int64_t)(int32_t)in->number : (int64_t)in->number);
}

/* Little-endian two's complement of any length. */
static int run_long(struct machine *m, const struct operand *in, int detail)
{
    (void)detail;
    const struct pickle_text *text = &in->text;
    if (text->length > 8) {
        struct pickle_value *value = pvm_make(m, PICKLE_LONG);
        if (value)
            value->text = *text;
        return pvm_push(m, value);
    }
    bool negative = text->length && (unsigned char)text->at[text->length - 1] & 0x80;
    uint64_t number = negative ? UINT64_MAX : 0;
    if (text->length)
        memcpy(&number, text->at, text->length);
    return push_integer(m, PICKLE_INT, (int64_t)number);
}

/* Text of a number, copied to be zero-terminated. */
static int number_text(struct machine *m, char out[64], const struct operand *in)
{
    size_t n = in->text.length;
    if (n == 0 || n >= 64)
        return pvm_bad(m, "malformed number");
    memcpy(out, in->text.at, n);
    out[n] = 0;
    return 0;
}

/* Protocol 0: "5", "01" for true, "5L". */
static int run_text_int(struct machine *m, const struct operand *in, int detail)
{
    (void)detail;
    char text[64], *end;
    if (number_text(m, text, in))
        return -1;
    if (strcmp(text, "00") == 0 || strcmp(text, "01") == 0)
        return push_integer(m, PICKLE_BOOL, text[1] == '1');
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (*end == 'L')
        end++;
    if (errno || end == text || *end)
        return pvm_bad(m, "malformed number");
    return push_integer(m, PICKLE_INT, number);
}

static int push_real(struct machine *m, double real)
{
    struct pickle_value *value = pvm_make(m, PICKLE_FLOAT);
    if (value)
        value->real = real;
    return pvm_push(m, value);
}

static int run_text_float(struct machine *m, const struct operand *in, int detail)
{
    (void)detail;
    char text[64], *end;
    if (number_text(m, text, in))
        return -1;
    double real = strtod(text, &end);
    return end == text || *end ? pvm_bad(m, "malformed number") : push_real(m, real);
}

static int run_float(struct machine *m, const struct operand *in, int detail)
{
    (void)detail;
    uint64_t bits = __builtin_bswap64(in->number);
    double real;
    memcpy(&real, &bits, sizeof real);
    return push_real(m, real);
}

static int run_text(struct machine *m, const struct operand *in, int kind)
{
    struct pickle_value *value = pvm_make(m, (enum pickle_kind)kind);
    if (value)
        value->text = in->text;
    return pvm_push(m, value);
}

/* Protocol 0 text: `detail` 1 in quotes. Escapes would need a copy; torch never writes them. */
static int run_text_line(struct machine *m, const struct operand *in, int detail)
{
    struct operand plain = *in;
    if (detail) {
        if (in->text.length < 2 || in->text.at[0] != in->text.at[in->text.length - 1] ||
            (in->text.at[0] != '\'' && in->text.at[0] != '"'))
            return pvm_bad(m, "string without quotes");
        plain.text.at++;
        plain.text.length -= 2;
    }
    if (plain.text.length && memchr(plain.text.at, '\\', plain.text.length))
        return error_set(m->err, ERR_UNSUPPORTED, "pickle byte %zu: escaped text", m->op_at);
    return run_text(m, &plain, PICKLE_TEXT);
}

static int run_empty(struct machine *m, const struct operand *in, int kind)
{
    (void)in;
    return pvm_push(m, pvm_make(m, (enum pickle_kind)kind));
}

/* A container of what lies above the mark. */
static int run_collect(struct machine *m, const struct operand *in, int kind)
{
    (void)in;
    struct pickle_value **first = NULL;
    size_t count = 0;
    if (pvm_pop_mark(m, &first, &count))
        return -1;
    if (kind == PICKLE_DICT && count % 2)
        return pvm_bad(m, "a key without a value");
    struct pickle_value *value = pvm_make(m, (enum pickle_kind)kind);
    for (size_t i = 0; value && i < count; i++)
        if (pvm_add(m, &value->items, first[i]))
            return -1;
    return pvm_push(m, value);
}

/* A tuple of the topmost `count` values. */
static int run_tuple(struct machine *m, const struct operand *in, int count)
{
    (void)in;
    struct pickle_value *value = pvm_make(m, PICKLE_TUPLE);
    if (!value)
        return -1;
    if (pvm_above_mark(m) < (size_t)count)
        return pvm_bad(m, "takes a value from an empty stack");
    m->stack.count -= (size_t)count;
    for (int i = 0; i < count; i++)
        if (pvm_add(m, &value->items, m->stack.at[m->stack.count + (size_t)i]))
            return -1;
    return pvm_push(m, value);
}

/* Where appended values (`pairs` false) or entries go; NULL with the error set where they cannot.
 */
static struct pickle_items *receiver(struct machine *m, struct pickle_value *target, bool pairs)
{
    if (target->kind == PICKLE_CALL)
        return pairs ? &target->call->entries : &target->call->items;
    if (pairs ? target->kind == PICKLE_DICT
              : target->kind == PICKLE_LIST || target->kind == PICKLE_SET)
        return &target->items;
    pvm_bad(m,
            pairs ? "sets an entry of what is not a dict" : "appends to what is not a list or set");
    return NULL;
}

static int give(struct machine *m, struct pickle_value *const *first, size_t count, bool pairs)
{
    struct pickle_value *target = pvm_top(m);
    struct pickle_items *items = target ? receiver(m, target, pairs) : NULL;
    if (!items)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (pvm_add(m, items, first[i]))
            return -1;
    return 0;
}

/* APPEND and SETITEM: `count` values from the top of the stack. */
static int run_give(struct machine *m, const struct operand *in, int count)
{
    (void)in;
    if (pvm_above_mark(m) < (size_t)count)
        return pvm_bad(m, "takes a value from an empty stack");
    m->stack.count -= (size_t)count;
    return give(m, m->stack.at + m->stack.count, (size_t)count, count == 2);
}

/* APPENDS, ADDITEMS and SETITEMS: all above the mark, `step` values at a time. */
static int run_give_all(struct machine *m, const struct operand *in, int step)
{
    (void)in;
    struct pickle_value **first = NULL;
    size_t count = 0;
    if (pvm_pop_mark(m, &first, &count))
        return -1;
    if (count % (size_t)step)
        return pvm_bad(m, "a key without a value");
    return give(m, first, count, step == 2);
}

static int run_put(struct machine *m, const struct operand *in, int detail)
{
    (void)detail;
    return pvm_put(m, in->number);
}

static int run_memoize(struct machine *m, const struct operand *in, int detail)
{
    (void)in, (void)detail;
    return pvm_put(m, m->memo.count);
}

static int run_get(struct machine *m, const struct operand *in, int detail)
{
    (void)detail;
    if (in->number >= m->memo.room || !m->memo.at[in->number])
        return pvm_bad(m, "memo index that was never put");
    return pvm_push(m, m->memo.at[in->number]);
}

/* Protocol 0 writes memo indices as text; `detail` 1 for PUT. */
static int run_text_memo(struct machine *m, const struct operand *in, int detail)
{
    char text[64], *end;
    if (number_text(m, text, in))
        return -1;
    errno = 0;
    unsigned long long index = strtoull(text, &end, 10);
    if (errno || *end || text[0] < '0' || text[0] > '9')
        return pvm_bad(m, "malformed memo index");
    const struct operand binary = {.number = index};
    return detail ? run_put(m, &binary, 0) : run_get(m, &binary, 0);
}

static struct pickle_value *make_global(struct machine *m, struct pickle_text module,
                                        struct pickle_text name)
{
    struct pickle_value *value = pvm_make(m, PICKLE_GLOBAL);
    if (value) {
        value->global.module = module;
        value->global.name = name;
    }
    return value;
}

static int run_global(struct machine *m, const struct operand *in, int detail)
{
    (void)detail;
    return pvm_push(m, make_global(m, in->text, in->second));
}

static int run_stack_global(struct machine *m, const struct operand *in, int detail)
{
    (void)in, (void)detail;
    struct pickle_value *name = pvm_pop(m), *module = name ? pvm_pop(m) : NULL;
    if (!module)
        return -1;
    if (name->kind != PICKLE_TEXT || module->kind != PICKLE_TEXT)
        return pvm_bad(m, "a global whose name is not text");
    return pvm_push(m, make_global(m, module->text, name->text));
}

static int push_call(struct machine *m, const struct pickle_value *function,
                     const struct pickle_value *arguments)
{
    struct pickle_value *value = pvm_make(m, PICKLE_CALL);
    if (!value)
        return -1;
    value->call = pvm_allocate(m, sizeof *value->call);
    if (!value->call)
        return -1;
    value->call->function = function;
    value->call->arguments = arguments;
    return pvm_push(m, value);
}

/* REDUCE and NEWOBJ take a function and arguments, NEWOBJ_EX (`detail` 1) keywords as well. */
static int run_call(struct machine *m, const struct operand *in, int detail)
{
    (void)in;
    if (detail && !pvm_pop(m))
        return -1;
    struct pickle_value *arguments = pvm_pop(m), *function = arguments ? pvm_pop(m) : NULL;
    if (!function)
        return -1;
    return push_call(m, function, arguments);
}

/* INST names the class, OBJ (`detail` 1) finds it first above the mark; the rest are arguments. */
static int run_instance(struct machine *m, const struct operand *in, int detail)
{
    if (run_collect(m, in, PICKLE_TUPLE))
        return -1;
    struct pickle_value *arguments = pvm_pop(m);
    const struct pickle_value *function;
    if (!arguments)
        return -1;
    if (detail) {
        if (arguments->items.count == 0)
            return pvm_bad(m, "an object without a class");
        function = *arguments->items.at++;
        arguments->items.count--;
        arguments->items.room--;
    } else {
        function = make_global(m, in->text, in->second);
    }
    return function ? push_call(m, function, arguments) : -1;
}

static int run_build(struct machine *m, const struct operand *in, int detail)
{
    (void)in, (void)detail;
    struct pickle_value *state = pvm_pop(m), *target = state ? pvm_top(m) : NULL;
    if (!target)
        return -1;
    if (target->kind != PICKLE_CALL)
        return pvm_bad(m, "gives state to what is not an object");
    target->call->state = state;
    return 0;
}

static int push_reference(struct machine *m, const struct pickle_value *id)
{
    struct pickle *p = m->pickle;
    struct pickle_value *value = pvm_make(m, PICKLE_REFERENCE);
    if (!value)
        return -1;
    value->reference = id;
    if (p->references_count == p->references_room) {
        size_t room = p->references_room ? p->references_room * 2 : 256;
        const struct pickle_value **grown = reallocarray(p->references, room, sizeof *grown);
        if (!grown)
            return pvm_no_memory(m);
        p->references = grown;
        p->references_room = room;
    }
    p->references[p->references_count++] = value;
    return pvm_push(m, value);
}

/* PERSID has its id as text, BINPERSID (`detail` 1) on the stack. */
static int run_reference(struct machine *m, const struct operand *in, int detail)
{
    if (!detail && run_text(m, in, PICKLE_TEXT))
        return -1;
    struct pickle_value *id = pvm_pop(m);
    return id ? push_reference(m, id) : -1;
}

static int run_outside(struct machine *m, const struct operand *in, int detail)
{
    (void)in, (void)detail;
    return error_set(m->err, ERR_UNSUPPORTED,
                     "pickle byte %zu: refers to extensions or buffers outside of the file",
                     m->op_at);
}

const struct opcode pvm_opcodes[256] = {
    ['('] = {"MARK", NO, run_mark, 0},
    ['.'] = {"STOP", NO, run_stop, 0},
    ['0'] = {"POP", NO, run_pop, 0},
    ['1'] = {"POP_MARK", NO, run_pop_mark, 0},
    ['2'] = {"DUP", NO, run_dup, 0},
    ['F'] = {"FLOAT", LINE, run_text_float, 0},
    ['I'] = {"INT", LINE, run_text_int, 0},
    ['J'] = {"BININT", N4, run_int, 4},
    ['K'] = {"BININT1", N1, run_int, 1},
    ['L'] = {"LONG", LINE, run_text_int, 0},
    ['M'] = {"BININT2", N2, run_int, 2},
    ['N'] = {"NONE", NO, run_constant, 2},
    ['P'] = {"PERSID", LINE, run_reference, 0},
    ['Q'] = {"BINPERSID", NO, run_reference, 1},
    ['R'] = {"REDUCE", NO, run_call, 0},
    ['S'] = {"STRING", LINE, run_text_line, 1},
    ['T'] = {"BINSTRING", S4, run_text, PICKLE_TEXT},
    ['U'] = {"SHORT_BINSTRING", S1, run_text, PICKLE_TEXT},
    ['V'] = {"UNICODE", LINE, run_text_line, 0},
    ['X'] = {"BINUNICODE", S4, run_text, PICKLE_TEXT},
    ['a'] = {"APPEND", NO, run_give, 1},
    ['b'] = {"BUILD", NO, run_build, 0},
    ['c'] = {"GLOBAL", LINES, run_global, 0},
    ['d'] = {"DICT", NO, run_collect, PICKLE_DICT},
    ['}'] = {"EMPTY_DICT", NO, run_empty, PICKLE_DICT},
    ['e'] = {"APPENDS", NO, run_give_all, 1},
    ['g'] = {"GET", LINE, run_text_memo, 0},
    ['h'] = {"BINGET", N1, run_get, 0},
    ['i'] = {"INST", LINES, run_instance, 0},
    ['j'] = {"LONG_BINGET", N4, run_get, 0},
    ['l'] = {"LIST", NO, run_collect, PICKLE_LIST},
    [']'] = {"EMPTY_LIST", NO, run_empty, PICKLE_LIST},
    ['o'] = {"OBJ", NO, run_instance, 1},
    ['p'] = {"PUT", LINE, run_text_memo, 1},
    ['q'] = {"BINPUT", N1, run_put, 0},
    ['r'] = {"LONG_BINPUT", N4, run_put, 0},
    ['s'] = {"SETITEM", NO, run_give, 2},
    ['t'] = {"TUPLE", NO, run_collect, PICKLE_TUPLE},
    [')'] = {"EMPTY_TUPLE", NO, run_empty, PICKLE_TUPLE},
    ['u'] = {"SETITEMS", NO, run_give_all, 2},
    ['G'] = {"BINFLOAT", N8, run_float, 0},
    [0x80] = {"PROTO", N1, run_proto, 5},
    [0x81] = {"NEWOBJ", NO, run_call, 0},
    [0x82] = {"EXT1", N1, run_outside, 0},
    [0x83] = {"EXT2", N2, run_outside, 0},
    [0x84] = {"EXT4", N4, run_outside, 0},
    [0x85] = {"TUPLE1", NO, run_tuple, 1},
    [0x86] = {"TUPLE2", NO, run_tuple, 2},
    [0x87] = {"TUPLE3", NO, run_tuple, 3},
    [0x88] = {"NEWTRUE", NO, run_constant, 1},
    [0x89] = {"NEWFALSE", NO, run_constant, 0},
    [0x8a] = {"LONG1", S1, run_long, 0},
    [0x8b] = {"LONG4", S4, run_long, 0},
    ['B'] = {"BINBYTES", S4, run_text, PICKLE_BYTES},
    ['C'] = {"SHORT_BINBYTES", S1, run_text, PICKLE_BYTES},
    [0x8c] = {"SHORT_BINUNICODE", S1, run_text, PICKLE_TEXT},
    [0x8d] = {"BINUNICODE8", S8, run_text, PICKLE_TEXT},
    [0x8e] = {"BINBYTES8", S8, run_text, PICKLE_BYTES},
    [0x8f] = {"EMPTY_SET", NO, run_empty, PICKLE_SET},
    [0x90] = {"ADDITEMS", NO, run_give_all, 1},
    [0x91] = {"FROZENSET", NO, run_collect, PICKLE_SET},
    [0x92] = {"NEWOBJ_EX", NO, run_call, 1},
    [0x93] = {"STACK_GLOBAL", NO, run_stack_global, 0},
    [0x94] = {"MEMOIZE", NO, run_memoize, 0},
    [0x95] = {"FRAME", N8, run_nothing, 0},
    [0x96] = {"BYTEARRAY8", S8, run_text, PICKLE_BYTES},
    [0x97] = {"NEXT_BUFFER", NO, run_outside, 0},
    [0x98] = {"READONLY_BUFFER", NO, run_outside, 0},
};
