/*
 * Which sample an iteration reads. It follows from the seed and the iteration alone: a run that was
 * stopped needs to know no more than where it was.
 */
#ifndef ONESHOT_TRAIN_DRAW_H
#define ONESHOT_TRAIN_DRAW_H

#include "model/data/dataset.h"

struct draw;

/*
 * With `balance` 0 every epoch is a new shuffle of the data set. Above, samples are drawn one by
 * one: first what is known of their classes (all samples with the same labels are a group), a group
 * of n samples with weight n^(1 - balance), then one of that group; at 1 all groups are met equally
 * often. The data set must outlive the draw. ERR_MEMORY.
 */
int draw_open(struct draw **out, const struct dataset *dataset, float balance, uint64_t seed,
              struct error *err);
void draw_close(struct draw *draw); /* NULL is fine */

/* The sample of an iteration, 0..count-1. */
size_t draw_at(struct draw *draw, int64_t iteration);

#endif
