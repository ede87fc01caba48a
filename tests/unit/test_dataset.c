/* data/dataset: layouts, class sources, what is wrong with files, loading, order. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/data/dataset.h"
#include "tests/unit/folder.h"
#include "tests/unit/oom.h"
#include "tests/unit/run.h"

/* ---- a folder of our own ---- */

static void folder(const char *name)
{
    ck_assert_int_eq(mkdir(in_root("%s", name), 0777), 0);
}

static void text(const char *name, const char *content)
{
    FILE *file = fopen(in_root("%s", name), "w");
    ck_assert_ptr_nonnull(file);
    fputs(content, file);
    ck_assert_int_eq(fclose(file), 0);
}

/* A picture whose pixel (x, y) is 10 y + x. */
static void picture(const char *name, int width, int height)
{
    uint8_t pixels[64 * 64];
    for (int i = 0; i < width * height; i++)
        pixels[i] = (uint8_t)(10 * (i / width) + i % width);
    ck_assert_int_eq(image_save_png(in_root("%s", name), pixels, width, height, 1, NULL), 0);
}

/* A map of zeros with `label` at its last pixel. */
static void label_map(const char *name, int width, int height, int label)
{
    uint8_t pixels[64 * 64] = {0};
    pixels[width * height - 1] = (uint8_t)label;
    ck_assert_int_eq(image_save_png(in_root("%s", name), pixels, width, height, 1, NULL), 0);
}

static const char *base_name(const char *path)
{
    return strrchr(path, '/') + 1;
}

static void expect_sample(const struct dataset *d, size_t i, const char *name, int control,
                          int pneumonia, int covid)
{
    ck_assert_uint_lt(i, d->count);
    ck_assert_str_eq(base_name(d->samples[i].path), name);
    ck_assert_int_eq(d->samples[i].classes[0], control);
    ck_assert_int_eq(d->samples[i].classes[1], pneumonia);
    ck_assert_int_eq(d->samples[i].classes[2], covid);
}

/* Some problem's path ends so and its reason holds so. */
static void expect_problem(const struct dataset *d, const char *path, const char *reason)
{
    for (size_t i = 0; i < d->problems_count; i++) {
        const struct dataset_problem *p = &d->problems[i];
        size_t have = strlen(p->path), want = strlen(path);
        if (have >= want && strcmp(p->path + have - want, path) == 0 &&
            strstr(p->reason, reason) != NULL)
            return;
    }
    for (size_t i = 0; i < d->problems_count; i++)
        fprintf(stderr, "%s: %s\n", d->problems[i].path, d->problems[i].reason);
    ck_abort_msg("no problem '%s' of %s", reason, path);
}

/* ---- segmentation ---- */

static void make_segmentation(void)
{
    folder("imgs");
    folder("masks");
    picture("imgs/b.png", 8, 6);
    label_map("masks/b.png", 8, 6, 3);
    picture("imgs/a.PNG", 5, 5);
    label_map("masks/a.PNG", 5, 5, 1);
}

START_TEST(pairs_are_found_by_name)
{
    struct dataset d;
    struct image image;
    uint8_t *labels;
    struct error err;
    make_segmentation();
    text("imgs/notes.txt", "not a picture");
    text("imgs/.hidden.png", "");
    ck_assert_msg(dataset_open_segmentation(&d, root, NULL, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(d.problems_count, 0);
    ck_assert_uint_eq(d.count, 2);
    expect_sample(&d, 0, "a.PNG", -1, -1, -1);
    expect_sample(&d, 1, "b.png", -1, -1, -1);
    ck_assert_int_eq(dataset_check(&d, NULL, NULL, &err), 0);
    ck_assert_uint_eq(d.problems_count, 0);
    ck_assert_int_eq(dataset_load(&image, &labels, &d, 1, &err), 0);
    ck_assert(image.width == 8 && image.height == 6 && image.pixels[9] == 11 / 255.0f);
    ck_assert(labels[47] == 3 && labels[46] == 0);
    free(labels);
    image_free(&image);
    ck_assert_int_ne(dataset_load(&image, &labels, &d, 2, &err), 0);
    ck_assert_int_eq(err.code, ERR_ARGUMENT);
    dataset_free(&d);
}
END_TEST

static void count_progress(void *context, size_t done, size_t all)
{
    size_t *last = context;
    ck_assert(done > 0 && done <= all && all == 8);
    *last = done;
}

START_TEST(bad_pairs_are_listed_by_file)
{
    struct dataset d;
    struct error err;
    make_segmentation();
    picture("imgs/lonely.png", 4, 4);
    label_map("masks/orphan.png", 4, 4, 1);
    picture("imgs/size.png", 4, 5);
    label_map("masks/size.png", 5, 4, 1);
    picture("imgs/range.png", 4, 4);
    label_map("masks/range.png", 4, 4, 4);
    picture("imgs/cut.png", 20, 20);
    ck_assert_int_eq(truncate(in_root("imgs/cut.png"), 60), 0);
    label_map("masks/cut.png", 20, 20, 1);
    picture("imgs/cutmask.png", 4, 4);
    text("masks/cutmask.png", "GIF89a");
    label_map("imgs/flat.png", 4, 4, 0);
    label_map("masks/flat.png", 4, 4, 1);
    picture("imgs/empty.png", 4, 4);
    label_map("masks/empty.png", 4, 4, 0);
    ck_assert_int_eq(dataset_open_segmentation(&d, root, NULL, &err), 0);
    ck_assert_uint_eq(d.problems_count, 2);
    expect_problem(&d, "imgs/lonely.png", "no file of the same name");
    expect_problem(&d, "masks/orphan.png", "no file of the same name");
    size_t last = 0;
    ck_assert_uint_eq(d.count, 8);
    ck_assert_int_eq(dataset_check(&d, count_progress, &last, &err), 0);
    ck_assert_uint_eq(last, 8);
    ck_assert_uint_eq(d.problems_count, 8);
    expect_problem(&d, "imgs/size.png", "image is 4x5 pixels, its mask 5x4");
    expect_problem(&d, "masks/range.png", "label 4 at column 3, row 3");
    expect_problem(&d, "imgs/cut.png", "PNG");
    expect_problem(&d, "masks/cutmask.png", "not a PNG");
    expect_problem(&d, "imgs/flat.png", "same value");
    expect_problem(&d, "masks/empty.png", "background");
    ck_assert_uint_eq(d.count, 2);
    expect_sample(&d, 0, "a.PNG", -1, -1, -1);
    expect_sample(&d, 1, "b.png", -1, -1, -1);
    dataset_free(&d);
}
END_TEST

START_TEST(missing_and_empty_folders)
{
    struct dataset d;
    struct error err;
    ck_assert_int_ne(dataset_open_segmentation(&d, root, NULL, &err), 0);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "/imgs"));
    folder("imgs");
    ck_assert_int_ne(dataset_open_segmentation(&d, root, NULL, &err), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "/masks"));
    folder("masks");
    ck_assert_int_ne(dataset_open_segmentation(&d, root, NULL, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_DATA);
    picture("imgs/x.png", 4, 4);
    ck_assert_int_ne(dataset_open_segmentation(&d, root, NULL, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_DATA);
    ck_assert_ptr_nonnull(strstr(err.text, "x.png"));
    ck_assert(d.count == 0 && d.samples == NULL && d.problems == NULL);
    ck_assert_int_ne(dataset_open_classification(&d, in_root("none"), NULL, &err), 0);
    ck_assert_int_eq(err.code, ERR_IO);
    ck_assert_int_ne(dataset_open_classification(&d, in_root("masks"), NULL, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_DATA);
}
END_TEST

START_TEST(pixel_limit_holds)
{
    struct dataset d;
    struct error err;
    make_segmentation();
    const struct dataset_options options = {.max_pixels = 30};
    ck_assert_int_eq(dataset_open_segmentation(&d, root, &options, &err), 0);
    ck_assert_int_eq(dataset_check(&d, NULL, NULL, &err), 0);
    ck_assert_uint_eq(d.count, 1);
    expect_problem(&d, "imgs/b.png", "limit is 30");
    dataset_free(&d);
}
END_TEST

/* ---- classification ---- */

START_TEST(names_tell_the_class)
{
    struct dataset d;
    struct error err;
    picture("0_a.png", 4, 4);
    picture("1_b.png", 4, 4);
    picture("2_c_1.png", 4, 4);
    picture("3_d.png", 4, 4);
    picture("x_e.png", 4, 4);
    picture("10_f.png", 4, 4);
    picture("g.png", 4, 4);
    ck_assert_int_eq(dataset_open_classification(&d, root, NULL, &err), 0);
    ck_assert_uint_eq(d.count, 3);
    expect_sample(&d, 0, "0_a.png", 1, 0, 0);
    expect_sample(&d, 1, "1_b.png", 0, 1, 0);
    expect_sample(&d, 2, "2_c_1.png", 0, 0, 1);
    ck_assert_str_eq(d.samples[0].patient, "");
    ck_assert_uint_eq(d.problems_count, 4);
    expect_problem(&d, "/3_d.png", "class is not known");
    expect_problem(&d, "/x_e.png", "0_, 1_ or 2_");
    expect_problem(&d, "/10_f.png", "class is not known");
    expect_problem(&d, "/g.png", "class is not known");
    dataset_free(&d);

    const struct dataset_options binary = {.scheme = DATASET_BINARY};
    ck_assert_int_eq(dataset_open_classification(&d, root, &binary, &err), 0);
    ck_assert_uint_eq(d.count, 2);
    expect_sample(&d, 0, "0_a.png", -1, -1, 0);
    expect_sample(&d, 1, "1_b.png", 0, 0, 1);
    expect_problem(&d, "/2_c_1.png", "0_ or 1_");
    dataset_free(&d);
}
END_TEST

START_TEST(manifest_tells_more)
{
    struct dataset d;
    struct error err;
    struct image image;
    uint8_t *labels;
    folder("train");
    picture("0_a.png", 4, 4); /* the manifest says otherwise */
    picture("train/x b, \"c\".png", 6, 4);
    picture("val.png", 4, 4);
    picture("unlisted.png", 4, 4);
    picture("odd.png", 4, 4);
    picture("blank.png", 4, 4);
    text("manifest.csv", "split,source,file,covid_19,common_pneumonia,control,patient\r\n"
                         "train,here,0_a.png,1,0,-1,P7\r\n"
                         "train,\"there, too\",\"x b, \"\"c\"\".png\",0,,-1,\r\n"
                         "val,here,val.png,0,0,1,P8\n"
                         "\n"
                         "train,here,odd.png,2,0,0,P9\n"
                         "train,here,gone.png,1,0,0,P9\n"
                         "train,here,../secret.png,1,0,0,P9\n"
                         "train,here,/etc/secret.png,1,0,0,P9\n"
                         "train,here,0_a.png,0,0,1,P9\n"
                         "train,here,blank.png,-1,,-1,P9\n"
                         "train,here\n");
    const struct dataset_options train = {.split = "train"};
    ck_assert_msg(dataset_open_classification(&d, root, &train, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(d.count, 2);
    expect_sample(&d, 0, "0_a.png", -1, 0, 1);
    ck_assert_str_eq(d.samples[0].patient, "P7");
    expect_sample(&d, 1, "x b, \"c\".png", -1, -1, 0);
    ck_assert_int_eq(dataset_load(&image, &labels, &d, 1, &err), 0);
    ck_assert(image.width == 6 && labels == NULL);
    image_free(&image);
    expect_problem(&d, "manifest.csv:6", "not '2'");
    expect_problem(&d, "manifest.csv:7", "gone.png");
    expect_problem(&d, "manifest.csv:8", "outside the folder");
    expect_problem(&d, "manifest.csv:9", "outside the folder");
    expect_problem(&d, "/0_a.png", "listed twice");
    expect_problem(&d, "manifest.csv:11", "no class is known of 'blank.png'");
    expect_problem(&d, "manifest.csv:12", "no class is known");
    ck_assert_uint_eq(d.problems_count, 7);
    dataset_free(&d);
    ck_assert_int_eq(dataset_open_classification(&d, root, NULL, &err), 0);
    ck_assert_uint_eq(d.count, 3);
    dataset_free(&d);
    const struct dataset_options other = {.split = "test"};
    ck_assert_int_ne(dataset_open_classification(&d, root, &other, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_DATA);
    ck_assert_ptr_nonnull(strstr(err.text, "no row has \"test\" in a column `split`"));
}
END_TEST

/* The mark in front of UTF-8, blanks around values, commas at the end; many columns. */
START_TEST(manifest_of_a_spreadsheet)
{
    struct dataset d;
    struct error err;
    char header[2048] = "\xef\xbb\xbf\x66ile , \"covid_19\"";
    picture("a.png", 4, 4);
    picture("b .png", 4, 4);
    for (int i = 0; i < 40; i++)
        snprintf(header + strlen(header), 16, ",other%d", i);
    snprintf(header + strlen(header), 64, ", patient\na.png, 1 \n\"b .png\" ,0");
    for (int i = 0; i < 40; i++)
        snprintf(header + strlen(header), 16, ",");
    snprintf(header + strlen(header), 16, ",\" P, 1 \",,\n");
    text("manifest.csv", header);
    ck_assert_msg(dataset_open_classification(&d, root, NULL, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(d.problems_count, 0);
    ck_assert_uint_eq(d.count, 2);
    expect_sample(&d, 0, "a.png", -1, -1, 1);
    ck_assert_str_eq(d.samples[0].patient, "");
    expect_sample(&d, 1, "b .png", -1, -1, 0);
    ck_assert_str_eq(d.samples[1].patient, " P, 1 ");
    dataset_free(&d);
}
END_TEST

/* Rows whose fields are not where the header says. */
START_TEST(manifest_rows_that_cannot_be_told_apart)
{
    struct dataset d;
    struct error err;
    picture("a.png", 4, 4);
    picture("b.png", 4, 4);
    text("manifest.csv", "patient,file,control\n"
                         "P,a.png,1\nA \"B\" C,b.png,1\n"
                         "Doe, Jane,b.png,1\n\"Doe,b.png,1\n\"Doe\"\",b.png,1\n");
    ck_assert_msg(dataset_open_classification(&d, root, NULL, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(d.count, 2);
    ck_assert_str_eq(d.samples[1].patient, "A \"B\" C");
    expect_problem(&d, "manifest.csv:4", "more fields than the first line");
    expect_problem(&d, "manifest.csv:5", "not closed on this line: '\"Doe,b.png,1'");
    expect_problem(&d, "manifest.csv:6", "not closed");
    ck_assert_uint_eq(d.problems_count, 3);
    dataset_free(&d);
}
END_TEST

START_TEST(manifest_above_serves_its_splits)
{
    struct dataset d;
    struct error err;
    folder("train");
    folder("val");
    folder("more");
    picture("train/p.png", 4, 4);
    picture("val/q.png", 4, 4);
    picture("more/1_r.png", 4, 4);
    text("manifest.csv", "split,file,control,common_pneumonia,covid_19,patient\n"
                         "train,p.png,-1,-1,0,unknown\nval,q.png,0,1,0,P2\n");
    ck_assert_int_eq(dataset_open_classification(&d, in_root("train"), NULL, &err), 0);
    ck_assert_uint_eq(d.count, 1);
    expect_sample(&d, 0, "p.png", -1, -1, 0);
    ck_assert_int_eq(dataset_check(&d, NULL, NULL, &err), 0);
    ck_assert_uint_eq(d.count, 1);
    dataset_free(&d);
    ck_assert_int_eq(dataset_open_classification(&d, in_root("val/"), NULL, &err), 0);
    expect_sample(&d, 0, "q.png", 0, 1, 0);
    dataset_free(&d);
    /* a folder the manifest does not speak of: its names do */
    ck_assert_int_eq(dataset_open_classification(&d, in_root("more"), NULL, &err), 0);
    expect_sample(&d, 0, "1_r.png", 0, 1, 0);
    dataset_free(&d);
}
END_TEST

START_TEST(manifest_needs_its_columns)
{
    static const char *const headers[] = {"", "split,covid_19\n", "file,split\n",
                                          "file;covid_19\n"};
    struct dataset d;
    struct error err;
    picture("0_a.png", 4, 4);
    text("manifest.csv", headers[_i]);
    ck_assert_int_ne(dataset_open_classification(&d, root, NULL, &err), 0);
    ck_assert_int_eq(err.code, ERR_BAD_DATA);
    ck_assert_ptr_nonnull(strstr(err.text, "`file`"));
    char found[64]; /* all but the line's end */
    snprintf(found, sizeof found, "it is \"%.*s\"", (int)strcspn(headers[_i], "\n"), headers[_i]);
    ck_assert_msg(strstr(err.text, found) != NULL, "%s", err.text);
}
END_TEST

START_TEST(split_files_tell_class_and_box)
{
    struct dataset d;
    struct error err;
    struct image image;
    uint8_t *labels;
    picture("a.png", 12, 10);
    picture("b 7.png", 12, 10);
    picture("c.png", 12, 10);
    text("split.txt", "a.png 2 1 2 11 9\n"
                      "b 7.png  0\t\n"
                      "\n"
                      "c.png 1 0 0 13 10\r\n"
                      "c.png\n"
                      "c.png 3 0 0 1 1\n"
                      "c.png 1 2 3\n"
                      "c.png -1\n"
                      "1\n"
                      "../c.png 1\n"
                      "d.png 1\n");
    const char *list = in_root("split.txt");
    const struct dataset_options options = {.list = list, .crop = true};
    ck_assert_msg(dataset_open_classification(&d, root, &options, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(d.count, 3);
    expect_sample(&d, 0, "a.png", 0, 0, 1);
    expect_sample(&d, 1, "b 7.png", 1, 0, 0);
    expect_sample(&d, 2, "c.png", 0, 1, 0);
    ck_assert(d.samples[0].boxed && !d.samples[1].boxed);
    expect_problem(&d, "split.txt:5", "is not `filename class");
    expect_problem(&d, "split.txt:6", "unknown class");
    expect_problem(&d, "split.txt:7", "is not `filename class");
    expect_problem(&d, "split.txt:8", "unknown class: 'c.png -1'");
    expect_problem(&d, "split.txt:9", "is not `filename class");
    expect_problem(&d, "split.txt:10", "outside the folder");
    expect_problem(&d, "split.txt:11", "d.png");
    ck_assert_uint_eq(d.problems_count, 7);

    ck_assert_int_eq(dataset_load(&image, &labels, &d, 0, &err), 0);
    ck_assert(image.width == 10 && image.height == 7);
    for (int y = 0; y < 7; y++)
        for (int x = 0; x < 10; x++)
            ck_assert(image.pixels[y * 10 + x] == (float)(10 * (y + 2) + x + 1) / 255.0f);
    image_free(&image);
    ck_assert_int_eq(dataset_check(&d, NULL, NULL, &err), 0);
    ck_assert_uint_eq(d.count, 2);
    expect_problem(&d, "/c.png", "its box 0 0 13 10 is not inside 12x10");
    dataset_free(&d);

    const struct dataset_options whole = {.list = list};
    ck_assert_int_eq(dataset_open_classification(&d, root, &whole, &err), 0);
    ck_assert_int_eq(dataset_load(&image, &labels, &d, 0, &err), 0);
    ck_assert(image.width == 12 && image.height == 10);
    image_free(&image);
    dataset_free(&d);
    const struct dataset_options missing = {.list = "/tmp/test_dataset_none.txt"};
    ck_assert_int_ne(dataset_open_classification(&d, root, &missing, &err), 0);
    ck_assert_int_eq(err.code, ERR_IO);
}
END_TEST

/* ---- order ---- */

START_TEST(order_is_a_permutation_of_its_own)
{
    enum { N = 1000 };
    uint32_t a[N], b[N];
    bool seen[N] = {false};
    dataset_shuffle(a, N, 42, 3);
    dataset_shuffle(b, N, 42, 3);
    ck_assert(memcmp(a, b, sizeof a) == 0);
    for (int i = 0; i < N; i++) {
        ck_assert_uint_lt(a[i], N);
        ck_assert(!seen[a[i]]);
        seen[a[i]] = true;
    }
    static const uint64_t others[][2] = {{42, 4}, {43, 3}, {42, 0}, {0, 3}};
    for (int k = 0; k < 4; k++) {
        int fixed = 0;
        dataset_shuffle(b, N, others[k][0], others[k][1]);
        for (int i = 0; i < N; i++)
            fixed += a[i] == b[i];
        ck_assert_int_lt(fixed, 20);
    }
    dataset_shuffle(a, 0, 1, 1);
    dataset_shuffle(a, 1, 1, 1);
    ck_assert_uint_eq(a[0], 0);
}
END_TEST

/* Every place is equally likely: 24 orders of four, chi-squared with 23 degrees of freedom. */
START_TEST(order_is_fair)
{
    int counts[256] = {0};
    for (uint64_t epoch = 0; epoch < 24000; epoch++) {
        uint32_t o[4];
        dataset_shuffle(o, 4, 7, epoch);
        counts[o[0] << 6 | o[1] << 4 | o[2] << 2 | o[3]]++;
    }
    double chi = 0;
    int orders = 0;
    for (int i = 0; i < 256; i++) {
        if (counts[i] == 0)
            continue;
        orders++;
        chi += (counts[i] - 1000.0) * (counts[i] - 1000.0) / 1000.0;
    }
    ck_assert_int_eq(orders, 24);
    ck_assert_double_lt(chi, 49.7); /* p = 0.001 */
}
END_TEST

START_TEST(no_memory_at_any_point_is_an_error)
{
    picture("a.png", 4, 4);
    picture("b.png", 4, 4);
    text("manifest.csv", "split,file,covid_19\n,a.png,1\n,b.png,0\n,c.png,0\n,b.png,1\n");
    struct error err;
    struct oom_walk walk = {.err = &err, .more_than = 14, .spares = true};
    while (oom_next(&walk)) {
        struct dataset d;
        int rc = dataset_open_classification(&d, root, NULL, &err);
        size_t samples = d.count, problems = d.problems_count;
        dataset_free(&d);
        oom_judge(&walk, rc);
        ck_assert_uint_eq(samples, rc == 0 ? 2 : 0);
        ck_assert_uint_eq(problems, rc == 0 ? 2 : 0);
    }
}
END_TEST

START_TEST(no_memory_for_pairs_is_an_error)
{
    make_segmentation();
    picture("imgs/c.png", 4, 4);
    struct error err;
    struct oom_walk walk = {.err = &err, .more_than = 8, .spares = true};
    while (oom_next(&walk)) {
        struct dataset d;
        int rc = dataset_open_segmentation(&d, root, NULL, &err);
        size_t samples = d.count, problems = d.problems_count;
        dataset_free(&d);
        oom_judge(&walk, rc);
        ck_assert_uint_eq(samples, rc == 0 ? 2 : 0);
        ck_assert_uint_eq(problems, rc == 0 ? 1 : 0);
    }
}
END_TEST

int main(void)
{
    TCase *tc = test_case("dataset");
    tcase_add_checked_fixture(tc, root_make, root_remove);
    tcase_add_test(tc, pairs_are_found_by_name);
    tcase_add_test(tc, bad_pairs_are_listed_by_file);
    tcase_add_test(tc, missing_and_empty_folders);
    tcase_add_test(tc, pixel_limit_holds);
    tcase_add_test(tc, names_tell_the_class);
    tcase_add_test(tc, manifest_tells_more);
    tcase_add_test(tc, manifest_of_a_spreadsheet);
    tcase_add_test(tc, manifest_rows_that_cannot_be_told_apart);
    tcase_add_test(tc, manifest_above_serves_its_splits);
    tcase_add_loop_test(tc, manifest_needs_its_columns, 0, 4);
    tcase_add_test(tc, split_files_tell_class_and_box);
    tcase_add_test(tc, order_is_a_permutation_of_its_own);
    tcase_add_test(tc, order_is_fair);
    tcase_add_test(tc, no_memory_at_any_point_is_an_error);
    tcase_add_test(tc, no_memory_for_pairs_is_an_error);
    return run_case("dataset", tc);
}
