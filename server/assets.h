/* The viewer's files and openapi.yaml, made part of the program when it is built (assets.mk). */
#ifndef ONESHOT_SERVER_ASSETS_H
#define ONESHOT_SERVER_ASSETS_H

#include <stddef.h>

#include "api/api.h"

extern const struct asset assets[];
extern const size_t assets_count;

#endif
