/* The data set: means of the images' AP, and COCO's AP. */
#include "model/eval/detection.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RECALLS = 101 };

/* A prediction among all of its class. */
struct record {
    float score;
    int32_t image;
    uint16_t rank; /* in its image */
    uint16_t hits; /* bit t: true positive at threshold t */
};

struct kept_image {
    bool present[1 + AP_CLASSES];
    double ap[1 + AP_CLASSES][AP_THRESHOLDS];
    int32_t truths[AP_CLASSES];
};

struct ap_evaluation {
    struct kept_image *images;
    size_t images_count, images_room;
    struct records {
        struct record *items;
        size_t count, room;
    } records[AP_CLASSES];
};

int ap_open(struct ap_evaluation **out, struct error *err)
{
    *out = calloc(1, sizeof **out);
    return *out ? 0 : error_set(err, ERR_MEMORY, "no memory for an evaluation");
}

void ap_close(struct ap_evaluation *evaluation)
{
    if (!evaluation)
        return;
    for (int c = 0; c < AP_CLASSES; c++)
        free(evaluation->records[c].items);
    free(evaluation->images);
    free(evaluation);
}

/* Makes room for `extra` more items of `size` bytes. */
static int grow(void **items, size_t *room, size_t count, size_t extra, size_t size,
                struct error *err)
{
    if (*items && count + extra <= *room)
        return 0;
    size_t wanted = 2 * count + extra + 64;
    size_t bytes;
    void *grown = __builtin_mul_overflow(wanted, size, &bytes) ? NULL : realloc(*items, bytes);
    if (!grown)
        return error_set(err, ERR_MEMORY, "no memory for %zu records", wanted);
    *items = grown;
    *room = wanted;
    return 0;
}

int ap_add(struct ap_evaluation *evaluation, const struct ap_image *image, struct error *err)
{
    if (evaluation->images_count >= INT32_MAX)
        return error_set(err, ERR_TOO_LARGE, "more than %d images", INT32_MAX);
    if (grow((void **)&evaluation->images, &evaluation->images_room, evaluation->images_count, 1,
             sizeof *evaluation->images, err) != 0)
        return -1;
    for (int c = 0; c < AP_CLASSES; c++) {
        struct records *records = &evaluation->records[c];
        if (grow((void **)&records->items, &records->room, records->count,
                 (size_t)image->predictions[c], sizeof *records->items, err) != 0)
            return -1;
    }
    struct kept_image *kept = &evaluation->images[evaluation->images_count];
    memcpy(kept->present, image->present, sizeof kept->present);
    memcpy(kept->ap, image->ap, sizeof kept->ap);
    memcpy(kept->truths, image->truths, sizeof kept->truths);
    for (int c = 0; c < AP_CLASSES; c++) {
        struct records *records = &evaluation->records[c];
        for (int p = 0; p < image->predictions[c]; p++)
            records->items[records->count++] = (struct record){
                .score = image->scores[c][p],
                .image = (int32_t)evaluation->images_count,
                .rank = (uint16_t)p,
                .hits = image->hits[c][p],
            };
    }
    evaluation->images_count++;
    return 0;
}

/* ---- the statistics the bootstrap repeats ---- */

struct scores {
    double at[AP_THRESHOLDS];
    double mean;
};

struct values {
    struct scores per_image[1 + AP_CLASSES];
    struct scores coco[1 + AP_CLASSES];
    double coco_recall[1 + AP_CLASSES];
};

enum { VALUES = sizeof(struct values) / sizeof(double) };

struct context {
    const struct ap_evaluation *evaluation;
    struct record *sorted[AP_CLASSES]; /* best first, all images */
    double *recall, *precision;        /* scratch, as long as the longest of sorted[] */
};

static void set_mean(struct scores *scores)
{
    scores->mean = 0;
    for (int t = 0; t < AP_THRESHOLDS; t++)
        scores->mean += scores->at[t] / AP_THRESHOLDS;
}

static void measure_per_image(struct scores *out, int cls, const uint32_t *weights,
                              const struct ap_evaluation *evaluation)
{
    int64_t images = 0;
    double sums[AP_THRESHOLDS] = {0};
    for (size_t i = 0; i < evaluation->images_count; i++) {
        const struct kept_image *image = &evaluation->images[i];
        if (!image->present[cls] || weights[i] == 0)
            continue;
        images += weights[i];
        for (int t = 0; t < AP_THRESHOLDS; t++)
            sums[t] += weights[i] * image->ap[cls][t];
    }
    for (int t = 0; t < AP_THRESHOLDS; t++)
        out->at[t] = images > 0 ? sums[t] / (double)images : NAN;
    set_mean(out);
}

/*
 * Mean precision at 101 recalls; *reached is the recall of the whole ranking. A prediction drawn
 * several times enters at once: the points in between could only lie below its last one.
 */
static double interpolated_ap(double *reached, int c, int threshold, int64_t truths,
                              const uint32_t *weights, const struct context *context)
{
    const struct record *sorted = context->sorted[c];
    int64_t count = (int64_t)context->evaluation->records[c].count;
    int64_t hits = 0;
    int64_t taken = 0;
    for (int64_t k = 0; k < count; k++) {
        int64_t weight = weights[sorted[k].image];
        taken += weight;
        hits += sorted[k].hits >> threshold & 1 ? weight : 0;
        context->recall[k] = (double)hits / (double)truths;
        context->precision[k] = taken > 0 ? (double)hits / (double)taken : 0;
    }
    *reached = (double)hits / (double)truths;
    double sum = 0;
    double highest = 0; /* precision at this or any higher recall */
    int point = RECALLS - 1;
    for (int64_t k = count - 1; k >= 0 && point >= 0; k--) {
        if (context->precision[k] > highest)
            highest = context->precision[k];
        double before = k > 0 ? context->recall[k - 1] : -1;
        for (; point >= 0; point--) { /* the points whose first sufficient recall is this one */
            double recall = point + 1 < RECALLS ? point * 0.01 : 1.0;
            if (recall <= before)
                break;
            if (recall <= context->recall[k])
                sum += highest;
        }
    }
    return sum / RECALLS;
}

static void measure_coco_class(struct values *out, int cls, const uint32_t *weights,
                               const struct context *context)
{
    int64_t truths = 0;
    for (size_t i = 0; i < context->evaluation->images_count; i++)
        truths += (int64_t)weights[i] * context->evaluation->images[i].truths[cls - 1];
    out->coco_recall[cls] = truths > 0 ? 0 : NAN;
    for (int t = 0; t < AP_THRESHOLDS; t++) {
        double reached = 0;
        out->coco[cls].at[t] =
            truths > 0 ? interpolated_ap(&reached, cls - 1, t, truths, weights, context) : NAN;
        out->coco_recall[cls] += reached / AP_THRESHOLDS;
    }
    set_mean(&out->coco[cls]);
}

/* [0] becomes the mean over the classes that are defined. */
static void mean_over_classes(struct values *out)
{
    int defined = 0;
    struct scores sum = {0};
    double recall = 0;
    for (int cls = 1; cls <= AP_CLASSES; cls++) {
        if (isnan(out->coco[cls].mean))
            continue;
        defined++;
        recall += out->coco_recall[cls];
        for (int t = 0; t < AP_THRESHOLDS; t++)
            sum.at[t] += out->coco[cls].at[t];
    }
    for (int t = 0; t < AP_THRESHOLDS; t++)
        out->coco[0].at[t] = defined > 0 ? sum.at[t] / defined : NAN;
    out->coco_recall[0] = defined > 0 ? recall / defined : NAN;
    set_mean(&out->coco[0]);
}

static void measure(double *out, const uint32_t *weights, const void *context_)
{
    const struct context *context = context_;
    struct values values;
    for (int cls = 0; cls <= AP_CLASSES; cls++)
        measure_per_image(&values.per_image[cls], cls, weights, context->evaluation);
    for (int cls = 1; cls <= AP_CLASSES; cls++)
        measure_coco_class(&values, cls, weights, context);
    mean_over_classes(&values);
    memcpy(out, &values, sizeof values);
}

/* ---- results ---- */

static int by_score(const void *a, const void *b)
{
    const struct record *x = a;
    const struct record *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    if (x->image != y->image)
        return x->image < y->image ? -1 : 1;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

static int context_make(struct context *out, const struct ap_evaluation *evaluation,
                        struct error *err)
{
    memset(out, 0, sizeof *out);
    out->evaluation = evaluation;
    size_t longest = 1;
    bool failed = false;
    for (int c = 0; c < AP_CLASSES; c++) {
        const struct records *records = &evaluation->records[c];
        out->sorted[c] = malloc((records->count + 1) * sizeof *out->sorted[c]);
        failed |= !out->sorted[c];
        longest = records->count > longest ? records->count : longest;
        if (!out->sorted[c] || records->count == 0)
            continue;
        memcpy(out->sorted[c], records->items, records->count * sizeof *out->sorted[c]);
        qsort(out->sorted[c], records->count, sizeof *out->sorted[c], by_score);
    }
    out->recall = malloc(longest * sizeof *out->recall);
    out->precision = malloc(longest * sizeof *out->precision);
    if (failed || !out->recall || !out->precision)
        return error_set(err, ERR_MEMORY, "no memory to rank %zu predictions", longest);
    return 0;
}

static void context_free(struct context *context)
{
    free(context->precision);
    free(context->recall);
    for (int c = 0; c < AP_CLASSES; c++)
        free(context->sorted[c]);
}

static const struct estimate *take_scores(struct ap_scores *out, const struct estimate *next)
{
    for (int t = 0; t < AP_THRESHOLDS; t++)
        out->at[t] = *next++;
    out->mean = *next++;
    return next;
}

int ap_measure(struct detection_result *out, const struct ap_evaluation *evaluation,
               const int32_t *groups, const struct bootstrap_options *options, struct error *err)
{
    int rc = 0;
    struct context context;
    struct estimate *estimates = calloc(VALUES, sizeof *estimates);
    memset(out, 0, sizeof *out);
    TRY(context_make(&context, evaluation, err));
    if (!estimates)
        TRY(error_set(err, ERR_MEMORY, "no memory for the results"));
    TRY(bootstrap_estimate(estimates, VALUES, measure, &context, (int64_t)evaluation->images_count,
                           groups, options, &out->groups, err));

    const struct estimate *next = estimates;
    for (int cls = 0; cls <= AP_CLASSES; cls++)
        next = take_scores(&out->per_image[cls], next);
    for (int cls = 0; cls <= AP_CLASSES; cls++)
        next = take_scores(&out->coco[cls], next);
    for (int cls = 0; cls <= AP_CLASSES; cls++)
        out->coco_recall[cls] = *next++;

    out->images = (int64_t)evaluation->images_count;
    for (size_t i = 0; i < evaluation->images_count; i++) {
        for (int cls = 0; cls <= AP_CLASSES; cls++)
            out->per_image_count[cls] += evaluation->images[i].present[cls];
        for (int c = 0; c < AP_CLASSES; c++)
            out->truths[c] += evaluation->images[i].truths[c];
    }
    for (int c = 0; c < AP_CLASSES; c++)
        out->predictions[c] = (int64_t)evaluation->records[c].count;
done:
    context_free(&context);
    free(estimates);
    return rc;
}
