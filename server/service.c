#include "server/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "api/selftest.h"
#include "server/assets.h"
#include "server/file.h"

/* A slice that takes longer than this means that its worker hangs. */
static const double stuck_ms = 180e3;

enum { MAX_METRICS = 4 << 20, LARGEST_KEY_FILE = 1 << 20 }; /* bytes */

/* ---- what the api asks for ---- */

static void activity(void *context, int worker, struct api_activity *out)
{
    struct service *service = context;
    worker_activity(&service->workers[worker], out);
}

static int write_metrics(void *context, const struct api_state *state, char **text, size_t *length,
                         struct error *err)
{
    struct service *service = context;
    struct buffer out;
    buffer_init(&out, MAX_METRICS);
    int rc = metrics_write(&out, &service->metrics, state, &service->api.limits,
                           atomic_load(&service->in_flight), err);
    if (rc == 0)
        *text = (char *)buffer_take(&out, length);
    buffer_free(&out);
    return rc;
}

/* ---- begin ---- */

/* Locks and memory of the parts; what was made before a failure is given back. */
static int open_parts(struct service *service, struct error *err)
{
    int workers = service->config->workers, opened = 0;
    service->workers = calloc((size_t)workers, sizeof *service->workers);
    service->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    while (service->workers && opened < workers && worker_init(&service->workers[opened]) == 0)
        opened++;
    if (opened == workers && service->event >= 0 && models_init(&service->models) == 0) {
        if (metrics_init(&service->metrics) == 0) {
            if (pthread_mutex_init(&service->lock, NULL) == 0) {
                if (pthread_mutex_init(&service->keys_lock, NULL) == 0) {
                    if (queue_init(&service->queue, service->config->queue) == 0)
                        return 0;
                    pthread_mutex_destroy(&service->keys_lock);
                }
                pthread_mutex_destroy(&service->lock);
            }
            metrics_free(&service->metrics);
        }
        models_free(&service->models);
    }
    error_set(err, ERR_MEMORY, "no memory for workers, locks or an eventfd: %s", strerror(errno));
    while (opened > 0)
        worker_free(&service->workers[--opened]);
    free(service->workers);
    if (service->event >= 0)
        close(service->event);
    return -1;
}

static int read_keys(struct keys *keys, const char *path, bool again, struct error *err)
{
    uint8_t *text;
    size_t length;
    if (!*path)
        return 0;
    if ((again && file_check_again(path, err) != 0) ||
        file_read(&text, &length, path, LARGEST_KEY_FILE, err) != 0)
        return error_prefix(err, "--api-key-file");
    int rc = keys_read(keys, (const char *)text, length, err);
    explicit_bzero(text, length);
    free(text);
    return rc == 0 ? 0 : error_prefix(err, "%.200s", path);
}

int service_init(struct service *service, const struct config *config, struct error *err)
{
    memset(service, 0, sizeof *service);
    service->config = config;
    log_init(&service->log, STDERR_FILENO, (enum log_format)config->log_format,
             (enum log_level)config->log_level);
    service->started_ms = clock_ms();
    service->phase = PHASE_LOADING;
    snprintf(service->reason, sizeof service->reason, "the model is being loaded");
    service->api = (struct api){
        .prefix = config->api_prefix,
        .ui = config->ui == 0,
        .keyed_metrics = config->metrics == METRICS_KEYED,
        .trust_proxy = config->trust_proxy == 1,
        .cors_origins = config->cors_origins,
        .assets = assets,
        .assets_count = assets_count,
        .limits =
            {
                .max_body = config->max_body,
                .max_buffered = config->max_buffered,
                .max_pixels = config->max_pixels,
                .max_files = API_MAX_FILES,
                .max_slices = config->max_slices,
                .max_ratio = config->max_ratio,
                .queue_capacity = config->queue,
                .workers = config->workers,
                .threads = config->threads,
                .timeout_ms = config->timeout_ms,
                .max_connections = config->max_connections,
            },
        .source = {activity, config->metrics != METRICS_OFF ? write_metrics : NULL, service},
    };
    if (read_keys(&service->api.keys, config->api_key_file, false, err) != 0)
        return -1;
    if (open_parts(service, err) == 0)
        return 0;
    keys_free(&service->api.keys);
    return -1;
}

static void fail(struct service *service, const struct error *err)
{
    uint64_t one = 1;
    pthread_mutex_lock(&service->lock);
    if (service->phase == PHASE_LOADING)
        service->phase = PHASE_FAILED;
    snprintf(service->reason, sizeof service->reason, "%.255s", err->text);
    pthread_mutex_unlock(&service->lock);
    log_event(&service->log, LOG_ERROR, "model_unusable", LOG_STR("code", error_name(err->code)),
              LOG_STR("detail", err->text));
    ssize_t written = write(service->event, &one, sizeof one);
    (void)written;
}

static void worker_opened(void *context, const struct error *err)
{
    struct service *service = context;
    if (err) {
        fail(service, err);
        return;
    }
    pthread_mutex_lock(&service->lock);
    bool all = ++service->opened == service->config->workers;
    if (all && service->phase == PHASE_LOADING) {
        service->phase = PHASE_READY;
        service->reason[0] = 0;
    }
    pthread_mutex_unlock(&service->lock);
    if (all)
        log_event(&service->log, LOG_INFO, "ready",
                  LOG_MSEC("after_ms", clock_ms() - service->started_ms));
}

static void worker_moved(void *context, const struct error *err)
{
    struct service *service = context;
    if (err) {
        log_event(&service->log, LOG_ERROR, "worker_stays", LOG_STR("detail", err->text));
        metrics_count(&service->metrics, METRIC_RELOADS, "failed", NULL, NULL);
        return;
    }
    pthread_mutex_lock(&service->lock);
    bool all = ++service->moved == service->config->workers;
    pthread_mutex_unlock(&service->lock);
    if (!all)
        return;
    const struct model_info *info = models_info(&service->models);
    metrics_count(&service->metrics, METRIC_RELOADS, "ok", NULL, NULL);
    log_event(&service->log, LOG_INFO, "reloaded", LOG_STR("name", info->name),
              LOG_STR("version", info->version), LOG_STR("sha256", info->sha256));
}

static int load_model(struct model **model, struct service *service, struct error *err)
{
    const struct config *config = service->config;
    struct model_options options = {config->threads};
    if (model_load(model, config->model, &options, err) != 0)
        return -1;
    const struct model_info *info = model_info(*model);
    log_event(&service->log, info->trained ? LOG_INFO : LOG_WARN,
              info->trained ? "model_loaded" : "model_untrained", LOG_STR("name", info->name),
              LOG_STR("version", info->version), LOG_STR("sha256", info->sha256),
              LOG_STR("batch_norm", info->batch_norm), LOG_STR("isa", info->isa),
              LOG_NUM("parameters", info->parameters), LOG_NUM("threads", info->threads));
    return 0;
}

static void *load(void *argument)
{
    struct service *service = argument;
    struct model *model = NULL;
    struct error err;
    if (load_model(&model, service, &err) != 0 || models_add(&service->models, model, &err) != 0) {
        model_free(model);
        fail(service, &err);
        return NULL;
    }
    pthread_mutex_lock(&service->lock);
    snprintf(service->reason, sizeof service->reason, "the model is tested and warmed up");
    pthread_mutex_unlock(&service->lock);
    for (int i = 0; i < service->config->workers; i++) {
        struct worker *worker = &service->workers[i];
        worker->queue = &service->queue;
        worker->models = &service->models;
        worker->max_pixels = service->config->max_pixels;
        worker->metrics = &service->metrics;
        worker->opened = worker_opened;
        worker->moved = worker_moved;
        worker->context = service;
        if (worker_start(worker, &err) != 0) {
            fail(service, &err);
            break;
        }
    }
    return NULL;
}

static int start_loader(struct service *service, void *(*what)(void *argument), struct error *err)
{
    if (service->loading)
        pthread_join(service->loader, NULL);
    int code = pthread_create(&service->loader, NULL, what, service);
    service->loading = code == 0;
    if (code != 0)
        return error_set(err, ERR_INTERNAL, "the loader thread cannot be started: %s",
                         strerror(code));
    return 0;
}

int service_load(struct service *service, struct error *err)
{
    return start_loader(service, load, err);
}

/* ---- keys, anew ---- */

void service_note_reload(struct service *service, const char *what, const struct error *err)
{
    metrics_count(&service->metrics, METRIC_CREDENTIALS, what, err ? "failed" : "ok", NULL);
    if (err)
        log_event(&service->log, LOG_ERROR, "credentials_stay", LOG_STR("file", what),
                  LOG_STR("code", error_name(err->code)), LOG_STR("detail", err->text));
    else
        log_event(&service->log, LOG_INFO, "credentials_reloaded", LOG_STR("file", what));
}

void service_reload_keys(struct service *service)
{
    const char *path = service->config->api_key_file;
    struct keys fresh, old;
    struct error err;
    if (!*path)
        return;
    int rc = read_keys(&fresh, path, true, &err);
    if (rc == 0) {
        pthread_mutex_lock(&service->keys_lock);
        old = service->api.keys;
        service->api.keys = fresh;
        pthread_mutex_unlock(&service->keys_lock);
        keys_free(&old);
    }
    service_note_reload(service, "keys", rc == 0 ? NULL : &err);
}

/* ---- the model, anew ---- */

static void reload_failed(struct service *service, const struct error *err)
{
    metrics_count(&service->metrics, METRIC_RELOADS, "failed", NULL, NULL);
    log_event(&service->log, LOG_ERROR, "reload_failed", LOG_STR("code", error_name(err->code)),
              LOG_STR("detail", err->text));
}

/* Proves a model on this thread, in a session of its own. */
static int prove(struct model *model, const struct service *service, struct error *err)
{
    struct slice_worker slices = {0};
    int rc = slice_worker_open(&slices, model, service->config->max_pixels, err);
    if (rc == 0)
        rc = selftest_run(&slices, err);
    slice_worker_close(&slices);
    return rc;
}

static void reload_once(struct service *service)
{
    struct model *model = NULL;
    struct error err;
    int rc = 0;
    log_event(&service->log, LOG_INFO, "reloading", LOG_STR("detail", "SIGHUP"));
    TRY(load_model(&model, service, &err));
    TRY(prove(model, service, &err));
    pthread_mutex_lock(&service->lock);
    service->moved = 0;
    pthread_mutex_unlock(&service->lock);
    TRY(models_add(&service->models, model, &err));
    queue_call(&service->queue);
done:
    if (rc != 0) {
        model_free(model);
        reload_failed(service, &err);
    }
}

static void *reload(void *argument)
{
    struct service *service = argument;
    bool again = true;
    while (again) {
        reload_once(service);
        pthread_mutex_lock(&service->lock);
        again = service->reloading = service->again;
        service->again = false;
        pthread_mutex_unlock(&service->lock);
    }
    return NULL;
}

void service_reload(struct service *service)
{
    struct error err;
    pthread_mutex_lock(&service->lock);
    bool ready = service->phase == PHASE_READY, start = ready && !service->reloading;
    service->again = ready && service->reloading;
    service->reloading |= start;
    pthread_mutex_unlock(&service->lock);
    if (!ready)
        log_event(&service->log, LOG_WARN, "reload_ignored",
                  LOG_STR("detail", "the service is not ready"));
    if (start && start_loader(service, reload, &err) != 0)
        reload_failed(service, &err);
}

/* ---- state ---- */

static bool workers_alive(struct service *service)
{
    double now = clock_ms();
    for (int i = 0; i < service->config->workers; i++) {
        long long since = atomic_load(&service->workers[i].busy_since_ms);
        if (since && now - (double)since > stuck_ms)
            return false;
    }
    return true;
}

void service_state(struct service *service, struct api_state *state)
{
    struct queue_counts counts = queue_count(&service->queue);
    pthread_mutex_lock(&service->lock);
    state->phase = service->phase;
    memcpy(state->reason, service->reason, sizeof state->reason);
    pthread_mutex_unlock(&service->lock);
    state->model = models_info(&service->models);
    state->alive = workers_alive(service);
    state->queued = counts.waiting;
    state->busy = counts.running;
    state->retry_after = queue_retry_after(&counts, service->config->workers);
    state->uptime_s = (clock_ms() - service->started_ms) / 1e3;
}

void service_leave(struct service *service, enum api_phase phase)
{
    pthread_mutex_lock(&service->lock);
    /* What never became ready has nothing to go on serving. */
    bool served = service->phase == PHASE_READY || service->phase == PHASE_DRAINING;
    service->phase = served ? phase : PHASE_STOPPING;
    snprintf(service->reason, sizeof service->reason, "the server is shutting down");
    pthread_mutex_unlock(&service->lock);
}

void service_free(struct service *service)
{
    if (service->loading)
        pthread_join(service->loader, NULL);
    queue_close(&service->queue);
    for (int i = 0; i < service->config->workers; i++)
        worker_join(&service->workers[i]);
    for (int i = 0; i < service->config->workers; i++)
        worker_free(&service->workers[i]);
    models_free(&service->models);
    free(service->workers);
    queue_free(&service->queue);
    metrics_free(&service->metrics);
    keys_free(&service->api.keys);
    pthread_mutex_destroy(&service->keys_lock);
    pthread_mutex_destroy(&service->lock);
    close(service->event);
}
