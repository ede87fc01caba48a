/*
 * Both containers of torch.save: any bytes either fail cleanly or give tensors whose every element
 * can be read, an architecture, and perhaps an optimizer's state that fits them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/convert/architecture.h"
#include "model/convert/moments.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static void require(int condition)
{
    if (!condition)
        abort();
}

/* Copies a tensor's bytes, so that a sanitizer looks at each. */
static void read_tensor(struct checkpoint *c, const struct checkpoint_tensor *t)
{
    struct error err = {0};
    const void *data;
    if (t->bytes > 1 << 24)
        return;
    if (checkpoint_read(&data, c, t, &err)) {
        require(err.code != ERR_NONE && err.text[0]);
        return;
    }
    void *copy = malloc(t->bytes + 1);
    if (copy && t->bytes)
        memcpy(copy, data, t->bytes);
    free(copy);
}

static void read_optimizer(struct checkpoint *c, const struct weights *weights)
{
    struct error err = {0};
    struct moments moments = {0};
    const struct pickle_value *optimizer = pickle_get(weights->wrapper, "optimizer_state");
    if (moments_collect(&moments, c, optimizer, weights, &err) == 0) {
        require(moments.count <= weights->count);
        for (size_t i = 0; i < moments.count; i++) {
            require(moments.at[i].m.elements == moments.at[i].weight->tensor.elements);
            read_tensor(c, &moments.at[i].m);
        }
    }
    moments_free(&moments);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct error err = {0};
    struct checkpoint *c;
    struct weights weights = {0};
    struct dropped dropped = {.count = 0};
    if (checkpoint_parse(&c, bytes, length, &err)) {
        require(err.code != ERR_NONE && err.text[0]);
        return 0;
    }
    if (weights_collect(&weights, &dropped, c, &err) == 0) {
        for (size_t i = 0; i < weights.count; i++) {
            require(weights_find(&weights, weights.at[i].name) == &weights.at[i]);
            read_tensor(c, &weights.at[i].tensor);
        }
        require(architecture_recognise(&weights).kind != NULL);
        read_optimizer(c, &weights);
    }
    weights_free(&weights);
    checkpoint_close(c);
    return 0;
}
