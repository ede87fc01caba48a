/* data/augment and data/lungs: geometry against shapes that are known, intensities, repeatability.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/data/augment.h"
#include "model/data/lungs.h"
#include "model/data/phantom.h"
#include "tests/unit/run.h"

enum { W = 121, H = 101 };

struct pair {
    struct image image;
    uint8_t *labels;
};

/* A grey ground with a disc of label 2 at (cx, cy), both in image and map. */
static struct pair make_disc(float cx, float cy, float radius)
{
    struct pair p;
    ck_assert_int_eq(image_alloc(&p.image, W, H, NULL), 0);
    p.labels = malloc(W * H);
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            float d = sqrtf(((float)x - cx) * ((float)x - cx) + ((float)y - cy) * ((float)y - cy));
            p.labels[y * W + x] = d <= radius ? 2 : 0;
            p.image.pixels[y * W + x] = d <= radius ? 0.75f : 0.25f;
        }
    }
    return p;
}

static struct pair copy_pair(const struct pair *p)
{
    size_t count = (size_t)p->image.width * (size_t)p->image.height;
    struct pair copy;
    ck_assert_int_eq(image_alloc(&copy.image, p->image.width, p->image.height, NULL), 0);
    memcpy(copy.image.pixels, p->image.pixels, count * sizeof(float));
    copy.labels = malloc(count);
    memcpy(copy.labels, p->labels, count);
    return copy;
}

static void free_pair(struct pair *p)
{
    image_free(&p->image);
    free(p->labels);
}

static void apply(struct pair *p, const struct augment_options *options, uint64_t seed)
{
    struct rng rng;
    struct error err;
    rng_seed(&rng, seed);
    ck_assert_msg(augment_apply(&p->image, &p->labels, options, &rng, &err) == 0, "%s", err.text);
}

struct shape {
    double x, y, area; /* centroid and size of what is labelled */
};

static struct shape measure(const struct pair *p)
{
    struct shape s = {0, 0, 0};
    for (int y = 0; y < p->image.height; y++) {
        for (int x = 0; x < p->image.width; x++) {
            if (p->labels[y * p->image.width + x] != 0) {
                s.x += x;
                s.y += y;
                s.area++;
            }
        }
    }
    s.x /= s.area;
    s.y /= s.area;
    return s;
}

/* Image and map must have moved together: half-way grey is the disc's edge. */
static void expect_agreement(const struct pair *p)
{
    int both = 0, either = 0;
    for (int i = 0; i < p->image.width * p->image.height; i++) {
        bool bright = p->image.pixels[i] > 0.5f, marked = p->labels[i] == 2;
        both += bright && marked;
        either += bright || marked;
    }
    ck_assert_msg(both > 0.93 * either, "%d of %d", both, either);
}

START_TEST(zero_strengths_change_nothing)
{
    const struct augment_options none = {0};
    struct pair p = make_disc(40.3f, 50, 20), before = copy_pair(&p);
    struct rng a, b;
    rng_seed(&a, 5);
    rng_seed(&b, 5);
    ck_assert_int_eq(augment_apply(&p.image, &p.labels, &none, &a, NULL), 0);
    ck_assert(memcmp(p.image.pixels, before.image.pixels, W * H * sizeof(float)) == 0);
    ck_assert(memcmp(p.labels, before.labels, W * H) == 0);
    /* and as many numbers are drawn as with everything on */
    const struct augment_options all = {.5f, 10, .1f, .1f, .5f, .1f, .1f, .1f, .1f};
    ck_assert_int_eq(augment_apply(&p.image, NULL, &all, &b, NULL), 0);
    ck_assert(memcmp(&a, &b, sizeof a) == 0);
    free_pair(&p);
    free_pair(&before);
}
END_TEST

START_TEST(flip_mirrors_exactly)
{
    const struct augment_options flip = {.flip = 1};
    struct pair p = make_disc(30, 44, 17), before = copy_pair(&p);
    apply(&p, &flip, 1);
    for (int y = 0; y < H; y++) {
        for (int x = 0; x < W; x++) {
            ck_assert(p.image.pixels[y * W + x] == before.image.pixels[y * W + W - 1 - x]);
            ck_assert(p.labels[y * W + x] == before.labels[y * W + W - 1 - x]);
        }
    }
    apply(&p, &flip, 2);
    ck_assert(memcmp(p.labels, before.labels, W * H) == 0);
    free_pair(&p);
    free_pair(&before);
}
END_TEST

START_TEST(flip_keeps_its_probability)
{
    const struct augment_options flip = {.flip = 0.25f};
    int flipped = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct pair p = make_disc(30, 50, 8);
        apply(&p, &flip, seed);
        flipped += measure(&p).x > W / 2.0;
        free_pair(&p);
    }
    ck_assert_int_gt(flipped, 65); /* 100 expected, deviation 8.7 */
    ck_assert_int_lt(flipped, 135);
}
END_TEST

START_TEST(rotation_turns_about_the_centre)
{
    const struct augment_options rotate = {.rotate = 20};
    double least = 0, most = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct pair p = make_disc(60 + 35, 50, 9);
        apply(&p, &rotate, seed);
        expect_agreement(&p);
        struct shape s = measure(&p);
        double angle = atan2(s.y - 50, s.x - 60) * 180 / 3.14159265358979;
        ck_assert_double_eq_tol(hypot(s.x - 60, s.y - 50), 35, 0.4);
        ck_assert_double_eq_tol(s.area, 253, 14);
        least = angle < least ? angle : least;
        most = angle > most ? angle : most;
        free_pair(&p);
    }
    ck_assert(least < -15 && least > -20.7 && most > 15 && most < 20.7);
}
END_TEST

START_TEST(scale_grows_and_shrinks_about_the_centre)
{
    const struct augment_options scale = {.scale = 0.3f};
    double least = 1, most = 1;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct pair p = make_disc(60 + 20, 50 - 10, 12);
        double area = measure(&p).area;
        apply(&p, &scale, seed);
        expect_agreement(&p);
        struct shape s = measure(&p);
        double zoom = sqrt(s.area / area);
        ck_assert_double_eq_tol(s.x - 60, 20 * zoom, 0.7);
        ck_assert_double_eq_tol(s.y - 50, -10 * zoom, 0.7);
        least = zoom < least ? zoom : least;
        most = zoom > most ? zoom : most;
        free_pair(&p);
    }
    ck_assert(least > 1 / 1.33 && least < 0.85 && most < 1.33 && most > 1.2);
}
END_TEST

/* Turned and zoomed at once a disc stays a disc, mirrored or not. */
START_TEST(shapes_are_not_sheared)
{
    const struct augment_options both = {.rotate = 45, .scale = 0.4f, .flip = 0.5f};
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct pair p = make_disc(60 + 8, 50, 18);
        apply(&p, &both, seed);
        expect_agreement(&p);
        struct lung_box box = lungs_labelled(p.labels, W, H);
        ck_assert_int_le(abs((box.x1 - box.x0) - (box.y1 - box.y0)), 2);
        struct shape s = measure(&p);
        ck_assert_double_eq_tol(hypot(s.x - 60, s.y - 50), 8 * sqrt(s.area / 1018), 0.6);
        free_pair(&p);
        /* however large it gets, it does not turn further */
        const struct augment_options little = {.rotate = 10, .scale = 0.5f};
        p = make_disc(60 + 30, 50, 8);
        apply(&p, &little, seed);
        s = measure(&p);
        ck_assert_double_le(fabs(atan2(s.y - 50, s.x - 60)), 10.7 * 3.14159265358979 / 180);
        free_pair(&p);
    }
}
END_TEST

START_TEST(translation_stays_within_its_share)
{
    const struct augment_options translate = {.translate = 0.1f};
    double low_x = 0, high_x = 0, low_y = 0, high_y = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct pair p = make_disc(60, 50, 15);
        apply(&p, &translate, seed);
        expect_agreement(&p);
        struct shape s = measure(&p);
        low_x = s.x - 60 < low_x ? s.x - 60 : low_x;
        high_x = s.x - 60 > high_x ? s.x - 60 : high_x;
        low_y = s.y - 50 < low_y ? s.y - 50 : low_y;
        high_y = s.y - 50 > high_y ? s.y - 50 : high_y;
        free_pair(&p);
    }
    ck_assert(low_x > -12.7 && low_x < -9 && high_x < 12.7 && high_x > 9);
    ck_assert(low_y > -10.7 && low_y < -7 && high_y < 10.7 && high_y > 7);
}
END_TEST

/* What comes in repeats the image's edge and is background in the map. */
START_TEST(outside_is_edge_and_background)
{
    const struct augment_options shrink = {.scale = 0.5f};
    struct pair p = make_disc(60, 50, 500); /* everything labelled, everything bright */
    uint64_t seed = 0;
    while (measure(&p).area > 0.7 * W * H) {
        free_pair(&p);
        p = make_disc(60, 50, 500);
        apply(&p, &shrink, seed++);
    }
    ck_assert_int_eq(p.labels[0], 0);
    for (int i = 0; i < W * H; i++)
        ck_assert(fabsf(p.image.pixels[i] - 0.75f) < 1e-6f);
    free_pair(&p);
}
END_TEST

START_TEST(same_state_same_result)
{
    const struct augment_options all = {.5f, 10, .1f, .1f, .5f, .1f, .1f, .3f, .05f};
    struct augment_options quiet = all;
    quiet.noise = 0;
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct pair a = make_disc(50, 50, 20), b = copy_pair(&a), c = copy_pair(&a);
        apply(&a, &all, seed);
        apply(&b, &all, seed);
        apply(&c, &quiet, seed);
        size_t count = (size_t)a.image.width * (size_t)a.image.height;
        ck_assert(a.image.width == b.image.width && a.image.height == b.image.height);
        ck_assert(memcmp(a.image.pixels, b.image.pixels, count * sizeof(float)) == 0);
        ck_assert(memcmp(a.labels, b.labels, count) == 0);
        /* noise alone differs */
        ck_assert(a.image.width == c.image.width && a.image.height == c.image.height);
        ck_assert(memcmp(a.labels, c.labels, count) == 0);
        ck_assert(memcmp(a.image.pixels, c.image.pixels, count * sizeof(float)) != 0);
        free_pair(&a);
        free_pair(&b);
        free_pair(&c);
    }
}
END_TEST

/* ---- cropping ---- */

START_TEST(crop_cuts_the_labelled_box)
{
    struct augment_options crop = {.crop = 1};
    struct pair p = make_disc(70, 40, 20), before = copy_pair(&p);
    apply(&p, &crop, 3);
    ck_assert(p.image.width == 41 && p.image.height == 41);
    for (int y = 0; y < 41; y++) {
        for (int x = 0; x < 41; x++) {
            int at = (y + 20) * W + x + 50;
            ck_assert(p.image.pixels[y * 41 + x] == before.image.pixels[at]);
            ck_assert(p.labels[y * 41 + x] == before.labels[at]);
        }
    }
    free_pair(&p);
    /* a margin of a tenth, cut where the image ends */
    p = make_disc(10, 40, 20);
    crop.margin = 0.1f;
    apply(&p, &crop, 3);
    ck_assert(p.image.width == 31 + 3 && p.image.height == 41 + 8);
    free_pair(&p);
    /* nothing labelled, nothing cut */
    p = make_disc(60, 50, -1);
    apply(&p, &crop, 3);
    ck_assert(p.image.width == W && p.image.height == H);
    free_pair(&p);
    free_pair(&before);
}
END_TEST

START_TEST(lungs_are_found_without_labels)
{
    const struct augment_options crop = {.crop = 1, .margin = 0.02f};
    for (uint64_t seed = 0; seed < 9; seed++) {
        struct phantom ph;
        struct image image;
        struct lung_box box;
        struct rng rng;
        ck_assert_int_eq(phantom_slice(&ph, (enum phantom_kind)(seed % 3), seed, 160, 160, NULL),
                         0);
        ck_assert_int_eq(phantom_image(&image, &ph, 0, NULL), 0);
        struct lung_box want = lungs_labelled(ph.labels, 160, 160);
        ck_assert_int_eq(lungs_find(&box, &image, NULL), 0);
        ck_assert_msg(abs(box.x0 - want.x0) <= 16 && abs(box.x1 - want.x1) <= 16 &&
                          abs(box.y0 - want.y0) <= 16 && abs(box.y1 - want.y1) <= 16,
                      "seed %d: %d %d %d %d, not %d %d %d %d", (int)seed, box.x0, box.y0, box.x1,
                      box.y1, want.x0, want.y0, want.x1, want.y1);
        rng_seed(&rng, seed);
        ck_assert_int_eq(augment_apply(&image, NULL, &crop, &rng, NULL), 0);
        ck_assert(image.width < 150 && image.height < 130);
        image_free(&image);
        phantom_free(&ph);
    }
}
END_TEST

START_TEST(other_pictures_have_no_lungs)
{
    struct image image;
    struct lung_box box;
    struct rng rng;
    struct error err;
    rng_seed(&rng, 1);
    ck_assert_int_eq(image_alloc(&image, 100, 100, NULL), 0);
    ck_assert_int_eq(lungs_find(&box, &image, NULL), 0); /* black */
    ck_assert_int_eq(box.area, 0);
    for (int i = 0; i < 100 * 100; i++)
        image.pixels[i] = rng_float(&rng) < 0.8f ? 1 : 0; /* specks */
    ck_assert_int_eq(lungs_find(&box, &image, NULL), 0);
    ck_assert_int_eq(box.area, 0);
    for (int i = 0; i < 100 * 100; i++)
        image.pixels[i] = (float)(i % 100) / 100; /* dark, but at the edge */
    ck_assert_int_eq(lungs_find(&box, &image, NULL), 0);
    ck_assert_int_eq(box.area, 0);
    image_free(&image);
    ck_assert_int_ne(lungs_find(&box, &image, &err), 0);
    ck_assert_int_eq(err.code, ERR_ARGUMENT);
}
END_TEST

/* Dark squares on bright ground: an island is a lung, one that reaches any edge is not. */
START_TEST(islands_count_edges_do_not)
{
    static const struct {
        int x0, y0, x1, y1;
        bool found;
    } squares[] = {
        {20, 30, 50, 60, true},   {1, 1, 31, 31, true},    {69, 69, 99, 99, true},
        {0, 30, 30, 60, false},   {30, 0, 60, 30, false},  {70, 30, 100, 60, false},
        {30, 70, 60, 100, false}, {40, 40, 51, 51, false}, {40, 40, 56, 56, true},
    };
    for (size_t k = 0; k < sizeof squares / sizeof *squares; k++) {
        struct image image;
        struct lung_box box;
        ck_assert_int_eq(image_alloc(&image, 100, 100, NULL), 0);
        for (int i = 0; i < 100 * 100; i++)
            image.pixels[i] = i % 100 >= squares[k].x0 && i % 100 < squares[k].x1 &&
                                      i / 100 >= squares[k].y0 && i / 100 < squares[k].y1
                                  ? 0.3f
                                  : 0.9f;
        ck_assert_int_eq(lungs_find(&box, &image, NULL), 0);
        ck_assert((box.area > 0) == squares[k].found);
        if (squares[k].found)
            ck_assert(box.x0 == squares[k].x0 && box.y0 == squares[k].y0 &&
                      box.x1 == squares[k].x1 && box.y1 == squares[k].y1);
        image_free(&image);
    }
}
END_TEST

/* ---- intensities ---- */

static struct image make_ramp(void)
{
    struct image ramp;
    ck_assert_int_eq(image_alloc(&ramp, 201, 50, NULL), 0);
    for (int i = 0; i < 201 * 50; i++)
        ramp.pixels[i] = (float)(i % 201) / 200;
    return ramp;
}

START_TEST(window_is_a_straight_line)
{
    const struct augment_options window = {.window = 0.2f};
    bool moved = false;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct image ramp = make_ramp();
        struct rng rng;
        rng_seed(&rng, seed);
        ck_assert_int_eq(augment_apply(&ramp, NULL, &window, &rng, NULL), 0);
        /* inside 0.2..0.8 nothing is clipped, whatever was drawn */
        float low = ramp.pixels[40], high = ramp.pixels[160], slope = (high - low) / 120;
        ck_assert(slope > 1 / 1.41f / 200 && slope < 1 / 0.59f / 200);
        ck_assert(low >= -1e-6f && high <= 1 + 1e-6f);
        for (int i = 40; i <= 160; i++)
            ck_assert_float_eq_tol(ramp.pixels[i], low + slope * (float)(i - 40), 1e-5f);
        moved |= fabsf(low - 0.2f) > 0.05f;
        image_free(&ramp);
    }
    ck_assert(moved);
}
END_TEST

START_TEST(gamma_bends_and_keeps_ends)
{
    const struct augment_options gamma = {.gamma = 0.5f};
    float least = 1, most = 0;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct image ramp = make_ramp();
        struct rng rng;
        rng_seed(&rng, seed);
        ck_assert_int_eq(augment_apply(&ramp, NULL, &gamma, &rng, NULL), 0);
        ck_assert(ramp.pixels[0] == 0 && fabsf(ramp.pixels[200] - 1) < 1e-6f);
        for (int i = 1; i <= 200; i++)
            ck_assert(ramp.pixels[i] > ramp.pixels[i - 1]);
        /* v^e at a half and at a quarter belong together: (v/2)^e = (v^e)^2 */
        ck_assert_float_eq_tol(ramp.pixels[50], ramp.pixels[100] * ramp.pixels[100], 1e-5f);
        least = ramp.pixels[100] < least ? ramp.pixels[100] : least;
        most = ramp.pixels[100] > most ? ramp.pixels[100] : most;
        image_free(&ramp);
    }
    /* 0.5^1.5 .. 0.5^(1/1.5) */
    ck_assert(least > 0.353f && least < 0.42f && most < 0.631f && most > 0.57f);
}
END_TEST

START_TEST(noise_has_its_strength)
{
    const struct augment_options noise = {.noise = 0.1f};
    double most = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct image flat;
        struct rng rng;
        double sum = 0, square = 0;
        rng_seed(&rng, seed);
        ck_assert_int_eq(image_alloc(&flat, 100, 100, NULL), 0);
        for (int i = 0; i < 10000; i++)
            flat.pixels[i] = 0.5f;
        ck_assert_int_eq(augment_apply(&flat, NULL, &noise, &rng, NULL), 0);
        for (int i = 0; i < 10000; i++) {
            ck_assert(flat.pixels[i] >= 0 && flat.pixels[i] <= 1);
            sum += (double)flat.pixels[i] - 0.5;
            square += ((double)flat.pixels[i] - 0.5) * ((double)flat.pixels[i] - 0.5);
        }
        double deviation = sqrt(square / 10000);
        ck_assert_double_lt(fabs(sum / 10000), 0.005);
        ck_assert_double_lt(deviation, 0.103);
        most = deviation > most ? deviation : most;
        image_free(&flat);
    }
    ck_assert_double_gt(most, 0.08);
}
END_TEST

/* ---- ranges ---- */

START_TEST(ranges_are_checked)
{
    static const char *const names[] = {"flip",   "rotate", "scale", "translate", "crop",
                                        "margin", "window", "gamma", "noise"};
    const float most[] = {1, 45, 0.5f, 0.25f, 1, 0.5f, 0.3f, 1, 0.2f};
    for (int i = 0; i < 9; i++) {
        const float odd[] = {-0.01f, most[i] * 1.01f, NAN, INFINITY};
        for (int k = 0; k < 4; k++) {
            float values[9] = {0};
            struct augment_options options;
            struct error err;
            values[i] = odd[k];
            memcpy(&options, values, sizeof options);
            ck_assert_int_ne(augment_check(&options, &err), 0);
            ck_assert_int_eq(err.code, ERR_ARGUMENT);
            ck_assert_ptr_nonnull(strstr(err.text, names[i]));
            struct pair p = make_disc(60, 50, 9), before = copy_pair(&p);
            struct rng rng = {{1, 2, 3, 4}};
            ck_assert_int_ne(augment_apply(&p.image, &p.labels, &options, &rng, &err), 0);
            ck_assert(memcmp(p.image.pixels, before.image.pixels, W * H * sizeof(float)) == 0);
            free_pair(&p);
            free_pair(&before);
        }
        float values[9] = {0};
        struct augment_options options;
        values[i] = most[i];
        memcpy(&options, values, sizeof options);
        ck_assert_int_eq(augment_check(&options, NULL), 0);
    }
}
END_TEST

int main(void)
{
    RUN("augment", zero_strengths_change_nothing, flip_mirrors_exactly, flip_keeps_its_probability,
        rotation_turns_about_the_centre, scale_grows_and_shrinks_about_the_centre,
        shapes_are_not_sheared, translation_stays_within_its_share, outside_is_edge_and_background,
        same_state_same_result, crop_cuts_the_labelled_box, lungs_are_found_without_labels,
        islands_count_edges_do_not, other_pictures_have_no_lungs, window_is_a_straight_line,
        gamma_bends_and_keeps_ends, noise_has_its_strength, ranges_are_checked);
}
