#include "api/scan.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void warn(struct scan *scan, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void warn(struct scan *scan, const char *code, const char *format, ...)
{
    if (scan->warnings_count == SLICE_MAX_WARNINGS)
        return;
    struct slice_warning *warning = &scan->warnings[scan->warnings_count++];
    warning->code = code;
    va_list args;
    va_start(args, format);
    vsnprintf(warning->detail, sizeof warning->detail, format, args);
    va_end(args);
}

/* ---- opening ---- */

/* What is known before a voxel was read. */
static void warn_about_volume(struct scan *scan)
{
    const struct volume *v = scan->volume;
    double spacing[3];
    volume_spacing(spacing, v);
    if (!scan->model.trained)
        warn(scan, "untrained_model",
             "The model's weights are seeded, not trained: every number here is noise.");
    if (scan->intensity.assumed)
        warn(scan, "window_assumed",
             "Voxels of 8 bits are taken to be a lung window already: width %g, level %g HU.",
             (double)scan->intensity.window, (double)scan->intensity.level);
    if (strcmp(v->placed_by, "pixdim") == 0)
        warn(scan, "orientation_assumed",
             "The header has neither sform nor qform: its axes are taken to run right, front, "
             "head.");
    if (v->not_ct)
        warn(scan, "not_ct", "Modality is not CT: its values are hardly Hounsfield units.");
    if (v->gap > 0)
        warn(scan, "uneven_slices",
             "Slices %d and %d are %.3g mm apart, most %.3g mm: some may be missing. Volumes in ml "
             "and the positions of slices are as if all were evenly apart.",
             v->gap_after, v->gap_after + 1, v->gap, v->usual_gap);
    int longer = volume_columns(v) > volume_rows(v) ? volume_columns(v) : volume_rows(v);
    if (longer < SLICE_LOW_RESOLUTION)
        warn(scan, "low_resolution",
             "%d x %d pixels is less than the model was made for (512 x 512).", volume_columns(v),
             volume_rows(v));
    if (fabs(spacing[0] / spacing[1] - 1) > 0.05)
        warn(
            scan, "anisotropic",
            "Pixels are %.3g x %.3g mm: the model sees the slice squeezed, as it lies in the file.",
            spacing[0], spacing[1]);
    else if (spacing[2] > SCAN_ANISOTROPIC_MM)
        warn(scan, "anisotropic", "Slices are %.3g mm apart: volumes in ml are rough.", spacing[2]);
    if (volume_tilt(v) > SCAN_TILT)
        warn(scan, "oblique", "The slices are tilted by %.0f degrees against the axial plane.",
             volume_tilt(v));
}

static int check_size(const struct scan *scan, const struct slice_worker *worker,
                      const struct scan_limits *limits, struct problem *problem)
{
    const struct volume *v = scan->volume;
    size_t pixels = (size_t)volume_columns(v) * (size_t)volume_rows(v);
    if (pixels > worker->max_pixels)
        return problem_set(problem, PROBLEM_PAYLOAD_TOO_LARGE,
                           "Slices of %d x %d pixels are larger than the %zu pixels this service "
                           "takes (--max-pixels).",
                           volume_columns(v), volume_rows(v), worker->max_pixels);
    if (scan->count > limits->max_slices)
        return problem_set(problem, PROBLEM_PAYLOAD_TOO_LARGE,
                           "%d slices are more than the %d this service takes at once "
                           "(--max-slices). Choose some with the option slices, such as "
                           "slices=0:%d or slices=::2.",
                           scan->count, limits->max_slices, limits->max_slices);
    return 0;
}

/* Counts what the scan holds beside the body among what all requests hold. */
static int take_memory(struct scan *scan, size_t bytes, const struct scan_limits *limits,
                       struct problem *problem)
{
    if (!limits->held)
        return 0;
    scan->held = limits->held;
    scan->taken = bytes;
    if (atomic_fetch_add(limits->held, bytes) + bytes <= limits->max_held)
        return 0;
    problem_set(problem, PROBLEM_QUEUE_FULL,
                "Other requests fill the memory set aside for bodies and volumes (--max-buffered). "
                "Try again in about %d s.",
                limits->retry_after);
    problem->retry_after = limits->retry_after;
    return -1;
}

static int format_problem(struct problem *problem, const struct error *err,
                          const struct scan_limits *limits)
{
    problem_from_error(problem, err);
    if (err->code == ERR_TOO_LARGE)
        return problem_set(problem, PROBLEM_PAYLOAD_TOO_LARGE,
                           "%.500s. The limits are a ratio of %d (--max-inflate-ratio) and the "
                           "memory for all volumes (--max-buffered).",
                           err->text, limits->max_ratio);
    return -1;
}

int scan_open(struct scan **out, const struct slice_source *source,
              const struct slice_worker *worker, const struct slice_options *options,
              const struct scan_limits *limits, bool labels, struct problem *problem)
{
    struct error err;
    struct volume_limits allowed = {limits->max_held, limits->max_ratio, limits->called_off};
    struct scan *scan = calloc(1, sizeof *scan);
    *out = NULL;
    if (!scan) {
        error_set(&err, ERR_MEMORY, "no memory for a scan");
        return problem_from_error(problem, &err);
    }
    scan->model = *worker->model;
    scan->opened_ms = clock_ms();
    scan->bytes = source->bytes;
    scan->length = source->length;
    snprintf(scan->file, sizeof scan->file, "%s", source->file);
    sha256_init(&scan->hash);
    if (volume_open(&scan->volume, source->bytes, source->length, &allowed, &err) != 0) {
        format_problem(problem, &err, limits);
        goto failed;
    }
    const struct volume *v = scan->volume;
    size_t voxels = v->bytes / ((size_t)voxel_bits(v->type) / 8);
    if (options_choose(&scan->first, &scan->count, &scan->step, options, volume_slices(v),
                       problem) != 0 ||
        slice_intensity_settle(&scan->intensity, options, v, voxel_bits(v->type), false, problem) !=
            0 ||
        check_size(scan, worker, limits, problem) != 0 ||
        take_memory(scan, v->held + (labels ? voxels : 0), limits, problem) != 0)
        goto failed;
    scan->slices = calloc((size_t)scan->count, sizeof *scan->slices);
    if (labels)
        scan->labels = calloc(voxels, 1);
    if (!scan->slices || (labels && !scan->labels)) {
        error_set(&err, ERR_MEMORY, "no memory for a scan's results");
        problem_from_error(problem, &err);
        goto failed;
    }
    warn_about_volume(scan);
    *out = scan;
    return 0;
failed:
    scan_close(scan);
    return -1;
}

void scan_close(struct scan *scan)
{
    if (!scan)
        return;
    if (scan->held)
        atomic_fetch_sub(scan->held, scan->taken);
    volume_close(scan->volume);
    free(scan->slices);
    free(scan->labels);
    free(scan);
}

/* ---- slice by slice ---- */

int scan_index(const struct scan *scan)
{
    return scan->first + scan->next * scan->step;
}

int scan_run(struct scan *scan, struct slice *slice, struct slice_worker *worker,
             const struct slice_options *options, struct problem *problem)
{
    struct voxel_range range = {0};
    int rc =
        slice_run_volume(slice, &range, worker, scan->volume, scan_index(scan), options, problem);
    if (range.finite > 0) {
        bool first = scan->range.finite == 0;
        if (first || range.minimum < scan->range.minimum)
            scan->range.minimum = range.minimum;
        if (first || range.maximum > scan->range.maximum)
            scan->range.maximum = range.maximum;
    }
    scan->range.finite += range.finite;
    scan->range.not_finite += range.not_finite;
    return rc;
}

/* The bytes' share that goes with one slice. */
static void hash_share(struct scan *scan)
{
    size_t until = scan->next == scan->count
                       ? scan->length
                       : scan->length / (size_t)scan->count * (size_t)scan->next;
    sha256_update(&scan->hash, scan->bytes + scan->hashed, until - scan->hashed);
    scan->hashed = until;
}

/*
 * The column between the patient's right and left: the middle of the lungs of this slice, where
 * they lie on both sides of the picture's middle; else the picture's middle.
 */
static int middle_column(const uint8_t *cover, int width, int height)
{
    int low = width, high = -1;
    for (int y = 0; y < height; y++) {
        const uint8_t *row = cover + (size_t)y * (size_t)width;
        for (int x = 0; x < low; x++)
            if (row[x] & BURDEN_LUNG)
                low = x;
        for (int x = width - 1; x > high; x--)
            if (row[x] & BURDEN_LUNG)
                high = x;
    }
    return low < width / 2 && high >= width / 2 ? (low + high + 1) / 2 : width / 2;
}

static void count_sides(struct scan_areas sides[SCAN_SIDES], const uint8_t *cover, int width,
                        int height)
{
    int middle = middle_column(cover, width, height);
    const struct mask_window windows[SCAN_SIDES] = {
        [SCAN_RIGHT] = {0, 0, middle, height},
        [SCAN_LEFT] = {middle, 0, width, height},
    };
    for (int side = 0; side < SCAN_SIDES; side++) {
        struct burden b;
        burden_count(&b, cover, width, &windows[side]);
        sides[side] = (struct scan_areas){b.lung_px, b.ggo_px, b.consolidation_px, b.affected_px};
    }
}

static void write_labels(struct scan *scan, const struct slice *slice, const uint8_t *cover)
{
    int width = slice->image.width, height = slice->image.height;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint8_t label = burden_label(cover[(size_t)y * (size_t)width + (size_t)x]);
            if (label)
                scan->labels[volume_index(scan->volume, x, y, slice->index)] = label;
        }
}

void scan_add(struct scan *scan, const struct slice *slice, const struct slice_worker *worker)
{
    struct scan_slice *kept = &scan->slices[scan->next++];
    const struct prediction *p = slice->prediction;
    kept->index = slice->index;
    kept->done = true;
    kept->classified = p->classified;
    kept->predicted = p->predicted;
    memcpy(kept->probabilities, p->probabilities, sizeof kept->probabilities);
    count_sides(kept->sides, worker->cover, slice->image.width, slice->image.height);
    if (scan->labels)
        write_labels(scan, slice, worker->cover);
    scan->spent.decode += slice->timing.decode;
    scan->spent.infer += slice->timing.infer;
    scan->spent.encode += slice->timing.encode;
    hash_share(scan);
}

void scan_skip(struct scan *scan, const struct problem *problem)
{
    struct scan_slice *kept = &scan->slices[scan->next];
    kept->index = scan_index(scan);
    scan->next++;
    /* Nothing but air, or beyond the field of view: there is nothing to find, which is no failure.
     */
    kept->done = problem->kind == PROBLEM_CONSTANT_IMAGE;
    scan->failed += !kept->done;
    hash_share(scan);
}

void scan_finish(struct scan *scan)
{
    uint8_t digest[SHA256_SIZE];
    struct scan_areas sides[SCAN_SIDES];
    sha256_final(&scan->hash, digest);
    sha256_format(scan->sha256, digest);
    if (scan->range.not_finite > 0)
        warn(scan, "nan_voxels", "%lld voxels are not numbers; they were taken for air.",
             (long long)scan->range.not_finite);
    if (scan->intensity.mode == INTENSITY_HU && slice_is_offset(&scan->range))
        warn(scan, "hu_offset_suspected",
             "Values run from %g to %g: they look like HU + 1024, with the offset lost. Subtract "
             "it, or set it in the header.",
             (double)scan->range.minimum, (double)scan->range.maximum);
    scan_sum(sides, scan);
    if (sides[SCAN_RIGHT].lung + sides[SCAN_LEFT].lung == 0)
        warn(
            scan, "not_chest_like",
            "No lung was found in any slice. This may not be a chest, or not in Hounsfield units.");
}

/* ---- the whole ---- */

const char scan_sides_rule[] = "Right and left are divided, slice by slice, at the middle of the "
                               "lungs found, where they lie on "
                               "both sides of the picture's middle; else at the picture's middle.";

void scan_sum(struct scan_areas sides[SCAN_SIDES], const struct scan *scan)
{
    for (int side = 0; side < SCAN_SIDES; side++) {
        sides[side] = (struct scan_areas){0};
        for (int i = 0; i < scan->next; i++) {
            const struct scan_areas *one = &scan->slices[i].sides[side];
            sides[side].lung += one->lung;
            sides[side].ggo += one->ggo;
            sides[side].consolidation += one->consolidation;
            sides[side].affected += one->affected;
        }
    }
}

bool scan_is_complete(const struct scan *scan)
{
    return scan->count == volume_slices(scan->volume) && scan->next == scan->count &&
           scan->failed == 0;
}

static int64_t lung_of(const struct scan_slice *slice)
{
    return slice->sides[SCAN_RIGHT].lung + slice->sides[SCAN_LEFT].lung;
}

static int64_t affected_of(const struct scan_slice *slice)
{
    return slice->sides[SCAN_RIGHT].affected + slice->sides[SCAN_LEFT].affected;
}

const char scan_vote_rule[] =
    "Slices with at least a fifth of the largest slice's lung area take part. A class's "
    "probability "
    "is the mean of theirs; the class with the largest mean is predicted.";

void scan_vote(struct scan_vote *out, const struct scan *scan)
{
    int64_t most = 0;
    *out = (struct scan_vote){.predicted = -1};
    for (int i = 0; i < scan->next; i++)
        most = lung_of(&scan->slices[i]) > most ? lung_of(&scan->slices[i]) : most;
    for (int i = 0; i < scan->next; i++) {
        const struct scan_slice *one = &scan->slices[i];
        if (!one->classified || lung_of(one) == 0 || 5 * lung_of(one) < most)
            continue;
        out->slices++;
        out->votes[one->predicted]++;
        for (int c = 0; c < MODEL_IMAGE_CLASSES; c++)
            out->probabilities[c] += (double)one->probabilities[c];
    }
    for (int c = 0; c < MODEL_IMAGE_CLASSES && out->slices > 0; c++) {
        out->probabilities[c] /= out->slices;
        if (out->predicted < 0 || out->probabilities[c] > out->probabilities[out->predicted])
            out->predicted = c;
    }
}

int scan_worst(int places[SCAN_WORST], const struct scan *scan)
{
    int count = 0;
    for (int i = 0; i < scan->next; i++) {
        int64_t area = affected_of(&scan->slices[i]);
        if (area == 0)
            continue;
        int at = count;
        while (at > 0 && affected_of(&scan->slices[places[at - 1]]) < area)
            at--;
        if (at == SCAN_WORST)
            continue;
        int last = count < SCAN_WORST ? count++ : SCAN_WORST - 1;
        for (int k = last; k > at; k--)
            places[k] = places[k - 1];
        places[at] = i;
    }
    return count;
}
