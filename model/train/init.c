#include "model/train/init.h"

#include <math.h>
#include <string.h>

#include "model/base/rng.h"

enum spread { SPREAD_FAN_OUT, SPREAD_FAN_IN, SPREAD_NORMAL, SPREAD_UNIFORM_IN, SPREAD_UNIFORM_ROW };

/* How weights are drawn, and what biases are. The first row whose text is in the name decides. */
struct rule {
    const char *part;
    enum spread spread;
    float deviation; /* of SPREAD_NORMAL */
    float bias;
};

static const struct rule paper[] = {
    {"rpn.head.", SPREAD_NORMAL, .01f, 0},
    {"attn_layer.lstm_", SPREAD_UNIFORM_ROW, 0, 0},
    {"roi_heads.box_head.", SPREAD_UNIFORM_IN, 0, 0},
    {"roi_heads.box_predictor.", SPREAD_UNIFORM_IN, 0, 0},
    {"_s2.", SPREAD_FAN_OUT, 0, .01f},
    {"attn_layer.", SPREAD_FAN_OUT, 0, .01f},
    {"_classifier_attn.", SPREAD_FAN_OUT, 0, .01f},
    {"", SPREAD_FAN_OUT, 0, 0},
};

static const struct rule small_logits[] = {
    {"rpn.head.", SPREAD_NORMAL, .01f, 0},
    {"attn_layer.lstm_", SPREAD_UNIFORM_ROW, 0, 0},
    {"cls_score.", SPREAD_NORMAL, .01f, 0},
    {"bbox_pred.", SPREAD_NORMAL, .001f, 0},
    {"class_predict_logits.", SPREAD_NORMAL, .01f, 0},
    {"mask_fcn_logits.", SPREAD_NORMAL, .01f, 0},
    {"box_head", SPREAD_FAN_IN, 0, 0},
    {"attn_layer.final_linear_", SPREAD_FAN_IN, 0, .01f},
    {"_s2.", SPREAD_FAN_OUT, 0, .01f},
    {"attn_layer.", SPREAD_FAN_OUT, 0, .01f},
    {"_classifier_attn.", SPREAD_FAN_IN, 0, .01f},
    {"", SPREAD_FAN_OUT, 0, 0},
};

static const struct rule *find_rule(const struct rule *rules, const char *name)
{
    while (!strstr(name, rules->part))
        rules++;
    return rules;
}

static void fill(struct param *param, float value)
{
    for (int64_t i = 0; i < param->count; i++)
        param->value[i] = value;
}

static void fill_normal(struct param *param, double deviation, struct rng *rng)
{
    for (int64_t i = 0; i < param->count; i++)
        param->value[i] = (float)deviation * rng_normal(rng);
}

static void fill_uniform(struct param *param, double limit, struct rng *rng)
{
    for (int64_t i = 0; i < param->count; i++)
        param->value[i] = (float)limit * (2 * rng_float(rng) - 1);
}

/* Numbers one output depends on, and the outputs one input reaches, as PyTorch counts them. */
static double fan_in(const struct param *param)
{
    return (double)(param->count / param->dim[0]);
}

static double fan_out(const struct param *param)
{
    return (double)(param->count / (param->rank > 1 ? param->dim[1] : 1));
}

static void fill_weight(struct param *param, const struct rule *rule, struct rng *rng)
{
    switch (rule->spread) {
    case SPREAD_FAN_OUT:
        fill_normal(param, sqrt(2 / fan_out(param)), rng);
        break;
    case SPREAD_FAN_IN:
        fill_normal(param, sqrt(2 / fan_in(param)), rng);
        break;
    case SPREAD_NORMAL:
        fill_normal(param, (double)rule->deviation, rng);
        break;
    case SPREAD_UNIFORM_IN:
        fill_uniform(param, 1 / sqrt(fan_in(param)), rng);
        break;
    case SPREAD_UNIFORM_ROW: /* four gates of `hidden` rows each */
        fill_uniform(param, 1 / sqrt((double)param->dim[0] / 4), rng);
        break;
    }
}

static void fill_one(struct param *param, const struct rule *rule, struct rng *rng)
{
    switch (param->role) {
    case PARAM_SCALE:
        fill(param, 1);
        break;
    case PARAM_SHIFT:
        fill(param, 0);
        break;
    case PARAM_BUFFER:
        fill(param, strstr(param->name, "running_var") ? 1 : 0);
        break;
    case PARAM_BIAS:
        if (rule->spread == SPREAD_UNIFORM_ROW)
            fill_weight(param, rule, rng);
        else
            fill(param, rule->bias);
        break;
    case PARAM_WEIGHT:
        fill_weight(param, rule, rng);
        break;
    }
}

static uint64_t hash_name(const char *name)
{
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a */
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001B3u;
    return h;
}

int init_parameters(struct network *network, enum init_scheme scheme, uint64_t seed,
                    struct error *err)
{
    const struct rule *rules = scheme == INIT_PAPER ? paper : small_logits;
    if (params_fill(network->params, seed, err) != 0) /* takes the memory */
        return -1;
    for (int i = 0; i < params_count(network->params); i++) {
        struct param *param = params_at(network->params, i);
        struct rng rng;
        rng_seed(&rng, hash_name(param->name) ^ seed * 0x9E3779B97F4A7C15u);
        fill_one(param, find_rule(rules, param->name), &rng);
        param->version++;
    }
    return 0;
}
