/* From the text of a tensor to an image, without a tree of its numbers. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/base64.h"
#include "api/infer.h"
#include "api/json.h"
#include "model/base/buffer.h"

enum { LARGEST = 1 << 24 }; /* number of an image */

static int bad(struct problem *problem, const char *what)
{
    return problem_set(problem, PROBLEM_BAD_REQUEST,
                       "%s. The Open Inference Protocol is described at /openapi.yaml.", what);
}

/* ---- the head ---- */

/* The end of a string that begins at text[at] with its quote: behind the closing one. */
static size_t skip_string(const char *text, size_t length, size_t at)
{
    for (at++; at < length && text[at] != '"'; at++)
        if (text[at] == '\\')
            at++;
    return at < length ? at + 1 : length;
}

static size_t skip_space(const char *text, size_t length, size_t at)
{
    while (at < length && strchr(" \t\r\n", text[at]) && text[at])
        at++;
    return at;
}

/* The end of an array that begins at text[at]; `length` where it never ends. */
static size_t skip_array(const char *text, size_t length, size_t at)
{
    int depth = 0;
    while (at < length) {
        if (text[at] == '"') {
            at = skip_string(text, length, at);
            continue;
        }
        depth += (text[at] == '[') - (text[at] == ']');
        at++;
        if (depth == 0)
            break;
    }
    return at;
}

/* True where an array is the value of a member "data" whose string ends at text[at]. */
static bool is_data(const char *text, size_t length, size_t start, size_t *at)
{
    if (*at - start != 6 || memcmp(text + start, "\"data\"", 6) != 0)
        return false;
    size_t colon = skip_space(text, length, *at);
    if (colon == length || text[colon] != ':')
        return false;
    size_t value = skip_space(text, length, colon + 1);
    if (value == length || text[value] != '[')
        return false;
    *at = value;
    return true;
}

/*
 * Copies the body without its data ({"inputs": [{"data": [...]}]}: three levels down), which
 * becomes null, and says where that is.
 */
static int cut_data(struct buffer *head, struct infer_request *request, const char *text,
                    size_t length, struct problem *problem)
{
    size_t copied = 0;
    int depth = 0, rc = 0;
    for (size_t at = 0; at < length && rc == 0;) {
        if (text[at] != '"') {
            depth += (text[at] == '{' || text[at] == '[') - (text[at] == '}' || text[at] == ']');
            at++;
            continue;
        }
        size_t start = at;
        at = skip_string(text, length, at);
        if (depth != 3 || !is_data(text, length, start, &at))
            continue;
        if (request->data)
            return bad(problem, "There is more than one tensor with data; this model takes one");
        request->data = text + at;
        rc = buffer_append(head, text + copied, at - copied, NULL);
        at = copied = skip_array(text, length, at);
        request->data_length = (size_t)(text + at - request->data);
        if (rc == 0)
            rc = buffer_append(head, "null", 4, NULL);
    }
    if (rc == 0)
        rc = buffer_append(head, text + copied, length - copied, NULL);
    return rc == 0 ? 0 : bad(problem, "There is more in the request than a tensor and its names");
}

int infer_read(struct infer_request *request, const char *body, size_t length,
               struct problem *problem)
{
    struct buffer head;
    memset(request, 0, sizeof *request);
    options_default(&request->options);
    buffer_init(&head, INFER_MAX_HEAD);
    int rc = cut_data(&head, request, body, length, problem);
    if (rc == 0)
        rc = json_infer_read(request, (const char *)head.bytes, head.length, problem);
    if (rc == 0 && !request->data)
        rc = bad(problem, "There is no input with an array \"data\"");
    buffer_free(&head);
    return rc;
}

/* ---- numbers ---- */

/* Reads one number of JSON's form at *text and moves on. */
static bool read_number(double *out, const char **text)
{
    const char *start = *text, *digits = start + (*start == '-');
    char *end;
    if (*digits < '0' || *digits > '9' || (digits[0] == '0' && (digits[1] | 32) == 'x'))
        return false;
    *out = strtod(start, &end);
    *text = end;
    return isfinite(*out);
}

/* Reads an array of numbers, nested as one likes; as many as `count`. */
static bool read_numbers(float *out, size_t count, const char *text, const char *end, bool bytes)
{
    bool wanted = true; /* a value or an array, not a comma or an end */
    size_t n = 0;
    double number;
    while (text < end) {
        char c = *text;
        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            text++;
        } else if (c == '[' && wanted) {
            text++;
        } else if (c == ']' && !wanted) {
            text++;
        } else if (c == ',' && !wanted) {
            wanted = true;
            text++;
        } else if (wanted && n < count && read_number(&number, &text)) {
            if (bytes && (number != floor(number) || number < 0 || number > 255))
                return false;
            if (fabs(number) > LARGEST)
                return false;
            out[n++] = bytes ? (float)(number / 255) : (float)number;
            wanted = false;
        } else {
            return false;
        }
    }
    return n == count;
}

/* ---- the image ---- */

/* The model standardises what it sees, so any scale will do; it is made that of every image. */
static void scale(struct image *image)
{
    size_t count = (size_t)image->width * (size_t)image->height;
    float low = image->pixels[0], high = low;
    for (size_t i = 0; i < count; i++) {
        low = fminf(low, image->pixels[i]);
        high = fmaxf(high, image->pixels[i]);
    }
    if (low >= 0 && high <= 1)
        return;
    float span = high > low ? high - low : 1;
    for (size_t i = 0; i < count; i++)
        image->pixels[i] = (image->pixels[i] - low) / span;
}

/* Height and width: the last two dimensions, in front of which there are only ones. */
static int read_size(int *width, int *height, const struct infer_request *request,
                     size_t max_pixels, struct problem *problem)
{
    int rank = request->rank;
    if (rank < 2)
        return bad(problem, "An image has the shape [height, width], or ones in front of it");
    for (int i = 0; i < rank - 2; i++)
        if (request->shape[i] != 1)
            return bad(problem, "One image is taken at a time, of the shape [1, height, width]");
    int64_t h = request->shape[rank - 2], w = request->shape[rank - 1];
    if (h < 1 || w < 1)
        return bad(problem, "Height and width are at least 1");
    if (h > INT32_MAX || w > INT32_MAX || (uint64_t)h > max_pixels / (uint64_t)w)
        return problem_set(problem, PROBLEM_PAYLOAD_TOO_LARGE,
                           "The tensor has more than the %zu pixels this service takes "
                           "(--max-pixels).",
                           max_pixels);
    *height = (int)h;
    *width = (int)w;
    return 0;
}

static int tensor_image(struct image *image, const struct infer_request *request, size_t max_pixels,
                        struct problem *problem)
{
    int width = 0, height = 0;
    struct error err;
    if (read_size(&width, &height, request, max_pixels, problem) != 0)
        return -1;
    size_t count = (size_t)width * (size_t)height;
    /* A number and a comma have two bytes: no memory for what cannot be there. */
    if (count > request->data_length)
        return bad(problem, "There are fewer numbers than the shape says");
    *image = (struct image){width, height, 8, false, malloc(count * sizeof(float))};
    if (!image->pixels) {
        error_set(&err, ERR_MEMORY, "no memory for a tensor");
        return problem_from_error(problem, &err);
    }
    if (read_numbers(image->pixels, count, request->data, request->data + request->data_length,
                     request->type == INFER_UINT8)) {
        scale(image);
        return 0;
    }
    return bad(problem,
               request->type == INFER_UINT8
                   ? "The data is not as many whole numbers from 0 to 255 as the shape says"
                   : "The data is not as many numbers up to 2^24 as the shape says");
}

/* The one string of an array, without its quotes; escapes other than \/ are not base64. */
static bool only_string(const char **start, const char **end, const struct infer_request *request)
{
    const char *text = request->data;
    size_t length = request->data_length, at = skip_space(text, length, 1);
    if (at == length || text[at] != '"')
        return false;
    size_t behind = skip_string(text, length, at), rest = skip_space(text, length, behind);
    *start = text + at + 1;
    *end = text + behind - 1;
    return rest + 1 == length && text[rest] == ']';
}

static int bytes_image(struct image *image, const struct infer_request *request, size_t max_pixels,
                       struct problem *problem)
{
    const char *start, *end;
    struct error err;
    size_t length;
    for (int i = 0; i < request->rank; i++)
        if (request->shape[i] != 1)
            return bad(problem, "One image is taken at a time: the shape of BYTES is [1]");
    if (!only_string(&start, &end, request))
        return bad(problem, "The data of BYTES is an array with one string: a PNG in base64");
    uint8_t *bytes = malloc((size_t)(end - start) / 4 * 3 + 3);
    if (!bytes) {
        error_set(&err, ERR_MEMORY, "no memory for a picture");
        return problem_from_error(problem, &err);
    }
    int rc = 0;
    if (base64_decode(bytes, &length, start, (size_t)(end - start)) != 0)
        rc = bad(problem, "The string is not base64");
    else if (media_sniff(bytes, length) != MEDIA_PNG)
        rc = problem_set(problem, PROBLEM_UNSUPPORTED_MEDIA,
                         "The bytes are not a PNG, which is what BYTES take here.");
    else if (image_read_png(image, bytes, length, max_pixels, &err) != 0)
        rc = problem_from_error(problem, &err);
    free(bytes);
    return rc;
}

int infer_image(struct image *image, const struct infer_request *request, size_t max_pixels,
                struct problem *problem)
{
    return request->type == INFER_BYTES ? bytes_image(image, request, max_pixels, problem)
                                        : tensor_image(image, request, max_pixels, problem);
}
