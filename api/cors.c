#include "api/cors.h"

#include <string.h>
#include <strings.h>

/* The next origin of a list and its length; moves on. False at the end. */
static bool next_origin(const char **origin, size_t *length, const char **rest)
{
    *rest += strspn(*rest, ", ");
    *origin = *rest;
    *length = strcspn(*rest, ", ");
    *rest += *length;
    return *length > 0;
}

static bool is_origin(const char *text, size_t length)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "-.:[]";
    size_t scheme = length > 7 && strncmp(text, "http://", 7) == 0    ? 7
                    : length > 8 && strncmp(text, "https://", 8) == 0 ? 8
                                                                      : 0;
    return scheme > 0 && strspn(text + scheme, alphabet) >= length - scheme;
}

bool cors_valid(const char *origins)
{
    const char *origin;
    size_t length;
    if (strcmp(origins, "*") == 0)
        return true;
    while (next_origin(&origin, &length, &origins))
        if (!is_origin(origin, length))
            return false;
    return true;
}

bool cors_allows(const char *origins, const char *origin)
{
    const char *listed;
    size_t length;
    if (!origin || !*origin || !*origins)
        return false;
    if (strcmp(origins, "*") == 0)
        return true;
    while (next_origin(&listed, &length, &origins))
        if (strlen(origin) == length && strncasecmp(origin, listed, length) == 0)
            return true;
    return false;
}

void cors_answer(struct response *response, const char *origins, const char *origin,
                 const char *allow)
{
    if (!*origins)
        return;
    bool all = strcmp(origins, "*") == 0;
    if (!all)
        response_header(response, "Vary", "Origin");
    if (!cors_allows(origins, origin))
        return;
    response_header(response, "Access-Control-Allow-Origin", "%s", all ? "*" : origin);
    if (allow) {
        response_header(response, "Access-Control-Allow-Methods", "%s", allow);
        response_header(response, "Access-Control-Allow-Headers",
                        "Authorization, Content-Type, X-Request-Id, X-Request-Timeout-Ms, "
                        "traceparent");
        response_header(response, "Access-Control-Max-Age", "600");
    } else {
        response_header(response, "Access-Control-Expose-Headers",
                        "X-Request-Id, Retry-After, Server-Timing");
    }
}
