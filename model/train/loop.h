/*
 * A training run (section 4.1 of the paper): data, augmentation, the two steps of an iteration,
 * optimizer, weight copy, schedule, averaged weights, and a checkpoint that holds all of it.
 *
 * An iteration follows from the seed, its number and the state before it: nothing is drawn from a
 * generator that runs on. So a run that is restored from a checkpoint continues to the bit, on the
 * same kind of machine and with the same number of OpenMP threads.
 *
 * A loop belongs to the thread that opened it.
 */
#ifndef ONESHOT_TRAIN_LOOP_H
#define ONESHOT_TRAIN_LOOP_H

#include "model/data/augment.h"
#include "model/data/dataset.h"
#include "model/nn/adam.h"
#include "model/train/trainer.h"

enum schedule {
    SCHEDULE_CONSTANT,
    SCHEDULE_COSINE, /* half a cosine from lr to final_lr * lr at the last iteration */
};

struct loop_options {
    struct adam_options adam;
    enum schedule schedule;
    int warmup;            /* iterations over which lr rises from zero, with either schedule */
    float final_lr;        /* share of lr */
    int64_t iterations;    /* of the whole run: >= 1 */
    int64_t classify_from; /* the first iteration with a classification step */
    float balance;         /* of the classification data, see draw.h */
    float average;         /* decay of the averaged weights, 0 = none */
    struct augment_options augment;
    struct sampling sampling;
    const char *const *freeze; /* name prefixes that stay as they are, ended by NULL; or NULL */
    uint64_t seed;
    int threads; /* OpenMP threads of the calling thread from now on; 0: as they are */
};

/* The recipe of the paper: lr 1e-5, decay 1e-3, constant, no augmentation; iterations are not set.
 */
struct loop_options loop_paper(void);

struct loop_report {
    int64_t iteration; /* that just ran, from 0 */
    double lr;
    bool segmented, classified; /* which steps ran; loss[] of the others is 0 */
    double loss[LOSSES];
    bool copied; /* weights went into the classification branch */
};

struct loop;

/*
 * `network` has all its values (init.h or a file) and keeps them; `options`, data sets and network
 * must outlive the loop. Either data set may be NULL: then its step is left out. Every sample is
 * taken to be usable (dataset_check). ERR_ARGUMENT, ERR_MEMORY, ERR_INTERNAL.
 */
int loop_open(struct loop **out, struct network *network, const struct dataset *segmentation,
              const struct dataset *classification, const struct loop_options *options,
              struct error *err);
void loop_close(struct loop *loop); /* NULL is fine */

/* Iterations done so far; the run is over at options.iterations. */
int64_t loop_position(const struct loop *loop);

/* Learning rate of an iteration. */
double loop_learning_rate(const struct loop_options *options, int64_t iteration);

/* One iteration. ERR_BAD_DATA: a loss is not finite, or a file cannot be read any more (named). */
int loop_iterate(struct loop *loop, struct loop_report *report, struct error *err);

/* Writes the model as a weight file: averaged weights where there are any. Atomic. */
int loop_export(struct loop *loop, const char *path, bool half, struct error *err);

/*
 * The complete state (weights, moments, averages, position), atomically. `settings` is any text
 * that says how the run was set up, `best` the caller's best figure so far (may be NAN).
 */
int loop_save(const struct loop *loop, const char *path, const char *settings, double best,
              struct error *err);

/*
 * Takes all of it back. The settings must be the same text, lines of "name value"; otherwise
 * ERR_ARGUMENT names the first line that differs. ERR_IO, ERR_BAD_WEIGHTS.
 */
int loop_restore(struct loop *loop, const char *path, const char *settings, double *best,
                 struct error *err);

#endif
