#include "model/eval/bootstrap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/rng.h"

struct bootstrap_options bootstrap_defaults(void)
{
    return (struct bootstrap_options){.seed = 1, .resamples = 2000, .level = 0.95};
}

struct estimate estimate_of(double value)
{
    return isnan(value) ? (struct estimate){0} : (struct estimate){.defined = true, .value = value};
}

/* Renumbers the groups that occur to 0..*used-1, in order of their first image. */
static int number_groups(int32_t *dense, int32_t *used, int32_t *scratch, const int32_t *groups,
                         int32_t images, struct error *err)
{
    for (int32_t i = 0; i < images; i++)
        scratch[i] = -1;
    *used = 0;
    for (int32_t i = 0; i < images; i++) {
        int32_t group = groups ? groups[i] : i;
        if (group < 0 || group >= images)
            return error_set(err, ERR_ARGUMENT, "image %d is of group %d; groups are 0..%d", i,
                             group, images - 1);
        if (scratch[group] < 0)
            scratch[group] = (*used)++;
        dense[i] = scratch[group];
    }
    return 0;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between the two nearest order statistics, linearly; `sorted` has at least one value. */
static double percentile(const double *sorted, int count, double share)
{
    double at = share * (count - 1);
    int below = (int)at;
    int above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (sorted[above] - sorted[below]) * (at - below);
}

/* `column` has room for all resamples of one statistic. */
static void set_interval(struct estimate *out, const double *values, int stride, double *column,
                         const struct bootstrap_options *options)
{
    int defined = 0;
    for (int r = 0; r < options->resamples; r++) {
        double value = values[(size_t)r * (size_t)stride];
        if (!isnan(value))
            column[defined++] = value;
    }
    if (!out->defined || defined == 0 || 5 * defined < 4 * options->resamples)
        return;
    qsort(column, (size_t)defined, sizeof *column, compare_doubles);
    out->low = percentile(column, defined, (1 - options->level) / 2);
    out->high = percentile(column, defined, (1 + options->level) / 2);
    out->interval = true;
}

static int check_options(int64_t images, const struct bootstrap_options *options, struct error *err)
{
    if (images > INT32_MAX)
        return error_set(err, ERR_TOO_LARGE, "%lld images are too many", (long long)images);
    if (options->resamples < 0 || options->resamples > 1000000)
        return error_set(err, ERR_ARGUMENT, "%d resamples; 0..1000000", options->resamples);
    if (!(options->level > 0 && options->level < 1))
        return error_set(err, ERR_ARGUMENT, "an interval of level %g; between 0 and 1",
                         options->level);
    return 0;
}

int bootstrap_estimate(struct estimate *out, int count, bootstrap_statistics *statistics,
                       const void *context, int64_t images, const int32_t *groups,
                       const struct bootstrap_options *options, int64_t *used_groups,
                       struct error *err)
{
    int rc = check_options(images, options, err);
    if (rc != 0)
        return rc;
    size_t n = (size_t)images;
    size_t resamples = (size_t)options->resamples;
    uint32_t *weights = malloc((n + 1) * sizeof *weights);
    uint32_t *drawn = malloc((n + 1) * sizeof *drawn);
    int32_t *dense = malloc((n + 1) * sizeof *dense);
    double *values = calloc((resamples + 1) * (size_t)count, sizeof *values);
    double *column = malloc((resamples + 1) * sizeof *column);
    if (!weights || !drawn || !dense || !values || !column) {
        rc = error_set(err, ERR_MEMORY, "no memory for %zu resamples of %zu images", resamples, n);
        goto done;
    }
    int32_t used;
    TRY(number_groups(dense, &used, (int32_t *)drawn, groups, (int32_t)images, err));
    if (used_groups)
        *used_groups = used;

    for (size_t i = 0; i < n; i++)
        weights[i] = 1;
    statistics(values, weights, context);
    for (int s = 0; s < count; s++)
        out[s] = estimate_of(values[s]);
    if (used < 2 || resamples == 0)
        goto done;

    struct rng rng;
    rng_seed(&rng, options->seed);
    for (size_t r = 0; r < resamples; r++) {
        memset(drawn, 0, (size_t)used * sizeof *drawn);
        for (int32_t g = 0; g < used; g++)
            drawn[rng_below(&rng, (uint32_t)used)]++;
        for (size_t i = 0; i < n; i++)
            weights[i] = drawn[dense[i]];
        statistics(values + r * (size_t)count, weights, context);
    }
    for (int s = 0; s < count; s++)
        set_interval(&out[s], values + s, count, column, options);
done:
    free(column);
    free(values);
    free(dense);
    free(drawn);
    free(weights);
    return rc;
}
