/*
 * Counts allocations of a block of code, and makes one of them fail, to walk through every "out of
 * memory" path. Include in one test program: its malloc and kin then stand before the C library's.
 * oneDNN, libgomp and what lies below them allocate as they please: theirs are counted apart and
 * never fail.
 *
 *     for (long n = 0;; n++) {
 *         oom_begin(n);
 *         rc = thing(..., &err);
 *         struct oom seen = oom_end();
 *         ck_assert_int_eq(seen.live, 0);  // after a failure nothing is left
 *         if (!seen.failed)
 *             break;                       // fewer than n + 1 allocations: the walk is over
 *     }
 *
 * One thread at a time. Where OOM_WORKS is 0 (sanitizers bring their own malloc) nothing is seen.
 */
#ifndef ONESHOT_TESTS_OOM_H
#define ONESHOT_TESTS_OOM_H

#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct oom {
    long calls, live; /* of ours: allocations, and those not given back yet */
    long foreign;     /* allocations of the libraries below */
    bool failed;      /* one of ours was refused */
};

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define OOM_WORKS 1
#else
#define OOM_WORKS 0
#endif

static struct oom oom_seen;
static bool oom_watches;
static long oom_fails_at; /* below zero: none */

struct oom_range {
    uintptr_t begin, end;
};
static struct oom_range oom_foreign[16];
static int oom_foreign_count;

/* Notes where the code of the libraries below lies. */
static inline int oom_note_library(struct dl_phdr_info *info, size_t size, void *context)
{
    static const char *const names[] = {"libdnnl", "libgomp", "libstdc++", "ld-linux"};
    (void)size;
    (void)context;
    bool foreign = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        foreign |= info->dlpi_name && strstr(info->dlpi_name, names[i]) != NULL;
    for (int i = 0; foreign && i < info->dlpi_phnum && oom_foreign_count < 16; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && part->p_flags & PF_X)
            oom_foreign[oom_foreign_count++] = (struct oom_range){begin, begin + part->p_memsz};
    }
    return 0;
}

/* From now on allocation number n (from 0) of ours fails; -1: they are only counted. */
static inline void oom_begin(long n)
{
    if (!oom_foreign_count)
        dl_iterate_phdr(oom_note_library, NULL);
    oom_seen = (struct oom){0};
    oom_fails_at = n;
    oom_watches = true;
}

static inline struct oom oom_end(void)
{
    oom_watches = false;
    return oom_seen;
}

#if OOM_WORKS

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *memory);

static bool oom_is_foreign(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    for (int i = 0; i < oom_foreign_count; i++)
        if (at >= oom_foreign[i].begin && at < oom_foreign[i].end)
            return true;
    return false;
}

/* True where this allocation is to fail. */
static bool oom_refuses(const void *caller)
{
    if (!oom_watches)
        return false;
    if (oom_is_foreign(caller)) {
        __atomic_fetch_add(&oom_seen.foreign, 1, __ATOMIC_RELAXED);
        return false;
    }
    if (oom_seen.calls++ == oom_fails_at) {
        oom_seen.failed = true;
        errno = ENOMEM;
        return true;
    }
    oom_seen.live++;
    return false;
}

void *malloc(size_t size)
{
    return oom_refuses(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return oom_refuses(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
    if (oom_refuses(__builtin_return_address(0)))
        return NULL;
    if (memory && oom_watches && !oom_is_foreign(__builtin_return_address(0)))
        oom_seen.live--;
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return oom_refuses(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *memory =
        oom_refuses(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
    if (!memory)
        return ENOMEM;
    *out = memory;
    return 0;
}

void free(void *memory)
{
    if (memory && oom_watches && !oom_is_foreign(__builtin_return_address(0)))
        oom_seen.live--;
    __libc_free(memory);
}

#endif
#endif
