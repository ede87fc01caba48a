#include "model/eval/curve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- ranking ---- */

struct ranked {
    float score;
    int32_t image;
};

static int by_score(const void *a, const void *b)
{
    const struct ranked *x = a;
    const struct ranked *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return (x->image > y->image) - (x->image < y->image);
}

int ranking_make(struct ranking *out, const float *score, const int8_t *label, int stride,
                 const int8_t *valid, int64_t images, struct error *err)
{
    int rc = 0;
    memset(out, 0, sizeof *out);
    size_t room = (size_t)images + 1;
    struct ranked *order = malloc(room * sizeof *order);
    out->image = malloc(room * sizeof *out->image);
    out->positive = malloc(room * sizeof *out->positive);
    out->ends = malloc(room * sizeof *out->ends);
    if (!order || !out->image || !out->positive || !out->ends) {
        rc = error_set(err, ERR_MEMORY, "no memory to rank %lld images", (long long)images);
        goto done;
    }
    size_t count = 0;
    for (int64_t i = 0; i < images; i++) {
        if (label[i * stride] != 0 && label[i * stride] != 1)
            continue;
        float value = valid && valid[i] < 0 ? -INFINITY : score[i * stride];
        if (isnan(value)) {
            rc = error_set(err, ERR_ARGUMENT, "the score of image %lld is not a number",
                           (long long)i);
            goto done;
        }
        order[count++] = (struct ranked){value, (int32_t)i};
    }
    qsort(order, count, sizeof *order, by_score);
    for (size_t k = 0; k < count; k++) {
        out->image[k] = order[k].image;
        out->positive[k] = label[(int64_t)order[k].image * stride] == 1;
        out->ends[k] = k + 1 == count || order[k + 1].score != order[k].score;
    }
    out->count = (int64_t)count;
done:
    free(order);
    if (rc != 0)
        ranking_free(out);
    return rc;
}

void ranking_free(struct ranking *ranking)
{
    free(ranking->image);
    free(ranking->positive);
    free(ranking->ends);
    memset(ranking, 0, sizeof *ranking);
}

static int64_t weight_at(const struct ranking *ranking, const uint32_t *weights, int64_t k)
{
    return weights ? weights[ranking->image[k]] : 1;
}

double ranking_auroc(const struct ranking *ranking, const uint32_t *weights)
{
    int64_t positives = 0; /* above this run of equal scores */
    int64_t negatives = 0;
    int64_t run_positives = 0;
    int64_t run_negatives = 0;
    int64_t twice_won = 0; /* whole numbers: the sum is exact */
    for (int64_t k = 0; k < ranking->count; k++) {
        int64_t weight = weight_at(ranking, weights, k);
        if (ranking->positive[k])
            run_positives += weight;
        else
            run_negatives += weight;
        if (ranking->ends[k]) {
            twice_won += run_negatives * (2 * positives + run_positives);
            positives += run_positives;
            negatives += run_negatives;
            run_positives = run_negatives = 0;
        }
    }
    if (positives == 0 || negatives == 0)
        return NAN;
    return (double)twice_won / 2 / ((double)positives * (double)negatives);
}

double ranking_average_precision(const struct ranking *ranking, const uint32_t *weights)
{
    int64_t taken = 0;
    int64_t hits = 0;
    int64_t hits_before = 0; /* at the previous threshold */
    double sum = 0;
    for (int64_t k = 0; k < ranking->count; k++) {
        int64_t weight = weight_at(ranking, weights, k);
        taken += weight;
        hits += ranking->positive[k] ? weight : 0;
        if (ranking->ends[k] && hits > hits_before) {
            sum += (double)(hits - hits_before) * ((double)hits / (double)taken);
            hits_before = hits;
        }
    }
    return hits > 0 ? sum / (double)hits : NAN;
}

/* ---- curves ---- */

static int curve_alloc(struct curve *out, int64_t points, struct error *err)
{
    memset(out, 0, sizeof *out);
    out->x = malloc((size_t)points * sizeof *out->x);
    out->y = malloc((size_t)points * sizeof *out->y);
    if (out->x && out->y)
        return 0;
    curve_free(out);
    return error_set(err, ERR_MEMORY, "no memory for a curve of %lld points", (long long)points);
}

static void curve_add(struct curve *curve, double x, double y)
{
    curve->x[curve->count] = x;
    curve->y[curve->count] = y;
    curve->count++;
}

static int64_t count_positives(const struct ranking *ranking)
{
    int64_t positives = 0;
    for (int64_t k = 0; k < ranking->count; k++)
        positives += ranking->positive[k];
    return positives;
}

int curve_roc(struct curve *out, const struct ranking *ranking, struct error *err)
{
    memset(out, 0, sizeof *out);
    int64_t positives = count_positives(ranking);
    int64_t negatives = ranking->count - positives;
    if (positives == 0 || negatives == 0)
        return 0;
    if (curve_alloc(out, ranking->count + 1, err) != 0)
        return -1;
    int64_t hits = 0;
    curve_add(out, 0, 0);
    for (int64_t k = 0; k < ranking->count; k++) {
        hits += ranking->positive[k];
        if (ranking->ends[k])
            curve_add(out, (double)(k + 1 - hits) / (double)negatives,
                      (double)hits / (double)positives);
    }
    return 0;
}

int curve_precision_recall(struct curve *out, const struct ranking *ranking, struct error *err)
{
    memset(out, 0, sizeof *out);
    int64_t positives = count_positives(ranking);
    if (positives == 0)
        return 0;
    if (curve_alloc(out, ranking->count, err) != 0)
        return -1;
    int64_t hits = 0;
    for (int64_t k = 0; k < ranking->count; k++) {
        hits += ranking->positive[k];
        if (ranking->ends[k])
            curve_add(out, (double)hits / (double)positives, (double)hits / (double)(k + 1));
    }
    return 0;
}

void curve_thin(struct curve *curve, double distance)
{
    int64_t kept = 0;
    for (int64_t k = 0; k < curve->count; k++) {
        bool near = kept > 0 && fabs(curve->x[k] - curve->x[kept - 1]) < distance &&
                    fabs(curve->y[k] - curve->y[kept - 1]) < distance;
        if (near && k + 1 < curve->count)
            continue;
        curve->x[kept] = curve->x[k];
        curve->y[kept] = curve->y[k];
        kept++;
    }
    curve->count = kept;
}

void curve_free(struct curve *curve)
{
    free(curve->x);
    free(curve->y);
    memset(curve, 0, sizeof *curve);
}

/* ---- calibration ---- */

void calibration_measure(struct calibration *out, const float *probability, const int8_t *label,
                         int stride, const int8_t *valid, int64_t images)
{
    memset(out, 0, sizeof *out);
    double squares = 0;
    for (int64_t i = 0; i < images; i++) {
        int known = label[i * stride];
        if ((known != 0 && known != 1) || (valid && valid[i] < 0))
            continue;
        double p = (double)probability[i * stride];
        int bin = p > 0 ? (int)(p * CALIBRATION_BINS) : 0;
        if (bin >= CALIBRATION_BINS)
            bin = CALIBRATION_BINS - 1;
        out->bins[bin].count++;
        out->bins[bin].probability += p;
        out->bins[bin].frequency += known;
        out->count++;
        squares += (p - known) * (p - known);
    }
    if (out->count == 0)
        return;
    for (int b = 0; b < CALIBRATION_BINS; b++) {
        struct calibration_bin *bin = &out->bins[b];
        if (bin->count == 0)
            continue;
        out->ece += fabs(bin->probability - bin->frequency);
        bin->probability /= (double)bin->count;
        bin->frequency /= (double)bin->count;
    }
    out->ece /= (double)out->count;
    out->brier = squares / (double)out->count;
}
