/* The tables of the report: every figure with its interval. */
#include "model/eval/report_parts.h"

#include <string.h>

static void head(struct html *html, const char *caption, const char *const *columns)
{
    html_markup(html, "<div class=\"scroll\"><table><caption>");
    html_text(html, caption);
    html_markup(html, "</caption><thead><tr>");
    for (; *columns; columns++) {
        html_markup(html, "<th scope=\"col\">");
        html_text(html, *columns);
        html_markup(html, "</th>");
    }
    html_markup(html, "</tr></thead><tbody>");
}

static void foot(struct html *html)
{
    html_markup(html, "</tbody></table></div>\n");
}

static void row_begin(struct html *html, const char *name, bool all)
{
    html_markup(html, all ? "<tr class=\"all\"><th scope=\"row\">" : "<tr><th scope=\"row\">");
    html_text(html, name);
    html_markup(html, "</th>");
}

static void cell(struct html *html, struct estimate estimate, enum number_style style)
{
    html_markup(html, "<td>");
    html_estimate(html, estimate, style);
    html_markup(html, "</td>");
}

static void cell_count(struct html *html, int64_t count)
{
    html_format(html, "<td>%lld</td>", (long long)count);
}

static void cells_empty(struct html *html, int count)
{
    while (count-- > 0)
        html_markup(html, "<td></td>");
}

void table_classification(struct html *html, const struct classification_result *result)
{
    static const char *const columns[] = {
        "Class",     "Images", "Others", "Sensitivity",       "Specificity",
        "Precision", "F1",     "AUROC",  "Average precision", NULL};
    head(html, "Image classes", columns);
    for (int c = 0; c < EVAL_CLASSES; c++) {
        const struct class_result *of = &result->classes[c];
        row_begin(html, report_image_classes[c].text, false);
        cell_count(html, of->positives);
        cell_count(html, of->negatives);
        cell(html, of->sensitivity, NUMBER_PERCENT);
        cell(html, of->specificity, NUMBER_PERCENT);
        cell(html, of->precision, NUMBER_PERCENT);
        cell(html, of->f1, NUMBER_PERCENT);
        cell(html, of->auroc, NUMBER_SHARE);
        cell(html, of->average_precision, NUMBER_SHARE);
        html_markup(html, "</tr>");
    }
    row_begin(html, "Overall, adjusted for class shares", true);
    cell_count(html, result->known);
    cells_empty(html, 1);
    cell(html, result->accuracy, NUMBER_PERCENT);
    cells_empty(html, 1);
    cell(html, result->precision, NUMBER_PERCENT);
    cell(html, result->f1, NUMBER_PERCENT);
    cells_empty(html, 2);
    html_markup(html, "</tr>");
    foot(html);
    html_markup(html, "<p class=\"note\">The overall sensitivity, weighted by class shares, is the "
                      "accuracy. Balanced accuracy: ");
    html_estimate(html, result->balanced_accuracy, NUMBER_PERCENT);
    html_format(html,
                ". Images whose label for a class is unknown are left out of that class. "
                "Images without an answer: %lld.</p>\n",
                (long long)result->unanswered);
}

/* ---- instances ---- */

static void ap_cells(struct html *html, const struct ap_scores *scores)
{
    cell(html, scores->at[AP_AT_50], NUMBER_SHARE);
    cell(html, scores->at[AP_AT_75], NUMBER_SHARE);
    cell(html, scores->mean, NUMBER_SHARE);
}

void table_ap(struct html *html, const struct detection_result *result)
{
    html_markup(html,
                "<div class=\"scroll\"><table><caption>Average precision of instances, by mask "
                "overlap</caption><thead><tr class=\"of3\"><th></th><th></th>"
                "<th colspan=\"3\" scope=\"colgroup\">Per image, as in the paper</th>"
                "<th colspan=\"3\" scope=\"colgroup\">COCO, over the data set</th></tr><tr>"
                "<th scope=\"col\">Class</th><th scope=\"col\">Instances</th>"
                "<th scope=\"col\">.50</th><th scope=\"col\">.75</th><th scope=\"col\">.50:.95</th>"
                "<th scope=\"col\">.50</th><th scope=\"col\">.75</th><th scope=\"col\">.50:.95</th>"
                "</tr></thead><tbody>");
    for (int k = 1; k <= AP_CLASSES + 1; k++) {
        int c = k % (AP_CLASSES + 1); /* all classes together come last */
        int64_t truths = c > 0 ? result->truths[c - 1] : 0;
        for (int other = 0; c == 0 && other < AP_CLASSES; other++)
            truths += result->truths[other];
        row_begin(html, report_objects[c].text, c == 0);
        cell_count(html, truths);
        ap_cells(html, &result->per_image[c]);
        ap_cells(html, &result->coco[c]);
        html_markup(html, "</tr>");
    }
    foot(html);
}

void table_ap_thresholds(struct html *html, const struct detection_result *result)
{
    static const char *const names[] = {"Per image, all classes", "COCO, all classes"};
    const struct ap_scores *const shown[] = {&result->per_image[0], &result->coco[0]};
    html_markup(html, "<div class=\"scroll\"><table><caption>Average precision at each overlap "
                      "threshold</caption><thead><tr><th>IoU</th>");
    for (int t = 0; t < AP_THRESHOLDS; t++)
        html_format(html, "<th scope=\"col\">%.2f</th>", ap_threshold(t));
    html_markup(html, "</tr></thead><tbody>");
    for (int k = 0; k < 2; k++) {
        row_begin(html, names[k], false);
        for (int t = 0; t < AP_THRESHOLDS; t++) {
            html_markup(html, "<td>");
            html_value(html, shown[k]->at[t], NUMBER_SHARE);
            html_markup(html, "</td>");
        }
        html_markup(html, "</tr>");
    }
    foot(html);
}

/* ---- regions ---- */

void table_segmentation(struct html *html, const struct segmentation_result *result)
{
    static const char *const columns[] = {"Region",   "Dice, pooled", "IoU, pooled", "Mean Dice",
                                          "Mean IoU", "Images",       "Absent",      NULL};
    head(html, "Overlap of label maps", columns);
    for (int r = 0; r < REGIONS; r++) {
        const struct region_result *region = &result->regions[r];
        row_begin(html, report_regions[r].text, false);
        cell(html, region->dice, NUMBER_SHARE);
        cell(html, region->iou, NUMBER_SHARE);
        cell(html, region->mean_dice, NUMBER_SHARE);
        cell(html, region->mean_iou, NUMBER_SHARE);
        cell_count(html, region->images);
        cell_count(html, region->absent);
        html_markup(html, "</tr>");
    }
    foot(html);
    html_markup(html, "<p class=\"note\">Pooled: from the sums of pixels over the data set. Means: "
                      "over the images in which the region is annotated or predicted; the others "
                      "are counted as absent.</p>\n");
}

/* ---- sources ---- */

static void classification_sources(struct html *html, const struct eval_results *results)
{
    static const char *const columns[] = {"Source",
                                          "Images",
                                          "COVID-19 sensitivity",
                                          "COVID-19 specificity",
                                          "COVID-19 AUROC",
                                          "Accuracy",
                                          "F1",
                                          NULL};
    head(html, "Classification by source", columns);
    for (int s = 0; s < results->sources_count; s++) {
        const struct eval_source *source = &results->sources[s];
        const struct class_result *covid = &source->classification.classes[2];
        if (!source->has_classification)
            continue;
        row_begin(html, source->name, false);
        cell_count(html, source->classification.images);
        cell(html, covid->sensitivity, NUMBER_PERCENT);
        cell(html, covid->specificity, NUMBER_PERCENT);
        cell(html, covid->auroc, NUMBER_SHARE);
        cell(html, source->classification.accuracy, NUMBER_PERCENT);
        cell(html, source->classification.f1, NUMBER_PERCENT);
        html_markup(html, "</tr>");
    }
    foot(html);
}

static void segmentation_sources(struct html *html, const struct eval_results *results)
{
    static const char *const columns[] = {
        "Source",       "Images",       "Lungs Dice", "GGO Dice", "Consolidation Dice",
        "Lesions Dice", "AP per image", "AP COCO",    NULL};
    static const int regions[] = {REGION_LUNG_FIELD, REGION_GGO, REGION_CONSOLIDATION,
                                  REGION_LESIONS};
    head(html, "Segmentation by source", columns);
    for (int s = 0; s < results->sources_count; s++) {
        const struct eval_source *source = &results->sources[s];
        if (!source->has_segmentation)
            continue;
        row_begin(html, source->name, false);
        cell_count(html, source->segmentation.images);
        for (size_t r = 0; r < sizeof regions / sizeof *regions; r++)
            cell(html, source->segmentation.regions[regions[r]].dice, NUMBER_SHARE);
        cell(html, source->detection.per_image[0].mean, NUMBER_SHARE);
        cell(html, source->detection.coco[0].mean, NUMBER_SHARE);
        html_markup(html, "</tr>");
    }
    foot(html);
    html_markup(html, "<p class=\"note\">Dice pooled; lungs with their lesions; AP the mean over "
                      "thresholds .50:.95.</p>\n");
}

void table_sources(struct html *html, const struct eval_results *results)
{
    int classification = 0;
    int segmentation = 0;
    for (int s = 0; s < results->sources_count; s++) {
        classification += results->sources[s].has_classification;
        segmentation += results->sources[s].has_segmentation;
    }
    if (classification > 0)
        classification_sources(html, results);
    if (segmentation > 0)
        segmentation_sources(html, results);
}

/* ---- model ---- */

static void fact(struct html *html, const char *name, const char *value)
{
    if (!value || !value[0])
        return;
    html_markup(html, "<tr><th scope=\"row\">");
    html_text(html, name);
    html_markup(html, "</th><td>");
    html_text(html, value);
    html_markup(html, "</td></tr>");
}

static void fact_number(struct html *html, const char *name, double value, const char *unit)
{
    if (!(value > 0))
        return;
    html_markup(html, "<tr><th scope=\"row\">");
    html_text(html, name);
    html_format(html, "</th><td>%.4g&#8239;%s</td></tr>", value, unit);
}

void table_model(struct html *html, const struct eval_results *results)
{
    const struct eval_model *model = &results->model;
    const struct eval_setup *setup = &results->setup;
    html_markup(html, "<table class=\"facts\"><tbody>");
    fact(html, "Model", model->name);
    fact(html, "Version", model->version);
    fact(html, "Weight file", model->file);
    fact(html, "SHA-256", model->sha256);
    fact(html, "Backbone", model->backbone);
    fact(html, "Batch norm", model->batch_norm);
    fact_number(html, "Parameters", (double)model->parameters / 1e6, "million");
    fact_number(html, "Operations per slice", model->flops / 1e9, "GFLOP");
    fact_number(html, "Regions per slice", model->regions, "");
    fact(html, "Trained on", model->trained_on);
    fact(html, "Segmentation data", setup->segmentation_data);
    fact(html, "Classification data", setup->classification_data);
    html_format(html,
                "<tr><th scope=\"row\">Detections</th><td>label maps and AP per image: score above "
                "%.3g, at most %d a slice; COCO: score above %.3g, at most %d a slice</td></tr>",
                setup->score_threshold, setup->max_detections, setup->coco_threshold,
                setup->coco_detections);
    html_format(html, "<tr><th scope=\"row\">Intervals</th><td>%.3g&#8239;%%, bootstrap by ",
                100 * setup->bootstrap.level);
    html_text(html, setup->group && setup->group[0] ? setup->group : "image");
    html_format(html, ", percentile method, %d resamples, seed %llu</td></tr>",
                setup->bootstrap.resamples, (unsigned long long)setup->bootstrap.seed);
    html_markup(html, "</tbody></table>\n");
}
