/*
 * Takes the place of malloc and its kin in the test program that includes it, so that the n-th
 * allocation can be made to fail: set allocations_left to n, call, set it to -1 again; then
 * allocations_live says what was not given back. HAVE_FAILING_MEMORY is defined where this works:
 * sanitizers have their own malloc. So has valgrind, which is only seen when running: such tests
 * begin with `if (!memory_can_fail()) return;`. Single-threaded code only.
 */
#ifndef ONESHOT_TESTS_FAILING_MEMORY_H
#define ONESHOT_TESTS_FAILING_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define HAVE_FAILING_MEMORY 1

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void __libc_free(void *memory);

static int allocations_left = -1; /* -1: not counting */
static int allocations_live;

static bool refuse_now(void)
{
    if (allocations_left < 0)
        return false;
    if (allocations_left == 0)
        return true;
    allocations_left--;
    allocations_live++;
    return false;
}

void *malloc(size_t size)
{
    return refuse_now() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return refuse_now() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    if (refuse_now())
        return NULL;
    if (allocations_left >= 0 && memory != NULL)
        allocations_live--;
    return __libc_realloc(memory, size);
}

void free(void *memory)
{
    if (allocations_left >= 0 && memory != NULL)
        allocations_live--;
    __libc_free(memory);
}

static bool memory_can_fail(void)
{
    allocations_left = 0;
    void *volatile memory = malloc(1);
    allocations_left = -1;
    free(memory);
    return memory == NULL;
}

#endif
#endif
