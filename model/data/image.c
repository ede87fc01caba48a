/* Reading PNG: libpng does the container, the filters and inflating; samples are converted here. */
#include "model/data/image.h"

#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/vector.h"

enum {
    SIGNATURE_BYTES = 8,
    HEADER_BYTES = 33,    /* signature and IHDR: length, type, 13 bytes, CRC */
    DEFLATE_RATIO = 1032, /* no deflate stream inflates to more than this times its size */
    MAX_ROW_KINDS = 8,
};

struct reader {
    const uint8_t *bytes;
    size_t length, offset;
    struct error *err;
    bool out_of_memory;
    bool no_labels; /* sound, but not what a label map is */

    png_structp png;
    png_infop info;

    int width, height;
    int depth;       /* bits of a sample in the file */
    int colour_type; /* PNG_COLOR_TYPE_* */
    bool interlaced;
    size_t row_bytes; /* of a row as libpng hands it over */
    uint8_t *raw;     /* one row, or every row of an interlaced image */

    float *pixels;   /* (height, width) or NULL; one of the two is filled */
    uint8_t *labels; /* (height, width) or NULL */
    bool colour;

    int table_count; /* samples that mean something: palette entries, or 2^depth greys */
    float table[256];
    uint8_t table_colour[256]; /* the entry's channels differ */
};

/* ---- samples to floats; every kernel returns whether a pixel's channels differ ---- */

VECTORIZED static bool grey8(float *restrict out, const uint8_t *restrict in, int count)
{
    for (int i = 0; i < count; i++)
        out[i] = in[i] / 255.0f;
    return false;
}

VECTORIZED static bool grey_alpha8(float *restrict out, const uint8_t *restrict in, int count)
{
    for (int i = 0; i < count; i++)
        out[i] = in[2 * (size_t)i] / 255.0f;
    return false;
}

VECTORIZED static bool grey16(float *restrict out, const uint8_t *restrict in, int count)
{
    for (int i = 0; i < count; i++)
        out[i] = (in[2 * (size_t)i] << 8 | in[2 * (size_t)i + 1]) / 65535.0f;
    return false;
}

VECTORIZED static bool grey_alpha16(float *restrict out, const uint8_t *restrict in, int count)
{
    for (int i = 0; i < count; i++)
        out[i] = (in[4 * (size_t)i] << 8 | in[4 * (size_t)i + 1]) / 65535.0f;
    return false;
}

/*
 * Thousandths keep equal channels exact without a branch: 1000 v and 255000 are whole floats, so
 * their rounded quotient is that of v / 255. The same holds in double for 16 bits.
 */
static inline bool luma8(float *restrict out, const uint8_t *restrict in, int count, int step)
{
    unsigned differ = 0;
    for (int i = 0; i < count; i++) {
        const uint8_t *p = in + (size_t)step * i;
        unsigned r = p[0], g = p[1], b = p[2];
        differ |= (r ^ g) | (g ^ b);
        out[i] = (float)(int)(299 * r + 587 * g + 114 * b) / 255000.0f;
    }
    return differ != 0;
}

static inline bool luma16(float *restrict out, const uint8_t *restrict in, int count, int step)
{
    unsigned differ = 0;
    for (int i = 0; i < count; i++) {
        const uint8_t *p = in + (size_t)step * i;
        unsigned r = p[0] << 8 | p[1], g = p[2] << 8 | p[3], b = p[4] << 8 | p[5];
        differ |= (r ^ g) | (g ^ b);
        out[i] = (float)((int)(299 * r + 587 * g + 114 * b) / 65535000.0);
    }
    return differ != 0;
}

VECTORIZED static bool rgb8(float *restrict out, const uint8_t *restrict in, int count)
{
    return luma8(out, in, count, 3);
}

VECTORIZED static bool rgb_alpha8(float *restrict out, const uint8_t *restrict in, int count)
{
    return luma8(out, in, count, 4);
}

VECTORIZED static bool rgb16(float *restrict out, const uint8_t *restrict in, int count)
{
    return luma16(out, in, count, 6);
}

VECTORIZED static bool rgb_alpha16(float *restrict out, const uint8_t *restrict in, int count)
{
    return luma16(out, in, count, 8);
}

static const struct row_kind {
    int colour_type, depth;
    int channels; /* that libpng hands over, alpha included */
    int grey;     /* channels that must agree to be a grey value */
    bool (*convert)(float *out, const uint8_t *in, int count); /* NULL: through the table */
} row_kinds[] = {
    {PNG_COLOR_TYPE_GRAY, 8, 1, 1, grey8},
    {PNG_COLOR_TYPE_GRAY, 16, 1, 1, grey16},
    {PNG_COLOR_TYPE_GRAY_ALPHA, 8, 2, 1, grey_alpha8},
    {PNG_COLOR_TYPE_GRAY_ALPHA, 16, 2, 1, grey_alpha16},
    {PNG_COLOR_TYPE_RGB, 8, 3, 3, rgb8},
    {PNG_COLOR_TYPE_RGB, 16, 3, 3, rgb16},
    {PNG_COLOR_TYPE_RGB_ALPHA, 8, 4, 3, rgb_alpha8},
    {PNG_COLOR_TYPE_RGB_ALPHA, 16, 4, 3, rgb_alpha16},
};
static const struct row_kind table_kind = {0, 0, 1, 1, NULL}; /* palette; grey below 8 bits */

static const struct row_kind *find_row_kind(int colour_type, int depth)
{
    for (size_t i = 0; i < sizeof row_kinds / sizeof *row_kinds; i++)
        if (row_kinds[i].colour_type == colour_type && row_kinds[i].depth == depth)
            return &row_kinds[i];
    return &table_kind;
}

/* ---- what libpng calls; all of these may leave through png_error, which jumps ---- */

static void on_error(png_structp png, png_const_charp text)
{
    struct reader *r = png_get_error_ptr(png);
    if (r->out_of_memory)
        error_set(r->err, ERR_MEMORY, "no memory to decode a PNG of %dx%d pixels", r->width,
                  r->height);
    else if (r->no_labels)
        error_set(r->err, ERR_BAD_PNG, "%s", text);
    else
        error_set(r->err, ERR_BAD_PNG, "PNG is damaged at byte %zu of %zu: %s", r->offset,
                  r->length, text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text; /* odd but readable files are read */
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t size)
{
    struct reader *r = png_get_mem_ptr(png);
    void *memory = malloc(size);
    if (memory == NULL)
        r->out_of_memory = true;
    return memory;
}

static void on_free(png_structp png, png_voidp memory)
{
    (void)png;
    free(memory);
}

static void on_read(png_structp png, png_bytep out, size_t count)
{
    struct reader *r = png_get_io_ptr(png);
    if (count > r->length - r->offset)
        png_error(png, "the file is cut short, send all of it");
    memcpy(out, r->bytes + r->offset, count);
    r->offset += count;
}

/* ---- decoding ---- */

static uint32_t big_endian32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Sizes from the header, judged before libpng or malloc see them. */
static int check_header(struct reader *r, size_t max_pixels)
{
    static const uint8_t channels[7] = {1, 0, 3, 1, 2, 0, 4}; /* by colour type */

    if (!image_is_png(r->bytes, r->length))
        return error_set(r->err, ERR_BAD_PNG, "not a PNG: the signature is missing");
    if (r->length < HEADER_BYTES)
        return error_set(r->err, ERR_BAD_PNG, "PNG is cut short: %zu bytes, its header needs %d",
                         r->length, HEADER_BYTES);
    const uint8_t *h = r->bytes + SIGNATURE_BYTES;
    if (big_endian32(h) != 13 || memcmp(h + 4, "IHDR", 4) != 0)
        return error_set(r->err, ERR_BAD_PNG, "PNG does not begin with its IHDR chunk");
    uint32_t width = big_endian32(h + 8), height = big_endian32(h + 12);
    int depth = h[16], colour_type = h[17];
    if (width == 0 || height == 0 || width > INT32_MAX || height > INT32_MAX)
        return error_set(r->err, ERR_BAD_PNG, "PNG header claims %ux%u pixels", width, height);
    if ((uint64_t)width * height > max_pixels)
        return error_set(r->err, ERR_TOO_LARGE, "PNG has %ux%u pixels, the limit is %zu in all",
                         width, height, max_pixels);
    if (depth < 1 || depth > 16 || colour_type > 6 || channels[colour_type] == 0)
        return error_set(r->err, ERR_BAD_PNG, "PNG header has bit depth %d with colour type %d",
                         depth, colour_type);
    uint64_t row = ((uint64_t)width * channels[colour_type] * (unsigned)depth + 7) / 8;
    if (row > UINT64_MAX / height || row * height / DEFLATE_RATIO > r->length)
        return error_set(r->err, ERR_BAD_PNG,
                         "PNG is cut short: %zu bytes cannot hold the %ux%u pixels its header "
                         "claims",
                         r->length, width, height);
    r->width = (int)width;
    r->height = (int)height;
    r->depth = depth;
    r->colour_type = colour_type;
    return 0;
}

static void fill_table(struct reader *r)
{
    if (r->colour_type != PNG_COLOR_TYPE_PALETTE) {
        r->table_count = 1 << r->depth;
        for (int i = 0; i < r->table_count; i++)
            r->table[i] = (float)i / (float)(r->table_count - 1);
        return;
    }
    png_colorp palette = NULL;
    int count = 0;
    if (!png_get_PLTE(r->png, r->info, &palette, &count))
        png_error(r->png, "the palette is missing");
    r->table_count = count;
    for (int i = 0; i < count; i++) {
        const uint8_t rgb[3] = {palette[i].red, palette[i].green, palette[i].blue};
        r->table_colour[i] = luma8(&r->table[i], rgb, 1, 3);
    }
}

static void convert_row(struct reader *r, const struct row_kind *kind, const uint8_t *in, int y)
{
    float *out = r->pixels + (size_t)y * (size_t)r->width;
    if (kind->convert != NULL) {
        r->colour |= kind->convert(out, in, r->width);
        return;
    }
    unsigned differ = 0;
    int largest = 0;
    for (int i = 0; i < r->width; i++) {
        out[i] = r->table[in[i]];
        differ |= r->table_colour[in[i]];
        largest = in[i] > largest ? in[i] : largest;
    }
    if (largest >= r->table_count)
        png_error(r->png, "a pixel points past the palette");
    r->colour |= differ != 0;
}

static void refuse_labels(struct reader *r, const char *text)
{
    r->no_labels = true;
    png_error(r->png, text);
}

static void label_row(struct reader *r, const struct row_kind *kind, const uint8_t *in, int y)
{
    uint8_t *out = r->labels + (size_t)y * (size_t)r->width;
    size_t sample = r->depth == 16 ? 2 : 1;
    for (int i = 0; i < r->width; i++) {
        const uint8_t *p = in + (size_t)i * (size_t)kind->channels * sample;
        out[i] = p[sample - 1];
        if (sample == 2 && p[0] != 0)
            refuse_labels(r, "a label map's values are at most 255, this one has larger ones");
        for (int c = 1; c < kind->grey; c++)
            if (memcmp(p, p + (size_t)c * sample, sample) != 0)
                refuse_labels(r, "a label map's values are greys or numbers of a palette, this one "
                                 "has coloured pixels instead");
    }
}

static void decode_rows(struct reader *r)
{
    png_set_read_fn(r->png, r, on_read);
    png_set_user_limits(r->png, (png_uint_32)r->width, (png_uint_32)r->height);
    /* Everything but IHDR, PLTE, tRNS, IDAT and IEND is stepped over, so nothing else inflates. */
    png_set_keep_unknown_chunks(r->png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_read_info(r->png, r->info);
    r->interlaced = png_get_interlace_type(r->png, r->info) != PNG_INTERLACE_NONE;

    const struct row_kind *kind = find_row_kind(r->colour_type, r->depth);
    if (kind->convert == NULL) {
        png_set_packing(r->png);
        fill_table(r);
    }
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    r->row_bytes = png_get_rowbytes(r->png, r->info);
    if (r->row_bytes != (size_t)r->width * (size_t)kind->channels * (r->depth == 16 ? 2 : 1))
        png_error(r->png, "rows are not of the size the header says");

    size_t rows = r->interlaced ? (size_t)r->height : 1, size;
    if (__builtin_mul_overflow(rows, r->row_bytes, &size) || (r->raw = malloc(size)) == NULL) {
        r->out_of_memory = true;
        png_error(r->png, "");
    }
    for (int pass = 0; pass < passes; pass++) {
        for (int y = 0; y < r->height; y++) {
            uint8_t *row = r->raw + (r->interlaced ? (size_t)y * r->row_bytes : 0);
            png_read_row(r->png, row, NULL);
            if (pass < passes - 1)
                continue;
            if (r->pixels != NULL)
                convert_row(r, kind, row, y);
            else
                label_row(r, kind, row, y);
        }
    }
    png_read_end(r->png, NULL); /* the last checksum; a file without IEND is cut short */
}

/* Apart, so that no local variable lives across the jump. */
static int decode_guarded(struct reader *r)
{
    if (setjmp(png_jmpbuf(r->png)))
        return -1;
    decode_rows(r);
    return 0;
}

/* Fills r->pixels or r->labels, which the caller took after check_header. */
static int decode(struct reader *r)
{
    int rc = -1;
    r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, r, on_error, on_warning, r, on_malloc,
                                      on_free);
    if (r->png != NULL)
        r->info = png_create_info_struct(r->png);
    if (r->info == NULL)
        error_set(r->err, ERR_MEMORY, "no memory to decode a PNG");
    else
        rc = decode_guarded(r);
    png_destroy_read_struct(&r->png, &r->info, NULL);
    free(r->raw);
    return rc;
}

/* ---- entry points ---- */

bool image_is_png(const void *bytes, size_t length)
{
    static const uint8_t signature[SIGNATURE_BYTES] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    return bytes != NULL && length >= sizeof signature &&
           memcmp(bytes, signature, sizeof signature) == 0;
}

int image_alloc(struct image *out, int width, int height, struct error *err)
{
    size_t count;
    *out = (struct image){0};
    if (width < 1 || height < 1)
        return error_set(err, ERR_ARGUMENT, "an image of %dx%d pixels is empty", width, height);
    if (__builtin_mul_overflow((size_t)width, (size_t)height, &count) ||
        (out->pixels = calloc(count, sizeof *out->pixels)) == NULL)
        return error_set(err, ERR_MEMORY, "no memory for an image of %dx%d pixels", width, height);
    out->width = width;
    out->height = height;
    out->bit_depth = 8;
    return 0;
}

int image_read_png(struct image *out, const void *bytes, size_t length, size_t max_pixels,
                   struct error *err)
{
    int rc = -1;
    struct reader r = {.bytes = bytes, .length = length, .err = err};
    *out = (struct image){0};
    TRY(check_header(&r, max_pixels));
    TRY(image_alloc(out, r.width, r.height, err));
    r.pixels = out->pixels;
    TRY(decode(&r));
    out->bit_depth = r.depth == 16 ? 16 : 8;
    out->colour = r.colour;
done:
    if (rc != 0)
        image_free(out);
    return rc;
}

int image_read_labels(uint8_t **labels, int *width, int *height, const void *bytes, size_t length,
                      size_t max_pixels, struct error *err)
{
    int rc = -1;
    struct reader r = {.bytes = bytes, .length = length, .err = err};
    *labels = NULL;
    *width = *height = 0;
    TRY(check_header(&r, max_pixels));
    r.labels = malloc((size_t)r.width * (size_t)r.height);
    if (r.labels == NULL)
        TRY(error_set(err, ERR_MEMORY, "no memory for a label map of %dx%d", r.width, r.height));
    TRY(decode(&r));
    *labels = r.labels;
    *width = r.width;
    *height = r.height;
done:
    if (rc != 0)
        free(r.labels);
    return rc;
}

/*
 * Reads a whole file. Whatever has a length is not needed here, so pipes work too; no PNG within
 * max_pixels is longer than eight bytes a pixel and some megabytes of chunks that are skipped.
 */
static int read_file(uint8_t **bytes, size_t *length, const char *path, size_t max_pixels,
                     struct error *err)
{
    int rc = -1;
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t used = 0, capacity = 0, limit;
    if (__builtin_mul_overflow(max_pixels, (size_t)8, &limit) ||
        __builtin_add_overflow(limit, (size_t)16 << 20, &limit))
        limit = SIZE_MAX / 2;
    if (file == NULL)
        TRY(error_set(err, ERR_IO, "%s: %s", path, strerror(errno)));
    for (;;) {
        if (used == capacity) {
            if (capacity >= limit)
                TRY(error_set(err, ERR_TOO_LARGE, "%s: longer than any PNG of %zu pixels would be",
                              path, max_pixels));
            capacity = capacity == 0 ? (size_t)256 << 10 : 2 * capacity;
            capacity = capacity > limit ? limit : capacity;
            uint8_t *larger = realloc(data, capacity);
            if (larger == NULL)
                TRY(error_set(err, ERR_MEMORY, "%s: no memory for %zu bytes", path, capacity));
            data = larger;
        }
        size_t got = fread(data + used, 1, capacity - used, file);
        used += got;
        if (got == 0)
            break;
    }
    if (ferror(file))
        TRY(error_set(err, ERR_IO, "%s: %s", path, strerror(errno)));
    rc = 0;
done:
    if (file != NULL)
        fclose(file);
    if (rc != 0) {
        free(data);
        data = NULL;
        used = 0;
    }
    *bytes = data;
    *length = used;
    return rc;
}

int image_load_png(struct image *out, const char *path, size_t max_pixels, struct error *err)
{
    uint8_t *bytes;
    size_t length;
    *out = (struct image){0};
    if (read_file(&bytes, &length, path, max_pixels, err) != 0)
        return -1;
    int rc = image_read_png(out, bytes, length, max_pixels, err);
    free(bytes);
    return rc == 0 ? 0 : error_prefix(err, "%s", path);
}

int image_load_labels(uint8_t **labels, int *width, int *height, const char *path,
                      size_t max_pixels, struct error *err)
{
    uint8_t *bytes;
    size_t length;
    *labels = NULL;
    *width = *height = 0;
    if (read_file(&bytes, &length, path, max_pixels, err) != 0)
        return -1;
    int rc = image_read_labels(labels, width, height, bytes, length, max_pixels, err);
    free(bytes);
    return rc == 0 ? 0 : error_prefix(err, "%s", path);
}

void image_free(struct image *image)
{
    free(image->pixels);
    *image = (struct image){0};
}
