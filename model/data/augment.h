/*
 * Random variations of training slices: one affine resampling (image bilinear, label map nearest)
 * and a change of intensities. The same generator state gives the same result; as many numbers are
 * drawn whatever is switched on, so switching one thing on leaves the others as they were. All
 * strengths zero change nothing, not a bit.
 */
#ifndef ONESHOT_DATA_AUGMENT_H
#define ONESHOT_DATA_AUGMENT_H

#include <stdint.h>

#include "model/base/error.h"
#include "model/base/rng.h"
#include "model/data/image.h"

struct augment_options {
    float flip;      /* 0..1: probability of mirroring left and right */
    float rotate;    /* 0..45: largest turn either way, degrees */
    float scale;     /* 0..0.5: between 1 / (1 + scale) and 1 + scale times the size */
    float translate; /* 0..0.25: largest shift along each axis, share of that side */
    float crop;      /* 0..1: probability of cropping to the lungs */
    float margin;    /* 0..0.5: around the lungs when cropping, share of their box */
    float window;    /* 0..0.3: black and white point move by up to this */
    float gamma;     /* 0..1: exponent between 1 / (1 + gamma) and 1 + gamma */
    float noise;     /* 0..0.2: largest standard deviation of added normal noise */
};

/* ERR_ARGUMENT names the first value outside its range. */
int augment_check(const struct augment_options *options, struct error *err);

/*
 * Replaces the image, and its label map unless NULL, by a variation. Cropping changes their size
 * (to the box of the labels, or of the dark regions taken for lungs; a slice where none is found
 * is not cropped); everything else keeps it. What comes in from outside repeats the edge in the
 * image and is background in the map. Intensities stay in [0,1]. Errors: ERR_ARGUMENT, ERR_MEMORY;
 * image and map are unchanged then.
 */
int augment_apply(struct image *image, uint8_t **labels, const struct augment_options *options,
                  struct rng *rng, struct error *err);

#endif
