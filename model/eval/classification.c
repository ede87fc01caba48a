#include "model/eval/classification.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const double curve_distance = 0.002;

/* ---- counts of one (weighted) sample ---- */

struct counts {
    int64_t tp, fp, fn, tn;
};

struct tally {
    struct counts classes[EVAL_CLASSES];
    int64_t of_class[EVAL_CLASSES];   /* images whose class is known */
    int64_t squares_of[EVAL_CLASSES]; /* answered images behind squares[] */
    double squares[EVAL_CLASSES];     /* sum of (probability - label)^2 */
};

static void tally_image(struct tally *tally, const struct classification_input *input, int64_t i,
                        int64_t weight)
{
    for (int c = 0; c < EVAL_CLASSES; c++) {
        int label = input->labels[i][c];
        if (label < 0)
            continue;
        struct counts *counts = &tally->classes[c];
        int64_t *cell[2][2] = {{&counts->tn, &counts->fp}, {&counts->fn, &counts->tp}};
        *cell[label][input->predicted[i] == c] += weight;
        if (label == 1)
            tally->of_class[c] += weight;
        if (input->predicted[i] >= 0) {
            double miss = (double)input->probabilities[i][c] - label;
            tally->squares[c] += (double)weight * miss * miss;
            tally->squares_of[c] += weight;
        }
    }
}

static struct tally tally_images(const struct classification_input *input, const uint32_t *weights)
{
    struct tally tally = {0};
    for (int64_t i = 0; i < input->images; i++)
        if (!weights || weights[i] > 0)
            tally_image(&tally, input, i, weights ? weights[i] : 1);
    return tally;
}

static double ratio(int64_t part, int64_t whole)
{
    return whole > 0 ? (double)part / (double)whole : NAN;
}

/* ---- the statistics the bootstrap repeats ---- */

struct class_values {
    double sensitivity, specificity, precision, f1, auroc, average_precision, brier;
};

struct values {
    struct class_values classes[EVAL_CLASSES];
    double f1, accuracy, precision, balanced_accuracy;
};

enum {
    VALUES_PER_CLASS = sizeof(struct class_values) / sizeof(double),
    VALUES = sizeof(struct values) / sizeof(double),
};

/* Where each number of struct class_values goes. */
static const size_t class_estimates[VALUES_PER_CLASS] = {
    offsetof(struct class_result, sensitivity), offsetof(struct class_result, specificity),
    offsetof(struct class_result, precision),   offsetof(struct class_result, f1),
    offsetof(struct class_result, auroc),       offsetof(struct class_result, average_precision),
    offsetof(struct class_result, brier),
};

struct context {
    const struct classification_input *input;
    const struct ranking *rankings; /* one a class */
};

static void measure_overall(struct values *values, const struct tally *tally)
{
    int64_t known = 0;
    int64_t right = 0;
    int present = 0;
    double f1 = 0;
    double precision = 0;
    double sensitivities = 0;
    for (int c = 0; c < EVAL_CLASSES; c++)
        known += tally->of_class[c];
    for (int c = 0; c < EVAL_CLASSES; c++) {
        if (tally->of_class[c] == 0)
            continue; /* a class that does not occur has share 0, whatever its rates */
        const struct class_values *of = &values->classes[c];
        double share = ratio(tally->of_class[c], known);
        f1 += share * of->f1;
        precision += share * of->precision; /* an undefined precision makes the sum undefined */
        sensitivities += of->sensitivity;
        right += tally->classes[c].tp;
        present++;
    }
    values->f1 = known > 0 ? f1 : NAN;
    values->accuracy = ratio(right, known);
    values->precision = known > 0 ? precision : NAN;
    values->balanced_accuracy = present > 0 ? sensitivities / present : NAN;
}

static void measure(double *out, const uint32_t *weights, const void *context_)
{
    const struct context *context = context_;
    struct tally tally = tally_images(context->input, weights);
    struct values values;
    for (int c = 0; c < EVAL_CLASSES; c++) {
        const struct counts *n = &tally.classes[c];
        values.classes[c] = (struct class_values){
            .sensitivity = ratio(n->tp, n->tp + n->fn),
            .specificity = ratio(n->tn, n->tn + n->fp),
            .precision = ratio(n->tp, n->tp + n->fp),
            .f1 = n->tp + n->fn > 0 ? ratio(2 * n->tp, 2 * n->tp + n->fp + n->fn) : NAN,
            .auroc = ranking_auroc(&context->rankings[c], weights),
            .average_precision = ranking_average_precision(&context->rankings[c], weights),
            .brier = tally.squares_of[c] > 0 ? tally.squares[c] / (double)tally.squares_of[c] : NAN,
        };
    }
    measure_overall(&values, &tally);
    memcpy(out, &values, sizeof values);
}

/* ---- checks, confusion matrix ---- */

static int check_image(const struct classification_input *input, int64_t i, struct error *err)
{
    int ones = 0;
    for (int c = 0; c < EVAL_CLASSES; c++) {
        int label = input->labels[i][c];
        float p = input->probabilities[i][c];
        if (label < -1 || label > 1)
            return error_set(err, ERR_BAD_DATA,
                             "image %lld: label %d of class %d is not -1, 0 or 1", (long long)i,
                             label, c);
        if (!(p >= 0 && p <= 1))
            return error_set(err, ERR_BAD_DATA, "image %lld: probability %g of class %d",
                             (long long)i, (double)p, c);
        ones += label == 1;
    }
    if (ones > 1)
        return error_set(err, ERR_BAD_DATA, "image %lld is labelled as of %d classes", (long long)i,
                         ones);
    if (input->predicted[i] < -1 || input->predicted[i] >= EVAL_CLASSES)
        return error_set(err, ERR_BAD_DATA, "image %lld: predicted class %d", (long long)i,
                         input->predicted[i]);
    return 0;
}

static void count_image(struct classification_result *out, const struct classification_input *input,
                        int64_t i)
{
    int predicted = input->predicted[i];
    out->unanswered += predicted < 0;
    for (int c = 0; c < EVAL_CLASSES; c++) {
        if (input->labels[i][c] == 1) {
            out->known++;
            out->confusion[c][predicted < 0 ? EVAL_CLASSES : predicted]++;
        }
    }
}

static int measure_class(struct class_result *out, int c, struct ranking *ranking,
                         const struct classification_input *input, struct error *err)
{
    int rc = 0;
    const float *scores = input->probabilities ? &input->probabilities[0][c] : NULL;
    const int8_t *labels = input->labels ? &input->labels[0][c] : NULL;
    TRY(ranking_make(ranking, scores, labels, EVAL_CLASSES, input->predicted, input->images, err));
    TRY(curve_roc(&out->roc, ranking, err));
    TRY(curve_precision_recall(&out->precision_recall, ranking, err));
    curve_thin(&out->roc, curve_distance);
    curve_thin(&out->precision_recall, curve_distance);
    calibration_measure(&out->calibration, scores, labels, EVAL_CLASSES, input->predicted,
                        input->images);
done:
    return rc;
}

int classification_measure(struct classification_result *out,
                           const struct classification_input *input,
                           const struct bootstrap_options *options, struct error *err)
{
    int rc = 0;
    struct ranking rankings[EVAL_CLASSES] = {0};
    memset(out, 0, sizeof *out);
    if (input->images > INT32_MAX)
        return error_set(err, ERR_TOO_LARGE, "%lld images", (long long)input->images);
    out->images = input->images;
    for (int64_t i = 0; i < input->images; i++) {
        TRY(check_image(input, i, err));
        count_image(out, input, i);
    }
    for (int c = 0; c < EVAL_CLASSES; c++)
        TRY(measure_class(&out->classes[c], c, &rankings[c], input, err));

    struct tally tally = tally_images(input, NULL);
    for (int c = 0; c < EVAL_CLASSES; c++) {
        struct class_result *of = &out->classes[c];
        const struct counts *n = &tally.classes[c];
        of->tp = n->tp;
        of->fp = n->fp;
        of->fn = n->fn;
        of->tn = n->tn;
        of->positives = n->tp + n->fn;
        of->negatives = n->fp + n->tn;
    }

    struct context context = {input, rankings};
    struct estimate estimates[VALUES];
    TRY(bootstrap_estimate(estimates, VALUES, measure, &context, input->images, input->groups,
                           options, &out->groups, err));
    const struct estimate *next = estimates;
    for (int c = 0; c < EVAL_CLASSES; c++)
        for (int v = 0; v < VALUES_PER_CLASS; v++)
            memcpy((char *)&out->classes[c] + class_estimates[v], next++, sizeof *next);
    out->f1 = *next++;
    out->accuracy = *next++;
    out->precision = *next++;
    out->balanced_accuracy = *next++;
done:
    for (int c = 0; c < EVAL_CLASSES; c++)
        ranking_free(&rankings[c]);
    return rc;
}

void classification_free(struct classification_result *result)
{
    for (int c = 0; c < EVAL_CLASSES; c++) {
        curve_free(&result->classes[c].roc);
        curve_free(&result->classes[c].precision_recall);
    }
    memset(result, 0, sizeof *result);
}
