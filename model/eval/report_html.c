#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "model/eval/report_parts.h"

/* ---- names ---- */

const struct report_name report_image_classes[EVAL_CLASSES] = {
    {"control", "Control", "#0072B2", "6 3"},
    {"common_pneumonia", "Common pneumonia", "#009E73", "2 2.5"},
    {"covid_19", "COVID-19", "#D55E00", ""},
};

const struct report_name report_objects[1 + AP_CLASSES] = {
    {"all", "All classes", "#333333", ""},
    {"lungs", "Lungs", "#0072B2", "6 3"},
    {"ggo", "Ground glass opacity", "#E69F00", ""},
    {"consolidation", "Consolidation", "#D55E00", "2 2.5"},
};

const struct report_name report_regions[REGIONS] = {
    [REGION_LUNGS] = {"lungs", "Lungs without lesions", "#0072B2", ""},
    [REGION_GGO] = {"ggo", "Ground glass opacity", "#E69F00", ""},
    [REGION_CONSOLIDATION] = {"consolidation", "Consolidation", "#D55E00", ""},
    [REGION_LESIONS] = {"lesions", "Lesions, both kinds", "#A34B80", ""},
    [REGION_LUNG_FIELD] = {"lung_field", "Lungs with lesions", "#009E73", ""},
};

/* Long words with soft hyphens: these head narrow columns. */
const struct report_name report_pixels[PIXEL_LABELS] = {
    {"background", "Back\xc2\xadground", "#333333", ""},
    {"lungs", "Lungs", "#0072B2", ""},
    {"ggo", "GGO", "#E69F00", ""},
    {"consolidation",
     "Consoli\xc2\xad"
     "dation",
     "#D55E00", ""},
};

/* ---- markup ---- */

void html_markup(struct html *html, const char *markup)
{
    if (html->rc == 0)
        html->rc = buffer_append(html->out, markup, strlen(markup), html->err);
}

void html_format(struct html *html, const char *format, ...)
{
    char text[512]; /* numbers and short literals; longer text goes through html_text */
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (html->rc != 0)
        return;
    if (length < 0 || (size_t)length >= sizeof text)
        html->rc = error_set(html->err, ERR_INTERNAL, "a line of the report is too long");
    else
        html->rc = buffer_append(html->out, text, (size_t)length, html->err);
}

int utf8_length(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80)
        return s[0] >= 0x20 && s[0] != 0x7f;
    int length = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    for (int i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool surrogate = s[0] == 0xed && s[1] > 0x9f;
    bool beyond = s[0] == 0xf4 && s[1] > 0x8f;
    bool control = s[0] == 0xc2 && s[1] < 0xa0;
    return overlong || surrogate || beyond || control ? 0 : length;
}

void html_text(struct html *html, const char *text)
{
    static const struct {
        char character;
        const char *entity;
    } entities[] = {
        {'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"},
    };
    if (!text)
        return;
    while (*text && html->rc == 0) {
        const char *entity = NULL;
        for (size_t e = 0; e < sizeof entities / sizeof *entities; e++)
            if (*text == entities[e].character)
                entity = entities[e].entity;
        int length = utf8_length(text);
        if (entity)
            html_markup(html, entity);
        else if (length > 0)
            html->rc = buffer_append(html->out, text, (size_t)length, html->err);
        else
            html_markup(html, "\xef\xbf\xbd"); /* the replacement character */
        text += length > 0 ? length : 1;
    }
}

void html_base64(struct html *html, const uint8_t *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < length && html->rc == 0; i += 3) {
        size_t left = length - i;
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)bytes[i + 2] : 0;
        const char four[4] = {
            digits[group >> 18],
            digits[group >> 12 & 63],
            left > 1 ? digits[group >> 6 & 63] : '=',
            left > 2 ? digits[group & 63] : '=',
        };
        html->rc = buffer_append(html->out, four, sizeof four, html->err);
    }
}

/* ---- numbers ---- */

void html_value(struct html *html, struct estimate estimate, enum number_style style)
{
    if (!estimate.defined)
        html_markup(html, "<span class=\"none\" title=\"not defined on these images\">–</span>");
    else if (style == NUMBER_PERCENT)
        html_format(html, "%.1f&#8239;%%", 100 * estimate.value);
    else
        html_format(html, "%.3f", estimate.value);
}

void html_estimate(struct html *html, struct estimate estimate, enum number_style style)
{
    html_value(html, estimate, style);
    if (!estimate.interval)
        return;
    if (style == NUMBER_PERCENT)
        html_format(html, " <span class=\"ci\">%.1f–%.1f</span>", 100 * estimate.low,
                    100 * estimate.high);
    else
        html_format(html, " <span class=\"ci\">%.3f–%.3f</span>", estimate.low, estimate.high);
}
