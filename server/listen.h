/* Sockets to listen on. */
#ifndef ONESHOT_SERVER_LISTEN_H
#define ONESHOT_SERVER_LISTEN_H

#include <stddef.h>

#include "model/base/error.h"

enum {
    LISTEN_BACKLOG = 511, /* connections accepted by the kernel alone */
    LISTEN_ADDRESS_SIZE = 192
};

/*
 * Listens on host and port (0: any free one). `address` says where in the form of a URL with this
 * scheme. ERR_IO names address and reason.
 */
int listen_tcp(int *out, char address[LISTEN_ADDRESS_SIZE], const char *scheme, const char *host,
               int port, struct error *err);

/* Listens on a path; a socket left there by a process that is gone is replaced. */
int listen_unix(int *out, char address[LISTEN_ADDRESS_SIZE], const char *path, struct error *err);

#endif
