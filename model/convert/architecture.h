/* What network a state dict belongs to, told by names and shapes. Private to model/convert. */
#ifndef ONESHOT_CONVERT_ARCHITECTURE_H
#define ONESHOT_CONVERT_ARCHITECTURE_H

#include "model/convert/weights.h"

struct architecture {
    /* "oneshot", "affinity", "mask_rcnn", "classifier" or "unknown" */
    const char *kind;
    /* torchvision's name; "heads_only" where no residual block is there, else "unknown" */
    const char *backbone;
    int out_channels;   /* of the FPN; 0 where there is none */
    int representation; /* width of the box heads; 0 where there are none */
    int anchors;        /* per place of the RPN; 0 where there is none */
};

struct architecture architecture_recognise(const struct weights *weights);

#endif
