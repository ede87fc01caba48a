#include "server/worker.h"

#include <string.h>

#include "api/selftest.h"
#include "api/slice.h"

static void work(struct worker *worker, struct slice_worker *slices)
{
    struct job *job;
    while ((job = queue_take(worker->queue)) != NULL) {
        double start = clock_ms();
        atomic_store(&worker->busy_since_ms, (long long)start);
        job->predict.queue_ms += start - job->waiting_since_ms;
        job->predict.body = job->body.bytes;
        job->predict.length = job->body.length;
        bool finished = predict_step(&job->predict, slices, &job->response);
        atomic_store(&worker->busy_since_ms, 0);
        queue_measure(worker->queue, clock_ms() - start);
        if (!finished) {
            if (!queue_return(worker->queue, job))
                job_free(job);
        } else if (queue_finish(worker->queue, job)) {
            job->done(job->context);
        } else {
            job_free(job);
        }
    }
}

static void *run(void *argument)
{
    struct worker *worker = argument;
    struct slice_worker slices = {0};
    struct error err;
    if (slice_worker_open(&slices, worker->model, worker->max_pixels, &err) != 0 ||
        selftest_run(&slices, &err) != 0) {
        worker->opened(worker->context, &err);
    } else {
        worker->opened(worker->context, NULL);
        work(worker, &slices);
    }
    slice_worker_close(&slices);
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
