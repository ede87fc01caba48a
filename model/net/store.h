/* A network and its weight file: configuration in the metadata, tensors by state-dict name. */
#ifndef ONESHOT_NET_STORE_H
#define ONESHOT_NET_STORE_H

#include "model/net/network.h"

struct safetensors;

/*
 * Builds the network a file describes and takes its values, which may keep lying in the file (see
 * params_from_file). ERR_BAD_CONFIG, ERR_BAD_WEIGHTS, ERR_MEMORY.
 */
int network_load(struct network **out, const struct safetensors *file, struct error *err);

/* Writes configuration and values, atomically; `half` stores weights as 16-bit floats. ERR_IO. */
int network_save(const struct network *network, const char *path, bool half, struct error *err);

#endif
