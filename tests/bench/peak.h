/* The yardstick: how fast this machine runs direct convolutions. */
#ifndef ONESHOT_BENCH_PEAK_H
#define ONESHOT_BENCH_PEAK_H

/* Best GFLOP/s of oneDNN's direct convolution over a range of ResNet shapes, current threads. */
double peak_direct_convolution(void);

#endif
