/* The contract, read: YAML as JSON values, references, and a check of values against schemas. */
#ifndef ONESHOT_TESTS_SCHEMA_H
#define ONESHOT_TESTS_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>

/* Reads a YAML document of mappings, sequences and scalars; fails the test where it cannot. */
json_t *yaml_load(const char *path);

/* Follows "$ref": "#/..." as often as there is one; borrowed. */
json_t *schema_resolve(json_t *root, json_t *node);

/*
 * Checks a value: type, enum, required, properties, additionalProperties: false, items, minItems,
 * maxItems, minimum, maximum, exclusiveMaximum, oneOf (exactly one). False leaves the reason and
 * its place in `why`.
 */
bool schema_check(json_t *root, json_t *schema, json_t *value, char *why, size_t why_size);

#endif
