#include "server/local.h"

#include "server/config.h"

int local_open(struct local *local, const char *path, int threads, size_t max_pixels,
               struct error *err)
{
    struct model_options options = {threads > 0 ? threads : config_cores()};
    *local = (struct local){0};
    if (model_load(&local->model, path, &options, err) != 0)
        return -1;
    return slice_worker_open(&local->worker, local->model, max_pixels, err);
}

void local_close(struct local *local)
{
    slice_worker_close(&local->worker);
    model_free(local->model);
    *local = (struct local){0};
}
