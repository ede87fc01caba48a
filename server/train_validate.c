#include "server/train_validate.h"

#include <math.h>

#include "server/eval_measure.h"

int validation_open(struct validation_sets *out, const char *segmentation,
                    const char *classification, struct error *err)
{
    *out = (struct validation_sets){0};
    if (*segmentation &&
        eval_set_open(&out->segmentation, EVAL_SEGMENTATION, segmentation, NULL, err) != 0)
        return -1;
    if (*classification &&
        eval_set_open(&out->classification, EVAL_CLASSIFICATION, classification, NULL, err) != 0)
        return -1;
    return 0;
}

void validation_close(struct validation_sets *sets)
{
    eval_set_close(&sets->segmentation);
    eval_set_close(&sets->classification);
}

static double figure(bool measured, struct estimate estimate)
{
    return measured && estimate.defined ? estimate.value : (double)NAN;
}

static void take_figures(struct validation *out, const struct eval_results *results)
{
    bool maps = results->has_segmentation, classes = results->has_classification;
    const struct ap_scores *ap = &results->detection.per_image[0];
    const struct region_result *regions = results->segmentation.regions;
    *out = (struct validation){
        .ap50 = figure(maps, ap->at[AP_AT_50]),
        .ap = figure(maps, ap->mean),
        .lungs_iou = figure(maps, regions[REGION_LUNGS].iou),
        .lesions_dice = figure(maps, regions[REGION_LESIONS].dice),
        .auroc_covid = figure(classes, results->classification.classes[2].auroc),
        .accuracy = figure(classes, results->classification.accuracy),
    };
    const double scored[] = {out->ap50, out->lungs_iou, out->lesions_dice, out->auroc_covid};
    int count = 0;
    for (size_t i = 0; i < sizeof scored / sizeof *scored; i++)
        if (isfinite(scored[i])) {
            out->score += scored[i];
            count++;
        }
    out->score = count ? out->score / count : (double)NAN;
}

int validate(struct validation *out, const struct validation_sets *sets, const char *path,
             int workers, struct error *err)
{
    int rc;
    struct model *model = NULL;
    struct eval_summary summary = {0};
    struct bootstrap_options bootstrap = bootstrap_defaults();
    struct eval_run run = {
        .segmentation = &sets->segmentation,
        .classification = &sets->classification,
        .workers = workers,
        .quiet = true,
    };
    bootstrap.resamples = 0;
    const struct model_options options = {.threads = 1};
    TRY(model_load(&model, path, &options, err));
    const struct model_info *info = model_info(model);
    run.model = model;
    run.limits = (struct eval_limits){
        .score_threshold = info->default_score_threshold,
        .max_detections = info->default_max_detections,
        .coco_threshold = .05f,
        .coco_detections = AP_MAX_PER_CLASS,
    };
    TRY(eval_run_all(&run, err));
    TRY(eval_measure(&summary, &run, EVAL_BY_IMAGE, &bootstrap, err));
    take_figures(out, &summary.results);
done:
    eval_summary_close(&summary);
    eval_run_free(&run);
    model_free(model);
    return rc;
}
