/* model/eval: bootstrap, curves, classification, segmentation; golden numbers and small cases. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/eval/classification.h"
#include "model/eval/segmentation.h"
#include "tests/golden/metrics_classification.h"
#include "tests/golden/metrics_segmentation.h"
#include "tests/unit/eval_check.h"
#include "tests/unit/run.h"

static struct bootstrap_options options_of(int seed, int resamples)
{
    struct bootstrap_options options = bootstrap_defaults();
    options.seed = (uint64_t)seed;
    options.resamples = resamples;
    return options;
}

/* ---- classification ---- */

static struct classification_input input_of(int64_t images, const int8_t *labels,
                                            const float *probabilities, const int8_t *predicted,
                                            const int32_t *groups)
{
    return (struct classification_input){
        .images = images,
        .labels = (const int8_t(*)[EVAL_CLASSES])labels,
        .probabilities = (const float(*)[EVAL_CLASSES])probabilities,
        .predicted = predicted,
        .groups = groups,
    };
}

static void check_classification(const struct classification_input *input, int seed, int resamples,
                                 int drawn, const int64_t *confusion, const double *estimates,
                                 const double *const calibrations[3])
{
    struct error err;
    struct classification_result result;
    struct bootstrap_options options = options_of(seed, resamples);
    ck_assert_int_eq(classification_measure(&result, input, &options, &err), 0);
    ck_assert_int_eq(result.images, input->images);
    ck_assert_int_eq(result.groups, drawn);
    int64_t known = 0;
    for (int t = 0; t < 3; t++) {
        for (int p = 0; p < 4; p++) {
            ck_assert_int_eq(result.confusion[t][p], confusion[4 * t + p]);
            known += confusion[4 * t + p];
        }
    }
    ck_assert_int_eq(result.known, known);
    int next = 0;
    for (int c = 0; c < 3; c++) {
        const struct class_result *of = &result.classes[c];
        const struct estimate found[7] = {of->sensitivity, of->specificity, of->precision,
                                          of->f1,          of->auroc,       of->average_precision,
                                          of->brier};
        for (int k = 0; k < 7; k++, next++)
            check_estimate(found[k], estimates + 3 * next, next);
        const double *expected = calibrations[c];
        for (int b = 0; b < CALIBRATION_BINS; b++) {
            ck_assert_int_eq(of->calibration.bins[b].count, (int64_t)expected[3 * b]);
            check_number(true, of->calibration.bins[b].probability, expected[3 * b + 1], b);
            check_number(true, of->calibration.bins[b].frequency, expected[3 * b + 2], b);
        }
        check_number(true, of->calibration.ece, expected[3 * CALIBRATION_BINS], c);
        check_number(of->brier.defined, of->calibration.brier, of->brier.value, c);
    }
    const struct estimate overall[4] = {result.f1, result.accuracy, result.precision,
                                        result.balanced_accuracy};
    for (int k = 0; k < 4; k++, next++)
        check_estimate(overall[k], estimates + 3 * next, next);
    classification_free(&result);
}

#define CHECK_CLASSIFICATION(name, groups)                                                         \
    do {                                                                                           \
        const double *const calibrations[3] = {name##_calibration_0, name##_calibration_1,         \
                                               name##_calibration_2};                              \
        struct classification_input input = input_of(                                              \
            name##_images, name##_labels, name##_probabilities, name##_predicted, groups);         \
        check_classification(&input, name##_seed, name##_resamples, name##_drawn,                  \
                             name##_confusion, name##_estimates, calibrations);                    \
    } while (0)

START_TEST(classification_equals_golden)
{
    CHECK_CLASSIFICATION(full, NULL);
    CHECK_CLASSIFICATION(partial, partial_groups);
    CHECK_CLASSIFICATION(single, NULL);
    CHECK_CLASSIFICATION(absent, NULL);
}
END_TEST

/* The paper's own numbers: Table 2's sensitivities with shares .45/.35/.20 give its overall one. */
START_TEST(overall_sensitivity_is_weighted_by_class)
{
    enum { IMAGES = 2000 };
    static int8_t labels[IMAGES][3];
    static float probabilities[IMAGES][3];
    static int8_t predicted[IMAGES];
    const int size[3] = {900, 700, 400};
    const int right[3] = {893, 687, 383};
    int n = 0;
    for (int c = 0; c < 3; c++)
        for (int k = 0; k < size[c]; k++, n++) {
            labels[n][c] = 1;
            predicted[n] = (int8_t)(k < right[c] ? c : (c + 1) % 3);
        }
    struct classification_input input =
        input_of(IMAGES, labels[0], probabilities[0], predicted, NULL);
    struct bootstrap_options options = options_of(1, 0);
    struct classification_result result;
    struct error err;
    ck_assert_int_eq(classification_measure(&result, &input, &options, &err), 0);
    double expected = 0;
    for (int c = 0; c < 3; c++)
        expected += size[c] / 2000.0 * result.classes[c].sensitivity.value;
    ck_assert_double_eq_tol(result.accuracy.value, expected, 1e-15);
    ck_assert_double_eq_tol(result.accuracy.value, 0.9815, 1e-15);
    ck_assert(!result.accuracy.interval);
    classification_free(&result);
}
END_TEST

START_TEST(no_images_is_no_error)
{
    struct classification_input input = {0};
    struct bootstrap_options options = options_of(1, 10);
    struct classification_result result;
    struct error err;
    ck_assert_int_eq(classification_measure(&result, &input, &options, &err), 0);
    ck_assert(!result.f1.defined && !result.classes[0].auroc.defined);
    ck_assert_int_eq(result.classes[0].roc.count, 0);
    ck_assert_int_eq(result.classes[0].precision_recall.count, 0);
    classification_free(&result);
}
END_TEST

static void check_bad(const int8_t labels[6], const float probabilities[6],
                      const int8_t predicted[2], const char *complaint)
{
    struct classification_input input = input_of(2, labels, probabilities, predicted, NULL);
    struct bootstrap_options options = options_of(1, 10);
    struct classification_result result;
    struct error err;
    ck_assert_int_ne(classification_measure(&result, &input, &options, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_DATA);
    ck_assert_msg(strstr(err.text, complaint) != NULL, "%s", err.text);
    classification_free(&result);
}

START_TEST(bad_input_is_named)
{
    const int8_t labels[6] = {1, 0, 0, 0, 1, 0};
    const float p[6] = {0};
    const int8_t predicted[2] = {0, 0};
    check_bad((int8_t[6]){1, 0, 0, 0, 2, 0}, p, predicted, "image 1: label 2 of class 1");
    check_bad((int8_t[6]){1, 0, 0, 1, 1, 0}, p, predicted, "image 1 is labelled as of 2");
    check_bad(labels, (float[6]){0, 0, 0, 0, 1.5f, 0}, predicted, "image 1: probability 1.5");
    check_bad(labels, (float[6]){0, 0, NAN, 0, 0, 0}, predicted, "image 0: probability nan");
    check_bad(labels, p, (int8_t[2]){0, 3}, "image 1: predicted class 3");
}
END_TEST

/* ---- curves ---- */

START_TEST(ties_count_one_half)
{
    /* pairs: .9>.5 .9>.5 .5=.5 .5=.5 -> (1 + 1 + .5 + .5) / 4 */
    const float score[4] = {0.9f, 0.5f, 0.5f, 0.5f};
    const int8_t label[4] = {1, 1, 0, 0};
    struct ranking ranking;
    struct curve roc;
    struct curve pr;
    struct error err;
    ck_assert_int_eq(ranking_make(&ranking, score, label, 1, NULL, 4, &err), 0);
    ck_assert_double_eq(ranking_auroc(&ranking, NULL), 0.75);
    ck_assert_double_eq(ranking_average_precision(&ranking, NULL), 0.5 * 1 + 0.5 * 0.5);
    ck_assert_int_eq(curve_roc(&roc, &ranking, &err), 0);
    ck_assert_int_eq(roc.count, 3); /* (0,0), (0,.5), (1,1): the tie is one step */
    ck_assert_double_eq(roc.x[1], 0);
    ck_assert_double_eq(roc.y[1], 0.5);
    ck_assert_double_eq(roc.x[2], 1);
    ck_assert_double_eq(roc.y[2], 1);
    ck_assert_int_eq(curve_precision_recall(&pr, &ranking, &err), 0);
    ck_assert_int_eq(pr.count, 2);
    ck_assert_double_eq(pr.x[1], 1);
    ck_assert_double_eq(pr.y[1], 0.5);
    curve_free(&roc);
    curve_free(&pr);
    ranking_free(&ranking);
}
END_TEST

START_TEST(one_sided_labels_have_no_area)
{
    const float score[3] = {0.9f, 0.5f, 0.1f};
    struct ranking ranking;
    struct curve roc;
    struct error err;
    ck_assert_int_eq(ranking_make(&ranking, score, (int8_t[]){1, 1, -1}, 1, NULL, 3, &err), 0);
    ck_assert_int_eq(ranking.count, 2);
    ck_assert(isnan(ranking_auroc(&ranking, NULL)));
    ck_assert_double_eq(ranking_average_precision(&ranking, NULL), 1);
    ck_assert_int_eq(curve_roc(&roc, &ranking, &err), 0);
    ck_assert_int_eq(roc.count, 0);
    ranking_free(&ranking);
    ck_assert_int_eq(ranking_make(&ranking, score, (int8_t[]){0, 0, 0}, 1, NULL, 3, &err), 0);
    ck_assert(isnan(ranking_auroc(&ranking, NULL)));
    ck_assert(isnan(ranking_average_precision(&ranking, NULL)));
    ranking_free(&ranking);
    const float bad[1] = {NAN};
    ck_assert_int_ne(ranking_make(&ranking, bad, (int8_t[]){1}, 1, NULL, 1, &err), 0);
    ck_assert_int_eq(err.code, ERR_ARGUMENT);
}
END_TEST

START_TEST(area_under_the_drawn_curve_is_the_auroc)
{
    enum { IMAGES = 5000 };
    static float score[IMAGES];
    static int8_t label[IMAGES];
    for (int i = 0; i < IMAGES; i++) {
        label[i] = (i * 7919 % 13) < 4;
        score[i] = (float)(i * 104729 % 997) / 997 + (label[i] ? 0.2f : 0);
    }
    struct ranking ranking;
    struct curve roc;
    struct error err;
    ck_assert_int_eq(ranking_make(&ranking, score, label, 1, NULL, IMAGES, &err), 0);
    ck_assert_int_eq(curve_roc(&roc, &ranking, &err), 0);
    double auroc = ranking_auroc(&ranking, NULL);
    for (int thinned = 0; thinned < 2; thinned++) {
        double area = 0;
        for (int64_t k = 1; k < roc.count; k++)
            area += (roc.x[k] - roc.x[k - 1]) * (roc.y[k] + roc.y[k - 1]) / 2;
        ck_assert_double_eq_tol(area, auroc, thinned ? 2e-3 : 1e-12);
        ck_assert_double_eq(roc.x[roc.count - 1], 1);
        curve_thin(&roc, 0.002);
        ck_assert_int_lt(roc.count, 1001);
    }
    curve_free(&roc);
    ranking_free(&ranking);
}
END_TEST

START_TEST(calibration_edges)
{
    const float p[5] = {0, 0.1f, 1, 0.95f, 0.5f};
    const int8_t label[5] = {0, 1, 1, 0, -1};
    struct calibration c;
    calibration_measure(&c, p, label, 1, NULL, 5);
    ck_assert_int_eq(c.count, 4);
    ck_assert_int_eq(c.bins[0].count, 1);
    ck_assert_int_eq(c.bins[1].count, 1); /* .1 opens the second bin */
    ck_assert_int_eq(c.bins[9].count, 2); /* 1 belongs to the last */
    ck_assert_double_eq_tol(c.bins[9].probability, 0.975, 1e-7);
    ck_assert_double_eq(c.bins[9].frequency, 0.5);
    ck_assert_double_eq_tol(c.ece, (0 + 0.9 + 2 * 0.475) / 4, 1e-7);
    ck_assert_double_eq_tol(c.brier, (0 + 0.81 + 0 + 0.9025) / 4, 1e-7);
    calibration_measure(&c, p, label, 1, (int8_t[]){-1, -1, -1, -1, -1}, 5);
    ck_assert_int_eq(c.count, 0);
    ck_assert_double_eq(c.brier, 0);
}
END_TEST

/* ---- bootstrap ---- */

static void weighted_mean(double *out, const uint32_t *weights, const void *context)
{
    const double *x = context;
    double sum = 0;
    double count = 0;
    for (int i = 0; i < 8; i++) {
        sum += weights[i] * x[i];
        count += weights[i];
    }
    out[0] = sum / count;
    out[1] = weights[0] + weights[1] == 0 ? NAN : 1; /* rests on two images */
    out[2] = weights[0] == 0 ? NAN : 1;              /* on one */
}

START_TEST(bootstrap_repeats_itself)
{
    const double x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    struct estimate a[3];
    struct estimate b[3];
    struct error err;
    int64_t groups = 0;
    struct bootstrap_options options = options_of(11, 2000);
    ck_assert_int_eq(bootstrap_estimate(a, 3, weighted_mean, x, 8, NULL, &options, &groups, &err),
                     0);
    ck_assert_int_eq(groups, 8);
    ck_assert_int_eq(bootstrap_estimate(b, 3, weighted_mean, x, 8, NULL, &options, NULL, &err), 0);
    for (int k = 0; k < 3; k++) {
        ck_assert_double_eq(a[k].low, b[k].low);
        ck_assert_double_eq(a[k].high, b[k].high);
    }
    ck_assert_double_eq(a[0].value, 4.5);
    ck_assert(a[0].interval && a[0].low < 4.5 && a[0].high > 4.5);
    /* The mean of 8 of these has standard error 0.81: the normal interval is 2.91 to 6.09. */
    ck_assert_double_eq_tol(a[0].low, 2.91, 0.15);
    ck_assert_double_eq_tol(a[0].high, 6.09, 0.15);
    ck_assert(a[1].interval);
    ck_assert(a[2].defined && !a[2].interval);
    options = options_of(12, 50);
    ck_assert_int_eq(bootstrap_estimate(b, 3, weighted_mean, x, 8, NULL, &options, NULL, &err), 0);
    options.seed = 11;
    ck_assert_int_eq(bootstrap_estimate(a, 3, weighted_mean, x, 8, NULL, &options, NULL, &err), 0);
    ck_assert(a[0].low != b[0].low || a[0].high != b[0].high);
}
END_TEST

START_TEST(bootstrap_draws_whole_groups)
{
    const double x[8] = {1, 1, 1, 1, 5, 5, 5, 5};
    const int32_t groups[8] = {7, 7, 7, 7, 2, 2, 2, 2};
    const int32_t one[8] = {0};
    struct estimate e[3];
    struct error err;
    int64_t used = 0;
    struct bootstrap_options options = options_of(3, 500);
    ck_assert_int_eq(bootstrap_estimate(e, 3, weighted_mean, x, 8, groups, &options, &used, &err),
                     0);
    ck_assert_int_eq(used, 2);
    ck_assert_double_eq(e[0].low, 1); /* both draws fall on one group half of the time */
    ck_assert_double_eq(e[0].high, 5);
    ck_assert_int_eq(bootstrap_estimate(e, 3, weighted_mean, x, 8, one, &options, &used, &err), 0);
    ck_assert(e[0].defined && !e[0].interval);
}
END_TEST

START_TEST(bootstrap_refuses_nonsense)
{
    const double x[8] = {0};
    const int32_t groups[8] = {0, 1, 2, 3, 4, 5, 6, 8};
    struct estimate e[3];
    struct error err;
    struct bootstrap_options options = options_of(3, 5);
    ck_assert_int_ne(bootstrap_estimate(e, 3, weighted_mean, x, 8, groups, &options, NULL, &err),
                     0);
    ck_assert_int_eq(err.code, ERR_ARGUMENT);
    options.resamples = -1;
    ck_assert_int_ne(bootstrap_estimate(e, 3, weighted_mean, x, 8, NULL, &options, NULL, &err), 0);
    options = options_of(3, 5);
    options.level = 1;
    ck_assert_int_ne(bootstrap_estimate(e, 3, weighted_mean, x, 8, NULL, &options, NULL, &err), 0);
}
END_TEST

/* ---- segmentation ---- */

static void check_segmentation(const int32_t *groups, const double *golden)
{
    struct segmentation_counts counts[seg_images];
    struct segmentation_result result;
    struct error err;
    for (int i = 0; i < seg_images; i++)
        ck_assert_int_eq(segmentation_count(&counts[i], seg_truth + i * seg_pixels,
                                            seg_predicted + i * seg_pixels, (size_t)seg_pixels,
                                            &err),
                         0);
    struct bootstrap_options options = options_of(3, 120);
    ck_assert_int_eq(segmentation_measure(&result, counts, seg_images, groups, &options, &err), 0);
    int64_t pixels = 0;
    for (int k = 0; k < 16; k++)
        pixels += result.pixels.pixels[k / 4][k % 4];
    ck_assert_int_eq(pixels, seg_images * seg_pixels);
    for (int region = 0; region < REGIONS; region++) {
        const struct region_result *of = &result.regions[region];
        const struct estimate found[4] = {of->dice, of->iou, of->mean_dice, of->mean_iou};
        for (int k = 0; k < 4; k++)
            check_estimate(found[k], golden + 3 * (4 * region + k), 4 * region + k);
        ck_assert_int_eq(of->images + of->absent, seg_images);
    }
    ck_assert_int_eq(result.regions[REGION_LUNG_FIELD].absent, 1);
}

START_TEST(segmentation_equals_golden)
{
    check_segmentation(NULL, seg_by_image);
    check_segmentation(seg_groups, seg_by_group);
}
END_TEST

START_TEST(segmentation_by_hand)
{
    const uint8_t truth[8] = {0, 1, 1, 2, 2, 3, 0, 0};
    const uint8_t found[8] = {0, 1, 2, 2, 3, 3, 0, 1};
    struct segmentation_counts counts;
    struct error err;
    ck_assert_int_eq(segmentation_count(&counts, truth, found, 8, &err), 0);
    ck_assert_double_eq(segmentation_dice(&counts, REGION_LUNGS), 2 * 1.0 / 4);
    ck_assert_double_eq(segmentation_dice(&counts, REGION_GGO), 2 * 1.0 / 4);
    ck_assert_double_eq(segmentation_dice(&counts, REGION_CONSOLIDATION), 2 * 1.0 / 3);
    ck_assert_double_eq(segmentation_dice(&counts, REGION_LESIONS), 2 * 3.0 / 7);
    ck_assert_double_eq(segmentation_dice(&counts, REGION_LUNG_FIELD), 2 * 5.0 / 11);
    const uint8_t bad[8] = {0, 0, 4, 0, 0, 0, 0, 0};
    ck_assert_int_ne(segmentation_count(&counts, truth, bad, 8, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_DATA);
    ck_assert_str_eq(segmentation_region_name(REGION_LESIONS), "lesions");
    ck_assert_ptr_null(segmentation_region_name(REGIONS));
}
END_TEST

START_TEST(segmentation_of_nothing)
{
    struct segmentation_result result;
    struct error err;
    struct bootstrap_options options = options_of(3, 10);
    ck_assert_int_eq(segmentation_measure(&result, NULL, 0, NULL, &options, &err), 0);
    ck_assert(!result.regions[0].dice.defined);
    ck_assert(!result.regions[0].mean_dice.defined);
}
END_TEST

int main(void)
{
    RUN("metrics", classification_equals_golden, overall_sensitivity_is_weighted_by_class,
        no_images_is_no_error, bad_input_is_named, ties_count_one_half,
        one_sided_labels_have_no_area, area_under_the_drawn_curve_is_the_auroc, calibration_edges,
        bootstrap_repeats_itself, bootstrap_draws_whole_groups, bootstrap_refuses_nonsense,
        segmentation_equals_golden, segmentation_by_hand, segmentation_of_nothing);
}
