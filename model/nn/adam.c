#include "model/nn/adam.h"

#include <math.h>
#include <stdlib.h>

#include "model/base/vector.h"

struct adam_options adam_default(void)
{
    return (struct adam_options){
        .lr = 1e-5f, .beta1 = .9f, .beta2 = .999f, .epsilon = 1e-8f, .weight_decay = 1e-3f};
}

int adam_open(struct adam **out, const struct params *params, struct error *err)
{
    *out = NULL;
    struct adam *adam = calloc(1, sizeof *adam);
    if (adam) {
        adam->count = params_count(params);
        adam->of = calloc((size_t)adam->count + 1, sizeof *adam->of);
    }
    if (!adam || !adam->of)
        goto failed;
    for (int i = 0; i < adam->count; i++) {
        const struct param *param = params_peek(params, i);
        if (!param->grad)
            continue;
        adam->of[i].m = calloc((size_t)param->count, sizeof(float));
        adam->of[i].v = calloc((size_t)param->count, sizeof(float));
        if (!adam->of[i].m || !adam->of[i].v)
            goto failed;
    }
    *out = adam;
    return 0;
failed:
    adam_close(adam);
    return error_set(err, ERR_MEMORY, "out of memory for the optimizer's moments");
}

void adam_close(struct adam *adam)
{
    if (!adam)
        return;
    for (int i = 0; adam->of && i < adam->count; i++) {
        free(adam->of[i].m);
        free(adam->of[i].v);
    }
    free(adam->of);
    free(adam);
}

VECTORIZED static void update(float *restrict value, const float *restrict grad, float *restrict m,
                              float *restrict v, int64_t count, float lr, float beta1, float beta2,
                              float epsilon, float decay, float root2)
{
    for (int64_t i = 0; i < count; i++) {
        float g = grad[i] + decay * value[i];
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        value[i] -= lr * m[i] / (sqrtf(v[i]) / root2 + epsilon);
    }
}

void adam_step(struct adam *adam, struct params *params, const struct adam_options *o,
               bool (*in_set)(const char *name, const void *context), const void *context)
{
    for (int i = 0; i < adam->count; i++) {
        struct param *param = params_at(params, i);
        struct moments *moments = &adam->of[i];
        if (!param->grad || !in_set(param->name, context))
            continue;
        double t = (double)++moments->steps;
        float lr = (float)((double)o->lr / (1 - pow((double)o->beta1, t)));
        float root2 = (float)sqrt(1 - pow((double)o->beta2, t));
        enum { PIECE = 1 << 14 };
#pragma omp parallel for schedule(static)
        for (int64_t at = 0; at < param->count; at += PIECE) {
            int64_t n = param->count - at < PIECE ? param->count - at : PIECE;
            update(param->value + at, param->grad + at, moments->m + at, moments->v + at, n, lr,
                   o->beta1, o->beta2, o->epsilon, o->weight_decay, root2);
        }
        param->version++;
    }
}
