/* What a run consists of, for the files of model/train that are about it. */
#ifndef ONESHOT_TRAIN_LOOP_PRIVATE_H
#define ONESHOT_TRAIN_LOOP_PRIVATE_H

#include "model/train/draw.h"
#include "model/train/example.h"
#include "model/train/loop.h"

struct loop {
    struct network *network;
    struct loop_options options;
    const struct dataset *segmentation, *classification; /* NULL where there is none */
    struct draw *segmentation_draw, *classification_draw;
    struct trainer *trainer;
    struct adam *adam;
    struct example_maker *maker;
    float **average; /* by parameter index; NULL without averaging */

    int64_t iteration;       /* the next one */
    double previous_segment; /* L_SEG of the last segmentation step; infinite before the first */
};

#endif
