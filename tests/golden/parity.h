/* Builds the network a record was made with. */
#ifndef ONESHOT_TESTS_PARITY_H
#define ONESHOT_TESTS_PARITY_H

#include "model/net/detector.h"
#include "model/nn/safetensors.h"

/* Configuration from the record's metadata, parameters from its seed, `bn/` tensors over them. */
int parity_network(struct network **out, const struct safetensors *record, struct error *err);

/* Runs a train_*.safetensors record; non-zero where it disagrees. Adds to *checks. */
int parity_train(const char *path, const char *name, int *checks);

const struct network *network_of(const struct bench *bench);

#endif
