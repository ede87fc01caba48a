/*
 * What every op of a graph means, forwards and backwards, in double and by the plainest loops that
 * say it: a second opinion on model/nn, which shares nothing with it but the description.
 *
 * Values and gradients are (n, c, h, w), row-major. A backward adds to what gradients hold already.
 */
#ifndef ONESHOT_TESTS_NAIVE_OPS_H
#define ONESHOT_TESTS_NAIVE_OPS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/nn/graph.h"

/* One node at work: what it reads and writes. */
struct task {
    bool train_stats;
    int wide; /* input channels of the weight */
    const struct node *node;
    struct shape in, out;
    const double *x, *b; /* inputs */
    double *y, *dx, *db; /* output; gradients of the inputs, to be added to */
    const double *dy;
    double *p[NODE_PARAMS], *dp[NODE_PARAMS];
    double *extra;
};

static inline size_t shape_count(struct shape s)
{
    return (size_t)s.n * (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

static inline size_t at4(struct shape s, int n, int c, int h, int w)
{
    return (((size_t)n * (size_t)s.c + (size_t)c) * (size_t)s.h + (size_t)h) * (size_t)s.w +
           (size_t)w;
}

/* ---- convolutions ---- */

/* Calls `each` for every product of a convolution: index of x, of the weight and of y. */
static inline void conv_products(const struct task *t,
                                 void (*each)(const struct task *, size_t, size_t, size_t))
{
    const struct node *n = t->node;
    int in = t->wide / n->groups, out = t->out.c / n->groups, k = n->kernel;
    for (int b = 0; b < t->out.n; b++)
        for (int o = 0; o < t->out.c; o++)
            for (int y = 0; y < t->out.h; y++)
                for (int x = 0; x < t->out.w; x++)
                    for (int i = 0; i < in; i++)
                        for (int ky = 0; ky < k; ky++)
                            for (int kx = 0; kx < k; kx++) {
                                int sy = y * n->stride + ky - n->pad;
                                int sx = x * n->stride + kx - n->pad;
                                if (sy < 0 || sx < 0 || sy >= t->in.h || sx >= t->in.w)
                                    continue;
                                /* With equal channels x stores one that stands for all. */
                                int channel = n->equal_channels ? 0 : o / out * in + i;
                                size_t weight = (((size_t)o * (size_t)in + (size_t)i) * (size_t)k +
                                                 (size_t)ky) *
                                                    (size_t)k +
                                                (size_t)kx;
                                each(t, at4(t->in, b, channel, sy, sx), weight,
                                     at4(t->out, b, o, y, x));
                            }
}

static inline void deconv_products(const struct task *t,
                                   void (*each)(const struct task *, size_t, size_t, size_t))
{
    int f = t->node->kernel;
    for (int b = 0; b < t->in.n; b++)
        for (int i = 0; i < t->in.c; i++)
            for (int y = 0; y < t->in.h; y++)
                for (int x = 0; x < t->in.w; x++)
                    for (int o = 0; o < t->out.c; o++)
                        for (int ky = 0; ky < f; ky++)
                            for (int kx = 0; kx < f; kx++) {
                                size_t weight =
                                    (((size_t)i * (size_t)t->out.c + (size_t)o) * (size_t)f +
                                     (size_t)ky) *
                                        (size_t)f +
                                    (size_t)kx;
                                each(t, at4(t->in, b, i, y, x), weight,
                                     at4(t->out, b, o, y * f + ky, x * f + kx));
                            }
}

static inline void linear_products(const struct task *t,
                                   void (*each)(const struct task *, size_t, size_t, size_t))
{
    size_t in = shape_count(t->in) / (size_t)t->in.n, out = (size_t)t->out.c;
    for (size_t b = 0; b < (size_t)t->in.n; b++)
        for (size_t o = 0; o < out; o++)
            for (size_t i = 0; i < in; i++)
                each(t, b * in + i, o * in + i, b * out + o);
}

static inline void multiply(const struct task *t, size_t x, size_t w, size_t y)
{
    t->y[y] += t->x[x] * t->p[0][w];
}

static inline void multiply_back(const struct task *t, size_t x, size_t w, size_t y)
{
    t->dx[x] += t->dy[y] * t->p[0][w];
    t->dp[0][w] += t->dy[y] * t->x[x];
}

static inline void products(const struct task *t,
                            void (*each)(const struct task *, size_t, size_t, size_t))
{
    if (t->node->kind == OP_CONV)
        conv_products(t, each);
    else if (t->node->kind == OP_DECONV)
        deconv_products(t, each);
    else
        linear_products(t, each);
}

/* Convolution, transposed convolution and linear layer: a bias and products. */
static inline void product_forward(const struct task *t)
{
    size_t plane = (size_t)t->out.h * (size_t)t->out.w;
    for (size_t i = 0; i < shape_count(t->out); i++)
        t->y[i] = t->p[1] ? t->p[1][i / plane % (size_t)t->out.c] : 0;
    products(t, multiply);
}

static inline void product_backward(const struct task *t)
{
    size_t plane = (size_t)t->out.h * (size_t)t->out.w;
    for (size_t i = 0; i < shape_count(t->out) && t->p[1]; i++)
        t->dp[1][i / plane % (size_t)t->out.c] += t->dy[i];
    products(t, multiply_back);
}

/* ---- norm ---- */

static inline bool norm_by_batch(const struct task *t)
{
    return t->node->norm == NORM_BATCH || t->train_stats;
}

static inline void norm_forward(const struct task *t)
{
    int plane = t->in.h * t->in.w, count = t->in.n * plane;
    for (int c = 0; c < t->in.c; c++) {
        double mean = 0, var = 0;
        for (int i = 0; i < count; i++)
            mean += t->x[at4(t->in, i / plane, c, 0, i % plane)] / count;
        for (int i = 0; i < count; i++) {
            double d = t->x[at4(t->in, i / plane, c, 0, i % plane)] - mean;
            var += d * d / count;
        }
        if (t->train_stats) {
            t->p[2][c] = 0.9 * t->p[2][c] + 0.1 * mean;
            t->p[3][c] = 0.9 * t->p[3][c] + 0.1 * var * count / (count - 1);
        }
        if (!norm_by_batch(t)) {
            mean = t->p[2][c];
            var = t->p[3][c];
        }
        double rstd = 1 / sqrt(var + 1e-5);
        t->extra[2 * c] = mean;
        t->extra[2 * c + 1] = rstd;
        for (int i = 0; i < count; i++) {
            size_t k = at4(t->in, i / plane, c, 0, i % plane);
            t->y[k] = (t->x[k] - mean) * rstd * t->p[0][c] + t->p[1][c];
        }
    }
}

static inline void norm_backward(const struct task *t)
{
    int plane = t->in.h * t->in.w, count = t->in.n * plane;
    for (int c = 0; c < t->in.c; c++) {
        double mean = t->extra[2 * c], rstd = t->extra[2 * c + 1], sum = 0, product = 0;
        for (int i = 0; i < count; i++) {
            size_t k = at4(t->in, i / plane, c, 0, i % plane);
            sum += t->dy[k];
            product += t->dy[k] * (t->x[k] - mean) * rstd;
        }
        t->dp[0][c] += product;
        t->dp[1][c] += sum;
        for (int i = 0; i < count; i++) {
            size_t k = at4(t->in, i / plane, c, 0, i % plane);
            double through_statistics =
                norm_by_batch(t) ? (sum + (t->x[k] - mean) * rstd * product) / count : 0;
            t->dx[k] += t->p[0][c] * rstd * (t->dy[k] - through_statistics);
        }
    }
}

/* ---- ReLU, sum, max pooling ---- */

static inline void relu_forward(const struct task *t)
{
    for (size_t i = 0; i < shape_count(t->out); i++)
        t->y[i] = t->x[i] > 0 ? t->x[i] : 0;
}

static inline void relu_backward(const struct task *t)
{
    for (size_t i = 0; i < shape_count(t->out); i++)
        t->dx[i] += t->x[i] > 0 ? t->dy[i] : 0;
}

static inline void add_forward(const struct task *t)
{
    for (size_t i = 0; i < shape_count(t->out); i++)
        t->y[i] = t->x[i] + t->b[i];
}

static inline void add_backward(const struct task *t)
{
    for (size_t i = 0; i < shape_count(t->out); i++) {
        t->dx[i] += t->dy[i];
        t->db[i] += t->dy[i];
    }
}

/* Where the largest value under an output's window lies. */
static inline size_t pool_winner(const struct task *t, int n, int c, int y, int x)
{
    const struct node *node = t->node;
    size_t best = SIZE_MAX;
    for (int ky = 0; ky < node->kernel; ky++)
        for (int kx = 0; kx < node->kernel; kx++) {
            int sy = y * node->stride + ky - node->pad, sx = x * node->stride + kx - node->pad;
            if (sy < 0 || sx < 0 || sy >= t->in.h || sx >= t->in.w)
                continue;
            size_t k = at4(t->in, n, c, sy, sx);
            if (best == SIZE_MAX || t->x[k] > t->x[best])
                best = k;
        }
    return best;
}

static inline void pool(const struct task *t, bool back)
{
    for (int n = 0; n < t->out.n; n++)
        for (int c = 0; c < t->out.c; c++)
            for (int y = 0; y < t->out.h; y++)
                for (int x = 0; x < t->out.w; x++) {
                    size_t to = at4(t->out, n, c, y, x), from = pool_winner(t, n, c, y, x);
                    if (back)
                        t->dx[from] += t->dy[to];
                    else
                        t->y[to] = t->x[from];
                }
}

static inline void pool_forward(const struct task *t)
{
    pool(t, false);
}

static inline void pool_backward(const struct task *t)
{
    pool(t, true);
}

/* ---- LSTM: extra holds i, f, g, o, c of every step ---- */

static inline double logistic(double v)
{
    return 1 / (1 + exp(-v));
}

static inline void lstm_forward(const struct task *t)
{
    int h = t->out.c, in = t->in.c;
    for (int s = 0; s < t->in.n; s++) {
        double *gate = t->extra + 5 * s * h;
        const double *before = s ? t->y + (s - 1) * h : NULL;
        for (int k = 0; k < 4 * h; k++) {
            double sum = t->p[2][k] + t->p[3][k];
            for (int i = 0; i < in; i++)
                sum += t->p[0][k * in + i] * t->x[s * in + i];
            for (int i = 0; i < h && before; i++)
                sum += t->p[1][k * h + i] * before[i];
            gate[k] = k / h == 2 ? tanh(sum) : logistic(sum);
        }
        for (int k = 0; k < h; k++) {
            double cell = s ? t->extra[5 * (s - 1) * h + 4 * h + k] : 0;
            gate[4 * h + k] = gate[h + k] * cell + gate[k] * gate[2 * h + k];
            t->y[s * h + k] = gate[3 * h + k] * tanh(gate[4 * h + k]);
        }
    }
}

static inline void lstm_backward(const struct task *t)
{
    int h = t->out.c, in = t->in.c;
    double *dh = calloc((size_t)(6 * h), sizeof *dh), *dc = dh + h, *da = dh + 2 * h;
    for (int s = t->in.n - 1; s >= 0; s--) {
        const double *gate = t->extra + 5 * s * h;
        for (int k = 0; k < h; k++) {
            double i = gate[k], f = gate[h + k], g = gate[2 * h + k], o = gate[3 * h + k];
            double squashed = tanh(gate[4 * h + k]), dy = t->dy[s * h + k] + dh[k];
            double cell = s ? t->extra[5 * (s - 1) * h + 4 * h + k] : 0;
            double d = dc[k] + dy * o * (1 - squashed * squashed);
            da[k] = d * g * i * (1 - i);
            da[h + k] = d * cell * f * (1 - f);
            da[2 * h + k] = d * i * (1 - g * g);
            da[3 * h + k] = dy * squashed * o * (1 - o);
            dc[k] = d * f;
        }
        memset(dh, 0, (size_t)h * sizeof *dh);
        for (int k = 0; k < 4 * h; k++) {
            t->dp[2][k] += da[k];
            t->dp[3][k] += da[k];
            for (int i = 0; i < in; i++) {
                t->dp[0][k * in + i] += da[k] * t->x[s * in + i];
                t->dx[s * in + i] += da[k] * t->p[0][k * in + i];
            }
            for (int i = 0; i < h && s; i++) {
                t->dp[1][k * h + i] += da[k] * t->y[(s - 1) * h + i];
                dh[i] += da[k] * t->p[1][k * h + i];
            }
        }
    }
    free(dh);
}

/* ---- rows ---- */

static inline void last_row_forward(const struct task *t)
{
    for (int c = 0; c < t->in.c; c++)
        t->y[c] = t->x[(t->in.n - 1) * t->in.c + c];
}

static inline void last_row_backward(const struct task *t)
{
    for (int c = 0; c < t->in.c; c++)
        t->dx[(t->in.n - 1) * t->in.c + c] += t->dy[c];
}

static inline size_t factor_at(const struct task *t, int k, int j)
{
    return t->node->transpose ? (size_t)(j * t->in.c + k) : (size_t)(k * t->out.c + j);
}

static inline void matmul_forward(const struct task *t)
{
    memset(t->y, 0, shape_count(t->out) * sizeof *t->y);
    for (int i = 0; i < t->out.n; i++)
        for (int j = 0; j < t->out.c; j++)
            for (int k = 0; k < t->in.c; k++)
                t->y[i * t->out.c + j] += t->x[i * t->in.c + k] * t->b[factor_at(t, k, j)];
}

static inline void matmul_backward(const struct task *t)
{
    for (int i = 0; i < t->out.n; i++)
        for (int j = 0; j < t->out.c; j++)
            for (int k = 0; k < t->in.c; k++) {
                t->dx[i * t->in.c + k] += t->dy[i * t->out.c + j] * t->b[factor_at(t, k, j)];
                t->db[factor_at(t, k, j)] += t->dy[i * t->out.c + j] * t->x[i * t->in.c + k];
            }
}

static inline void softmax_forward(const struct task *t)
{
    for (int i = 0; i < t->in.n; i++) {
        double sum = 0;
        for (int k = 0; k < t->in.c; k++)
            sum += exp(t->x[i * t->in.c + k]);
        for (int k = 0; k < t->in.c; k++)
            t->y[i * t->in.c + k] = exp(t->x[i * t->in.c + k]) / sum;
    }
}

static inline void softmax_backward(const struct task *t)
{
    int c = t->in.c;
    for (int i = 0; i < t->in.n; i++)
        for (int k = 0; k < c; k++)
            for (int j = 0; j < c; j++)
                t->dx[i * c + k] +=
                    t->dy[i * c + j] * t->y[i * c + j] * ((j == k ? 1 : 0) - t->y[i * c + k]);
}

/* ---- the table ---- */

static const struct {
    void (*forward)(const struct task *), (*backward)(const struct task *);
} naive_ops[OP_KINDS] = {
    [OP_CONV] = {product_forward, product_backward},
    [OP_DECONV] = {product_forward, product_backward},
    [OP_LINEAR] = {product_forward, product_backward},
    [OP_NORM] = {norm_forward, norm_backward},
    [OP_RELU] = {relu_forward, relu_backward},
    [OP_ADD] = {add_forward, add_backward},
    [OP_MAX_POOL] = {pool_forward, pool_backward},
    [OP_LSTM] = {lstm_forward, lstm_backward},
    [OP_LAST_ROW] = {last_row_forward, last_row_backward},
    [OP_MATMUL] = {matmul_forward, matmul_backward},
    [OP_SOFTMAX] = {softmax_forward, softmax_backward},
};

#endif
