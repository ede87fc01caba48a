/* Volumes over real sockets: documents, options, several files, label maps. */
#include <math.h>

#include "model/data/volume.h"
#include "tests/http/volume_scene.h"
#include "tests/unit/run.h"

/* ---- one document ---- */

START_TEST(a_volume_adds_up)
{
    begin(NULL, NULL, 64, 48, 7);
    json_t *root = ask_json("?masks=none");
    ck_assert_str_eq(text(root, "input.kind"), "nifti-1");
    ck_assert_str_eq(text(root, "input.intensity.mode"), "hu");
    ck_assert_str_eq(text(root, "volume.orientation"), "LPS");
    ck_assert_double_eq_tol(number(root, "volume.voxel_ml"), 0.75 * 0.75 * 5 / 1000, 1e-7);
    ck_assert_uint_eq(json_array_size(find(root, "slices")), 7);
    ck_assert_uint_eq(json_array_size(find(root, "summary.profile")), 7);
    ck_assert(json_is_true(find(root, "summary.complete")));
    double ml = number(root, "volume.voxel_ml"), lungs = 0, affected = 0;
    json_t *one;
    size_t i;
    json_array_foreach(find(root, "slices"), i, one)
    {
        ck_assert_int_eq((int)number(one, "slice"), (int)i);
        ck_assert_double_eq_tol(number(one, "position_mm"), -300 + 5.0 * (double)i, 0.01);
        ck_assert_double_eq_tol(number(one, "burden.lung_mm2"),
                                number(one, "burden.lung_px") * 0.5625, 0.1);
        lungs += number(one, "burden.lung_px");
        affected += number(one, "burden.affected_px");
    }
    ck_assert_double_gt(affected, 0);
    ck_assert_double_eq_tol(number(root, "summary.burden.total.lung_ml"), lungs * ml, 0.01);
    ck_assert_double_eq_tol(number(root, "summary.burden.total.affected_ml"), affected * ml, 0.01);
    static const char *const parts[] = {"lung_ml", "ggo_ml", "consolidation_ml", "affected_ml"};
    for (int k = 0; k < 4; k++) {
        char path[3][64];
        static const char *const sides[] = {"total", "right", "left"};
        for (int side = 0; side < 3; side++)
            snprintf(path[side], 64, "summary.burden.%s.%s", sides[side], parts[k]);
        ck_assert_double_eq_tol(number(root, path[0]),
                                number(root, path[1]) + number(root, path[2]), 0.011);
    }
    /* The stand-in's ground glass is in the picture's left half: on the patient's right. */
    ck_assert_double_gt(number(root, "summary.burden.right.ggo_ml"), 0);
    ck_assert_double_eq(number(root, "summary.burden.left.ggo_ml"), 0);
    double before = INFINITY;
    json_array_foreach(find(root, "summary.worst_slices"), i, one)
    {
        ck_assert_double_le(number(one, "affected_ml"), before);
        before = number(one, "affected_ml");
    }
    ck_assert_uint_eq(json_array_size(find(root, "summary.worst_slices")), 5);
    ck_assert_int_eq((int)number(root, "summary.vote.slices"), 7);
    ck_assert_uint_gt(strlen(text(root, "summary.vote.rule")), 40);
    /* Pixel (0,0) is the first column, to the patient's right, and the first row, in front. */
    json_t *box = find(root, "slices.2.detections.0.bbox_xywh");
    json_t *world = find(root, "slices.2.detections.0.bbox_world_mm");
    ck_assert_double_eq_tol(number(world, "0.0"), 100 - 0.75 * (number(box, "0") - 0.5), 0.01);
    ck_assert_double_eq_tol(number(world, "0.1"), 80 - 0.75 * (number(box, "1") - 0.5), 0.01);
    ck_assert_double_eq_tol(number(world, "0.2"), -290, 0.01);
    json_decref(root);
    end();
}
END_TEST

START_TEST(slices_are_chosen)
{
    static const struct {
        const char *query;
        int first, step, count;
    } cases[] = {
        {"slices=2:5", 2, 1, 3},    {"slices=::3", 0, 3, 3}, {"slices=-2:", 5, 1, 2},
        {"slices=:99", 0, 1, 7},    {"slice=4", 4, 1, 1},    {"slices=-1:", 6, 1, 1},
        {"slices=1:-1:2", 1, 2, 3},
    };
    begin(NULL, NULL, 40, 32, 7);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char query[64];
        snprintf(query, sizeof query, "?masks=none&explain=false&%s", cases[i].query);
        json_t *root = ask_json(query);
        ck_assert_int_eq((int)number(root, "volume.slices_selected.first"), cases[i].first);
        ck_assert_int_eq((int)number(root, "volume.slices_selected.step"), cases[i].step);
        ck_assert_int_eq((int)json_array_size(find(root, "slices")), cases[i].count);
        for (int k = 0; k < cases[i].count; k++)
            ck_assert_int_eq((int)json_integer_value(json_object_get(
                                 json_array_get(find(root, "slices"), (size_t)k), "slice")),
                             cases[i].first + k * cases[i].step);
        ck_assert_int_eq(json_is_true(find(root, "summary.complete")), cases[i].count == 7);
        json_decref(root);
    }
    static const char *const bad[] = {"?slices=7:", "?slice=7", "?slices=3:3", "?slice=-8",
                                      "?slices=5:2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check(ask(bad[i], NULL), 400, "\"code\":\"bad_option\"");
    check(ask("", WORDS("Accept: image/png")), 400, "option slice");
    check(ask("?slices=1:3", WORDS("Accept: image/png")), 400, "slice=1");
    check(ask("?slice=3", WORDS("Accept: image/png")), 200, "PNG");
    end();
    begin(WORDS("--max-slices", "3"), NULL, 40, 32, 7);
    check(ask("", NULL), 413, "--max-slices");
    check(ask("?slices=::3&masks=none", NULL), 200, "\"summary\"");
    end();
}
END_TEST

START_TEST(values_are_what_the_options_say)
{
    begin(NULL, NULL, 40, 32, 2);
    json_t *root = ask_json("?masks=none&window=400&level=40");
    ck_assert_double_eq(number(root, "input.intensity.window"), 400);
    ck_assert_double_eq(number(root, "input.intensity.level"), 40);
    ck_assert(json_is_false(find(root, "input.intensity.assumed")));
    json_t *windowed = ask_json("?masks=none&intensity=windowed");
    ck_assert_str_eq(text(windowed, "input.intensity.mode"), "windowed");
    /* Another window is another picture. */
    ck_assert_double_ne(number(root, "slices.0.classification.classes.0.logit"),
                        number(windowed, "slices.0.classification.classes.0.logit"));
    json_decref(root);
    json_decref(windowed);
    check(http(&service, "POST", "/v1/predict?intensity=hu", NULL, slice.data, slice.length), 400,
          "16 bits");
    check(http(&service, "POST", "/v1/predict?intensity=windowed&masks=none", NULL, slice.data,
               slice.length),
          200, "\"assumed\":false");
    end();
}
END_TEST

static double shifted_value(int i, int j, int k)
{
    return body_value(i, j, k) + 1024;
}

static double holey_value(int i, int j, int k)
{
    return i == 3 && j == 3 ? (double)NAN : body_value(i, j, k);
}

static void check_warning(const struct nifti_maker *m, double (*value)(int, int, int),
                          const char *code)
{
    char quoted[64];
    volume.data = nifti_file(&volume.length, m, value);
    snprintf(quoted, sizeof quoted, "\"code\":\"%s\"", code);
    check(ask("?masks=none&explain=false", NULL), 200, quoted);
    free(volume.data);
}

START_TEST(doubts_are_said)
{
    setup(NULL, NULL);
    struct nifti_maker m = nifti_default(40, 32, 2), good = m;
    check_warning(&m, shifted_value, "hu_offset_suspected");
    check_warning(&m, body_value, "low_resolution");
    m.datatype = 16;
    m.bitpix = 32;
    check_warning(&m, holey_value, "nan_voxels");
    m = good;
    m.srow[2][2] = 8;
    check_warning(&m, body_value, "anisotropic");
    m = good;
    m.sform = 0;
    check_warning(&m, body_value, "orientation_assumed");
    m = good;
    m.srow[1][1] = -0.7;
    m.srow[2][1] = -0.4;
    check_warning(&m, body_value, "oblique");
    m = good;
    m.datatype = 2;
    m.bitpix = 8;
    check_warning(&m, body_value, "window_assumed");
    teardown();
}
END_TEST

/* ---- several files ---- */

START_TEST(pictures_and_volumes_in_one_request)
{
    begin(NULL, NULL, 40, 32, 3);
    struct part parts[] = {{"file", "a.png", NULL, slice.data, slice.length},
                           {"file", "b.nii.gz", NULL, volume.data, volume.length},
                           {"file", "c.nii.gz", NULL, volume.data, volume.length / 2}};
    struct bytes form = multipart(parts, 3);
    static const char type[] = "Content-Type: multipart/form-data; boundary=XX";
    struct answer answer =
        http(&service, "POST", "/v1/predict?masks=none", WORDS(type), form.data, form.length);
    ck_assert_int_eq(answer.status, 200);
    json_t *root = parse((char *)answer.body, answer.length);
    ck_assert_str_eq(text(root, "results.0.input.kind"), "png");
    ck_assert_uint_eq(json_array_size(find(root, "results.1.slices")), 3);
    ck_assert_str_eq(text(root, "results.1.input.file"), "b.nii.gz");
    ck_assert_str_eq(text(root, "results.2.error.code"), "bad_nifti");
    json_decref(root);
    answer_free(&answer);
    answer = http(&service, "POST", "/v1/predict?masks=none",
                  WORDS(type, "Accept: application/x-ndjson"), form.data, form.length);
    ck_assert(answer_has(&answer, "\"file\":\"b.nii.gz\""));
    ck_assert(answer_has(&answer, "\"event\":\"done\""));
    ck_assert(answer_has(&answer, "\"file_index\":2"));
    answer_free(&answer);
    check(http(&service, "POST", "/v1/predict", WORDS(type, "Accept: application/x-nifti"),
               form.data, form.length),
          406, "one file");
    check(http(&service, "POST", "/v1/predict", WORDS("Accept: application/x-nifti"), slice.data,
               slice.length),
          406, "label map");
    free(form.data);
    end();
}
END_TEST

/* ---- label maps ---- */

static struct volume *ask_labels(const struct nifti_maker *m, uint8_t **map, struct answer *answer)
{
    struct volume *labels;
    struct error err;
    (void)map;
    volume = make_volume(m, false);
    *answer = ask("", WORDS("Accept: application/x-nifti"));
    ck_assert_msg(answer->status == 200, "%s", answer->body);
    ck_assert_str_eq(answer_header(answer, "Content-Type"), "application/x-nifti");
    int rc = volume_open(&labels, answer->body, answer->length,
                         &(struct volume_limits){1 << 24, 1032, NULL}, &err);
    ck_assert_msg(rc == 0, "%s", err.text);
    free(volume.data);
    return labels;
}

/* One body stored in two ways gets the same labels in the same places, consolidation on top. */
START_TEST(label_maps_lie_where_the_volume_lies)
{
    setup(NULL, WORDS("FAKE_DETECTIONS=12"));
    struct nifti_maker straight = nifti_default(40, 32, 3), turned = nifti_default(3, 40, 32);
    turned.version = 2;
    turned.big = true;
    static const double srow[3][4] = {{0, 0.75, 0, 0}, {0, 0, 0.75, 0}, {5, 0, 0, -300}};
    memcpy(turned.srow, srow, sizeof srow);
    struct answer answers[2];
    struct volume *a = ask_labels(&straight, NULL, &answers[0]);
    struct volume *b = ask_labels(&turned, NULL, &answers[1]);
    float one[40 * 32], other[40 * 32];
    struct voxel_range range;
    struct error err;
    int seen[4] = {0};
    ck_assert_int_eq(volume_columns(b), 40);
    ck_assert_int_eq(volume_slices(b), 3);
    for (int k = 0; k < 3; k++) {
        ck_assert_int_eq(volume_read(one, &range, a, k, &err), 0);
        ck_assert_int_eq(volume_read(other, &range, b, k, &err), 0);
        for (int i = 0; i < 40 * 32; i++) {
            ck_assert_float_ge(one[i], 0);
            ck_assert_float_le(one[i], 3);
            seen[(int)one[i]]++;
            seen[(int)other[i]]++;
        }
        /* The stand-in's lungs do not depend on the values. */
        ck_assert((one[16 * 40 + 10] > 0) == (other[16 * 40 + 10] > 0));
        ck_assert((one[0] > 0) == (other[0] > 0));
    }
    for (int label = 0; label < 4; label++)
        ck_assert_int_gt(seen[label], 0);
    volume_close(a);
    volume_close(b);
    answer_free(&answers[0]);
    answer_free(&answers[1]);
    teardown();
}
END_TEST

/* --timeout is for each slice: a volume takes as long as it takes. */
START_TEST(a_long_volume_is_no_slow_slice)
{
    begin(WORDS("--timeout", "4s"), WORDS("FAKE_PREDICT_MS=150"), 40, 32, 40);
    check(ask("?masks=none&explain=false", NULL), 200, "\"complete\":true");
    end();
}
END_TEST

int main(void)
{
    RUN("volumes", a_volume_adds_up, slices_are_chosen, values_are_what_the_options_say,
        doubts_are_said, pictures_and_volumes_in_one_request, label_maps_lie_where_the_volume_lies,
        a_long_volume_is_no_slow_slice);
}
