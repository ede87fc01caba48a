#include <stdlib.h>
#include <string.h>

#include "tests/golden/parity.h"

static int take_statistics(struct network *network, const struct safetensors *record,
                           struct error *err)
{
    for (size_t i = 0; i < safetensors_count(record); i++) {
        const struct tensor_view *t = safetensors_at(record, i);
        if (strncmp(t->name, "bn/", 3) != 0)
            continue;
        int index = params_find(network->params, t->name + 3);
        if (index < 0 || params_at(network->params, index)->count != t->elements)
            return error_set(err, ERR_BAD_DATA, "the network has no %s like the record's",
                             t->name + 3);
        if (tensor_to_f32(params_at(network->params, index)->value, t, err) != 0)
            return -1;
    }
    return 0;
}

int parity_network(struct network **out, const struct safetensors *record, struct error *err)
{
    struct model_config config = config_default();
    const char *key, *value, *seed = safetensors_metadata(record, "seed");
    for (size_t i = 0; safetensors_metadata_at(record, i, &key, &value) == 0; i++)
        if (config_set(&config, key, value, err) != 0)
            return -1;
    if (network_create(out, &config, err) != 0 ||
        params_fill((*out)->params, seed ? strtoull(seed, NULL, 10) : 0, err) != 0 ||
        take_statistics(*out, record, err) != 0) {
        network_free(*out);
        *out = NULL;
        return -1;
    }
    return 0;
}

const struct network *network_of(const struct bench *bench)
{
    return detector_network(bench->detector);
}
