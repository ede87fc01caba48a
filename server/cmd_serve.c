/* oneshot serve: from flags to a running service and back. */
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "server/commands.h"
#include "server/http.h"
#include "server/listen.h"
#include "server/service.h"

/* Why the service ends. */
enum ending { END_SIGNAL, END_MODEL };

/*
 * Blocks the signals that the service reacts to, in this and all later threads, and gives them as
 * file. SIGHUP reloads what may have changed, the others end the service.
 */
static int open_signals(int *out, struct error *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0 ||
        (*out = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return error_set(err, ERR_IO, "signals cannot be watched: %s", strerror(errno));
    return 0;
}

/* From now on SIGHUP waits for ever. */
static void forget_reloads(int signals)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)signalfd(signals, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Waits for a signal up to `ms` (-1: for ever). The signal, or 0. */
static int wait_signal(int signals, int ms)
{
    struct pollfd set = {signals, POLLIN, 0};
    struct signalfd_siginfo info;
    if (poll(&set, 1, ms) > 0 && read(signals, &info, sizeof info) == (ssize_t)sizeof info)
        return (int)info.ssi_signo;
    return 0;
}

/* Each of them by itself: a bad certificate is no reason to keep a key that was taken back. */
static void reload(struct service *service, struct http *http)
{
    service_reload_keys(service);
    http_reload(http);
    service_reload(service);
}

static enum ending wait_for_end(struct service *service, struct http *http, int signals)
{
    bool terminal = isatty(STDIN_FILENO);
    for (;;) {
        struct pollfd set[2] = {{signals, POLLIN, 0}, {service->event, POLLIN, 0}};
        if (poll(set, 2, -1) < 0 && errno != EINTR)
            return END_MODEL;
        if (set[1].revents)
            return END_MODEL;
        int signal = set[0].revents ? wait_signal(signals, 0) : 0;
        /* A terminal that is closed says SIGHUP, too: a service that was run from it ends. */
        if (signal == SIGHUP && !(terminal && !isatty(STDIN_FILENO)))
            reload(service, http);
        else if (signal)
            return END_SIGNAL;
    }
}

/* Waits until nothing is under way, a second signal comes, or the time is over. */
static void wait_for_requests(struct http *http, int signals, double until_ms)
{
    while (http_in_flight(http) > 0 && clock_ms() < until_ms)
        if (wait_signal(signals, 20))
            return;
}

/*
 * Takes the socket's file away while it is certainly still this one's: as soon as it is not
 * listened on any more, another service may have put its own in the same place.
 */
static void leave_path(bool *bound, const struct config *config)
{
    if (*bound && *config->unix_socket)
        unlink(config->unix_socket);
    *bound = false;
}

static void drain(struct service *service, struct http *http, int signals, bool *bound)
{
    const struct config *config = service->config;
    forget_reloads(signals);
    log_event(&service->log, LOG_INFO, "draining", LOG_NUM("in_flight", http_in_flight(http)),
              LOG_NUM("delay_ms", config->drain_delay_ms));
    service_leave(service, PHASE_DRAINING);
    bool hurry = config->drain_delay_ms > 0 && wait_signal(signals, config->drain_delay_ms);
    service_leave(service, PHASE_STOPPING);
    leave_path(bound, config);
    http_quiesce(http);
    if (!hurry)
        wait_for_requests(http, signals, clock_ms() + config->drain_timeout_ms);
    /* Whatever still waits is answered 503; a slice being computed cannot be stopped. */
    http_call_off(http);
    wait_for_requests(http, signals, clock_ms() + 1000);
}

/*
 * Weights and activations go back to the system when they are freed. By default glibc would learn
 * from the first of them to keep such pieces in its heaps, of which each thread has one: with every
 * reload of the model the process would grow.
 */
static void return_large_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 256 << 10);
}

/*
 * Room for as many descriptors as there may be connections: shells and service managers often leave
 * 1024, of which a full house would need more. Without it probes wait until somebody leaves.
 */
static void allow_descriptors(struct service *service, int max_connections)
{
    enum { OTHERS = 128 }; /* files, timers, what libraries hold */
    struct rlimit limit;
    rlim_t wanted = (rlim_t)max_connections + OTHERS;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    bool enough = limit.rlim_max >= wanted;
    limit.rlim_cur = enough ? wanted : limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || !enough)
        log_event(&service->log, LOG_WARN, "few_descriptors",
                  LOG_NUM("limit", (int64_t)limit.rlim_cur), LOG_NUM("wanted", (int64_t)wanted));
}

static int serve(const struct config *config, struct error *err)
{
    struct service service;
    struct http *http = NULL;
    char address[LISTEN_ADDRESS_SIZE];
    int signals = -1, listener = -1, rc = 0;
    bool initialised = false, bound = false;
    return_large_memory();
    TRY(open_signals(&signals, err));
    TRY(*config->unix_socket ? listen_unix(&listener, address, config->unix_socket, err)
                             : listen_tcp(&listener, address, *config->tls_cert ? "https" : "http",
                                          config->host, config->port, err));
    bound = true;
    TRY(service_init(&service, config, err));
    initialised = true;
    allow_descriptors(&service, config->max_connections);
    TRY(http_start(&http, &service, listener, err));
    listener = -1;
    log_event(&service.log, LOG_INFO, "listening", LOG_STR("address", address),
              LOG_STR("prefix", config->api_prefix), LOG_STR("version", ONESHOT_VERSION),
              LOG_NUM("workers", config->workers), LOG_NUM("threads", config->threads),
              LOG_NUM("cores", config_cores()), LOG_NUM("queue", config->queue),
              LOG_NUM("max_body", (int64_t)config->max_body));
    TRY(service_load(&service, err));
    if (wait_for_end(&service, http, signals) == END_MODEL) {
        struct api_state state;
        service_state(&service, &state);
        rc = error_set(err, ERR_BAD_WEIGHTS, "the model cannot be used: %s", state.reason);
    } else {
        drain(&service, http, signals, &bound);
    }
done:
    leave_path(&bound, config);
    http_stop(http);
    if (initialised) {
        service_free(&service);
        log_event(&service.log, LOG_INFO, "stopped",
                  LOG_MSEC("uptime_ms", clock_ms() - service.started_ms));
    }
    if (listener >= 0)
        close(listener);
    if (signals >= 0)
        close(signals);
    return rc;
}

int cmd_serve(int argc, char **argv)
{
    struct config config;
    struct error err;
    bool help;
    int status = 0;
    if (config_read(&config, argc, argv, &help, &err) != 0) {
        fprintf(stderr, "oneshot serve: %s\n", err.text);
        status = 2;
    } else if (!help) {
        if (config_share_cores(&config, config_cores()))
            fprintf(stderr,
                    "oneshot serve: %d workers with %d threads each fit on this machine's %d "
                    "cores; going on with these\n",
                    config.workers, config.threads, config_cores());
        if (serve(&config, &err) != 0) {
            fprintf(stderr, "oneshot serve: %s\n", err.text);
            status = 1;
        }
    }
    config_free(&config);
    return status;
}
