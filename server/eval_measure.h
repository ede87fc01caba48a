/* From a finished run to the figures of a report, over all images and source by source. */
#ifndef ONESHOT_SERVER_EVAL_MEASURE_H
#define ONESHOT_SERVER_EVAL_MEASURE_H

#include "model/eval/report.h"
#include "server/eval_run.h"

enum { EVAL_MAX_NOTES = 16 };

struct eval_summary {
    struct eval_results results; /* sources and notes point into this summary */
    struct eval_source *sources; /* owned */
    char *notes[EVAL_MAX_NOTES]; /* owned */
};

/*
 * Fills results: figures, sources (where there are at least two), notes on what the data leave
 * open, and results.setup.group. The rest of results is the caller's to fill. ERR_BAD_DATA where no
 * image could be used; ERR_MEMORY. To be closed in every case; run and its sets must live as long.
 */
int eval_measure(struct eval_summary *out, const struct eval_run *run, enum eval_group by,
                 const struct bootstrap_options *bootstrap, struct error *err);
void eval_summary_close(struct eval_summary *summary);

/* Adds a note; more than EVAL_MAX_NOTES are dropped. ERR_MEMORY. */
int eval_note(struct eval_summary *summary, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
