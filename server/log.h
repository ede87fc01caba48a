/*
 * The log: one line per event on one file, JSON or text. Never names of files, never what is in
 * them. Any thread may write; a line is written in one piece. Writing never waits: while a reader
 * has stalled and its pipe is full, lines are lost, and the first one that gets through again says
 * how many ("lost_before").
 */
#ifndef ONESHOT_SERVER_LOG_H
#define ONESHOT_SERVER_LOG_H

#include <pthread.h>
#include <stdint.h>

enum log_format { LOG_JSON, LOG_TEXT };
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log {
    int file; /* descriptor */
    enum log_format format;
    enum log_level level; /* less is left out */
    pthread_mutex_t lock; /* of the file and what follows */
    int64_t lost;         /* lines since the last one written */
};

void log_init(struct log *log, int file, enum log_format format, enum log_level level);

struct log_field {
    const char *name; /* NULL ends a list */
    enum { LOG_FIELD_TEXT, LOG_FIELD_INTEGER, LOG_FIELD_MS } kind;
    const char *text; /* NULL: the field is left out */
    int64_t integer;
    double number;
};

#define LOG_STR(name_, value)                                                                      \
    {                                                                                              \
        .name = (name_), .kind = LOG_FIELD_TEXT, .text = (value)                                   \
    }
#define LOG_NUM(name_, value)                                                                      \
    {                                                                                              \
        .name = (name_), .kind = LOG_FIELD_INTEGER, .integer = (value)                             \
    }
#define LOG_MSEC(name_, value)                                                                     \
    {                                                                                              \
        .name = (name_), .kind = LOG_FIELD_MS, .number = (value)                                   \
    }

void log_fields(struct log *log, enum log_level level, const char *event,
                const struct log_field *fields);

/* log_event(log, LOG_INFO, "listening", LOG_NUM("port", 80), LOG_STR("host", "::1")); */
#define log_event(log, level, event, ...)                                                          \
    log_fields(log, level, event, (const struct log_field[]){__VA_ARGS__, {.name = NULL}})

#endif
