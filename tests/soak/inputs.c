#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "model/data/image.h"
#include "model/data/phantom.h"
#include "tests/soak/soak.h"

/* ---- bodies ---- */

static struct blob encode(const uint8_t *pixels, int width, int height, int channels)
{
    struct blob png = {NULL, 0};
    struct error err;
    if (image_write_png(&png.bytes, &png.length, pixels, width, height, channels, &err) != 0)
        die("%s", err.text);
    return png;
}

static struct blob slice(enum phantom_kind kind, unsigned seed, int width, int height, bool colour)
{
    struct phantom phantom;
    struct error err;
    size_t count = (size_t)width * (size_t)height;
    uint8_t *grey = malloc(4 * count);
    if (!grey || phantom_slice(&phantom, kind, seed, width, height, &err) != 0)
        die("no slice");
    phantom_window(grey, phantom.hu, (int64_t)count, PHANTOM_WINDOW, PHANTOM_LEVEL);
    uint8_t *rgb = grey + count;
    for (size_t i = 0; i < count; i++) {
        rgb[3 * i] = grey[i];
        rgb[3 * i + 1] = grey[i] / 2;
        rgb[3 * i + 2] = (uint8_t)(255 - grey[i]);
    }
    struct blob png = encode(colour ? rgb : grey, width, height, colour ? 3 : 1);
    phantom_free(&phantom);
    free(grey);
    return png;
}

static struct blob flat(int width, int height)
{
    uint8_t *pixels = calloc((size_t)width, (size_t)height);
    struct blob png = encode(pixels, width, height, 1);
    free(pixels);
    return png;
}

static struct blob copy(const void *bytes, size_t length)
{
    struct blob blob = {malloc(length + 1), length};
    if (!blob.bytes)
        die("no memory");
    memcpy(blob.bytes, bytes, length);
    return blob;
}

struct blob blob_copy(const struct blob *blob, size_t length)
{
    return copy(blob->bytes, length);
}

static struct blob text(const char *words)
{
    return copy(words, strlen(words));
}

/* The PNG with its size replaced, and the checksum made right again. */
static struct blob claim_size(const struct blob *png, uint8_t size)
{
    struct blob blob = blob_copy(png, png->length);
    blob.bytes[17] = blob.bytes[21] = size; /* third byte of four: times 65536 */
    uint32_t sum = (uint32_t)crc32(0, blob.bytes + 12, 17);
    for (int i = 0; i < 4; i++)
        blob.bytes[29 + i] = (uint8_t)(sum >> (24 - 8 * i));
    return blob;
}

static struct blob spoilt(const struct blob *png)
{
    struct blob blob = blob_copy(png, png->length);
    blob.bytes[blob.length / 2] ^= 0x10;
    return blob;
}

static void add_part(FILE *out, const char *disposition, const void *bytes, size_t length)
{
    fprintf(out, "--XX\r\nContent-Disposition: form-data; %s\r\n\r\n", disposition);
    fwrite(bytes, 1, length, out);
    fprintf(out, "\r\n");
}

static struct blob form(const struct blob *files, int count, const char *options, bool closed)
{
    char *bytes = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&bytes, &length);
    if (!out)
        die("no memory");
    if (options)
        add_part(out, "name=\"options\"", options, strlen(options));
    for (int i = 0; i < count; i++)
        add_part(out, "name=\"file\"; filename=\"a.png\"", files[i].bytes, files[i].length);
    if (closed)
        fprintf(out, "--XX--\r\n");
    fclose(out);
    return (struct blob){(uint8_t *)bytes, length};
}

/* ---- the list ---- */

void inputs_add(struct inputs *inputs, const char *name, const char *target, const char *headers,
                struct blob body, int status, const char *code)
{
    if (inputs->count == (int)(sizeof inputs->list / sizeof *inputs->list))
        die("too many inputs");
    struct input *input = &inputs->list[inputs->count++];
    *input = (struct input){.name = name,
                            .target = target,
                            .body = body.bytes,
                            .length = body.length,
                            .status = status,
                            .code = code};
    snprintf(input->headers, sizeof input->headers, "%s", headers);
}

#define PREDICT "/v1/predict"
#define FORM "Content-Type: multipart/form-data; boundary=XX\r\n"

static void add_good(struct inputs *inputs, struct blob *png)
{
    struct blob files[] = {png[0], spoilt(&png[1]), png[2]};
    struct blob whole = blob_copy(&png[0], png[0].length);
    inputs_add(inputs, "slice", PREDICT, "", blob_copy(&png[0], png[0].length), 200, "");
    inputs_add(inputs, "polygons", PREDICT "?masks=polygon", "Content-Type: image/png\r\n",
               blob_copy(&png[1], png[1].length), 200, "");
    inputs_add(inputs, "many masks", PREDICT "?masks=png&score_threshold=0&max_detections=16", "",
               blob_copy(&png[2], png[2].length), 200, "");
    inputs_add(inputs, "bare", PREDICT "?masks=none&explain=false", "", whole, 200, "");
    inputs_add(inputs, "colour", PREDICT, "", slice(PHANTOM_COVID, 9, 400, 300, true), 200, "");
    inputs_add(inputs, "tall", PREDICT, "", slice(PHANTOM_CONTROL, 10, 40, 700, false), 200, "");
    inputs_add(inputs, "picture", PREDICT, "Accept: image/png\r\n",
               blob_copy(&png[1], png[1].length), 200, "");
    inputs_add(inputs, "form of three, one damaged", PREDICT, FORM, form(files, 3, NULL, true), 200,
               "");
    inputs_add(inputs, "form with options", PREDICT, FORM,
               form(files, 1, "{\"masks\":\"none\"}", true), 200, "");
    free(files[1].bytes);
}

static void add_bad(struct inputs *inputs, struct blob *png)
{
    inputs_add(inputs, "empty", PREDICT, "", copy("", 0), 400, "empty_body");
    inputs_add(inputs, "truncated", PREDICT, "", blob_copy(&png[0], png[0].length / 2), 422,
               "bad_png");
    inputs_add(inputs, "signature only", PREDICT, "", blob_copy(&png[0], 8), 422, "bad_png");
    inputs_add(inputs, "header only", PREDICT, "", blob_copy(&png[0], 33), 422, "bad_png");
    inputs_add(inputs, "damaged", PREDICT, "", spoilt(&png[0]), 422, "bad_png");
    inputs_add(inputs, "1 x 1", PREDICT, "", flat(1, 1), 422, "constant_image");
    inputs_add(inputs, "constant", PREDICT, "", flat(512, 512), 422, "constant_image");
    inputs_add(inputs, "claims 8 G pixels", PREDICT, "", claim_size(&png[0], 1), 413,
               "payload_too_large");
    inputs_add(inputs, "text", PREDICT, "", text("this is not a picture"), 415,
               "unsupported_media");
    inputs_add(inputs, "JPEG", PREDICT, "",
               copy("\xff\xd8\xff\xe0"
                    "0123456789",
                    14),
               415, "unsupported_media");
    inputs_add(inputs, "called a JPEG", PREDICT, "Content-Type: image/jpeg\r\n",
               blob_copy(&png[0], png[0].length), 415, "unsupported_media");
    inputs_add(inputs, "compressed", PREDICT, "Content-Encoding: gzip\r\n", copy("\x1f\x8b\x08", 3),
               415, "unsupported_media");
    inputs_add(inputs, "form cut off", PREDICT, FORM, form(png, 2, NULL, false), 400,
               "bad_multipart");
    inputs_add(inputs, "form without file", PREDICT, FORM, form(png, 0, "{}", true), 400,
               "bad_multipart");
    inputs_add(inputs, "form without sense", PREDICT, FORM, text("--XY\r\n\r\n--XY--"), 400,
               "bad_multipart");
    inputs_add(inputs, "form, bad option", PREDICT, FORM, form(png, 1, "{\"masks\":7}", true), 400,
               "bad_option");
    inputs_add(inputs, "bad option", PREDICT "?max_detections=1000", "", text("x"), 400,
               "bad_option");
    inputs_add(inputs, "no such type", PREDICT, "Accept: text/css\r\n", text("x"), 406,
               "not_acceptable");
    inputs_add(inputs, "no such place", "/v1/nothing", "", text("x"), 404, "not_found");
    inputs_add(inputs, "no such method", "/v1/info", "", text("x"), 405, "method_not_allowed");
}

static void add_nonsense(struct inputs *inputs, const char *name, const char *start, size_t filler,
                         const char *end, const char *statuses)
{
    struct nonsense *one = &inputs->nonsense[inputs->nonsense_count++];
    *one = (struct nonsense){name, NULL, statuses};
    size_t length;
    FILE *out = open_memstream(&one->text, &length);
    if (!out)
        die("no memory");
    fprintf(out, "%s", start);
    while (filler-- > 0)
        fputc('a', out);
    fprintf(out, "%s", end);
    fclose(out);
}

#define POST "POST /v1/predict HTTP/1.1\r\nHost: x\r\n"

void inputs_make(struct inputs *inputs)
{
    struct blob png[] = {
        slice(PHANTOM_COVID, 7, 512, 512, false),
        slice(PHANTOM_CONTROL, 8, 256, 300, false),
        slice(PHANTOM_PNEUMONIA, 3, 512, 400, false),
    };
    *inputs = (struct inputs){.count = 0};
    add_good(inputs, png);
    volumes_add_good(inputs);
    inputs->good = inputs->count;
    add_bad(inputs, png);
    volumes_add_bad(inputs);
    for (int i = 0; i < 3; i++)
        free(png[i].bytes);
    add_nonsense(inputs, "huge header", "GET /livez HTTP/1.1\r\nHost: x\r\nX: ", 200000, "\r\n\r\n",
                 "431");
    add_nonsense(inputs, "huge target", "GET /", 200000, " HTTP/1.1\r\n\r\n", "414 431");
    add_nonsense(inputs, "noise", "", 70000, "\r\n\r\n", "400 414 431");
    add_nonsense(inputs, "two lengths", POST "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 2,
                 "", "400");
    add_nonsense(inputs, "length and chunks",
                 POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, "",
                 "400");
    add_nonsense(inputs, "bad chunk", POST "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 9, "",
                 "400");
    add_nonsense(inputs, "no length", POST "\r\n", 0, "", "411");
    add_nonsense(inputs, "too long", POST "Content-Length: 900000000\r\n\r\n", 100000, "", "413");
    add_nonsense(inputs, "no host", "POST /v1/predict HTTP/1.1\r\nContent-Length: 1\r\n\r\n", 1, "",
                 "400");
}

void inputs_free(struct inputs *inputs)
{
    for (int i = 0; i < inputs->count; i++) {
        free(inputs->list[i].body);
        free(inputs->list[i].answer);
    }
    for (int i = 0; i < inputs->nonsense_count; i++)
        free(inputs->nonsense[i].text);
}

size_t input_head(char *out, size_t size, const struct input *input, bool chunked,
                  const char *extra)
{
    char framing[64];
    snprintf(framing, sizeof framing,
             chunked ? "Transfer-Encoding: chunked\r\n" : "Content-Length: %zu\r\n", input->length);
    int n = snprintf(out, size, "POST %s HTTP/1.1\r\nHost: soak\r\n%s%s%s\r\n", input->target,
                     input->headers, framing, extra);
    if (n < 0 || (size_t)n >= size)
        die("a head is too long");
    return (size_t)n;
}
