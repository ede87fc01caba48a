#include "server/request_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LONGEST_LINE = 1 << 28 };

void request_stream_init(struct request_stream *stream, const char *path, bool bar)
{
    *stream = (struct request_stream){.path = path};
    stream->bar_wanted = bar && (*path || !isatty(STDOUT_FILENO));
    buffer_init(&stream->line, LONGEST_LINE);
}

void request_stream_free(struct request_stream *stream)
{
    progress_end(&stream->bar);
    buffer_free(&stream->line);
    if (stream->out && stream->out != stdout)
        fclose(stream->out);
    stream->out = NULL;
}

/* The whole number behind "name": in a line; -1 where there is none. */
static long member(const char *line, const char *name)
{
    const char *at = strstr(line, name);
    return at ? strtol(at + strlen(name), NULL, 10) : -1;
}

static bool is_event(const char *line, const char *kind)
{
    static const char start[] = "{\"event\":\"";
    size_t length = strlen(kind);
    return strncmp(line, start, sizeof start - 1) == 0 &&
           strncmp(line + sizeof start - 1, kind, length) == 0 &&
           line[sizeof start - 1 + length] == '"';
}

static void read_line(struct request_stream *stream, const char *line)
{
    if (is_event(line, "done")) {
        stream->ended = true;
        stream->failed = member(line, "\"slices_failed\":") > 0;
    } else if (is_event(line, "error")) {
        stream->ended = stream->failed = true;
    }
    const char *progress = strstr(line, "\"progress\":{");
    long done = progress ? member(progress, "\"done\":") : -1;
    long total = progress ? member(progress, "\"total\":") : -1;
    if (done < 0 || total <= 0)
        return;
    if (!stream->bar_started) {
        progress_start(&stream->bar, "slices", total, stream->bar_wanted);
        stream->bar_started = true;
    }
    stream->bar.total = total; /* it grows when another volume is opened */
    progress_set(&stream->bar, done);
}

static int open_output(struct request_stream *stream)
{
    stream->out = *stream->path ? fopen(stream->path, "wbe") : stdout;
    if (!stream->out)
        return error_set(&stream->why, ERR_IO, "%.400s: %s", stream->path, strerror(errno));
    return 0;
}

int request_stream_take(struct request_stream *stream, const char *bytes, size_t length)
{
    stream->begun = true;
    if (!stream->out && open_output(stream) != 0)
        return -1;
    if (fwrite(bytes, 1, length, stream->out) != length || fflush(stream->out) != 0)
        return error_set(&stream->why, ERR_IO, "%.400s: %s",
                         *stream->path ? stream->path : "standard output", strerror(errno));
    while (length > 0) {
        const char *end = memchr(bytes, '\n', length);
        size_t piece = end ? (size_t)(end - bytes) : length;
        if (buffer_append(&stream->line, bytes, piece, &stream->why) != 0)
            return -1;
        if (!end)
            return 0;
        if (stream->line.length > 0)
            read_line(stream, (const char *)stream->line.bytes);
        buffer_clear(&stream->line);
        bytes += piece + 1;
        length -= piece + 1;
    }
    return 0;
}
