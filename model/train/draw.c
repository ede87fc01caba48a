#include "model/train/draw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/rng.h"

struct group {
    size_t first, count; /* of draw.order */
    double until;        /* running sum of weights, 1 at the last */
};

struct draw {
    size_t count;
    uint64_t seed;
    uint32_t *order;
    int64_t epoch; /* that `order` is shuffled for; unused with groups */
    struct group *groups;
    size_t groups_count; /* 0: by epochs */
};

struct keyed {
    uint32_t index;
    int8_t classes[DATASET_CLASSES];
};

static int by_classes(const void *a, const void *b)
{
    const struct keyed *p = a, *q = b;
    int order = memcmp(p->classes, q->classes, sizeof p->classes);
    return order ? order : (p->index > q->index) - (p->index < q->index);
}

static int make_groups(struct draw *d, const struct dataset *dataset, double balance,
                       struct error *err)
{
    struct keyed *keyed = malloc((d->count + 1) * sizeof *keyed);
    d->groups = calloc(d->count + 1, sizeof *d->groups);
    if (!keyed || !d->groups) {
        free(keyed);
        return error_set(err, ERR_MEMORY, "out of memory for %zu samples", d->count);
    }
    for (size_t i = 0; i < d->count; i++) {
        keyed[i].index = (uint32_t)i;
        memcpy(keyed[i].classes, dataset->samples[i].classes, sizeof keyed[i].classes);
    }
    qsort(keyed, d->count, sizeof *keyed, by_classes);
    for (size_t i = 0; i < d->count; i++) {
        d->order[i] = keyed[i].index;
        if (i == 0 || memcmp(keyed[i].classes, keyed[i - 1].classes, sizeof keyed[i].classes) != 0)
            d->groups[d->groups_count++].first = i;
        d->groups[d->groups_count - 1].count++;
    }
    free(keyed);
    double sum = 0;
    for (size_t k = 0; k < d->groups_count; k++)
        d->groups[k].until = sum += pow((double)d->groups[k].count, 1 - balance);
    for (size_t k = 0; k < d->groups_count; k++)
        d->groups[k].until /= sum;
    return 0;
}

int draw_open(struct draw **out, const struct dataset *dataset, float balance, uint64_t seed,
              struct error *err)
{
    *out = NULL;
    struct draw *d = calloc(1, sizeof *d);
    if (d)
        d->order = malloc((dataset->count + 1) * sizeof *d->order);
    if (!d || !d->order) {
        free(d);
        return error_set(err, ERR_MEMORY, "out of memory for %zu samples", dataset->count);
    }
    d->count = dataset->count;
    d->seed = seed;
    d->epoch = -1;
    if (balance > 0 && make_groups(d, dataset, (double)balance, err) != 0) {
        draw_close(d);
        return -1;
    }
    *out = d;
    return 0;
}

void draw_close(struct draw *draw)
{
    if (!draw)
        return;
    free(draw->order);
    free(draw->groups);
    free(draw);
}

size_t draw_at(struct draw *d, int64_t iteration)
{
    if (d->groups_count == 0) {
        int64_t epoch = iteration / (int64_t)d->count;
        if (epoch != d->epoch)
            dataset_shuffle(d->order, (uint32_t)d->count, d->seed, (uint64_t)epoch);
        d->epoch = epoch;
        return d->order[iteration % (int64_t)d->count];
    }
    struct rng rng;
    rng_seed(&rng, d->seed ^ (uint64_t)iteration * 0xD1342543DE82EF95u);
    double u = (double)rng_float(&rng);
    const struct group *group = d->groups;
    while (group < d->groups + d->groups_count - 1 && u >= group->until)
        group++;
    return d->order[group->first + rng_below(&rng, (uint32_t)group->count)];
}
