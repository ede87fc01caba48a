/* DICOM over real sockets: a slice, the zip of a series, what is refused, what is never told. */
#include <math.h>

#include "model/data/volume.h"
#include "tests/http/body.h"
#include "tests/http/look.h"
#include "tests/http/scene.h"
#include "tests/unit/run.h"

static struct answer send_to(const char *query, struct bytes file, const char *const *headers)
{
    char path[256];
    snprintf(path, sizeof path, "/v1/predict%s", query);
    return http(&service, "POST", path, headers, file.data, file.length);
}

static json_t *send_json(const char *query, struct bytes file)
{
    struct answer answer = send_to(query, file, NULL);
    ck_assert_msg(answer.status == 200, "%d: %.300s", answer.status, answer.body);
    json_t *root = parse((char *)answer.body, answer.length);
    answer_free(&answer);
    return root;
}

static void expect(const struct dicom_maker *m, int status, const char *has)
{
    struct bytes file = make_slice(m);
    check(send_to("?masks=none", file, NULL), status, has);
    free(file.data);
}

static const char first_logit[] = "classification.classes.0.logit";

/* ---- a slice ---- */

START_TEST(a_slice_is_answered_as_a_picture_is)
{
    setup(NULL, NULL);
    struct dicom_maker m = dicom_default(COLUMNS, ROWS);
    struct bytes file = make_slice(&m), nifti = make_nifti(1);
    json_t *root = send_json("", file), *other = send_json("", nifti);
    ck_assert_str_eq(text(root, "input.kind"), "dicom");
    ck_assert_str_eq(text(root, "input.intensity.mode"), "hu");
    ck_assert_double_eq(number(root, "input.intensity.window"), 1500);
    ck_assert_double_eq(number(root, "input.intensity.level"), -600);
    ck_assert(json_is_false(find(root, "input.intensity.assumed")));
    ck_assert_int_eq((int)number(root, "input.width"), COLUMNS);
    ck_assert_int_eq((int)number(root, "input.height"), ROWS);
    ck_assert_int_eq((int)number(root, "input.bit_depth"), 16);
    /* What the model sees is what it sees of the same slice in a volume. */
    static const char *const same[] = {"classification", "detections", "explanation", "burden"};
    for (int k = 0; k < 4; k++)
        ck_assert_msg(json_equal(find(root, same[k]), find(find(other, "slices.0"), same[k])), "%s",
                      same[k]);
    json_t *box = find(root, "detections.0.bbox_xywh");
    json_t *world = find(root, "detections.0.bbox_world_mm");
    ck_assert_double_eq_tol(number(world, "0.0"), 100 - 0.7 * (number(box, "0") - 0.5), 0.01);
    ck_assert_double_eq_tol(number(world, "0.1"), 80 - 0.8 * (number(box, "1") - 0.5), 0.01);
    ck_assert_double_eq_tol(number(root, "burden.lung_mm2"), 0.56 * number(root, "burden.lung_px"),
                            0.1);
    json_decref(other);
    check(send_to("", file, WORDS("Accept: image/png")), 200, "PNG");
    check(send_to("?masks=none", file, WORDS("Accept: application/x-ndjson")), 200,
          "\"event\":\"done\"");
    check(send_to("", file, WORDS("Accept: application/x-nifti")), 406, "label map");
    /* Where it does not say where it lies there are no millimetres. */
    m.orientation = NULL;
    struct bytes lost = make_slice(&m);
    other = send_json("?masks=none", lost);
    ck_assert(json_equal(find(other, "classification"), find(root, "classification")));
    ck_assert_ptr_null(json_object_get(find(other, "burden"), "lung_mm2"));
    json_decref(other);
    json_decref(root);
    free(lost.data);
    free(nifti.data);
    free(file.data);
    teardown();
}
END_TEST

START_TEST(values_are_what_the_options_say)
{
    setup(NULL, NULL);
    struct dicom_maker m = dicom_default(COLUMNS, ROWS), white = m, grey = m;
    white.photometric = "MONOCHROME1";
    grey.allocated = grey.stored = 8;
    grey.high = 7;
    grey.sign = 0;
    struct bytes file = make_slice(&m), turned = make_slice(&white), bytes = make_slice(&grey);
    json_t *lung = send_json("?masks=none", file);
    json_t *soft = send_json("?masks=none&window=400&level=40", file);
    json_t *windowed = send_json("?masks=none&intensity=windowed", file);
    ck_assert_double_eq(number(soft, "input.intensity.window"), 400);
    ck_assert_double_eq(number(soft, "input.intensity.level"), 40);
    ck_assert_double_ne(number(lung, first_logit), number(soft, first_logit));
    ck_assert_str_eq(text(windowed, "input.intensity.mode"), "windowed");
    ck_assert_double_ne(number(lung, first_logit), number(windowed, first_logit));
    /* Which end is white matters to grey, not to HU. */
    json_t *other = send_json("?masks=none", turned);
    ck_assert(json_equal(find(other, "classification"), find(lung, "classification")));
    json_decref(other);
    other = send_json("?masks=none&intensity=windowed", turned);
    ck_assert_double_ne(number(other, first_logit), number(windowed, first_logit));
    json_decref(other);
    other = send_json("?masks=none", bytes);
    ck_assert_str_eq(text(other, "input.intensity.mode"), "windowed");
    ck_assert(json_is_true(find(other, "input.intensity.assumed")));
    json_decref(other);
    json_decref(windowed);
    json_decref(soft);
    json_decref(lung);
    free(bytes.data);
    free(turned.data);
    free(file.data);
    m.modality = "MR";
    expect(&m, 200, "\"code\":\"not_ct\"");
    m.modality = "CT";
    m.inter = "0";
    expect(&m, 200, "\"code\":\"hu_offset_suspected\"");
    teardown();
}
END_TEST

/* ---- a series ---- */

START_TEST(a_zip_is_answered_as_a_volume_is)
{
    setup(NULL, NULL);
    struct bytes zip = make_zip(NULL), nifti = make_nifti(SLICES);
    json_t *root = send_json("", zip), *other = send_json("", nifti);
    ck_assert_str_eq(text(root, "input.kind"), "dicom");
    ck_assert_str_eq(text(root, "volume.placed_by"), "dicom");
    ck_assert_str_eq(text(root, "volume.orientation"), "LPS");
    ck_assert_int_eq((int)number(root, "volume.slices"), SLICES);
    static const char *const same[] = {"volume.shape",          "volume.spacing_mm",
                                       "volume.pixel_to_world", "summary.burden",
                                       "summary.vote",          "summary.profile"};
    for (int k = 0; k < 6; k++)
        ck_assert_msg(json_equal(find(root, same[k]), find(other, same[k])), "%s", same[k]);
    static const char *const parts[] = {"slice",      "position_mm", "classification",
                                        "detections", "explanation", "burden"};
    for (int i = 0; i < SLICES; i++)
        for (int k = 0; k < 6; k++) {
            char path[64];
            snprintf(path, sizeof path, "slices.%d.%s", i, parts[k]);
            ck_assert_msg(json_equal(find(root, path), find(other, path)), "%s", path);
        }
    json_decref(other);
    /* Chosen slices, streams, pictures. */
    other = send_json("?masks=none&slice=3", zip);
    ck_assert(
        json_equal(find(other, "slices.0.classification"), find(root, "slices.3.classification")));
    json_decref(other);
    json_decref(root);
    check(send_to("?masks=none", zip, WORDS("Accept: application/x-ndjson")), 200,
          "\"event\":\"summary\"");
    check(send_to("?slice=2", zip, WORDS("Accept: image/png")), 200, "PNG");
    /* The label map lies on the series' grid. */
    struct answer answer = send_to("", zip, WORDS("Accept: application/x-nifti"));
    ck_assert_int_eq(answer.status, 200);
    struct volume *labels;
    struct error err;
    ck_assert_int_eq(volume_open(&labels, answer.body, answer.length,
                                 &(struct volume_limits){1 << 24, 1032, NULL}, &err),
                     0);
    ck_assert_int_eq(volume_columns(labels), COLUMNS);
    ck_assert_int_eq(volume_slices(labels), SLICES);
    ck_assert_double_eq_tol(labels->affine[0][3], 100, 1e-4);
    ck_assert_double_eq_tol(labels->affine[1][1], -0.8, 1e-6);
    ck_assert_double_eq_tol(labels->affine[2][2], 1, 1e-6);
    volume_close(labels);
    answer_free(&answer);
    free(nifti.data);
    free(zip.data);
    teardown();
}
END_TEST

START_TEST(a_series_that_is_none_is_refused)
{
    setup(NULL, NULL);
    struct dicom_maker odd = dicom_default(COLUMNS, ROWS);
    odd.series = "1.2.3.4";
    struct bytes zip = make_zip(&odd);
    check(send_to("", zip, NULL), 422, "Series Instance UID of file \\\"s/d.dcm\\\"");
    check(send_to("", zip, WORDS("Accept: application/x-ndjson")), 200, "\"code\":\"bad_dicom\"");
    free(zip.data);
    odd = dicom_default(COLUMNS, ROWS);
    odd.syntax = "1.2.840.10008.1.2.4.90";
    zip = make_zip(&odd);
    check(send_to("", zip, NULL), 415, "1.2.840.10008.1.2.4.90 (JPEG 2000 Lossless)");
    free(zip.data);
    odd = dicom_default(COLUMNS, ROWS);
    odd.no_pixels = true;
    odd.said_rows = odd.said_columns = -1; /* a report in place of a slice: one is missing */
    zip = make_zip(&odd);
    check(send_to("?masks=none", zip, NULL), 200, "\"code\":\"uneven_slices\"");
    free(zip.data);
    const struct zip_part text = {"notes.txt", (const uint8_t *)"no slices", 9, false};
    zip.data = zip_file(&zip.length, &text, 1);
    check(send_to("", zip, NULL), 415, "no DICOM slice");
    check(http(&service, "POST", "/v1/predict", NULL, zip.data, zip.length - 1), 422, "bad_dicom");
    zip.data[6] = 1; /* what the local header says is of no weight; what the table says, is */
    zip.data[zip.length - 22 - 46 - 9 + 8] = 1;
    check(send_to("", zip, NULL), 415, "encrypted");
    free(zip.data);
    teardown();
}
END_TEST

/* ---- what is refused ---- */

START_TEST(what_is_not_read_is_named)
{
    setup(WORDS("--max-pixels", "4096"), NULL);
    struct dicom_maker good = dicom_default(COLUMNS, ROWS), m = good;
    m.syntax = "1.2.840.10008.1.2.4.70";
    expect(&m, 415,
           "1.2.840.10008.1.2.4.70 (JPEG Lossless, First-Order Prediction), which is "
           "compressed");
    m = good;
    m.frames = "30";
    expect(&m, 415, "30 frames");
    m = good;
    m.samples = 3;
    m.photometric = "RGB";
    expect(&m, 415, "coloured");
    m = good;
    m.said_rows = 4000;
    expect(&m, 422, "\"code\":\"bad_dicom\"");
    m = dicom_default(65, 64);
    expect(&m, 413, "--max-pixels");
    struct bytes file = make_slice(&good), zip = make_zip(NULL);
    check(send_to("?masks=none", file, WORDS("Content-Type: application/dicom")), 200, "dicom");
    check(send_to("?masks=none", zip, WORDS("Content-Type: application/zip")), 200, "dicom");
    check(send_to("", file, WORDS("Content-Type: application/zip")), 415, "a DICOM file");
    check(send_to("", zip, WORDS("Content-Type: application/dicom")), 415, "a ZIP archive");
    check(send_to("", file, WORDS("Content-Type: image/png")), 415, "a DICOM file");
    check(send_to("", slice, WORDS("Content-Type: application/dicom")), 415, "a PNG");
    free(zip.data);
    free(file.data);
    teardown();
}
END_TEST

START_TEST(files_that_mean_harm)
{
    setup(NULL, NULL);
    check(predict(NULL), 200, "burden");
    long before = process_peak_kb(&service);
    /* Sequences that open and never close; lengths beyond the file. */
    struct dicom_bytes b = {calloc(1, DICOM_MAKER_ROOM), 132, false};
    memcpy(b.data + 128, "DICM", 4);
    dicom_text(&b, 0x00020010, "UI", "1.2.840.10008.1.2.1");
    size_t start = b.length;
    while (b.length < DICOM_MAKER_ROOM - 40) {
        dicom_head(&b, 0x00081140, "SQ", 0xffffffff);
        dicom_head(&b, 0xfffee000, "", 0xffffffff);
    }
    check(send_to("", (struct bytes){b.data, b.length}, NULL), 422, "nested");
    b.length = start;
    dicom_head(&b, 0x7fe00010, "OW", 0xfffffff0);
    check(send_to("", (struct bytes){b.data, b.length}, NULL), 422, "cut off");
    free(b.data);
    /* 128 megabytes of nothing in 128 kilobytes. */
    uint8_t *nothing = calloc(128, 1 << 20);
    const struct zip_part bomb = {"a.dcm", nothing, 128 << 20, true};
    struct bytes zip;
    zip.data = zip_file(&zip.length, &bomb, 1);
    check(send_to("", zip, NULL), 413, "--max-inflate-ratio");
    free(nothing);
    free(zip.data);
    ck_assert_msg(process_peak_kb(&service) - before < 100 * 1024, "%ld KB more",
                  process_peak_kb(&service) - before);
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

/* ---- what is never told ---- */

static const char *const secrets[] = {"Doe",          "Jane",   "PAT-4711", "19700203",
                                      "1.2.826.0.1.", "WARD-7", "ISO_IR"};

static void keeps_secrets(const void *bytes, size_t length, const char *where)
{
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
        ck_assert_msg(!memmem(bytes, length, secrets[i], strlen(secrets[i])), "%s in %s",
                      secrets[i], where);
}

START_TEST(nothing_of_the_patient_is_told)
{
    static const char *const accepts[] = {"Accept: application/json",
                                          "Accept: application/x-ndjson", "Accept: image/png",
                                          "Accept: application/x-nifti"};
    setup(WORDS("--log-level", "debug"), NULL);
    struct dicom_maker good = dicom_default(COLUMNS, ROWS), odd = good, jpeg = good;
    odd.series = "1.2.826.0.1.99";
    jpeg.syntax = "1.2.840.10008.1.2.4.70";
    struct bytes files[] = {make_slice(&good), make_zip(NULL), make_zip(&odd), make_slice(&jpeg),
                            make_slice(&good)};
    files[4].length -= 7; /* cut off */
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++)
        ck_assert_ptr_nonnull(
            memmem(files[0].data, files[0].length, secrets[i], strlen(secrets[i])));
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        for (int a = 0; a < 4; a++) {
            struct answer answer = send_to("?slice=0", files[f], WORDS(accepts[a]));
            keeps_secrets(answer.body, answer.length, accepts[a]);
            if (a == 3 && answer.status == 200) {
                uint8_t *map = calloc(1, 1 << 20);
                uLongf size = 1 << 20;
                z_stream z = {.next_in = answer.body, .avail_in = (uInt)answer.length};
                inflateInit2(&z, 16 + MAX_WBITS);
                z.next_out = map;
                z.avail_out = (uInt)size;
                ck_assert_int_eq(inflate(&z, Z_FINISH), Z_STREAM_END);
                inflateEnd(&z);
                keeps_secrets(map, size, "the label map");
                free(map);
            }
            answer_free(&answer);
        }
        free(files[f].data);
    }
    char *log = process_log(&service);
    ck_assert_ptr_nonnull(strstr(log, "bad_dicom"));
    keeps_secrets(log, strlen(log), "the log");
    ck_assert_ptr_null(strstr(log, ".dcm"));
    free(log);
    teardown();
}
END_TEST

int main(void)
{
    RUN("dicom", a_slice_is_answered_as_a_picture_is, values_are_what_the_options_say,
        a_zip_is_answered_as_a_volume_is, a_series_that_is_none_is_refused,
        what_is_not_read_is_named, files_that_mean_harm, nothing_of_the_patient_is_told);
}
