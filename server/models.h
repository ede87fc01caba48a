/*
 * The models of a running service: the newest one, which new sessions are opened on, and older ones
 * for as long as a session of theirs is open. What is known about each stays until the end, so that
 * a request may keep looking at it. Any thread.
 */
#ifndef ONESHOT_SERVER_MODELS_H
#define ONESHOT_SERVER_MODELS_H

#include <pthread.h>
#include <stdbool.h>

#include "model/model.h"

struct generation {
    struct generation *older;
    struct model *model; /* NULL once its last session is closed and a newer one is there */
    struct model_info info;
    int users;
};

struct models {
    pthread_mutex_t lock;
    struct generation *newest; /* NULL: none yet */
};

int models_init(struct models *models);  /* -1: no lock */
void models_free(struct models *models); /* every generation must have been released */

/* Makes a model the newest, and owns it. ERR_MEMORY: the model is still the caller's. */
int models_add(struct models *models, struct model *model, struct error *err);

/* The newest generation, for one session on it; NULL where there is none. */
struct generation *models_use(struct models *models);
void models_release(struct models *models, struct generation *generation); /* NULL is fine */

/* True where `generation` is not the newest. */
bool models_outdated(struct models *models, const struct generation *generation);

/* What is known of the newest; NULL where there is none. Valid until models_free. */
const struct model_info *models_info(struct models *models);

#endif
