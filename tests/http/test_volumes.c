/* Volumes over real sockets: documents, streams, label maps, options, clients that leave or dawdle,
 * and files that mean harm. */
#include <math.h>

#include "model/data/volume.h"
#include "tests/http/look.h"
#include "tests/http/scene.h"
#include "tests/unit/nifti_maker.h"
#include "tests/unit/run.h"

static struct bytes volume;

static double body_value(int i, int j, int k)
{
    return (i * 37 + j * 13 + k * 101) % 1400 - 1000;
}

static struct bytes make_volume(const struct nifti_maker *m, bool gzip)
{
    struct bytes plain, zip;
    plain.data = nifti_file(&plain.length, m, body_value);
    if (!gzip)
        return plain;
    zip.data = gzip_bytes(&zip.length, plain.data, plain.length);
    free(plain.data);
    return zip;
}

static void begin(const char *const *words, const char *const *environment, int columns, int rows,
                  int slices)
{
    struct nifti_maker m = nifti_default(columns, rows, slices);
    setup(words, environment);
    volume = make_volume(&m, true);
}

static void end(void)
{
    free(volume.data);
    teardown();
}

static struct answer ask(const char *query, const char *const *headers)
{
    char path[256];
    snprintf(path, sizeof path, "/v1/predict%s", query);
    return http(&service, "POST", path, headers, volume.data, volume.length);
}

static json_t *ask_json(const char *query)
{
    struct answer answer = ask(query, NULL);
    ck_assert_msg(answer.status == 200, "%d: %.300s", answer.status, answer.body);
    json_t *root = parse((char *)answer.body, answer.length);
    answer_free(&answer);
    return root;
}

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

/* ---- streams ---- */

/* The stream's events, an array. */
static json_t *ask_events(const char *query, const char *accept)
{
    struct answer answer = ask(query, WORDS(accept));
    ck_assert_int_eq(answer.status, 200);
    ck_assert_str_eq(answer_header(&answer, "X-Accel-Buffering"), "no");
    ck_assert_str_eq(answer_header(&answer, "Cache-Control"), "no-store");
    json_t *events = json_array();
    char *rest = (char *)answer.body, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        bool data = strncmp(line, "data: ", 6) == 0;
        if (data || *line == '{')
            json_array_append_new(events,
                                  parse(line + (data ? 6 : 0), strlen(line) - (data ? 6 : 0)));
    }
    answer_free(&answer);
    return events;
}

static void check_stream(const char *accept)
{
    json_t *whole = ask_json(""), *events = ask_events("", accept);
    size_t count = json_array_size(events);
    ck_assert_uint_eq(count, 5 + 4);
    static const char *const order[] = {"accepted", "volume", "slice",   "slice", "slice",
                                        "slice",    "slice",  "summary", "done"};
    for (size_t i = 0; i < count; i++)
        ck_assert_str_eq(text(json_array_get(events, i), "event"), order[i]);
    ck_assert(json_equal(find(events, "1.volume"), find(whole, "volume")));
    ck_assert(json_equal(find(events, "7.summary"), find(whole, "summary")));
    ck_assert_str_eq(text(events, "7.input.sha256"), text(whole, "input.sha256"));
    for (size_t i = 0; i < 5; i++) {
        json_t *one = json_array_get(events, 2 + i);
        json_t *other = json_array_get(find(whole, "slices"), i);
        ck_assert_int_eq((int)number(one, "progress.done"), (int)i + 1);
        ck_assert_int_eq((int)number(one, "progress.total"), 5);
        ck_assert_double_ge(number(one, "progress.eta_ms"), 0);
        static const char *const same[] = {"slice",       "classification", "detections",
                                           "explanation", "burden",         "warnings"};
        for (int k = 0; k < 6; k++)
            ck_assert_msg(json_equal(find(one, same[k]), find(other, same[k])), "%s", same[k]);
    }
    ck_assert_int_eq((int)number(events, "8.slices_done"), 5);
    json_decref(whole);
    json_decref(events);
}

START_TEST(streams_say_the_same_one_after_another)
{
    begin(NULL, NULL, 64, 48, 5);
    check_stream("Accept: application/x-ndjson");
    check_stream("Accept: text/event-stream");
    end();
}
END_TEST

START_TEST(what_goes_wrong_is_the_last_event)
{
    begin(NULL, WORDS("FAKE_PREDICT_MS=100"), 40, 32, 40);
    json_t *events = ask_events("?slice=99", "Accept: application/x-ndjson");
    ck_assert_uint_eq(json_array_size(events), 2);
    ck_assert_str_eq(text(events, "1.event"), "error");
    ck_assert_str_eq(text(events, "1.error.code"), "bad_option");
    ck_assert_str_eq(text(events, "1.error.request_id"), text(events, "0.request_id"));
    json_decref(events);
    /* Cut off in the middle: what came before stays. */
    volume.length = volume.length * 2 / 3;
    events = ask_events("?masks=none", "Accept: application/x-ndjson");
    size_t count = json_array_size(events);
    ck_assert_uint_gt(count, 5);
    json_t *last = json_array_get(events, count - 1);
    ck_assert_str_eq(text(last, "event"), "error");
    ck_assert_str_eq(text(last, "error.code"), "bad_nifti");
    ck_assert_str_eq(text(json_array_get(events, count - 2), "event"), "slice");
    json_decref(events);
    process_expect_log(&service, "\"code\":\"bad_nifti\"", 1);
    end();
    /* Too slow for the client: some slices, then the deadline. */
    begin(NULL, WORDS("FAKE_PREDICT_MS=200"), 40, 32, 200);
    struct answer answer =
        ask("?masks=none", WORDS("Accept: application/x-ndjson", "X-Request-Timeout-Ms: 1500"));
    ck_assert_int_eq(answer.status, 200);
    ck_assert(answer_has(&answer, "\"event\":\"volume\""));
    ck_assert(answer_has(&answer, "\"code\":\"deadline_exceeded\""));
    answer_free(&answer);
    end();
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

static int open_stream(const char *id, const char *query)
{
    char head[400];
    int fd = raw_open(&service);
    snprintf(head, sizeof head,
             "POST /v1/predict%s HTTP/1.1\r\nHost: x\r\nX-Request-Id: %s\r\nConnection: close\r\n"
             "Accept: application/x-ndjson\r\nContent-Length: %zu\r\n\r\n",
             query, id, volume.length);
    raw_text(fd, head);
    ck_assert(raw_send(fd, volume.data, volume.length));
    return fd;
}

START_TEST(a_client_that_leaves_frees_its_worker)
{
    begin(WORDS("--workers", "1"), WORDS("FAKE_PREDICT_MS=200"), 40, 32, 400);
    int fd = open_stream("leaver", "?masks=none");
    free(raw_read(fd, "\"event\":\"slice\""));
    close(fd);
    wait_for(0, 0); /* 400 slices would take 80 s */
    process_expect_log(&service, "\"client\":\"gone\"", 1);
    check(predict(NULL), 200, "burden");
    end();
}
END_TEST

START_TEST(a_slice_overtakes_a_volume)
{
    begin(WORDS("--workers", "1"), WORDS("FAKE_PREDICT_MS=100"), 40, 32, 300);
    int fd = open_stream("long", "?masks=none&explain=false");
    free(raw_read(fd, "\"event\":\"slice\""));
    for (int i = 0; i < 3; i++)
        check(predict(NULL), 200, "burden");
    char *log = process_log(&service);
    ck_assert_msg(strstr(log, "\"request_id\":\"long\"") == NULL, "the volume is over already");
    free(log);
    close(fd);
    end();
}
END_TEST

/* A reader that stops: its job is put aside, and goes on when it reads again. */
START_TEST(a_slow_reader_lets_its_volume_wait)
{
    begin(WORDS("--workers", "1"), WORDS("FAKE_DETECTIONS=128"), 200, 200, 300);
    int fd = open_stream("slow", "?max_detections=128&explain=false");
    free(raw_read(fd, "\"event\":\"slice\""));
    wait_for(0, 0);
    char *log = process_log(&service);
    ck_assert_msg(strstr(log, "\"request_id\":\"slow\"") == NULL, "nothing was kept waiting");
    free(log);
    check(predict(NULL), 200, "burden");
    char *all = raw_read(fd, NULL);
    ck_assert_ptr_nonnull(strstr(all, "\"event\":\"done\""));
    ck_assert_ptr_nonnull(strstr(all, "\"slices_done\":300"));
    free(all);
    close(fd);
    end();
}
END_TEST

START_TEST(silence_is_broken_by_pings)
{
    begin(NULL, WORDS("FAKE_PREDICT_MS=6000"), 40, 32, 1);
    json_t *events = ask_events("?masks=none", "Accept: application/x-ndjson");
    bool pinged = false;
    json_t *one;
    size_t i;
    json_array_foreach(events, i, one) pinged |= strcmp(text(one, "event"), "ping") == 0;
    ck_assert(pinged);
    json_decref(events);
    end();
}
END_TEST

START_TEST(a_stream_under_way_is_finished_before_the_end)
{
    struct nifti_maker m = nifti_default(40, 32, 10);
    setup(NULL, WORDS("FAKE_PREDICT_MS=50"));
    volume = make_volume(&m, true);
    int fd = open_stream("last", "?masks=none");
    free(raw_read(fd, "\"event\":\"slice\""));
    kill(service.pid, SIGTERM);
    char *all = raw_read(fd, NULL);
    ck_assert_ptr_nonnull(strstr(all, "\"event\":\"done\""));
    free(all);
    close(fd);
    ck_assert_int_eq(process_wait(&service), 0);
    free(volume.data);
    free(slice.data);
}
END_TEST

START_TEST(a_stream_that_the_end_cuts_off_says_so)
{
    struct nifti_maker m = nifti_default(40, 32, 300);
    setup(WORDS("--drain-timeout", "100ms"), WORDS("FAKE_PREDICT_MS=50"));
    volume = make_volume(&m, true);
    int fd = open_stream("cut", "?masks=none");
    free(raw_read(fd, "\"event\":\"slice\""));
    kill(service.pid, SIGTERM);
    char *all = raw_read(fd, NULL);
    ck_assert_ptr_nonnull(strstr(all, "\"event\":\"error\""));
    ck_assert_ptr_nonnull(strstr(all, "\"code\":\"draining\""));
    free(all);
    close(fd);
    ck_assert_int_eq(process_wait(&service), 0);
    free(volume.data);
    free(slice.data);
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

/* ---- harm ---- */

static void attack(const uint8_t *bytes, size_t length, bool gzip, int status, const char *has)
{
    static const char *const accepts[] = {"Accept: application/json", "Accept: application/x-nifti",
                                          "Accept: application/x-ndjson"};
    size_t zipped = length;
    uint8_t *zip = gzip ? gzip_bytes(&zipped, bytes, length) : NULL;
    for (int i = 0; i < 3; i++) {
        struct answer answer = http(&service, "POST", "/v1/predict?masks=none", WORDS(accepts[i]),
                                    zip ? zip : bytes, zipped);
        ck_assert_msg(answer.status == (i == 2 ? 200 : status) && answer_has(&answer, has),
                      "%d instead of %d %s: %.300s", answer.status, status, has, answer.body);
        answer_free(&answer);
    }
    free(zip);
}

START_TEST(files_that_mean_harm)
{
    setup(NULL, NULL);
    check(predict(NULL), 200, "burden");
    long before = process_peak_kb(&service);
    uint8_t header[1024];
    struct nifti_maker m = nifti_default(30000, 30000, 10); /* 18 GB in 377 bytes */
    nifti_header(&m, header);
    attack(header, 377, false, 422, "dim");
    attack(header, 377, true, 422, "dim");
    m = nifti_default(2000000000, 2000000000, 2000000000);
    m.version = 2;
    nifti_header(&m, header);
    attack(header, 560, false, 422, "dim[1..3]");
    m = nifti_default(4, 4, 4);
    m.offset = 900;
    nifti_header(&m, header);
    attack(header, 400, false, 422, "vox_offset");
    /* Every float at once. */
    m = nifti_default(2, 2, 2);
    nifti_header(&m, header);
    for (int at = 76; at < 328; at += 4)
        if (at < 120 || at >= 256)
            nifti_put_real(&m, header + at, 4, NAN);
    attack(header, 352 + 16, false, 422, "vox_offset");
    /* 134 MB of nothing in 130 KB. */
    size_t zipped, bomb = 352 + 2u * 4096 * 4096 * 4;
    uint8_t *nothing = calloc(1, bomb);
    m = nifti_default(4096, 4096, 4);
    nifti_header(&m, nothing);
    uint8_t *zip = gzip_bytes(&zipped, nothing, bomb);
    free(nothing);
    attack(zip, zipped, false, 413, "--max-inflate-ratio");
    /* A small volume with a bomb behind it. */
    uint8_t *tail = malloc(zipped + 1000), *head;
    size_t first;
    m = nifti_default(2, 2, 2);
    memset(header, 0, sizeof header);
    nifti_header(&m, header);
    for (int i = 0; i < 8; i++)
        nifti_voxel(&m, header + 352 + 2 * i, i);
    head = gzip_bytes(&first, header, 352 + 16);
    memcpy(tail, head, first);
    memcpy(tail + first, zip, zipped);
    attack(tail, first + zipped, false, 422, "after the last voxel");
    memcpy(tail + first, "trailing garbage", 16);
    attack(tail, first + 16, false, 422, "no gzip data");
    free(head);
    free(tail);
    free(zip);
    ck_assert_msg(process_peak_kb(&service) - before < 100 * 1024, "%ld KB more",
                  process_peak_kb(&service) - before);
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

/* Sideways, all of it has to be inflated for the first slice: the deadline comes in between. */
START_TEST(what_nobody_waits_for_is_not_inflated_to_its_end)
{
    static const double srow[3][4] = {{0, 0.75, 0, 0}, {0, 0, 0.75, 0}, {5, 0, 0, -300}};
    struct nifti_maker m = nifti_default(4, 4096, 4096);
    memcpy(m.srow, srow, sizeof srow);
    size_t zipped, length = 352 + 2u * 4096 * 4096 * 4;
    uint8_t *nothing = calloc(1, length);
    ck_assert_ptr_nonnull(nothing);
    nifti_header(&m, nothing);
    uint8_t *zip = gzip_bytes(&zipped, nothing, length);
    free(nothing);
    setup(WORDS("--workers", "1", "--max-inflate-ratio", "1032"), NULL);
    bool left = false;
    for (int tries = 0; !left; tries++) {
        ck_assert_int_lt(tries, 50);
        check(http(&service, "POST", "/v1/predict", WORDS("X-Request-Timeout-Ms: 40"), zip, zipped),
              504, "deadline_exceeded");
        wait_for(0, 0);
        struct answer answer = get("/metrics");
        left = answer_has(&answer, "{kind=\"nifti-1\",outcome=\"deadline_exceeded\"}");
        answer_free(&answer);
    }
    free(zip);
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

START_TEST(volumes_share_the_memory_for_bodies)
{
    begin(WORDS("--max-body", "2M", "--max-buffered", "2M"), NULL, 200, 200, 20);
    struct answer answer = ask("?masks=none", NULL);
    ck_assert_int_eq(answer.status, volume.length + 1600000 > 2u << 20 ? 429 : 200);
    answer_free(&answer);
    check(ask("?masks=none&slices=0:2", WORDS("Accept: application/x-nifti")), 429,
          "--max-buffered");
    check(predict(NULL), 200, "burden"); /* all of it was given back */
    end();
    begin(WORDS("--max-body", "1M", "--max-buffered", "1M"), NULL, 200, 200, 20);
    check(ask("?masks=none", NULL), 413, "--max-buffered");
    end();
}
END_TEST

int main(void)
{
    RUN("volumes", a_volume_adds_up, slices_are_chosen, values_are_what_the_options_say,
        doubts_are_said, streams_say_the_same_one_after_another, what_goes_wrong_is_the_last_event,
        a_long_volume_is_no_slow_slice, a_client_that_leaves_frees_its_worker,
        a_slice_overtakes_a_volume, a_slow_reader_lets_its_volume_wait, silence_is_broken_by_pings,
        a_stream_under_way_is_finished_before_the_end, a_stream_that_the_end_cuts_off_says_so,
        pictures_and_volumes_in_one_request, label_maps_lie_where_the_volume_lies,
        files_that_mean_harm, what_nobody_waits_for_is_not_inflated_to_its_end,
        volumes_share_the_memory_for_bodies);
}
