/*
 * The state dict of a checkpoint: named tensors, in the order they were saved, under the names this
 * program uses. Private to model/convert.
 */
#ifndef ONESHOT_CONVERT_WEIGHTS_H
#define ONESHOT_CONVERT_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include "model/base/error.h"
#include "model/convert/checkpoint.h"

enum {
    WEIGHTS_MAX_DROPPED = 32, /* named; more are only counted */
    WEIGHTS_DROPPED_SIZE = 96,
};

struct weight {
    char *name;
    struct checkpoint_tensor tensor;
    bool buffer; /* running statistics and their counter: no optimizer has them */
};

/* Entries of the file that are not carried over, "anchor_generator (object)". */
struct dropped {
    char names[WEIGHTS_MAX_DROPPED][WEIGHTS_DROPPED_SIZE];
    size_t count; /* may be more than there are names */
};

struct weights {
    struct weight *at; /* owned, as are the names */
    size_t count, room;
    const struct weight **by_name;      /* owned */
    const struct pickle_value *wrapper; /* the dict around the state dict; NULL where none is */
    const char *wrapper_key;            /* what it is called there */
};

/*
 * Finds the state dict (under model_weights, state_dict, model, model_state_dict, or the saved
 * object itself) and describes its tensors. Takes off a "module." that all names begin with, and
 * writes fpn.inner_blocks.0.0.* as fpn.inner_blocks.0.* (the same for layer_blocks). Zeroed before;
 * weights_free() also after an error. Errors: ERR_BAD_WEIGHTS, ERR_UNSUPPORTED, ERR_MEMORY.
 */
int weights_collect(struct weights *weights, struct dropped *dropped,
                    const struct checkpoint *checkpoint, struct error *err);
void weights_free(struct weights *weights);

/* NULL where there is none. */
const struct weight *weights_find(const struct weights *weights, const char *name);

/* The name this program uses for one of the file's; the caller frees it, NULL is out of memory. */
char *weights_canonical(const char *text, size_t length);

/* Notes an entry that is not carried over. */
void dropped_add(struct dropped *dropped, const struct pickle_value *key,
                 const struct pickle_value *value);

#endif
