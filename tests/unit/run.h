/* Runs a list of tests: int main(void) { RUN("rle", first_test, second_test); } */
#ifndef ONESHOT_TESTS_RUN_H
#define ONESHOT_TESTS_RUN_H

#include <check.h>
#include <stdlib.h>

static int run_tests(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tc = tcase_create(name);
    tcase_set_timeout(tc, 60);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
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
