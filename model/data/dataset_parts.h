/* Inside of the data sets: growing lists, names, the ways classes are found. */
#ifndef ONESHOT_DATA_DATASET_PARTS_H
#define ONESHOT_DATA_DATASET_PARTS_H

#include "model/data/dataset.h"

/* Names of a folder's PNG files in byte order. */
struct names {
    size_t count;
    char **list; /* owned */
};

int names_read(struct names *names, const char *folder, struct error *err);
void names_free(struct names *names);

/* What errno says about a file or folder: ERR_MEMORY where that is the cause, else ERR_IO. */
int dataset_io_error(const char *path, int cause, struct error *err);

/* "folder/name", malloc'ed; NULL and ERR_MEMORY where that fails. */
char *path_join(const char *folder, const char *name, struct error *err);

/* False for names that leave the folder: absolute, empty, or with a part "..". */
bool name_is_safe(const char *name);

/*
 * The classes an id stands for; false for ids the scheme does not have. `id` is text, its end given
 * by `length`.
 */
bool scheme_classes(int8_t classes[DATASET_CLASSES], enum dataset_scheme scheme, const char *id,
                    size_t length);

/* Appends a copy of what `sample` points to. ERR_MEMORY. */
int dataset_add(struct dataset *dataset, const struct sample *sample, struct error *err);

/* Appends a problem; path and reason are copied. ERR_MEMORY. */
int dataset_blame(struct dataset *dataset, const char *path, struct error *err, const char *reason,
                  ...) __attribute__((format(printf, 4, 5)));

void sample_free(struct sample *sample);

/* Sorts by path, takes out doubles, refuses an empty set. */
int dataset_finish(struct dataset *dataset, const char *folder, struct error *err);

#endif
