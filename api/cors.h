/*
 * Which pages of other origins may read answers (the Fetch standard's CORS protocol). Off unless
 * origins are listed. Pure, any thread.
 */
#ifndef ONESHOT_API_CORS_H
#define ONESHOT_API_CORS_H

#include <stdbool.h>

#include "api/message.h"

/* True for "", "*", or origins (https://host, http://host:port) with commas between. */
bool cors_valid(const char *origins);

/* True where an Origin header (NULL: absent) is in the list. */
bool cors_allows(const char *origins, const char *origin);

/*
 * Adds what a response needs. `allow` are the methods of the route for the answer to a preflight,
 * NULL for any other response. Where origins are listed, caches are told that answers vary.
 */
void cors_answer(struct response *response, const char *origins, const char *origin,
                 const char *allow);

#endif
