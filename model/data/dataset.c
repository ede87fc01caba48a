/* Data sets: growing lists, pairs of images and label maps, checking, loading, order. */
#include "model/data/dataset.h"

#include <dirent.h>
#include <errno.h>
#include <omp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "model/base/rng.h"
#include "model/data/dataset_parts.h"

enum { DEFAULT_MAX_PIXELS = 1 << 26 };

/* ---- lists ---- */

static int out_of_memory(struct error *err)
{
    return error_set(err, ERR_MEMORY, "no memory for the list of training files");
}

int dataset_io_error(const char *path, int cause, struct error *err)
{
    return error_set(err, cause == ENOMEM ? ERR_MEMORY : ERR_IO, "%s: %s", path, strerror(cause));
}

/* Room for one more where `count` is a power of two (or 0): the list doubles there. */
static void *grow(void *list, size_t count, size_t size)
{
    if (count & (count - 1))
        return list;
    return realloc(list, (count == 0 ? 1 : 2 * count) * size);
}

void sample_free(struct sample *sample)
{
    free(sample->path);
    free(sample->mask);
    free(sample->patient);
    *sample = (struct sample){0};
}

int dataset_add(struct dataset *dataset, const struct sample *sample, struct error *err)
{
    struct sample *larger = grow(dataset->samples, dataset->count, sizeof *larger);
    if (larger == NULL)
        return out_of_memory(err);
    dataset->samples = larger;
    struct sample copy = *sample;
    copy.path = strdup(sample->path);
    copy.mask = sample->mask != NULL ? strdup(sample->mask) : NULL;
    copy.patient = strdup(sample->patient != NULL ? sample->patient : "");
    if (copy.path == NULL || (sample->mask != NULL && copy.mask == NULL) || copy.patient == NULL) {
        sample_free(&copy);
        return out_of_memory(err);
    }
    dataset->samples[dataset->count++] = copy;
    return 0;
}

int dataset_blame(struct dataset *dataset, const char *path, struct error *err, const char *reason,
                  ...)
{
    struct dataset_problem *larger =
        grow(dataset->problems, dataset->problems_count, sizeof *larger);
    if (larger == NULL)
        return out_of_memory(err);
    dataset->problems = larger;
    struct dataset_problem problem = {.path = strdup(path)};
    va_list args;
    va_start(args, reason);
    if (vasprintf(&problem.reason, reason, args) < 0)
        problem.reason = NULL;
    va_end(args);
    if (problem.path == NULL || problem.reason == NULL) {
        free(problem.path);
        free(problem.reason);
        return out_of_memory(err);
    }
    dataset->problems[dataset->problems_count++] = problem;
    return 0;
}

void dataset_free(struct dataset *dataset)
{
    for (size_t i = 0; i < dataset->count; i++)
        sample_free(&dataset->samples[i]);
    for (size_t i = 0; i < dataset->problems_count; i++) {
        free(dataset->problems[i].path);
        free(dataset->problems[i].reason);
    }
    free(dataset->samples);
    free(dataset->problems);
    *dataset = (struct dataset){0};
}

int dataset_merge(struct dataset *into, struct dataset *from, struct error *err)
{
    size_t samples = into->count + from->count,
           problems = into->problems_count + from->problems_count;
    /* powers of two, as grow() expects them */
    size_t samples_room = 1, problems_room = 1;
    while (samples_room < samples)
        samples_room *= 2;
    while (problems_room < problems)
        problems_room *= 2;
    struct sample *all = realloc(into->samples, samples_room * sizeof *all);
    if (all == NULL)
        return out_of_memory(err);
    into->samples = all;
    struct dataset_problem *bad = realloc(into->problems, problems_room * sizeof *bad);
    if (bad == NULL)
        return out_of_memory(err);
    into->problems = bad;
    memcpy(all + into->count, from->samples, from->count * sizeof *all);
    memcpy(bad + into->problems_count, from->problems, from->problems_count * sizeof *bad);
    into->count = samples;
    into->problems_count = problems;
    free(from->samples);
    free(from->problems);
    *from = (struct dataset){0};
    return 0;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct sample *)a)->path, ((const struct sample *)b)->path);
}

int dataset_finish(struct dataset *dataset, const char *folder, struct error *err)
{
    if (dataset->count > 1)
        qsort(dataset->samples, dataset->count, sizeof *dataset->samples, by_path);
    size_t kept = 0;
    int rc = 0;
    for (size_t i = 0; i < dataset->count; i++) {
        struct sample *s = &dataset->samples[i];
        if (kept > 0 && strcmp(dataset->samples[kept - 1].path, s->path) == 0) {
            if (rc == 0)
                rc = dataset_blame(dataset, s->path, err, "listed twice; the first entry counts");
            sample_free(s);
            continue;
        }
        dataset->samples[kept++] = *s;
    }
    dataset->count = kept;
    if (rc == 0 && kept == 0) {
        const struct dataset_problem *first = dataset->problems;
        if (dataset->problems_count > 0)
            rc = error_set(err, ERR_BAD_DATA,
                           "%s: nothing usable; the first of %zu problems: %s: %s", folder,
                           dataset->problems_count, first->path, first->reason);
        else
            rc = error_set(err, ERR_BAD_DATA, "%s: no PNG file, or no line of the list, is of use",
                           folder);
    }
    return rc;
}

/* ---- names ---- */

char *path_join(const char *folder, const char *name, struct error *err)
{
    char *path = NULL;
    if (asprintf(&path, "%s/%s", folder, name) >= 0)
        return path;
    out_of_memory(err);
    return NULL;
}

bool name_is_safe(const char *name)
{
    if (name[0] == 0 || name[0] == '/')
        return false;
    for (const char *part = name; part != NULL; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == 0))
            return false;
    }
    return true;
}

void names_free(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
    *names = (struct names){0};
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int names_read(struct names *names, const char *folder, struct error *err)
{
    int rc = -1;
    *names = (struct names){0};
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return dataset_io_error(folder, errno, err);
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        size_t length = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || length < 4 ||
            strcasecmp(entry->d_name + length - 4, ".png") != 0)
            continue;
        char **larger = grow(names->list, names->count, sizeof *larger);
        if (larger == NULL)
            TRY(out_of_memory(err));
        names->list = larger;
        names->list[names->count] = strdup(entry->d_name);
        if (names->list[names->count] == NULL)
            TRY(out_of_memory(err));
        names->count++;
    }
    if (names->count > 1)
        qsort(names->list, names->count, sizeof *names->list, by_name);
    rc = 0;
done:
    closedir(dir);
    if (rc != 0)
        names_free(names);
    return rc;
}

/* ---- segmentation ---- */

static int add_pair(struct dataset *out, const char *imgs, const char *masks, const char *name,
                    struct error *err)
{
    int rc = -1;
    struct sample sample = {.classes = {-1, -1, -1}};
    sample.path = path_join(imgs, name, err);
    sample.mask = path_join(masks, name, err);
    if (sample.path != NULL && sample.mask != NULL)
        rc = dataset_add(out, &sample, err);
    sample_free(&sample);
    return rc;
}

static int blame_name(struct dataset *out, const char *folder, const char *name,
                      const char *missing, struct error *err)
{
    char *path = path_join(folder, name, err);
    if (path == NULL)
        return -1;
    int rc = dataset_blame(out, path, err, "has no file of the same name in %s", missing);
    free(path);
    return rc;
}

int dataset_open_segmentation(struct dataset *out, const char *folder,
                              const struct dataset_options *options, struct error *err)
{
    int rc = -1;
    struct names images = {0}, maps = {0};
    char *imgs = path_join(folder, "imgs", err), *masks = path_join(folder, "masks", err);
    *out = (struct dataset){.max_pixels = options != NULL ? options->max_pixels : 0};
    if (imgs == NULL || masks == NULL)
        goto done;
    if (names_read(&images, imgs, err) != 0 || names_read(&maps, masks, err) != 0)
        TRY(error_prefix(err, "segmentation data are FOLDER/imgs and FOLDER/masks"));
    size_t i = 0, k = 0;
    while (i < images.count || k < maps.count) {
        int order = i == images.count ? 1
                    : k == maps.count ? -1
                                      : strcmp(images.list[i], maps.list[k]);
        if (order == 0)
            TRY(add_pair(out, imgs, masks, images.list[i], err));
        else if (order < 0)
            TRY(blame_name(out, imgs, images.list[i], masks, err));
        else
            TRY(blame_name(out, masks, maps.list[k], imgs, err));
        i += order <= 0;
        k += order >= 0;
    }
    TRY(dataset_finish(out, folder, err));
done:
    names_free(&images);
    names_free(&maps);
    free(imgs);
    free(masks);
    if (rc != 0)
        dataset_free(out);
    return rc;
}

/* ---- loading and checking ---- */

static size_t pixel_limit(const struct dataset *dataset)
{
    return dataset->max_pixels != 0 ? dataset->max_pixels : DEFAULT_MAX_PIXELS;
}

static int crop_to_box(struct image *image, const struct sample *s, struct error *err)
{
    if (s->x0 < 0 || s->y0 < 0 || s->x1 > image->width || s->y1 > image->height || s->x0 >= s->x1 ||
        s->y0 >= s->y1)
        return error_set(err, ERR_BAD_DATA, "%s: its box %d %d %d %d is not inside %dx%d pixels",
                         s->path, s->x0, s->y0, s->x1, s->y1, image->width, image->height);
    int width = s->x1 - s->x0, height = s->y1 - s->y0;
    for (int y = 0; y < height; y++)
        memmove(image->pixels + (size_t)y * (size_t)width,
                image->pixels + (size_t)(s->y0 + y) * (size_t)image->width + s->x0,
                (size_t)width * sizeof *image->pixels);
    image->width = width;
    image->height = height;
    return 0;
}

int dataset_load(struct image *image, uint8_t **labels, const struct dataset *dataset, size_t index,
                 struct error *err)
{
    int rc = -1, width, height;
    *image = (struct image){0};
    *labels = NULL;
    if (index >= dataset->count)
        return error_set(err, ERR_ARGUMENT, "sample %zu of %zu", index, dataset->count);
    const struct sample *s = &dataset->samples[index];
    TRY(image_load_png(image, s->path, pixel_limit(dataset), err));
    if (s->mask != NULL) {
        TRY(image_load_labels(labels, &width, &height, s->mask, pixel_limit(dataset), err));
        if (width != image->width || height != image->height)
            TRY(error_set(err, ERR_BAD_DATA, "%s: the image is %dx%d pixels, its mask %dx%d",
                          s->path, image->width, image->height, width, height));
    }
    if (s->boxed && dataset->crop)
        TRY(crop_to_box(image, s, err));
done:
    if (rc != 0) {
        image_free(image);
        free(*labels);
        *labels = NULL;
    }
    return rc;
}

static int check_labels(const struct sample *s, const uint8_t *labels, int width, int height,
                        struct error *err)
{
    bool any = false;
    for (size_t i = 0; i < (size_t)width * (size_t)height; i++) {
        if (labels[i] > DATASET_MAX_LABEL)
            return error_set(err, ERR_BAD_DATA,
                             "%s: label %d at column %zu, row %zu; labels are 0 to %d", s->mask,
                             labels[i], i % (size_t)width, i / (size_t)width, DATASET_MAX_LABEL);
        any |= labels[i] != 0;
    }
    return any ? 0 : error_set(err, ERR_BAD_DATA, "%s: every pixel is background", s->mask);
}

static int check_sample(const struct dataset *dataset, size_t index, struct error *err)
{
    struct image image;
    uint8_t *labels;
    const struct sample *s = &dataset->samples[index];
    int rc = -1;
    TRY(dataset_load(&image, &labels, dataset, index, err));
    bool varies = false;
    for (size_t i = 1; i < (size_t)image.width * (size_t)image.height && !varies; i++)
        varies = image.pixels[i] != image.pixels[0];
    if (!varies)
        TRY(error_set(err, ERR_BAD_DATA, "%s: every pixel has the same value", s->path));
    if (labels != NULL)
        TRY(check_labels(s, labels, image.width, image.height, err));
done:
    free(labels);
    image_free(&image);
    return rc;
}

/* The file an error's text begins with, and the rest of the text. */
static int blame_error(struct dataset *dataset, const struct sample *s, const char *text,
                       struct error *err)
{
    const char *const files[] = {s->path, s->mask};
    for (int i = 0; i < 2; i++) {
        size_t length = files[i] != NULL ? strlen(files[i]) : 0;
        if (length > 0 && strncmp(text, files[i], length) == 0 &&
            strncmp(text + length, ": ", 2) == 0)
            return dataset_blame(dataset, files[i], err, "%s", text + length + 2);
    }
    return dataset_blame(dataset, s->path, err, "%s", text);
}

int dataset_check(struct dataset *dataset, void (*progress)(void *context, size_t done, size_t all),
                  void *context, struct error *err)
{
    size_t done = 0, kept = 0, all = dataset->count;
    int rc = 0;
    char **reasons = calloc(all + 1, sizeof *reasons);
    bool *bad = calloc(all + 1, sizeof *bad);
    if (reasons == NULL || bad == NULL) {
        free(reasons);
        free(bad);
        return out_of_memory(err);
    }
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < all; i++) {
        struct error found;
        if (check_sample(dataset, i, &found) != 0) {
            bad[i] = true;
            reasons[i] = strdup(found.text);
        }
        size_t now;
#pragma omp atomic capture
        now = ++done;
        if (progress != NULL && omp_get_thread_num() == 0)
            progress(context, now, all);
    }
    if (progress != NULL)
        progress(context, all, all);
    for (size_t i = 0; i < all; i++) {
        struct sample *s = &dataset->samples[i];
        if (!bad[i]) {
            dataset->samples[kept++] = *s;
            continue;
        }
        if (rc == 0)
            rc = reasons[i] == NULL ? out_of_memory(err) : blame_error(dataset, s, reasons[i], err);
        sample_free(s);
        free(reasons[i]);
    }
    dataset->count = kept;
    free(reasons);
    free(bad);
    return rc;
}

void dataset_shuffle(uint32_t *order, uint32_t count, uint64_t seed, uint64_t epoch)
{
    struct rng rng;
    rng_seed(&rng, seed ^ epoch * 0xD1342543DE82EF95u);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = rng_below(&rng, i + 1);
        order[i] = order[k];
        order[k] = i;
    }
}
