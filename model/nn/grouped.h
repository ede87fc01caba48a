/*
 * The 3x3 convolution of ResNeXt's narrow groups (4, 8 or 16 channels each), for inference. oneDNN
 * 2 reaches a fifth to a half of the machine's speed on them, because its kernels want a register
 * full of channels per group; here a register holds several groups, and each input channel is
 * spread over the lanes of its own group before it is multiplied.
 *
 * Plain arrays; no allocation; runs on the calling thread's OpenMP team.
 */
#ifndef ONESHOT_NN_GROUPED_H
#define ONESHOT_NN_GROUPED_H

#include <stdbool.h>
#include <stdint.h>

enum { GROUPED_LANES = 16, GROUPED_TAPS = 9 };

struct grouped_shape {
    int64_t n, h, w, channels; /* of the input; as many channels go out */
    int64_t inner;     /* planes lie as (n, channels / inner, h, w, inner); 16 or channels */
    int64_t per_group; /* 4, 8 or 16; channels is a multiple of 16 */
    int64_t stride;    /* 1 or 2; padding is 1 */
    bool relu;
};

/* Floats of a packed weight. */
int64_t grouped_weight_count(const struct grouped_shape *shape);
/* From PyTorch's (channels, per_group, 3, 3) to (channels / 16, tap, input of the group, 16). */
void grouped_pack(float *packed, const float *weight, const struct grouped_shape *shape);

/* y (n, c, h', w') from x (n, c, h, w), with bias (c). `zeros` holds 16 zeros. */
void grouped_convolution(float *y, const float *x, const float *packed, const float *bias,
                         const float *zeros, const struct grouped_shape *shape);

#endif
