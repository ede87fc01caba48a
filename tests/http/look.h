/* Ways to look into JSON answers. */
#ifndef ONESHOT_TESTS_LOOK_H
#define ONESHOT_TESTS_LOOK_H

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline json_t *parse(const char *text, size_t length)
{
    json_error_t fault;
    json_t *root = json_loadb(text, length, 0, &fault);
    ck_assert_msg(root != NULL, "%s in %.300s", fault.text, text);
    return root;
}

static inline json_t *find(json_t *root, const char *path)
{
    char name[64];
    while (root && *path) {
        size_t n = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)n, path);
        root = json_is_array(root) ? json_array_get(root, (size_t)strtol(name, NULL, 10))
                                   : json_object_get(root, name);
        path += n + (path[n] == '.');
    }
    ck_assert_msg(root != NULL, "no %s", path);
    return root;
}

static inline double number(json_t *root, const char *path)
{
    return json_number_value(find(root, path));
}

static inline const char *text(json_t *root, const char *path)
{
    return json_string_value(find(root, path));
}

#endif
