#include "model/nn/strip.h"

#include <stddef.h>

#ifndef __clang__
#pragma GCC optimize("fp-contract=fast") /* products may be fused into sums here */
#endif

enum { LINE = 16 /* floats of a cache line */ };

typedef float vector_8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef float vector_16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t mask_8 __attribute__((vector_size(32), may_alias));
typedef int32_t mask_16 __attribute__((vector_size(64), may_alias));

/* Rows that follow each other, by the results of one panel, from one chunk of channels. */
struct strip {
    float *y;
    const float *x, *panel;
    const float *bias, *residual; /* with the first chunk, or NULL */
    const float *next, *next_end; /* weights that will be wanted */
    int64_t fetch;                /* lines of them to call for each block of channels */
    int64_t count;                /* times as many rows as the kernel takes */
    int64_t blocks;               /* of input channels */
    int64_t x_block, y_block;     /* floats between blocks of channels */
    bool first, relu;             /* the first chunk; the last one, where a ReLU follows */
};

#define EACH_VECTOR(VECTORS) _Pragma("GCC unroll 4") for (int v = 0; v < (VECTORS); v++)
#define EACH_ROW(ROWS) _Pragma("GCC unroll 12") for (int r = 0; r < (ROWS); r++)

/* Calls the lines of the rows behind these into the cache: 0 to read them, 1 to write. */
#define FETCH(ROWS, FROM, WRITE)                                                                   \
    EACH_ROW(ROWS)                                                                                 \
    {                                                                                              \
        __builtin_prefetch((FROM) + ((ROWS) + r) * LANES, WRITE, 3);                               \
    }

/*
 * ROWS x VECTORS sums are as many as there are registers for: they keep two multipliers busy, and a
 * weight serves all rows, a value all vectors.
 */
#define KERNEL(NAME, TARGET, VECTOR, MASK, VECTORS, ROWS)                                          \
    __attribute__((target(TARGET))) static void NAME##_##ROWS(const struct strip *strip)           \
    {                                                                                              \
        enum { LANES = sizeof(VECTOR) / sizeof(float) };                                           \
        const struct strip s = *strip; /* so that the compiler sees nothing change it */           \
        const float *next = s.next;                                                                \
        for (int64_t i = 0; i < s.count; i++) {                                                    \
            VECTOR sum[ROWS][VECTORS];                                                             \
            float *y = s.y + i * (ROWS * LANES);                                                   \
            const float *x = s.x + i * (ROWS * LANES), *panel = s.panel;                           \
            EACH_VECTOR(VECTORS)                                                                   \
            {                                                                                      \
                VECTOR begin = s.bias ? *(const VECTOR *)(s.bias + v * LANES) : (VECTOR){0};       \
                EACH_ROW(ROWS)                                                                     \
                {                                                                                  \
                    sum[r][v] = begin;                                                             \
                }                                                                                  \
            }                                                                                      \
            const float *held = !s.first ? y : s.residual ? s.residual + (y - s.y) : NULL;         \
            if (held) {                                                                            \
                EACH_VECTOR(VECTORS) EACH_ROW(ROWS)                                                \
                {                                                                                  \
                    sum[r][v] += *(const VECTOR *)(held + v * s.y_block + r * LANES);              \
                }                                                                                  \
            }                                                                                      \
            for (int64_t b = 0; b < s.blocks; b++, x += s.x_block) {                               \
                for (int64_t f = 0; f < s.fetch; f++, next += LINE)                                \
                    __builtin_prefetch(next, 0, 2);                                                \
                FETCH(ROWS, x, 0)                                                                  \
                if (s.first && b < (VECTORS)) {                                                    \
                    FETCH(ROWS, y + b * s.y_block, 1)                                              \
                }                                                                                  \
                _Pragma("GCC unroll 8") for (int c = 0; c < LANES; c++)                            \
                {                                                                                  \
                    VECTOR weight[VECTORS];                                                        \
                    EACH_VECTOR(VECTORS)                                                           \
                    {                                                                              \
                        weight[v] = *(const VECTOR *)(panel + v * LANES);                          \
                    }                                                                              \
                    EACH_ROW(ROWS)                                                                 \
                    {                                                                              \
                        VECTOR value = x[r * LANES + c] - (VECTOR){0};                             \
                        EACH_VECTOR(VECTORS)                                                       \
                        {                                                                          \
                            sum[r][v] += value * weight[v];                                        \
                        }                                                                          \
                    }                                                                              \
                    panel += (VECTORS)*LANES;                                                      \
                }                                                                                  \
            }                                                                                      \
            if (next >= s.next_end)                                                                \
                next = s.panel; /* is there already */                                             \
            if (s.relu) {                                                                          \
                EACH_VECTOR(VECTORS) EACH_ROW(ROWS)                                                \
                {                                                                                  \
                    sum[r][v] = (VECTOR)((MASK)sum[r][v] & (MASK)(sum[r][v] > 0));                 \
                }                                                                                  \
            }                                                                                      \
            EACH_VECTOR(VECTORS) EACH_ROW(ROWS)                                                    \
            {                                                                                      \
                *(VECTOR *)(y + v * s.y_block + r * LANES) = sum[r][v];                            \
            }                                                                                      \
        }                                                                                          \
    }

#define SIX(...)                                                                                   \
    KERNEL(__VA_ARGS__, 1)                                                                         \
    KERNEL(__VA_ARGS__, 2)                                                                         \
    KERNEL(__VA_ARGS__, 3)                                                                         \
    KERNEL(__VA_ARGS__, 4)                                                                         \
    KERNEL(__VA_ARGS__, 5)                                                                         \
    KERNEL(__VA_ARGS__, 6)

#define TWELVE(...)                                                                                \
    SIX(__VA_ARGS__)                                                                               \
    KERNEL(__VA_ARGS__, 7)                                                                         \
    KERNEL(__VA_ARGS__, 8)                                                                         \
    KERNEL(__VA_ARGS__, 9)                                                                         \
    KERNEL(__VA_ARGS__, 10)                                                                        \
    KERNEL(__VA_ARGS__, 11)                                                                        \
    KERNEL(__VA_ARGS__, 12)

SIX(four, "avx512f,fma", vector_16, mask_16, 4)
TWELVE(two, "avx512f,fma", vector_16, mask_16, 2)
SIX(avx2, "avx2,fma", vector_8, mask_8, 2)
SIX(plain_16, "sse2", vector_16, mask_16, 2)
SIX(plain_8, "sse2", vector_8, mask_8, 2)

#define RUN_SIX(NAME) NAME##_1, NAME##_2, NAME##_3, NAME##_4, NAME##_5, NAME##_6
#define RUN_TWELVE(NAME)                                                                           \
    RUN_SIX(NAME), NAME##_7, NAME##_8, NAME##_9, NAME##_10, NAME##_11, NAME##_12

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f");
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_all(void)
{
    return true;
}

/* The best first. */
static const struct {
    bool (*able)(void);
    struct strip_kernels kernels;
} table[] = {
    {has_avx512, {16, 64, 6, {RUN_SIX(four)}}},  {has_avx512, {16, 32, 12, {RUN_TWELVE(two)}}},
    {has_all, {16, 32, 6, {RUN_SIX(plain_16)}}}, {has_avx2, {8, 16, 6, {RUN_SIX(avx2)}}},
    {has_all, {8, 16, 6, {RUN_SIX(plain_8)}}},
};

int strip_lanes(void)
{
    return has_avx512() ? 16 : 8;
}

const struct strip_kernels *strip_kernels_for(int lanes, int64_t out)
{
    const struct strip_kernels *found = NULL;
    for (size_t i = 0; !found && i < sizeof table / sizeof *table; i++)
        if (table[i].kernels.lanes == lanes && out % table[i].kernels.width == 0 && table[i].able())
            found = &table[i].kernels;
    return found;
}

void strip_run(const struct strip_kernels *k, const struct strip_product *p)
{
    int64_t whole = p->rows / k->rows, rest = p->rows % k->rows;
    for (int64_t c = 0; c < p->in; c += STRIP_CHUNK) {
        int64_t channels = p->in - c < STRIP_CHUNK ? p->in - c : STRIP_CHUNK;
        const float *panel = p->panel + c * k->width;
        bool first = c == 0, last = c + channels == p->in;
        const float *next = last ? p->next : panel + channels * k->width;
        struct strip strip = {
            .y = p->y,
            .x = p->x + c / k->lanes * p->x_block,
            .panel = panel,
            .bias = first ? p->bias : NULL,
            .residual = first ? p->residual : NULL,
            .next = next ? next : panel,
            .next_end = (next ? next : panel) + channels * k->width,
            .fetch = next ? ceil_div(k->lanes * k->width / LINE, whole > 0 ? whole : 1) : 0,
            .count = whole,
            .blocks = channels / k->lanes,
            .x_block = p->x_block,
            .y_block = p->y_block,
            .first = first,
            .relu = last && p->relu,
        };
        if (whole > 0)
            k->run[k->rows - 1](&strip);
        if (rest == 0)
            continue;
        int64_t done = whole * k->rows * k->lanes;
        strip.y += done;
        strip.x += done;
        if (strip.residual)
            strip.residual += done;
        strip.count = 1;
        if (whole > 0)
            strip.fetch = 0;
        k->run[rest - 1](&strip);
    }
}
