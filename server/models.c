#include "server/models.h"

#include <stdlib.h>

int models_init(struct models *models)
{
    models->newest = NULL;
    return pthread_mutex_init(&models->lock, NULL) == 0 ? 0 : -1;
}

void models_free(struct models *models)
{
    for (struct generation *one = models->newest, *older; one; one = older) {
        older = one->older;
        model_free(one->model);
        free(one);
    }
    models->newest = NULL;
    pthread_mutex_destroy(&models->lock);
}

/*
 * Takes the model out of a generation that nobody will use again; NULL where somebody will. With
 * the lock held; freeing takes its time and is done without it.
 */
static struct model *retire(const struct models *models, struct generation *generation)
{
    if (!generation || generation->users > 0 || generation == models->newest)
        return NULL;
    struct model *model = generation->model;
    generation->model = NULL;
    return model;
}

int models_add(struct models *models, struct model *model, struct error *err)
{
    struct generation *generation = calloc(1, sizeof *generation);
    if (!generation)
        return error_set(err, ERR_MEMORY, "no memory for a model");
    generation->model = model;
    generation->info = *model_info(model);
    pthread_mutex_lock(&models->lock);
    generation->older = models->newest;
    models->newest = generation;
    struct model *retired = retire(models, generation->older);
    pthread_mutex_unlock(&models->lock);
    model_free(retired);
    return 0;
}

struct generation *models_use(struct models *models)
{
    pthread_mutex_lock(&models->lock);
    struct generation *generation = models->newest;
    if (generation)
        generation->users++;
    pthread_mutex_unlock(&models->lock);
    return generation;
}

void models_release(struct models *models, struct generation *generation)
{
    if (!generation)
        return;
    pthread_mutex_lock(&models->lock);
    generation->users--;
    struct model *retired = retire(models, generation);
    pthread_mutex_unlock(&models->lock);
    model_free(retired);
}

bool models_outdated(struct models *models, const struct generation *generation)
{
    pthread_mutex_lock(&models->lock);
    bool outdated = generation != models->newest;
    pthread_mutex_unlock(&models->lock);
    return outdated;
}

const struct model_info *models_info(struct models *models)
{
    pthread_mutex_lock(&models->lock);
    const struct model_info *info = models->newest ? &models->newest->info : NULL;
    pthread_mutex_unlock(&models->lock);
    return info;
}
