/* data/phantom: same bytes everywhere, exact labels, what each kind promises. */
#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/data/dataset.h"
#include "model/data/phantom.h"
#include "server/cmd_phantom.h"
#include "tests/unit/oom.h"

static struct phantom make_slice(enum phantom_kind kind, uint64_t seed, int width, int height)
{
    struct phantom p;
    struct error err;
    ck_assert_msg(phantom_slice(&p, kind, seed, width, height, &err) == 0, "%s", err.text);
    ck_assert(p.width == width && p.height == height && p.slices == 1 && p.kind == kind);
    return p;
}

/* FNV-1a of values, not of memory: the same for either byte order. */
static uint64_t fingerprint(const struct phantom *p)
{
    uint64_t hash = 0xcbf29ce484222325u;
    int64_t count = (int64_t)p->width * p->height * p->slices;
    for (int64_t i = 0; i < count; i++) {
        hash = (hash ^ (uint16_t)p->hu[i]) * 0x100000001b3u;
        hash = (hash ^ p->labels[i]) * 0x100000001b3u;
    }
    return hash;
}

/* Numbers of one machine and one compiler setting; every other must agree. */
START_TEST(bytes_are_the_same_everywhere)
{
    static const struct {
        enum phantom_kind kind;
        uint64_t seed, fingerprint;
    } cases[] = {
        {PHANTOM_CONTROL, 1, 0x622d00c1cc83a854u},
        {PHANTOM_PNEUMONIA, 2, 0xbde9cae577fbbdc1u},
        {PHANTOM_COVID, 3, 0x447d393389a40c75u},
        {PHANTOM_COVID, UINT64_MAX, 0x5b0760e2f652fd7bu},
    };
    struct phantom p = make_slice(cases[_i].kind, cases[_i].seed, 160, 128);
    ck_assert_msg(fingerprint(&p) == cases[_i].fingerprint, "0x%016llxu",
                  (unsigned long long)fingerprint(&p));
    phantom_free(&p);
}
END_TEST

START_TEST(seeds_and_kinds_differ)
{
    uint64_t seen[12];
    for (int i = 0; i < 12; i++) {
        struct phantom p = make_slice((enum phantom_kind)(i % 3), (uint64_t)(i / 3), 64, 64);
        seen[i] = fingerprint(&p);
        for (int k = 0; k < i; k++)
            ck_assert(seen[k] != seen[i]);
        phantom_free(&p);
    }
}
END_TEST

struct census {
    int64_t count[4];
    double hu[4];      /* mean by label */
    int64_t lesion[2]; /* left and right half of the picture */
};

static struct census take_census(const struct phantom *p)
{
    struct census c = {0};
    int64_t plane = (int64_t)p->width * p->height;
    for (int64_t i = 0; i < plane * p->slices; i++) {
        int label = p->labels[i];
        ck_assert_int_le(label, 3);
        ck_assert(p->hu[i] >= -1024 && p->hu[i] <= 3071);
        c.count[label]++;
        c.hu[label] += p->hu[i];
        if (label > 1)
            c.lesion[i % p->width >= p->width / 2]++;
    }
    for (int l = 0; l < 4; l++)
        c.hu[l] /= c.count[l] ? (double)c.count[l] : 1;
    return c;
}

START_TEST(controls_have_lungs_and_no_lesions)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct phantom p = make_slice(PHANTOM_CONTROL, seed, 96, 96);
        struct census c = take_census(&p);
        ck_assert_int_gt(c.count[1], 96 * 96 / 12);
        ck_assert_int_lt(c.count[1], 96 * 96 / 2);
        ck_assert_int_eq(c.count[2] + c.count[3], 0);
        ck_assert(c.hu[1] > -930 && c.hu[1] < -680);
        /* air in the corners, tissue somewhere */
        ck_assert(p.hu[0] < -900 && p.hu[95] < -900);
        ck_assert(c.hu[0] > c.hu[1]);
        phantom_free(&p);
    }
}
END_TEST

START_TEST(pneumonia_is_dense_and_on_one_side)
{
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct phantom p = make_slice(PHANTOM_PNEUMONIA, seed, 96, 96);
        struct census c = take_census(&p);
        ck_assert_msg(c.count[3] > 15, "seed %d: %d px", (int)seed, (int)c.count[3]);
        ck_assert(c.lesion[0] == 0 || c.lesion[1] == 0);
        ck_assert(c.hu[3] > -250 && c.hu[3] < 100);
        phantom_free(&p);
    }
}
END_TEST

START_TEST(covid_is_hazy_and_in_both_lungs)
{
    int hazier = 0;
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct phantom p = make_slice(PHANTOM_COVID, seed, 96, 96);
        struct census c = take_census(&p);
        ck_assert_msg(c.count[2] > 15, "seed %d: %d px", (int)seed, (int)c.count[2]);
        ck_assert(c.hu[2] > c.hu[1] + 60 && c.hu[2] < -200);
        hazier += c.count[2] > c.count[3];
        phantom_free(&p);
    }
    ck_assert_int_gt(hazier, 9);
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct phantom p;
        ck_assert_int_eq(phantom_volume(&p, PHANTOM_COVID, seed, 64, 64, 20, NULL), 0);
        struct census c = take_census(&p);
        ck_assert(c.lesion[0] > 0 && c.lesion[1] > 0);
        phantom_free(&p);
    }
}
END_TEST

/* Neighbouring slices agree on almost every pixel of the lungs, distant ones do not. */
START_TEST(slices_of_a_volume_belong_together)
{
    enum { N = 40, SIDE = 80 };
    struct phantom p;
    ck_assert_int_eq(phantom_volume(&p, PHANTOM_CONTROL, 5, SIDE, SIDE, N, NULL), 0);
    ck_assert_int_eq(p.slices, N);
    ck_assert(p.spacing_mm[2] * N > 180 && p.spacing_mm[2] * N < 260);
    ck_assert(p.spacing_mm[0] == p.spacing_mm[1] && p.spacing_mm[0] * SIDE > 280);
    int largest = 0;
    for (int k = 1; k < N; k++) {
        int differ = 0;
        for (int i = 0; i < SIDE * SIDE; i++)
            differ +=
                (p.labels[k * SIDE * SIDE + i] > 0) != (p.labels[(k - 1) * SIDE * SIDE + i] > 0);
        largest = differ > largest ? differ : largest;
    }
    ck_assert_msg(largest < SIDE * SIDE / 40, "%d", largest);
    int far = 0;
    for (int i = 0; i < SIDE * SIDE; i++)
        far += (p.labels[i] > 0) != (p.labels[N / 2 * SIDE * SIDE + i] > 0);
    ck_assert_int_gt(far, SIDE * SIDE / 12);
    phantom_free(&p);
}
END_TEST

START_TEST(window_maps_its_ends)
{
    static const int16_t hu[] = {-1024, -1350, -1351, 150, 151, 3071, -600, -594, 0};
    static const uint8_t want[] = {55, 0, 0, 255, 255, 255, 128, 129, 230};
    uint8_t got[9];
    phantom_window(got, hu, 9, PHANTOM_WINDOW, PHANTOM_LEVEL);
    for (int i = 0; i < 9; i++)
        ck_assert_int_eq(got[i], want[i]);
}
END_TEST

START_TEST(image_is_the_windowed_slice)
{
    struct phantom p;
    struct image image;
    ck_assert_int_eq(phantom_volume(&p, PHANTOM_COVID, 9, 40, 50, 3, NULL), 0);
    ck_assert_int_eq(phantom_image(&image, &p, 2, NULL), 0);
    ck_assert(image.width == 40 && image.height == 50 && image.bit_depth == 8 && !image.colour);
    uint8_t want[40 * 50];
    phantom_window(want, p.hu + 2 * 40 * 50, 40 * 50, PHANTOM_WINDOW, PHANTOM_LEVEL);
    for (int i = 0; i < 40 * 50; i++)
        ck_assert(image.pixels[i] == want[i] / 255.0f);
    image_free(&image);
    phantom_free(&p);
}
END_TEST

START_TEST(limits_are_refused)
{
    static const struct {
        int kind, width, height, slices;
    } odd[] = {{0, 31, 64, 1},  {0, 64, 31, 1}, {0, 4097, 64, 1},  {0, 64, 4097, 1}, {3, 64, 64, 1},
               {-1, 64, 64, 1}, {0, 64, 64, 0}, {0, 64, 64, 1025}, {0, 64, 64, -5}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        struct phantom p = {.width = 3};
        struct error err;
        ck_assert_int_ne(phantom_volume(&p, (enum phantom_kind)odd[i].kind, 1, odd[i].width,
                                        odd[i].height, odd[i].slices, &err),
                         0);
        ck_assert_int_eq(err.code, ERR_ARGUMENT);
        ck_assert(p.hu == NULL && p.labels == NULL && p.width == 0);
    }
    ck_assert_str_eq(phantom_kind_name(0), "control");
    ck_assert_str_eq(phantom_kind_name(2), "covid");
    ck_assert_ptr_null(phantom_kind_name(3));
    ck_assert_ptr_null(phantom_kind_name(-1));
}
END_TEST

/* ---- the command ---- */

static int run(const char *line)
{
    char words[256], *argv[16] = {NULL}, *rest = NULL;
    int argc = 0;
    snprintf(words, sizeof words, "%s", line);
    for (char *w = strtok_r(words, " ", &rest); w != NULL && argc < 15;
         w = strtok_r(NULL, " ", &rest))
        argv[argc++] = w;
    return cmd_phantom(argc, argv);
}

static int remove_one(const char *path, const struct stat *info, int flag, struct FTW *where)
{
    (void)info;
    (void)flag;
    (void)where;
    return remove(path);
}

/* A folder of its own for each test, and what the command says in a file there. */
static char home[64];
static int kept[3]; /* standard output and error, working folder, as they were */

static void enter_home(void)
{
    snprintf(home, sizeof home, "/tmp/test_phantom_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(home));
    fflush(stdout);
    fflush(stderr);
    kept[0] = dup(STDOUT_FILENO);
    kept[1] = dup(STDERR_FILENO);
    kept[2] = open(".", O_RDONLY | O_DIRECTORY);
    ck_assert(kept[0] >= 0 && kept[1] >= 0 && kept[2] >= 0);
    ck_assert_int_eq(chdir(home), 0);
    int out = open("/dev/null", O_WRONLY), err = open("messages", O_WRONLY | O_CREAT, 0666);
    ck_assert(out >= 0 && err >= 0);
    ck_assert_int_ge(dup2(out, STDOUT_FILENO), 0);
    ck_assert_int_ge(dup2(err, STDERR_FILENO), 0);
    close(out);
    close(err);
}

static void leave_home(void)
{
    fflush(stdout);
    fflush(stderr);
    dup2(kept[0], STDOUT_FILENO);
    dup2(kept[1], STDERR_FILENO);
    ck_assert_int_eq(fchdir(kept[2]), 0);
    for (int i = 0; i < 3; i++)
        close(kept[i]);
    nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

START_TEST(data_sets_it_writes_can_be_read)
{
    struct dataset d;
    struct error err;
    struct image image, want;
    uint8_t *labels;
    struct phantom p = make_slice(PHANTOM_COVID, 6, 64, 64);
    ck_assert_int_eq(run("phantom --out a/b --count 6 --size 64 --seed 4"), 0);
    ck_assert_int_eq(dataset_open_classification(&d, "a/b/classification", NULL, &err), 0);
    ck_assert_int_eq(dataset_check(&d, NULL, NULL, &err), 0);
    ck_assert(d.count == 6 && d.problems_count == 0);
    for (int i = 0; i < 6; i++)
        for (int c = 0; c < 3; c++)
            ck_assert_int_eq(d.samples[i].classes[c], i / 2 == c);
    ck_assert_str_eq(d.samples[4].patient, "covid000006");
    dataset_free(&d);
    ck_assert_int_eq(dataset_open_segmentation(&d, "a/b/segmentation", NULL, &err), 0);
    ck_assert_int_eq(dataset_check(&d, NULL, NULL, &err), 0);
    ck_assert(d.count == 6 && d.problems_count == 0);
    ck_assert_int_eq(dataset_load(&image, &labels, &d, 4, &err), 0);
    ck_assert_int_eq(phantom_image(&want, &p, 0, NULL), 0);
    ck_assert(memcmp(image.pixels, want.pixels, 64 * 64 * sizeof(float)) == 0);
    ck_assert(memcmp(labels, p.labels, 64 * 64) == 0);
    free(labels);
    image_free(&image);
    image_free(&want);
    phantom_free(&p);
    dataset_free(&d);

    /* of a sick patient's volume only slices with lesions */
    ck_assert_int_eq(run("phantom --out v --count 1 --size 64 --kind pneumonia --volume 20"), 0);
    ck_assert_int_eq(dataset_open_segmentation(&d, "v/segmentation", NULL, &err), 0);
    ck_assert(d.count > 2 && d.count < 20);
    for (size_t i = 0; i < d.count; i++) {
        int lesion = 0;
        ck_assert_int_eq(dataset_load(&image, &labels, &d, i, &err), 0);
        for (int k = 0; k < 64 * 64; k++)
            lesion += labels[k] > 1;
        ck_assert_int_gt(lesion, 0);
        free(labels);
        image_free(&image);
    }
    dataset_free(&d);
}
END_TEST

START_TEST(one_picture_and_its_labels)
{
    struct phantom p = make_slice(PHANTOM_COVID, 7, 80, 80);
    struct image image, want;
    uint8_t *labels;
    int width, height;
    ck_assert_int_eq(run("phantom --kind covid --seed 7 --png s.png --labels l.png --size 80"), 0);
    ck_assert_int_eq(image_load_png(&image, "s.png", 6400, NULL), 0);
    ck_assert_int_eq(image_load_labels(&labels, &width, &height, "l.png", 6400, NULL), 0);
    ck_assert_int_eq(phantom_image(&want, &p, 0, NULL), 0);
    ck_assert(memcmp(image.pixels, want.pixels, 6400 * sizeof(float)) == 0);
    ck_assert(memcmp(labels, p.labels, 6400) == 0);
    free(labels);
    image_free(&image);
    image_free(&want);
    phantom_free(&p);
}
END_TEST

START_TEST(wrong_use_is_told)
{
    static const struct {
        const char *line;
        int code;
        const char *says;
    } cases[] = {
        {"phantom --help", 0, ""},
        {"phantom", 2, "one of --png"},
        {"phantom --png a --out b", 2, "one of --png"},
        {"phantom --png a --kind mixed", 2, "mixed"},
        {"phantom --out a --labels b", 2, "--labels"},
        {"phantom --png a --volume 4", 2, "--volume goes with"},
        {"phantom --png a --count 4", 2, "--count goes with"},
        {"phantom --nifti a.png", 2, "not 'a.png'"},
        {"phantom --nifti a.nii --labels b.png", 2, "not 'b.png'"},
        {"phantom --png a.nii.gz", 2, "'a.nii.gz'"},
        {"phantom --out a --count 0", 2, "--count is 1 to"},
        {"phantom --out a --count 5x", 2, "5x"},
        {"phantom --out a --size 31", 2, "--size is 32 to"},
        {"phantom --out a --size -64", 2, "--size"},
        {"phantom --out a --volume 1025", 2, "--volume"},
        {"phantom --out a --seed 18446744073709551616", 2, "--seed"},
        {"phantom --out a --kind flu", 2, "flu"},
        {"phantom --out a more", 2, "more"},
        {"phantom --bogus", 2, "bogus"},
        {"phantom --png none/x.png --size 32", 1, "none/x.png"},
        {"phantom --out messages/x --size 32", 1, "messages"},
    };
    ck_assert_int_eq(run(cases[_i].line), cases[_i].code);
    char said[2048] = "";
    fflush(stderr);
    FILE *file = fopen("messages", "r");
    ck_assert_ptr_nonnull(file);
    said[fread(said, 1, sizeof said - 1, file)] = 0;
    fclose(file);
    ck_assert_ptr_nonnull(strstr(said, cases[_i].says));
    ck_assert((said[0] == 0) == (cases[_i].code == 0));
}
END_TEST

START_TEST(no_memory_at_any_point_is_an_error)
{
    struct error err;
    struct oom_walk walk = {.err = &err, .more_than = 7};
    while (oom_next(&walk)) {
        struct phantom p;
        int rc = phantom_slice(&p, PHANTOM_COVID, 1, 32, 32, &err);
        phantom_free(&p);
        oom_judge(&walk, rc);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("phantom");
    TCase *tc = tcase_create("phantom");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, bytes_are_the_same_everywhere, 0, 4);
    tcase_add_test(tc, seeds_and_kinds_differ);
    tcase_add_test(tc, controls_have_lungs_and_no_lesions);
    tcase_add_test(tc, pneumonia_is_dense_and_on_one_side);
    tcase_add_test(tc, covid_is_hazy_and_in_both_lungs);
    tcase_add_test(tc, slices_of_a_volume_belong_together);
    tcase_add_test(tc, window_maps_its_ends);
    tcase_add_test(tc, image_is_the_windowed_slice);
    tcase_add_test(tc, limits_are_refused);
    tcase_add_test(tc, no_memory_at_any_point_is_an_error);
    suite_add_tcase(suite, tc);
    TCase *command = tcase_create("command");
    tcase_add_checked_fixture(command, enter_home, leave_home);
    tcase_set_timeout(command, 120);
    tcase_add_test(command, data_sets_it_writes_can_be_read);
    tcase_add_test(command, one_picture_and_its_labels);
    tcase_add_loop_test(command, wrong_use_is_told, 0, 21);
    suite_add_tcase(suite, command);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
