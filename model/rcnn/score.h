/*
 * From logits to probabilities. Logits of any size are fine: nothing overflows. Any thread.
 */
#ifndef ONESHOT_RCNN_SCORE_H
#define ONESHOT_RCNN_SCORE_H

#include <stddef.h>

/* 1 / (1 + exp(-x)) */
float sigmoid(float x);

/* out[i] = sigmoid(in[i]); may work in place. */
void sigmoid_all(float *out, const float *in, size_t n);

/* Each of the n rows of k logits to probabilities that sum to 1; may work in place. */
void softmax_rows(float *out, const float *in, int n, int k);

#endif
