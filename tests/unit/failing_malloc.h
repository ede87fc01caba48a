/*
 * Makes the n-th allocation of a block of code fail, to walk through every "out of memory" path.
 * Include in one test program; its malloc, calloc and realloc then stand before the C library's,
 * for the libraries under test as well.
 *
 *     for (long n = 0; ; n++) {
 *         malloc_fail_at(n);
 *         rc = thing(..., &err);
 *         if (!malloc_fail_end())
 *             break;                      // fewer than n + 1 allocations: the walk is over
 *         assert(rc && err.code == ERR_MEMORY);
 *     }
 */
#ifndef ONESHOT_TESTS_FAILING_MALLOC_H
#define ONESHOT_TESTS_FAILING_MALLOC_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>

/* ThreadSanitizer allocates before this program can look up the real functions. */
#if defined(__SANITIZE_THREAD__)
#define FAILING_MALLOC 0
#else
#define FAILING_MALLOC 1
#endif

static long malloc_countdown = -1; /* below zero: nothing fails */
static bool malloc_has_failed;

static inline void malloc_fail_at(long n)
{
    malloc_countdown = n;
    malloc_has_failed = false;
}

/* Ends the block; true where an allocation was made to fail. */
static inline bool malloc_fail_end(void)
{
    malloc_countdown = -1;
    return malloc_has_failed;
}

#if FAILING_MALLOC

static bool malloc_fails_now(void)
{
    if (malloc_countdown < 0 || malloc_countdown-- > 0)
        return false;
    malloc_has_failed = true;
    return true;
}

/* ISO C has no conversion from object to function pointers; POSIX promises that this works. */
#define REAL(name)                                                                                 \
    static __typeof__(&name) real;                                                                 \
    if (!real) {                                                                                   \
        void *symbol = dlsym(RTLD_NEXT, #name);                                                    \
        __builtin_memcpy(&real, &symbol, sizeof real);                                             \
    }

void *malloc(size_t size)
{
    REAL(malloc)
    return malloc_fails_now() ? NULL : real(size);
}

void *calloc(size_t count, size_t size)
{
    REAL(calloc)
    return malloc_fails_now() ? NULL : real(count, size);
}

void *realloc(void *old, size_t size)
{
    REAL(realloc)
    return malloc_fails_now() ? NULL : real(old, size);
}

#endif
#endif
