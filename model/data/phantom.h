/*
 * Chest CT that nobody's chest was needed for: procedural slices and volumes with exact labels.
 *
 * A seed draws a patient in three dimensions (body, ribs, spine, mediastinum, diaphragm, vessel and
 * airway trees, lesions); slices are cut out of it, so a volume's slices belong together. Equal
 * arguments give equal bytes on every machine. The kinds follow the image classes: control;
 * pneumonia (one lung, dense and lobar, air bronchograms); COVID-like (both lungs, hazy patches
 * near the pleura). For tests, benchmarks and demonstrations: a model trained on phantoms has
 * learnt phantoms. Any thread may call; OpenMP runs inside.
 */
#ifndef ONESHOT_DATA_PHANTOM_H
#define ONESHOT_DATA_PHANTOM_H

#include <stdint.h>

#include "model/base/error.h"
#include "model/data/image.h"

enum phantom_kind { PHANTOM_CONTROL, PHANTOM_PNEUMONIA, PHANTOM_COVID, PHANTOM_KINDS };

enum {
    PHANTOM_WINDOW = 1500, /* the lung window, HU */
    PHANTOM_LEVEL = -600,
    PHANTOM_MIN_SIDE = 32, /* pixels */
    PHANTOM_MAX_SIDE = 4096,
    PHANTOM_MAX_SLICES = 1024,
};

struct phantom {
    enum phantom_kind kind;
    int width, height, slices;
    float spacing_mm[3]; /* between columns, rows, slices */
    int16_t *hu;         /* (slices, height, width), Hounsfield units; owned */
    uint8_t *labels; /* (slices, height, width): 0 background, 1 lungs, 2 GGO, 3 consolidation */
};

/*
 * One slice: rows run from front to back, columns from the patient's right to left, as CT is looked
 * at. A sick patient's slice shows lesions. Errors: ERR_ARGUMENT (a side outside
 * PHANTOM_MIN_SIDE..PHANTOM_MAX_SIDE, an unknown kind), ERR_MEMORY; *out is empty then.
 */
int phantom_slice(struct phantom *out, enum phantom_kind kind, uint64_t seed, int width, int height,
                  struct error *err);

/*
 * `slices` evenly spaced slices of one patient from the lungs' apex (slice 0) to their base. Errors
 * as above; slices is 1..PHANTOM_MAX_SLICES.
 */
int phantom_volume(struct phantom *out, enum phantom_kind kind, uint64_t seed, int width,
                   int height, int slices, struct error *err);

void phantom_free(struct phantom *phantom); /* an empty one is fine */

/* "control", "pneumonia", "covid"; NULL outside. */
const char *phantom_kind_name(int kind);

/* HU to 8 bits: level - window / 2 and below is 0, level + window / 2 and above is 255. */
void phantom_window(uint8_t *out, const int16_t *hu, int64_t count, float window, float level);

/* One slice through the lung window, in 8-bit steps, as a PNG of it would read. ERR_MEMORY. */
int phantom_image(struct image *out, const struct phantom *phantom, int slice, struct error *err);

#endif
