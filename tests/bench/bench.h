/* What the parts of the benchmark share. They end the program with a message where one fails. */
#ifndef ONESHOT_BENCH_BENCH_H
#define ONESHOT_BENCH_BENCH_H

#include "model/model.h"
#include "model/net/network.h"

enum { BENCH_SIDE = 512, BENCH_MOST_SLICES = 200 };

double bench_now(void); /* seconds, monotonic */
void bench_must(int rc, const struct error *err);
/* Sorts the values. */
double bench_median(double *values, int count);

/* How often everything is done: 30, or BENCH_SLICES. */
int bench_slices(void);

/* Smooth structure over noise: any image will do, the work is the same for all. */
struct image bench_image(void);

/* A network with seeded weights whose features are scaled to the range of a trained one's, so that
 * all stages have work; four masks are predicted, as on a slice with lesions. */
struct network *bench_network(const char *backbone, enum norm_mode mode);

/* The share of a slice that is neither convolution, matrix product nor LSTM; median, on this
 * thread's team. */
double bench_other_share(const struct network *network, const struct image *image);

/* Median milliseconds from a prediction to its JSON with masks. */
double bench_answer(const struct model *model, const struct image *image);

/* One training iteration: a segmentation step and a classification step, each with its update. */
struct bench_iteration {
    double seconds, segment, classify, update; /* medians; update: optimizer and packing, both */
    double flops;                              /* of forward and backward, direct convolution */
};
struct bench_iteration bench_training(const char *backbone);

#endif
