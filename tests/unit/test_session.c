/* model: sessions, threads, options, slices of all sizes, memory. */
#include <pthread.h>

#include "tests/unit/oom.h"
#include "tests/unit/run.h"
#include "tests/unit/small_model.h"

static char path[512];
static struct model *model;
static struct session *session;
static struct prediction first, second; /* large: not on the stack */

static void set_up(void)
{
    snprintf(path, sizeof path, "%s", scratch("small.safetensors"));
    write_model(path);
    model = load(path, 2);
    session = open_session(model);
}

static void tear_down(void)
{
    session_close(session);
    model_free(model);
}

static int predict(struct session *s, const struct image *image, float threshold, int most,
                   struct prediction *out, struct error *err)
{
    const struct predict_options options = {threshold, most};
    return session_predict(s, image, &options, out, err);
}

static void predict_seed(struct session *s, unsigned seed, struct prediction *out)
{
    struct error err = {.text = ""};
    struct image image = slice(300, 280, seed);
    memset(out, 0x55, sizeof *out);
    ck_assert_msg(predict(s, &image, .1f, 50, out, &err) == 0, "%s", err.text);
    image_free(&image);
}

/* Everything but the time it took. */
static void same_bits(const struct prediction *a, const struct prediction *b)
{
    ck_assert_int_eq(a->detections_count, b->detections_count);
    ck_assert_int_eq(a->regions_count, b->regions_count);
    ck_assert_int_eq(a->unique_regions, b->unique_regions);
    ck_assert_int_eq(a->predicted, b->predicted);
    ck_assert(a->classified == b->classified);
    ck_assert_mem_eq(a->logits, b->logits, sizeof a->logits);
    ck_assert_mem_eq(a->probabilities, b->probabilities, sizeof a->probabilities);
    for (int i = 0; i < a->detections_count; i++)
        ck_assert_mem_eq(&a->detections[i], &b->detections[i], sizeof a->detections[i]);
    for (int i = 0; i < a->regions_count; i++) {
        const struct region *p = &a->regions[i], *q = &b->regions[i];
        ck_assert_mem_eq(&p->box, &q->box, sizeof p->box);
        ck_assert(p->label == q->label && p->score == q->score && p->padded == q->padded);
        ck_assert(p->attention_for == q->attention_for);
        ck_assert(p->attention_against == q->attention_against);
    }
}

/* ---- sessions ---- */

START_TEST(an_answer_makes_sense)
{
    predict_seed(session, 1, &first);
    ck_assert_int_eq(first.width, 300);
    ck_assert_int_eq(first.height, 280);
    ck_assert_int_gt(first.detections_count, 1);
    ck_assert(first.classified);
    ck_assert_int_eq(first.regions_count, 8);
    ck_assert_int_ge(first.unique_regions, 1);
    double weight[2] = {0, 0}, seconds = 0;
    int padded = 0;
    for (int i = 0; i < first.regions_count; i++) {
        weight[0] += (double)first.regions[i].attention_for;
        weight[1] += (double)first.regions[i].attention_against;
        padded += first.regions[i].padded;
    }
    ck_assert_double_eq_tol(weight[0], 1, 1e-5);
    ck_assert_double_eq_tol(weight[1], 1, 1e-5);
    ck_assert_int_eq(padded, 8 - first.unique_regions);
    for (int i = 1; i < first.detections_count; i++)
        ck_assert(first.detections[i].score <= first.detections[i - 1].score);
    for (int c = 0; c < MODEL_IMAGE_CLASSES; c++) {
        ck_assert(first.logits[c] <= first.logits[first.predicted]);
        ck_assert_double_eq_tol((double)first.probabilities[c],
                                1 / (1 + exp(-(double)first.logits[c])), 1e-6);
    }
    for (int s = 0; s < MODEL_STAGES; s++)
        seconds += first.seconds[s];
    ck_assert_double_gt(seconds, 0);
}
END_TEST

/* What was predicted before, or failed, must not show. */
START_TEST(a_session_remembers_nothing)
{
    struct error err;
    struct image flat;
    static struct prediction third;
    predict_seed(session, 1, &first);
    predict_seed(session, 2, &third);
    ck_assert_mem_ne(first.logits, third.logits, sizeof first.logits);
    ck_assert_int_eq(image_alloc(&flat, 20, 30, &err), 0);
    ck_assert_int_eq(session_predict(session, &flat, NULL, &third, &err), -1);
    image_free(&flat);
    predict_seed(session, 1, &second);
    same_bits(&first, &second);
}
END_TEST

struct worker {
    pthread_t thread;
    const struct model *model;
    struct prediction *answers; /* of seeds 1 and 2 */
};

static void *work(void *context)
{
    struct worker *worker = context;
    struct error err;
    struct session *s;
    const struct predict_options options = {.1f, 50};
    if (session_open(&s, worker->model, &err) != 0)
        return NULL;
    for (int i = 0; i < 4; i++) {
        struct image image = slice(300, 280, 1 + (unsigned)i % 2);
        session_predict(s, &image, &options, &worker->answers[i % 2], &err);
        image_free(&image);
    }
    session_close(s);
    return NULL;
}

START_TEST(sessions_of_two_threads_answer_as_one)
{
    struct worker workers[2];
    static struct prediction answers[2][2];
    for (int i = 0; i < 2; i++) {
        workers[i] = (struct worker){.model = model, .answers = answers[i]};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(workers[i].thread, NULL);
    for (unsigned seed = 1; seed <= 2; seed++) {
        predict_seed(session, seed, &first);
        same_bits(&first, &answers[0][seed - 1]);
        same_bits(&first, &answers[1][seed - 1]);
    }
}
END_TEST

static void close_enough(const float *a, const float *b, int count, double largest)
{
    for (int i = 0; i < count; i++)
        ck_assert_double_eq_tol((double)a[i], (double)b[i], 1e-4 * largest);
}

START_TEST(threads_agree)
{
    struct model *single = load(path, 1);
    struct session *s = open_session(single);
    predict_seed(session, 3, &first);
    predict_seed(s, 3, &second);
    ck_assert_int_eq(first.detections_count, second.detections_count);
    ck_assert_int_eq(first.regions_count, second.regions_count);
    double largest = 0;
    for (int c = 0; c < MODEL_IMAGE_CLASSES; c++)
        largest = fmax(largest, fabs((double)first.logits[c]));
    close_enough(first.logits, second.logits, MODEL_IMAGE_CLASSES, largest);
    for (int i = 0; i < first.detections_count; i++) {
        const struct detection *a = &first.detections[i], *b = &second.detections[i];
        ck_assert_int_eq(a->label, b->label);
        close_enough(&a->score, &b->score, 1, 1);
        close_enough(&a->box.x0, &b->box.x0, 4, 300);
    }
    for (int i = 0; i < first.regions_count; i++)
        close_enough(&first.regions[i].box.x0, &second.regions[i].box.x0, 4, 300);
    session_close(s);
    model_free(single);
}
END_TEST

/* ---- options ---- */

START_TEST(options_are_respected)
{
    static const float thresholds[] = {0, .3f, .999f};
    static const int most[] = {1, 6, 128};
    struct error err;
    struct image image = slice(200, 200, 4);
    ck_assert_int_eq(predict(session, &image, 0, 128, &first, &err), 0);
    ck_assert_int_gt(first.detections_count, 20);
    for (int t = 0; t < 3; t++)
        for (int m = 0; m < 3; m++) {
            ck_assert_int_eq(predict(session, &image, thresholds[t], most[m], &second, &err), 0);
            int right = 0; /* suppression goes from the best down: a prefix of the whole list */
            while (right < first.detections_count && right < most[m] &&
                   first.detections[right].score > thresholds[t])
                right++;
            ck_assert_int_eq(second.detections_count, right);
            ck_assert_mem_eq(second.logits, first.logits, sizeof first.logits);
            for (int i = 0; i < right; i++)
                ck_assert(second.detections[i].score == first.detections[i].score);
        }
    image_free(&image);
}
END_TEST

START_TEST(defaults_are_the_models)
{
    struct error err;
    struct image image = slice(200, 200, 4);
    ck_assert_int_eq(predict(session, &image, .3f, 6, &first, &err), 0);
    ck_assert_int_eq(session_predict(session, &image, NULL, &second, &err), 0);
    same_bits(&first, &second);
    ck_assert_int_eq(predict(session, &image, -1, 0, &second, &err), 0);
    same_bits(&first, &second);
    image_free(&image);
}
END_TEST

START_TEST(options_out_of_range_are_refused)
{
    static const struct predict_options bad[] = {
        {1, 4}, {1.5f, 4}, {NAN, 4}, {INFINITY, 4}, {.5f, 129}, {.5f, -1}, {.5f, INT32_MAX}};
    struct image image = slice(64, 64, 4);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct error err = {.code = ERR_NONE};
        ck_assert_msg(session_predict(session, &image, &bad[i], &first, &err) == -1,
                      "threshold %g, %d detections", (double)bad[i].score_threshold,
                      bad[i].max_detections);
        ck_assert_int_eq(err.code, ERR_ARGUMENT);
    }
    image_free(&image);
}
END_TEST

/* ---- slices of all kinds ---- */

START_TEST(a_constant_slice_is_refused)
{
    struct error err = {.code = ERR_NONE};
    struct image image;
    static const int sides[][2] = {{1, 1}, {512, 512}, {3, 700}};
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(image_alloc(&image, sides[i][0], sides[i][1], &err), 0);
        for (int k = 0; k < sides[i][0] * sides[i][1]; k++)
            image.pixels[k] = .25f;
        ck_assert_int_eq(session_predict(session, &image, NULL, &first, &err), -1);
        ck_assert_int_eq(err.code, ERR_CONSTANT_IMAGE);
        image_free(&image);
    }
}
END_TEST

START_TEST(pixels_must_be_numbers)
{
    struct error err = {.code = ERR_NONE};
    struct image image = slice(40, 40, 1), none = {0};
    image.pixels[777] = NAN;
    ck_assert_int_eq(session_predict(session, &image, NULL, &first, &err), -1);
    ck_assert_int_eq(err.code, ERR_ARGUMENT);
    ck_assert_int_eq(session_predict(session, &none, NULL, &first, &err), -1);
    ck_assert_int_eq(err.code, ERR_ARGUMENT);
    image_free(&image);
}
END_TEST

static bool inside(const struct box *b, const struct prediction *p)
{
    return b->x0 >= 0 && b->y0 >= 0 && b->x0 <= b->x1 && b->y0 <= b->y1 &&
           b->x1 <= (float)p->width && b->y1 <= (float)p->height;
}

START_TEST(boxes_lie_in_the_slice_whatever_its_size)
{
    static const int sizes[][2] = {{2, 1},     {2, 3},     {1, 50},      {100, 700}, {700, 100},
                                   {512, 512}, {511, 513}, {2000, 1500}, {31, 4000}};
    struct error err = {.text = ""};
    struct image image = slice(sizes[_i][0], sizes[_i][1], 5);
    ck_assert_msg(predict(session, &image, 0, 128, &first, &err) == 0, "%s", err.text);
    uint8_t *plane = calloc((size_t)image.width * (size_t)image.height, 1);
    ck_assert_int_gt(first.detections_count, 0);
    for (int i = 0; i < first.detections_count; i++) {
        struct mask_window w;
        const struct detection *d = &first.detections[i];
        ck_assert(inside(&d->box, &first));
        int64_t area = detection_paste(d, image.width, image.height, plane, &w), ones = 0;
        ck_assert(w.x0 >= 0 && w.y0 >= 0 && w.x1 <= image.width && w.y1 <= image.height);
        for (int y = w.y0; y < w.y1; y++)
            for (int x = w.x0; x < w.x1; x++)
                ones += plane[(size_t)y * (size_t)image.width + (size_t)x];
        ck_assert_int_eq(area, ones);
    }
    for (int i = 0; i < first.regions_count; i++)
        ck_assert(inside(&first.regions[i].box, &first));
    ck_assert(first.classified == (first.regions_count > 0));
    free(plane);
    image_free(&image);
}
END_TEST

/* ---- memory ---- */

START_TEST(predicting_allocates_nothing)
{
    struct error err;
    struct image image = slice(400, 300, 6);
    ck_assert_int_eq(predict(session, &image, 0, 128, &first, &err), 0);
    oom_begin(-1);
    int rc = predict(session, &image, 0, 128, &first, &err);
    struct oom seen = oom_end();
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(seen.calls, 0);
    if (getenv("ONESHOT_TEST_VERBOSE"))
        printf("libraries allocated %ld times\n", seen.foreign);
    image_free(&image);
}
END_TEST

START_TEST(no_memory_for_a_session_is_an_error)
{
    struct error err;
    struct oom_walk walk = {.err = &err};
    while (oom_next(&walk)) {
        struct session *s;
        int rc = session_open(&s, model, &err);
        session_close(s);
        oom_judge(&walk, rc);
    }
}
END_TEST

int main(void)
{
    TCase *tc = test_case("session");
    tcase_set_timeout(tc, 120);
    tcase_add_unchecked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, an_answer_makes_sense);
    tcase_add_test(tc, a_session_remembers_nothing);
    tcase_add_test(tc, sessions_of_two_threads_answer_as_one);
    tcase_add_test(tc, threads_agree);
    tcase_add_test(tc, options_are_respected);
    tcase_add_test(tc, defaults_are_the_models);
    tcase_add_test(tc, options_out_of_range_are_refused);
    tcase_add_test(tc, a_constant_slice_is_refused);
    tcase_add_test(tc, pixels_must_be_numbers);
    tcase_add_loop_test(tc, boxes_lie_in_the_slice_whatever_its_size, 0, 9);
    tcase_add_test(tc, predicting_allocates_nothing);
    tcase_add_test(tc, no_memory_for_a_session_is_an_error);
    return run_case_here("session", tc);
}
