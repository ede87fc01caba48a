/* oneshot train as a person runs it: recipes, bad data, a run that is killed and resumed. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model/data/image.h"
#include "model/data/phantom.h"
#include "server/train_settings.h"
#include "tests/unit/folder.h"
#include "tests/unit/run.h"

enum { SIDE = 96, SLICES = 3 };

static void save(const char *path, const uint8_t *pixels, int width, int height)
{
    struct error err;
    ck_assert_msg(image_save_png(path, pixels, width, height, 1, &err) == 0, "%s", err.text);
}

static void set_up(void)
{
    static const char *const folders[] = {"seg", "seg/imgs", "seg/masks", "cls"};
    struct error err;
    root_make();
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(mkdir(in_root("%s", folders[i]), 0777), 0);
    for (int i = 0; i < SLICES; i++) {
        struct phantom p;
        uint8_t pixels[SIDE * SIDE];
        ck_assert_int_eq(phantom_slice(&p, (enum phantom_kind)i, 7, SIDE, SIDE, &err), 0);
        phantom_window(pixels, p.hu, SIDE * SIDE, PHANTOM_WINDOW, PHANTOM_LEVEL);
        save(in_root("seg/imgs/%d.png", i), pixels, SIDE, SIDE);
        save(in_root("seg/masks/%d.png", i), p.labels, SIDE, SIDE);
        save(in_root("cls/%d_.png", i), pixels, SIDE, SIDE);
        phantom_free(&p);
    }
}

/* ---- the command ---- */

static rlim_t most_bytes = RLIM_INFINITY; /* of a file that the next ones write */

/* Starts it with both data sets, one thread, and what the caller adds; stderr goes to a file. */
static pid_t start(const char *out, const char *const *more)
{
    const char *binary = getenv("ONESHOT_BIN");
    const char *argv[40] = {"oneshot", "train", "--threads", "1", "--log-every", "1", "--out"};
    int n = 7;
    argv[n++] = out;
    argv[n++] = "--segmentation";
    argv[n++] = in_root("seg");
    argv[n++] = "--classification";
    argv[n++] = in_root("cls");
    while (*more)
        argv[n++] = *more++;
    const char *log = in_root("stderr");
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int file = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        dup2(file, 2);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){most_bytes, most_bytes});
        execv(binary ? binary : "build/oneshot", (char *const *)(void *)argv);
        _exit(127);
    }
    return child;
}

static int finish(pid_t child)
{
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* A whole file as text; the caller frees it. */
static char *read_file(const char *path, size_t *length)
{
    struct stat info;
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s: %s", path, strerror(errno));
    ck_assert_int_eq(fstat(fileno(file), &info), 0);
    char *bytes = malloc((size_t)info.st_size + 1);
    *length = fread(bytes, 1, (size_t)info.st_size, file);
    bytes[*length] = 0;
    fclose(file);
    return bytes;
}

static void expect_said(const char *text)
{
    size_t length;
    char *said = read_file(in_root("stderr"), &length);
    ck_assert_msg(strstr(said, text) != NULL, "no \"%s\" in:\n%s", text, said);
    free(said);
}

static int said_lines(void)
{
    size_t length;
    int lines = 0;
    char *said = read_file(in_root("stderr"), &length);
    for (size_t i = 0; i < length; i++)
        lines += said[i] == '\n';
    free(said);
    return lines;
}

#define MORE(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- settings ---- */

static struct train_settings settings_of(int argc, const char **argv, int expected)
{
    struct train_settings s;
    struct error err = {.text = ""};
    bool help;
    ck_assert_msg(train_settings_read(&s, argc, (char **)(void *)argv, &help, &err) == expected,
                  "%s", err.text);
    return s;
}

START_TEST(the_papers_recipe_is_one_flag)
{
    const char *plain[] = {"train", "--out", "x", "--segmentation", "a"};
    const char *paper[] = {"train", "--out", "x",        "--segmentation", "a",
                           "--lr",  "0.5",   "--recipe", "paper"};
    struct train_settings s = settings_of(5, plain, 0);
    ck_assert_float_gt(s.augment.flip, 0);
    s = settings_of(9, paper, 0);
    ck_assert_float_eq(s.lr, .5f); /* what is given wins over any recipe, wherever it stands */
    ck_assert_float_eq(s.weight_decay, 1e-3f);
    ck_assert_int_eq(s.schedule, 0);
    ck_assert_int_eq(s.epochs, 50);
    ck_assert_int_eq(s.beta, 16);
    ck_assert_str_eq(s.backbone, "resnext101_32x8d");
    ck_assert_float_eq(s.augment.flip + s.augment.rotate + s.augment.crop + s.average, 0);
    const struct parts none = {0};
    struct loop_options o = train_settings_options(&s, 10, &none);
    struct sampling paper_sampling = sampling_default();
    ck_assert_mem_eq(&o.sampling, &paper_sampling, sizeof paper_sampling);
}
END_TEST

START_TEST(settings_are_described_by_the_line)
{
    const char *argv[] = {"train", "--out", "somewhere", "--segmentation", "a,b", "--lr", "0.1"};
    struct train_settings s = settings_of(7, argv, 0);
    struct buffer text;
    struct error err;
    buffer_init(&text, 1 << 16);
    ck_assert_int_eq(train_settings_describe(&text, &s, &err), 0);
    const char *t = (const char *)text.bytes;
    ck_assert_ptr_nonnull(strstr(t, "segmentation a,b\n"));
    ck_assert_ptr_nonnull(strstr(t, "lr 0.100000001\n"));
    ck_assert_ptr_nonnull(strstr(t, "schedule cosine\n"));
    ck_assert_ptr_null(strstr(t, "somewhere")); /* a run may be moved */
    buffer_free(&text);
    struct parts parts;
    ck_assert_int_eq(parts_cut(&parts, "a,,b", &err), 0);
    ck_assert_str_eq(parts.list[0], "a");
    ck_assert_str_eq(parts.list[1], "b");
    ck_assert_ptr_null(parts.list[2]);
    parts_free(&parts);
}
END_TEST

START_TEST(wrong_calls_are_refused)
{
    const char *no_out[] = {"train", "--segmentation", "a"};
    const char *no_data[] = {"train", "--out", "x"};
    const char *extra[] = {"train", "--out", "x", "--segmentation", "a", "b"};
    const char *range[] = {"train", "--out", "x", "--segmentation", "a", "--flip", "2"};
    settings_of(3, no_out, -1);
    settings_of(3, no_data, -1);
    settings_of(6, extra, -1);
    settings_of(7, range, -1);
}
END_TEST

/* ---- data ---- */

START_TEST(bad_files_are_listed_before_the_first_step)
{
    uint8_t pixels[SIDE * SIDE] = {0};
    char *out = strdup(in_root("out"));
    pixels[5] = 200;
    save(in_root("seg/imgs/alone.png"), pixels, SIDE, SIDE);
    save(in_root("seg/imgs/size.png"), pixels, SIDE, SIDE);
    save(in_root("seg/masks/size.png"), pixels, SIDE, SIDE - 1);
    save(in_root("seg/imgs/label.png"), pixels, SIDE, SIDE);
    save(in_root("seg/masks/label.png"), pixels, SIDE, SIDE);
    FILE *file = fopen(in_root("cls/0_torn.png"), "w");
    fputs("no picture", file);
    fclose(file);
    ck_assert_int_eq(finish(start(out, MORE("--iterations", "1"))), 1);
    expect_said("imgs/alone.png: has no file of the same name");
    expect_said("seg/imgs/size.png: the image is 96x96 pixels, its mask 96x95");
    expect_said("masks/label.png: label 200 at column 5, row 0");
    expect_said("3 bad files in --segmentation");
    expect_said("--skip-bad");
    ck_assert_int_ne(access(in_root("out/last.safetensors"), F_OK), 0);
    ck_assert_int_eq(finish(start(out, MORE("--iterations", "1", "--skip-bad"))), 0);
    expect_said("0_torn.png: ");
    expect_said("3 slices with label maps, 3 with classes (1 control, 1 common pneumonia, 1 COVID");
    ck_assert_int_eq(access(in_root("out/last.safetensors"), F_OK), 0);
    free(out);
}
END_TEST

START_TEST(a_class_that_no_slice_has_is_told)
{
    ck_assert_int_eq(remove(in_root("cls/1_.png")), 0);
    ck_assert_int_eq(finish(start(in_root("out"), MORE("--iterations", "1", "--quiet"))), 0);
    expect_said("no slice of --classification is known to be common pneumonia\n");
    ck_assert_int_eq(said_lines(), 1);
}
END_TEST

START_TEST(what_would_fail_later_fails_first)
{
    ck_assert_int_eq(
        finish(start(in_root("out"), MORE("--iterations", "1", "--freeze", "rpn.,bakbone."))), 1);
    expect_said("no parameter begins with \"bakbone.\"");
    ck_assert_int_eq(finish(start(in_root("cls/0_.png"), MORE("--iterations", "1"))), 1);
    expect_said("cls/0_.png/log.jsonl: Not a directory");
}
END_TEST

START_TEST(a_file_beyond_the_limit_is_an_error)
{
    most_bytes = 100000;
    pid_t child = start(in_root("out"), MORE("--iterations", "1"));
    most_bytes = RLIM_INFINITY;
    ck_assert_int_eq(finish(child), 1);
    expect_said("last.safetensors");
    expect_said("File too large");
}
END_TEST

/* ---- a run ---- */

static void wait_for(const char *path)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    while (access(path, F_OK) != 0) /* the test's own time limit ends this */
        nanosleep(&pause, NULL);
}

static void expect_same_file(const char *a, const char *b)
{
    size_t n, m;
    char *x = read_file(a, &n), *y = read_file(b, &m);
    ck_assert_msg(n == m && memcmp(x, y, n) == 0, "%s and %s differ", a, b);
    free(x);
    free(y);
}

/* Every line is JSON; the last one with losses is of iteration 3. */
static void expect_log(const char *path)
{
    size_t length;
    char *text = read_file(path, &length), *rest = text;
    double last = 0;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line;) {
        json_t *object = json_loads(line, 0, NULL);
        ck_assert_msg(json_is_object(object), "%s", line);
        json_t *loss = json_object_get(object, "loss_seg");
        if (loss) {
            ck_assert(isfinite(json_number_value(loss)));
            last = json_number_value(json_object_get(object, "iteration"));
        }
        json_decref(object);
    }
    ck_assert_double_eq(last, 3);
    free(text);
}

START_TEST(a_killed_run_continues_to_the_bit)
{
    const char *const *flags = MORE("--iterations", "3", "--checkpoint-every", "1", "--resume");
    char *straight = strdup(in_root("straight")), *killed = strdup(in_root("killed"));
    ck_assert_int_eq(finish(start(straight, flags)), 0);
    pid_t child = start(killed, flags);
    wait_for(in_root("killed/checkpoint.safetensors"));
    kill(child, SIGKILL);
    int code = finish(child); /* 0 where it was quicker than the signal */
    ck_assert(code == -SIGKILL || code == 0);
    ck_assert_int_eq(finish(start(killed, flags)), 0);
    expect_same_file(in_root("straight/checkpoint.safetensors"),
                     in_root("killed/checkpoint.safetensors"));
    expect_same_file(in_root("straight/last.safetensors"), in_root("killed/last.safetensors"));
    expect_log(in_root("killed/log.jsonl"));

    ck_assert_int_eq(finish(start(killed, MORE("--iterations", "3", "--checkpoint-every", "1"))),
                     1);
    expect_said("--resume continues that run");
    ck_assert_int_eq(finish(start(killed, MORE("--iterations", "4", "--resume"))), 1);
    expect_said("\"iterations 3\", now it is \"iterations 4\"");
    ck_assert_int_eq(finish(start(killed, MORE("--iterations", "3", "--resume",
                                               "--checkpoint-every", "1", "--lr", "0.003"))),
                     1);
    expect_said("\"lr 0.0001\", now it is \"lr 0.003\"");
    free(straight);
    free(killed);
}
END_TEST

START_TEST(a_signal_ends_a_run_with_a_checkpoint_and_validation_keeps_the_best)
{
    pid_t child =
        start(in_root("out"), MORE("--iterations", "1000", "--checkpoint-every", "1000",
                                   "--validate-every", "1", "--val-segmentation", in_root("seg"),
                                   "--val-classification", in_root("cls"), "--half"));
    wait_for(in_root("out/best.safetensors"));
    kill(child, SIGTERM);
    ck_assert_int_eq(finish(child), 130);
    expect_said("--resume continues");
    expect_said("validation: AP@.5");
    ck_assert_int_eq(access(in_root("out/checkpoint.safetensors"), F_OK), 0);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("train");
    tcase_set_timeout(tc, 300);
    tcase_add_checked_fixture(tc, set_up, root_remove);
    tcase_add_test(tc, the_papers_recipe_is_one_flag);
    tcase_add_test(tc, settings_are_described_by_the_line);
    tcase_add_test(tc, wrong_calls_are_refused);
    tcase_add_test(tc, bad_files_are_listed_before_the_first_step);
    tcase_add_test(tc, a_class_that_no_slice_has_is_told);
    tcase_add_test(tc, what_would_fail_later_fails_first);
    tcase_add_test(tc, a_file_beyond_the_limit_is_an_error);
    tcase_add_test(tc, a_killed_run_continues_to_the_bit);
    tcase_add_test(tc, a_signal_ends_a_run_with_a_checkpoint_and_validation_keeps_the_best);
    return run_case_here("train", tc);
}
