#include "model/rcnn/loss.h"

#include <math.h>

/* Cross-entropy of one logit and its derivative, with no logarithm of a rounded-off 0. */
static float bce(float *slope, float x, float target)
{
    float e = expf(-fabsf(x));
    *slope = (x >= 0 ? 1 : e) / (1 + e) - target;
    return (x > 0 ? x : 0) - x * target + log1pf(e);
}

double loss_bce(float *grad, const float *logits, const float *targets, const int *selected, int n,
                float scale)
{
    double sum = 0;
    float slope, share = scale / (float)n;
    for (int i = 0; i < n; i++) {
        int at = selected ? selected[i] : i;
        sum += bce(&slope, logits[at], targets[at]);
        if (grad)
            grad[at] += share * slope;
    }
    return n > 0 ? sum / n : 0;
}

double loss_softmax(float *grad, const float *logits, const int *labels, int n, int k, float scale)
{
    double sum = 0;
    float share = scale / (float)n;
    for (int r = 0; r < n; r++) {
        const float *row = logits + (size_t)r * (size_t)k;
        float largest = row[0], total = 0;
        for (int i = 1; i < k; i++)
            largest = row[i] > largest ? row[i] : largest;
        for (int i = 0; i < k; i++)
            total += expf(row[i] - largest);
        sum += logf(total) - (row[labels[r]] - largest);
        for (int i = 0; grad && i < k; i++)
            grad[(size_t)r * (size_t)k + (size_t)i] +=
                share * (expf(row[i] - largest) / total - (float)(i == labels[r]));
    }
    return n > 0 ? sum / n : 0;
}

double loss_smooth_l1(float *grad, const float *deltas, const int *rows, const float *targets,
                      int n, float beta, int count, float scale)
{
    double sum = 0;
    float share = scale / (float)count;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 4; k++) {
            size_t at = 4 * (size_t)rows[i] + (size_t)k;
            float x = deltas[at] - targets[4 * (size_t)i + (size_t)k];
            bool inside = fabsf(x) < beta;
            sum += inside ? 0.5f * x * x / beta : fabsf(x) - 0.5f * beta;
            if (grad)
                grad[at] += share * (inside ? x / beta : (float)((x > 0) - (x < 0)));
        }
    return n > 0 ? sum / count : 0;
}

double loss_mask(float *grad, const float *logits, const float *targets, const int *labels, int n,
                 int classes, int cells, bool channels_last, float scale)
{
    double sum = 0;
    double elements = (double)n * cells;
    float slope, share = (float)(scale / elements);
    size_t class_step = channels_last ? 1 : (size_t)cells;
    size_t cell_step = channels_last ? (size_t)classes : 1;
    for (int r = 0; r < n; r++) {
        size_t base = (size_t)r * (size_t)classes * (size_t)cells + class_step * (size_t)labels[r];
        const float *target = targets + (size_t)r * (size_t)cells;
        for (int i = 0; i < cells; i++) {
            size_t at = base + cell_step * (size_t)i;
            sum += bce(&slope, logits[at], target[i]);
            if (grad)
                grad[at] += share * slope;
        }
    }
    return elements > 0 ? sum / elements : 0;
}
