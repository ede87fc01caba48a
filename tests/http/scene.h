/* What tests of a running service share: one process, one slice, and short ways to ask. */
#ifndef ONESHOT_TESTS_SCENE_H
#define ONESHOT_TESTS_SCENE_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/http/service.h"

static struct process service;
static struct bytes slice;

static inline void setup(const char *const *words, const char *const *environment)
{
    process_start_ready(&service, words, environment);
    slice = slice_png(64, 48, 1);
}

static inline void teardown(void)
{
    free(slice.data);
    ck_assert_int_eq(process_stop(&service, SIGTERM), 0);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline void check(struct answer answer, int status, const char *has)
{
    ck_assert_msg(answer.status == status && answer_has(&answer, has),
                  "%d instead of %d %s: %.300s", answer.status, status, has,
                  answer.body ? (const char *)answer.body : "");
    answer_free(&answer);
}

static inline struct answer predict(const char *const *headers)
{
    return http(&service, "POST", "/v1/predict?masks=none", headers, slice.data, slice.length);
}

static inline struct answer get(const char *path)
{
    return http(&service, "GET", path, NULL, NULL, 0);
}

/* Sends a whole prediction on a socket of its own. */
static inline int send_predict(const char *id)
{
    char head[256];
    int fd = raw_open(&service);
    snprintf(head, sizeof head,
             "POST /v1/predict?masks=none HTTP/1.1\r\nHost: x\r\nX-Request-Id: %s\r\n"
             "Content-Length: %zu\r\n\r\n",
             id, slice.length);
    raw_text(fd, head);
    raw_send(fd, slice.data, slice.length);
    return fd;
}

/* Sends the headers and half of the body; the caller sends the rest. */
static inline int send_half(void)
{
    char head[128];
    int fd = raw_open(&service);
    snprintf(head, sizeof head,
             "POST /v1/predict?masks=none HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
             "Content-Length: %zu\r\n\r\n",
             slice.length);
    raw_text(fd, head);
    free(raw_read(fd, "100 Continue\r\n\r\n"));
    raw_send(fd, slice.data, slice.length / 2);
    return fd;
}

/* Reads one whole JSON answer and closes. */
static inline void expect_raw(int fd, const char *status)
{
    char *text = raw_read(fd, "\"}");
    ck_assert_msg(strncmp(text, "HTTP/1.1 ", 9) == 0 && strstr(text, status) == text + 9,
                  "not %s: %.300s", status, text);
    free(text);
    close(fd);
}

/* Waits until the service says of itself that so many wait and so many are computed. */
static inline void wait_for(int queued, int busy)
{
    char text[64];
    snprintf(text, sizeof text, "\"queued\":%d,\"busy\":%d,", queued, busy);
    for (int tries = 0;; tries++) {
        struct answer answer = get("/livez?verbose");
        bool there = answer_has(&answer, text);
        ck_assert_msg(tries < 2000, "not %s: %s", text, answer.body);
        answer_free(&answer);
        if (there)
            return;
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
}

#endif
