/*
 * Memory for weights and activations: aligned to cache lines, zero, and where it is large in large
 * pages, as far as the system has any (Linux: transparent_hugepage `madvise` or `always`). Layers
 * stream through tens of megabytes; with small pages they wait for the page table as well.
 */
#ifndef ONESHOT_BASE_PAGES_H
#define ONESHOT_BASE_PAGES_H

#include <stddef.h>

/* At least one byte; NULL without memory. free() gives it back. */
void *pages_take(size_t bytes);

#endif
