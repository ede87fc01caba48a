/* A folder tree of one test's own: made before it, gone with everything in it after it. */
#ifndef ONESHOT_TESTS_FOLDER_H
#define ONESHOT_TESTS_FOLDER_H

#include <check.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static char root[64];

static inline void root_make(void)
{
    snprintf(root, sizeof root, "/tmp/oneshot-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
}

static inline int root_remove_one(const char *path, const struct stat *info, int flag,
                                  struct FTW *where)
{
    (void)info;
    (void)flag;
    (void)where;
    return remove(path);
}

static inline void root_remove(void)
{
    nftw(root, root_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *in_root(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A path below the folder; each call overwrites the one before it but seven. */
static inline const char *in_root(const char *format, ...)
{
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    int n = snprintf(path, sizeof paths[0], "%s/", root);
    va_list args;
    va_start(args, format);
    vsnprintf(path + n, sizeof paths[0] - (size_t)n, format, args);
    va_end(args);
    return path;
}

#endif
