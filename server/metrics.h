/*
 * What is counted while the service runs, and its text for Prometheus (exposition format 0.0.4).
 * Labels are bounded: their values come from fixed sets (route templates, codes, classes), and a
 * metric that has all the series it may have counts the rest under "other". Any thread.
 */
#ifndef ONESHOT_SERVER_METRICS_H
#define ONESHOT_SERVER_METRICS_H

#include <pthread.h>

#include "api/state.h"
#include "model/base/buffer.h"

enum metric {
    METRIC_REQUESTS,    /* route, method, code */
    METRIC_DURATION,    /* route; seconds */
    METRIC_QUEUE_WAIT,  /* seconds */
    METRIC_STAGE,       /* stage; seconds */
    METRIC_SLICES,      /* kind, outcome */
    METRIC_REJECTIONS,  /* reason */
    METRIC_PREDICTIONS, /* class */
    METRIC_WARNINGS,    /* code */
    METRIC_RELOADS,     /* outcome */
    METRIC_CREDENTIALS, /* file, outcome */
    METRICS
};

enum {
    METRIC_LABELS = 3,   /* of one metric, at most */
    METRIC_TEXT = 48,    /* longest value of a label, and its final zero */
    METRIC_SERIES = 512, /* of one metric, at most */
    METRIC_BUCKETS = 14, /* of a histogram, without +Inf */
};

/* One combination of label values. */
struct metric_series {
    char values[METRIC_LABELS][METRIC_TEXT];
    double total; /* count, or sum of seconds */
    unsigned long long buckets[METRIC_BUCKETS + 1];
};

struct metrics {
    pthread_mutex_t lock;
    struct metric_series *series[METRICS];
    int count[METRICS];
};

int metrics_init(struct metrics *metrics); /* -1: no lock */
void metrics_free(struct metrics *metrics);

/* Adds one. As many values as the metric has labels, the rest NULL. Without memory it is lost. */
void metrics_count(struct metrics *metrics, enum metric metric, const char *a, const char *b,
                   const char *c);

/* Adds an observation to a histogram; `value` of its label, NULL where it has none. */
void metrics_observe(struct metrics *metrics, enum metric metric, double seconds,
                     const char *value);

/* The text, with what `state` and the system say now. Errors of buffer_append. */
int metrics_write(struct buffer *out, struct metrics *metrics, const struct api_state *state,
                  const struct api_limits *limits, int in_flight, struct error *err);

/* The part of it that the system knows: processor, memory, files, throttling. */
int metrics_write_process(struct buffer *out, struct error *err);

/* One sample without labels, with its description. `type` is "gauge" or "counter". */
int metrics_write_one(struct buffer *out, const char *name, const char *type, const char *help,
                      double value, struct error *err);

#endif
