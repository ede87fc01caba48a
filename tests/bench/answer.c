/* The time from a prediction to its JSON. */
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "tests/bench/bench.h"

static uint8_t *as_png(const struct image *image, size_t *length)
{
    struct error err;
    uint8_t *png, *pixels = malloc((size_t)image->width * (size_t)image->height);
    for (int i = 0; pixels && i < image->width * image->height; i++)
        pixels[i] = (uint8_t)(255 * image->pixels[i]);
    bench_must(image_write_png(&png, length, pixels, image->width, image->height, 1, &err), &err);
    free(pixels);
    return png;
}

double bench_answer(const struct model *model, const struct image *image)
{
    struct error err;
    struct problem problem;
    struct slice_worker worker;
    struct slice slice;
    struct slice_options options;
    double milliseconds[BENCH_MOST_SLICES];
    int count = bench_slices();
    size_t length = 0, written;
    uint8_t *png = as_png(image, &length);
    const struct slice_source source = {.bytes = png, .length = length, .file = ""};
    options_default(&options);
    bench_must(slice_worker_open(&worker, model, BENCH_SIDE * BENCH_SIDE, &err), &err);
    if (slice_run(&slice, &worker, &source, &options, &problem) != 0)
        bench_must(error_set(&err, ERR_INTERNAL, "%s", problem.detail), &err);
    for (int i = 0; i < count; i++) {
        struct results *results;
        char *text;
        double since = bench_now();
        bench_must(results_new(&results, "bench", &err), &err);
        bench_must(results_add_slice(results, &slice, &worker, &options, &err), &err);
        bench_must(results_write(&text, &written, results, true, &err), &err);
        milliseconds[i] = 1e3 * (bench_now() - since);
        free(text);
        results_free(results);
    }
    slice_free(&slice);
    slice_worker_close(&worker);
    free(png);
    return bench_median(milliseconds, count);
}
