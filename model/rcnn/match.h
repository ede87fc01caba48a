/*
 * Which ground truth a box is trained towards, and which boxes are trained on (Faster R-CNN,
 * sections 3.1.2 and 3.1.3). Plain arrays; nothing is allocated; any thread.
 */
#ifndef ONESHOT_RCNN_MATCH_H
#define ONESHOT_RCNN_MATCH_H

#include <stdbool.h>

#include "model/base/rng.h"
#include "model/rcnn/box.h"

enum {
    MATCH_BACKGROUND = -1, /* overlaps no ground truth enough */
    MATCH_BETWEEN = -2,    /* too much for background, too little for a match: not trained on */
};

/*
 * match[i] = index of the ground truth box that boxes[i] overlaps most (the lower index of equals)
 * where that IoU is >= fg; MATCH_BACKGROUND where it is < bg; else MATCH_BETWEEN. iou[i] is that
 * largest IoU. Both hold n. Without ground truth everything is background.
 *
 * `keep_best`: for every ground truth, the boxes that overlap it most of all boxes (all of them,
 * where several are equal) are matched however low the IoU is, each to the ground truth *it*
 * overlaps most. A ground truth that overlaps no box at all claims none.
 *
 * Returns the number of matched boxes. Proposal networks use fg .7, bg .3, keep_best; box heads
 * .75, .5 and no keep_best.
 */
int match_boxes(int *match, float *iou, const struct box *gt, int gt_n, const struct box *boxes,
                int n, float fg, float bg, bool keep_best);

/*
 * Draws at most `batch_size` boxes without replacement: at most batch_size * positive_fraction
 * (rounded down) of the matched ones, the rest from the background ones; either may run short.
 * selected[] (batch_size) holds their indices, matched ones first, each part ascending. Returns
 * how many there are; *positives of them are matched. Equal rng states draw equally.
 */
int sample_balanced(int *selected, int *positives, const int *match, int n, int batch_size,
                    float positive_fraction, struct rng *rng);

#endif
