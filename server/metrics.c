#include "server/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double bounds[METRIC_BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                              0.25,  0.5,    1,     2.5,  5,     10,   60};

static const struct row {
    const char *name;
    bool histogram;
    const char *labels[METRIC_LABELS];
    const char *help;
} rows[METRICS] = {
    [METRIC_REQUESTS] = {"http_requests_total",
                         false,
                         {"route", "method", "code"},
                         "Requests answered; code 499: the client had left."},
    [METRIC_DURATION] = {"http_request_duration_seconds",
                         true,
                         {"route"},
                         "From the request line to the last byte of the answer."},
    [METRIC_QUEUE_WAIT] = {"queue_wait_seconds",
                           true,
                           {NULL},
                           "How long a slice waited for a worker."},
    [METRIC_STAGE] = {"stage_duration_seconds",
                      true,
                      {"stage"},
                      "How long a slice was decoded, inferred, encoded."},
    [METRIC_SLICES] = {"slices_total",
                       false,
                       {"kind", "outcome"},
                       "Slices done, by kind of file; outcome ok or the code of the problem."},
    [METRIC_REJECTIONS] = {"rejections_total",
                           false,
                           {"reason"},
                           "Requests answered with a problem, by its code."},
    [METRIC_PREDICTIONS] = {"predictions_total",
                            false,
                            {"class"},
                            "Slices by predicted class; none: no region survived."},
    [METRIC_WARNINGS] = {"input_warnings_total", false, {"code"}, "Warnings in answers."},
    [METRIC_RELOADS] = {"model_reloads_total",
                        false,
                        {"outcome"},
                        "Reloads of the model (SIGHUP); outcome ok or failed."},
    [METRIC_CREDENTIALS] = {"credential_reloads_total",
                            false,
                            {"file", "outcome"},
                            "Reloads of keys and certificate (SIGHUP); outcome ok or failed."},
};

int metrics_init(struct metrics *metrics)
{
    *metrics = (struct metrics){.count = {0}};
    return pthread_mutex_init(&metrics->lock, NULL) == 0 ? 0 : -1;
}

void metrics_free(struct metrics *metrics)
{
    for (int i = 0; i < METRICS; i++)
        free(metrics->series[i]);
    pthread_mutex_destroy(&metrics->lock);
}

/* ---- counting ---- */

static bool is_series(const struct metric_series *series, const char *const *values)
{
    for (int i = 0; i < METRIC_LABELS; i++)
        if (strncmp(series->values[i], values[i] ? values[i] : "", METRIC_TEXT - 1) != 0)
            return false;
    return true;
}

/* The series with these values, made where there is room; NULL without memory. */
static struct metric_series *find(struct metrics *metrics, enum metric metric,
                                  const char *const *values)
{
    static const char *const other[METRIC_LABELS] = {"other", "other", "other"};
    int count = metrics->count[metric];
    for (int i = 0; i < count; i++)
        if (is_series(&metrics->series[metric][i], values))
            return &metrics->series[metric][i];
    if (count == METRIC_SERIES)
        return &metrics->series[metric][count - 1];
    if (count == METRIC_SERIES - 1)
        values = other;
    struct metric_series *grown =
        realloc(metrics->series[metric], (size_t)(count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    metrics->series[metric] = grown;
    metrics->count[metric]++;
    struct metric_series *series = &grown[count];
    *series = (struct metric_series){.total = 0};
    for (int i = 0; i < METRIC_LABELS && rows[metric].labels[i]; i++)
        snprintf(series->values[i], METRIC_TEXT, "%s", values[i] ? values[i] : "");
    return series;
}

void metrics_count(struct metrics *metrics, enum metric metric, const char *a, const char *b,
                   const char *c)
{
    pthread_mutex_lock(&metrics->lock);
    struct metric_series *series = find(metrics, metric, (const char *const[]){a, b, c});
    if (series)
        series->total += 1;
    pthread_mutex_unlock(&metrics->lock);
}

void metrics_observe(struct metrics *metrics, enum metric metric, double seconds, const char *value)
{
    int bucket = 0;
    while (bucket < METRIC_BUCKETS && seconds > bounds[bucket])
        bucket++;
    pthread_mutex_lock(&metrics->lock);
    struct metric_series *series = find(metrics, metric, (const char *const[]){value, NULL, NULL});
    if (series) {
        series->total += seconds;
        series->buckets[bucket]++;
    }
    pthread_mutex_unlock(&metrics->lock);
}

/* ---- writing ---- */

static int write_head(struct buffer *out, const char *name, const char *type, const char *help,
                      struct error *err)
{
    return buffer_printf(out, err, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

int metrics_write_one(struct buffer *out, const char *name, const char *type, const char *help,
                      double value, struct error *err)
{
    if (write_head(out, name, type, help, err) != 0)
        return -1;
    return buffer_printf(out, err, "%s %.15g\n", name, value);
}

/* name="value", with what would end the value escaped. `lead` goes in front. */
static int write_label(struct buffer *out, const char *lead, const char *name, const char *value,
                       struct error *err)
{
    int rc = buffer_printf(out, err, "%s%s=\"", lead, name);
    for (; rc == 0 && *value; value++) {
        if (*value == '"' || *value == '\\')
            rc = buffer_printf(out, err, "\\%c", *value);
        else if ((unsigned char)*value >= ' ')
            rc = buffer_append(out, value, 1, err);
    }
    return rc == 0 ? buffer_append(out, "\"", 1, err) : -1;
}

static int write_labels(struct buffer *out, const struct row *row,
                        const struct metric_series *series, struct error *err)
{
    for (int i = 0; i < METRIC_LABELS && row->labels[i]; i++)
        if (write_label(out, i ? "," : "", row->labels[i], series->values[i], err) != 0)
            return -1;
    return 0;
}

static int write_count(struct buffer *out, const struct row *row,
                       const struct metric_series *series, struct error *err)
{
    int rc = 0;
    TRY(buffer_printf(out, err, "oneshot_%s{", row->name));
    TRY(write_labels(out, row, series, err));
    TRY(buffer_printf(out, err, "} %.15g\n", series->total));
done:
    return rc;
}

static int write_histogram(struct buffer *out, const struct row *row,
                           const struct metric_series *series, struct error *err)
{
    int rc = 0;
    unsigned long long sum = 0;
    const char *open = row->labels[0] ? "{" : "", *close = row->labels[0] ? "}" : "";
    for (int i = 0; i <= METRIC_BUCKETS; i++) {
        char bound[32] = "+Inf";
        if (i < METRIC_BUCKETS)
            snprintf(bound, sizeof bound, "%g", bounds[i]);
        sum += series->buckets[i];
        TRY(buffer_printf(out, err, "oneshot_%s_bucket{", row->name));
        TRY(write_labels(out, row, series, err));
        TRY(write_label(out, row->labels[0] ? "," : "", "le", bound, err));
        TRY(buffer_printf(out, err, "} %llu\n", sum));
    }
    TRY(buffer_printf(out, err, "oneshot_%s_sum%s", row->name, open));
    TRY(write_labels(out, row, series, err));
    TRY(buffer_printf(out, err, "%s %.15g\noneshot_%s_count%s", close, series->total, row->name,
                      open));
    TRY(write_labels(out, row, series, err));
    TRY(buffer_printf(out, err, "%s %llu\n", close, sum));
done:
    return rc;
}

static int write_counted(struct buffer *out, const struct metrics *metrics, struct error *err)
{
    for (int m = 0; m < METRICS; m++) {
        char name[64];
        snprintf(name, sizeof name, "oneshot_%s", rows[m].name);
        if (write_head(out, name, rows[m].histogram ? "histogram" : "counter", rows[m].help, err) !=
            0)
            return -1;
        for (int i = 0; i < metrics->count[m]; i++)
            if ((rows[m].histogram ? write_histogram
                                   : write_count)(out, &rows[m], &metrics->series[m][i], err) != 0)
                return -1;
    }
    return 0;
}

static int write_now(struct buffer *out, const struct api_state *state,
                     const struct api_limits *limits, int in_flight, struct error *err)
{
    bool draining = state->phase == PHASE_DRAINING || state->phase == PHASE_STOPPING;
    const struct {
        const char *name, *help;
        double value;
    } gauges[] = {
        {"oneshot_in_flight", "Requests under way, this one included.", in_flight},
        {"oneshot_queue_depth", "Requests that wait for a worker.", state->queued},
        {"oneshot_queue_capacity", "Requests that may wait.", limits->queue_capacity},
        {"oneshot_workers", "Slices that may be computed at the same time.", limits->workers},
        {"oneshot_workers_busy", "Slices that are being computed.", state->busy},
        {"oneshot_ready", "1 when /readyz answers 200.", state->phase == PHASE_READY},
        {"oneshot_draining", "1 once shutdown has begun.", draining},
    };
    for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
        if (metrics_write_one(out, gauges[i].name, "gauge", gauges[i].help, gauges[i].value, err) !=
            0)
            return -1;
    return 0;
}

static int write_facts(struct buffer *out, const struct model_info *model, struct error *err)
{
    int rc = 0;
    TRY(write_head(out, "oneshot_build_info", "gauge", "Always 1; what this program is.", err));
    TRY(buffer_printf(out, err, "oneshot_build_info{version=\"%s\"} 1\n", ONESHOT_VERSION));
    TRY(write_head(out, "oneshot_model_info", "gauge", "Always 1; the model that answers.", err));
    if (!model)
        return 0;
    TRY(buffer_printf(out, err, "oneshot_model_info{"));
    TRY(write_label(out, "", "name", model->name, err));
    TRY(write_label(out, ",", "version", model->version, err));
    TRY(write_label(out, ",", "sha256", model->sha256, err));
    TRY(buffer_printf(out, err, ",trained=\"%s\"} 1\n", model->trained ? "true" : "false"));
done:
    return rc;
}

int metrics_write(struct buffer *out, struct metrics *metrics, const struct api_state *state,
                  const struct api_limits *limits, int in_flight, struct error *err)
{
    pthread_mutex_lock(&metrics->lock);
    int rc = write_counted(out, metrics, err);
    pthread_mutex_unlock(&metrics->lock);
    if (rc != 0 || write_now(out, state, limits, in_flight, err) != 0 ||
        write_facts(out, state->model, err) != 0)
        return -1;
    return metrics_write_process(out, err);
}
