/* Axes, lines and legends as SVG. */
#include <math.h>

#include "model/eval/report_parts.h"

double plot_step(double span, int wanted)
{
    static const double mantissas[] = {1, 2, 2.5, 5, 10};
    if (!(span > 0))
        return 1;
    double power = pow(10, floor(log10(span / wanted)));
    for (size_t m = 0; m < sizeof mantissas / sizeof *mantissas; m++)
        if (span / (mantissas[m] * power) <= wanted)
            return mantissas[m] * power;
    return 10 * power;
}

double plot_x(const struct plot *plot, double value)
{
    double share = (value - plot->x.from) / (plot->x.to - plot->x.from);
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    return plot->left + share * (plot->right - plot->left);
}

double plot_y(const struct plot *plot, double value)
{
    double share = (value - plot->y.from) / (plot->y.to - plot->y.from);
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    return plot->bottom - share * (plot->bottom - plot->top);
}

/* Just the digits the distance between ticks needs: "0.25", "40", "3k". */
static void write_tick(struct html *html, double value, double step, bool percent)
{
    if (percent) {
        html_format(html, "%.0f&#8239;%%", 100 * value);
        return;
    }
    if (step >= 1000) {
        html_format(html, "%g%s", value / 1000, value == 0 ? "" : "k");
        return;
    }
    int digits = 0;
    for (double s = step; digits < 6 && fabs(s - round(s)) > 1e-6 * s; s *= 10)
        digits++;
    html_format(html, "%.*f", digits, value);
}

static void draw_ticks(struct plot *plot, bool horizontal)
{
    struct html *html = plot->html;
    const struct axis *axis = horizontal ? &plot->x : &plot->y;
    double length = horizontal ? plot->right - plot->left : plot->bottom - plot->top;
    double step = plot_step(axis->to - axis->from, (int)(length / 42) + 1);
    int64_t first = (int64_t)ceil(axis->from / step - 1e-9);
    int64_t last = (int64_t)floor(axis->to / step + 1e-9);
    for (int64_t k = first; k <= last; k++) {
        double value = (double)k * step;
        if (horizontal) {
            double x = plot_x(plot, value);
            html_format(html, "<path class=\"grid\" d=\"M%.1f %.1fV%.1f\"/>", x, plot->top,
                        plot->bottom);
            html_format(html, "<text class=\"tick\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">",
                        x, plot->bottom + 15);
        } else {
            double y = plot_y(plot, value);
            html_format(html, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>", plot->left, y,
                        plot->right);
            html_format(html, "<text class=\"tick\" text-anchor=\"end\" x=\"%.1f\" y=\"%.1f\">",
                        plot->left - 6, y + 3.5);
        }
        write_tick(html, value, step, axis->percent);
        html_markup(html, "</text>");
    }
}

void plot_begin(struct plot *plot, struct html *html, double width, double height,
                const char *title, struct axis x, struct axis y)
{
    *plot = (struct plot){
        .html = html,
        .width = width,
        .height = height,
        .left = 52,
        .top = 30,
        .right = width - 14,
        .bottom = height - 44,
        .x = x,
        .y = y,
    };
    html_format(html, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\"><title>", width, height);
    html_text(html, title);
    html_format(html, "</title><text class=\"title\" x=\"%.1f\" y=\"16\">", plot->left);
    html_text(html, title);
    html_markup(html, "</text>");
    draw_ticks(plot, true);
    draw_ticks(plot, false);
    html_format(html, "<text class=\"label\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">",
                (plot->left + plot->right) / 2, height - 8);
    html_text(html, x.label);
    html_format(html,
                "</text><text class=\"label\" text-anchor=\"middle\" "
                "transform=\"translate(13 %.1f) rotate(-90)\">",
                (plot->top + plot->bottom) / 2);
    html_text(html, y.label);
    html_markup(html, "</text>");
}

void plot_end(struct plot *plot)
{
    html_format(
        plot->html,
        "<rect class=\"frame\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/></svg>\n",
        plot->left, plot->top, plot->right - plot->left, plot->bottom - plot->top);
}

static void write_points(struct plot *plot, const double *x, const double *y, size_t count,
                         bool backwards)
{
    for (size_t k = 0; k < count; k++) {
        size_t at = backwards ? count - 1 - k : k;
        html_format(plot->html, "%.1f,%.1f ", plot_x(plot, x[at]), plot_y(plot, y[at]));
    }
}

static void write_dash(struct html *html, const char *dash)
{
    if (dash && dash[0])
        html_format(html, " stroke-dasharray=\"%s\"", dash);
}

void plot_line(struct plot *plot, const double *x, const double *y, size_t count,
               const char *colour, const char *dash, double stroke, double opacity)
{
    if (count == 0)
        return;
    html_format(plot->html,
                "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%.1f\" "
                "stroke-linejoin=\"round\" stroke-opacity=\"%.2f\"",
                colour, stroke, opacity);
    write_dash(plot->html, dash);
    html_markup(plot->html, " points=\"");
    write_points(plot, x, y, count, false);
    html_markup(plot->html, "\"/>");
}

void plot_band(struct plot *plot, const double *x, const double *low, const double *high,
               size_t count, const char *colour)
{
    if (count == 0)
        return;
    html_format(plot->html, "<polygon fill=\"%s\" fill-opacity=\".15\" points=\"", colour);
    write_points(plot, x, high, count, false);
    write_points(plot, x, low, count, true);
    html_markup(plot->html, "\"/>");
}

void plot_dot(struct plot *plot, double x, double y, double radius, const char *colour, bool filled)
{
    html_format(plot->html,
                "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\" stroke=\"%s\" "
                "stroke-width=\"1.6\"/>",
                plot_x(plot, x), plot_y(plot, y), radius, filled ? colour : "#fff", colour);
}

void legend_begin(struct html *html)
{
    html_markup(html, "<ul class=\"legend\">");
}

void legend_key(struct html *html, const char *colour, const char *dash)
{
    html_format(html,
                "<li><svg viewBox=\"0 0 26 10\"><path d=\"M1 5h24\" stroke=\"%s\" "
                "stroke-width=\"2.4\"",
                colour);
    write_dash(html, dash);
    html_markup(html, "/></svg>");
}

void legend_key_end(struct html *html)
{
    html_markup(html, "</li>");
}

void legend_end(struct html *html)
{
    html_markup(html, "</ul>");
}
