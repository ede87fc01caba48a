/* model/eval: the log of a training run, read and smoothed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/eval/training_log.h"
#include "tests/unit/run.h"

START_TEST(training_log_is_forgiving)
{
    static const char text[] =
        "{\"iteration\": 1, \"loss_seg\": 3.5, \"loss_cls\": 0.7, \"lr\": 1}\n"
        "\n"
        "{\"iteration\": 2, \"loss_seg\": 3.0, \"loss_mask\": \"x\"}\n"
        "not json\n"
        "[1, 2]\n"
        "{\"iteration\": 3, \"loss_seg\": null, \"loss_cls\": 0.6}\n"
        "{\"iteration\": 2, \"loss_seg\": 2.0}\n"
        "{\"iteration\": 4, \"loss_se";
    struct training_log log;
    struct error err;
    ck_assert_int_eq(training_log_read(&log, text, strlen(text), &err), 0);
    ck_assert_int_eq(log.lines, 7);
    ck_assert_int_eq(log.skipped, 3);
    ck_assert_int_eq(log.count, 2);
    const struct training_series *seg = training_log_find(&log, "loss_seg");
    ck_assert_uint_eq(seg->count, 2); /* the second iteration 2 replaces the first */
    ck_assert_double_eq(seg->value[1], 2.0);
    ck_assert_uint_eq(training_log_find(&log, "loss_cls")->count, 2);
    ck_assert_ptr_null(training_log_find(&log, "lr"));
    training_log_free(&log);
    ck_assert_int_ne(training_log_read(&log, "x\ny\n", 4, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_DATA);
    training_log_free(&log);
    ck_assert_int_ne(training_log_read(&log, "", 0, &err), 0);
    training_log_free(&log);
}
END_TEST

START_TEST(training_log_without_iterations)
{
    static const char text[] = "{\"loss\": 2}\n{\"loss\": 1}\n{\"loss\": 1e999}\n";
    struct training_log log;
    struct error err;
    ck_assert_int_eq(training_log_read(&log, text, strlen(text), &err), 0);
    const struct training_series *loss = training_log_find(&log, "loss");
    ck_assert_uint_eq(loss->count, 2);
    ck_assert_double_eq(loss->iteration[1], 2);
    training_log_free(&log);
}
END_TEST

START_TEST(smoothing_by_hand)
{
    struct training_log log = {0};
    struct error err;
    for (int i = 1; i <= 8; i++)
        ck_assert_int_eq(training_log_add(&log, "loss", i, i % 2 ? 4 : 2, &err), 0);
    double x[8];
    double y[8];
    const struct training_series *loss = training_log_find(&log, "loss");
    ck_assert_uint_eq(training_series_smooth(loss, x, y, 4, 0), 4); /* pairs */
    ck_assert_double_eq(x[0], 1.5);
    ck_assert_double_eq(y[3], 3);
    ck_assert_uint_eq(training_series_smooth(loss, x, y, 100, 1), 8);
    ck_assert_double_eq(y[0], 3);
    ck_assert_double_eq_tol(y[1], (4 + 2 + 4) / 3.0, 1e-12);
    ck_assert_double_eq_tol(y[2], (2 + 4 + 2) / 3.0, 1e-12);
    ck_assert_double_eq(y[7], 3);
    training_log_free(&log);
}
END_TEST

START_TEST(more_series_than_room)
{
    struct training_log log = {0};
    struct error err;
    char name[32];
    for (int i = 0; i < 40; i++) {
        snprintf(name, sizeof name, "loss_%d", i);
        ck_assert_int_eq(training_log_add(&log, name, 1, 1, &err), 0);
    }
    ck_assert_int_eq(log.count, TRAINING_SERIES);
    training_log_free(&log);
}
END_TEST

int main(void)
{
    RUN("training_log", training_log_is_forgiving, training_log_without_iterations,
        smoothing_by_hand, more_series_than_room);
}
