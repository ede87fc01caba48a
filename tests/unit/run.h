/*
 * Runs a list of tests: int main(void) { RUN("rle", first_test, second_test); }
 * or a case with loops, fixtures or another timeout: TCase *tc = test_case("rle"); ...
 * return run_case("rle", tc);
 */
#ifndef ONESHOT_TESTS_RUN_H
#define ONESHOT_TESTS_RUN_H

#include <check.h>
#include <stdlib.h>

static inline TCase *test_case(const char *name)
{
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 60);
    return tc;
}

static inline int run_case_as(const char *name, TCase *tc, enum fork_status mode)
{
    Suite *suite = suite_create(name);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, mode);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

static inline int run_case(const char *name, TCase *tc)
{
    return run_case_as(name, tc, CK_FORK_GETENV);
}

/* In one process: OpenMP's threads do not survive a fork. */
static inline int run_case_here(const char *name, TCase *tc)
{
    return run_case_as(name, tc, CK_NOFORK);
}

static inline int run_tests(const char *name, const TTest *const *tests, size_t count)
{
    TCase *tc = test_case(name);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tc, tests[i]);
    return run_case(name, tc);
}

#define RUN(name, ...)                                                                             \
    return run_tests(name, (const TTest *const[]){__VA_ARGS__},                                    \
                     sizeof((const TTest *const[]){__VA_ARGS__}) / sizeof(const TTest *))

/* A small generator of numbers, the same on every machine. */
static inline unsigned random_next(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

#endif
