/*
 * The events of a streamed answer on their way through the client: passed on as they come, and read
 * along for the progress bar and for how it ends. One thread.
 */
#ifndef ONESHOT_SERVER_REQUEST_STREAM_H
#define ONESHOT_SERVER_REQUEST_STREAM_H

#include <stdio.h>

#include "model/base/buffer.h"
#include "server/progress.h"

struct request_stream {
    const char *path; /* borrowed; "": standard output */
    FILE *out;        /* opened with the first bytes */
    struct buffer line;
    struct progress bar;
    bool bar_wanted, bar_started;
    bool begun;  /* something came */
    bool ended;  /* the last event was there */
    bool failed; /* and says that not all went well */
    struct error why;
};

/* `bar`: show progress, where standard output does not go to the same terminal. */
void request_stream_init(struct request_stream *stream, const char *path, bool bar);
void request_stream_free(struct request_stream *stream);

/* Takes what came. -1 where it cannot be written: then stream->why tells the reason. */
int request_stream_take(struct request_stream *stream, const char *bytes, size_t length);

#endif
