#include "server/train_log.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "api/slice.h" /* clock_ms() */

int train_log_open(struct train_log *log, const char *path, int64_t total, bool quiet,
                   struct error *err)
{
    *log = (struct train_log){.shown = !quiet,
                              .terminal = isatty(STDERR_FILENO),
                              .total = total,
                              .segment = (double)NAN,
                              .image = (double)NAN,
                              .since_ms = clock_ms()};
    log->step_ms = log->since_ms;
    log->file = fopen(path, "a"); /* last, so that errno is its own */
    return log->file ? 0 : error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
}

void train_log_close(struct train_log *log)
{
    if (log->shown && log->terminal)
        fputs("\r\033[K", stderr);
    if (log->file)
        fclose(log->file);
    log->file = NULL;
}

static void clear_line(const struct train_log *log)
{
    if (log->terminal)
        fputs("\r\033[K", stderr);
}

void train_log_say(struct train_log *log, const char *format, ...)
{
    va_list args;
    if (!log->shown)
        return;
    clear_line(log);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

/* ---- the bar ---- */

/* A mean that follows the last few dozen values. */
static void follow(double *mean, double value)
{
    *mean = isfinite(*mean) ? *mean + .05 * (value - *mean) : value;
}

static void draw_bar(struct train_log *log, int64_t done)
{
    enum { CELLS = 24 };
    double now = clock_ms();
    if (!log->shown || !log->terminal || now - log->drawn_ms < 100)
        return;
    log->drawn_ms = now;
    int full = (int)((double)done / (double)log->total * CELLS);
    char bar[CELLS + 1];
    for (int i = 0; i < CELLS; i++)
        bar[i] = i < full ? '#' : '.';
    bar[CELLS] = 0;
    int64_t left = (int64_t)(log->seconds * (double)(log->total - done));
    fprintf(stderr,
            "\r[%s] %lld/%lld  L_SEG %.3f  L_CLS %.3f  %.2f images/s  %lld:%02lld:%02lld left"
            "\033[K",
            bar, (long long)done, (long long)log->total, log->segment, log->image,
            log->seconds > 0 ? log->images / log->seconds : 0, (long long)(left / 3600),
            (long long)(left / 60 % 60), (long long)(left % 60));
    fflush(stderr);
}

void train_log_step(struct train_log *log, const struct loop_report *report)
{
    double now = clock_ms();
    for (int i = 0; i < LOSSES; i++)
        log->sum[i] += report->loss[i];
    log->segmented += report->segmented;
    log->classified += report->classified;
    log->copied += report->copied;
    if (report->segmented)
        follow(&log->segment, trainer_segment_loss(report->loss));
    if (report->classified)
        follow(&log->image, report->loss[LOSS_IMAGE]);
    if (log->seconds == 0)
        log->seconds = (now - log->step_ms) / 1e3;
    follow(&log->seconds, (now - log->step_ms) / 1e3);
    log->images = report->segmented + report->classified;
    log->step_ms = now;
    draw_bar(log, report->iteration + 1);
}

/* ---- the log ---- */

static int finish_line(struct train_log *log, struct error *err)
{
    fputs("}\n", log->file);
    return fflush(log->file) == 0 && !ferror(log->file)
               ? 0
               : error_set(err, ERR_IO, "the training log cannot be written: %s", strerror(errno));
}

static void write_number(struct train_log *log, const char *name, double value)
{
    if (isfinite(value))
        fprintf(log->file, ", \"%s\": %.6g", name, value);
}

int train_log_write(struct train_log *log, const struct loop_report *report, struct error *err)
{
    double now = clock_ms(), seconds = (now - log->since_ms) / 1e3;
    int images = log->segmented + log->classified;
    fprintf(log->file, "{\"iteration\": %lld", (long long)report->iteration + 1);
    write_number(log, "lr", report->lr);
    double segment = 0;
    for (int i = 0; i < LOSSES; i++) {
        char name[40];
        int steps = i == LOSS_IMAGE ? log->classified : log->segmented;
        double mean = steps ? log->sum[i] / steps : (double)NAN;
        snprintf(name, sizeof name, "loss_%s", loss_name((enum loss)i));
        if (i != LOSS_IMAGE) {
            segment += mean;
            write_number(log, name, mean);
        } else {
            write_number(log, "loss_seg", segment);
            write_number(log, "loss_cls", mean);
        }
    }
    write_number(log, "copied",
                 log->segmented ? (double)log->copied / log->segmented : (double)NAN);
    write_number(log, "images_per_s", seconds > 0 ? images / seconds : (double)NAN);
    if (!log->terminal)
        train_log_say(log, "%lld/%lld  L_SEG %.4f  L_CLS %.4f  %.2f images/s",
                      (long long)report->iteration + 1, (long long)log->total,
                      log->segmented ? segment : 0,
                      log->classified ? log->sum[LOSS_IMAGE] / log->classified : 0,
                      seconds > 0 ? images / seconds : 0);
    memset(log->sum, 0, sizeof log->sum);
    log->segmented = log->classified = log->copied = 0;
    log->since_ms = now;
    return finish_line(log, err);
}

int train_log_validation(struct train_log *log, int64_t iteration, const struct validation *v,
                         bool best, struct error *err)
{
    fprintf(log->file, "{\"iteration\": %lld", (long long)iteration);
    write_number(log, "val_ap50", v->ap50);
    write_number(log, "val_ap", v->ap);
    write_number(log, "val_lungs_iou", v->lungs_iou);
    write_number(log, "val_lesions_dice", v->lesions_dice);
    write_number(log, "val_auroc_covid", v->auroc_covid);
    write_number(log, "val_accuracy", v->accuracy);
    write_number(log, "val_score", v->score);
    train_log_say(log,
                  "%lld/%lld  validation: AP@.5 %.3f, lungs IoU %.3f, lesions Dice %.3f, COVID-19 "
                  "AUROC %.3f, accuracy %.3f%s",
                  (long long)iteration, (long long)log->total, v->ap50, v->lungs_iou,
                  v->lesions_dice, v->auroc_covid, v->accuracy, best ? ": the best so far" : "");
    log->since_ms = log->step_ms = clock_ms(); /* the next step's time is its own */
    return finish_line(log, err);
}
