/*
 * The losses of detection training, each with its gradient. Plain arrays; nothing is allocated;
 * any thread.
 *
 * Every function returns the loss (summed in double) and, where `grad` is not NULL, adds `scale`
 * times its derivative by the logits or deltas to `grad`, which is laid out as they are. `scale`
 * does not touch the returned value. An empty selection costs 0 and has no gradient.
 */
#ifndef ONESHOT_RCNN_LOSS_H
#define ONESHOT_RCNN_LOSS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Binary cross-entropy of sigmoid(logits), mean over the n elements selected[0..n-1] of logits and
 * targets; `selected` NULL: the first n. Targets are in [0,1]. Objectness; image classes.
 */
double loss_bce(float *grad, const float *logits, const float *targets, const int *selected, int n,
                float scale);

/* Cross-entropy of softmax(logits), mean over n rows of k; labels[i] is in 0..k-1. */
double loss_softmax(float *grad, const float *logits, const int *labels, int n, int k, float scale);

/*
 * Smooth L1 between n groups of four deltas and their targets (n, 4): x^2 / (2 beta) for
 * |x| < beta, else |x| - beta / 2, summed and divided by `count`, the number of boxes sampled
 * (matched or not), so that a box weighs the same however many are matched. beta 0 is plain L1.
 *
 * Group i is deltas[4 * rows[i]] to [4 * rows[i] + 3]: rows are anchor indices for proposals
 * (beta 0), box * classes + label for a box head that regresses per class (beta 1).
 */
double loss_smooth_l1(float *grad, const float *deltas, const int *rows, const float *targets,
                      int n, float beta, int count, float scale);

/*
 * Binary cross-entropy of the masks of the matched classes: mean over n boxes and `cells` mask
 * cells of logits (n, classes, cells), or (n, cells, classes) where `channels_last`, at class
 * labels[i], against targets (n, cells). The other classes get no gradient.
 */
double loss_mask(float *grad, const float *logits, const float *targets, const int *labels, int n,
                 int classes, int cells, bool channels_last, float scale);

#endif
