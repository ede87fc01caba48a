#include "model/net/store.h"

#include "model/nn/safetensors.h"

int network_load(struct network **out, const struct safetensors *file, struct error *err)
{
    struct model_config config = config_default();
    const char *key, *value;
    *out = NULL;
    for (size_t i = 0; safetensors_metadata_at(file, i, &key, &value) == 0; i++)
        if (config_set(&config, key, value, err) != 0)
            return -1;
    struct network *network;
    if (network_create(&network, &config, err) != 0)
        return -1;
    if (params_from_file(network->params, file, err) != 0) {
        network_free(network);
        return -1;
    }
    *out = network;
    return 0;
}

int network_save(const struct network *network, const char *path, bool half, struct error *err)
{
    int rc;
    struct safetensors_writer *writer = NULL;
    const struct params *params = network->params;
    const char *key;
    char value[CONFIG_VALUE_SIZE];
    TRY(safetensors_writer_open(&writer, path, err));
    for (int i = 0; config_get(&network->config, i, &key, value) == 0; i++)
        TRY(safetensors_writer_metadata(writer, key, value, err));
    for (int i = 0; i < params_count(params); i++) {
        const struct param *p = params_peek(params, i);
        enum dtype dtype = half && p->role == PARAM_WEIGHT ? DTYPE_F16 : DTYPE_F32;
        TRY(safetensors_writer_declare(writer, p->name, dtype, p->rank, p->dim, err));
    }
    for (int i = 0; i < params_count(params); i++) {
        const struct param *p = params_peek(params, i);
        TRY(safetensors_writer_put_f32(writer, p->name, p->value, p->count, err));
    }
    TRY(safetensors_writer_commit(writer, err));
done:
    safetensors_writer_close(writer);
    return rc;
}
