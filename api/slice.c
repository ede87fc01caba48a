#include "api/slice.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/media.h"
#include "model/base/vector.h"

double clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int slice_worker_open(struct slice_worker *worker, const struct model *model, size_t max_pixels,
                      struct error *err)
{
    *worker = (struct slice_worker){.model = model_info(model), .max_pixels = max_pixels};
    worker->prediction = calloc(1, sizeof *worker->prediction);
    if (!worker->prediction)
        return error_set(err, ERR_MEMORY, "no memory for a prediction");
    return session_open(&worker->session, model, err);
}

void slice_worker_close(struct slice_worker *worker)
{
    session_close(worker->session);
    free(worker->prediction);
    free(worker->plane);
    *worker = (struct slice_worker){0};
}

static int make_room(struct slice_worker *worker, size_t pixels, struct error *err)
{
    if (pixels <= worker->pixels)
        return 0;
    free(worker->plane);
    worker->pixels = 0;
    worker->plane = pixels > SIZE_MAX / 3 ? NULL : malloc(3 * pixels);
    if (!worker->plane)
        return error_set(err, ERR_MEMORY, "no memory for the masks of %zu pixels", pixels);
    worker->cover = worker->plane + pixels;
    worker->columns = worker->cover + pixels;
    worker->pixels = pixels;
    return 0;
}

void slice_report(const struct slice_worker *worker, const struct slice *slice,
                  const struct problem *problem)
{
    if (worker->observer.seen)
        worker->observer.seen(worker->observer.context, slice, problem);
}

void slice_warn(struct slice *slice, const char *code, const char *format, ...)
{
    if (slice->warnings_count == SLICE_MAX_WARNINGS)
        return;
    struct slice_warning *warning = &slice->warnings[slice->warnings_count++];
    warning->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(warning->detail, sizeof warning->detail, format, args);
    va_end(args);
}

static void warn_about_input(struct slice *slice)
{
    const struct image *image = &slice->image;
    if (!slice->model->trained)
        slice_warn(slice, "untrained_model",
                   "The model's weights are seeded, not trained: every number here is noise.");
    if (slice->intensity.assumed)
        slice_warn(slice, "window_assumed",
                   "The grey scale is taken to be a lung window already: width %g, level %g HU.",
                   (double)slice->intensity.window, (double)slice->intensity.level);
    if (slice->own && slice->own->not_ct)
        slice_warn(slice, "not_ct", "Modality is not CT: its values are hardly Hounsfield units.");
    if (image->colour)
        slice_warn(slice, "colour_input",
                   "The picture is coloured; its luma was used. Marks drawn in colour are seen as "
                   "tissue.");
    int longer = image->width > image->height ? image->width : image->height;
    if (longer < SLICE_LOW_RESOLUTION)
        slice_warn(slice, "low_resolution",
                   "%d x %d pixels is less than the model was made for (512 x 512).", image->width,
                   image->height);
}

static void warn_about_prediction(struct slice *slice)
{
    const struct prediction *p = slice->prediction;
    if (p->regions_count == 0)
        slice_warn(slice, "no_regions",
                   "No region survived, so there is nothing to classify the slice by.");
    else if (p->unique_regions < p->regions_count)
        slice_warn(slice, "rois_padded",
                   "Only %d of the %d regions are distinct; the others repeat them.",
                   p->unique_regions, p->regions_count);
}

static void warn_about_voxels(struct slice *slice, const struct voxel_range *range)
{
    if (range->not_finite > 0)
        slice_warn(slice, "nan_voxels", "%lld voxels are not numbers; they were taken for air.",
                   (long long)range->not_finite);
    if (slice->intensity.mode == INTENSITY_HU && slice_is_offset(range))
        slice_warn(slice, "hu_offset_suspected",
                   "Values run from %g to %g: they look like HU + 1024, with the offset lost.",
                   (double)range->minimum, (double)range->maximum);
}

/* ---- grey ---- */

int slice_intensity_settle(struct slice_intensity *out, const struct slice_options *options,
                           const struct volume *volume, int bit_depth, bool colour,
                           struct problem *problem)
{
    bool grey = volume ? volume->type == VOXEL_U8 : true;
    bool told = options->window > 0 || !isnan(options->level);
    out->mode = options->intensity != INTENSITY_AUTO ? options->intensity
                : grey                               ? INTENSITY_WINDOWED
                                                     : INTENSITY_HU;
    out->window = options->window > 0 ? options->window : SLICE_WINDOW;
    out->level = isnan(options->level) ? SLICE_LEVEL : options->level;
    out->assumed = out->mode == INTENSITY_WINDOWED && options->intensity == INTENSITY_AUTO && !told;
    if (out->mode == INTENSITY_HU && !volume && (bit_depth != 16 || colour))
        return problem_set(
            problem, PROBLEM_BAD_OPTION,
            "Option intensity=hu needs a grey picture of 16 bits, whose values are HU "
            "+ %d; this one has %s.",
            SLICE_PNG_OFFSET, colour ? "colours" : "8 bits");
    return 0;
}

/* HU to [0,1] through the window. */
VECTORIZED static void apply_window(float *pixels, size_t count, float scale, float offset)
{
    for (size_t i = 0; i < count; i++) {
        float v = pixels[i] * scale + offset;
        v = v > 0 ? v : 0;
        pixels[i] = v < 1 ? v : 1;
    }
}

/* The window over values that are HU after `* scale + offset`. */
static void apply_intensity(struct image *image, const struct slice_intensity *how, float scale,
                            float offset)
{
    float low = how->level - how->window / 2;
    apply_window(image->pixels, (size_t)image->width * (size_t)image->height, scale / how->window,
                 (offset - low) / how->window);
}

/* ---- a slice ---- */

static void begin(struct slice *out, const struct slice_worker *worker)
{
    memset(out, 0, sizeof *out);
    out->model = worker->model;
    out->prediction = worker->prediction;
}

static int too_large(struct problem *problem, const struct error *err,
                     const struct slice_worker *worker)
{
    return problem_set(problem, PROBLEM_PAYLOAD_TOO_LARGE,
                       "%.500s. The service takes up to %zu pixels (--max-pixels).", err->text,
                       worker->max_pixels);
}

static int predict_image(struct slice *out, struct slice_worker *worker,
                         const struct slice_options *options, double start, struct problem *problem)
{
    struct error err;
    double decoded = clock_ms();
    struct predict_options wanted = {options->score_threshold, options->max_detections};
    size_t pixels = (size_t)out->image.width * (size_t)out->image.height;
    if (make_room(worker, pixels, &err) != 0 ||
        session_predict(worker->session, &out->image, &wanted, worker->prediction, &err) != 0)
        return problem_from_error(problem, &err);
    out->timing.decode = decoded - start;
    out->timing.infer = clock_ms() - decoded;
    return 0;
}

static int decode_png(struct slice *out, const struct slice_worker *worker,
                      const struct slice_source *source, const struct slice_options *options,
                      struct problem *problem)
{
    struct error err;
    out->kind = "png";
    if (image_read_png(&out->image, source->bytes, source->length, worker->max_pixels, &err) != 0) {
        problem_from_error(problem, &err);
        return err.code == ERR_TOO_LARGE ? too_large(problem, &err, worker) : -1;
    }
    if (slice_intensity_settle(&out->intensity, options, NULL, out->image.bit_depth,
                               out->image.colour, problem) != 0)
        return -1;
    if (out->intensity.mode == INTENSITY_HU)
        apply_intensity(&out->image, &out->intensity, 65535, -SLICE_PNG_OFFSET);
    return 0;
}

/* Reads slice out->index of a volume as grey. */
static int decode_voxels(struct slice *out, struct voxel_range *range, struct volume *volume,
                         const struct slice_options *options, struct problem *problem)
{
    struct error err;
    int columns = volume_columns(volume), rows = volume_rows(volume);
    size_t count = (size_t)columns * (size_t)rows;
    if (slice_intensity_settle(&out->intensity, options, volume, voxel_bits(volume->type), false,
                               problem) != 0)
        return -1;
    if (image_alloc(&out->image, columns, rows, &err) != 0 ||
        volume_read(out->image.pixels, range, volume, out->index, &err) != 0)
        return problem_from_error(problem, &err);
    out->image.bit_depth = voxel_bits(volume->type);
    if (out->intensity.mode == INTENSITY_HU) {
        apply_intensity(&out->image, &out->intensity, 1, 0);
        return 0;
    }
    /* Grey of an unknown scale: from the darkest to the brightest. */
    float span = range->maximum - range->minimum, scale = span > 0 ? 1 / span : 0;
    if (volume->inverted)
        apply_window(out->image.pixels, count, -scale, range->maximum * scale);
    else
        apply_window(out->image.pixels, count, scale, -range->minimum * scale);
    return 0;
}

static int decode_dicom(struct slice *out, struct voxel_range *range,
                        const struct slice_worker *worker, const struct slice_source *source,
                        const struct slice_options *options, struct problem *problem)
{
    struct error err;
    /* No slice has more than four bytes a pixel, and none is inflated. */
    struct volume_limits limits = {4 * worker->max_pixels, 1, NULL};
    out->kind = "dicom";
    if (volume_open(&out->own, source->bytes, source->length, &limits, &err) != 0) {
        problem_from_error(problem, &err);
        return err.code == ERR_TOO_LARGE ? too_large(problem, &err, worker) : -1;
    }
    size_t pixels = (size_t)volume_columns(out->own) * (size_t)volume_rows(out->own);
    if (pixels > worker->max_pixels)
        return problem_set(problem, PROBLEM_PAYLOAD_TOO_LARGE,
                           "%d x %d pixels are larger than the %zu pixels this service takes "
                           "(--max-pixels).",
                           volume_columns(out->own), volume_rows(out->own), worker->max_pixels);
    if (strcmp(out->own->placed_by, "nothing") != 0)
        out->volume = out->own;
    return decode_voxels(out, range, out->own, options, problem);
}

int slice_run(struct slice *out, struct slice_worker *worker, const struct slice_source *source,
              const struct slice_options *options, struct problem *problem)
{
    enum media media;
    struct voxel_range range = {0};
    double start = clock_ms();
    begin(out, worker);
    out->kind = "png";
    out->bytes = source->length;
    snprintf(out->file, sizeof out->file, "%s", source->file);
    if (media_require(&media, source->bytes, source->length, source->content_type, problem) != 0)
        return -1;
    if (media_is_volume(media))
        return problem_set(problem, PROBLEM_UNSUPPORTED_MEDIA, "A volume is no slice.");
    sha256_hex(out->sha256, source->bytes, source->length);
    int rc = media == MEDIA_DICOM ? decode_dicom(out, &range, worker, source, options, problem)
                                  : decode_png(out, worker, source, options, problem);
    if (rc != 0 || predict_image(out, worker, options, start, problem) != 0)
        return -1;
    warn_about_input(out);
    warn_about_voxels(out, &range);
    warn_about_prediction(out);
    return 0;
}

bool slice_is_offset(const struct voxel_range *range)
{
    return range->finite > 0 && range->minimum >= 0 && range->maximum > SLICE_BEYOND_HU;
}

int slice_run_volume(struct slice *out, struct voxel_range *range, struct slice_worker *worker,
                     struct volume *volume, int index, const struct slice_options *options,
                     struct problem *problem)
{
    double start = clock_ms();
    begin(out, worker);
    out->kind = volume->kind;
    out->volume = volume;
    out->index = index;
    if (decode_voxels(out, range, volume, options, problem) != 0 ||
        predict_image(out, worker, options, start, problem) != 0)
        return -1;
    warn_about_voxels(out, range);
    warn_about_prediction(out);
    return 0;
}

void slice_free(struct slice *slice)
{
    image_free(&slice->image);
    volume_close(slice->own);
    slice->own = NULL;
}

static void enclose(struct mask_window *all, const struct mask_window *window)
{
    if (window->x0 >= window->x1 || window->y0 >= window->y1)
        return;
    if (all->x0 >= all->x1) {
        *all = *window;
        return;
    }
    all->x0 = window->x0 < all->x0 ? window->x0 : all->x0;
    all->y0 = window->y0 < all->y0 ? window->y0 : all->y0;
    all->x1 = window->x1 > all->x1 ? window->x1 : all->x1;
    all->y1 = window->y1 > all->y1 ? window->y1 : all->y1;
}

int slice_masks(struct slice *slice, struct slice_worker *worker, slice_visitor *visit,
                void *context)
{
    const struct prediction *p = slice->prediction;
    struct mask_window all = {0};
    memset(worker->cover, 0, (size_t)p->width * (size_t)p->height);
    for (int i = 0; i < p->detections_count; i++) {
        struct mask_window window;
        int64_t area =
            detection_paste(&p->detections[i], p->width, p->height, worker->plane, &window);
        burden_add(worker->cover, p->width, p->detections[i].label, worker->plane, &window);
        enclose(&all, &window);
        int rc = visit ? visit(context, i, &window, area) : 0;
        if (rc != 0)
            return rc;
    }
    burden_count(&slice->burden, worker->cover, p->width, &all);
    if (!slice->burden.lung_found && (!slice->volume || slice->own))
        slice_warn(slice, "not_chest_like",
                   "No lung was found. This may not be an axial chest slice in a lung window.");
    return 0;
}

void slice_timing_header(struct response *response, double queue_ms,
                         const struct slice_timing *timing)
{
    response_header(response, "Server-Timing",
                    "queue;dur=%.1f, decode;dur=%.1f, infer;dur=%.1f, encode;dur=%.1f", queue_ms,
                    timing->decode, timing->infer, timing->encode);
}
