#include "model/base/pages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { CACHE_LINE = 64, LARGE_PAGE = 2 << 20 };

static size_t up(size_t bytes, size_t step)
{
    return (bytes + step - 1) / step * step;
}

void *pages_take(size_t bytes)
{
    size_t step = bytes >= LARGE_PAGE ? LARGE_PAGE : CACHE_LINE;
    void *data = aligned_alloc(step, up(bytes ? bytes : 1, step));
    if (!data)
        return NULL;
#ifdef MADV_HUGEPAGE
    if (step == LARGE_PAGE)
        (void)madvise(data, bytes / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE); /* or as it was */
#endif
    memset(data, 0, bytes);
    return data;
}
