/*
 * Does this model work on this machine? A synthetic slice is predicted twice: every output must be
 * finite and in its range, and both answers must agree bit for bit. Run when a service starts (it
 * also warms the session up) and by `oneshot selftest`.
 */
#ifndef ONESHOT_API_SELFTEST_H
#define ONESHOT_API_SELFTEST_H

#include "api/slice.h"

/* On the worker's thread. ERR_INTERNAL says what was wrong; errors of session_predict. */
int selftest_run(struct slice_worker *worker, struct error *err);

#endif
