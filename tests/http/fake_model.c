/*
 * A stand-in for the model behind model.h: no network, predictions that follow from the pixels by
 * simple rules, and delays and failures from the environment, so that everything around the model
 * can be tested quickly, also under sanitizers.
 *
 *   FAKE_LOAD_MS, FAKE_PREDICT_MS   how long loading and one slice take (512 x 512, as in the
 *                                   self-test, takes no time)
 *   FAKE_LOAD_FAILS                 loading fails
 *   FAKE_PREDICT_FAILS              predicting fails on slices wider than 512
 *   FAKE_NAN                        logits are not numbers, on the same slices; 2: on all
 *   FAKE_TRAINED                    says that the model is trained
 *   FAKE_DETECTIONS                 how many detections; default 4
 *
 * The first word of the weight file, where there is one, is the model's version; "fail" fails to
 * load, and "nan" fails the self-test.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/model.h"

struct model {
    struct model_info info;
    int predict_ms, detections;
    int nan;
    bool predict_fails;
};

#include "tests/unit/stand_in.h"

static int setting(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text && *text ? (int)strtol(text, NULL, 10) : otherwise;
}

static void wait_ms(int ms)
{
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (ms > 0 && nanosleep(&left, &left) != 0)
        continue;
}

/* The first word of a file; "" where there is none. */
static void read_word(char word[32], const char *path)
{
    FILE *file = path && *path ? fopen(path, "rbe") : NULL;
    word[0] = 0;
    if (!file)
        return;
    if (fscanf(file, "%31s", word) != 1)
        word[0] = 0;
    fclose(file);
}

int model_load(struct model **out, const char *path, const struct model_options *options,
               struct error *err)
{
    char word[32];
    read_word(word, path);
    wait_ms(setting("FAKE_LOAD_MS", 0));
    if (setting("FAKE_LOAD_FAILS", 0) || strcmp(word, "fail") == 0)
        return error_set(err, ERR_BAD_WEIGHTS, "%s: FAKE_LOAD_FAILS is set", path ? path : "");
    struct model *model = calloc(1, sizeof *model);
    if (!model)
        return error_set(err, ERR_MEMORY, "no memory for a model");
    model->info = (struct model_info){
        .name = "oneshot-fake",
        .version = "0",
        .backbone = "none",
        .batch_norm = "running",
        .trained = setting("FAKE_TRAINED", 0) != 0,
        .sha256 = "0000000000000000000000000000000000000000000000000000000000000000",
        .parameters = 1,
        .regions = 16,
        .flops = 1e9,
        .default_score_threshold = 0.05f,
        .default_max_detections = 16,
        .threads = options ? options->threads : 1,
        .isa = "none",
    };
    model->predict_ms = setting("FAKE_PREDICT_MS", 0);
    model->predict_fails = setting("FAKE_PREDICT_FAILS", 0) != 0;
    if (word[0])
        snprintf(model->info.version, sizeof model->info.version, "%s", word);
    model->nan = strcmp(word, "nan") == 0 ? 2 : setting("FAKE_NAN", 0);
    model->detections = setting("FAKE_DETECTIONS", 4);
    *out = model;
    return 0;
}

/* The mask is stretched over the box without interpolation. */
int64_t detection_paste(const struct detection *d, int width, int height, uint8_t *plane,
                        struct mask_window *window)
{
    float w = (float)width, h = (float)height;
    *window = (struct mask_window){0};
    if (!(d->box.x0 < w && d->box.y0 < h && d->box.x1 > 0 && d->box.y1 > 0))
        return 0; /* off the plane, or not a number */
    *window = (struct mask_window){(int)fmaxf(d->box.x0, 0), (int)fmaxf(d->box.y0, 0),
                                   (int)fminf(d->box.x1, w), (int)fminf(d->box.y1, h)};
    float sx = MODEL_MASK_SIDE / fmaxf(d->box.x1 - d->box.x0, 1);
    float sy = MODEL_MASK_SIDE / fmaxf(d->box.y1 - d->box.y0, 1);
    int64_t area = 0;
    for (int y = window->y0; y < window->y1; y++)
        for (int x = window->x0; x < window->x1; x++) {
            int u = (int)fminf(((float)x - d->box.x0) * sx, MODEL_MASK_SIDE - 1);
            int v = (int)fminf(((float)y - d->box.y0) * sy, MODEL_MASK_SIDE - 1);
            u = u < 0 ? 0 : u;
            v = v < 0 ? 0 : v;
            uint8_t bit = d->mask[v * MODEL_MASK_SIDE + u] >= 0.5f;
            plane[(size_t)y * (size_t)width + (size_t)x] = bit;
            area += bit;
        }
    return area;
}

/* An ellipse that fills the grid, with soft edges. */
static void draw_mask(float *mask, float radius)
{
    for (int v = 0; v < MODEL_MASK_SIDE; v++)
        for (int u = 0; u < MODEL_MASK_SIDE; u++) {
            float x = ((float)u + 0.5f) / MODEL_MASK_SIDE * 2 - 1;
            float y = ((float)v + 0.5f) / MODEL_MASK_SIDE * 2 - 1;
            float inside = (radius - sqrtf(x * x + y * y)) * 8;
            mask[v * MODEL_MASK_SIDE + u] = 1 / (1 + expf(-inside));
        }
}

/* Two lungs, then lesions that wander with the mean of the slice. */
static void place(struct detection *d, int index, float w, float h, float mean)
{
    static const struct box lungs[2] = {{0.12f, 0.2f, 0.46f, 0.82f}, {0.54f, 0.2f, 0.88f, 0.82f}};
    struct box b = lungs[index % 2];
    if (index >= 2) {
        float side = 0.10f + 0.02f * (float)(index % 5);
        float x = b.x0 + 0.03f * (float)(index % 7), y = b.y0 + 0.1f + 0.3f * mean;
        y += 0.04f * (float)(index % 6);
        b = (struct box){x, y, x + side, y + side};
    }
    d->label = index < 2 ? 1 : 2 + index % 2;
    d->score = 0.99f / (1 + 0.13f * (float)index);
    d->box = (struct box){b.x0 * w, b.y0 * h, b.x1 * w, b.y1 * h};
    draw_mask(d->mask, index < 2 ? 0.95f : 0.8f);
}

static void detect(struct prediction *out, const struct session *session,
                   const struct predict_options *options, float mean)
{
    float threshold = options && options->score_threshold >= 0 ? options->score_threshold : 0.05f;
    int most = options && options->max_detections ? options->max_detections : 16;
    for (int i = 0; i < session->model->detections && out->detections_count < most; i++) {
        struct detection *d = &out->detections[out->detections_count];
        place(d, i, (float)out->width, (float)out->height, mean);
        if (d->score > threshold)
            out->detections_count++;
    }
}

static void explain(struct prediction *out, float mean)
{
    out->regions_count = 16;
    out->unique_regions = 12;
    for (int i = 0; i < 16; i++) {
        struct region *r = &out->regions[i];
        struct detection d;
        place(&d, 2 + i % 12, (float)out->width, (float)out->height, mean);
        *r = (struct region){d.box,  d.label, d.score, (float)(i + 1) / 136, (float)(16 - i) / 136,
                             i >= 12};
    }
}

int session_predict(struct session *session, const struct image *image,
                    const struct predict_options *options, struct prediction *out,
                    struct error *err)
{
    size_t count = (size_t)image->width * (size_t)image->height;
    double sum = 0;
    bool constant = true;
    for (size_t i = 0; i < count; i++) {
        sum += image->pixels[i];
        constant = constant && image->pixels[i] == image->pixels[0];
    }
    if (constant)
        return error_set(err, ERR_CONSTANT_IMAGE,
                         "every pixel has the same value: there is nothing to see");
    bool odd = image->width > 512;
    if (session->model->predict_fails && odd)
        return error_set(err, ERR_INTERNAL, "FAKE_PREDICT_FAILS is set");
    wait_ms(image->width == 512 && image->height == 512 ? 0 : session->model->predict_ms);
    float mean = (float)(sum / (double)count);
    memset(out, 0, sizeof *out);
    out->width = image->width;
    out->height = image->height;
    detect(out, session, options, mean);
    out->classified = true;
    for (int i = 0; i < MODEL_IMAGE_CLASSES; i++) {
        out->logits[i] =
            session->model->nan > !odd ? NAN : 4 * mean - 2 + (float)i * (1 - 2 * mean);
        out->probabilities[i] = 1 / (1 + expf(-out->logits[i]));
        if (out->logits[i] > out->logits[out->predicted])
            out->predicted = i;
    }
    explain(out, mean);
    return 0;
}
