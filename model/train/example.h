/*
 * From a loaded slice (and its label map or classes) to what a training step reads. A maker owns
 * the memory of one example at a time; what example_make() gives is valid until its next call.
 */
#ifndef ONESHOT_TRAIN_EXAMPLE_H
#define ONESHOT_TRAIN_EXAMPLE_H

#include "model/data/image.h"
#include "model/train/trainer.h"

struct example_maker;

int example_maker_open(struct example_maker **out, struct error *err);
void example_maker_close(struct example_maker *maker);

/*
 * Standardises the slice, resizes it to the network's input and, where `labels` (height, width) is
 * given, resizes the map by nearest neighbour in the same way and finds its instances, regions of
 * more than COMPONENTS_MIN_AREA pixels of the slice: by class, then in raster order; of more than
 * TRAIN_MAX_TRUTHS the largest are kept. `classes` may be NULL (all unknown). Errors:
 * ERR_CONSTANT_IMAGE, ERR_MEMORY.
 */
int example_make(struct example *out, struct example_maker *maker, const struct image *image,
                 const uint8_t *labels, const int8_t *classes, struct error *err);

#endif
