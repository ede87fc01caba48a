#include "model/nn/winograd4_product.h"

#ifndef __clang__
#pragma GCC optimize("fp-contract=fast") /* products may be fused into sums here */
#endif

typedef float vector_8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float vector_16 __attribute__((vector_size(64), aligned(4), may_alias));

/*
 * A block of ROWS x 2 vectors of results stays in registers while a column of a and a row of b come
 * by. Sums in registers should be as many as it takes to keep two multipliers busy, and rows as
 * many as there are registers for, since b is read once for each block.
 */
#define BLOCK(NAME, TARGET, VECTOR, ROWS)                                                          \
    __attribute__((target(TARGET))) static void NAME##_##ROWS(const struct product *p,             \
                                                              int64_t row)                         \
    {                                                                                              \
        enum { LANES = sizeof(VECTOR) / sizeof(float) };                                           \
        VECTOR sum[ROWS][2];                                                                       \
        float *out = p->out + row * p->out_row;                                                    \
        const float *a = p->a + row * p->a_row, *b = p->b;                                         \
        _Pragma("GCC unroll 12") for (int r = 0; r < ROWS; r++) for (int k = 0; k < 2; k++)        \
            sum[r][k] =                                                                            \
                p->add ? *(const VECTOR *)(out + r * p->out_row + k * LANES) : (VECTOR){0};        \
        for (int64_t i = 0; i < p->n; i++, a += p->a_next, b += p->b_next) {                       \
            VECTOR b0 = *(const VECTOR *)b, b1 = *(const VECTOR *)(b + LANES);                     \
            _Pragma("GCC unroll 12") for (int r = 0; r < ROWS; r++)                                \
            {                                                                                      \
                VECTOR x = a[r * p->a_row] - (VECTOR){0};                                          \
                sum[r][0] += x * b0;                                                               \
                sum[r][1] += x * b1;                                                               \
            }                                                                                      \
        }                                                                                          \
        _Pragma("GCC unroll 12") for (int r = 0; r < ROWS; r++) for (int k = 0; k < 2; k++) *      \
            (VECTOR *)(out + r * p->out_row + k * LANES) = sum[r][k];                              \
    }

#define SIX(NAME, TARGET, VECTOR)                                                                  \
    BLOCK(NAME, TARGET, VECTOR, 1)                                                                 \
    BLOCK(NAME, TARGET, VECTOR, 2)                                                                 \
    BLOCK(NAME, TARGET, VECTOR, 3)                                                                 \
    BLOCK(NAME, TARGET, VECTOR, 4)                                                                 \
    BLOCK(NAME, TARGET, VECTOR, 5)                                                                 \
    BLOCK(NAME, TARGET, VECTOR, 6)

#define TWELVE(NAME, TARGET, VECTOR)                                                               \
    SIX(NAME, TARGET, VECTOR)                                                                      \
    BLOCK(NAME, TARGET, VECTOR, 7)                                                                 \
    BLOCK(NAME, TARGET, VECTOR, 8)                                                                 \
    BLOCK(NAME, TARGET, VECTOR, 9)                                                                 \
    BLOCK(NAME, TARGET, VECTOR, 10)                                                                \
    BLOCK(NAME, TARGET, VECTOR, 11)                                                                \
    BLOCK(NAME, TARGET, VECTOR, 12)

TWELVE(avx512, "avx512f,fma", vector_16)
SIX(avx2, "avx2,fma", vector_8)
SIX(plain, "sse2", vector_8)

typedef void block_kernel(const struct product *p, int64_t row);

/* What a processor has: the kernel for 1, 2, ... rows. */
struct kernels {
    int64_t width, rows;
    block_kernel *block[12];
};

static const struct kernels *kernels(void)
{
    static const struct kernels avx512 = {32,
                                          12,
                                          {avx512_1, avx512_2, avx512_3, avx512_4, avx512_5,
                                           avx512_6, avx512_7, avx512_8, avx512_9, avx512_10,
                                           avx512_11, avx512_12}};
    static const struct kernels avx2 = {16, 6, {avx2_1, avx2_2, avx2_3, avx2_4, avx2_5, avx2_6}};
    static const struct kernels plain = {
        16, 6, {plain_1, plain_2, plain_3, plain_4, plain_5, plain_6}};
    if (__builtin_cpu_supports("avx512f"))
        return &avx512;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &avx2 : &plain;
}

int64_t product_width(void)
{
    return kernels()->width;
}

bool product_fast(void)
{
    return kernels()->block[0] != plain_1;
}

void product_run(const struct product *p)
{
    const struct kernels *k = kernels();
    /* Blocks of as equal a number of rows as can be: narrow ones wait for their own sums. */
    int64_t blocks = (p->rows + k->rows - 1) / k->rows;
    for (int64_t i = 0, row = 0; i < blocks; i++) {
        int64_t rows = (p->rows - row) / (blocks - i);
        k->block[rows - 1](p, row);
        row += rows;
    }
}
