/*
 * Counts allocations of a block of code, and makes one of them fail, to walk through every "out of
 * memory" path. Include in one test program: its malloc and kin then stand before the C library's.
 * oneDNN, libgomp and what lies below them allocate as they please, and jansson takes a failure for
 * a mistake in what it reads: theirs are counted apart and never fail.
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
 * One thread at a time. Where oom_works() says no (sanitizers and valgrind bring their own malloc)
 * nothing is seen.
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
    static const char *const names[] = {"libdnnl", "libgomp", "libstdc++", "libjansson",
                                        "ld-linux"};
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

/*
 * Blocks of ours that are not given back yet. Who frees says little: libgomp's last call may be
 * free() itself, and then seems to come from here.
 */
enum { OOM_BLOCKS = 1 << 16 };
static void *oom_blocks[OOM_BLOCKS]; /* open addressing; a freed place holds OOM_GONE */
#define OOM_GONE ((void *)oom_blocks)
static bool oom_busy;

static void **oom_place(const void *block, bool is_new)
{
    size_t at = ((uintptr_t)block >> 4) * 2654435761u % OOM_BLOCKS;
    for (size_t i = 0; i < OOM_BLOCKS; i++, at = (at + 1) % OOM_BLOCKS)
        if (oom_blocks[at] == block || !oom_blocks[at] || (is_new && oom_blocks[at] == OOM_GONE))
            return &oom_blocks[at];
    abort(); /* more blocks than any test has */
}

static void oom_note(void *block, bool is_new)
{
    if (!oom_watches || !block)
        return;
    while (__atomic_test_and_set(&oom_busy, __ATOMIC_ACQUIRE))
        ;
    void **place = oom_place(block, is_new);
    if (is_new || *place) {
        *place = is_new ? block : OOM_GONE;
        oom_seen.live += is_new ? 1 : -1;
    }
    __atomic_clear(&oom_busy, __ATOMIC_RELEASE);
}

/* Whether this allocation is of a library below; where it is one of ours, *fails says its fate. */
static bool oom_passes(const void *caller, bool *fails)
{
    *fails = false;
    if (!oom_watches)
        return true;
    if (oom_is_foreign(caller)) {
        __atomic_fetch_add(&oom_seen.foreign, 1, __ATOMIC_RELAXED);
        return true;
    }
    if (oom_seen.calls++ == oom_fails_at) {
        oom_seen.failed = *fails = true;
        errno = ENOMEM;
    }
    return false;
}

void *malloc(size_t size)
{
    bool fails, foreign = oom_passes(__builtin_return_address(0), &fails);
    void *block = fails ? NULL : __libc_malloc(size);
    if (!foreign)
        oom_note(block, true);
    return block;
}

void *calloc(size_t count, size_t size)
{
    bool fails, foreign = oom_passes(__builtin_return_address(0), &fails);
    void *block = fails ? NULL : __libc_calloc(count, size);
    if (!foreign)
        oom_note(block, true);
    return block;
}

void *realloc(void *memory, size_t size)
{
    bool fails, foreign = oom_passes(__builtin_return_address(0), &fails);
    if (fails)
        return NULL;
    oom_note(memory, false);
    memory = __libc_realloc(memory, size);
    if (!foreign)
        oom_note(memory, true);
    return memory;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    bool fails, foreign = oom_passes(__builtin_return_address(0), &fails);
    void *block = fails ? NULL : __libc_memalign(alignment, size);
    if (!foreign)
        oom_note(block, true);
    return block;
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    bool fails, foreign = oom_passes(__builtin_return_address(0), &fails);
    void *block = fails ? NULL : __libc_memalign(alignment, size);
    if (!block)
        return ENOMEM;
    if (!foreign)
        oom_note(block, true);
    *out = block;
    return 0;
}

void free(void *memory)
{
    oom_note(memory, false);
    __libc_free(memory);
}

#endif

/* From now on allocation number n (from 0) of ours fails; -1: they are only counted. */
static inline void oom_begin(long n)
{
    if (!oom_foreign_count)
        dl_iterate_phdr(oom_note_library, NULL);
    oom_seen = (struct oom){0};
#if OOM_WORKS
    memset(oom_blocks, 0, sizeof oom_blocks);
#endif
    oom_fails_at = n;
    oom_watches = true;
}

static inline struct oom oom_end(void)
{
    oom_watches = false;
    return oom_seen;
}

#if OOM_WORKS
static void *volatile oom_probe;

static inline bool oom_works(void)
{
    oom_begin(0);
    oom_probe = malloc(1);
    struct oom seen = oom_end();
    free(oom_probe);
    return seen.failed;
}
#else
static inline bool oom_works(void)
{
    return false;
}
#endif

#endif
