/* server/metrics, server/cgroup: what is counted, the bound on labels, and the text's form. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cgroup.h"
#include "server/metrics.h"
#include "tests/unit/findings.h"
#include "tests/unit/run.h"

static struct metrics metrics;
static const struct api_limits limits = {.queue_capacity = 7, .workers = 2};

/* The text; the caller frees. */
static char *text_now(const struct model_info *model)
{
    struct api_state state = {.phase = PHASE_READY, .model = model, .queued = 3, .busy = 1};
    struct buffer out;
    struct error err;
    buffer_init(&out, 4 << 20);
    ck_assert_int_eq(metrics_write(&out, &metrics, &state, &limits, 5, &err), 0);
    return (char *)buffer_take(&out, NULL);
}

static void expect(const char *text, const char *line)
{
    ck_assert_msg(strstr(text, line) != NULL, "no %s in %s", line, text);
}

START_TEST(counts)
{
    ck_assert_int_eq(metrics_init(&metrics), 0);
    for (int i = 0; i < 3; i++)
        metrics_count(&metrics, METRIC_REQUESTS, "/v1/predict", "POST", "200");
    metrics_count(&metrics, METRIC_REQUESTS, "/v1/predict", "POST", "429");
    metrics_count(&metrics, METRIC_PREDICTIONS, "covid_19", NULL, NULL);
    char *text = text_now(&findings_model);
    expect(text, "# TYPE oneshot_http_requests_total counter\n");
    expect(text,
           "oneshot_http_requests_total{route=\"/v1/predict\",method=\"POST\",code=\"200\"} 3\n");
    expect(text,
           "oneshot_http_requests_total{route=\"/v1/predict\",method=\"POST\",code=\"429\"} 1\n");
    expect(text, "oneshot_predictions_total{class=\"covid_19\"} 1\n");
    expect(text, "oneshot_in_flight 5\n");
    expect(text, "oneshot_queue_depth 3\n");
    expect(text, "oneshot_queue_capacity 7\n");
    expect(text, "oneshot_workers 2\n");
    expect(text, "oneshot_workers_busy 1\n");
    expect(text, "oneshot_ready 1\n");
    expect(text, "oneshot_draining 0\n");
    expect(text, "oneshot_build_info{version=\"" ONESHOT_VERSION "\"} 1\n");
    expect(text, "oneshot_model_info{name=\"hand-made\",version=\"1\",sha256=\"00\","
                 "trained=\"true\"} 1\n");
    expect(text, "# TYPE oneshot_cgroup_cpu_throttled_seconds_total counter\n");
    free(text);
    text = text_now(NULL); /* not loaded yet */
    ck_assert_ptr_null(strstr(text, "oneshot_model_info{"));
    free(text);
    metrics_free(&metrics);
}
END_TEST

START_TEST(histograms_add_up)
{
    ck_assert_int_eq(metrics_init(&metrics), 0);
    static const double seconds[] = {0.0005, 0.001, 0.3, 0.4, 59, 1000};
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        metrics_observe(&metrics, METRIC_QUEUE_WAIT, seconds[i], NULL);
        metrics_observe(&metrics, METRIC_STAGE, seconds[i], "infer");
    }
    char *text = text_now(NULL);
    expect(text, "oneshot_queue_wait_seconds_bucket{le=\"0.001\"} 2\n");
    expect(text, "oneshot_queue_wait_seconds_bucket{le=\"0.25\"} 2\n");
    expect(text, "oneshot_queue_wait_seconds_bucket{le=\"0.5\"} 4\n");
    expect(text, "oneshot_queue_wait_seconds_bucket{le=\"60\"} 5\n");
    expect(text, "oneshot_queue_wait_seconds_bucket{le=\"+Inf\"} 6\n");
    expect(text, "oneshot_queue_wait_seconds_sum 1059.7015\n");
    expect(text, "oneshot_queue_wait_seconds_count 6\n");
    expect(text, "oneshot_stage_duration_seconds_bucket{stage=\"infer\",le=\"0.5\"} 4\n");
    expect(text, "oneshot_stage_duration_seconds_count{stage=\"infer\"} 6\n");
    free(text);
    metrics_free(&metrics);
}
END_TEST

START_TEST(labels_are_bounded)
{
    char value[32];
    ck_assert_int_eq(metrics_init(&metrics), 0);
    for (int i = 0; i < 3 * METRIC_SERIES; i++) {
        snprintf(value, sizeof value, "value-%d", i);
        metrics_count(&metrics, METRIC_WARNINGS, value, NULL, NULL);
    }
    ck_assert_int_eq(metrics.count[METRIC_WARNINGS], METRIC_SERIES);
    char *text = text_now(NULL);
    snprintf(value, sizeof value, "{code=\"other\"} %d\n", 2 * METRIC_SERIES + 1);
    expect(text, value);
    expect(text, "oneshot_input_warnings_total{code=\"value-0\"} 1\n");
    free(text);
    metrics_free(&metrics);
}
END_TEST

START_TEST(no_label_can_forge_a_line)
{
    struct model_info model = findings_model;
    snprintf(model.name, sizeof model.name, "a\"} 1\noneshot_ready 0\\");
    ck_assert_int_eq(metrics_init(&metrics), 0);
    char *text = text_now(&model);
    expect(text, "oneshot_model_info{name=\"a\\\"} 1oneshot_ready 0\\\\\",version");
    ck_assert_ptr_null(strstr(text, "\noneshot_ready 0"));
    free(text);
    metrics_free(&metrics);
}
END_TEST

START_TEST(the_text_does_not_pass_its_limit)
{
    struct api_state state = {.phase = PHASE_LOADING};
    struct buffer out;
    struct error err;
    ck_assert_int_eq(metrics_init(&metrics), 0);
    metrics_count(&metrics, METRIC_SLICES, "png", "ok", NULL);
    buffer_init(&out, 4 << 20);
    ck_assert_int_eq(metrics_write(&out, &metrics, &state, &limits, 0, &err), 0);
    size_t length = out.length - 16; /* what /proc says may be shorter the next time */
    buffer_free(&out);
    for (size_t limit = 0; limit < length; limit += 97) {
        buffer_init(&out, limit);
        ck_assert_int_ne(metrics_write(&out, &metrics, &state, &limits, 0, &err), 0);
        ck_assert_int_eq(err.code, ERR_TOO_LARGE);
        buffer_free(&out);
    }
    metrics_free(&metrics);
}
END_TEST

/* Value of a sample without labels. */
static double value_of(const char *text, const char *name)
{
    char start[80];
    snprintf(start, sizeof start, "\n%s ", name);
    const char *at = strstr(text, start);
    ck_assert_msg(at != NULL, "no %s", name);
    return strtod(at + strlen(start), NULL);
}

START_TEST(the_process_is_measured)
{
    struct cgroup_throttling throttling;
    ck_assert_int_eq(metrics_init(&metrics), 0);
    char *text = text_now(NULL);
    ck_assert_double_gt(value_of(text, "process_resident_memory_bytes"), 100000);
    ck_assert_double_gt(value_of(text, "process_virtual_memory_bytes"), 100000);
    ck_assert_double_ge(value_of(text, "process_open_fds"), 2);
    ck_assert_double_lt(value_of(text, "process_open_fds"), 100);
    ck_assert_double_ge(value_of(text, "process_max_fds"), 3);
    ck_assert_double_ge(value_of(text, "process_threads"), 1);
    ck_assert_double_gt(value_of(text, "process_start_time_seconds"), 1e9);
    ck_assert_double_ge(value_of(text, "process_cpu_seconds_total"), 0);
    free(text);
    metrics_free(&metrics);
    cgroup_throttling(&throttling);
    ck_assert_double_ge(throttling.periods, throttling.throttled);
    ck_assert_int_ge(cgroup_cores(), 0);
}
END_TEST

int main(void)
{
    RUN("prometheus", counts, histograms_add_up, labels_are_bounded, no_label_can_forge_a_line,
        the_text_does_not_pass_its_limit, the_process_is_measured);
}
