/* The matrix products of winograd4.c's gradient of filters, for the vectors this processor has. */
#ifndef ONESHOT_NN_WINOGRAD4_PRODUCT_H
#define ONESHOT_NN_WINOGRAD4_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

/* A product of panels: out (rows, width) = or += sum over i < n of a(row, i) b(i, 0..width - 1).
 * Elements of a lie a_row and a_next floats apart, rows of b and out b_next and out_row. */
struct product {
    float *out;
    const float *a, *b;
    int64_t rows, n;
    int64_t out_row, a_row, a_next, b_next;
    bool add;
};

/* Columns of a panel: 16 or 32. */
int64_t product_width(void);
/* The processor has AVX2 and FMA, or AVX-512. */
bool product_fast(void);
void product_run(const struct product *product);

#endif
