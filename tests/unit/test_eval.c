/*
 * oneshot eval from folders to figures, with a model of the test's own behind model.h: it sees what
 * a slice's grey values say, so the right answer of every figure is known.
 */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/cmd_eval.h"
#include "server/eval_run.h"
#include "server/eval_set.h"
#include "server/file.h"
#include "tests/unit/grey_model.h"
#include "tests/unit/run.h"

enum { SIDE = 48 };

/* ---- data sets in a folder of their own ---- */

static char folder[64];

static const char *path_of(const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void make_folder(const char *name)
{
    ck_assert_msg(mkdir(path_of(name), 0777) == 0 || errno == EEXIST, "%s", name);
}

static void make_file(const char *name, const char *text)
{
    struct error err;
    ck_assert_int_eq(file_write(path_of(name), text, strlen(text), &err), 0);
}

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/oneshot-eval-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

struct slice_plan {
    const char *name;
    int answer, shift, refuse;
    bool ggo, consolidation;
};

static void fill(uint8_t *plane, int x0, int y0, int x1, int y1, int value)
{
    for (int y = y0; y < y1; y++)
        memset(plane + y * SIDE + x0, value, (size_t)(x1 - x0));
}

static void make_slice(const char *image_folder, const char *mask_folder,
                       const struct slice_plan *plan)
{
    static uint8_t labels[SIDE * SIDE];
    static uint8_t pixels[SIDE * SIDE];
    char name[128];
    struct error err;
    memset(labels, 0, sizeof labels);
    fill(labels, 10, 4, 20, 24, 1);
    if (plan->ggo)
        fill(labels, 24, 4, 34, 14, 2);
    if (plan->consolidation)
        fill(labels, 24, 30, 34, 40, 3);
    for (int i = 0; i < SIDE * SIDE; i++)
        pixels[i] = (uint8_t)(labels[i] * GREY_OF_LABEL);
    pixels[ORDER_CLASS] = (uint8_t)plan->answer;
    pixels[ORDER_SHIFT] = (uint8_t)plan->shift;
    pixels[ORDER_REFUSE] = (uint8_t)plan->refuse;
    snprintf(name, sizeof name, "%s/%s", image_folder, plan->name);
    ck_assert_int_eq(image_save_png(path_of(name), pixels, SIDE, SIDE, 1, &err), 0);
    if (!mask_folder)
        return;
    snprintf(name, sizeof name, "%s/%s", mask_folder, plan->name);
    ck_assert_int_eq(image_save_png(path_of(name), labels, SIDE, SIDE, 1, &err), 0);
}

/*
 * Label maps: four slices found exactly, one whose findings are 5 of 10 columns beside the truth,
 * one refused. Classes: eight slices of three patients, one answer missing, one wrong, one half
 * known.
 */
static void make_sets(void)
{
    static const struct slice_plan maps[] = {
        {"scan_01_0001.png", 0, 0, 0, true, false},  {"scan_01_0002.png", 0, 0, 0, true, true},
        {"scan_02_0001.png", 0, 0, 0, true, false},  {"scan_02_0002.png", 0, 5, 0, true, false},
        {"scan_03_0001.png", 0, 0, 0, false, false}, {"scan_03_0002.png", 0, 0, 1, true, false},
    };
    static const struct slice_plan classes[] = {
        {"a1.png", 0, 0, 0, true, false}, {"a2.png", 0, 0, 0, true, false},
        {"b1.png", 1, 0, 0, true, false}, {"b2.png", 1, 0, 0, true, false},
        {"b3.png", 3, 0, 0, true, false}, {"c1.png", 2, 0, 0, true, false},
        {"c2.png", 0, 0, 0, true, false}, {"d_one.png", 2, 0, 0, true, false},
    };
    make_folder("maps");
    make_folder("maps/val");
    make_folder("maps/val/imgs");
    make_folder("maps/val/masks");
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        make_slice("maps/val/imgs", "maps/val/masks", &maps[i]);
    make_file("maps/manifest.csv", "split,file,source\n"
                                   "val,scan_01_0001.png,North\nval,scan_01_0002.png,North\n"
                                   "val,scan_02_0001.png,\"South, \"\"coast\"\"\"\n"
                                   "val,scan_02_0002.png,\"South, \"\"coast\"\"\"\n"
                                   "train,scan_02_0002.png,Elsewhere\n"
                                   "val,scan_03_0001.png,North\nval,scan_03_0002.png,North\n");
    make_folder("classes");
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        make_slice("classes", NULL, &classes[i]);
    make_file("classes/manifest.csv", "file,control,common_pneumonia,covid_19,patient,source\n"
                                      "a1.png,1,0,0,A,North\na2.png,1,0,0,A,North\n"
                                      "b1.png,0,1,0,B,North\nb2.png,0,1,0,B,North\n"
                                      "b3.png,0,1,0,B,North\nc1.png,0,0,1,C,North\n"
                                      "c2.png,0,0,1,C,North\nd_one.png,-1,-1,0,unknown,North\n");
}

/* ---- sets ---- */

START_TEST(manifests_give_sources_and_patients)
{
    struct eval_set set;
    struct error err;
    make_sets();
    ck_assert_int_eq(eval_set_open(&set, EVAL_SEGMENTATION, path_of("maps/val"), NULL, &err), 0);
    ck_assert_uint_eq(set.data.count, 6);
    ck_assert_str_eq(eval_set_name(&set, 3), "scan_02_0002.png");
    ck_assert_str_eq(set.origins[0].source, "North");
    ck_assert_str_eq(set.origins[3].source, "South, \"coast\"");
    ck_assert_str_eq(set.origins[3].patient, "");
    ck_assert_str_eq(set.origins[3].series, "scan_02");
    eval_set_close(&set);
    ck_assert_int_eq(eval_set_open(&set, EVAL_CLASSIFICATION, path_of("classes"), NULL, &err), 0);
    ck_assert_str_eq(set.origins[0].patient, "A");
    ck_assert_str_eq(set.origins[0].series, "");  /* a1.png */
    ck_assert_str_eq(set.origins[7].patient, ""); /* "unknown" is no name */
    ck_assert_str_eq(set.origins[7].series, "");  /* d_one.png */
    eval_set_close(&set);
}
END_TEST

START_TEST(groups_are_numbered)
{
    struct eval_set set;
    struct error err;
    int32_t groups[8];
    size_t unknown;
    const size_t chosen[] = {0, 1, 2, 4, 5, 7};
    make_sets();
    ck_assert_int_eq(eval_set_open(&set, EVAL_CLASSIFICATION, path_of("classes"), NULL, &err), 0);
    eval_set_groups(groups, &unknown, &set, chosen, 6, EVAL_BY_PATIENT);
    const int32_t by_patient[] = {0, 0, 2, 2, 4, 5};
    for (int k = 0; k < 6; k++)
        ck_assert_int_eq(groups[k], by_patient[k]);
    ck_assert_uint_eq(unknown, 1);
    eval_set_groups(groups, &unknown, &set, chosen, 6, EVAL_BY_SOURCE);
    for (int k = 0; k < 6; k++)
        ck_assert_int_eq(groups[k], 0);
    eval_set_groups(groups, &unknown, &set, chosen, 6, EVAL_BY_IMAGE);
    for (int k = 0; k < 6; k++)
        ck_assert_int_eq(groups[k], k);
    ck_assert_uint_eq(unknown, 0);
    eval_set_close(&set);
}
END_TEST

START_TEST(the_graver_label_wins)
{
    static struct prediction p;
    static uint8_t map[SIDE * SIDE];
    static uint8_t plane[SIDE * SIDE];
    const struct eval_limits limits = {.score_threshold = 0.5f, .max_detections = 3};
    const struct detection found[] = {
        {.label = 3, .score = 0.9f, .box = {4, 0, 8, 4}},
        {.label = 1, .score = 0.8f, .box = {0, 0, 8, 8}},
        {.label = 2, .score = 0.7f, .box = {2, 0, 6, 4}},
        {.label = 3, .score = 0.6f, .box = {0, 0, 8, 8}}, /* the fourth */
        {.label = 3, .score = 0.5f, .box = {0, 0, 8, 8}}, /* not above */
    };
    p.width = p.height = SIDE;
    p.detections_count = 5;
    memcpy(p.detections, found, sizeof found);
    memset(map, 9, sizeof map);
    eval_label_map(map, plane, &p, &limits);
    const uint8_t row[] = {1, 1, 2, 2, 3, 3, 3, 3, 0};
    ck_assert_mem_eq(map, row, sizeof row);
    ck_assert_int_eq(map[4 * SIDE + 4], 1);
    ck_assert_int_eq(eval_kept(&p, 0.5f, 128), 4);
    ck_assert_int_eq(eval_kept(&p, 0.95f, 128), 0);
}
END_TEST

/* ---- the command ---- */

/* Words in argv's own memory, as a shell gives them. */
static int run(const char *const *words)
{
    char copies[32][256];
    char *argv[33];
    int argc = 0;
    for (; words[argc]; argc++) {
        snprintf(copies[argc], sizeof copies[0], "%s", words[argc]);
        argv[argc] = copies[argc];
    }
    argv[argc] = NULL;
    return cmd_eval(argc, argv);
}

#define EVAL(...) run((const char *const[]){"eval", __VA_ARGS__, NULL})

static char *read_text(const char *name)
{
    struct error err;
    uint8_t *bytes;
    size_t length;
    ck_assert_int_eq(file_read(&bytes, &length, path_of(name), 64 << 20, &err), 0);
    char *text = malloc(length + 1);
    ck_assert_ptr_nonnull(text);
    memcpy(text, bytes, length);
    text[length] = 0;
    free(bytes);
    return text;
}

static json_t *at(json_t *root, const char *path)
{
    char key[64];
    while (root && *path) {
        size_t length = strcspn(path, "/");
        memcpy(key, path, length);
        key[length] = 0;
        root = key[0] >= '0' && key[0] <= '9' ? json_array_get(root, (size_t)strtol(key, NULL, 10))
                                              : json_object_get(root, key);
        path += length + (path[length] == '/');
    }
    return root;
}

static void check_number(json_t *root, const char *path, double expected)
{
    ck_assert_msg(json_is_number(at(root, path)), "%s is no number", path);
    ck_assert_msg(fabs(json_number_value(at(root, path)) - expected) < 1e-5, "%s is %g, not %g",
                  path, json_number_value(at(root, path)), expected);
}

static void check_note(json_t *root, const char *words)
{
    size_t i;
    json_t *note;
    bool found = false;
    json_array_foreach(at(root, "notes"), i, note)
    {
        found = found || strstr(json_string_value(note), words);
    }
    ck_assert_msg(found, "no note says: %s", words);
}

START_TEST(figures_are_the_right_ones)
{
    make_sets();
    ck_assert_int_eq(EVAL("--segmentation", path_of("maps/val"), "--classification",
                          path_of("classes"), "--json", path_of("out.json"), "--html",
                          path_of("out.html"), "--note", "Mind <this>.", "--resamples", "500"),
                     0);
    char *text = read_text("out.json");
    json_t *root = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(root);

    /* control 2 of 2, pneumonia 2 of 3 (one unanswered), COVID-19 1 of 2 (the other as control) */
    check_number(root, "classification/images", 8);
    check_number(root, "classification/images_of_known_class", 7);
    check_number(root, "classification/images_without_answer", 1);
    check_number(root, "classification/groups", 4); /* A, B, C and the unknown one */
    check_number(root, "classification/classes/control/sensitivity/value", 1);
    check_number(root, "classification/classes/common_pneumonia/sensitivity/value", 2.0 / 3);
    check_number(root, "classification/classes/covid_19/sensitivity/value", 0.5);
    check_number(root, "classification/classes/covid_19/precision/value", 0.5); /* d1 is not */
    check_number(root, "classification/accuracy/value", 5.0 / 7);
    check_number(root, "classification/confusion/1/3", 1);
    check_number(root, "classification/confusion/2/0", 1);
    /* one patient, who is right half of the time: no interval can be told */
    ck_assert(json_is_null(at(root, "classification/classes/covid_19/sensitivity/low")));
    ck_assert(json_is_number(at(root, "classification/accuracy/low")));

    /* five maps: all but the shifted one exact, that one at IoU 1/3 for lungs and GGO */
    check_number(root, "segmentation/images", 5);
    check_number(root, "detection/per_image/all/ap50/value", 4.0 / 5);
    check_number(root, "detection/per_image/all/ap/value", 4.0 / 5);
    check_number(root, "detection/per_image/ggo/images", 4); /* a weak finding is not shown */
    check_number(root, "detection/per_image/ggo/ap50/value", 3.0 / 4);
    check_number(root, "detection/per_image/consolidation/ap50/value", 1);
    check_number(root, "segmentation/regions/ggo/dice/value", 7.0 / 8);
    check_number(root, "segmentation/regions/lungs/mean_dice/value", 4.5 / 5);
    check_number(root, "segmentation/regions/consolidation/absent", 4);
    /* COCO also sees the weak findings, below all others: four truths, the third of four hit */
    check_number(root, "detection/coco/ggo/predictions", 9);
    check_number(root, "detection/coco/ggo/instances", 4);
    check_number(root, "detection/coco/consolidation/ap50/value", 1);
    check_number(root, "setup/score_threshold", 0.75);
    check_number(root, "setup/coco_score_threshold", 0.05);

    check_number(root, "sources/0/segmentation/images", 3);
    ck_assert_str_eq(json_string_value(at(root, "sources/1/name")), "South, \"coast\"");
    check_number(root, "sources/1/segmentation/regions/ggo/dice/value", 3.0 / 4);
    check_number(root, "sources/0/classification/accuracy/value", 5.0 / 7);

    check_note(root, "Not used: 1 of the images. The first: ");
    check_note(root, "scan_03_0002.png: refused");
    check_note(root, "only part of the label is known");
    check_note(root, "Control: all 2 images are of 1 patient.");
    check_note(root, "Mind <this>.");
    json_decref(root);
    free(text);

    text = read_text("out.html");
    ck_assert_ptr_nonnull(strstr(text, "Mind &lt;this&gt;."));
    const char *worst = strstr(text, "<h3>Worst</h3>");
    ck_assert_ptr_nonnull(worst);
    ck_assert(strstr(text, "lesions Dice 1.000") < worst);
    ck_assert(strstr(text, "lesions Dice 0.500") > worst);
    ck_assert_ptr_nonnull(strstr(text, "data:image/png;base64,"));
    free(text);
}
END_TEST

START_TEST(threads_change_nothing)
{
    make_sets();
    char *texts[2];
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(EVAL("--segmentation", path_of("maps/val"), "--classification",
                              path_of("classes"), "--json", path_of("out.json"), "--threads",
                              k ? "5" : "1"),
                         0);
        texts[k] = read_text("out.json");
    }
    ck_assert_str_eq(texts[0], texts[1]);
    free(texts[0]);
    free(texts[1]);
}
END_TEST

START_TEST(one_set_and_a_training_log)
{
    make_sets();
    make_file("log.jsonl",
              "{\"iteration\": 1, \"loss_seg\": 2}\n{\"iteration\": 2, \"loss_seg\": 1}\n");
    ck_assert_int_eq(EVAL("--segmentation", path_of("maps/val"), "--html", path_of("out.html"),
                          "--log", path_of("log.jsonl"), "--group", "series", "--max-detections",
                          "1", "--score-threshold", "0.2"),
                     0);
    char *text = read_text("out.html");
    ck_assert_ptr_nonnull(strstr(text, "loss_seg, last"));
    ck_assert_ptr_nonnull(strstr(text, "bootstrap by series"));
    ck_assert_ptr_nonnull(strstr(text, "score above 0.2, at most 1 a slice"));
    ck_assert_ptr_null(strstr(text, "Classification of slices"));
    free(text);
    make_file("log.jsonl", "no JSON\n");
    ck_assert_int_eq(EVAL("--segmentation", path_of("maps/val"), "--log", path_of("log.jsonl")), 1);
}
END_TEST

START_TEST(wrong_calls_and_missing_files)
{
    make_sets();
    ck_assert_int_eq(EVAL("--json", path_of("out.json")), 2);
    ck_assert_int_eq(EVAL("--segmentation", path_of("maps/val"), "extra"), 2);
    ck_assert_int_eq(EVAL("--segmentation", path_of("maps/val"), "--group", "hospital"), 2);
    ck_assert_int_eq(EVAL("--segmentation", path_of("nowhere")), 1);
    ck_assert_int_eq(EVAL("--classification", path_of("classes"), "--model", "x.safetensors"), 1);
    ck_assert_int_eq(EVAL("--classification", path_of("classes"), "--json", path_of("no/out.json")),
                     1);
    ck_assert_int_eq(EVAL("--help"), 0);
}
END_TEST

START_TEST(nothing_usable_is_an_error)
{
    const struct slice_plan refused = {"x_1.png", 0, 0, 1, true, false};
    make_folder("imgs");
    make_folder("masks");
    make_slice("imgs", "masks", &refused);
    ck_assert_int_eq(EVAL("--segmentation", path_of("")), 1);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("eval");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, manifests_give_sources_and_patients);
    tcase_add_test(tc, groups_are_numbered);
    tcase_add_test(tc, the_graver_label_wins);
    tcase_add_test(tc, figures_are_the_right_ones);
    tcase_add_test(tc, threads_change_nothing);
    tcase_add_test(tc, one_set_and_a_training_log);
    tcase_add_test(tc, wrong_calls_and_missing_files);
    tcase_add_test(tc, nothing_usable_is_an_error);
    return run_case("eval", tc);
}
