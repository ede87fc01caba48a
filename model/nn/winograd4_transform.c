#include "model/nn/winograd4_transform.h"

#include "model/base/vector.h"

#ifndef __clang__
#pragma GCC optimize("fp-contract=fast") /* products may be fused into sums here */
#endif

enum { REACH = WINOGRAD4_REACH, SIDE = WINOGRAD4_SIDE };

#define LANES 8
#define OF(name) name##_8
#define TARGET VECTORIZED
#include "model/nn/winograd4_lanes.h"

#define LANES 16
#define OF(name) name##_16
#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma")))
#include "model/nn/winograd4_lanes.h"

const struct winograd4_transform *winograd4_transform_for(int64_t inner)
{
    static const struct winograd4_transform eight = {8, window_8, results_8, filter_8, weight_8};
    static const struct winograd4_transform sixteen = {16, window_16, results_16, filter_16,
                                                       weight_16};
    bool wide = inner % 16 == 0 && __builtin_cpu_supports("avx512dq") &&
                __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    return wide ? &sixteen : &eight;
}
