/* api/json: documents read back, numbers that must not be there, memory that runs out. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "api/json.h"
#include "tests/unit/findings.h"
#include "tests/unit/oom.h"
#include "tests/unit/rle_reader.h"
#include "tests/unit/run.h"

static struct slice_options options;

/* The document of a slice. */
static int write_slice(char **text, size_t *length, struct findings *f, struct error *err)
{
    struct results *results = NULL;
    int rc;
    *text = NULL;
    TRY(results_new(&results, "an-id", err));
    TRY(results_add_slice(results, &f->slice, &f->worker, &options, err));
    TRY(results_write(text, length, results, true, err));
done:
    results_free(results);
    return rc;
}

/* The same, parsed; NULL and err where it could not be written. */
static json_t *document(struct findings *f, struct error *err)
{
    char *text;
    size_t length;
    json_t *root = NULL;
    if (write_slice(&text, &length, f, err) == 0) {
        ck_assert_uint_eq(strlen(text), length);
        ck_assert_ptr_null(strstr(text, "nan"));
        root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_ptr_nonnull(root);
    }
    free(text);
    return root;
}

static const char *text_at(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    ck_assert_msg(text != NULL, "%s is not a string", name);
    return text;
}

static double number_at(json_t *object, const char *name)
{
    json_t *value = json_object_get(object, name);
    ck_assert_msg(json_is_number(value), "%s is not a number", name);
    return json_number_value(value);
}

START_TEST(a_slice)
{
    struct findings f;
    struct error err;
    findings_make(&f, 96, 64, 4);
    options_default(&options);
    json_t *root = document(&f, &err);
    ck_assert_ptr_nonnull(root);
    ck_assert_str_eq(text_at(root, "request_id"), "an-id");
    ck_assert(json_is_true(json_object_get(json_object_get(root, "model"), "trained")));
    json_t *classification = json_object_get(root, "classification");
    ck_assert_str_eq(text_at(classification, "predicted"), "covid_19");
    json_t *class = json_array_get(json_object_get(classification, "classes"), 1);
    ck_assert_double_eq(number_at(class, "logit"), -0.234568);
    ck_assert_double_eq(number_at(class, "probability"), 0.373457);
    ck_assert_ptr_null(json_object_get(json_object_get(root, "input"), "file"));

    uint8_t plane[96 * 64];
    json_t *one;
    size_t i;
    json_array_foreach(json_object_get(root, "detections"), i, one)
    {
        struct mask_window window;
        const struct detection *d = &f.worker.prediction->detections[i];
        int64_t area = detection_paste(d, 96, 64, f.worker.plane, &window);
        ck_assert_int_eq((int64_t)number_at(one, "area_px"), area);
        ck_assert_str_eq(text_at(one, "class"), model_object_class_name(d->label));
        ck_assert(rle_read(plane, 96, 64, text_at(json_object_get(one, "segmentation"), "counts")));
        for (int y = window.y0; y < window.y1; y++)
            ck_assert_mem_eq(plane + y * 96 + window.x0, f.worker.plane + y * 96 + window.x0,
                             (size_t)(window.x1 - window.x0));
    }
    ck_assert_uint_eq(i, 4);
    json_t *rois = json_object_get(json_object_get(root, "explanation"), "rois");
    ck_assert_uint_eq(json_array_size(rois), 16);
    json_t *box = json_object_get(json_array_get(rois, 0), "bbox_xywh");
    ck_assert_double_eq(json_number_value(json_array_get(box, 2)), 2.14);
    ck_assert(json_is_true(json_object_get(json_array_get(rois, 15), "padded")));
    json_decref(root);
    findings_free(&f);
}
END_TEST

START_TEST(every_mask_format)
{
    struct findings f;
    struct error err;
    findings_make(&f, 96, 64, 4);
    for (int format = MASKS_RLE; format <= MASKS_NONE; format++) {
        options_default(&options);
        options.masks = (enum mask_format)format;
        options.explain = false;
        json_t *root = document(&f, &err);
        json_t *one = json_array_get(json_object_get(root, "detections"), 2);
        json_t *mask = json_object_get(one, "segmentation");
        ck_assert_ptr_null(json_object_get(root, "explanation"));
        if (format == MASKS_POLYGON)
            ck_assert_uint_ge(json_array_size(json_array_get(mask, 0)), 6);
        else if (format == MASKS_PNG)
            ck_assert_int_eq(strncmp(text_at(mask, "png_base64"), "iVBORw0KGgo", 11), 0);
        else
            ck_assert((mask != NULL) == (format == MASKS_RLE));
        json_decref(root);
    }
    findings_free(&f);
}
END_TEST

START_TEST(burden_counts_each_pixel_once)
{
    struct findings f;
    struct error err;
    findings_make(&f, 96, 64, 8);
    options_default(&options);
    json_t *root = document(&f, &err);
    json_t *burden = json_object_get(root, "burden");
    /* The slow way: one label plane per class. */
    long lung = 0, ggo = 0, consolidation = 0, affected = 0;
    uint8_t cover[96 * 64] = {0};
    for (int i = 0; i < 8; i++) {
        struct mask_window w;
        detection_paste(&f.worker.prediction->detections[i], 96, 64, f.worker.plane, &w);
        for (int y = w.y0; y < w.y1; y++)
            for (int x = w.x0; x < w.x1; x++)
                if (f.worker.plane[y * 96 + x])
                    cover[y * 96 + x] |= (uint8_t)(1 << f.worker.prediction->detections[i].label);
    }
    for (int i = 0; i < 96 * 64; i++) {
        lung += (cover[i] & 2) != 0;
        ggo += (cover[i] & 4) != 0;
        consolidation += (cover[i] & 8) != 0;
        affected += (cover[i] & 2) && (cover[i] & 12);
    }
    ck_assert_int_gt(affected, 0);
    ck_assert_int_eq((long)number_at(burden, "lung_px"), lung);
    ck_assert_int_eq((long)number_at(burden, "ggo_px"), ggo);
    ck_assert_int_eq((long)number_at(burden, "consolidation_px"), consolidation);
    ck_assert_int_eq((long)number_at(burden, "affected_px"), affected);
    ck_assert_double_eq_tol(number_at(burden, "affected_pct"),
                            100.0 * (double)affected / (double)lung, 0.005);
    json_decref(root);
    findings_free(&f);
}
END_TEST

START_TEST(nothing_found)
{
    struct findings f;
    struct error err;
    findings_make(&f, 20, 10, 0);
    f.worker.prediction->classified = false;
    f.worker.prediction->regions_count = f.worker.prediction->unique_regions = 0;
    options_default(&options);
    json_t *root = document(&f, &err);
    json_t *classification = json_object_get(root, "classification");
    ck_assert(json_is_null(json_object_get(classification, "predicted")));
    ck_assert_uint_eq(json_array_size(json_object_get(classification, "classes")), 0);
    ck_assert(json_is_null(json_object_get(json_object_get(root, "burden"), "affected_pct")));
    json_t *warning = json_array_get(json_object_get(root, "warnings"), 0);
    ck_assert_str_eq(text_at(warning, "code"), "not_chest_like");
    json_decref(root);
    findings_free(&f);
}
END_TEST

START_TEST(numbers_that_are_none)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    options_default(&options);
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        for (int place = 0; place < 6; place++) {
            struct findings f;
            struct error err = {0};
            findings_make(&f, 20, 10, 2);
            struct prediction *p = f.worker.prediction;
            float *const places[] = {&p->logits[1],           &p->probabilities[2],
                                     &p->detections[1].score, &p->detections[0].box.x1,
                                     &p->regions[3].score,    &p->regions[15].attention_against};
            *places[place] = bad[k];
            ck_assert_ptr_null(document(&f, &err));
            ck_assert_int_eq(err.code, ERR_INTERNAL);
            findings_free(&f);
        }
}
END_TEST

START_TEST(extreme_numbers_keep_six_digits)
{
    static const float values[] = {0,       -0.0f,      1e-38f,      1.17549e-40f,
                                   3.4e38f, 0.9999999f, 123456789.0f};
    options_default(&options);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct findings f;
        struct error err;
        findings_make(&f, 20, 10, 1);
        f.worker.prediction->logits[0] = values[i];
        json_t *root = document(&f, &err);
        ck_assert_ptr_nonnull(root);
        json_t *classes = json_object_get(json_object_get(root, "classification"), "classes");
        double got = number_at(json_array_get(classes, 0), "logit");
        ck_assert_double_le(fabs(got - values[i]), 5e-6 * fabs(values[i]) + 1e-37);
        json_decref(root);
        findings_free(&f);
    }
}
END_TEST

START_TEST(several_results_and_names_from_outside)
{
    struct findings f;
    struct error err;
    struct results *results;
    struct problem problem;
    char *text;
    size_t length;
    findings_make(&f, 20, 10, 1);
    strncpy(f.slice.file, "caf\xe9\"\\\n.png", sizeof f.slice.file - 1);
    options_default(&options);
    ck_assert_int_eq(results_new(&results, "id", &err), 0);
    ck_assert_int_eq(results_add_slice(results, &f.slice, &f.worker, &options, &err), 0);
    problem_set(&problem, PROBLEM_BAD_PNG, "torn");
    ck_assert_int_eq(results_add_problem(results, "", &problem, &err), 0);
    ck_assert_int_eq(results_write(&text, &length, results, false, &err), 0);
    json_t *root = json_loads(text, 0, NULL);
    json_t *all = json_object_get(root, "results");
    ck_assert_uint_eq(json_array_size(all), 2);
    ck_assert_str_eq(text_at(json_object_get(json_array_get(all, 0), "input"), "file"),
                     "caf?\"\\\n.png");
    json_t *failure = json_object_get(json_array_get(all, 1), "error");
    ck_assert_str_eq(text_at(failure, "code"), "bad_png");
    ck_assert_ptr_null(json_object_get(failure, "request_id"));
    json_decref(root);
    free(text);
    results_free(results);
    findings_free(&f);
}
END_TEST

START_TEST(problems)
{
    struct error err;
    for (int kind = PROBLEM_NONE + 1; kind < PROBLEM_KINDS; kind++) {
        struct problem problem;
        char *text;
        size_t length;
        problem_set(&problem, (enum problem_kind)kind, "detail %d", kind);
        ck_assert_int_eq(json_problem(&text, &length, &problem, "an-id", &err), 0);
        json_t *root = json_loads(text, 0, NULL);
        ck_assert_int_eq((int)number_at(root, "status"), problem_status((enum problem_kind)kind));
        ck_assert_str_eq(text_at(root, "code"), problem_code((enum problem_kind)kind));
        ck_assert_str_eq(text_at(root, "request_id"), "an-id");
        ck_assert_uint_gt(strlen(text_at(root, "title")), 3);
        json_decref(root);
        free(text);
    }
}
END_TEST

START_TEST(errors_of_the_model_become_problems)
{
    static const struct {
        enum error_code error;
        int status;
    } cases[] = {
        {ERR_BAD_PNG, 422},  {ERR_CONSTANT_IMAGE, 422}, {ERR_TOO_LARGE, 413},
        {ERR_ARGUMENT, 422}, {ERR_INTERNAL, 500},       {ERR_MEMORY, 500},
        {ERR_IO, 500},       {ERR_UNSUPPORTED, 415},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error err;
        struct problem problem;
        error_set(&err, cases[i].error, "the secret %zu", i);
        ck_assert_int_eq(problem_from_error(&problem, &err), -1);
        ck_assert_int_eq(problem_status(problem.kind), cases[i].status);
        /* What went wrong inside stays inside. */
        ck_assert_int_eq(strstr(problem.detail, "secret") == NULL, cases[i].status == 500);
    }
}
END_TEST

START_TEST(memory_that_runs_out)
{
    struct findings f;
    struct error err;
    findings_make(&f, 48, 32, 4);
    options_default(&options);
    for (int format = MASKS_RLE; format <= MASKS_NONE; format++) {
        options.masks = (enum mask_format)format;
        char *whole;
        size_t length;
        f.slice.warnings_count = 0;
        ck_assert_int_eq(write_slice(&whole, &length, &f, &err), 0);
        size_t alike = (size_t)(strstr(whole, "\"timing_ms\"") - whole);
        struct oom_walk walk = {.err = &err, .more_than = 50, .json = true, .spares = true};
        while (oom_next(&walk)) {
            char *text;
            f.slice.warnings_count = 0;
            int rc = write_slice(&text, &length, &f, &err);
            bool same = text && strncmp(text, whole, alike) == 0;
            free(text);
            oom_judge_or(&walk, rc, ERR_INTERNAL);
            ck_assert(same == (rc == 0));
        }
        free(whole);
    }
    findings_free(&f);
}
END_TEST

int main(void)
{
    RUN("json", a_slice, every_mask_format, burden_counts_each_pixel_once, nothing_found,
        numbers_that_are_none, extreme_numbers_keep_six_digits,
        several_results_and_names_from_outside, problems, errors_of_the_model_become_problems,
        memory_that_runs_out);
}
