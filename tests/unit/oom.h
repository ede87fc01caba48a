/*
 * Counts allocations of a block of code, and makes one of them fail, to walk through every "out of
 * memory" path. Include in one test program: its malloc and kin then stand before the C library's,
 * for the libraries it calls as well.
 *
 *     struct oom_walk walk = {.err = &err, .more_than = 5};
 *     while (oom_next(&walk)) {    // in round n allocation n fails
 *         int rc = thing_open(&thing, &err);
 *         thing_free(thing);
 *         oom_judge(&walk, rc);    // nothing is left; -1 and ERR_MEMORY, or 0 in the last round
 *     }
 *
 * Whose allocations fail:
 * - ours, the C library's for us, and those of zlib and libpng: both say that memory ran out, and
 *   what they hold has to be given back by us;
 * - jansson's where a walk asks for it: reading, it takes most failures for a mistake in the text,
 *   and some for a byte that was not there;
 * - never those of oneDNN, libgomp and what lies below them: they allocate as they please, and keep
 *   some of it. These are counted apart.
 *
 * One thread at a time. Where oom_works() says no (sanitizers and valgrind bring their own malloc)
 * nothing is seen, and a walk has no rounds. What is to be asserted comes after oom_judge: check
 * allocates, too.
 */
#ifndef ONESHOT_TESTS_OOM_H
#define ONESHOT_TESTS_OOM_H

#include <check.h>
#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/error.h"

struct oom {
    long calls, live; /* of ours: allocations, and those not given back yet */
    long foreign;     /* allocations of the libraries below */
    bool failed;      /* one of ours was refused */
};

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OOM_WORKS 0
#else
#define OOM_WORKS 1
#endif

static struct oom oom_seen;
static bool oom_watches;
static long oom_fails_at;      /* below zero: none */
static bool oom_fails_jansson; /* its allocations count as ours */

struct oom_range {
    uintptr_t begin, end;
    bool jansson;
};
static struct oom_range oom_foreign[16];
static int oom_foreign_count;

/* Notes where the code of the libraries above lies. */
static inline int oom_note_library(struct dl_phdr_info *info, size_t size, void *context)
{
    static const char *const names[] = {"libjansson", "libdnnl", "libgomp", "libstdc++",
                                        "ld-linux"};
    (void)size;
    (void)context;
    size_t i = 0;
    while (i < sizeof names / sizeof *names &&
           !(info->dlpi_name && strstr(info->dlpi_name, names[i])))
        i++;
    bool foreign = i < sizeof names / sizeof *names;
    for (int k = 0; foreign && k < info->dlpi_phnum && oom_foreign_count < 16; k++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[k];
        uintptr_t begin = info->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && part->p_flags & PF_X)
            oom_foreign[oom_foreign_count++] =
                (struct oom_range){begin, begin + part->p_memsz, i == 0};
    }
    return 0;
}

#if OOM_WORKS

#define OOM_REAL(name) __libc_##name
void *OOM_REAL(malloc)(size_t size);
void *OOM_REAL(calloc)(size_t count, size_t size);
void *OOM_REAL(realloc)(void *memory, size_t size);
void *OOM_REAL(memalign)(size_t alignment, size_t size);
void OOM_REAL(free)(void *memory);

static bool oom_is_foreign(const void *caller)
{
    uintptr_t at = (uintptr_t)caller;
    for (int i = 0; i < oom_foreign_count; i++)
        if (at >= oom_foreign[i].begin && at < oom_foreign[i].end)
            return !(oom_foreign[i].jansson && oom_fails_jansson);
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
    void *block = fails ? NULL : OOM_REAL(malloc)(size);
    if (!foreign)
        oom_note(block, true);
    return block;
}

void *calloc(size_t count, size_t size)
{
    bool fails, foreign = oom_passes(__builtin_return_address(0), &fails);
    void *block = fails ? NULL : OOM_REAL(calloc)(count, size);
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
    memory = OOM_REAL(realloc)(memory, size);
    if (!foreign)
        oom_note(memory, true);
    return memory;
}

void *aligned_alloc(size_t alignment, size_t size)
{
    bool fails, foreign = oom_passes(__builtin_return_address(0), &fails);
    void *block = fails ? NULL : OOM_REAL(memalign)(alignment, size);
    if (!foreign)
        oom_note(block, true);
    return block;
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    bool fails, foreign = oom_passes(__builtin_return_address(0), &fails);
    void *block = fails ? NULL : OOM_REAL(memalign)(alignment, size);
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
    OOM_REAL(free)(memory);
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
static inline bool oom_works(void)
{
    /* a compiler that sees malloc takes for granted that it changes none of the above */
    void *(*volatile allocate)(size_t) = malloc;
    oom_begin(0);
    void *block = allocate(1);
    struct oom seen = oom_end();
    free(block);
    return seen.failed;
}
#else
static inline bool oom_works(void)
{
    return false;
}
#endif

/* ---- walks ---- */

struct oom_walk {
    struct error *err; /* what the block fills; empty when a round begins */
    long more_than;    /* allocations the block makes (errors, where it spares some), or the walk
                          misses what it is for */
    long growing;      /* where there are many: n grows by one and a growing-th of itself */
    bool json;         /* jansson's allocations fail as well */
    bool spares;       /* libraries do without some: qsort sorts in place, a file is read without
                          a buffer, asprintf does not shrink what it has; compare what comes of it */
    long n;            /* the one that fails in this round */
    long errors;       /* rounds that ended in one */
    bool begun, over;
};

static inline bool oom_next(struct oom_walk *walk)
{
    if (walk->begun)
        walk->n += 1 + (walk->growing ? walk->n / walk->growing : 0);
    else
        walk->over = !oom_works();
    if (walk->over)
        return false;
    walk->begun = true;
    *walk->err = (struct error){.code = ERR_NONE};
    oom_fails_jansson = walk->json;
    oom_begin(walk->n);
    return true;
}

/* Ends a round in which all was given back and rc returned; other than ERR_MEMORY, `or` will do. */
static inline void oom_judge_or(struct oom_walk *walk, int rc, enum error_code or)
{
    struct oom seen = oom_end();
    oom_fails_jansson = false;
    ck_assert_msg(seen.live == 0, "allocation %ld: %ld blocks are left; %s", walk->n, seen.live,
                  walk->err->text);
    bool spared = walk->spares && rc == 0;
    ck_assert_msg(seen.failed && !spared
                      ? rc == -1 && (walk->err->code == ERR_MEMORY || walk->err->code == or)
                      : rc == 0 && walk->err->code == ERR_NONE,
                  "allocation %ld: %d, %s: %s", walk->n, rc, error_name(walk->err->code),
                  walk->err->text);
    walk->errors += rc != 0;
    walk->over = !seen.failed;
    if (walk->over)
        ck_assert_int_gt(walk->spares ? walk->errors : seen.calls, walk->more_than);
}

static inline void oom_judge(struct oom_walk *walk, int rc)
{
    oom_judge_or(walk, rc, ERR_MEMORY);
}

#endif
