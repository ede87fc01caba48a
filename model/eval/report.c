/* The page from top to bottom. */
#include "model/eval/report.h"

#include <stdio.h>

#include "model/eval/report_parts.h"

static bool known(const char *text)
{
    return text && text[0];
}

/* ---- top: what it is, what it is not ---- */

static void write_header(struct html *html, const struct eval_results *results)
{
    const struct eval_model *model = &results->model;
    html_markup(html, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                      "<title>Evaluation of ");
    html_text(html, model->name);
    html_markup(html, "</title>\n");
    for (const char *const *line = report_style; *line; line++)
        html_markup(html, *line);
    html_markup(html, "</head><body>\n<h1>Evaluation of ");
    html_text(html, known(model->name) ? model->name : "a model");
    html_markup(html, "</h1>\n<p class=\"sub\">One shot classification and lesion segmentation of "
                      "chest CT slices");
    if (known(model->sha256)) {
        html_markup(html, " · weights ");
        char start[13];
        snprintf(start, sizeof start, "%s", model->sha256);
        html_text(html, start);
        html_markup(html, "…");
    }
    html_markup(html, "</p>\n<p class=\"use\"><b>Research use only.</b> Not a medical device: "
                      "nothing here supports a diagnosis.</p>\n");
    if (!model->trained)
        html_markup(html,
                    "<p class=\"use alarm\"><b>This model is not trained.</b> Its weights are "
                    "seeded random numbers; every figure below is noise.</p>\n");
    if (results->notes_count > 0) {
        html_markup(html, "<ul class=\"notes\">");
        for (int i = 0; i < results->notes_count; i++) {
            html_markup(html, "<li>");
            html_text(html, results->notes[i]);
            html_markup(html, "</li>");
        }
        html_markup(html, "</ul>\n");
    }
}

/* ---- headline ---- */

static void card(struct html *html, const char *name, struct estimate estimate,
                 enum number_style style, int64_t count, const char *what)
{
    html_markup(html, "<div class=\"card\"><h3>");
    html_text(html, name);
    html_markup(html, "</h3><div class=\"big\">");
    html_value(html, estimate, style);
    html_markup(html, "</div><span class=\"ci\">");
    if (estimate.interval) {
        double scale = style == NUMBER_PERCENT ? 100 : 1;
        int digits = style == NUMBER_PERCENT ? 1 : 3;
        html_format(html, "%.*f to %.*f", digits, scale * estimate.low, digits,
                    scale * estimate.high);
    } else {
        html_markup(html, "no interval");
    }
    html_format(html, "</span><span class=\"of\">%lld ", (long long)count);
    html_text(html, what);
    html_markup(html, "</span></div>");
}

static void write_cards(struct html *html, const struct eval_results *results)
{
    html_markup(html, "<div class=\"cards\">");
    if (results->has_classification) {
        const struct classification_result *c = &results->classification;
        const struct class_result *covid = &c->classes[2];
        card(html, "COVID-19 sensitivity", covid->sensitivity, NUMBER_PERCENT, covid->positives,
             "COVID-19 images");
        card(html, "COVID-19 AUROC", covid->auroc, NUMBER_SHARE,
             covid->positives + covid->negatives, "images");
        card(html, "Class-adjusted F1", c->f1, NUMBER_PERCENT, c->known, "images of known class");
        card(html, "Accuracy", c->accuracy, NUMBER_PERCENT, c->known, "images of known class");
    }
    if (results->has_segmentation) {
        const struct detection_result *d = &results->detection;
        const struct region_result *r = results->segmentation.regions;
        int64_t instances = d->truths[0] + d->truths[1] + d->truths[2];
        card(html, "AP .50:.95, per image", d->per_image[0].mean, NUMBER_SHARE, d->images,
             "images");
        card(html, "AP .50:.95, COCO", d->coco[0].mean, NUMBER_SHARE, instances, "instances");
        card(html, "Lesions Dice, pooled", r[REGION_LESIONS].dice, NUMBER_SHARE,
             r[REGION_LESIONS].images, "images with lesions");
        card(html, "Lungs Dice, pooled", r[REGION_LUNG_FIELD].dice, NUMBER_SHARE,
             r[REGION_LUNG_FIELD].images, "images with lungs");
    }
    html_markup(html, "</div>\n");
}

/* ---- sections ---- */

static void write_classification(struct html *html, const struct classification_result *result)
{
    html_markup(html, "<h2>Classification of slices</h2>\n");
    table_classification(html, result);
    html_markup(html, "<div class=\"two\">\n");
    chart_confusion(html, result);
    chart_calibration(html, result);
    chart_roc(html, result);
    chart_precision_recall(html, result);
    html_markup(html, "</div>\n");
}

static void write_detection(struct html *html, const struct detection_result *result)
{
    html_markup(html, "<h2>Instances of lungs and lesions</h2>\n");
    table_ap(html, result);
    html_markup(html, "<div class=\"two\">\n");
    chart_ap(html, result);
    chart_ap_classes(html, result);
    html_markup(html, "</div>\n");
    table_ap_thresholds(html, result);
    html_markup(html, "<p class=\"note\">The two definitions differ and must not be compared with "
                      "each other. COCO's recall at 100 predictions, mean over thresholds: ");
    html_estimate(html, result->coco_recall[0], NUMBER_SHARE);
    html_markup(html, ".</p>\n");
}

static void write_segmentation(struct html *html, const struct segmentation_result *result)
{
    html_markup(html, "<h2>Label maps</h2>\n");
    table_segmentation(html, result);
    html_markup(html, "<div class=\"two\">\n");
    chart_dice(html, result);
    chart_pixels(html, result);
    html_markup(html, "</div>\n");
}

static void write_training(struct html *html, const struct training_log *log)
{
    static const char *const totals[] = {"loss", "loss_seg", "loss_cls", NULL};
    if (!chart_training_has(log, NULL, NULL))
        return;
    html_markup(html, "<h2>Training</h2>\n<div class=\"two\">\n");
    if (chart_training_has(log, totals, NULL))
        chart_training(html, log, "Losses of the two steps", totals, NULL);
    if (chart_training_has(log, NULL, totals))
        chart_training(html, log, "Their parts, and other curves of the log", NULL, totals);
    html_markup(html, "</div><p class=\"note\">Faint: means of equal spans of the log. Strong: "
                      "their moving average.");
    if (log->skipped > 0)
        html_format(html, " %lld of %lld lines could not be read.", (long long)log->skipped,
                    (long long)log->lines);
    html_markup(html, "</p>\n");
}

static void write_gallery(struct html *html, const char *title, const struct eval_picture *pictures,
                          int count)
{
    if (count == 0)
        return;
    html_markup(html, "<h3>");
    html_text(html, title);
    html_markup(html, "</h3><div class=\"gallery\">");
    for (int i = 0; i < count; i++) {
        html_markup(html, "<figure><img alt=\"");
        html_text(html, pictures[i].title);
        html_markup(html, "\" src=\"data:image/png;base64,");
        html_base64(html, pictures[i].png, pictures[i].length);
        html_markup(html, "\"><figcaption><b>");
        html_text(html, pictures[i].caption);
        html_markup(html, "</b><br>");
        html_text(html, pictures[i].title);
        html_markup(html, "</figcaption></figure>\n");
    }
    html_markup(html, "</div>\n");
}

static void write_methods(struct html *html, const struct eval_results *results)
{
    html_markup(html, "<h2>Model and methods</h2>\n");
    table_model(html, results);
    html_markup(
        html,
        "<dl class=\"note\">"
        "<dt>Sensitivity, precision, F1</dt><dd>TP / (TP + FN), TP / (TP + FP), and "
        "F1 = 2 Σ w(c) Sens(c) Prec(c) / (Sens(c) + Prec(c)), w(c) being the share of class c "
        "among "
        "the images. The decision is the class of the largest logit.</dd>"
        "<dt>AUROC</dt><dd>Mann and Whitney: the share of pairs of an image of the class and "
        "another in which the former has the higher probability; ties count one half.</dd>"
        "<dt>Average precision per image</dt><dd>As in the paper: all predictions of an image are "
        "ranked by score, each true instance takes the best overlapping prediction of its class "
        "above the threshold, precision is made monotone, and the area over recall is averaged "
        "over "
        "images. Classes alone: over the images that have the class in truth or prediction.</dd>"
        "<dt>Average precision, COCO</dt><dd>One ranking over the data set and class, at most 100 "
        "predictions an image, greedy matching, precision at 101 recalls, mean over classes.</dd>"
        "<dt>Dice, IoU</dt><dd>2 |A∩B| / (|A| + |B|) and |A∩B| / |A∪B| of label maps in which each "
        "pixel has one label.</dd>"
        "<dt>Intervals</dt><dd>Percentiles of a statistic over samples of the images (or "
        "whole groups of them) drawn with replacement; none where a figure rests on a single "
        "group. "
        "Where every image is right, or wrong, they have no width: mind the number of images. They "
        "speak of other images of the same "
        "sources, not of other hospitals or scanners.</dd>"
        "</dl>\n");
    html_markup(html, "<footer>OneShot CT " ONESHOT_VERSION ". Architecture: A. Ter-Sarkisov, One "
                      "Shot Model For COVID-19 Classification and Lesions Segmentation In Chest CT "
                      "Scans Using LSTM With Attention Mechanism, 2021. Research use only.</footer>"
                      "\n</body></html>\n");
}

int report_write_html(struct buffer *out, const struct eval_results *results, struct error *err)
{
    struct html html = {.out = out, .err = err};
    write_header(&html, results);
    write_cards(&html, results);
    if (results->has_classification)
        write_classification(&html, &results->classification);
    if (results->has_segmentation) {
        write_detection(&html, &results->detection);
        write_segmentation(&html, &results->segmentation);
    }
    if (results->best_count > 0 || results->worst_count > 0) {
        html_markup(&html, "<h2>Examples</h2>\n");
        write_gallery(&html, "Best", results->best, results->best_count);
        write_gallery(&html, "Worst", results->worst, results->worst_count);
        html_markup(&html, "<p class=\"note\">");
        html_text(&html, results->pictures_note);
        html_markup(&html, "</p>\n");
    }
    if (results->sources_count > 0) {
        html_markup(&html, "<h2>By source</h2>\n");
        table_sources(&html, results);
    }
    if (results->log)
        write_training(&html, results->log);
    write_methods(&html, results);
    return html.rc;
}
