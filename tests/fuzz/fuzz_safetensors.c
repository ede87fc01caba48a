/* Any bytes either fail cleanly or give tensors that lie inside them, each found by its name. */
#include <stdint.h>
#include <stdlib.h>

#include "model/nn/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(int condition)
{
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct error err = {0};
    struct safetensors *file;
    if (safetensors_parse(&file, bytes, length, &err)) {
        require(err.code == ERR_BAD_WEIGHTS && err.text[0]);
        return 0;
    }
    size_t covered = 0;
    for (size_t i = 0; i < safetensors_count(file); i++) {
        const struct tensor_view *t = safetensors_at(file, i);
        const uint8_t *data = t->data;
        require(data >= bytes && data <= bytes + length);
        require(t->bytes <= (size_t)(bytes + length - data));
        require(safetensors_find(file, t->name) == t);
        covered += t->bytes;
        float *values = malloc((size_t)t->elements * sizeof *values + 1);
        if (values)
            tensor_to_f32(values, t, &err);
        free(values);
    }
    require(covered <= length);
    const char *key, *value;
    for (size_t i = 0; safetensors_metadata_at(file, i, &key, &value) == 0; i++)
        require(safetensors_metadata(file, key) == value);
    safetensors_close(file);
    return 0;
}
