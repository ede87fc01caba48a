#include "model/net/config.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/net/backbone.h"

struct model_config config_default(void)
{
    return (struct model_config){
        .name = "oneshot",
        .version = "0",
        .backbone = "resnext50_32x4d",
        .backbone_norm = NORM_RUNNING,
        .attention_norm = NORM_RUNNING,
        .out_channels = 256,
        .representation = 128,
        .anchor_sizes = {2, 4, 8, 16, 32},
        .anchor_sizes_n = 5,
        .anchor_ratios = {.1f, .25f, .5f, 1, 1.5f, 2},
        .anchor_ratios_n = 6,
        .rpn_pre_nms_top_n = 400,
        .rpn_post_nms_top_n = 200,
        .rpn_nms_thresh = .75f,
        .beta = 16,
        .region_nms_thresh = .25f,
        .box_score_thresh = .75f,
        .box_nms_thresh = .5f,
        .box_detections_per_img = 4,
    };
}

enum field_type { FIELD_TEXT, FIELD_INT, FIELD_FLOAT, FIELD_BOOL, FIELD_NORM, FIELD_LIST };

struct field {
    const char *key;
    enum field_type type;
    size_t offset, size; /* size: of a text; offset of the count for a list */
    double min, max;
};

#define AT(member) offsetof(struct model_config, member)
#define TEXT(member) AT(member), sizeof(((struct model_config *)0)->member)

static const struct field fields[] = {
    {"name", FIELD_TEXT, TEXT(name), 0, 0},
    {"version", FIELD_TEXT, TEXT(version), 0, 0},
    {"backbone", FIELD_TEXT, TEXT(backbone), 0, 0},
    {"backbone_batch_norm", FIELD_NORM, AT(backbone_norm), 0, 0, 0},
    {"attention_batch_norm", FIELD_NORM, AT(attention_norm), 0, 0, 0},
    {"out_channels", FIELD_INT, AT(out_channels), 0, 16, 1024},
    {"representation", FIELD_INT, AT(representation), 0, 1, 4096},
    {"anchor_sizes", FIELD_LIST, AT(anchor_sizes), AT(anchor_sizes_n), 1, 1024},
    {"anchor_ratios", FIELD_LIST, AT(anchor_ratios), AT(anchor_ratios_n), .01, 100},
    {"rpn_pre_nms_top_n", FIELD_INT, AT(rpn_pre_nms_top_n), 0, 1, CONFIG_MAX_PROPOSALS},
    {"rpn_post_nms_top_n", FIELD_INT, AT(rpn_post_nms_top_n), 0, 1, CONFIG_MAX_PROPOSALS},
    {"rpn_nms_thresh", FIELD_FLOAT, AT(rpn_nms_thresh), 0, 0, 1},
    {"beta", FIELD_INT, AT(beta), 0, 1, 256},
    {"region_nms_thresh", FIELD_FLOAT, AT(region_nms_thresh), 0, 0, 1},
    {"box_score_thresh", FIELD_FLOAT, AT(box_score_thresh), 0, 0, .999999},
    {"box_nms_thresh", FIELD_FLOAT, AT(box_nms_thresh), 0, 0, 1},
    {"box_detections_per_img", FIELD_INT, AT(box_detections_per_img), 0, 1, 128},
    {"trained", FIELD_BOOL, AT(trained), 0, 0, 0},
    {"trained_on", FIELD_TEXT, TEXT(trained_on), 0, 0},
};

static int number(double *out, const char *key, const char *text, char **end, double min,
                  double max, struct error *err)
{
    errno = 0;
    *out = strtod(text, end);
    /* As floats: a limit must survive being written and read. */
    if (*end == text || errno || !((float)*out >= (float)min && (float)*out <= (float)max))
        return error_set(err, ERR_BAD_CONFIG,
                         "model setting %s is \"%.40s\": it must be a number from %g to %g", key,
                         text, min, max);
    return 0;
}

static int set_list(struct model_config *config, const struct field *field, const char *value,
                    struct error *err)
{
    float *items = (float *)(void *)((char *)config + field->offset);
    int *count = (int *)(void *)((char *)config + field->size);
    const char *text = value;
    for (int n = 0;;) {
        char *end;
        double v;
        if (number(&v, field->key, text, &end, field->min, field->max, err) != 0)
            return -1;
        items[n++] = (float)v;
        *count = n;
        if (*end == 0)
            return 0;
        if (*end != ',' || n == CONFIG_MAX_ANCHORS)
            return error_set(
                err, ERR_BAD_CONFIG,
                "model setting %s is \"%.80s\": at most %d numbers with commas between "
                "them",
                field->key, value, CONFIG_MAX_ANCHORS);
        text = end + 1;
    }
}

static int set_norm(enum norm_mode *mode, const char *key, const char *value, struct error *err)
{
    if (strcmp(value, "running") != 0 && strcmp(value, "batch") != 0)
        return error_set(err, ERR_BAD_CONFIG,
                         "model setting %s is \"%.40s\": it must be running or batch", key, value);
    *mode = strcmp(value, "batch") == 0 ? NORM_BATCH : NORM_RUNNING;
    return 0;
}

static int set_field(struct model_config *config, const struct field *field, const char *value,
                     struct error *err)
{
    void *at = (char *)config + field->offset;
    double v = 0;
    char *end;
    switch (field->type) {
    case FIELD_TEXT:
        if (strlen(value) >= field->size)
            return error_set(err, ERR_BAD_CONFIG,
                             "model setting %s is \"%.40s...\": more than %zu bytes", field->key,
                             value, field->size - 1);
        snprintf(at, field->size, "%s", value);
        return 0;
    case FIELD_LIST:
        return set_list(config, field, value, err);
    case FIELD_NORM:
        return set_norm(at, field->key, value, err);
    case FIELD_BOOL:
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return error_set(err, ERR_BAD_CONFIG,
                             "model setting %s is \"%.40s\": it must be true or false", field->key,
                             value);
        *(bool *)at = value[0] == 't';
        return 0;
    default:
        if (number(&v, field->key, value, &end, field->min, field->max, err) != 0)
            return -1;
        if (*end || (field->type == FIELD_INT && v != floor(v)))
            return error_set(err, ERR_BAD_CONFIG, "model setting %s is \"%.40s\": not a number",
                             field->key, value);
        if (field->type == FIELD_INT)
            *(int *)at = (int)v;
        else
            *(float *)at = (float)v;
        return 0;
    }
}

int config_set(struct model_config *config, const char *key, const char *value, struct error *err)
{
    if (strcmp(key, "batch_norm") == 0) { /* short for both */
        if (set_norm(&config->backbone_norm, key, value, err) != 0)
            return -1;
        config->attention_norm = config->backbone_norm;
        return 0;
    }
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strcmp(fields[i].key, key) == 0)
            return set_field(config, &fields[i], value, err);
    return 0;
}

int config_check(const struct model_config *config, struct error *err)
{
    if (!backbone_find(config->backbone))
        return error_set(err, ERR_BAD_CONFIG, "unknown backbone \"%.32s\"; there are %s",
                         config->backbone, backbone_names());
    if (config->rpn_post_nms_top_n > config->rpn_pre_nms_top_n)
        return error_set(err, ERR_BAD_CONFIG,
                         "rpn_post_nms_top_n (%d) is above rpn_pre_nms_top_n (%d)",
                         config->rpn_post_nms_top_n, config->rpn_pre_nms_top_n);
    if (config->out_channels % 2)
        return error_set(err, ERR_BAD_CONFIG, "out_channels (%d) must be even",
                         config->out_channels);
    return 0;
}

int config_get(const struct model_config *config, int index, const char **key, char *value)
{
    if (index < 0 || (size_t)index >= sizeof fields / sizeof *fields)
        return -1;
    const struct field *field = &fields[index];
    const void *at = (const char *)config + field->offset;
    *key = field->key;
    size_t used = 0;
    switch (field->type) {
    case FIELD_TEXT:
        snprintf(value, CONFIG_VALUE_SIZE, "%s", (const char *)at);
        break;
    case FIELD_INT:
        snprintf(value, CONFIG_VALUE_SIZE, "%d", *(const int *)at);
        break;
    case FIELD_FLOAT:
        snprintf(value, CONFIG_VALUE_SIZE, "%.9g", (double)*(const float *)at);
        break;
    case FIELD_BOOL:
        snprintf(value, CONFIG_VALUE_SIZE, "%s", *(const bool *)at ? "true" : "false");
        break;
    case FIELD_NORM:
        snprintf(value, CONFIG_VALUE_SIZE, "%s",
                 *(const enum norm_mode *)at == NORM_BATCH ? "batch" : "running");
        break;
    case FIELD_LIST:
        for (int i = 0; i < *(const int *)(const void *)((const char *)config + field->size); i++)
            used += (size_t)snprintf(value + used, CONFIG_VALUE_SIZE - used, "%s%.9g", i ? "," : "",
                                     (double)((const float *)at)[i]);
        break;
    }
    return 0;
}
