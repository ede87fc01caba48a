/*
 * One HTTP exchange as the api sees it: no sockets, no library. The server (or the command line)
 * fills a request, the api fills a response. A request is read-only and borrowed; a response owns
 * its body unless `borrowed` says that the bytes outlive it. Used by one thread at a time.
 */
#ifndef ONESHOT_API_MESSAGE_H
#define ONESHOT_API_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    REQUEST_ID_SIZE = 129,     /* longest id taken from a client, and the final zero */
    RESPONSE_HEADERS = 24,     /* at most, per response */
    RESPONSE_VALUE_SIZE = 352, /* longest header value, and the final zero */
};

struct request {
    const char *method;
    const char *target; /* path and query as received, percent-encoded */
    /* Value of a header, its name in any case; NULL when absent. */
    const char *(*header)(void *context, const char *name);
    void *context;
    const char *id; /* checked or made by the server */
};

struct response_header {
    const char *name; /* static */
    char value[RESPONSE_VALUE_SIZE];
};

struct response {
    int status; /* 0: not answered yet */
    int headers_count;
    struct response_header headers[RESPONSE_HEADERS];
    uint8_t *body; /* malloc'ed, or borrowed; may be NULL when length is 0 */
    size_t length;
    bool borrowed;
    bool close;       /* the connection ends with this response */
    const char *code; /* of the problem, for the log; "" when all is well */
};

void response_init(struct response *response);
void response_free(struct response *response); /* empty and usable again */

/* Adds a header; `name` must be static. Values are cut at RESPONSE_VALUE_SIZE. */
void response_header(struct response *response, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Value of a header that was added, NULL when there is none. */
const char *response_find(const struct response *response, const char *name);

/* Sets status, Content-Type and body; takes the bytes (malloc'ed), replacing what was there. */
void response_give(struct response *response, int status, const char *type, uint8_t *bytes,
                   size_t length);

/* The same with bytes that outlive the response. */
void response_lend(struct response *response, int status, const char *type, const uint8_t *bytes,
                   size_t length);

/* A header of the request, NULL when absent. */
const char *request_header(const struct request *request, const char *name);

/*
 * The id to answer with: the client's where it is 1..128 printable ASCII characters without space,
 * quote or backslash, else a new one made from 16 random bytes. `out` has REQUEST_ID_SIZE bytes.
 */
void request_id_choose(char *out, const char *offered);

#endif
