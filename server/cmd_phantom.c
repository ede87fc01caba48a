/* `oneshot phantom`: one picture, or data sets in the layout that training reads. */
#include "server/cmd_phantom.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/data/image.h"
#include "model/data/nifti.h"
#include "model/data/phantom.h"
#include "server/file.h"
#include "server/progress.h"

static const char help[] =
    "usage: oneshot phantom --png FILE [--kind KIND] [--seed N] [--size N]\n"
    "       oneshot phantom --nifti FILE [--volume SLICES] [--kind KIND] [--seed N] [--size N]\n"
    "       oneshot phantom --out DIR [--count N] [--kind KIND|mixed] [--seed N] [--size N]\n"
    "                       [--volume SLICES]\n"
    "\n"
    "Makes synthetic chest CT slices with exact labels: the same seed, the same bytes, anywhere.\n"
    "For trying things out, tests and benchmarks; no patient is in them.\n"
    "\n"
    "  --png FILE        write one slice in the lung window (1500/-600) and stop\n"
    "  --nifti FILE      write a volume in HU (.nii, .nii.gz) of --volume slices (24) and stop\n"
    "  --labels FILE     with --png or --nifti: its label map too, in the same format\n"
    "                    (0 background, 1 lungs, 2 GGO, 3 consolidation)\n"
    "  --out DIR         write data sets, made if missing:\n"
    "                      DIR/segmentation/imgs/*.png, masks/*.png, manifest.csv\n"
    "                      DIR/classification/*.png (0_ control, 1_ common pneumonia,\n"
    "                      2_ COVID-19), manifest.csv\n"
    "  --count N         patients (30)\n"
    "  --volume SLICES   slices per patient, from apex to base (1: one slice through the\n"
    "                    disease); of sick patients only those that show lesions are written\n"
    "  --kind KIND       control, pneumonia, covid, or mixed: each in turn (mixed; covid with\n"
    "                    --png)\n"
    "  --seed N          first patient's seed, the next one's is one more (1)\n"
    "  --size N          width and height in pixels, 32 to 4096 (512)\n"
    "  --help            this text\n";

struct options {
    const char *png, *nifti, *labels, *out;
    int count, slices, size;
    int kind; /* PHANTOM_KINDS: mixed; -1: not given */
    uint64_t seed;
};

/* ---- options ---- */

static int wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int wrong(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("oneshot phantom: ", stderr);
    vfprintf(stderr, format, args);
    fputs("; see oneshot phantom --help\n", stderr);
    va_end(args);
    return 2;
}

static bool parse_number(uint64_t *out, const char *text, uint64_t low, uint64_t high)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != 0 || errno != 0 || v < low || v > high)
        return false;
    *out = v;
    return true;
}

static bool parse_kind(int *out, const char *text)
{
    for (int k = 0; k < PHANTOM_KINDS; k++) {
        if (strcmp(text, phantom_kind_name(k)) == 0) {
            *out = k;
            return true;
        }
    }
    *out = PHANTOM_KINDS;
    return strcmp(text, "mixed") == 0;
}

/* Returns -1 to go on, else the exit code. */
static bool is_nifti(const char *name)
{
    size_t length = strlen(name);
    return (length >= 4 && strcmp(name + length - 4, ".nii") == 0) ||
           (length >= 7 && strcmp(name + length - 7, ".nii.gz") == 0);
}

static int parse(struct options *o, int argc, char **argv)
{
    enum { PNG = 256, NIFTI, LABELS, OUT, COUNT, KIND, SEED, SIZE, VOLUME, HELP };
    static const struct option longs[] = {
        {"png", required_argument, NULL, PNG},
        {"nifti", required_argument, NULL, NIFTI},
        {"labels", required_argument, NULL, LABELS},
        {"out", required_argument, NULL, OUT},
        {"count", required_argument, NULL, COUNT},
        {"kind", required_argument, NULL, KIND},
        {"seed", required_argument, NULL, SEED},
        {"size", required_argument, NULL, SIZE},
        {"volume", required_argument, NULL, VOLUME},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    int c;
    uint64_t n;
    optind = 0;
    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        switch (c) {
        case PNG:
            o->png = optarg;
            break;
        case NIFTI:
            o->nifti = optarg;
            break;
        case LABELS:
            o->labels = optarg;
            break;
        case OUT:
            o->out = optarg;
            break;
        case COUNT:
            if (!parse_number(&n, optarg, 1, 1000000))
                return wrong("--count is 1 to 1000000, not '%s'", optarg);
            o->count = (int)n;
            break;
        case KIND:
            if (!parse_kind(&o->kind, optarg))
                return wrong("--kind is control, pneumonia, covid or mixed, not '%s'", optarg);
            break;
        case SEED:
            if (!parse_number(&o->seed, optarg, 0, UINT64_MAX))
                return wrong("--seed is a whole number from 0, not '%s'", optarg);
            break;
        case SIZE:
            if (!parse_number(&n, optarg, PHANTOM_MIN_SIDE, PHANTOM_MAX_SIDE))
                return wrong("--size is 32 to 4096, not '%s'", optarg);
            o->size = (int)n;
            break;
        case VOLUME:
            if (!parse_number(&n, optarg, 1, PHANTOM_MAX_SLICES))
                return wrong("--volume is 1 to 1024, not '%s'", optarg);
            o->slices = (int)n;
            break;
        case HELP:
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            fputs("see oneshot phantom --help\n", stderr);
            return 2;
        }
    }
    if (optind < argc)
        return wrong("unexpected argument '%s'", argv[optind]);
    if ((o->png != NULL) + (o->nifti != NULL) + (o->out != NULL) != 1)
        return wrong("give one of --png FILE, --nifti FILE and --out DIR");
    if (o->out == NULL && o->kind == PHANTOM_KINDS)
        return wrong("--kind cannot be mixed for one patient");
    if (o->out != NULL && o->labels != NULL)
        return wrong("--labels goes with --png or --nifti");
    if (o->png != NULL && o->slices > 1)
        return wrong("--volume goes with --nifti or --out; --png is one slice");
    if (o->out == NULL && o->count != 0)
        return wrong("--count goes with --out");
    const char *const names[] = {o->png, o->nifti, o->labels};
    for (int i = 0; i < 3; i++)
        if (names[i] != NULL && is_nifti(names[i]) != (o->nifti != NULL))
            return wrong(o->nifti != NULL ? "a NIfTI is named .nii or .nii.gz, not '%s'"
                                          : "a PNG is not named .nii or .nii.gz as '%s' is",
                         names[i]);
    if (o->count == 0)
        o->count = 30;
    if (o->slices == 0)
        o->slices = o->nifti ? 24 : 1;
    return -1;
}

/* ---- one picture ---- */

static int save_slice(const char *path, const struct phantom *p, int slice, struct error *err)
{
    size_t count = (size_t)p->width * (size_t)p->height;
    uint8_t *pixels = malloc(count);
    if (pixels == NULL)
        return error_set(err, ERR_MEMORY, "%s: no memory", path);
    phantom_window(pixels, p->hu + count * (size_t)slice, (int64_t)count, PHANTOM_WINDOW,
                   PHANTOM_LEVEL);
    int rc = image_save_png(path, pixels, p->width, p->height, 1, err);
    free(pixels);
    return rc;
}

static int save_labels(const char *path, const struct phantom *p, int slice, struct error *err)
{
    size_t count = (size_t)p->width * (size_t)p->height;
    return image_save_png(path, p->labels + count * (size_t)slice, p->width, p->height, 1, err);
}

static int make_picture(const struct options *o, struct error *err)
{
    int rc = -1;
    struct phantom p;
    enum phantom_kind kind = o->kind < 0 ? PHANTOM_COVID : (enum phantom_kind)o->kind;
    TRY(phantom_slice(&p, kind, o->seed, o->size, o->size, err));
    TRY(save_slice(o->png, &p, 0, err));
    if (o->labels != NULL)
        TRY(save_labels(o->labels, &p, 0, err));
done:
    phantom_free(&p);
    return rc;
}

/* ---- one volume ---- */

/* As scanners write it: columns to the patient's left, rows to the back, from apex to base. */
static int save_nifti(const char *path, const struct phantom *p, enum voxel_type type,
                      const void *voxels, struct error *err)
{
    const int size[3] = {p->width, p->height, p->slices};
    const double x = (double)p->spacing_mm[0], y = (double)p->spacing_mm[1],
                 z = (double)p->spacing_mm[2];
    const double affine[3][4] = {{-x, 0, 0, x * (size[0] - 1) / 2},
                                 {0, -y, 0, y * (size[1] - 1) / 2},
                                 {0, 0, -z, z * (size[2] - 1) / 2}};
    uint8_t *bytes = NULL;
    size_t length, n = strlen(path);
    bool gzip = n > 3 && strcmp(path + n - 3, ".gz") == 0;
    if (nifti_write(&bytes, &length, size, type, affine, voxels, gzip, err) != 0)
        return -1;
    int rc = file_write(path, bytes, length, err);
    free(bytes);
    return rc;
}

static int make_volume(const struct options *o, struct error *err)
{
    int rc = -1;
    struct phantom p;
    enum phantom_kind kind = o->kind < 0 ? PHANTOM_COVID : (enum phantom_kind)o->kind;
    TRY(phantom_volume(&p, kind, o->seed, o->size, o->size, o->slices, err));
    TRY(save_nifti(o->nifti, &p, VOXEL_I16, p.hu, err));
    if (o->labels != NULL)
        TRY(save_nifti(o->labels, &p, VOXEL_U8, p.labels, err));
done:
    phantom_free(&p);
    return rc;
}

/* ---- data sets ---- */

static char *path_make(struct error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static char *path_make(struct error *err, const char *format, ...)
{
    char *path = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&path, format, args) < 0) {
        path = NULL;
        error_set(err, ERR_MEMORY, "no memory for a path");
    }
    va_end(args);
    return path;
}

/* Makes base/below and what is missing above it. */
static int make_folder(const char *base, const char *below, struct error *err)
{
    int rc = -1;
    char *path = path_make(err, "%s%s", base, below);
    if (path == NULL)
        return -1;
    for (char *at = path + 1;; at++) {
        if (*at != '/' && *at != 0)
            continue;
        char kept = *at;
        *at = 0;
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            TRY(error_set(err, ERR_IO, "%s: %s", path, strerror(errno)));
        *at = kept;
        if (kept == 0)
            break;
    }
    rc = 0;
done:
    free(path);
    return rc;
}

static int open_manifest(FILE **out, const char *base, const char *below, const char *header,
                         struct error *err)
{
    char *path = path_make(err, "%s/%s/manifest.csv", base, below);
    if (path == NULL)
        return -1;
    *out = fopen(path, "w");
    if (*out == NULL)
        error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    else
        fputs(header, *out);
    free(path);
    return *out == NULL ? -1 : 0;
}

static bool shows_lesions(const struct phantom *p, int slice)
{
    size_t count = (size_t)p->width * (size_t)p->height, lesion = 0;
    const uint8_t *labels = p->labels + count * (size_t)slice;
    for (size_t i = 0; i < count; i++)
        lesion += labels[i] > 1;
    return lesion * 2000 > count; /* more than a speck: a twentieth of a percent */
}

static int write_slice(const struct options *o, const struct phantom *p, uint64_t seed, int slice,
                       FILE *segmentation, FILE *classification, struct error *err)
{
    int rc = -1;
    int kind = (int)p->kind;
    char *name = path_make(err, "phantom%06llu_%03d.png", (unsigned long long)seed, slice);
    char *class_path = NULL, *image_path = NULL, *mask_path = NULL;
    if (name == NULL ||
        (class_path = path_make(err, "%s/classification/%d_%s", o->out, kind, name)) == NULL ||
        (image_path = path_make(err, "%s/segmentation/imgs/%d_%s", o->out, kind, name)) == NULL ||
        (mask_path = path_make(err, "%s/segmentation/masks/%d_%s", o->out, kind, name)) == NULL)
        goto done;
    TRY(save_slice(class_path, p, slice, err));
    TRY(save_slice(image_path, p, slice, err));
    TRY(save_labels(mask_path, p, slice, err));
    fprintf(classification, "train,%d_%s,%d,%d,%d,%s%06llu,phantom\n", kind, name, kind == 0,
            kind == 1, kind == 2, phantom_kind_name(kind), (unsigned long long)seed);
    fprintf(segmentation, "train,%d_%s,phantom,exact\n", kind, name);
done:
    free(name);
    free(class_path);
    free(image_path);
    free(mask_path);
    return rc;
}

static int make_sets(const struct options *o, struct error *err)
{
    int rc = -1, slices = 0;
    FILE *segmentation = NULL, *classification = NULL;
    struct phantom p = {0};
    struct progress bar;
    progress_start(&bar, "patients", o->count, o->count > 1);
    TRY(make_folder(o->out, "/segmentation/imgs", err));
    TRY(make_folder(o->out, "/segmentation/masks", err));
    TRY(make_folder(o->out, "/classification", err));
    TRY(open_manifest(&segmentation, o->out, "segmentation", "split,file,source,labels\n", err));
    TRY(open_manifest(&classification, o->out, "classification",
                      "split,file,control,common_pneumonia,covid_19,patient,source\n", err));
    for (int i = 0; i < o->count; i++) {
        uint64_t seed = o->seed + (uint64_t)i;
        int kind = o->kind < 0 || o->kind == PHANTOM_KINDS ? i % PHANTOM_KINDS : o->kind;
        if (o->slices == 1)
            TRY(phantom_slice(&p, (enum phantom_kind)kind, seed, o->size, o->size, err));
        else
            TRY(phantom_volume(&p, (enum phantom_kind)kind, seed, o->size, o->size, o->slices,
                               err));
        for (int k = 0; k < p.slices; k++) {
            if (kind != PHANTOM_CONTROL && p.slices > 1 && !shows_lesions(&p, k))
                continue;
            TRY(write_slice(o, &p, seed, k, segmentation, classification, err));
            slices++;
        }
        phantom_free(&p);
        progress_set(&bar, i + 1);
    }
    progress_end(&bar);
    if (fflush(segmentation) != 0 || fflush(classification) != 0)
        TRY(error_set(err, ERR_IO, "%s: manifest.csv: %s", o->out, strerror(errno)));
    printf("%d slices of %d patients in %s/segmentation and %s/classification\n", slices, o->count,
           o->out, o->out);
done:
    progress_end(&bar);
    phantom_free(&p);
    if (segmentation != NULL)
        fclose(segmentation);
    if (classification != NULL)
        fclose(classification);
    return rc;
}

int cmd_phantom(int argc, char **argv)
{
    struct options o = {.slices = 0, .size = 512, .kind = -1, .seed = 1};
    struct error err;
    int code = parse(&o, argc, argv);
    if (code >= 0)
        return code;
    int rc = o.png ? make_picture(&o, &err) : o.nifti ? make_volume(&o, &err) : make_sets(&o, &err);
    if (rc == 0)
        return 0;
    fprintf(stderr, "oneshot phantom: %s\n", err.text);
    return 1;
}
