/* Questions about the values of a pickle. */
#include <string.h>

#include "model/convert/pickle.h"

const char *pickle_kind_name(enum pickle_kind kind)
{
    static const char *const names[PICKLE_KINDS] = {
        [PICKLE_NONE] = "None",   [PICKLE_BOOL] = "bool",           [PICKLE_INT] = "int",
        [PICKLE_LONG] = "int",    [PICKLE_FLOAT] = "float",         [PICKLE_TEXT] = "str",
        [PICKLE_BYTES] = "bytes", [PICKLE_TUPLE] = "tuple",         [PICKLE_LIST] = "list",
        [PICKLE_SET] = "set",     [PICKLE_DICT] = "dict",           [PICKLE_GLOBAL] = "name",
        [PICKLE_CALL] = "object", [PICKLE_REFERENCE] = "reference",
    };
    return (unsigned)kind < PICKLE_KINDS ? names[kind] : "?";
}

static bool same(const struct pickle_text *text, const char *string)
{
    size_t length = strlen(string);
    return text->length == length && memcmp(text->at, string, length) == 0;
}

bool pickle_text_is(const struct pickle_value *value, const char *text)
{
    return value && value->kind == PICKLE_TEXT && same(&value->text, text);
}

bool pickle_global_is(const struct pickle_value *value, const char *module, const char *name)
{
    return value && value->kind == PICKLE_GLOBAL && same(&value->global.module, module) &&
           same(&value->global.name, name);
}

const struct pickle_value *pickle_item(const struct pickle_value *value, size_t index)
{
    if (!value || (value->kind != PICKLE_TUPLE && value->kind != PICKLE_LIST))
        return NULL;
    return index < value->items.count ? value->items.at[index] : NULL;
}

/* Python 2 gave an OrderedDict its entries as a list of pairs; NULL where this is not one. */
static const struct pickle_value *pairs_of(const struct pickle_value *value)
{
    if (!value || value->kind != PICKLE_CALL ||
        !pickle_global_is(value->call->function, "collections", "OrderedDict"))
        return NULL;
    const struct pickle_value *pairs = pickle_item(value->call->arguments, 0);
    return pairs && pickle_item(pairs, 0) ? pairs : NULL;
}

static const struct pickle_items *entries_of(const struct pickle_value *value)
{
    if (value && value->kind == PICKLE_DICT)
        return &value->items;
    return value && value->kind == PICKLE_CALL ? &value->call->entries : NULL;
}

size_t pickle_entries(const struct pickle_value *value)
{
    const struct pickle_items *entries = entries_of(value);
    const struct pickle_value *pairs = pairs_of(value);
    return (entries ? entries->count / 2 : 0) + (pairs ? pairs->items.count : 0);
}

int pickle_entry(const struct pickle_value *value, size_t index, const struct pickle_value **key,
                 const struct pickle_value **entry)
{
    const struct pickle_items *entries = entries_of(value);
    const struct pickle_value *pairs = pairs_of(value);
    if (pairs && index < pairs->items.count) {
        *key = pickle_item(pairs->items.at[index], 0);
        *entry = pickle_item(pairs->items.at[index], 1);
        return *key && *entry ? 0 : -1;
    }
    index -= pairs ? pairs->items.count : 0;
    if (!entries || index >= entries->count / 2)
        return -1;
    *key = entries->at[2 * index];
    *entry = entries->at[2 * index + 1];
    return 0;
}

const struct pickle_value *pickle_get(const struct pickle_value *value, const char *key)
{
    const struct pickle_value *name, *entry;
    for (size_t i = pickle_entries(value); i-- > 0;)
        if (pickle_entry(value, i, &name, &entry) == 0 && pickle_text_is(name, key))
            return entry;
    return NULL;
}
