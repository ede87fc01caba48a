/*
 * The stack machine that reads pickles: private to pickle*.c. Functions that can fail return
 * non-zero or NULL with the machine's error set.
 */
#ifndef ONESHOT_CONVERT_PICKLE_MACHINE_H
#define ONESHOT_CONVERT_PICKLE_MACHINE_H

#include "model/convert/pickle.h"

/* Values are only ever freed together, so they are cut from large blocks. */
struct block {
    struct block *next;
    size_t used, size;
    _Alignas(max_align_t) unsigned char bytes[];
};

struct pickle {
    struct block *blocks;
    size_t memory;
    const struct pickle_value *root;
    const struct pickle_value **references; /* owned by itself: it grows all the time */
    size_t references_count, references_room;
};

/* An array of values that grows by doubling. */
struct values {
    struct pickle_value **at; /* owned */
    size_t count, room;
};

struct machine {
    struct pickle *pickle;
    const char *bytes;
    size_t length;
    size_t at;    /* of the next byte */
    size_t op_at; /* of the opcode being run */
    const char *op_name;
    struct values stack, memo;      /* memo: NULL where nothing was put */
    size_t marks[PICKLE_MAX_DEPTH]; /* stack heights */
    size_t depth;
    size_t made; /* values */
    bool stopped;
    struct error *err;
};

int pvm_bad(struct machine *m, const char *what); /* ERR_BAD_WEIGHTS at this opcode; -1 */
int pvm_no_memory(struct machine *m);

/* Zeroed memory that lives as long as the pickle. */
void *pvm_allocate(struct machine *m, size_t size);
struct pickle_value *pvm_make(struct machine *m, enum pickle_kind kind);
int pvm_add(struct machine *m, struct pickle_items *items, const struct pickle_value *value);

int pvm_push(struct machine *m, struct pickle_value *value); /* NULL: the error is set already */
struct pickle_value *pvm_pop(struct machine *m);
struct pickle_value *pvm_top(struct machine *m); /* stays on the stack */
size_t pvm_above_mark(const struct machine *m);  /* values above the last mark */

/* Takes the mark and the values above it off the stack; they stay readable until the next push. */
int pvm_pop_mark(struct machine *m, struct pickle_value ***first, size_t *count);

int pvm_put(struct machine *m, uint64_t index); /* the top of the stack into the memo */

/* ---- opcodes ---- */

/* How an operand is written: bytes of number, bytes of length before a text, lines of text. */
enum operand_form { NO, N1, N2, N4, N8, S1, S4, S8, LINE, LINES };

struct operand {
    uint64_t number;
    struct pickle_text text, second;
};

struct opcode {
    const char *name;
    enum operand_form form;
    int (*run)(struct machine *m, const struct operand *in, int detail);
    int detail; /* what tells opcodes of one kind apart */
};

extern const struct opcode pvm_opcodes[256]; /* `run` is NULL where there is no such opcode */

#endif
