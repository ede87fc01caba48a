#include "server/worker.h"

#include <string.h>

#include "api/selftest.h"
#include "api/slice.h"
#include "server/stream.h"

int worker_init(struct worker *worker)
{
    return pthread_mutex_init(&worker->lock, NULL) == 0 ? 0 : -1;
}

void worker_free(struct worker *worker)
{
    pthread_mutex_destroy(&worker->lock);
}

/* ---- what others see ---- */

static void begin(struct worker *worker, const struct job *job, double now)
{
    pthread_mutex_lock(&worker->lock);
    worker->activity.route = job->route;
    predict_position(&job->predict, &worker->activity.slice, &worker->activity.slices);
    worker->activity_since_ms = now;
    pthread_mutex_unlock(&worker->lock);
    atomic_store(&worker->busy_since_ms, (long long)now);
}

static void end(struct worker *worker)
{
    atomic_store(&worker->busy_since_ms, 0);
    pthread_mutex_lock(&worker->lock);
    worker->activity.route = NULL;
    pthread_mutex_unlock(&worker->lock);
}

void worker_activity(struct worker *worker, struct api_activity *out)
{
    pthread_mutex_lock(&worker->lock);
    *out = worker->activity;
    out->for_ms = clock_ms() - worker->activity_since_ms;
    pthread_mutex_unlock(&worker->lock);
}

static void count_slice(void *context, const struct slice *slice, const struct problem *problem)
{
    struct worker *worker = context;
    struct metrics *metrics = worker->metrics;
    metrics_count(metrics, METRIC_SLICES, slice->kind, problem ? problem_code(problem->kind) : "ok",
                  NULL);
    if (problem)
        return;
    const struct prediction *p = slice->prediction;
    metrics_count(metrics, METRIC_PREDICTIONS,
                  p->classified ? model_image_class_name(p->predicted) : "none", NULL, NULL);
    for (int i = 0; i < slice->warnings_count; i++)
        metrics_count(metrics, METRIC_WARNINGS, slice->warnings[i].code, NULL, NULL);
    metrics_observe(metrics, METRIC_STAGE, slice->timing.decode / 1e3, "decode");
    metrics_observe(metrics, METRIC_STAGE, slice->timing.infer / 1e3, "infer");
    metrics_observe(metrics, METRIC_STAGE, slice->timing.encode / 1e3, "encode");
}

/* ---- the work ---- */

/* Gives a step's events to the connection. */
static void pass_on(struct job *job, bool finished)
{
    struct predict *predict = &job->predict;
    stream_put(job->stream, predict->events.bytes, predict->events.length);
    buffer_clear(&predict->events);
    stream_note(job->stream, predict->slices_done, predict->queue_ms);
    if (finished)
        stream_end(job->stream, predict->code ? predict->code : "");
}

static void compute(struct worker *worker, struct slice_worker *slices, struct job *job)
{
    double start = clock_ms(), waited = start - job->waiting_since_ms;
    int slice, count;
    metrics_observe(worker->metrics, METRIC_QUEUE_WAIT, waited / 1e3, NULL);
    begin(worker, job, start);
    job->predict.queue_ms += waited;
    job->predict.body = job->body.bytes;
    job->predict.length = job->body.length;
    bool finished = predict_step(&job->predict, slices, &job->response);
    end(worker);
    queue_measure(worker->queue, clock_ms() - start);
    atomic_store(&job->progress_ms, (long long)clock_ms());
    if (job->stream)
        pass_on(job, finished);
    if (!finished) {
        predict_position(&job->predict, &slice, &count);
        job->slices_left = count - slice + 1;
        if (job->stream && stream_park(job->stream, job))
            return;
        if (!queue_return(worker->queue, job))
            job_free(job);
    } else if (job->stream) {
        if (!queue_finish(worker->queue, job))
            job_free(job);
    } else if (queue_finish(worker->queue, job)) {
        job->done(job->context);
    } else {
        job_free(job);
    }
}

/* Opens a session on the newest model; *generation is to be released with it. */
static int open_session(struct worker *worker, struct slice_worker *slices,
                        struct generation **generation, struct error *err)
{
    *generation = models_use(worker->models);
    if (!*generation)
        return error_set(err, ERR_INTERNAL, "there is no model");
    if (slice_worker_open(slices, (*generation)->model, worker->max_pixels, err) != 0)
        return -1;
    slices->observer = (struct slice_observer){count_slice, worker};
    return 0;
}

/* Exchanges the session for one on the newest model; where that fails, all stays as it is. */
static void move(struct worker *worker, struct slice_worker *slices)
{
    struct slice_worker fresh = {0};
    struct generation *generation;
    struct error err;
    if (!models_outdated(worker->models, worker->generation))
        return;
    int rc = open_session(worker, &fresh, &generation, &err);
    if (rc == 0) {
        struct slice_worker old = *slices;
        struct generation *left = worker->generation;
        *slices = fresh;
        worker->generation = generation;
        fresh = old;
        generation = left;
    }
    slice_worker_close(&fresh);
    models_release(worker->models, generation);
    worker->moved(worker->context, rc == 0 ? NULL : &err);
}

static void work(struct worker *worker, struct slice_worker *slices)
{
    enum queue_event event;
    struct job *job;
    unsigned calls = 0;
    while ((event = queue_wait(worker->queue, &job, &calls)) != QUEUE_ENDED)
        if (event == QUEUE_CALLED)
            move(worker, slices);
        else
            compute(worker, slices, job);
}

/* The self-test is the first measure of how fast this machine is. */
static int prove(struct worker *worker, struct slice_worker *slices, struct error *err)
{
    double start = clock_ms();
    if (selftest_run(slices, err) != 0)
        return -1;
    queue_measure(worker->queue, (clock_ms() - start) / 2);
    return 0;
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    struct slice_worker slices = {0};
    struct error err;
    if (open_session(worker, &slices, &worker->generation, &err) != 0 ||
        prove(worker, &slices, &err) != 0) {
        worker->opened(worker->context, &err);
    } else {
        worker->opened(worker->context, NULL);
        work(worker, &slices);
    }
    slice_worker_close(&slices);
    models_release(worker->models, worker->generation);
    return NULL;
}

int worker_start(struct worker *worker, struct error *err)
{
    int code = pthread_create(&worker->thread, NULL, run, worker);
    if (code != 0)
        return error_set(err, ERR_INTERNAL, "a worker thread cannot be started: %s",
                         strerror(code));
    worker->started = true;
    return 0;
}

void worker_join(struct worker *worker)
{
    if (worker->started)
        pthread_join(worker->thread, NULL);
    worker->started = false;
}
