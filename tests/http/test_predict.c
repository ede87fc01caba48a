/* `oneshot predict`: the service's answers for files, without a service. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "model/data/image.h"
#include "model/data/volume.h"
#include "tests/http/body.h"
#include "tests/http/look.h"
#include "tests/unit/run.h"

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void write_file(char path[64], const char *name, struct bytes bytes)
{
    snprintf(path, 64, "/tmp/oneshot-test-%d-%s", (int)getpid(), name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes.data, 1, bytes.length, file), bytes.length);
    fclose(file);
}

/* What `oneshot predict` printed. */
static char *run_predict(int code, const char *const *words)
{
    struct process run;
    int got = process_run(&run, words, NULL);
    char *printed = process_log(&run);
    ck_assert_msg(got == code, "%d: %s", got, printed);
    close(run.log);
    return printed;
}

static void check_printed(int code, const char *const *words, const char *has)
{
    char *printed = run_predict(code, words);
    ck_assert_msg(strstr(printed, has), "no %s in %.400s", has, printed);
    free(printed);
}

static struct volume *open_labels(const char *path, uint8_t **bytes)
{
    enum { ROOM = 1 << 20 };
    struct volume *labels;
    struct error err;
    *bytes = malloc(ROOM);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "no %s", path);
    size_t length = fread(*bytes, 1, ROOM, file);
    fclose(file);
    ck_assert_int_eq(
        volume_open(&labels, *bytes, length, &(struct volume_limits){1 << 24, 1032, NULL}, &err),
        0);
    return labels;
}

START_TEST(the_command_line_reads_them_all)
{
    char one[64], zip[64], nifti[64], bad[64], out[96], labels[96];
    struct dicom_maker m = dicom_default(COLUMNS, ROWS);
    struct bytes files[] = {make_slice(&m), make_zip(NULL), make_nifti(SLICES), {NULL, 0}};
    m.syntax = "1.2.840.10008.1.2.4.70";
    files[3] = make_slice(&m);
    write_file(one, "one.dcm", files[0]);
    write_file(zip, "series.zip", files[1]);
    write_file(nifti, "scan.nii", files[2]);
    write_file(bad, "bad.dcm", files[3]);
    snprintf(out, sizeof out, "%s.png", zip);
    snprintf(labels, sizeof labels, "%s.labels.nii.gz", zip);
    /* The document that the service answers with, for each file. */
    char *printed = run_predict(0, WORDS("predict", "--masks", "none", one, zip, nifti));
    json_t *root[3];
    char *rest = printed;
    for (int i = 0; i < 3; i++) {
        char *line = strsep(&rest, "\n");
        while (line && *line != '{') /* what is for the reader's eyes */
            line = strsep(&rest, "\n");
        ck_assert_ptr_nonnull(line);
        root[i] = parse(line, strlen(line));
    }
    ck_assert_str_eq(text(root[0], "input.file"), one);
    ck_assert_str_eq(text(root[0], "input.kind"), "dicom");
    ck_assert_uint_eq(json_array_size(find(root[1], "slices")), SLICES);
    ck_assert(json_equal(find(root[1], "summary.burden"), find(root[2], "summary.burden")));
    ck_assert_str_eq(text(root[2], "input.kind"), "nifti-1");
    for (int i = 0; i < 3; i++)
        json_decref(root[i]);
    free(printed);
    /* Events; a label map of all, whatever is printed; the overlay of one slice. */
    check_printed(0, WORDS("predict", "--as", "ndjson", "-l", labels, "--slices", "1:4", zip),
                  "\"event\":\"summary\"");
    uint8_t *bytes;
    struct volume *map = open_labels(labels, &bytes);
    ck_assert_int_eq(volume_slices(map), SLICES);
    float pixels[COLUMNS * ROWS], sums[SLICES];
    for (int k = 0; k < SLICES; k++) {
        struct voxel_range range;
        ck_assert_int_eq(volume_read(pixels, &range, map, k, NULL), 0);
        sums[k] = range.maximum;
    }
    ck_assert(sums[0] == 0 && sums[1] > 0 && sums[3] > 0 && sums[4] == 0);
    volume_close(map);
    free(bytes);
    check_printed(0, WORDS("predict", "-o", out, "--slices", "2", zip), "\"slice\":2");
    ck_assert_int_eq(unlink(out), 0);
    check_printed(1, WORDS("predict", "-o", out, zip), "choose it with --slices");
    ck_assert_int_ne(unlink(out), 0);
    check_printed(0, WORDS("predict", "-o", out, "--window", "400", "--level", "40", one),
                  "\"window\":400,\"level\":40");
    ck_assert_int_eq(unlink(out), 0);
    check_printed(1, WORDS("predict", "-l", "/nonexistent/x", zip), "/nonexistent/x");
    check_printed(1, WORDS("predict", "-l", zip, zip), "would replace the file itself");
    check_printed(1, WORDS("predict", "--max-slices", "2", zip), "--max-slices");
    check_printed(1, WORDS("predict", bad), "1.2.840.10008.1.2.4.70 (JPEG Lossless");
    check_printed(1, WORDS("predict", "--as", "ndjson", bad), "\"code\":\"unsupported_media\"");
    check_printed(1, WORDS("predict", "--masks", "none", bad, one), "1 of 2 files failed");
    /* Into a folder, each under its own name. */
    snprintf(out, sizeof out, "/tmp/oneshot-test-%d-out", (int)getpid());
    check_printed(0, WORDS("predict", "-d", out, one, nifti), "\"summary\"");
    char made[200];
    snprintf(made, sizeof made, "%s/oneshot-test-%d-one.png", out, (int)getpid());
    ck_assert_int_eq(unlink(made), 0);
    snprintf(made, sizeof made, "%s/oneshot-test-%d-scan.labels.nii.gz", out, (int)getpid());
    ck_assert_int_eq(unlink(made), 0);
    ck_assert_int_eq(rmdir(out), 0);
    const char *const leftovers[] = {one, zip, nifti, bad, labels};
    for (size_t i = 0; i < sizeof leftovers / sizeof *leftovers; i++)
        ck_assert_int_eq(unlink(leftovers[i]), 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        free(files[i].data);
}
END_TEST

/* A picture's label map is a picture, as those that are trained on; a name that says otherwise is
 * refused before anything is predicted or replaced. */
START_TEST(a_picture_has_a_label_map_too)
{
    char one[64], png[64], zip[64], map[96], wrong[96];
    struct dicom_maker m = dicom_default(COLUMNS, ROWS);
    struct bytes files[] = {make_slice(&m), slice_png(90, 70, 3), make_zip(NULL)};
    write_file(one, "one.dcm", files[0]);
    write_file(png, "one.png", files[1]);
    write_file(zip, "series.zip", files[2]);
    snprintf(map, sizeof map, "%s.map.png", png);
    for (int i = 0; i < 2; i++) {
        const char *file = i ? one : png;
        struct image image;
        struct error err;
        uint8_t bytes[65536];
        int seen[4] = {0};
        check_printed(0, WORDS("predict", "--masks", "none", "-l", map, file), "\"lung_px\"");
        FILE *in = fopen(map, "rb");
        ck_assert_ptr_nonnull(in);
        size_t length = fread(bytes, 1, sizeof bytes, in);
        fclose(in);
        ck_assert_int_eq(unlink(map), 0);
        ck_assert_int_eq(image_read_png(&image, bytes, length, 1 << 20, &err), 0);
        ck_assert_int_eq(image.width, i ? COLUMNS : 90);
        ck_assert_int_eq(image.height, i ? ROWS : 70);
        for (int k = 0; k < image.width * image.height; k++) {
            int label = (int)lroundf(image.pixels[k] * 255);
            ck_assert_int_le(label, 3);
            seen[label]++;
        }
        for (int label = 0; label < 4; label++)
            ck_assert_int_gt(seen[label], 0);
        image_free(&image);
    }
    const struct {
        const char *file, *suffix, *says;
    } cases[] = {{png, "nii.gz", "ends in .png"},
                 {one, "nii", "ends in .png"},
                 {zip, "png", "ends in .nii.gz"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(wrong, sizeof wrong, "%s.map.%s", png, cases[i].suffix);
        char *printed = run_predict(1, WORDS("predict", "-l", wrong, cases[i].file));
        ck_assert_msg(strstr(printed, cases[i].says) && !strstr(printed, "classification"), "%s",
                      printed);
        free(printed);
        ck_assert_int_ne(access(wrong, F_OK), 0);
    }
    for (size_t i = 0; i < 3; i++)
        free(files[i].data);
    unlink(one);
    unlink(png);
    unlink(zip);
}
END_TEST

int main(void)
{
    RUN("predict", the_command_line_reads_them_all, a_picture_has_a_label_map_too);
}
