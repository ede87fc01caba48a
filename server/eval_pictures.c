#include "server/eval_pictures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/canvas.h"

const char eval_pictures_note[] =
    "Filled: predicted ground glass (yellow) and consolidation (orange). Blue outline: predicted "
    "lungs and lesions. White outline: annotated lesions.";

enum { SIDE = 512, LUNGS = 1, GGO = 2, CONSOLIDATION = 3, FILL = 120 };

static const struct colour lung_colour = {86, 180, 233};
static const struct colour lesion_colours[] = {
    [GGO] = {246, 215, 67}, [CONSOLIDATION] = {232, 103, 44}};
static const struct colour annotation_colour = {255, 255, 255};

/* ---- which ---- */

struct ranked {
    double dice;
    size_t index;
};

static int by_dice(const void *a, const void *b)
{
    const struct ranked *x = a;
    const struct ranked *y = b;
    if (x->dice != y->dice)
        return x->dice < y->dice ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static bool has_lesions(const struct segmentation_counts *counts)
{
    int64_t pixels = 0;
    for (int p = 0; p < PIXEL_LABELS; p++)
        pixels += counts->pixels[GGO][p] + counts->pixels[CONSOLIDATION][p];
    return pixels > 0;
}

/* Images whose annotation has lesions, or all where none has; best first. */
static size_t rank(struct ranked *out, int *region, const struct eval_run *run)
{
    size_t count = 0;
    *region = REGION_LESIONS;
    for (int pass = 0; pass < 2 && count == 0; pass++) {
        if (pass == 1)
            *region = REGION_LUNG_FIELD;
        for (size_t i = 0; i < run->segmentation->data.count; i++) {
            const struct eval_mapped *mapped = &run->mapped[i];
            if (!mapped->done || (pass == 0 && !has_lesions(&mapped->counts)))
                continue;
            double dice = segmentation_dice(&mapped->counts, *region);
            if (!isnan(dice))
                out[count++] = (struct ranked){dice, i};
        }
    }
    qsort(out, count, sizeof *out, by_dice);
    return count;
}

/* ---- drawing ---- */

struct drawing {
    struct canvas canvas;
    int width, height, scale;
};

static void draw_slice(struct drawing *d, const struct image *image)
{
    for (int y = 0; y < d->canvas.height; y++) {
        for (int x = 0; x < d->canvas.width; x++) {
            float value =
                image->pixels[(size_t)(y / d->scale) * (size_t)d->width + (size_t)(x / d->scale)];
            uint8_t *out = d->canvas.pixels + 3 * ((size_t)y * (size_t)d->canvas.width + (size_t)x);
            out[0] = out[1] = out[2] = (uint8_t)(value * 255 + 0.5f);
        }
    }
}

static void draw_fill(struct drawing *d, const uint8_t *map)
{
    for (int y = 0; y < d->height; y++)
        for (int x = 0; x < d->width; x++) {
            int label = map[(size_t)y * (size_t)d->width + (size_t)x];
            if (label >= GGO)
                canvas_fill(&d->canvas, x * d->scale, y * d->scale, (x + 1) * d->scale,
                            (y + 1) * d->scale, lesion_colours[label], FILL);
        }
}

static bool inside(const struct drawing *d, const uint8_t *map, int x, int y, int lowest)
{
    return x >= 0 && y >= 0 && x < d->width && y < d->height &&
           map[(size_t)y * (size_t)d->width + (size_t)x] >= lowest;
}

/* A line along the inner side of the border of the labels from `lowest` up. */
static void draw_outline(struct drawing *d, const uint8_t *map, int lowest, struct colour colour)
{
    int s = d->scale;
    int line = s < 3 ? s : 3; /* thick enough to be seen when shown small */
    for (int y = 0; y < d->height; y++)
        for (int x = 0; x < d->width; x++) {
            if (!inside(d, map, x, y, lowest))
                continue;
            int x0 = x * s;
            int y0 = y * s;
            int x1 = x0 + s;
            int y1 = y0 + s;
            if (!inside(d, map, x - 1, y, lowest))
                canvas_fill(&d->canvas, x0, y0, x0 + line, y1, colour, 256);
            if (!inside(d, map, x + 1, y, lowest))
                canvas_fill(&d->canvas, x1 - line, y0, x1, y1, colour, 256);
            if (!inside(d, map, x, y - 1, lowest))
                canvas_fill(&d->canvas, x0, y0, x1, y0 + line, colour, 256);
            if (!inside(d, map, x, y + 1, lowest))
                canvas_fill(&d->canvas, x0, y1 - line, x1, y1, colour, 256);
        }
}

static int draw(struct eval_picture *out, const struct image *image, const uint8_t *labels,
                const uint8_t *map, struct error *err)
{
    int rc = 0;
    int longer = image->width > image->height ? image->width : image->height;
    struct drawing d = {.width = image->width,
                        .height = image->height,
                        .scale = longer < SIDE ? (SIDE + longer - 1) / longer : 1};
    uint8_t *png = NULL;
    TRY(canvas_init(&d.canvas, d.width * d.scale, d.height * d.scale, err));
    draw_slice(&d, image);
    draw_fill(&d, map);
    draw_outline(&d, map, LUNGS, lung_colour);
    draw_outline(&d, labels, GGO, annotation_colour);
    TRY(image_write_png(&png, &out->length, d.canvas.pixels, d.canvas.width, d.canvas.height, 3,
                        err));
    out->png = png;
done:
    canvas_free(&d.canvas);
    return rc;
}

static int make_picture(struct eval_picture *out, const struct eval_run *run, size_t index,
                        struct session *session, struct prediction *prediction, struct error *err)
{
    int rc = 0;
    struct image image = {0};
    uint8_t *labels = NULL;
    uint8_t *planes = NULL;
    const struct predict_options options = {run->limits.score_threshold,
                                            run->limits.max_detections};
    TRY(dataset_load(&image, &labels, &run->segmentation->data, index, err));
    size_t pixels = (size_t)image.width * (size_t)image.height;
    planes = malloc(2 * pixels);
    if (!planes)
        TRY(error_set(err, ERR_MEMORY, "no memory for %zu pixels", pixels));
    TRY(session_predict(session, &image, &options, prediction, err));
    eval_label_map(planes, planes + pixels, prediction, &run->limits);
    TRY(draw(out, &image, labels, planes, err));
    out->title = eval_set_name(run->segmentation, index);
done:
    free(planes);
    free(labels);
    image_free(&image);
    return rc;
}

static int add_picture(struct eval_pictures *out, bool best, const struct ranked *ranked,
                       int region, const struct eval_run *run, struct session *session,
                       struct prediction *prediction, struct error *err)
{
    int *count = best ? &out->best_count : &out->worst_count;
    char *caption = out->captions[best ? *count : EVAL_PICTURES + *count];
    struct eval_picture *picture = best ? &out->best[*count] : &out->worst[*count];
    if (make_picture(picture, run, ranked->index, session, prediction, err) != 0)
        return -1;
    snprintf(caption, EVAL_CAPTION, "%s Dice %.3f", region == REGION_LESIONS ? "lesions" : "lungs",
             ranked->dice);
    picture->caption = caption;
    (*count)++;
    return 0;
}

int eval_pictures_make(struct eval_pictures *out, const struct eval_run *run, struct error *err)
{
    int rc = 0;
    struct session *session = NULL;
    struct prediction *prediction = malloc(sizeof *prediction);
    struct ranked *ranked = malloc((run->segmentation->data.count + 1) * sizeof *ranked);
    memset(out, 0, sizeof *out);
    if (!prediction || !ranked)
        TRY(error_set(err, ERR_MEMORY, "no memory for pictures"));
    int region;
    size_t count = rank(ranked, &region, run);
    if (count == 0)
        goto done;
    TRY(session_open(&session, run->model, err));
    size_t best = count < 2 * EVAL_PICTURES ? (count + 1) / 2 : EVAL_PICTURES;
    size_t worst = count - best < EVAL_PICTURES ? count - best : EVAL_PICTURES;
    for (size_t k = 0; k < best; k++)
        TRY(add_picture(out, true, &ranked[k], region, run, session, prediction, err));
    for (size_t k = 0; k < worst; k++)
        TRY(add_picture(out, false, &ranked[count - 1 - k], region, run, session, prediction, err));
done:
    session_close(session);
    free(ranked);
    free(prediction);
    return rc;
}

void eval_pictures_close(struct eval_pictures *pictures)
{
    for (int k = 0; k < EVAL_PICTURES; k++) {
        free((void *)pictures->best[k].png);
        free((void *)pictures->worst[k].png);
    }
    memset(pictures, 0, sizeof *pictures);
}
