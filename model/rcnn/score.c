#include "model/rcnn/score.h"

#include <math.h>

/* expf of a non-positive number only: it cannot overflow, and small probabilities keep precision */
float sigmoid(float x)
{
    float e = expf(-fabsf(x));
    return (x >= 0 ? 1 : e) / (1 + e);
}

void sigmoid_all(float *out, const float *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = sigmoid(in[i]);
}

void softmax_rows(float *out, const float *in, int n, int k)
{
    for (int r = 0; r < n; r++, in += k, out += k) {
        float largest = in[0], sum = 0;
        for (int i = 1; i < k; i++)
            largest = in[i] > largest ? in[i] : largest;
        for (int i = 0; i < k; i++)
            sum += out[i] = expf(in[i] - largest);
        for (int i = 0; i < k; i++)
            out[i] /= sum;
    }
}
