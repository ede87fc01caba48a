/*
 * The pictures of a report: slices on which the lesions were found best and worst, with what was
 * predicted (filled) and what was annotated (outlined).
 */
#ifndef ONESHOT_SERVER_EVAL_PICTURES_H
#define ONESHOT_SERVER_EVAL_PICTURES_H

#include "model/eval/report.h"
#include "server/eval_run.h"

enum { EVAL_PICTURES = 4, EVAL_CAPTION = 64 }; /* of either kind; characters of a caption */

struct eval_pictures {
    int best_count, worst_count;
    struct eval_picture best[EVAL_PICTURES], worst[EVAL_PICTURES]; /* png and caption owned here */
    char captions[2 * EVAL_PICTURES][EVAL_CAPTION];
};

/*
 * Chooses by Dice of the lesions among the images that have any, else by Dice of the lungs, and
 * predicts the chosen ones again on this thread. Titles are names of the run's data set. To be
 * closed in every case. Errors of the run.
 */
int eval_pictures_make(struct eval_pictures *out, const struct eval_run *run, struct error *err);
void eval_pictures_close(struct eval_pictures *pictures);

/* What the colours mean, for the report. */
extern const char eval_pictures_note[];

#endif
