/*
 * Fuzz target: forms. The first byte says how long the boundary is that follows it; the rest is the
 * body. What is accepted lies inside the body, part after part.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct multipart_part parts[MULTIPART_MAX_PARTS];
    struct problem problem;
    char boundary[71] = "";
    int count = -1;
    if (length < 1)
        return 0;
    size_t boundary_length = bytes[0] % 70 + 1;
    if (length < 1 + boundary_length)
        return 0;
    memcpy(boundary, bytes + 1, boundary_length);
    const uint8_t *body = bytes + 1 + boundary_length, *end = bytes + length;
    if (multipart_parse(parts, &count, body, (size_t)(end - body), boundary, &problem) != 0) {
        if (problem.kind != PROBLEM_BAD_MULTIPART || problem.detail[0] == 0)
            abort();
        return 0;
    }
    if (count < 1 || count > MULTIPART_MAX_PARTS)
        abort();
    const uint8_t *least = body;
    for (int i = 0; i < count; i++) {
        if (parts[i].bytes < least || parts[i].length > (size_t)(end - parts[i].bytes))
            abort();
        if (memchr(parts[i].name, 0, sizeof parts[i].name) == NULL ||
            memchr(parts[i].filename, 0, sizeof parts[i].filename) == NULL)
            abort();
        least = parts[i].bytes + parts[i].length;
    }
    return 0;
}
