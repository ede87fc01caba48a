/*
 * How well images are classified: counts, rates, areas under curves, calibration, each with a
 * bootstrap interval (Ter-Sarkisov 2021, section 4.3; formula 11 read as TP / (TP + FN)).
 *
 * Labels may be partial: "not COVID-19, otherwise unknown" counts wherever its known label does
 * (precision, specificity, AUROC and calibration of COVID-19) and nowhere else. The confusion
 * matrix, accuracy and the class shares w(c) take the images whose class is known.
 */
#ifndef ONESHOT_EVAL_CLASSIFICATION_H
#define ONESHOT_EVAL_CLASSIFICATION_H

#include <stdint.h>

#include "model/eval/bootstrap.h"
#include "model/eval/curve.h"

enum { EVAL_CLASSES = 3 };

/* The caller's arrays, `images` long. */
struct classification_input {
    int64_t images;
    const int8_t (*labels)[EVAL_CLASSES];       /* 1, 0, or -1 where unknown; at most one is 1 */
    const float (*probabilities)[EVAL_CLASSES]; /* [0,1]; each class by itself */
    const int8_t *predicted;                    /* 0..2; -1 = the model gave no answer */
    const int32_t *groups;                      /* as bootstrap_estimate; NULL = none */
};

struct class_result {
    int64_t positives, negatives; /* images whose label for this class is known */
    int64_t tp, fp, fn, tn;       /* no answer is a negative answer */
    struct estimate sensitivity;  /* TP / (TP + FN) */
    struct estimate specificity;  /* TN / (TN + FP) */
    struct estimate precision;    /* TP / (TP + FP); undefined where the class is never predicted */
    struct estimate f1;    /* 2 TP / (2 TP + FP + FN); undefined where the class does not occur */
    struct estimate auroc; /* images without an answer rank last */
    struct estimate average_precision;
    struct estimate brier;
    struct calibration calibration;
    struct curve roc, precision_recall; /* thinned to distances of 0.002 */
};

struct classification_result {
    int64_t images;
    int64_t known;      /* of these the class is known */
    int64_t unanswered; /* images without an answer */
    int64_t groups;     /* drawn by the bootstrap: patients, or images */
    int64_t confusion[EVAL_CLASSES][EVAL_CLASSES + 1]; /* [true][predicted]; last: no answer */
    struct class_result classes[EVAL_CLASSES];

    /* Over all classes, w(c) being their share of the known images. */
    struct estimate f1;                /* sum w(c) 2 Sens Prec / (Sens + Prec), formula 13 */
    struct estimate accuracy;          /* = sum w(c) Sens(c), the paper's overall sensitivity */
    struct estimate precision;         /* sum w(c) Prec(c); undefined where one of them is */
    struct estimate balanced_accuracy; /* mean Sens(c) over the classes that occur */
};

/*
 * Measures. *out is the caller's and released with classification_free, also after an error.
 * ERR_BAD_DATA (labels, predictions or probabilities out of range, with the image's index),
 * ERR_ARGUMENT, ERR_TOO_LARGE, ERR_MEMORY.
 */
int classification_measure(struct classification_result *out,
                           const struct classification_input *input,
                           const struct bootstrap_options *options, struct error *err);
void classification_free(struct classification_result *result);

#endif
