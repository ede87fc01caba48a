#include "model/eval/training_log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct training_series *find_or_add(struct training_log *log, const char *name)
{
    struct training_series *found = (struct training_series *)training_log_find(log, name);
    if (found || log->count == TRAINING_SERIES)
        return found;
    struct training_series *added = &log->series[log->count++];
    snprintf(added->name, sizeof added->name, "%s", name);
    return added;
}

static int series_grow(struct training_series *series, struct error *err)
{
    if (series->count < series->room)
        return 0;
    size_t room = series->room ? 2 * series->room : 256;
    double *iteration = realloc(series->iteration, room * sizeof *iteration);
    if (iteration)
        series->iteration = iteration;
    double *value = realloc(series->value, room * sizeof *value);
    if (value)
        series->value = value;
    if (!iteration || !value)
        return error_set(err, ERR_MEMORY, "no memory for %zu points of the training log", room);
    series->room = room;
    return 0;
}

int training_log_add(struct training_log *log, const char *name, double iteration, double value,
                     struct error *err)
{
    if (!isfinite(iteration) || !isfinite(value) || strlen(name) >= TRAINING_NAME)
        return 0; /* a loss that overflowed is a gap in the curve */
    struct training_series *series = find_or_add(log, name);
    if (!series)
        return 0;
    while (series->count > 0 && series->iteration[series->count - 1] >= iteration)
        series->count--; /* the run was taken up again from an earlier checkpoint */
    if (series_grow(series, err) != 0)
        return -1;
    series->iteration[series->count] = iteration;
    series->value[series->count] = value;
    series->count++;
    return 0;
}

const struct training_series *training_log_find(const struct training_log *log, const char *name)
{
    for (int s = 0; s < log->count; s++)
        if (strcmp(log->series[s].name, name) == 0)
            return &log->series[s];
    return NULL;
}

static double mean(const double *values, size_t from, size_t to)
{
    double sum = 0;
    for (size_t i = from; i < to; i++)
        sum += values[i];
    return sum / (double)(to - from);
}

size_t training_series_smooth(const struct training_series *series, double *x, double *y,
                              size_t points, size_t around)
{
    if (points > series->count)
        points = series->count;
    for (size_t k = 0; k < points; k++) {
        x[k] =
            mean(series->iteration, k * series->count / points, (k + 1) * series->count / points);
        size_t first = k > around ? k - around : 0;
        size_t last = k + around < points ? k + around : points - 1;
        double sum = 0; /* of span means, which may be of unequal length */
        for (size_t j = first; j <= last; j++)
            sum +=
                mean(series->value, j * series->count / points, (j + 1) * series->count / points);
        y[k] = sum / (double)(last - first + 1);
    }
    return points;
}

void training_log_free(struct training_log *log)
{
    for (int s = 0; s < log->count; s++) {
        free(log->series[s].iteration);
        free(log->series[s].value);
    }
    memset(log, 0, sizeof *log);
}
