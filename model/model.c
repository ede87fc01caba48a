/* Loading a model, and one prediction from image to result in the slice's own pixels. */
#include "model/model.h"

#include <math.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/base/sha256.h"
#include "model/data/normalize.h"
#include "model/net/detector.h"
#include "model/net/store.h"
#include "model/nn/dnn.h"
#include "model/nn/safetensors.h"
#include "model/rcnn/score.h"
#include "model/weights/embedded.h"

/* The model of a program without weights: the same noise everywhere, and it says so. */
enum { SEED = 1 };
static const char seeded_backbone[] = "resnet18";

_Static_assert((int)MODEL_MAX_DETECTIONS == (int)DETECTOR_MAX_DETECTIONS, "one limit");
_Static_assert((int)MODEL_MAX_REGIONS == (int)DETECTOR_MAX_REGIONS, "one limit");
_Static_assert((int)MODEL_MASK_SIDE == (int)MASK_SIDE, "one grid");
_Static_assert((int)MODEL_INPUT_SIDE == (int)DETECTOR_SIDE, "one input");

struct model {
    struct network *network;
    struct detector *detector;
    struct model_info info;
};

struct session {
    const struct model *model;
    struct bench *bench;
};

/* ---- names ---- */

const char *model_image_class_name(int id)
{
    static const char *const names[] = {"control", "common_pneumonia", "covid_19"};
    return id >= 0 && id < MODEL_IMAGE_CLASSES ? names[id] : NULL;
}

const char *model_object_class_name(int id)
{
    static const char *const names[] = {"background", "lungs", "ggo", "consolidation"};
    return id >= 0 && id < MODEL_OBJECT_CLASSES ? names[id] : NULL;
}

const char *model_stage_name(int stage)
{
    static const char *const names[MODEL_STAGES] = {"normalize", "backbone", "rpn",
                                                    "proposals", "boxes",    "detections",
                                                    "regions",   "evidence", "attention"};
    return stage >= 0 && stage < MODEL_STAGES ? names[stage] : NULL;
}

/* ---- loading ---- */

static int cores_available(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void fill_info(struct model *model, const char *path, const struct safetensors *file)
{
    struct model_info *info = &model->info;
    const struct model_config *config = &model->network->config;
    snprintf(info->name, sizeof info->name, "%s", config->name);
    snprintf(info->version, sizeof info->version, "%s", config->version);
    snprintf(info->backbone, sizeof info->backbone, "%s", config->backbone);
    static const char *const modes[] = {[NORM_RUNNING] = "running", [NORM_BATCH] = "batch"};
    if (config->backbone_norm == config->attention_norm)
        snprintf(info->batch_norm, sizeof info->batch_norm, "%s", modes[config->backbone_norm]);
    else
        snprintf(info->batch_norm, sizeof info->batch_norm, "%s/%s", modes[config->backbone_norm],
                 modes[config->attention_norm]);
    info->trained = config->trained;
    snprintf(info->trained_on, sizeof info->trained_on, "%s", config->trained_on);
    if (file) {
        size_t length;
        const void *bytes = safetensors_bytes(file, &length);
        sha256_hex(info->sha256, bytes, length);
        snprintf(info->file, sizeof info->file, "%s", path ? base_name(path) : "");
    }
    info->parameters = params_total(model->network->params);
    info->regions = config->beta;
    info->flops = network_flops(model->network, config->box_detections_per_img);
    info->default_score_threshold = config->box_score_thresh;
    info->default_max_detections = config->box_detections_per_img;
    snprintf(info->isa, sizeof info->isa, "%s", dnn_isa_name());
}

/* Weights that nobody trained have no file; their hash is that of the values themselves. */
static void hash_values(char hex[65], struct params *params)
{
    struct sha256 hash;
    sha256_init(&hash);
    for (int i = 0; i < params_count(params); i++) {
        const struct param *param = params_at(params, i);
        sha256_update(&hash, param->value, (size_t)param->count * sizeof(float));
    }
    uint8_t digest[SHA256_SIZE];
    sha256_final(&hash, digest);
    sha256_format(hex, digest);
}

/* `path` NULL: the weights that come along; *out stays NULL where there are none. */
static int open_weights(struct safetensors **out, const char *path, struct error *err)
{
    const struct embedded_weights *w = &embedded_weights;
    *out = NULL;
    if (path)
        return safetensors_open(out, path, err);
    if (!w)
        return 0;
    if (safetensors_parse(out, w->begin, (size_t)(w->end - w->begin), err) != 0)
        return error_prefix(err, "the weights inside this program are damaged");
    return 0;
}

static int check_embedded(const struct model_info *info, struct error *err)
{
    if (strcmp(info->sha256, embedded_weights.sha256) == 0)
        return 0;
    return error_set(err, ERR_BAD_WEIGHTS,
                     "the weights inside this program are damaged: their SHA-256 is %s, it should "
                     "be %s; install the program again",
                     info->sha256, embedded_weights.sha256);
}

static int create_seeded(struct model *model, struct error *err)
{
    struct model_config config = config_default();
    snprintf(config.backbone, sizeof config.backbone, "%s", seeded_backbone);
    snprintf(config.name, sizeof config.name, "oneshot-%s-seeded", seeded_backbone);
    /* Stored statistics of nothing would let activations grow until boxes degenerate. */
    config.backbone_norm = config.attention_norm = NORM_BATCH;
    if (network_create(&model->network, &config, err) != 0)
        return -1;
    return params_fill(model->network->params, SEED, err);
}

int model_load(struct model **out, const char *path, const struct model_options *options,
               struct error *err)
{
    int rc = 0, before = omp_get_max_threads();
    struct safetensors *file = NULL;
    *out = NULL;
    struct model *model = calloc(1, sizeof *model);
    if (!model)
        return error_set(err, ERR_MEMORY, "out of memory for a model");
    model->info.threads = options && options->threads > 0 ? options->threads : cores_available();
    omp_set_num_threads(model->info.threads); /* plans are compiled for this many */
    path = path && *path ? path : NULL;
    TRY(open_weights(&file, path, err));
    TRY(file ? network_load(&model->network, file, err) : create_seeded(model, err));
    fill_info(model, path, file);
    if (file && !path)
        TRY(check_embedded(&model->info, err));
    if (!file)
        hash_values(model->info.sha256, model->network->params);
    TRY(detector_compile(&model->detector, model->network, DETECT_SERVE, NULL, NULL, err));
    params_drop_values(model->network->params); /* packed into the plans by now */
    *out = model;
    model = NULL;
done:
    if (rc && file && path) /* what opens files names them itself */
        error_prefix(err, "%s", path);
    safetensors_close(file);
    model_free(model);
    omp_set_num_threads(before);
    return rc;
}

void model_free(struct model *model)
{
    if (!model)
        return;
    detector_free(model->detector);
    network_free(model->network);
    free(model);
}

const struct model_info *model_info(const struct model *model)
{
    return &model->info;
}

/* ---- sessions ---- */

int session_open(struct session **out, const struct model *model, struct error *err)
{
    *out = NULL;
    struct session *session = calloc(1, sizeof *session);
    if (!session)
        return error_set(err, ERR_MEMORY, "out of memory for a session");
    omp_set_num_threads(model->info.threads); /* of this thread: libgomp keeps it per thread */
    session->model = model;
    if (bench_open(&session->bench, model->detector, err) != 0) {
        free(session);
        return -1;
    }
    *out = session;
    return 0;
}

void session_close(struct session *session)
{
    if (!session)
        return;
    bench_close(session->bench);
    free(session);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* From the network's plane to the slice: placed at the top left corner, scaled. */
static struct box to_slice(const struct box *box, const struct placement *placement,
                           const struct prediction *out)
{
    struct box b = {box->x0 / placement->scale_x, box->y0 / placement->scale_y,
                    box->x1 / placement->scale_x, box->y1 / placement->scale_y};
    box_clip(&b, (float)out->width, (float)out->height);
    return b;
}

static void write_detections(struct prediction *out, const struct bench *b,
                             const struct placement *placement)
{
    out->detections_count = b->detections_count;
    for (int i = 0; i < b->detections_count; i++) {
        const struct found *found = &b->detections[i];
        struct detection *d = &out->detections[i];
        d->label = found->label;
        d->score = found->score;
        d->box = to_slice(&found->box, placement, out);
        memcpy(d->mask, b->masks + (size_t)i * MASK_SIDE * MASK_SIDE, sizeof d->mask);
    }
}

static void write_regions(struct prediction *out, const struct bench *b,
                          const struct placement *placement)
{
    out->regions_count = b->regions_count;
    out->unique_regions = b->unique_regions;
    for (int i = 0; i < b->regions_count; i++)
        out->regions[i] = (struct region){
            .box = to_slice(&b->regions[i].box, placement, out),
            .label = b->regions[i].label,
            .score = b->regions[i].score,
            .attention_for = b->alpha[BRANCH_FOR][i],
            .attention_against = b->alpha[BRANCH_AGAINST][i],
            .padded = b->padded[i],
        };
}

static void write_classes(struct prediction *out, const struct bench *b)
{
    out->classified = true;
    out->predicted = 0;
    for (int c = 0; c < IMAGE_CLASSES; c++) {
        out->logits[c] = b->class_logits[BRANCH_FOR][c] - b->class_logits[BRANCH_AGAINST][c];
        out->probabilities[c] = sigmoid(out->logits[c]);
        if (out->logits[c] > out->logits[out->predicted])
            out->predicted = c;
    }
}

/* Weights can be wrong in ways only an image shows; such an answer must not be given. */
static int check_finite(const struct prediction *out, struct error *err)
{
    double sum = 0;
    for (int i = 0; i < out->detections_count; i++)
        sum += (double)out->detections[i].score;
    for (int i = 0; i < out->regions_count; i++)
        sum += (double)out->regions[i].attention_for + (double)out->regions[i].attention_against;
    for (int c = 0; c < MODEL_IMAGE_CLASSES; c++)
        sum += (double)out->logits[c];
    return isfinite(sum) ? 0
                         : error_set(err, ERR_INTERNAL,
                                     "the model gave numbers that are not finite: its weights are "
                                     "damaged or do not fit it");
}

int session_predict(struct session *session, const struct image *image,
                    const struct predict_options *options, struct prediction *out,
                    struct error *err)
{
    struct bench *b = session->bench;
    const struct model_info *info = &session->model->info;
    float threshold = info->default_score_threshold;
    int most = info->default_max_detections;
    if (options && !(options->score_threshold < 0))
        threshold = options->score_threshold;
    if (options && options->max_detections != 0)
        most = options->max_detections;
    if (!(threshold < 1) || most < 1 || most > MODEL_MAX_DETECTIONS)
        return error_set(err, ERR_ARGUMENT,
                         "score threshold must be in [0,1), detections from 1 to %d",
                         MODEL_MAX_DETECTIONS);

    struct placement placement;
    out->width = image->width;
    out->height = image->height;
    out->detections_count = out->regions_count = out->unique_regions = 0;
    out->classified = false;
    out->predicted = 0;
    memset(out->logits, 0, sizeof out->logits);
    memset(out->probabilities, 0, sizeof out->probabilities);
    memset(out->seconds, 0, sizeof out->seconds);

    double since = now();
#define LAP(stage)                                                                                 \
    do {                                                                                           \
        double t = now();                                                                          \
        out->seconds[stage] = t - since;                                                           \
        since = t;                                                                                 \
    } while (0)
    if (normalize_slice(b->image, DETECTOR_SIDE, &placement, image, err) != 0)
        return -1;
    b->width = (float)placement.width; /* the padding around the slice holds no boxes */
    b->height = (float)placement.height;
    LAP(STAGE_NORMALIZE);
    if (detect_features(b, err) != 0)
        return -1;
    LAP(STAGE_BACKBONE);
    if (detect_rpn(b, err) != 0)
        return -1;
    LAP(STAGE_RPN);
    detect_proposals(b);
    LAP(STAGE_PROPOSALS);
    if (detect_boxes(b, err) != 0)
        return -1;
    LAP(STAGE_BOXES);
    detect_objects(b, threshold, most);
    if (detect_masks(b, err) != 0)
        return -1;
    write_detections(out, b, &placement);
    LAP(STAGE_DETECTIONS);
    detect_regions(b);
    LAP(STAGE_REGIONS);
    if (b->regions_count > 0) {
        if (detect_evidence(b, err) != 0)
            return -1;
        LAP(STAGE_EVIDENCE);
        if (detect_sequence(b, err) != 0 || detect_attention(b, err) != 0 ||
            detect_classes(b, err) != 0)
            return -1;
        write_regions(out, b, &placement);
        write_classes(out, b);
        LAP(STAGE_ATTENTION);
    }
#undef LAP
    return check_finite(out, err);
}

int64_t detection_paste(const struct detection *detection, int width, int height, uint8_t *plane,
                        struct mask_window *window)
{
    return mask_paste(detection->mask, MODEL_MASK_SIDE, &detection->box, width, height, 0.5f, plane,
                      window);
}
