/* How `oneshot serve` is set up: one struct, one table of flags over it. */
#ifndef ONESHOT_SERVER_CONFIG_H
#define ONESHOT_SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "server/flags.h"

enum config_metrics { METRICS_ON, METRICS_KEYED, METRICS_OFF };

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
    int max_slices, max_ratio;
    int max_connections;
    int drain_delay_ms, drain_timeout_ms;
    const char *api_key_file;       /* "": everybody may ask */
    const char *cors_origins;       /* "": none, "*": all */
    const char *tls_cert, *tls_key; /* both or none */
    int trust_proxy;                /* 0 off, 1 on */
    int log_format;                 /* enum log_format */
    int log_level;                  /* enum log_level */
    int metrics;                    /* enum config_metrics */
    int ui;                         /* 0 on, 1 off */
    const char *file;               /* configuration file; "" */
    char *file_text;                /* owned: texts above may point into it */
};

extern const struct flags serve_flags;

/* Flags, environment, file, and what must fit together. ERR_ARGUMENT, ERR_IO. To be freed. */
int config_read(struct config *config, int argc, char **argv, bool *help, struct error *err);
void config_free(struct config *config);

/*
 * Cores this process may use: the smaller of its CPU affinity and its cgroup's quota (rounded up),
 * at least 1.
 */
int config_cores(void);

/* Settles workers and threads so that workers x threads <= cores; true where asked for more. */
bool config_share_cores(struct config *config, int cores);

#endif
