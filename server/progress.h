/*
 * A progress bar on stderr for what takes long; silent unless stderr is a terminal. One thread.
 */
#ifndef ONESHOT_SERVER_PROGRESS_H
#define ONESHOT_SERVER_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    bool shown;
    const char *what;
    int64_t total;
    double started_ms, drawn_ms;
};

/* `worthwhile`: false keeps it silent whatever stderr is. */
void progress_start(struct progress *progress, const char *what, int64_t total, bool worthwhile);
void progress_set(struct progress *progress, int64_t done);
void progress_end(struct progress *progress); /* clears the line */

#endif
