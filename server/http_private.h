/* Shared by the files that know the HTTP library, and by no others. */
#ifndef ONESHOT_SERVER_HTTP_PRIVATE_H
#define ONESHOT_SERVER_HTTP_PRIVATE_H

#include <microhttpd.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "server/http.h"
#include "server/ticket.h"
#include "server/watch.h"

enum {
    SLOWEST = 1000,                /* bytes a client sends or takes, per ms on top of --timeout */
    CONNECTION_MEMORY = 64 * 1024, /* of the library, per connection: headers and read buffer */
};

struct http {
    struct service *service;
    struct MHD_Daemon *daemon;
    struct watch watch;
    int listener;
    struct tls *tls;      /* owned; NULL: no TLS */
    atomic_int suspended; /* connections; the library must not be stopped with any */
    atomic_int arriving;  /* connections that have not asked for anything yet */
    atomic_int handed;    /* those taken in at the end that the library has not begun with */
    atomic_bool closing;
    double late_ms; /* when closing: until then a first request is waited for; clock_ms() */
};

/* A ticket and where it came from. */
struct request_state {
    struct ticket *ticket;
    struct http *http;
    struct MHD_Connection *connection;
    struct peer *peer;
    char *accept;     /* of several Accept headers, all in one; owned, NULL where there is one */
    size_t allowance; /* bytes still thrown away before the connection is cut */
    size_t unsent;    /* bytes of an answer that are counted as buffered until it is over */
    bool suspended;   /* counted in http->suspended */
    bool draining;    /* a stream that has ended, and is given time to be read */
};

/* Sends the response of the ticket, which is filled. */
enum MHD_Result http_send(struct request_state *state);

/* Queues a response of the library with status and headers of the ticket's; takes it. */
enum MHD_Result http_queue(struct request_state *state, struct MHD_Response *response);

/* Suspends the connection; whoever is called on it next says that it no longer is. */
void http_suspend(struct request_state *state);
void http_no_longer_suspended(struct request_state *state);

/* What the end of a wait means to the ticket. */
enum ticket_outcome http_outcome(enum expiry why);

/* ---- headers in (http_headers.c) ---- */

/*
 * Looks at the headers as a whole, and says how long the body is. -1 with the problem of what two
 * programs could read in two ways.
 */
int http_read_headers(struct request_state *state, struct request_body *body, const char *version,
                      struct problem *problem);

/* A header's value, NULL when absent. `context`: a request_state. */
const char *http_header(void *context, const char *name);

/* Of a request line that the library is about to read. */
void http_forget_query(const char *target);

/* ---- answers as streams (http_stream.c) ---- */

/* Hands the job to the queue and begins to answer. False where the queue has no room. */
bool http_stream_submit(struct request_state *state, enum MHD_Result *result);

/* The watch's side: pings, deadlines, clients that leave. When to look again; 0: never. */
double http_stream_expired(struct request_state *state, enum expiry why);

/* The answer is over, in whatever way. */
void http_stream_completed(struct request_state *state);

#endif
