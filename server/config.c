#include "server/config.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/cors.h"
#include "server/cgroup.h"
#include "server/log.h"

static const char *const log_formats[] = {"json", "text", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const on_off[] = {"on", "off", NULL};
static const char *const off_on[] = {"off", "on", NULL};
static const char *const metrics[] = {"on", "key", "off", NULL};

#define FIELD(name) offsetof(struct config, name)

static const struct flag table[] = {
    {"host", 0, FLAG_TEXT, FIELD(host), "127.0.0.1", 0, 0, NULL, "ADDR",
     "address to listen on; 0.0.0.0 for all of IPv4"},
    {"port", 'p', FLAG_INT, FIELD(port), "8080", 0, 65535, NULL, "PORT",
     "port to listen on; 0 takes any free one, which is logged"},
    {"unix-socket", 0, FLAG_TEXT, FIELD(unix_socket), "", 0, 0, NULL, "PATH",
     "listen on this socket instead of host and port"},
    {"api-prefix", 0, FLAG_TEXT, FIELD(api_prefix), "", 0, 0, NULL, "PATH",
     "path in front of everything, such as /ct"},
    {"model", 'm', FLAG_TEXT, FIELD(model), "", 0, 0, NULL, "FILE",
     "weight file; without it, the model that comes along"},
    {"workers", 'w', FLAG_INT, FIELD(workers), "1", 1, 64, NULL, "N",
     "slices computed at the same time"},
    {"threads", 't', FLAG_INT, FIELD(threads), "0", 0, 256, NULL, "N",
     "cores per worker; 0 shares what there is"},
    {"queue", 0, FLAG_INT, FIELD(queue), "64", 1, 100000, NULL, "N",
     "requests that may wait; more are answered 429"},
    {"timeout", 0, FLAG_DURATION, FIELD(timeout_ms), "60s", 1, 86400000, NULL, "TIME",
     "longest wait for a slice, also in the queue; then 504"},
    {"idle-timeout", 0, FLAG_DURATION, FIELD(idle_timeout_ms), "30s", 1000, 3600000, NULL, "TIME",
     "close connections that are silent, or take longer than this for a request's headers"},
    {"max-body", 0, FLAG_BYTES, FIELD(max_body), "256M", 1024, 2147483647, NULL, "SIZE",
     "largest request body"},
    {"max-buffered", 0, FLAG_BYTES, FIELD(max_buffered), "1G", 1024, 1e12, NULL, "SIZE",
     "bodies of all requests and answers in memory together"},
    {"max-pixels", 0, FLAG_BYTES, FIELD(max_pixels), "16M", 1024, 268435456, NULL, "N",
     "pixels of one slice"},
    {"max-slices", 0, FLAG_INT, FIELD(max_slices), "1024", 1, 100000, NULL, "N",
     "slices of one volume"},
    {"max-inflate-ratio", 0, FLAG_INT, FIELD(max_ratio), "200", 1, 1032, NULL, "N",
     "how many times as large as its bytes a compressed volume may become"},
    {"max-connections", 0, FLAG_INT, FIELD(max_connections), "1024", 4, 100000, NULL, "N",
     "open connections"},
    {"api-key-file", 0, FLAG_TEXT, FIELD(api_key_file), "", 0, 0, NULL, "FILE",
     "take requests only with one of these bearer keys, one per line, plain or sha256:HEX"},
    {"cors-origins", 0, FLAG_TEXT, FIELD(cors_origins), "", 0, 0, NULL, "LIST",
     "origins whose pages may read answers, with commas between; * for all"},
    {"tls-cert", 0, FLAG_TEXT, FIELD(tls_cert), "", 0, 0, NULL, "FILE",
     "certificate chain in PEM: speak HTTPS"},
    {"tls-key", 0, FLAG_TEXT, FIELD(tls_key), "", 0, 0, NULL, "FILE", "its private key in PEM"},
    {"trust-proxy", 0, FLAG_CHOICE, FIELD(trust_proxy), "off", 0, 0, off_on, "on|off",
     "redirect below the X-Forwarded-Prefix that a proxy in front sends"},
    {"drain-delay", 0, FLAG_DURATION, FIELD(drain_delay_ms), "0s", 0, 3600000, NULL, "TIME",
     "after SIGTERM, keep serving this long while /readyz says 503"},
    {"drain-timeout", 0, FLAG_DURATION, FIELD(drain_timeout_ms), "30s", 0, 3600000, NULL, "TIME",
     "then wait this long for requests under way"},
    {"log-format", 0, FLAG_CHOICE, FIELD(log_format), "json", 0, 0, log_formats, "FORMAT",
     "json or text"},
    {"log-level", 0, FLAG_CHOICE, FIELD(log_level), "info", 0, 0, log_levels, "LEVEL",
     "debug, info, warn or error"},
    {"metrics", 0, FLAG_CHOICE, FIELD(metrics), "on", 0, 0, metrics, "on|key|off",
     "/metrics for Prometheus: for everybody, with an API key only, or not at all"},
    {"ui", 0, FLAG_CHOICE, FIELD(ui), "on", 0, 0, on_off, "on|off", "serve the viewer at /"},
    {"config", 'c', FLAG_TEXT, FIELD(file), "", 0, 0, NULL, "FILE",
     "read flags from this file first, as lines NAME = VALUE"},
};

const struct flags serve_flags = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .usage = "oneshot serve [FLAG]...",
    .about = "Serves predictions over HTTP until SIGTERM or SIGINT. The log goes to stderr.",
    .environment = true,
    .file = "config",
    .file_text = FIELD(file_text),
};

int config_read(struct config *config, int argc, char **argv, bool *help, struct error *err)
{
    int operands;
    memset(config, 0, sizeof *config);
    if (flags_parse(&serve_flags, config, argc, argv, &operands, help, err) != 0 || *help)
        return *help ? 0 : -1;
    if (operands > 0)
        return error_set(err, ERR_ARGUMENT, "serve takes flags only, not \"%.80s\"", argv[1]);
    if (!api_prefix_valid(config->api_prefix))
        return error_set(err, ERR_ARGUMENT,
                         "--api-prefix takes a path such as /ct, beginning with a slash and not "
                         "ending in one, not \"%.80s\"",
                         config->api_prefix);
    if (config->max_buffered < config->max_body)
        return error_set(err, ERR_ARGUMENT, "--max-buffered must not be below --max-body");
    if (!*config->tls_cert != !*config->tls_key)
        return error_set(err, ERR_ARGUMENT, "--tls-cert and --tls-key belong together");
    if (config->metrics == METRICS_KEYED && !*config->api_key_file)
        return error_set(err, ERR_ARGUMENT,
                         "--metrics key asks for the keys of --api-key-file, and none is given");
    if (!cors_valid(config->cors_origins))
        return error_set(err, ERR_ARGUMENT,
                         "--cors-origins takes origins such as https://viewer.example, with commas "
                         "between and without a path, not \"%.80s\"",
                         config->cors_origins);
    return 0;
}

void config_free(struct config *config)
{
    free(config->file_text);
    config->file_text = NULL;
}

/* ---- cores ---- */

int config_cores(void)
{
    cpu_set_t set;
    int cores = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        cores = CPU_COUNT(&set);
    int quota = cgroup_cores();
    return quota > 0 && quota < cores ? quota : cores;
}

bool config_share_cores(struct config *config, int cores)
{
    int workers = config->workers, threads = config->threads;
    if (config->workers > cores)
        config->workers = cores;
    int share = cores / config->workers;
    if (threads == 0 || threads > share)
        config->threads = share;
    return config->workers != workers || (threads != 0 && config->threads != threads);
}
