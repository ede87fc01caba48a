/* One image: which predictions are true positives, and the image's own AP. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/eval/detection.h"

/* IoU thresholds are twentieths, so "above" can be decided in whole numbers. */
enum { TWENTIETHS = 20, FIRST_TWENTIETH = 10 };

double ap_threshold(int index)
{
    return (double)(FIRST_TWENTIETH + index) / TWENTIETHS;
}

struct overlap {
    int64_t common, joined; /* pixels in both, in either; 0, 0 where the classes differ */
};

/* One image with its predictions in order of rank; overlaps (predictions, truths), row-major. */
struct scene {
    const struct ap_truth *truths;
    int truths_count;
    const struct ap_prediction **ranked;
    int ranked_count;
    struct overlap *overlaps;
    bool *taken; /* scratch: one flag a prediction or truth, whichever are more */
};

static double iou(const struct overlap *overlap)
{
    return overlap->joined > 0 ? (double)overlap->common / (double)overlap->joined : 0;
}

static int by_score(const void *a, const void *b)
{
    const struct ap_prediction *x = *(const struct ap_prediction *const *)a;
    const struct ap_prediction *y = *(const struct ap_prediction *const *)b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x > y) - (x < y); /* both point into the caller's array: its order */
}

static int check_object(const char *what, int index, int label, const struct bitmask *mask,
                        const struct bitmask *like, struct error *err)
{
    if (label < 1 || label > AP_CLASSES)
        return error_set(err, ERR_BAD_DATA, "%s %d: label %d; labels are 1 to %d", what, index,
                         label, AP_CLASSES);
    if (mask->width != like->width || mask->height != like->height)
        return error_set(err, ERR_BAD_DATA, "%s %d: its mask is %d x %d, another's %d x %d", what,
                         index, mask->width, mask->height, like->width, like->height);
    return 0;
}

static int scene_make(struct scene *scene, const struct ap_truth *truths, int truths_count,
                      const struct ap_prediction *predictions, int predictions_count,
                      struct error *err)
{
    int rc = 0;
    memset(scene, 0, sizeof *scene);
    const struct bitmask *like = truths_count > 0        ? truths[0].mask
                                 : predictions_count > 0 ? predictions[0].mask
                                                         : NULL;
    for (int g = 0; g < truths_count; g++)
        TRY(check_object("truth", g, truths[g].label, truths[g].mask, like, err));
    for (int p = 0; p < predictions_count; p++) {
        TRY(check_object("prediction", p, predictions[p].label, predictions[p].mask, like, err));
        if (isnan(predictions[p].score))
            TRY(error_set(err, ERR_BAD_DATA, "prediction %d: its score is not a number", p));
    }
    size_t rows = (size_t)predictions_count + 1; /* never ask for no memory */
    size_t columns = (size_t)truths_count + 1;
    size_t cells;
    if (__builtin_mul_overflow(rows, columns, &cells))
        TRY(error_set(err, ERR_TOO_LARGE, "%zu by %zu overlaps", rows, columns));
    scene->ranked = malloc(rows * sizeof *scene->ranked);
    scene->overlaps = calloc(cells, sizeof *scene->overlaps);
    scene->taken = malloc(rows + columns);
    if (!scene->ranked || !scene->overlaps || !scene->taken)
        TRY(error_set(err, ERR_MEMORY, "no memory to match %d predictions", predictions_count));

    scene->truths = truths;
    scene->truths_count = truths_count;
    scene->ranked_count = predictions_count;
    for (int p = 0; p < predictions_count; p++)
        scene->ranked[p] = &predictions[p];
    qsort(scene->ranked, (size_t)predictions_count, sizeof *scene->ranked, by_score);
    for (int p = 0; p < predictions_count; p++) {
        for (int g = 0; g < truths_count; g++) {
            if (scene->ranked[p]->label != truths[g].label)
                continue;
            const struct bitmask *a = scene->ranked[p]->mask;
            const struct bitmask *b = truths[g].mask;
            struct overlap *overlap =
                &scene->overlaps[(size_t)p * (size_t)truths_count + (size_t)g];
            overlap->common = bitmask_intersection(a, b);
            overlap->joined = a->area + b->area - overlap->common;
        }
    }
done:
    return rc;
}

static void scene_free(struct scene *scene)
{
    free(scene->taken);
    free(scene->overlaps);
    free(scene->ranked);
}

static const struct overlap *overlap_of(const struct scene *scene, int p, int g)
{
    return &scene->overlaps[(size_t)p * (size_t)scene->truths_count + (size_t)g];
}

/* Class 0 means all. */
static bool in_class(int label, int cls)
{
    return cls == 0 || label == cls;
}

/* ---- the paper's AP of one image ---- */

/* Marks in taken[] the predictions some truth of the class took; returns how many truths there are.
 */
static int truths_choose(struct scene *scene, int cls, int threshold)
{
    int count = 0;
    memset(scene->taken, 0, (size_t)scene->ranked_count);
    for (int g = 0; g < scene->truths_count; g++) {
        if (!in_class(scene->truths[g].label, cls))
            continue;
        count++;
        int best = -1;
        for (int p = 0; p < scene->ranked_count; p++) {
            const struct overlap *o = overlap_of(scene, p, g);
            if (TWENTIETHS * o->common > (FIRST_TWENTIETH + threshold) * o->joined &&
                (best < 0 || iou(o) > iou(overlap_of(scene, best, g))))
                best = p;
        }
        if (best >= 0)
            scene->taken[best] = true;
    }
    return count;
}

/* Area under precision over recall: each true positive is a step of 1 / truths. */
static double image_ap(struct scene *scene, int cls, int threshold)
{
    int truths = truths_choose(scene, cls, threshold);
    int ranked = 0;
    int hits = 0;
    for (int p = 0; p < scene->ranked_count; p++) {
        if (in_class(scene->ranked[p]->label, cls)) {
            ranked++;
            hits += scene->taken[p];
        }
    }
    if (truths == 0 || ranked == 0)
        return truths == ranked;
    double area = 0;
    double highest = 0; /* precision here or at any higher recall */
    for (int p = scene->ranked_count - 1; p >= 0; p--) {
        if (!in_class(scene->ranked[p]->label, cls))
            continue;
        double precision = (double)hits / ranked;
        highest = precision > highest ? precision : highest;
        if (scene->taken[p]) {
            area += highest / truths;
            hits--;
        }
        ranked--;
    }
    return area;
}

/* ---- COCO's greedy matching of one class ---- */

/* Bit t of the result: prediction p found a free truth at threshold t. taken[] belongs to one t. */
static bool prediction_finds(struct scene *scene, int p, double threshold)
{
    int best = -1;
    double needed = threshold;
    for (int g = 0; g < scene->truths_count; g++) {
        if (scene->truths[g].label != scene->ranked[p]->label || scene->taken[g])
            continue;
        double found = iou(overlap_of(scene, p, g));
        if (found >= needed) { /* of equals the last, as COCOeval does */
            needed = found;
            best = g;
        }
    }
    if (best >= 0)
        scene->taken[best] = true;
    return best >= 0;
}

static void coco_match(struct ap_image *out, struct scene *scene, int cls)
{
    /* COCOeval's own rounding of its thresholds, so that borderline overlaps fall the same way. */
    static const double step = (0.95 - 0.5) / (AP_THRESHOLDS - 1);
    int c = cls - 1;
    for (int t = 0; t < AP_THRESHOLDS; t++) {
        double threshold = t + 1 < AP_THRESHOLDS ? 0.5 + t * step : 0.95;
        memset(scene->taken, 0, (size_t)scene->truths_count);
        int count = 0;
        for (int p = 0; p < scene->ranked_count && count < AP_MAX_PER_CLASS; p++) {
            if (scene->ranked[p]->label != cls)
                continue;
            out->scores[c][count] = scene->ranked[p]->score;
            if (prediction_finds(scene, p, threshold))
                out->hits[c][count] |= (uint16_t)(1u << t);
            count++;
        }
        out->predictions[c] = count;
    }
    for (int g = 0; g < scene->truths_count; g++)
        out->truths[c] += scene->truths[g].label == cls;
}

int ap_match(struct ap_image *out, const struct ap_truth *truths, int truths_count,
             const struct ap_prediction *predictions, int predictions_count, struct error *err)
{
    int rc = 0;
    struct scene scene;
    memset(out, 0, sizeof *out);
    TRY(scene_make(&scene, truths, truths_count, predictions, predictions_count, err));
    for (int cls = 0; cls <= AP_CLASSES; cls++) {
        if (cls > 0)
            coco_match(out, &scene, cls);
        out->present[cls] = cls == 0 || out->truths[cls - 1] > 0 || out->predictions[cls - 1] > 0;
        for (int t = 0; t < AP_THRESHOLDS; t++)
            out->ap[cls][t] = out->present[cls] ? image_ap(&scene, cls, t) : 0;
    }
done:
    scene_free(&scene);
    return rc;
}
