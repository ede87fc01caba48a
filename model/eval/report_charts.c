/* One figure each: a plot from report_plot.c, or a coloured table, and its legend. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/eval/report_parts.h"

enum { SQUARE_WIDTH = 420, SQUARE_HEIGHT = 380, TRAINING_HEIGHT = 320 };

static const struct axis share_axis = {.from = 0, .to = 1};

static struct axis shares(const char *label)
{
    struct axis axis = share_axis;
    axis.label = label;
    return axis;
}

static void figure_begin(struct html *html)
{
    html_markup(html, "<figure>");
}

static void figure_end(struct html *html)
{
    html_markup(html, "</figure>\n");
}

/* ---- heat maps ---- */

/* Light to dark blue (a single hue: no meaning is lost in grey) and a text colour to match. */
static void cell_open(struct html *html, double share)
{
    static const double pale[3] = {247, 250, 253};
    static const double deep[3] = {8, 81, 143};
    double t = sqrt(share); /* small shares are the interesting ones: errors */
    html_format(html, "<td style=\"background:rgb(%.0f,%.0f,%.0f);color:%s\">",
                pale[0] + t * (deep[0] - pale[0]), pale[1] + t * (deep[1] - pale[1]),
                pale[2] + t * (deep[2] - pale[2]), t > 0.55 ? "#fff" : "#1a2430");
}

void chart_confusion(struct html *html, const struct classification_result *result)
{
    int columns = EVAL_CLASSES + (result->unanswered > 0);
    html_markup(html,
                "<figure><table class=\"heat large\"><caption>Confusion matrix: images, and share "
                "of the true class</caption><thead><tr><th></th>");
    for (int p = 0; p < columns; p++) {
        html_markup(html, "<th scope=\"col\">");
        html_text(html, p < EVAL_CLASSES ? report_image_classes[p].text : "No answer");
        html_markup(html, "</th>");
    }
    html_markup(html, "<th scope=\"col\">All</th></tr></thead><tbody>");
    for (int t = 0; t < EVAL_CLASSES; t++) {
        const int64_t *row = result->confusion[t];
        int64_t all = 0;
        for (int p = 0; p <= EVAL_CLASSES; p++)
            all += row[p];
        html_markup(html, "<tr><th scope=\"row\">");
        html_text(html, report_image_classes[t].text);
        html_markup(html, "</th>");
        for (int p = 0; p < columns; p++) {
            double share = all > 0 ? (double)row[p] / (double)all : 0;
            cell_open(html, share);
            html_format(html, "<b>%lld</b>", (long long)row[p]);
            if (all > 0)
                html_format(html, "<small>%.1f&#8239;%%</small>", 100 * share);
            html_markup(html, "</td>");
        }
        html_format(html, "<td class=\"sum\"><b>%lld</b></td></tr>", (long long)all);
    }
    html_format(html,
                "</tbody></table><figcaption>Rows: true class, columns: prediction. %lld of %lld "
                "images have a known class.</figcaption>",
                (long long)result->known, (long long)result->images);
    figure_end(html);
}

void chart_pixels(struct html *html, const struct segmentation_result *result)
{
    html_markup(html, "<figure><table class=\"heat\"><caption>Pixels: share of the true label"
                      "</caption><thead><tr><th></th>");
    for (int p = 0; p < PIXEL_LABELS; p++) {
        html_markup(html, "<th scope=\"col\">");
        html_text(html, report_pixels[p].text);
        html_markup(html, "</th>");
    }
    html_markup(html, "<th scope=\"col\">Pixels</th></tr></thead><tbody>");
    for (int t = 0; t < PIXEL_LABELS; t++) {
        const int64_t *row = result->pixels.pixels[t];
        int64_t all = 0;
        for (int p = 0; p < PIXEL_LABELS; p++)
            all += row[p];
        html_markup(html, "<tr><th scope=\"row\">");
        html_text(html, report_pixels[t].text);
        html_markup(html, "</th>");
        for (int p = 0; p < PIXEL_LABELS; p++) {
            double share = all > 0 ? (double)row[p] / (double)all : 0;
            cell_open(html, share);
            if (all > 0)
                html_format(html, "<b>%.1f&#8239;%%</b>", 100 * share);
            else
                html_markup(html, "<b>–</b>");
            html_markup(html, "</td>");
        }
        bool millions = all >= 1000000;
        html_format(html, "<td class=\"sum\"><b>%.3g%s</b></td></tr>",
                    (double)all / (millions ? 1e6 : 1e3), millions ? "M" : "k");
    }
    html_markup(html, "</tbody></table><figcaption>Rows: true label, columns: predicted label. "
                      "Where masks overlap the graver label counts.</figcaption>");
    figure_end(html);
}

/* ---- ranking ---- */

static void legend_class(struct html *html, int c, const char *what, struct estimate estimate)
{
    const struct report_name *name = &report_image_classes[c];
    legend_key(html, name->colour, name->dash);
    html_text(html, name->text);
    html_format(html, ": %s ", what);
    html_estimate(html, estimate, NUMBER_SHARE);
}

void chart_roc(struct html *html, const struct classification_result *result)
{
    struct plot plot;
    figure_begin(html);
    plot_begin(&plot, html, SQUARE_WIDTH, SQUARE_HEIGHT, "ROC", shares("1 − specificity"),
               shares("Sensitivity"));
    plot_line(&plot, (double[]){0, 1}, (double[]){0, 1}, 2, "#999", "3 4", 1, 1);
    for (int c = 0; c < EVAL_CLASSES; c++) {
        const struct curve *roc = &result->classes[c].roc;
        plot_line(&plot, roc->x, roc->y, (size_t)roc->count, report_image_classes[c].colour,
                  report_image_classes[c].dash, 2, 1);
    }
    plot_end(&plot);
    legend_begin(html);
    for (int c = 0; c < EVAL_CLASSES; c++) {
        legend_class(html, c, "AUROC", result->classes[c].auroc);
        legend_key_end(html);
    }
    legend_end(html);
    figure_end(html);
}

/* Drawn in steps: precision between two thresholds is that of the looser one. */
static void draw_steps(struct plot *plot, const struct curve *curve, const struct report_name *name)
{
    size_t count = (size_t)curve->count;
    double *x = malloc((2 * count + 1) * sizeof *x);
    double *y = malloc((2 * count + 1) * sizeof *y);
    if (!x || !y) {
        if (plot->html->rc == 0)
            plot->html->rc = error_set(plot->html->err, ERR_MEMORY, "no memory for a curve");
    } else {
        for (size_t k = 0; k < count; k++) {
            x[2 * k] = k > 0 ? curve->x[k - 1] : 0;
            x[2 * k + 1] = curve->x[k];
            y[2 * k] = y[2 * k + 1] = curve->y[k];
        }
        plot_line(plot, x, y, 2 * count, name->colour, name->dash, 2, 1);
    }
    free(y);
    free(x);
}

void chart_precision_recall(struct html *html, const struct classification_result *result)
{
    struct plot plot;
    figure_begin(html);
    plot_begin(&plot, html, SQUARE_WIDTH, SQUARE_HEIGHT, "Precision and recall",
               shares("Recall (sensitivity)"), shares("Precision"));
    for (int c = 0; c < EVAL_CLASSES; c++)
        draw_steps(&plot, &result->classes[c].precision_recall, &report_image_classes[c]);
    plot_end(&plot);
    legend_begin(html);
    for (int c = 0; c < EVAL_CLASSES; c++) {
        legend_class(html, c, "average precision", result->classes[c].average_precision);
        legend_key_end(html);
    }
    legend_end(html);
    figure_end(html);
}

static void draw_bins(struct plot *plot, const struct calibration *calibration,
                      const struct report_name *name)
{
    double x[CALIBRATION_BINS];
    double y[CALIBRATION_BINS];
    size_t count = 0;
    for (int b = 0; b < CALIBRATION_BINS; b++) {
        if (calibration->bins[b].count == 0)
            continue;
        x[count] = calibration->bins[b].probability;
        y[count++] = calibration->bins[b].frequency;
    }
    plot_line(plot, x, y, count, name->colour, name->dash, 1.6, 1);
    for (int b = 0; b < CALIBRATION_BINS; b++) {
        const struct calibration_bin *bin = &calibration->bins[b];
        double share = (double)bin->count / (double)(calibration->count ? calibration->count : 1);
        if (bin->count > 0) /* the dot's area is its share of the images */
            plot_dot(plot, bin->probability, bin->frequency, 2 + 7 * sqrt(share), name->colour,
                     false);
    }
}

void chart_calibration(struct html *html, const struct classification_result *result)
{
    struct plot plot;
    figure_begin(html);
    plot_begin(&plot, html, SQUARE_WIDTH, SQUARE_HEIGHT, "Calibration",
               shares("Predicted probability, mean of bin"),
               shares("Share of images of the class"));
    plot_line(&plot, (double[]){0, 1}, (double[]){0, 1}, 2, "#999", "3 4", 1, 1);
    for (int c = 0; c < EVAL_CLASSES; c++)
        draw_bins(&plot, &result->classes[c].calibration, &report_image_classes[c]);
    plot_end(&plot);
    legend_begin(html);
    for (int c = 0; c < EVAL_CLASSES; c++) {
        const struct calibration *calibration = &result->classes[c].calibration;
        legend_class(html, c, "Brier", result->classes[c].brier);
        if (calibration->count > 0)
            html_format(html, ", ECE %.3f", calibration->ece);
        legend_key_end(html);
    }
    legend_end(html);
    html_markup(html, "<figcaption>Ten bins; the larger a dot, the more images.</figcaption>");
    figure_end(html);
}

/* ---- average precision ---- */

static const char coco_dash[] = "7 3";

static void draw_scores(struct plot *plot, const struct ap_scores *scores, const char *colour,
                        const char *dash, bool band)
{
    double x[AP_THRESHOLDS];
    double y[AP_THRESHOLDS];
    double low[AP_THRESHOLDS];
    double high[AP_THRESHOLDS];
    if (!scores->mean.defined)
        return;
    bool intervals = true;
    for (int t = 0; t < AP_THRESHOLDS; t++) {
        x[t] = ap_threshold(t);
        y[t] = scores->at[t].value;
        low[t] = scores->at[t].low;
        high[t] = scores->at[t].high;
        intervals = intervals && scores->at[t].interval;
    }
    if (band && intervals)
        plot_band(plot, x, low, high, AP_THRESHOLDS, colour);
    plot_line(plot, x, y, AP_THRESHOLDS, colour, dash, 2, 1);
    for (int t = 0; t < AP_THRESHOLDS; t++)
        plot_dot(plot, x[t], y[t], 2.6, colour, true);
}

static void plot_begin_iou(struct plot *plot, struct html *html, const char *title)
{
    const struct axis iou = {.from = 0.5, .to = 0.95, .label = "IoU threshold"};
    plot_begin(plot, html, SQUARE_WIDTH, SQUARE_HEIGHT, title, iou, shares("Average precision"));
}

void chart_ap(struct html *html, const struct detection_result *result)
{
    static const char image_colour[] = "#0072B2";
    static const char coco_colour[] = "#D55E00";
    struct plot plot;
    figure_begin(html);
    plot_begin_iou(&plot, html, "Average precision by overlap");
    draw_scores(&plot, &result->per_image[0], image_colour, "", true);
    draw_scores(&plot, &result->coco[0], coco_colour, coco_dash, true);
    plot_end(&plot);
    legend_begin(html);
    legend_key(html, image_colour, "");
    html_markup(html, "Per image, as in the paper: ");
    html_estimate(html, result->per_image[0].mean, NUMBER_SHARE);
    legend_key_end(html);
    legend_key(html, coco_colour, coco_dash);
    html_markup(html, "COCO, over the data set: ");
    html_estimate(html, result->coco[0].mean, NUMBER_SHARE);
    legend_key_end(html);
    legend_end(html);
    html_markup(html, "<figcaption>Numbers: mean over the ten thresholds. Bands: intervals of "
                      "both.</figcaption>");
    figure_end(html);
}

void chart_ap_classes(struct html *html, const struct detection_result *result)
{
    struct plot plot;
    figure_begin(html);
    plot_begin_iou(&plot, html, "COCO average precision by class");
    for (int c = 1; c <= AP_CLASSES; c++)
        draw_scores(&plot, &result->coco[c], report_objects[c].colour, report_objects[c].dash,
                    false);
    plot_end(&plot);
    legend_begin(html);
    for (int c = 1; c <= AP_CLASSES; c++) {
        legend_key(html, report_objects[c].colour, report_objects[c].dash);
        html_text(html, report_objects[c].text);
        html_markup(html, ": ");
        html_estimate(html, result->coco[c].mean, NUMBER_SHARE);
        legend_key_end(html);
    }
    legend_end(html);
    html_markup(html, "<figcaption>Numbers: mean over the ten thresholds.</figcaption>");
    figure_end(html);
}

/* ---- overlap of regions ---- */

static void draw_whisker(struct html *html, const struct plot *plot, struct estimate estimate,
                         double y, const char *colour)
{
    if (!estimate.interval)
        return;
    double low = plot_x(plot, estimate.low);
    double high = plot_x(plot, estimate.high);
    html_format(html,
                "<path d=\"M%.1f %.1fH%.1fM%.1f %.1fv6M%.1f %.1fv6\" stroke=\"%s\" fill=\"none\" "
                "stroke-width=\"1.6\"/>",
                low, y, high, low, y - 3, high, y - 3, colour);
}

void chart_dice(struct html *html, const struct segmentation_result *result)
{
    struct plot plot;
    const struct axis rows = {.from = REGIONS, .to = 0, .label = ""};
    figure_begin(html);
    plot_begin(&plot, html, SQUARE_WIDTH, SQUARE_HEIGHT - 60, "Dice by region", shares("Dice"),
               rows);
    for (int r = 0; r < REGIONS; r++) {
        const struct region_result *region = &result->regions[r];
        const struct estimate shown[2] = {region->dice, region->mean_dice};
        for (int k = 0; k < 2; k++) {
            double row = r + 0.58 + 0.22 * k;
            draw_whisker(html, &plot, shown[k], plot_y(&plot, row), report_regions[r].colour);
            if (shown[k].defined)
                plot_dot(&plot, shown[k].value, row, 4, report_regions[r].colour, k == 0);
        }
        html_format(html, "<text class=\"row\" x=\"%.1f\" y=\"%.1f\">", plot.left + 6,
                    plot_y(&plot, r + 0.36));
        html_text(html, report_regions[r].text);
        html_markup(html, "</text>");
    }
    plot_end(&plot);
    html_markup(html, "<figcaption>Filled: pooled over all pixels. Hollow: mean over images. "
                      "Whiskers: intervals.</figcaption>");
    figure_end(html);
}

/* ---- training ---- */

static bool listed(const char *const *names, const char *name)
{
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

static bool wanted(const struct training_series *series, const char *const *names,
                   const char *const *except)
{
    return series->count > 0 && (!names || listed(names, series->name)) &&
           !listed(except, series->name);
}

bool chart_training_has(const struct training_log *log, const char *const *names,
                        const char *const *except)
{
    for (int s = 0; s < log->count; s++)
        if (wanted(&log->series[s], names, except))
            return true;
    return false;
}

enum { TRAINING_POINTS = 400 };

struct drawn_series {
    double x[TRAINING_POINTS], raw[TRAINING_POINTS], smooth[TRAINING_POINTS];
    size_t count;
};

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Above almost all of the raw values, so that one spike does not flatten the rest. */
static double usual_maximum(const double *values, size_t count)
{
    double sorted[TRAINING_POINTS];
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_doubles);
    return sorted[(count - 1) * 98 / 100];
}

void chart_training(struct html *html, const struct training_log *log, const char *title,
                    const char *const *names, const char *const *except)
{
    static const char *const colours[] = {"#0072B2", "#D55E00", "#009E73", "#A34B80",
                                          "#E69F00", "#56B4E9", "#333333", "#8C6D31"};
    struct drawn_series *drawn = calloc(TRAINING_SERIES, sizeof *drawn);
    if (!drawn) {
        if (html->rc == 0)
            html->rc = error_set(html->err, ERR_MEMORY, "no memory for training curves");
        return;
    }
    struct axis x = {.from = INFINITY, .to = -INFINITY, .label = "Iteration"};
    struct axis y = {.label = names ? "Loss" : "Value"};
    for (int s = 0; s < log->count; s++) {
        const struct training_series *series = &log->series[s];
        struct drawn_series *d = &drawn[s];
        if (!wanted(series, names, except))
            continue;
        d->count = training_series_smooth(series, d->x, d->raw, TRAINING_POINTS, 0);
        training_series_smooth(series, d->x, d->smooth, TRAINING_POINTS, d->count / 30);
        x.from = fmin(x.from, d->x[0]);
        x.to = fmax(x.to, d->x[d->count - 1]);
        y.to = fmax(y.to, 1.05 * usual_maximum(d->raw, d->count));
    }
    x.to = x.to > x.from ? x.to : x.from + 1;
    y.to = y.to > 0 ? y.to : 1;
    double step = plot_step(y.to, 6);
    y.to = ceil(y.to / step) * step;

    struct plot plot;
    figure_begin(html);
    plot_begin(&plot, html, SQUARE_WIDTH, TRAINING_HEIGHT, title, x, y);
    for (int pass = 0; pass < 2; pass++) /* the smooth lines over all raw ones */
        for (int s = 0; s < log->count; s++)
            plot_line(&plot, drawn[s].x, pass ? drawn[s].smooth : drawn[s].raw, drawn[s].count,
                      colours[s % 8], s / 8 ? "5 3" : "", pass ? 2 : 1, pass ? 1 : 0.22);
    plot_end(&plot);
    legend_begin(html);
    for (int s = 0; s < log->count; s++) {
        if (drawn[s].count == 0)
            continue;
        legend_key(html, colours[s % 8], s / 8 ? "5 3" : "");
        html_text(html, log->series[s].name);
        html_format(html, ", last %.4g", drawn[s].smooth[drawn[s].count - 1]);
        legend_key_end(html);
    }
    legend_end(html);
    figure_end(html);
    free(drawn);
}
