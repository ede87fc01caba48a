/*
 * Fuzz target: requests of the Open Inference Protocol. What is accepted is an image of the size
 * its shape says, all of whose pixels are numbers.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/infer.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct infer_request request;
    struct problem problem = {.kind = PROBLEM_NONE};
    struct image image = {.pixels = NULL};
    char *body = malloc(length + 1);
    if (!body)
        return 0;
    memcpy(body, bytes, length);
    body[length] = 0;
    int rc = infer_read(&request, body, length, &problem);
    if (rc == 0 && (request.data < body || request.data + request.data_length > body + length))
        abort();
    if (rc == 0)
        rc = infer_image(&image, &request, 1 << 16, &problem);
    if (rc != 0 && (problem.kind == PROBLEM_NONE || problem.detail[0] == 0))
        abort();
    if (rc == 0) {
        size_t pixels = (size_t)image.width * (size_t)image.height;
        if (image.width < 1 || image.height < 1 || pixels > 1 << 16)
            abort();
        for (size_t i = 0; i < pixels; i++)
            if (!(image.pixels[i] >= 0 && image.pixels[i] <= 1))
                abort();
    }
    image_free(&image);
    free(body);
    return 0;
}
