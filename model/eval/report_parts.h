/* What the files of the report share; not for others. */
#ifndef ONESHOT_EVAL_REPORT_PARTS_H
#define ONESHOT_EVAL_REPORT_PARTS_H

#include "model/eval/report.h"

/* ---- names (report_html.c) ---- */

struct report_name {
    const char *id;     /* in JSON */
    const char *text;   /* for people */
    const char *colour; /* of Okabe and Ito's palette, readable on white */
    const char *dash;   /* stroke-dasharray, so that black and white print tells curves apart */
};

extern const struct report_name report_image_classes[EVAL_CLASSES];
extern const struct report_name report_objects[1 + AP_CLASSES]; /* [0]: all classes together */
extern const struct report_name report_regions[REGIONS];
extern const struct report_name report_pixels[PIXEL_LABELS];

/* ---- markup (report_html.c) ---- */

/* Writes to a buffer until the first failure, which it keeps; later writes do nothing. */
struct html {
    struct buffer *out;
    struct error *err;
    int rc;
};

void html_markup(struct html *html, const char *markup); /* as it is: literals only */
void html_format(struct html *html, const char *format, ...) __attribute__((format(printf, 2, 3)));
void html_text(struct html *html, const char *text); /* escaped; NULL writes nothing */
void html_base64(struct html *html, const uint8_t *bytes, size_t length);

/*
 * Bytes of the UTF-8 character at `text`, 1..4; 0 where it is malformed, at the end of the text, or
 * a control character that neither XML nor JSON should carry.
 */
int utf8_length(const char *text);

/* How a number is shown. */
enum number_style {
    NUMBER_PERCENT, /* 95.7 % */
    NUMBER_SHARE,   /* 0.957 */
};

/* "95.7 % (93.1 to 97.4)"; a dash where undefined. */
void html_estimate(struct html *html, struct estimate estimate, enum number_style style);
void html_value(struct html *html, struct estimate estimate, enum number_style style);

/* ---- axes (report_plot.c) ---- */

struct axis {
    double from, to;
    const char *label;
    bool percent; /* ticks as percentages */
};

struct plot {
    struct html *html;
    double width, height;            /* of the picture */
    double left, top, right, bottom; /* of the frame, in the picture's units */
    struct axis x, y;
};

/* Opens the svg: title (for screen readers and as heading), frame, grid, ticks, labels. */
void plot_begin(struct plot *plot, struct html *html, double width, double height,
                const char *title, struct axis x, struct axis y);
void plot_end(struct plot *plot);

double plot_x(const struct plot *plot, double value); /* clipped to the frame */
double plot_y(const struct plot *plot, double value);

void plot_line(struct plot *plot, const double *x, const double *y, size_t count,
               const char *colour, const char *dash, double stroke, double opacity);
/* A shaded band between two lines over the same x. */
void plot_band(struct plot *plot, const double *x, const double *low, const double *high,
               size_t count, const char *colour);
void plot_dot(struct plot *plot, double x, double y, double radius, const char *colour,
              bool filled);

/* A list below a plot; the caller writes a key's text between legend_key and legend_key_end. */
void legend_begin(struct html *html);
void legend_key(struct html *html, const char *colour, const char *dash);
void legend_key_end(struct html *html);
void legend_end(struct html *html);

/* Round tick distance that gives about `wanted` of them. */
double plot_step(double span, int wanted);

/* ---- charts (report_charts.c): one figure each ---- */

void chart_confusion(struct html *html, const struct classification_result *result);
void chart_roc(struct html *html, const struct classification_result *result);
void chart_precision_recall(struct html *html, const struct classification_result *result);
void chart_calibration(struct html *html, const struct classification_result *result);
void chart_ap(struct html *html, const struct detection_result *result);
void chart_ap_classes(struct html *html, const struct detection_result *result);
void chart_dice(struct html *html, const struct segmentation_result *result);
void chart_pixels(struct html *html, const struct segmentation_result *result);
/* Losses whose names are in `names` (NULL-terminated); NULL: all that are not in `except`. */
void chart_training(struct html *html, const struct training_log *log, const char *title,
                    const char *const *names, const char *const *except);
/* True where chart_training would have a line to draw. */
bool chart_training_has(const struct training_log *log, const char *const *names,
                        const char *const *except);

/* ---- page (report_style.c, report_tables.c) ---- */

extern const char *const report_style[]; /* NULL-terminated */

void table_classification(struct html *html, const struct classification_result *result);
void table_ap(struct html *html, const struct detection_result *result);
void table_ap_thresholds(struct html *html, const struct detection_result *result);
void table_segmentation(struct html *html, const struct segmentation_result *result);
void table_sources(struct html *html, const struct eval_results *results);
void table_model(struct html *html, const struct eval_results *results);

#endif
