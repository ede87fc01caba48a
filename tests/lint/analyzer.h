/*
 * Put before every file that `make tidy` looks at. The analyzer sees one file at a time and has to
 * be told what these return.
 */
#ifndef ONESHOT_TESTS_ANALYZER_H
#define ONESHOT_TESTS_ANALYZER_H

#include "model/base/error.h"

#define error_set(...) (error_set(__VA_ARGS__), -1)
#define error_prefix(...) (error_prefix(__VA_ARGS__), -1)

#endif
