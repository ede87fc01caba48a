/* How `oneshot serve` is set up: one struct, one table of flags over it. */
#ifndef ONESHOT_SERVER_CONFIG_H
#define ONESHOT_SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "server/flags.h"

struct config {
    const char *host;
    int port;                /* 0: any free one */
    const char *unix_socket; /* "": TCP */
    const char *api_prefix;
    const char *model;    /* "": the default model */
    int workers, threads; /* threads 0: share the cores */
    int queue;
    int timeout_ms, idle_timeout_ms;
    size_t max_body, max_buffered, max_pixels;
    int max_connections;
    int drain_delay_ms, drain_timeout_ms;
    int log_format; /* enum log_format */
    int log_level;  /* enum log_level */
    int metrics;    /* 0 on, 1 off */
    int ui;         /* 0 on, 1 off */
};

extern const struct flags serve_flags;

/* Flags, environment, and what must fit together. ERR_ARGUMENT. */
int config_read(struct config *config, int argc, char **argv, bool *help, struct error *err);

/*
 * Cores this process may use: the smaller of its CPU affinity and its cgroup's quota (rounded up),
 * at least 1.
 */
int config_cores(void);

/* Settles workers and threads so that workers x threads <= cores; true where asked for more. */
bool config_share_cores(struct config *config, int cores);

#endif
