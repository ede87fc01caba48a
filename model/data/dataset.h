/*
 * Training and evaluation data on disk: which files there are, what is known about each, which are
 * bad and why.
 *
 * Segmentation: FOLDER/imgs/NAME.png with FOLDER/masks/NAME.png, an 8-bit label map of the same
 * size (0 background, 1 lungs, 2 GGO, 3 consolidation).
 *
 * Classification, the first of these that is there:
 * 1. a split file as COVIDx-CT has them, lines of `filename class [xmin ymin xmax ymax]`, names
 *    relative to FOLDER;
 * 2. a manifest, FOLDER/manifest.csv: a header line, then rows with the columns file (relative to
 *    FOLDER or to FOLDER/split), split, control, common_pneumonia, covid_19 (1, 0, -1 unknown),
 *    patient; all but file and one class may be missing, others are passed over;
 * 3. FOLDER/../manifest.csv, its rows whose split is FOLDER's own name;
 * 4. names that begin with the class: 0_, 1_, 2_.
 *
 * Opening looks at names only; dataset_check reads every file. Both add what is wrong to `problems`
 * and take the sample out, so that training starts on what is left if its owner agrees. A data set
 * is read-only after that and may be shared by threads.
 */
#ifndef ONESHOT_DATA_DATASET_H
#define ONESHOT_DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"
#include "model/data/image.h"

enum { DATASET_CLASSES = 3, DATASET_MAX_LABEL = 3 };

/* What a class id in a name or a split file means. */
enum dataset_scheme {
    DATASET_THREE,  /* 0 control, 1 common pneumonia, 2 COVID-19 */
    DATASET_BINARY, /* 0 not COVID-19 (which of the other two is unknown), 1 COVID-19; iCTCF */
};

struct dataset_options {
    const char *split; /* rows of FOLDER/manifest.csv to take; NULL: all */
    const char *list;  /* path of a split file; NULL: none */
    enum dataset_scheme scheme;
    bool crop;         /* dataset_load cuts images to the split file's boxes */
    size_t max_pixels; /* per image; 0: 2^26 */
};

struct sample {
    char *path;                      /* of the image */
    char *mask;                      /* of the label map; NULL in classification */
    char *patient;                   /* "" where unknown */
    int8_t classes[DATASET_CLASSES]; /* 1, 0, -1 unknown; all -1 in segmentation */
    bool boxed;
    int x0, y0, x1, y1; /* columns x0..x1-1, rows y0..y1-1; where boxed */
};

struct dataset_problem {
    char *path;   /* file, or "file:line" of a list */
    char *reason; /* a sentence that says what to do */
};

struct dataset {
    size_t count;
    struct sample *samples; /* by path; owned */
    size_t problems_count;
    struct dataset_problem *problems; /* owned */
    bool crop;
    size_t max_pixels;
};

/*
 * `options` may be NULL. Errors: ERR_IO (a folder or list that cannot be read), ERR_BAD_DATA (a
 * manifest without its columns, or nothing usable found: the first problem is named), ERR_MEMORY.
 */
int dataset_open_segmentation(struct dataset *out, const char *folder,
                              const struct dataset_options *options, struct error *err);
int dataset_open_classification(struct dataset *out, const char *folder,
                                const struct dataset_options *options, struct error *err);

/* Moves the samples and problems of `from` to the end of `into`; `from` is empty then. ERR_MEMORY.
 */
int dataset_merge(struct dataset *into, struct dataset *from, struct error *err);

/*
 * Decodes every file: unreadable PNGs, sizes that differ, labels above DATASET_MAX_LABEL, maps
 * without any label, images of one value, boxes outside the image. `progress` (may be NULL) is
 * called now and then from this thread, the last time with done == all. Only ERR_MEMORY is an
 * error; bad files are problems.
 */
int dataset_check(struct dataset *dataset, void (*progress)(void *context, size_t done, size_t all),
                  void *context, struct error *err);

/* Loads sample `index`; `labels` (height, width) is malloc'ed, NULL in classification. */
int dataset_load(struct image *image, uint8_t **labels, const struct dataset *dataset, size_t index,
                 struct error *err);

/*
 * Fills order with 0..count-1 shuffled: the same for the same seed and epoch on every machine,
 * unrelated for others.
 */
void dataset_shuffle(uint32_t *order, uint32_t count, uint64_t seed, uint64_t epoch);

void dataset_free(struct dataset *dataset); /* an empty one is fine */

#endif
