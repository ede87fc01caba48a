#include "model/nn/winograd4_product.h"

#ifndef __clang__
#pragma GCC optimize("fp-contract=fast") /* products may be fused into sums here */
#endif

typedef float vector_8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float vector_16 __attribute__((vector_size(64), aligned(4), may_alias));

/*
 * A block of ROWS x 2 vectors of results stays in registers while a column of a and a row of b come
 * by: six rows by two vectors are as many sums as it takes to keep two multipliers busy.
 */
#define BLOCK(VECTOR, ROWS)                                                                        \
    do {                                                                                           \
        enum { LANES = sizeof(VECTOR) / sizeof(float) };                                           \
        VECTOR sum[ROWS][2];                                                                       \
        float *out = p->out + row * p->out_row;                                                    \
        const float *a = p->a + row * p->a_row, *b = p->b;                                         \
        _Pragma("GCC unroll 6") for (int r = 0; r < ROWS; r++) for (int k = 0; k < 2; k++)         \
            sum[r][k] =                                                                            \
                p->add ? *(const VECTOR *)(out + r * p->out_row + k * LANES) : (VECTOR){0};        \
        for (int64_t i = 0; i < p->n; i++, a += p->a_next, b += p->b_next) {                       \
            VECTOR b0 = *(const VECTOR *)b, b1 = *(const VECTOR *)(b + LANES);                     \
            _Pragma("GCC unroll 6") for (int r = 0; r < ROWS; r++)                                 \
            {                                                                                      \
                VECTOR x = a[r * p->a_row] - (VECTOR){0};                                          \
                sum[r][0] += x * b0;                                                               \
                sum[r][1] += x * b1;                                                               \
            }                                                                                      \
        }                                                                                          \
        _Pragma("GCC unroll 6") for (int r = 0; r < ROWS; r++) for (int k = 0; k < 2; k++) *       \
            (VECTOR *)(out + r * p->out_row + k * LANES) = sum[r][k];                              \
        row += ROWS;                                                                               \
    } while (0)

#define PRODUCT(VECTOR)                                                                            \
    for (int64_t row = 0; row < p->rows;) {                                                        \
        int64_t left = p->rows - row;                                                              \
        if (left >= 6)                                                                             \
            BLOCK(VECTOR, 6);                                                                      \
        else if (left >= 4)                                                                        \
            BLOCK(VECTOR, 4);                                                                      \
        else if (left >= 2)                                                                        \
            BLOCK(VECTOR, 2);                                                                      \
        else                                                                                       \
            BLOCK(VECTOR, 1);                                                                      \
    }

__attribute__((target("avx512f,fma"))) static void product_avx512(const struct product *p)
{
    PRODUCT(vector_16)
}

__attribute__((target("avx2,fma"))) static void product_avx2(const struct product *p)
{
    PRODUCT(vector_8)
}

static void product_plain(const struct product *p)
{
    PRODUCT(vector_8)
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

int64_t product_width(void)
{
    return has_avx512() ? 32 : 16;
}

bool product_fast(void)
{
    return has_avx512() || has_avx2();
}

void product_run(const struct product *p)
{
    if (has_avx512())
        product_avx512(p);
    else if (has_avx2())
        product_avx2(p);
    else
        product_plain(p);
}
