#include "server/log.h"

#include <limits.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A pipe with any room takes a line of this size. The limit is of one field, escapes included. */
enum { LINE_SIZE = PIPE_BUF, TEXT_LIMIT = 480 };

struct line {
    char text[LINE_SIZE];
    size_t length;
};

static void put(struct line *line, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct line *line, const char *format, ...)
{
    size_t room = sizeof line->text - line->length;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line->text + line->length, room, format, args);
    va_end(args);
    if (n > 0)
        line->length += (size_t)n < room ? (size_t)n : room - 1;
}

/* A string in quotes; everything but printable ASCII is escaped, so that no line can be forged. */
static void put_quoted(struct line *line, const char *text)
{
    put(line, "\"");
    size_t limit = line->length + TEXT_LIMIT;
    for (size_t i = 0; text[i] && line->length < limit; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            put(line, "\\%c", c);
        else if (c < ' ' || c > '~')
            put(line, "\\u%04x", c);
        else
            put(line, "%c", c);
    }
    put(line, "\"");
}

static int is_plain(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                            "-_./:,+*{}@%");
    return n > 0 && text[n] == 0;
}

static void put_value(struct line *line, const struct log_field *field, enum log_format format)
{
    switch (field->kind) {
    case LOG_FIELD_TEXT:
        if (format == LOG_TEXT && is_plain(field->text) && strlen(field->text) < TEXT_LIMIT)
            put(line, "%s", field->text);
        else
            put_quoted(line, field->text);
        break;
    case LOG_FIELD_INTEGER:
        put(line, "%lld", (long long)field->integer);
        break;
    case LOG_FIELD_MS:
        put(line, "%.3f", isfinite(field->number) ? field->number : 0.0);
        break;
    }
}

void log_init(struct log *log, int file, enum log_format format, enum log_level level)
{
    *log = (struct log){file, format, level, PTHREAD_MUTEX_INITIALIZER, 0};
}

static void put_field(struct line *line, const struct log_field *field, enum log_format format)
{
    if (field->kind == LOG_FIELD_TEXT && !field->text)
        return;
    put(line, format == LOG_JSON ? ",\"%s\":" : " %s=", field->name);
    put_value(line, field, format);
}

/* A log that cannot be written must not stop the service. */
static void write_line(struct log *log, struct line *line)
{
    struct pollfd set = {log->file, POLLOUT, 0};
    pthread_mutex_lock(&log->lock);
    bool room = poll(&set, 1, 0) == 1 && (set.revents & POLLOUT);
    if (room && log->lost > 0)
        put_field(line, &(struct log_field)LOG_NUM("lost_before", log->lost), log->format);
    put(line, "%s", log->format == LOG_JSON ? "}\n" : "\n");
    if (room && write(log->file, line->text, line->length) == (ssize_t)line->length)
        log->lost = 0;
    else
        log->lost++;
    pthread_mutex_unlock(&log->lock);
}

void log_fields(struct log *log, enum log_level level, const char *event,
                const struct log_field *fields)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    if (level < log->level)
        return;
    struct line line = {.length = 0};
    struct timespec now;
    struct tm tm;
    char date[32] = "";
    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &tm))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm);
    int ms = (int)(now.tv_nsec / 1000000);
    if (log->format == LOG_JSON)
        put(&line, "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"event\":\"%s\"", date, ms,
            levels[level], event);
    else
        put(&line, "%s.%03dZ %-5s %s", date, ms, levels[level], event);
    for (; fields->name; fields++)
        put_field(&line, fields, log->format);
    write_line(log, &line);
}
