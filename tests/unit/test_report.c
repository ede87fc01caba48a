/*
 * model/eval: the report as JSON and HTML, and the training log it draws.
 *
 * Called with a path it also writes the sample page there, for looking at.
 */
#include <ctype.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/eval/report.h"
#include "model/eval/report_parts.h"
#include "tests/unit/eval_sample.h"
#include "tests/unit/oom.h"
#include "tests/unit/run.h"

/* ---- looking at the page ---- */

static char *write_page(const struct eval_results *results)
{
    struct error err;
    struct buffer out;
    buffer_init(&out, REPORT_MAX_BYTES);
    ck_assert_msg(report_write_html(&out, results, &err) == 0, "%s", err.text);
    return (char *)buffer_take(&out, NULL);
}

/* Every element is closed in order; attributes are quoted; no stray '<' or '&'. */
static void check_markup(const char *page)
{
    enum { DEPTH = 64, NAME = 16 };
    static const char *const empty[] = {"meta", "img", "br", "!DOCTYPE"};
    char open[DEPTH][NAME];
    int depth = 0;
    for (const char *p = page; *p; p++) {
        if (*p == '&')
            ck_assert_msg(strcspn(p, ";") <= 8, "bare ampersand: %.40s", p);
        if (*p != '<')
            continue;
        bool closing = p[1] == '/';
        const char *name = p + 1 + closing;
        char word[NAME] = {0};
        for (int k = 0; k + 1 < NAME && (isalnum((unsigned char)name[k]) || name[k] == '!'); k++)
            word[k] = name[k];
        ck_assert_msg(word[0] != 0, "no element: %.40s", p);
        const char *end = name;
        for (bool quoted = false; *end && (quoted || *end != '>'); end++) {
            quoted ^= *end == '"';
            ck_assert_msg(*end != '<', "inside a tag: %.40s", p);
        }
        ck_assert(*end == '>');
        bool single = end[-1] == '/';
        for (size_t e = 0; e < sizeof empty / sizeof *empty; e++)
            single |= strcmp(word, empty[e]) == 0;
        if (closing) {
            ck_assert_msg(depth > 0 && strcmp(open[depth - 1], word) == 0, "closes wrongly: %.40s",
                          p);
            depth--;
        } else if (!single) {
            ck_assert_int_lt(depth, DEPTH);
            memcpy(open[depth++], word, NAME);
        }
        p = end;
    }
    ck_assert_int_eq(depth, 0);
}

static int count_of(const char *page, const char *word)
{
    int count = 0;
    for (const char *p = page; (p = strstr(p, word)); p++)
        count++;
    return count;
}

START_TEST(page_is_sound_and_needs_no_network)
{
    struct sample sample;
    sample_make(&sample);
    char *page = write_page(&sample.results);
    check_markup(page);
    ck_assert_ptr_null(strstr(page, "http"));
    ck_assert_ptr_null(strstr(page, "<script"));
    ck_assert_ptr_null(strstr(page, "url("));
    ck_assert_ptr_null(strstr(page, "<link"));
    ck_assert_ptr_null(strstr(page, "nan"));
    ck_assert_ptr_null(strstr(page, "inf,"));
    ck_assert_ptr_nonnull(strstr(page, "Research use only"));
    ck_assert_ptr_nonnull(strstr(page, "oneshot-&lt;sample&gt;"));
    ck_assert_ptr_nonnull(strstr(page, "Clinic &lt;A&gt; &amp; &quot;partners&quot;"));
    ck_assert_ptr_nonnull(strstr(page, "in K\xc3\xb6ln \xe2\x82\xac.</li>"));
    ck_assert_ptr_nonnull(strstr(page, "alert(&#39;x&#39;)"));
    ck_assert_ptr_nonnull(strstr(page, "worse: \xef\xbf\xbd\xef\xbf\xbd."));
    ck_assert_ptr_null(strstr(page, "not trained"));
    ck_assert_int_eq(count_of(page, "data:image/png;base64,iVBORw0KGgo"), 2 * PICTURES);
    ck_assert_int_eq(count_of(page, "role=\"img\""),
                     8); /* three of classes, two of AP, Dice, losses */
    free(page);
    sample_free(&sample);
}
END_TEST

START_TEST(same_results_same_bytes)
{
    char *pages[2];
    for (int k = 0; k < 2; k++) {
        struct sample sample;
        sample_make(&sample);
        pages[k] = write_page(&sample.results);
        sample_free(&sample);
    }
    ck_assert(strcmp(pages[0], pages[1]) == 0);
    free(pages[0]);
    free(pages[1]);
}
END_TEST

/* Numbers on the page are those of the results. */
START_TEST(page_shows_the_figures)
{
    struct sample sample;
    sample_make(&sample);
    char *page = write_page(&sample.results);
    const struct classification_result *c = &sample.results.classification;
    char expected[80];
    snprintf(expected, sizeof expected, "AUROC %.3f", c->classes[2].auroc.value);
    ck_assert_ptr_nonnull(strstr(page, expected));
    snprintf(expected, sizeof expected, "%.1f to %.1f", 100 * c->classes[2].sensitivity.low,
             100 * c->classes[2].sensitivity.high);
    ck_assert_ptr_nonnull(strstr(page, expected));
    snprintf(expected, sizeof expected, "<b>%d</b><small>", (int)c->confusion[2][2]);
    ck_assert_ptr_nonnull(strstr(page, expected));
    snprintf(expected, sizeof expected, "%.3f <span class=\"ci\">%.3f–%.3f</span>",
             sample.results.segmentation.regions[REGION_LESIONS].dice.value,
             sample.results.segmentation.regions[REGION_LESIONS].dice.low,
             sample.results.segmentation.regions[REGION_LESIONS].dice.high);
    ck_assert_ptr_nonnull(strstr(page, expected));
    free(page);
    sample_free(&sample);
}
END_TEST

START_TEST(nothing_measured_is_still_a_page)
{
    struct eval_results none = {0};
    none.setup.bootstrap = bootstrap_defaults();
    char *page = write_page(&none);
    check_markup(page);
    ck_assert_ptr_nonnull(strstr(page, "not trained"));
    free(page);

    /* and one with sections, but no images in them */
    struct error err;
    struct ap_evaluation *evaluation;
    struct classification_input input = {0};
    ck_assert_int_eq(ap_open(&evaluation, &err), 0);
    ck_assert_int_eq(ap_measure(&none.detection, evaluation, NULL, &none.setup.bootstrap, &err), 0);
    ck_assert_int_eq(
        segmentation_measure(&none.segmentation, NULL, 0, NULL, &none.setup.bootstrap, &err), 0);
    ck_assert_int_eq(
        classification_measure(&none.classification, &input, &none.setup.bootstrap, &err), 0);
    none.has_classification = none.has_segmentation = true;
    page = write_page(&none);
    check_markup(page);
    ck_assert_ptr_null(strstr(page, "nan"));
    ck_assert_ptr_nonnull(strstr(page, "not defined on these images"));
    free(page);
    classification_free(&none.classification);
    ap_close(evaluation);
}
END_TEST

START_TEST(a_report_keeps_to_its_maximum)
{
    struct sample sample;
    struct error err;
    struct buffer out;
    sample_make(&sample);
    buffer_init(&out, 5000);
    ck_assert_int_ne(report_write_html(&out, &sample.results, &err), 0);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    buffer_free(&out);
    ck_assert_int_ne(report_write_json(&out, &sample.results, &err), 0);
    ck_assert_int_eq(err.code, ERR_TOO_LARGE);
    buffer_free(&out);
    sample_free(&sample);
}
END_TEST

/* ---- JSON ---- */

static json_t *at(json_t *root, const char *path)
{
    char key[64];
    while (root && *path) {
        size_t length = strcspn(path, "/");
        ck_assert_uint_lt(length, sizeof key);
        memcpy(key, path, length);
        key[length] = 0;
        root = isdigit((unsigned char)key[0]) ? json_array_get(root, (size_t)strtol(key, NULL, 10))
                                              : json_object_get(root, key);
        path += length + (path[length] == '/');
    }
    return root;
}

static void check_real(json_t *root, const char *path, double expected)
{
    ck_assert_msg(json_is_number(at(root, path)), "%s is no number", path);
    ck_assert_double_eq_tol(json_number_value(at(root, path)), expected,
                            1e-5 * fmax(1, fabs(expected)));
}

START_TEST(json_holds_the_figures)
{
    struct sample sample;
    struct error err;
    struct buffer out;
    sample_make(&sample);
    buffer_init(&out, REPORT_MAX_BYTES);
    ck_assert_int_eq(report_write_json(&out, &sample.results, &err), 0);
    json_t *root = json_loadb((const char *)out.bytes, out.length, 0, NULL);
    ck_assert_ptr_nonnull(root);
    const struct classification_result *c = &sample.results.classification;
    const struct detection_result *d = &sample.results.detection;
    const struct segmentation_result *s = &sample.results.segmentation;
    check_real(root, "classification/classes/covid_19/sensitivity/value",
               c->classes[2].sensitivity.value);
    check_real(root, "classification/classes/covid_19/sensitivity/low",
               c->classes[2].sensitivity.low);
    check_real(root, "classification/classes/control/auroc/high", c->classes[0].auroc.high);
    check_real(root, "classification/f1/value", c->f1.value);
    check_real(root, "classification/confusion/1/0", (double)c->confusion[1][0]);
    check_real(root, "classification/classes/control/calibration/bins/9/images",
               (double)c->classes[0].calibration.bins[9].count);
    check_real(root, "classification/classes/control/roc/0/0", 0);
    check_real(root, "detection/per_image/all/ap/value", d->per_image[0].mean.value);
    check_real(root, "detection/per_image/all/ap75/low", d->per_image[0].at[AP_AT_75].low);
    check_real(root, "detection/coco/ggo/ap50/value", d->coco[2].at[AP_AT_50].value);
    check_real(root, "detection/coco/ggo/by_threshold/9", d->coco[2].at[9].value);
    check_real(root, "detection/iou_thresholds/5", 0.75);
    check_real(root, "segmentation/regions/lesions/mean_dice/high",
               s->regions[REGION_LESIONS].mean_dice.high);
    check_real(root, "segmentation/pixels/2/2", (double)s->pixels.pixels[2][2]);
    check_real(root, "sources/0/classification/accuracy/value",
               sample.sources[0].classification.accuracy.value);
    ck_assert_ptr_null(at(root, "sources/0/detection"));
    check_real(root, "sources/1/detection/coco/all/ar100/value", d->coco_recall[0].value);
    ck_assert_str_eq(json_string_value(at(root, "sources/0/name")), source_names[0]);
    ck_assert_str_eq(json_string_value(at(root, "notes/1")),
                     "Names may hold <script>alert('x')</script> & worse: "
                     "\xef\xbf\xbd\xef\xbf\xbd.");
    ck_assert(json_is_true(at(root, "model/trained")));
    json_decref(root);
    buffer_free(&out);
    sample_free(&sample);
}
END_TEST

START_TEST(undefined_is_null)
{
    struct error err;
    struct buffer out;
    struct eval_results results = {.has_classification = true};
    results.setup.bootstrap = bootstrap_defaults();
    const int8_t labels[1][3] = {{0, 1, 0}};
    const float probabilities[1][3] = {{0.1f, 0.8f, 0.3f}};
    const int8_t predicted[1] = {1};
    struct classification_input input = {1, labels, probabilities, predicted, NULL};
    ck_assert_int_eq(
        classification_measure(&results.classification, &input, &results.setup.bootstrap, &err), 0);
    buffer_init(&out, REPORT_MAX_BYTES);
    ck_assert_int_eq(report_write_json(&out, &results, &err), 0);
    json_t *root = json_loadb((const char *)out.bytes, out.length, 0, NULL);
    ck_assert(json_is_null(at(root, "classification/classes/covid_19/auroc")));
    ck_assert(json_is_null(at(root, "classification/classes/covid_19/sensitivity")));
    ck_assert(json_is_null(at(root, "classification/accuracy/low")));
    check_real(root, "classification/accuracy/value", 1);
    ck_assert(json_is_null(at(root, "model/name")));
    ck_assert_ptr_null(at(root, "segmentation"));
    json_decref(root);
    buffer_free(&out);
    classification_free(&results.classification);
}
END_TEST

/* ---- text ---- */

START_TEST(malformed_utf8_is_found)
{
    static const struct {
        const char *text;
        int length;
    } cases[] = {
        {"a", 1},
        {"\xc3\xa4", 2},
        {"\xe2\x82\xac", 3},
        {"\xf0\x9f\xa6\xa0", 4},
        {"", 0},
        {"\n", 0},
        {"\x7f", 0},
        {"\x80", 0},
        {"\xc3", 0},
        {"\xc0\xaf", 0},
        {"\xe2\x82", 0},
        {"\xe0\x80\xaf", 0},
        {"\xed\xa0\x80", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf5\x80\x80\x80", 0},
        {"\xf0\x80\x80\xaf", 0},
        {"\xc2\x85", 0},
        {"\xff", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_msg(utf8_length(cases[i].text) == cases[i].length, "case %zu", i);
}
END_TEST

START_TEST(base64_of_every_remainder)
{
    static const struct {
        const char *bytes, *expected;
    } cases[] = {{"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
                 {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer out;
        struct error err;
        buffer_init(&out, 100);
        struct html html = {.out = &out, .err = &err};
        html_base64(&html, (const uint8_t *)cases[i].bytes, strlen(cases[i].bytes));
        ck_assert_int_eq(html.rc, 0);
        ck_assert_str_eq(out.bytes ? (const char *)out.bytes : "", cases[i].expected);
        buffer_free(&out);
    }
}
END_TEST

START_TEST(ticks_are_round)
{
    ck_assert_double_eq_tol(plot_step(1, 6), 0.2, 1e-12);
    ck_assert_double_eq_tol(plot_step(0.45, 8), 0.1, 1e-12);
    ck_assert_double_eq_tol(plot_step(5000, 6), 1000, 1e-9);
    ck_assert_double_eq_tol(plot_step(3.3, 6), 1, 1e-12);
    ck_assert_double_eq(plot_step(0, 6), 1);
}
END_TEST

/* ---- failing memory ---- */

static int write_all(struct buffer *out, const struct eval_results *results, struct error *err)
{
    buffer_init(out, REPORT_MAX_BYTES);
    int rc = report_write_html(out, results, err);
    return rc == 0 ? report_write_json(out, results, err) : rc;
}

START_TEST(allocations_of_a_report_may_fail)
{
    struct sample sample;
    struct error err;
    struct buffer whole;
    sample_make(&sample);
    /* Curves make thousands of JSON numbers; a few points walk the same paths. */
    for (int c = 0; c < 3; c++) {
        sample.results.classification.classes[c].roc.count = 2;
        sample.results.classification.classes[c].precision_recall.count = 2;
    }
    ck_assert_int_eq(write_all(&whole, &sample.results, &err), 0);
    /* all of the first, then a sample of thousands alike */
    struct oom_walk walk = {
        .err = &err, .more_than = 150, .growing = 64, .json = true, .spares = true};
    while (oom_next(&walk)) {
        struct buffer out;
        int rc = write_all(&out, &sample.results, &err);
        bool same = out.length == whole.length && memcmp(out.bytes, whole.bytes, out.length) == 0;
        buffer_free(&out);
        oom_judge(&walk, rc);
        ck_assert(same == (rc == 0));
    }
    buffer_free(&whole);
    sample_free(&sample);
}
END_TEST

START_TEST(every_allocation_of_a_measure_may_fail)
{
    const int8_t labels[4][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {-1, -1, 0}};
    const float probabilities[4][3] = {{0.5f, 0, 0}, {0.2f, 0.4f, 0.1f}, {0, 0, 0.3f}, {0, 0, 0}};
    const int8_t predicted[4] = {0, 1, 1, 2};
    const uint8_t map[4] = {0, 1, 2, 3};
    struct classification_input input = {4, labels, probabilities, predicted, NULL};
    struct bootstrap_options options = {.seed = 1, .resamples = 3, .level = 0.9};
    struct error err;
    struct oom_walk walk = {.err = &err, .more_than = 25, .spares = true};
    while (oom_next(&walk)) {
        struct classification_result classification;
        struct detection_result detection;
        struct ap_evaluation *evaluation = NULL;
        struct bitmask mask = {0};
        struct ap_image image;
        struct training_log log = {0};
        int rc = classification_measure(&classification, &input, &options, &err);
        if (rc == 0)
            rc = bitmask_pack(&mask, map, 2, 2, &err);
        const struct ap_truth truth = {1, &mask};
        const struct ap_prediction prediction = {1, 0.5f, &mask};
        if (rc == 0)
            rc = ap_match(&image, &truth, 1, &prediction, 1, &err);
        if (rc == 0)
            rc = ap_open(&evaluation, &err);
        for (int i = 0; rc == 0 && i < 200; i++)
            rc = ap_add(evaluation, &image, &err);
        if (rc == 0)
            rc = ap_measure(&detection, evaluation, NULL, &options, &err);
        for (int i = 0; rc == 0 && i < 600; i++)
            rc = training_log_add(&log, "loss", i, 1, &err);
        double accuracy = rc == 0 ? classification.accuracy.value : 0;
        bitmask_free(&mask);
        ap_close(evaluation);
        training_log_free(&log);
        classification_free(&classification);
        oom_judge(&walk, rc);
        if (rc == 0) {
            ck_assert_double_eq(accuracy, 2.0 / 3);
            ck_assert_double_eq_tol(detection.coco[1].mean.value, 1, 1e-12);
        }
    }
}
END_TEST

static const char *sample_path;

START_TEST(write_sample)
{
    struct sample sample;
    sample_make(&sample);
    char *page = write_page(&sample.results);
    FILE *file = fopen(sample_path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(page, 1, strlen(page), file), strlen(page));
    ck_assert_int_eq(fclose(file), 0);
    free(page);
    sample_free(&sample);
}
END_TEST

int main(int argc, char **argv)
{
    TCase *tc = test_case("report");
    if (argc > 1) {
        sample_path = argv[1];
        tcase_add_test(tc, write_sample);
    }
    tcase_add_test(tc, page_is_sound_and_needs_no_network);
    tcase_add_test(tc, same_results_same_bytes);
    tcase_add_test(tc, page_shows_the_figures);
    tcase_add_test(tc, nothing_measured_is_still_a_page);
    tcase_add_test(tc, a_report_keeps_to_its_maximum);
    tcase_add_test(tc, json_holds_the_figures);
    tcase_add_test(tc, undefined_is_null);
    tcase_add_test(tc, malformed_utf8_is_found);
    tcase_add_test(tc, base64_of_every_remainder);
    tcase_add_test(tc, ticks_are_round);
    tcase_add_test(tc, allocations_of_a_report_may_fail);
    tcase_add_test(tc, every_allocation_of_a_measure_may_fail);
    return run_case("report", tc);
}
