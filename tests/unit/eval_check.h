/* Comparing estimates with golden (value, low, high) triples; NAN stands for "not defined". */
#ifndef TESTS_EVAL_CHECK_H
#define TESTS_EVAL_CHECK_H

#include <check.h>
#include <math.h>

#include "model/eval/bootstrap.h"

static inline void check_number(bool defined, double value, double expected, int index)
{
    ck_assert_msg(defined == !isnan(expected), "[%d] defined: %d, expected %g", index, defined,
                  expected);
    if (defined)
        ck_assert_msg(fabs(value - expected) < 1e-12, "[%d] %.17g, expected %.17g", index, value,
                      expected);
    else
        ck_assert_double_eq(value, 0);
}

static inline void check_estimate(struct estimate estimate, const double golden[3], int index)
{
    check_number(estimate.defined, estimate.value, golden[0], index);
    check_number(estimate.interval, estimate.low, golden[1], index);
    check_number(estimate.interval, estimate.high, golden[2], index);
}

#endif
