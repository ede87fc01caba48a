/*
 * The service on a socket. Only the files http_* know the HTTP library. One thread of the library
 * moves bytes and answers what needs no model; a request for a prediction is suspended while it
 * is queued and resumed with its response.
 */
#ifndef ONESHOT_SERVER_HTTP_H
#define ONESHOT_SERVER_HTTP_H

#include "server/service.h"

struct http;

/* Starts serving on a listening socket, which it takes over. */
int http_start(struct http **out, struct service *service, int listener, struct error *err);

/* Reads certificate and key again, where there is HTTPS; logs how that went. */
void http_reload(struct http *http);

/* Stops taking connections, and asks clients to close the ones they have. */
void http_quiesce(struct http *http);

/* Requests under way; at the end also those that connections which are there may still send. */
int http_in_flight(struct http *http);

/* Calls off what still waits for a worker, now and from now on. */
void http_call_off(struct http *http);

/* Calls off what waits, closes every connection and frees. NULL is fine. */
void http_stop(struct http *http);

#endif
