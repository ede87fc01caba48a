/*
 * A small HTTP client for the commands that talk to a running service. The only file that knows
 * libcurl. A client belongs to one thread.
 */
#ifndef ONESHOT_SERVER_CLIENT_H
#define ONESHOT_SERVER_CLIENT_H

#include <stdbool.h>

#include "model/base/buffer.h"
#include "model/base/error.h"

struct client;

/* How a service is reached. */
struct client_peer {
    const char *unix_socket; /* "": TCP */
    const char *ca_file;     /* certificates to trust, PEM; "": the system's */
    bool insecure;           /* any certificate will do */
    const char *key;         /* bearer key; NULL: none */
};

struct client_request {
    const char *url;
    struct client_peer peer;
    const char *accept;  /* NULL: anything */
    const uint8_t *body; /* NULL: GET */
    size_t length;
    int timeout_ms; /* for the whole; of a stream, for its next byte */
    /* Called while the body goes up; may be NULL. */
    void (*sent)(void *context, int64_t bytes);
    /*
     * Takes the body of a 200 as it comes, which is then not kept; may be NULL. Non-zero ends the
     * exchange with ERR_CANCELLED.
     */
    int (*received)(void *context, const char *bytes, size_t length);
    void *context;
};

struct client_answer {
    int status; /* of HTTP */
    struct buffer body;
    int retry_after; /* seconds; 0: not said */
    char type[128];  /* Content-Type */
};

int client_open(struct client **out, struct error *err);
void client_close(struct client *client); /* NULL is fine */

/*
 * One exchange. An answer of any status is 0; ERR_IO where there was none, or it broke off: then
 * answer->status is what had come of it; ERR_ARGUMENT where none can come: no URL, a protocol that
 * is not HTTP, certificates that cannot be read or do not trust this service. answer->body has been
 * initialised by the caller, who frees it.
 */
int client_exchange(struct client_answer *answer, struct client *client,
                    const struct client_request *request, struct error *err);

#endif
