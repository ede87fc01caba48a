#include "tests/http/schema.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* ---- YAML ---- */

static json_t *scalar(const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    if (node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return json_string(text);
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(*text == 't');
    if (strcmp(text, "null") == 0)
        return json_null();
    json_t *number = json_loads(text, JSON_DECODE_ANY, NULL);
    if (json_is_number(number))
        return number;
    json_decref(number);
    return json_string(text);
}

static json_t *convert(yaml_document_t *document, const yaml_node_t *node)
{
    json_t *value = NULL;
    ck_assert_ptr_nonnull(node);
    switch (node->type) {
    case YAML_SCALAR_NODE:
        return scalar(node);
    case YAML_SEQUENCE_NODE:
        value = json_array();
        for (yaml_node_item_t *i = node->data.sequence.items.start;
             i < node->data.sequence.items.top; i++)
            json_array_append_new(value, convert(document, yaml_document_get_node(document, *i)));
        return value;
    case YAML_MAPPING_NODE:
        value = json_object();
        for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
             p++) {
            const yaml_node_t *key = yaml_document_get_node(document, p->key);
            const char *name = (const char *)key->data.scalar.value;
            ck_assert_msg(json_object_get(value, name) == NULL, "%s is there twice, line %zu", name,
                          key->start_mark.line + 1);
            json_object_set_new(value, name,
                                convert(document, yaml_document_get_node(document, p->value)));
        }
        return value;
    default:
        ck_abort_msg("a node of no kind");
    }
    return NULL;
}

json_t *yaml_load(const char *path)
{
    yaml_parser_t parser;
    yaml_document_t document;
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s cannot be read", path);
    ck_assert(yaml_parser_initialize(&parser));
    yaml_parser_set_input_file(&parser, file);
    ck_assert_msg(yaml_parser_load(&parser, &document), "%s, line %zu: %s", path,
                  parser.problem_mark.line + 1, parser.problem ? parser.problem : "");
    json_t *root = convert(&document, yaml_document_get_root_node(&document));
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
    fclose(file);
    return root;
}

/* ---- schemas ---- */

json_t *schema_resolve(json_t *root, json_t *node)
{
    const char *reference;
    while ((reference = json_string_value(json_object_get(node, "$ref"))) != NULL) {
        ck_assert_msg(strncmp(reference, "#/", 2) == 0, "%s", reference);
        char path[256], *rest = path;
        snprintf(path, sizeof path, "%s", reference + 2);
        node = root;
        for (char *name; (name = strsep(&rest, "/")) != NULL;)
            node = json_object_get(node, name);
        ck_assert_msg(node != NULL, "%s leads nowhere", reference);
    }
    return node;
}

struct checker {
    json_t *root;
    char *why;
    size_t why_size;
};

static bool wrong(struct checker *c, const char *place, const char *reason)
{
    snprintf(c->why, c->why_size, "%s: %s", *place ? place : "the document", reason);
    return false;
}

static bool has_type(const char *type, const json_t *value)
{
    static const struct {
        const char *name;
        json_type types[2];
    } names[] = {
        {"object", {JSON_OBJECT, JSON_OBJECT}}, {"array", {JSON_ARRAY, JSON_ARRAY}},
        {"string", {JSON_STRING, JSON_STRING}}, {"integer", {JSON_INTEGER, JSON_INTEGER}},
        {"number", {JSON_INTEGER, JSON_REAL}},  {"boolean", {JSON_TRUE, JSON_FALSE}},
        {"null", {JSON_NULL, JSON_NULL}},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, type) == 0)
            return json_typeof(value) == names[i].types[0] ||
                   json_typeof(value) == names[i].types[1];
    return false;
}

static bool check(struct checker *c, json_t *schema, json_t *value, const char *place);

static bool check_object(struct checker *c, json_t *schema, json_t *value, const char *place)
{
    json_t *properties = json_object_get(schema, "properties"), *one;
    size_t i;
    const char *name;
    char deeper[256];
    json_array_foreach(json_object_get(schema, "required"), i, one)
    {
        snprintf(deeper, sizeof deeper, "%s/%s", place, json_string_value(one));
        if (!json_object_get(value, json_string_value(one)))
            return wrong(c, deeper, "is missing");
    }
    json_object_foreach(value, name, one)
    {
        json_t *property = json_object_get(properties, name);
        snprintf(deeper, sizeof deeper, "%s/%s", place, name);
        /* What the contract does not name must not be there: answers are described in full. */
        if (!property && properties)
            return wrong(c, deeper, "is not in the contract");
        if (property && !check(c, property, one, deeper))
            return false;
    }
    return true;
}

static bool check_array(struct checker *c, json_t *schema, json_t *value, const char *place)
{
    json_t *items = json_object_get(schema, "items"), *one;
    json_t *least = json_object_get(schema, "minItems"),
           *most = json_object_get(schema, "maxItems");
    size_t i;
    char deeper[256];
    if (least && (json_int_t)json_array_size(value) < json_integer_value(least))
        return wrong(c, place, "has too few items");
    if (most && (json_int_t)json_array_size(value) > json_integer_value(most))
        return wrong(c, place, "has too many items");
    json_array_foreach(value, i, one)
    {
        snprintf(deeper, sizeof deeper, "%s/%zu", place, i);
        if (items && !check(c, items, one, deeper))
            return false;
    }
    return true;
}

static bool check_number(struct checker *c, json_t *schema, json_t *value, const char *place)
{
    double number = json_number_value(value);
    json_t *least = json_object_get(schema, "minimum"), *most = json_object_get(schema, "maximum");
    json_t *below = json_object_get(schema, "exclusiveMaximum");
    if ((least && number < json_number_value(least)) ||
        (most && number > json_number_value(most)) || (below && number >= json_number_value(below)))
        return wrong(c, place, "is out of range");
    return true;
}

static bool check_one_of(struct checker *c, json_t *choices, json_t *value, const char *place)
{
    size_t i, fitting = 0;
    json_t *one;
    char first[200] = "";
    json_array_foreach(choices, i, one)
    {
        if (check(c, one, value, place))
            fitting++;
        else if (!*first)
            snprintf(first, sizeof first, "%s", c->why);
    }
    if (fitting == 1)
        return true;
    return wrong(c, place, fitting ? "fits several of oneOf" : first);
}

static bool check(struct checker *c, json_t *schema, json_t *value, const char *place)
{
    schema = schema_resolve(c->root, schema);
    const char *type = json_string_value(json_object_get(schema, "type"));
    json_t *choices = json_object_get(schema, "enum"), *one;
    json_t *alternatives = json_object_get(schema, "oneOf");
    size_t i;
    if (type && !has_type(type, value))
        return wrong(c, place, type);
    if (choices) {
        bool found = false;
        json_array_foreach(choices, i, one) found = found || json_equal(one, value);
        if (!found)
            return wrong(c, place, "is none of the values allowed");
    }
    if (alternatives && !check_one_of(c, alternatives, value, place))
        return false;
    if (json_is_object(value))
        return check_object(c, schema, value, place);
    if (json_is_array(value))
        return check_array(c, schema, value, place);
    return json_is_number(value) ? check_number(c, schema, value, place) : true;
}

bool schema_check(json_t *root, json_t *schema, json_t *value, char *why, size_t why_size)
{
    struct checker checker = {root, why, why_size};
    return check(&checker, schema, value, "");
}
