/*
 * Python pickles as data. A small stack machine reads the opcodes of protocols 0 to 5 and builds a
 * tree of values; a class, a function or a call that a pickle names becomes a value that says so,
 * and nothing is ever looked up, imported or called.
 *
 * Values live as long as the pickle and point into its bytes, which must outlive it. The tree may
 * share nodes and even contain itself, so walk it along known keys, never by blind recursion.
 * One thread at a time while parsing; read-only afterwards.
 */
#ifndef ONESHOT_CONVERT_PICKLE_H
#define ONESHOT_CONVERT_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

enum { /* a checkpoint of a thousand tensors with its optimizer has some 60 000 values */
       PICKLE_MAX_VALUES = 1 << 20,
       PICKLE_MAX_STACK = 1 << 18,  /* values on the stack */
       PICKLE_MAX_DEPTH = 1000,     /* marks open at once */
       PICKLE_MAX_MEMO = 1 << 20,   /* highest memo index */
       PICKLE_MAX_TEXT = 1 << 24,   /* bytes of one string */
       PICKLE_MAX_MEMORY = 1 << 26, /* bytes of all values together */
};

enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,      /* integer: 0 or 1 */
    PICKLE_INT,       /* integer */
    PICKLE_LONG,      /* text: an integer over 64 bits, little-endian two's complement */
    PICKLE_FLOAT,     /* real */
    PICKLE_TEXT,      /* text: as in the file, meant to be UTF-8 but not checked */
    PICKLE_BYTES,     /* text */
    PICKLE_TUPLE,     /* items */
    PICKLE_LIST,      /* items */
    PICKLE_SET,       /* items */
    PICKLE_DICT,      /* items: key, value, key, value, ... */
    PICKLE_GLOBAL,    /* global: a class or function, by name */
    PICKLE_CALL,      /* call: an object, and what was to be done to it */
    PICKLE_REFERENCE, /* reference: a persistent id, whatever it means to the writer */
    PICKLE_KINDS
};

/* Bytes inside the pickle; not zero-terminated. */
struct pickle_text {
    const char *at;
    size_t length;
};

struct pickle_items {
    const struct pickle_value **at;
    size_t count, room;
};

struct pickle_call {
    const struct pickle_value *function;  /* mostly a GLOBAL */
    const struct pickle_value *arguments; /* mostly a TUPLE */
    const struct pickle_value *state;     /* given to the object afterwards; NULL where none was */
    struct pickle_items items;            /* appended afterwards */
    struct pickle_items entries;          /* set afterwards: key, value, ... */
};

struct pickle_value {
    enum pickle_kind kind;
    union {
        int64_t integer;
        double real;
        struct pickle_text text;
        struct pickle_items items;
        struct {
            struct pickle_text module, name;
        } global;
        struct pickle_call *call;
        const struct pickle_value *reference;
    };
};

struct pickle;

/*
 * Reads one pickle from the beginning of `bytes`; *used (may be NULL) is how many it takes.
 * Errors: ERR_BAD_WEIGHTS with the offset of the opcode at fault, ERR_UNSUPPORTED for opcodes that
 * need something outside of the file, ERR_MEMORY.
 */
int pickle_parse(struct pickle **out, const void *bytes, size_t length, size_t *used,
                 struct error *err);
void pickle_free(struct pickle *pickle); /* NULL is fine */

const struct pickle_value *pickle_root(const struct pickle *pickle);

/* Every REFERENCE in the order met, the same id as often as it was met. */
const struct pickle_value *const *pickle_references(const struct pickle *pickle, size_t *count);

const char *pickle_kind_name(enum pickle_kind kind); /* "dict" */

/* ---- questions about a value; all accept NULL and then say no ---- */

bool pickle_text_is(const struct pickle_value *value, const char *text);
bool pickle_global_is(const struct pickle_value *value, const char *module, const char *name);

/* Item `index` of a tuple or list; NULL past the end and for other kinds. */
const struct pickle_value *pickle_item(const struct pickle_value *value, size_t index);

/*
 * Entry `index` of a dict, or of an object used like one (OrderedDict and its kin, whether filled
 * afterwards or from a list of pairs). 0, or -1 past the end and for other kinds.
 */
int pickle_entry(const struct pickle_value *value, size_t index, const struct pickle_value **key,
                 const struct pickle_value **entry);
size_t pickle_entries(const struct pickle_value *value); /* how many there are */

/* The last entry under a text key; NULL where there is none. */
const struct pickle_value *pickle_get(const struct pickle_value *value, const char *key);

#endif
