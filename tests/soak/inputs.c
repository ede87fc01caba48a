#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "model/data/image.h"
#include "model/data/phantom.h"
#include "tests/soak/soak.h"

struct blob {
    uint8_t *bytes;
    size_t length;
};

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

static struct blob text(const char *words)
{
    return copy(words, strlen(words));
}

/* The PNG with its size replaced, and the checksum made right again. */
static struct blob claim_size(const struct blob *png, uint8_t size)
{
    struct blob blob = copy(png->bytes, png->length);
    blob.bytes[17] = blob.bytes[21] = size; /* third byte of four: times 65536 */
    uint32_t sum = (uint32_t)crc32(0, blob.bytes + 12, 17);
    for (int i = 0; i < 4; i++)
        blob.bytes[29 + i] = (uint8_t)(sum >> (24 - 8 * i));
    return blob;
}

static struct blob spoilt(const struct blob *png)
{
    struct blob blob = copy(png->bytes, png->length);
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

static void add(struct inputs *inputs, const char *name, const char *target, const char *headers,
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
    struct blob whole = copy(png[0].bytes, png[0].length);
    add(inputs, "slice", PREDICT, "", copy(png[0].bytes, png[0].length), 200, "");
    add(inputs, "polygons", PREDICT "?masks=polygon", "Content-Type: image/png\r\n",
        copy(png[1].bytes, png[1].length), 200, "");
    add(inputs, "many masks", PREDICT "?masks=png&score_threshold=0&max_detections=16", "",
        copy(png[2].bytes, png[2].length), 200, "");
    add(inputs, "bare", PREDICT "?masks=none&explain=false", "", whole, 200, "");
    add(inputs, "colour", PREDICT, "", slice(PHANTOM_COVID, 9, 400, 300, true), 200, "");
    add(inputs, "tall", PREDICT, "", slice(PHANTOM_CONTROL, 10, 40, 700, false), 200, "");
    add(inputs, "picture", PREDICT, "Accept: image/png\r\n", copy(png[1].bytes, png[1].length), 200,
        "");
    add(inputs, "form of three, one damaged", PREDICT, FORM, form(files, 3, NULL, true), 200, "");
    add(inputs, "form with options", PREDICT, FORM, form(files, 1, "{\"masks\":\"none\"}", true),
        200, "");
    inputs->good = inputs->count;
    free(files[1].bytes);
}

static void add_bad(struct inputs *inputs, struct blob *png)
{
    add(inputs, "empty", PREDICT, "", copy("", 0), 400, "empty_body");
    add(inputs, "truncated", PREDICT, "", copy(png[0].bytes, png[0].length / 2), 422, "bad_png");
    add(inputs, "signature only", PREDICT, "", copy(png[0].bytes, 8), 422, "bad_png");
    add(inputs, "header only", PREDICT, "", copy(png[0].bytes, 33), 422, "bad_png");
    add(inputs, "damaged", PREDICT, "", spoilt(&png[0]), 422, "bad_png");
    add(inputs, "1 x 1", PREDICT, "", flat(1, 1), 422, "constant_image");
    add(inputs, "constant", PREDICT, "", flat(512, 512), 422, "constant_image");
    add(inputs, "claims 8 G pixels", PREDICT, "", claim_size(&png[0], 1), 413, "payload_too_large");
    add(inputs, "text", PREDICT, "", text("this is not a picture"), 415, "unsupported_media");
    add(inputs, "JPEG", PREDICT, "",
        copy("\xff\xd8\xff\xe0"
             "0123456789",
             14),
        415, "unsupported_media");
    add(inputs, "called a JPEG", PREDICT, "Content-Type: image/jpeg\r\n",
        copy(png[0].bytes, png[0].length), 415, "unsupported_media");
    add(inputs, "compressed", PREDICT, "Content-Encoding: gzip\r\n", copy("\x1f\x8b\x08", 3), 415,
        "unsupported_media");
    add(inputs, "form cut off", PREDICT, FORM, form(png, 2, NULL, false), 400, "bad_multipart");
    add(inputs, "form without file", PREDICT, FORM, form(png, 0, "{}", true), 400, "bad_multipart");
    add(inputs, "form without sense", PREDICT, FORM, text("--XY\r\n\r\n--XY--"), 400,
        "bad_multipart");
    add(inputs, "form, bad option", PREDICT, FORM, form(png, 1, "{\"masks\":7}", true), 400,
        "bad_option");
    add(inputs, "bad option", PREDICT "?max_detections=1000", "", text("x"), 400, "bad_option");
    add(inputs, "no such type", PREDICT, "Accept: text/css\r\n", text("x"), 406, "not_acceptable");
    add(inputs, "no such place", "/v1/nothing", "", text("x"), 404, "not_found");
    add(inputs, "no such method", "/v1/info", "", text("x"), 405, "method_not_allowed");
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
    add_bad(inputs, png);
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

/* ---- answers ---- */

static void forget_what_varies(json_t *value)
{
    const char *name;
    json_t *member;
    size_t i;
    if (json_is_object(value)) {
        json_object_del(value, "request_id");
        json_object_del(value, "timing_ms");
        json_object_foreach(value, name, member) forget_what_varies(member);
    }
    json_array_foreach(value, i, member) forget_what_varies(member);
}

char *answer_essence(const struct answer *answer, size_t *length)
{
    json_t *root = json_loadb(answer->body, answer->length, 0, NULL);
    char *essence = NULL;
    if (root) {
        forget_what_varies(root);
        essence = json_dumps(root, JSON_SORT_KEYS | JSON_COMPACT);
        json_decref(root);
        *length = essence ? strlen(essence) : 0;
    } else {
        essence = (char *)copy(answer->body, answer->length).bytes;
        *length = answer->length;
    }
    if (!essence)
        die("no memory");
    return essence;
}

static bool is_problem(const struct answer *answer, const char *code)
{
    json_t *root = json_loadb(answer->body, answer->length, 0, NULL);
    const char *found = json_string_value(json_object_get(root, "code"));
    bool same =
        found && strcmp(found, code) == 0 && strcmp(answer->type, "application/problem+json") == 0;
    json_decref(root);
    return same;
}

enum verdict input_judge(const struct input *input, const struct answer *answer, char *why)
{
    if (answer->status == 429 && answer->retry_after && is_problem(answer, "queue_full"))
        return BUSY;
    if (answer->status == 504 && is_problem(answer, "deadline_exceeded"))
        return LATE;
    if (answer->status == input->status && answer->status == 200) {
        size_t length;
        char *essence = answer_essence(answer, &length);
        bool same = input->answer && length == input->answer_length &&
                    memcmp(essence, input->answer, length) == 0;
        snprintf(why, 200, "another answer than alone (%zu bytes, not %zu)", length,
                 input->answer_length);
        free(essence);
        return same ? RIGHT : WRONG;
    }
    if (answer->status == input->status && is_problem(answer, input->code))
        return REFUSED;
    snprintf(why, 200, "%d instead of %d %s: %.120s", answer->status, input->status, input->code,
             answer->body);
    return WRONG;
}

int inputs_learn(struct inputs *inputs, int port, double patience_ms)
{
    int wrong = 0;
    for (int i = 0; i < inputs->count; i++) {
        struct input *input = &inputs->list[i];
        struct wire wire;
        struct answer answer;
        char head[1024], why[200] = "no answer";
        wire_open(&wire, port, false);
        size_t n = input_head(head, sizeof head, input, false, "");
        wire_send(&wire, head, n);
        wire_send(&wire, input->body, input->length);
        enum verdict verdict = WRONG;
        if (wire_read(&wire, &answer, patience_ms, false) == ARRIVED) {
            if (answer.status == 200 && input->status == 200 && !input->answer)
                input->answer = answer_essence(&answer, &input->answer_length);
            verdict = input_judge(input, &answer, why);
        }
        if (verdict != RIGHT && verdict != REFUSED) {
            printf("  alone, \"%s\": %s\n", input->name,
                   verdict == LATE ? "no result in time" : why);
            wrong++;
        }
        answer_free(&answer);
        wire_close(&wire, false);
    }
    return wrong;
}
