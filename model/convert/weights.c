#include "model/convert/weights.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int out_of_memory(struct error *err)
{
    return error_set(err, ERR_MEMORY, "out of memory listing tensors");
}

/* ---- names ---- */

static bool has_suffix(const char *text, const char *suffix)
{
    size_t a = strlen(text), b = strlen(suffix);
    return a >= b && strcmp(text + a - b, suffix) == 0;
}

static bool is_buffer(const char *name)
{
    static const char *const leaves[] = {".running_mean", ".running_var", ".num_batches_tracked"};
    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++)
        if (has_suffix(name, leaves[i]))
            return true;
    return false;
}

/* Newer torchvision wraps the convolutions of the FPN once more: takes out the second number. */
static void unwrap_fpn(char *name)
{
    static const char *const lists[] = {"fpn.inner_blocks.", "fpn.layer_blocks."};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        char *list = strstr(name, lists[i]);
        if (!list)
            continue;
        char *end = list + strlen(lists[i]);
        while (isdigit((unsigned char)*end))
            end++;
        if (strncmp(end, ".0.", 3) == 0)
            memmove(end, end + 2, strlen(end + 2) + 1);
    }
}

char *weights_canonical(const char *text, size_t length)
{
    char *name = strndup(text, length);
    if (name)
        unwrap_fpn(name);
    return name;
}

static const char data_parallel[] = "module.";

static bool has_prefix(const char *name)
{
    return strncmp(name, data_parallel, sizeof data_parallel - 1) == 0;
}

static void strip_prefix(struct weights *w)
{
    const size_t n = sizeof data_parallel - 1;
    for (size_t i = 0; i < w->count; i++)
        if (!has_prefix(w->at[i].name))
            return;
    for (size_t i = 0; i < w->count; i++)
        memmove(w->at[i].name, w->at[i].name + n, strlen(w->at[i].name + n) + 1);
}

/* Text of the file as far as a message or report may show it. */
static int shown(const struct pickle_text *text)
{
    int n = 0;
    while ((size_t)n < text->length && n < 64 && text->at[n] >= 0x20 && text->at[n] < 0x7f)
        n++;
    return n;
}

void dropped_add(struct dropped *dropped, const struct pickle_value *key,
                 const struct pickle_value *value)
{
    const char *kind = checkpoint_is_tensor(value) ? "tensor" : pickle_kind_name(value->kind);
    if (dropped->count < WEIGHTS_MAX_DROPPED) {
        char *out = dropped->names[dropped->count];
        if (key->kind == PICKLE_TEXT)
            snprintf(out, WEIGHTS_DROPPED_SIZE, "%.*s (%s)", shown(&key->text), key->text.at, kind);
        else
            snprintf(out, WEIGHTS_DROPPED_SIZE, "an entry whose key is not text (%s)", kind);
    }
    dropped->count++;
}

/* ---- the state dict ---- */

static bool holds_tensors(const struct pickle_value *value)
{
    const struct pickle_value *key, *entry;
    for (size_t i = 0; pickle_entry(value, i, &key, &entry) == 0; i++)
        if (checkpoint_is_tensor(entry))
            return true;
    return false;
}

/* The names of what was found instead, for the message. */
static int no_state_dict(const struct pickle_value *root, struct error *err)
{
    char list[256] = "";
    size_t used = 0;
    const struct pickle_value *key, *entry;
    for (size_t i = 0; pickle_entry(root, i, &key, &entry) == 0 && used < sizeof list - 80; i++)
        if (key->kind == PICKLE_TEXT)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%.*s", used ? ", " : "",
                                     shown(&key->text), key->text.at);
    return error_set(err, ERR_BAD_WEIGHTS,
                     "no state dict found: the file holds a %s%s%s%s; save model.state_dict()",
                     pickle_kind_name(root->kind), used ? " with " : "", list,
                     root->kind == PICKLE_CALL ? " (a whole pickled model?)" : "");
}

static const struct pickle_value *find_state_dict(struct weights *w,
                                                  const struct pickle_value *root)
{
    static const char *const keys[] = {"model_weights", "state_dict", "model", "model_state_dict"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct pickle_value *value = pickle_get(root, keys[i]);
        if (holds_tensors(value)) {
            w->wrapper = root;
            w->wrapper_key = keys[i];
            return value;
        }
    }
    return holds_tensors(root) ? root : NULL;
}

static int check_name(const struct pickle_text *text, struct error *err)
{
    if (text->length == 0 || text->length > SAFETENSORS_MAX_NAME)
        return error_set(err, ERR_BAD_WEIGHTS, "a tensor's name is empty or longer than %d bytes",
                         SAFETENSORS_MAX_NAME);
    for (size_t i = 0; i < text->length; i++)
        if ((unsigned char)text->at[i] < 0x20 || text->at[i] == 0x7f)
            return error_set(err, ERR_BAD_WEIGHTS, "a tensor's name has control characters");
    return 0;
}

static int add(struct weights *w, const struct checkpoint *checkpoint,
               const struct pickle_value *key, const struct pickle_value *value, struct error *err)
{
    if (check_name(&key->text, err))
        return -1;
    if (w->count == SAFETENSORS_MAX_TENSORS)
        return error_set(err, ERR_BAD_WEIGHTS, "more than %d tensors", SAFETENSORS_MAX_TENSORS);
    if (w->count == w->room) {
        size_t room = w->room ? w->room * 2 : 256;
        struct weight *at = reallocarray(w->at, room, sizeof *at);
        if (!at)
            return out_of_memory(err);
        w->at = at;
        w->room = room;
    }
    struct weight weight = {0};
    if (checkpoint_tensor(&weight.tensor, checkpoint, value, err))
        return error_prefix(err, "tensor \"%.*s\"", shown(&key->text), key->text.at);
    weight.name = weights_canonical(key->text.at, key->text.length);
    if (!weight.name)
        return out_of_memory(err);
    weight.buffer = is_buffer(weight.name);
    w->at[w->count++] = weight;
    return 0;
}

static int compare_names(const void *a, const void *b)
{
    const struct weight *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int sort(struct weights *w, struct error *err)
{
    w->by_name = calloc(w->count + 1, sizeof *w->by_name);
    if (!w->by_name)
        return out_of_memory(err);
    for (size_t i = 0; i < w->count; i++)
        w->by_name[i] = &w->at[i];
    qsort(w->by_name, w->count, sizeof *w->by_name, compare_names);
    for (size_t i = 1; i < w->count; i++)
        if (strcmp(w->by_name[i - 1]->name, w->by_name[i]->name) == 0)
            return error_set(err, ERR_BAD_WEIGHTS, "tensor \"%.64s\" is there twice",
                             w->by_name[i]->name);
    return 0;
}

int weights_collect(struct weights *w, struct dropped *dropped, const struct checkpoint *checkpoint,
                    struct error *err)
{
    const struct pickle_value *root = checkpoint_root(checkpoint), *key, *value;
    const struct pickle_value *dict = find_state_dict(w, root);
    if (!dict)
        return no_state_dict(root, err);
    for (size_t i = 0; pickle_entry(dict, i, &key, &value) == 0; i++) {
        if (key->kind != PICKLE_TEXT || !checkpoint_is_tensor(value))
            dropped_add(dropped, key, value);
        else if (add(w, checkpoint, key, value, err))
            return -1;
    }
    strip_prefix(w);
    return sort(w, err);
}

void weights_free(struct weights *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->at[i].name);
    free(w->at);
    free(w->by_name);
    *w = (struct weights){0};
}

const struct weight *weights_find(const struct weights *w, const char *name)
{
    const struct weight key = {.name = (char *)(uintptr_t)name};
    const struct weight *pointer = &key;
    const struct weight **found =
        bsearch(&pointer, w->by_name, w->count, sizeof *w->by_name, compare_names);
    return found ? *found : NULL;
}
