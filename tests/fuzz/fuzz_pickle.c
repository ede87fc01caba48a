/* Any bytes either fail cleanly or give a tree whose every value lies in memory and in limits. */
#include <stdint.h>
#include <stdlib.h>

#include "model/convert/checkpoint.h"
#include "model/convert/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

struct walk {
    const char *begin, *end; /* of the pickle */
    int budget;              /* values still to be looked at: the tree may contain itself */
};

static void require(int condition)
{
    if (!condition)
        abort();
}

static void check_text(const struct walk *walk, const struct pickle_text *text)
{
    require(text->at >= walk->begin && text->at <= walk->end);
    require(text->length <= (size_t)(walk->end - text->at));
}

static void visit(struct walk *walk, const struct pickle_value *value, int depth);

static void visit_items(struct walk *walk, const struct pickle_items *items, int depth)
{
    require(items->count <= items->room);
    for (size_t i = 0; i < items->count && walk->budget > 0; i++)
        visit(walk, items->at[i], depth + 1);
}

static void visit(struct walk *walk, const struct pickle_value *value, int depth)
{
    if (walk->budget-- <= 0 || depth > 50)
        return;
    require((unsigned)value->kind < PICKLE_KINDS);
    const struct pickle_value *key, *entry;
    if (pickle_entry(value, 0, &key, &entry) == 0)
        require(pickle_entries(value) > 0 && key && entry);
    checkpoint_is_tensor(value);
    switch (value->kind) {
    case PICKLE_TEXT:
    case PICKLE_BYTES:
    case PICKLE_LONG:
        check_text(walk, &value->text);
        break;
    case PICKLE_GLOBAL:
        check_text(walk, &value->global.module);
        check_text(walk, &value->global.name);
        break;
    case PICKLE_DICT:
        require(value->items.count % 2 == 0);
        visit_items(walk, &value->items, depth);
        break;
    case PICKLE_TUPLE:
    case PICKLE_LIST:
    case PICKLE_SET:
        visit_items(walk, &value->items, depth);
        break;
    case PICKLE_CALL:
        visit(walk, value->call->function, depth + 1);
        visit(walk, value->call->arguments, depth + 1);
        if (value->call->state)
            visit(walk, value->call->state, depth + 1);
        visit_items(walk, &value->call->items, depth);
        visit_items(walk, &value->call->entries, depth);
        break;
    case PICKLE_REFERENCE:
        visit(walk, value->reference, depth + 1);
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct error err = {0};
    struct pickle *pickle;
    size_t used = 0, count;
    if (pickle_parse(&pickle, bytes, length, &used, &err)) {
        require((err.code == ERR_BAD_WEIGHTS || err.code == ERR_UNSUPPORTED) && err.text[0]);
        return 0;
    }
    require(used > 0 && used <= length);
    struct walk walk = {(const char *)bytes, (const char *)bytes + length, 10000};
    visit(&walk, pickle_root(pickle), 0);
    const struct pickle_value *const *references = pickle_references(pickle, &count);
    for (size_t i = 0; i < count; i++)
        require(references[i]->kind == PICKLE_REFERENCE);
    pickle_get(pickle_root(pickle), "state_dict");
    pickle_free(pickle);
    return 0;
}
