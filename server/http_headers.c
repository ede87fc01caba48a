/* What comes in above a body: where it ends, and headers that are there once, or as a list. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/http_private.h"

/* Those that must not be there twice, since two programs may pick different ones; then lists. */
enum { LENGTH, CODING, HOST, TYPE, KEY, SINGLE, ACCEPT = SINGLE, COUNTED };

static const char *const counted[COUNTED] = {"Content-Length", "Transfer-Encoding", "Host",
                                             "Content-Type",   "Authorization",     "Accept"};

struct seen {
    int times[COUNTED];
    const char *value[COUNTED];
    bool odd;             /* a name that is no token, which proxies read in two ways */
    struct buffer accept; /* all of them in one */
};

/* RFC 9110, section 5.6.2. */
static bool is_token(const char *name)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "!#$%&'*+-.^_`|~";
    return *name && name[strspn(name, alphabet)] == 0;
}

static enum MHD_Result see_header(void *context, enum MHD_ValueKind kind, const char *name,
                                  const char *value)
{
    struct seen *seen = context;
    (void)kind;
    seen->odd |= !is_token(name);
    for (int i = 0; i < COUNTED; i++) {
        if (strcasecmp(name, counted[i]) != 0)
            continue;
        seen->times[i]++;
        seen->value[i] = value ? value : "";
        if (i == ACCEPT && buffer_printf(&seen->accept, NULL, "%s%s",
                                         seen->times[i] > 1 ? ", " : "", seen->value[i]) != 0)
            return MHD_NO;
    }
    return MHD_YES;
}

/*
 * How long the body is. False for framing that two programs could read in two ways (RFC 9112,
 * section 6.3).
 */
static bool read_framing(struct request_body *body, const struct seen *seen, const char *version)
{
    const char *length = seen->value[LENGTH], *coding = seen->value[CODING];
    *body = (struct request_body){.length = -1, .chunked = coding != NULL};
    if (coding && (length || strcmp(version, "HTTP/1.0") == 0))
        return false;
    if (coding)
        return strcasecmp(coding, "chunked") == 0;
    if (length) {
        size_t digits = strspn(length, "0123456789");
        if (digits == 0 || digits > 18 || length[digits] != 0)
            return false;
        body->length = strtoll(length, NULL, 10);
    }
    return true;
}

int http_read_headers(struct request_state *state, struct request_body *body, const char *version,
                      struct problem *problem)
{
    struct seen seen = {.odd = false};
    buffer_init(&seen.accept, CONNECTION_MEMORY);
    MHD_get_connection_values(state->connection, MHD_HEADER_KIND, see_header, &seen);
    if (seen.times[ACCEPT] > 1)
        state->accept = (char *)buffer_take(&seen.accept, NULL);
    buffer_free(&seen.accept);
    bool framed = read_framing(body, &seen, version);
    for (int i = 0; i < SINGLE; i++)
        if (seen.times[i] > 1)
            return problem_set(problem, PROBLEM_BAD_REQUEST, "%s is there %d times; send it once.",
                               counted[i], seen.times[i]);
    if (seen.odd)
        return problem_set(problem, PROBLEM_BAD_REQUEST,
                           "A header has a name with a space or another character that no name "
                           "may have.");
    if (!framed)
        return problem_set(problem, PROBLEM_BAD_REQUEST,
                           "The headers do not say clearly where the body ends: one "
                           "Content-Length, or Transfer-Encoding: chunked.");
    return 0;
}

const char *http_header(void *context, const char *name)
{
    const struct request_state *state = context;
    if (state->accept && strcasecmp(name, counted[ACCEPT]) == 0)
        return state->accept;
    return MHD_lookup_connection_value(state->connection, MHD_HEADER_KIND, name);
}

/*
 * The library reads the query, too, into a list of its own that nobody asks for. Where the memory
 * of the connection does not hold it (about a thousand fields), it neither answers nor goes on. So
 * the query ends for it where it begins: `target` is the library's own line, not yet taken apart.
 */
void http_forget_query(const char *target)
{
    char *mark = strchr((char *)target, '?');
    if (mark && mark[1])
        mark[1] = 0;
}
