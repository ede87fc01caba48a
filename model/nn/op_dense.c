/*
 * The small dense ops of attention over a sequence of rows: last row, matrix product, softmax.
 * Rows are (n, c, 1, 1), c contiguous; the largest is 16 x 256, so plain loops do.
 */
#include <math.h>
#include <string.h>

#include "model/nn/compile.h"

/* The value of an input as dense rows. */
static int rows_of(struct plan *plan, int slot, struct error *err)
{
    if (slot < 0)
        return -1;
    dnnl_memory_desc_t md = md_of(4, plan_md(plan, slot)->dims, dnnl_nchw);
    return plan_in_layout(plan, slot, &md, err);
}

static int new_rows(struct plan *plan, int index, struct error *err)
{
    dnnl_memory_desc_t md = md_4d(plan_shape(plan, index), dnnl_nchw);
    return plan_new_slot(plan, &md, err);
}

/* ---- last row: (n, c) -> (1, c) ---- */

static void kernel_last_row(const struct step *step, void *const *p)
{
    int64_t n = step->number[0], c = step->number[1];
    memcpy(p[1], (const float *)p[0] + (n - 1) * c, (size_t)c * sizeof(float));
}

static void kernel_last_row_grad(const struct step *step, void *const *p)
{
    int64_t n = step->number[0], c = step->number[1];
    float *dx = p[1];
    memset(dx, 0, (size_t)((n - 1) * c) * sizeof(float));
    memcpy(dx + (n - 1) * c, p[0], (size_t)c * sizeof(float));
}

static int last_row_step(struct plan *plan, int index,
                         void (*kernel)(const struct step *, void *const *), int from, int to,
                         struct error *err)
{
    struct shape x = plan_shape(plan, plan_node(plan, index)->input[0]);
    struct step *step = plan_add_kernel(plan, kernel, 2, (const int[]){from, to}, err);
    if (!step)
        return -1;
    step->number[0] = x.n;
    step->number[1] = x.c;
    return 0;
}

static int last_row_forward(struct plan *plan, int index, struct error *err)
{
    int x = rows_of(plan, plan_value(plan, plan_node(plan, index)->input[0]), err);
    int y = new_rows(plan, index, err);
    plan_set_value(plan, index, y);
    return last_row_step(plan, index, kernel_last_row, x, y, err);
}

static int last_row_backward(struct plan *plan, int index, struct error *err)
{
    int input = plan_node(plan, index)->input[0];
    int dy = rows_of(plan, plan_output_grad(plan, index, err), err);
    int dx = new_rows(plan, input, err);
    if (last_row_step(plan, index, kernel_last_row_grad, dy, dx, err) != 0)
        return -1;
    return plan_give_grad(plan, input, dx, err);
}

const struct op op_last_row = {"last row", last_row_forward, last_row_backward};

/* ---- matrix product ---- */

/* c (m, n) = a (m, k) b (k, n); strides (row, column) let the same loop read transposes.
 * number: m, n, k, a's strides, b's strides. */
static void kernel_matmul(const struct step *step, void *const *p)
{
    const float *a = p[0], *b = p[1];
    float *c = p[2];
    int64_t m = step->number[0], n = step->number[1], k = step->number[2];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t t = 0; t < k; t++)
                sum += (double)a[i * step->number[3] + t * step->number[4]] *
                       (double)b[t * step->number[5] + j * step->number[6]];
            c[i * n + j] = (float)sum;
        }
}

static int matmul_step(struct plan *plan, const int slots[3], const int64_t numbers[7],
                       struct error *err)
{
    struct step *step = plan_add_kernel(plan, kernel_matmul, 3, slots, err);
    if (!step)
        return -1;
    memcpy(step->number, numbers, 7 * sizeof *numbers);
    return 0;
}

static int matmul_forward(struct plan *plan, int index, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    int a = rows_of(plan, plan_value(plan, node->input[0]), err);
    int b = rows_of(plan, plan_value(plan, node->input[1]), err);
    int y = new_rows(plan, index, err);
    int64_t m = plan_shape(plan, index).n, n = plan_shape(plan, index).c;
    int64_t k = plan_shape(plan, node->input[0]).c;
    plan_set_value(plan, index, y);
    return matmul_step(
        plan, (const int[]){a, b, y},
        (const int64_t[]){m, n, k, k, 1, node->transpose ? 1 : n, node->transpose ? k : 1}, err);
}

/* da = dy b', db = a' dy, or its transpose where b was given transposed. */
static int matmul_backward(struct plan *plan, int index, struct error *err)
{
    const struct node *node = plan_node(plan, index);
    int a = rows_of(plan, plan_value(plan, node->input[0]), err);
    int b = rows_of(plan, plan_value(plan, node->input[1]), err);
    int dy = rows_of(plan, plan_output_grad(plan, index, err), err);
    int64_t m = plan_shape(plan, index).n, n = plan_shape(plan, index).c;
    int64_t k = plan_shape(plan, node->input[0]).c;
    if (a < 0 || b < 0 || dy < 0)
        return -1;
    if (plan_wants_grad(plan, node->input[0])) {
        int da = new_rows(plan, node->input[0], err);
        const int64_t numbers[] = {m, k, n, n, 1, node->transpose ? k : 1, node->transpose ? 1 : n};
        if (matmul_step(plan, (const int[]){dy, b, da}, numbers, err) != 0 ||
            plan_give_grad(plan, node->input[0], da, err) != 0)
            return -1;
    }
    if (plan_wants_grad(plan, node->input[1])) {
        int db = new_rows(plan, node->input[1], err);
        const int64_t straight[] = {k, n, m, 1, k, n, 1}, transposed[] = {n, k, m, 1, n, k, 1};
        const int straight_slots[] = {a, dy, db}, transposed_slots[] = {dy, a, db};
        if (matmul_step(plan, node->transpose ? transposed_slots : straight_slots,
                        node->transpose ? transposed : straight, err) != 0 ||
            plan_give_grad(plan, node->input[1], db, err) != 0)
            return -1;
    }
    return 0;
}

const struct op op_matmul = {"matrix product", matmul_forward, matmul_backward};

/* ---- softmax over c ---- */

static void kernel_softmax(const struct step *step, void *const *p)
{
    const float *x = p[0];
    float *y = p[1];
    int64_t n = step->number[0], c = step->number[1];
    for (int64_t i = 0; i < n; i++, x += c, y += c) {
        float top = x[0];
        double sum = 0;
        for (int64_t k = 1; k < c; k++)
            top = x[k] > top ? x[k] : top;
        for (int64_t k = 0; k < c; k++)
            sum += (double)(y[k] = expf(x[k] - top));
        for (int64_t k = 0; k < c; k++)
            y[k] = (float)((double)y[k] / sum);
    }
}

/* p: 0 y, 1 dy, 2 dx = y (dy - y . dy) */
static void kernel_softmax_grad(const struct step *step, void *const *p)
{
    const float *y = p[0], *dy = p[1];
    float *dx = p[2];
    int64_t n = step->number[0], c = step->number[1];
    for (int64_t i = 0; i < n; i++, y += c, dy += c, dx += c) {
        double dot = 0;
        for (int64_t k = 0; k < c; k++)
            dot += (double)y[k] * (double)dy[k];
        for (int64_t k = 0; k < c; k++)
            dx[k] = y[k] * (float)((double)dy[k] - dot);
    }
}

static int softmax_forward(struct plan *plan, int index, struct error *err)
{
    int x = rows_of(plan, plan_value(plan, plan_node(plan, index)->input[0]), err);
    int y = new_rows(plan, index, err);
    plan_set_value(plan, index, y);
    struct step *step = plan_add_kernel(plan, kernel_softmax, 2, (const int[]){x, y}, err);
    if (!step)
        return -1;
    step->number[0] = plan_shape(plan, index).n;
    step->number[1] = plan_shape(plan, index).c;
    return 0;
}

static int softmax_backward(struct plan *plan, int index, struct error *err)
{
    int y = plan_value(plan, index), input = plan_node(plan, index)->input[0];
    int dy = rows_of(plan, plan_output_grad(plan, index, err), err);
    int dx = new_rows(plan, input, err);
    struct step *step =
        plan_add_kernel(plan, kernel_softmax_grad, 3, (const int[]){y, dy, dx}, err);
    if (!step)
        return -1;
    step->number[0] = plan_shape(plan, index).n;
    step->number[1] = plan_shape(plan, index).c;
    return plan_give_grad(plan, input, dx, err);
}

const struct op op_softmax = {"softmax", softmax_forward, softmax_backward};
