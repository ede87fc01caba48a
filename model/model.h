/*
 * The One Shot model of Ter-Sarkisov (2021): one pass over a chest CT slice gives its class, its
 * lesions and the regions that decided.
 *
 * This is the only header the service needs. Load a model once, open one session per worker thread,
 * and predict. A model is immutable and shared; a session belongs to the thread that opened it
 * (each has its own activations, sized when it opens: predicting allocates nothing). Any session of
 * a model gives the same answer; other thread counts agree to 1e-4 of each tensor's largest value.
 * Pixels are those of the slice as uploaded; (0,0) is the top left corner of the top left pixel.
 */
#ifndef ONESHOT_MODEL_H
#define ONESHOT_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"
#include "model/data/image.h"
#include "model/data/volume.h"
#include "model/rcnn/box.h"   /* struct box */
#include "model/rcnn/paste.h" /* struct mask_window */

enum {
    MODEL_IMAGE_CLASSES = 3,    /* control, common pneumonia, COVID-19 */
    MODEL_OBJECT_CLASSES = 4,   /* background, lungs, GGO, consolidation */
    MODEL_MASK_SIDE = 28,       /* a mask's own grid */
    MODEL_MAX_DETECTIONS = 128, /* hard limit of predict_options.max_detections */
    MODEL_MAX_REGIONS = 256,    /* hard limit of the model's beta */
    MODEL_INPUT_SIDE = 512,     /* the network's input; slices are resized and padded to it */
};

/* "control", "common_pneumonia", "covid_19"; NULL outside 0..2. */
const char *model_image_class_name(int id);

/* "background", "lungs", "ggo", "consolidation"; NULL outside 0..3. */
const char *model_object_class_name(int id);

/* Names of the spans in prediction.seconds, in the order they run; NULL at MODEL_STAGES. */
enum model_stage {
    STAGE_NORMALIZE,  /* standardise, resize, pad (section 1) */
    STAGE_BACKBONE,   /* ResNet body and FPN (2) */
    STAGE_RPN,        /* RPN head (3) */
    STAGE_PROPOSALS,  /* decode, top-k, NMS (3) */
    STAGE_BOXES,      /* shared RoIAlign, both box branches (4) */
    STAGE_DETECTIONS, /* decode, NMS, mask RoIAlign and mask head (5) */
    STAGE_REGIONS,    /* decode, NMS, ordering, RoIAlign of the beta RoIs (6) */
    STAGE_EVIDENCE,   /* mask features of the RoIs, attention layer down to X (6, 7) */
    STAGE_ATTENTION,  /* LSTMs, attention, classifiers (7, 8) */
    MODEL_STAGES
};
const char *model_stage_name(int stage);

/* ---- model ---- */

struct model; /* opaque; immutable after model_load, may be shared by any number of threads */

struct model_options {
    int threads; /* cores one session computes on; 0 = all this process may use */
};

struct model_info {
    char name[64]; /* "oneshot-resnext50_32x4d" */
    char version[32];
    char backbone[32];   /* "resnext50_32x4d" */
    char batch_norm[32]; /* "running", "batch"; "backbone/attention" where they differ */
    bool trained;        /* false: seeded weights, every result is noise and must say so */
    char trained_on[512];
    char sha256[65]; /* of the weight file, lower-case hex */
    char file[256];  /* base name; "" for the model that comes along */
    int64_t parameters;
    int regions;                   /* beta */
    double flops;                  /* of one slice, a multiply-add is two, direct convolution */
    float default_score_threshold; /* detections at or below are dropped */
    int default_max_detections;
    int threads;  /* per session */
    char isa[64]; /* what oneDNN dispatches to, "avx512_core_bf16" */
};

/*
 * Loads, verifies and compiles a weight file (safetensors, strict). `path` NULL or "" gives the
 * model that comes along: the one embedded in the program (its SHA-256 is checked), or seeded
 * weights where none is. Errors: ERR_IO, ERR_BAD_WEIGHTS (every missing, unexpected and misshapen
 * tensor named), ERR_BAD_CONFIG, ERR_MEMORY. Takes tenths of a second to seconds.
 */
int model_load(struct model **out, const char *path, const struct model_options *options,
               struct error *err);
void model_free(struct model *model); /* after its last session is closed; NULL is fine */
const struct model_info *model_info(const struct model *model);

/* ---- results ---- */

struct detection {
    int label;   /* 1..3 */
    float score; /* (0,1] */
    struct box box;
    float mask[MODEL_MASK_SIDE * MODEL_MASK_SIDE]; /* probabilities on the box, row-major */
};

struct region {
    struct box box;
    int label;   /* 1..3 */
    float score; /* of the classification branch, (0,1] */
    float attention_for,
        attention_against; /* alpha of the two LSTMs; each sums to 1 over regions */
    bool padded;           /* repeats an earlier region */
};

struct prediction {
    int width, height; /* of the slice */

    int detections_count; /* by descending score */
    struct detection detections[MODEL_MAX_DETECTIONS];

    bool classified; /* false: no region survived, the class fields below are zero */
    int predicted;   /* class of the largest logit */
    float logits[MODEL_IMAGE_CLASSES];
    float probabilities[MODEL_IMAGE_CLASSES]; /* sigmoid each: they do not sum to one */

    int regions_count; /* beta, or 0; in sequence order (distance from the origin) */
    int unique_regions;
    struct region regions[MODEL_MAX_REGIONS];

    double seconds[MODEL_STAGES];
};

/*
 * Pastes a detection's mask at the slice's resolution: writes 0 or 1 to every pixel of *window in
 * `plane` (height, width) and leaves the rest alone. Returns the number of ones (area in pixels).
 */
int64_t detection_paste(const struct detection *detection, int width, int height, uint8_t *plane,
                        struct mask_window *window);

/* ---- sessions ---- */

struct session;

struct predict_options {
    float score_threshold; /* [0,1); negative = the model's default */
    int max_detections;    /* 1..MODEL_MAX_DETECTIONS; 0 = the model's default */
};

/* Must be called on the thread that will predict. ERR_MEMORY, ERR_INTERNAL. */
int session_open(struct session **out, const struct model *model, struct error *err);
void session_close(struct session *session); /* NULL is fine */

/*
 * Predicts one slice. `out` is the caller's, about 400 KB, best kept and reused. `options` may be
 * NULL. Errors: ERR_CONSTANT_IMAGE, ERR_ARGUMENT, ERR_INTERNAL.
 */
int session_predict(struct session *session, const struct image *image,
                    const struct predict_options *options, struct prediction *out,
                    struct error *err);

#endif
