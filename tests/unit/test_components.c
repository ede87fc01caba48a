/* data/components: hand-made maps, a flood fill as the second opinion, limits. */
#include <stdlib.h>
#include <string.h>

#include "model/base/rng.h"
#include "model/data/components.h"
#include "tests/unit/oom.h"
#include "tests/unit/run.h"

/* Maps as text: '.' background, digits labels. */
static void read_map(uint8_t *map, const char *text)
{
    for (; *text; text++)
        *map++ = *text == '.' ? 0 : (uint8_t)(*text - '0');
}

static void check_component(const struct component *c, int label, int x0, int y0, int x1, int y1,
                            int area)
{
    ck_assert_int_eq(c->label, label);
    ck_assert_int_eq(c->x0, x0);
    ck_assert_int_eq(c->y0, y0);
    ck_assert_int_eq(c->x1, x1);
    ck_assert_int_eq(c->y1, y1);
    ck_assert_int_eq(c->area, area);
}

START_TEST(finds_what_a_person_sees)
{
    enum { W = 10, H = 7 };
    uint8_t map[W * H], mask[W * H], want[W * H];
    struct components found;
    read_map(map, ".11...22.."
                  "1.1..2..2."
                  "...1.2..2."
                  "..1...22.."
                  ".......1.3"
                  "3.......33"
                  "33.....3..");
    ck_assert_int_eq(components_find(&found, map, W, H, 0, NULL), 0);
    ck_assert_int_eq(found.count, 5);
    check_component(&found.list[0], 1, 0, 0, 4, 4, 6); /* joined over corners */
    check_component(&found.list[1], 2, 5, 0, 9, 4, 8); /* a ring */
    check_component(&found.list[2], 1, 7, 4, 8, 5, 1); /* touches the ring, other label */
    check_component(&found.list[3], 3, 7, 4, 10, 7, 4);
    check_component(&found.list[4], 3, 0, 5, 2, 7, 3);
    components_mask(mask, &found, 3);
    read_map(want, ".........."
                   ".........."
                   ".........."
                   ".........."
                   ".........1"
                   "........11"
                   ".......1..");
    ck_assert(memcmp(mask, want, sizeof want) == 0);
    for (int i = 0; i < W * H; i++)
        ck_assert((found.plane[i] == 0) == (map[i] == 0));
    components_free(&found);

    /* more than three pixels: the single one and the corner of three go */
    ck_assert_int_eq(components_find(&found, map, W, H, 3, NULL), 0);
    ck_assert_int_eq(found.count, 3);
    check_component(&found.list[2], 3, 7, 4, 10, 7, 4);
    ck_assert_int_eq(found.plane[4 * W + 7], 0);
    ck_assert_int_eq(found.plane[4 * W + 9], 3);
    components_free(&found);
}
END_TEST

/* Arms that meet only at the bottom, and a spiral: unions of regions found long ago. */
START_TEST(late_meetings_are_one_region)
{
    uint8_t map[9 * 9];
    struct components found;
    read_map(map, "1.1.1.1.1"
                  "1.1.1.1.1"
                  "1.1.1.1.1"
                  "111111111"
                  "........."
                  "222222222"
                  "2.......2"
                  "2.2222222"
                  "2........");
    ck_assert_int_eq(components_find(&found, map, 9, 9, 0, NULL), 0);
    ck_assert_int_eq(found.count, 2);
    check_component(&found.list[0], 1, 0, 0, 9, 4, 24);
    check_component(&found.list[1], 2, 0, 5, 9, 9, 20);
    components_free(&found);
}
END_TEST

/* The slow and obvious way: spread from each pixel with a stack. */
static int flood(int *plane, const uint8_t *map, int width, int height)
{
    int regions = 0;
    int *stack = malloc(sizeof *stack * (size_t)(width * height) * 8);
    memset(plane, 0, sizeof *plane * (size_t)(width * height));
    for (int start = 0; start < width * height; start++) {
        if (map[start] == 0 || plane[start] != 0)
            continue;
        int depth = 0;
        stack[depth++] = start;
        plane[start] = ++regions;
        while (depth > 0) {
            int at = stack[--depth];
            for (int k = 0; k < 9; k++) {
                int x = at % width + k % 3 - 1, y = at / width + k / 3 - 1;
                if (x < 0 || y < 0 || x >= width || y >= height)
                    continue;
                if (map[y * width + x] == map[at] && plane[y * width + x] == 0) {
                    plane[y * width + x] = regions;
                    stack[depth++] = y * width + x;
                }
            }
        }
    }
    free(stack);
    return regions;
}

START_TEST(agrees_with_flood_fill)
{
    enum { SIDE = 61 };
    static uint8_t map[SIDE * SIDE];
    static int want[SIDE * SIDE];
    struct rng rng;
    rng_seed(&rng, (uint64_t)_i);
    int width = 1 + (int)rng_below(&rng, SIDE), height = 1 + (int)rng_below(&rng, SIDE);
    uint32_t labels = 1 + rng_below(&rng, 4), filled = 20 + rng_below(&rng, 80);
    for (int i = 0; i < width * height; i++)
        map[i] = rng_below(&rng, 100) < filled ? (uint8_t)(1 + rng_below(&rng, labels)) : 0;
    struct components found;
    ck_assert_int_eq(components_find(&found, map, width, height, 0, NULL), 0);
    ck_assert_int_eq(found.count, flood(want, map, width, height));
    int64_t area = 0;
    for (int i = 0; i < width * height; i++)
        ck_assert_int_eq(found.plane[i], want[i]);
    for (int k = 0; k < found.count; k++)
        area += found.list[k].area;
    for (int i = 0; i < width * height; i++)
        area -= map[i] != 0;
    ck_assert_int_eq(area, 0);
    components_free(&found);
}
END_TEST

START_TEST(extremes)
{
    uint8_t one[1] = {7};
    struct components found;
    struct error err;
    ck_assert_int_eq(components_find(&found, one, 1, 1, 0, NULL), 0);
    ck_assert_int_eq(found.count, 1);
    check_component(&found.list[0], 7, 0, 0, 1, 1, 1);
    components_free(&found);
    ck_assert_int_eq(components_find(&found, one, 1, 1, 1, NULL), 0);
    ck_assert_int_eq(found.count, 0);
    components_free(&found);
    static const int odd[][2] = {{0, 1}, {1, 0}, {-1, 1}, {1 << 20, 1 << 20}};
    for (int i = 0; i < 4; i++) {
        ck_assert_int_ne(components_find(&found, one, odd[i][0], odd[i][1], 0, &err), 0);
        ck_assert_int_eq(err.code, ERR_ARGUMENT);
    }
    /* every pixel its own region */
    uint8_t many[64 * 64];
    for (int i = 0; i < 64 * 64; i++)
        many[i] = (uint8_t)(1 + i % 64 % 2 + 2 * (i / 64 % 2));
    ck_assert_int_eq(components_find(&found, many, 64, 64, 0, NULL), 0);
    ck_assert_int_eq(found.count, 64 * 64);
    components_free(&found);
}
END_TEST

START_TEST(no_memory_at_any_point_is_an_error)
{
    uint8_t map[100];
    for (int i = 0; i < 100; i++)
        map[i] = i % 3 == 0;
    struct error err;
    struct oom_walk walk = {.err = &err, .more_than = 3};
    while (oom_next(&walk)) {
        struct components found;
        int rc = components_find(&found, map, 10, 10, 0, &err);
        components_free(&found);
        oom_judge(&walk, rc);
    }
}
END_TEST

int main(void)
{
    TCase *tc = test_case("components");
    tcase_add_test(tc, finds_what_a_person_sees);
    tcase_add_test(tc, late_meetings_are_one_region);
    tcase_add_loop_test(tc, agrees_with_flood_fill, 0, 60);
    tcase_add_test(tc, extremes);
    tcase_add_test(tc, no_memory_at_any_point_is_an_error);
    return run_case("components", tc);
}
