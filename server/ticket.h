/*
 * One request between the HTTP library and the queue: what has been received, what is waited for,
 * what is answered. Used on the library's thread; while it waits, also by whoever ends the wait.
 */
#ifndef ONESHOT_SERVER_TICKET_H
#define ONESHOT_SERVER_TICKET_H

#include "api/api.h"
#include "server/service.h"

enum ticket_stage {
    TICKET_HEADERS, /* nothing looked at yet */
    TICKET_BODY,    /* the body comes, or is thrown away */
    TICKET_WAITING, /* in the queue or with a worker */
    TICKET_SENT,    /* response handed over */
};

/* How a wait ended; written before the connection is resumed. */
enum ticket_outcome {
    OUTCOME_DONE,
    OUTCOME_DEADLINE,
    OUTCOME_ENDED, /* the service ends */
    OUTCOME_GONE,
};

struct ticket {
    struct service *service;
    enum ticket_stage stage;
    enum ticket_outcome outcome;
    char *target;       /* owned */
    const char *method; /* of the library, valid as long as the request */
    char id[REQUEST_ID_SIZE];
    char trace[64];
    struct exchange exchange;
    struct job *job;       /* owned unless a worker has it */
    struct stream *stream; /* the answer, where it is sent while it is made; held */
    double started_ms;
    double deadline_ms; /* of the client; INFINITY where it has set none */
    size_t received;    /* bytes of the body */
    int status;         /* sent, for the log */
    size_t sent;
    double queue_ms;
    int slices;
    const char *code; /* of the problem sent; "" */
};

/* NULL without memory. */
struct ticket *ticket_new(struct service *service, const char *target);
void ticket_free(struct ticket *ticket);

/*
 * After the headers: routes and judges. When a body is to come and be kept, ticket->job is there;
 * else exchange.response is filled.
 */
void ticket_begin(struct ticket *ticket, const struct request *request,
                  const struct request_body *body);

/* Keeps a piece of the body. On a problem the response is filled and the rest may be dropped. */
void ticket_receive(struct ticket *ticket, const void *bytes, size_t length);

/* Takes the response from a finished job, or makes the one for a wait that was called off. */
void ticket_settle(struct ticket *ticket);

/* When the wait for the next slice is over: --timeout after the last one, or the client's own. */
double ticket_limit(const struct ticket *ticket);

/* The job was abandoned while a worker has it, who frees it. */
void ticket_leave_job(struct ticket *ticket);

/* The problem of a wait that was called off: by a deadline, or the end of the service. */
void ticket_expired(const struct ticket *ticket, struct problem *problem);

/* Fills the response with a problem. */
void ticket_fail(struct ticket *ticket, const struct problem *problem);

/* Counts the request in the metrics, once, when it is over. */
void ticket_count(const struct ticket *ticket);

/* Writes the line of the log. `reached` is false where the client did not get the answer. */
void ticket_log(const struct ticket *ticket, bool reached);

#endif
