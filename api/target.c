#include "api/target.h"

#include <string.h>
#include <strings.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int percent_decode(char *out, size_t size, const char *text, size_t length, bool form)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 1 < length ? hex_digit(text[i + 1]) : -1;
            int low = i + 2 < length ? hex_digit(text[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -1;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && form) {
            c = ' ';
        }
        if (c == 0 || n + 1 >= size)
            return -1;
        out[n++] = c;
    }
    out[n] = 0;
    return 0;
}

int target_path(char out[TARGET_PATH_SIZE], const char *target)
{
    size_t scheme = strncasecmp(target, "http://", 7) == 0    ? 7
                    : strncasecmp(target, "https://", 8) == 0 ? 8
                                                              : 0;
    if (scheme) {
        target += scheme + strcspn(target + scheme, "/?#");
        if (*target != '/')
            target = "/";
    }
    size_t length = strcspn(target, "?#");
    /* A slash in disguise separates nothing, and a proxy in front has not seen it as one. */
    for (const char *at = target; (at = memchr(at, '%', (size_t)(target + length - at))); at++)
        if (strncasecmp(at, "%2f", 3) == 0)
            return -1;
    return percent_decode(out, TARGET_PATH_SIZE, target, length, false);
}

const char *target_query(const char *target)
{
    const char *mark = strchr(target, '?');
    return mark ? mark + 1 : "";
}

int query_next(struct query_field *field, const char **rest)
{
    const char *text = *rest;
    while (*text == '&')
        text++;
    size_t length = strcspn(text, "&#");
    if (length == 0)
        return 0;
    const char *equals = memchr(text, '=', length);
    size_t name = equals ? (size_t)(equals - text) : length;
    field->value[0] = 0;
    if (percent_decode(field->name, sizeof field->name, text, name, true) != 0)
        return -1;
    if (equals &&
        percent_decode(field->value, sizeof field->value, equals + 1, length - name - 1, true) != 0)
        return -1;
    *rest = text + length;
    return 1;
}
