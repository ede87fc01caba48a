#include "server/queue.h"

#include <math.h>
#include <stdlib.h>

#include "server/stream.h"

int queue_init(struct queue *queue, int capacity)
{
    *queue = (struct queue){.capacity = capacity};
    if (pthread_mutex_init(&queue->lock, NULL) != 0)
        return -1;
    if (pthread_cond_init(&queue->filled, NULL) != 0) {
        pthread_mutex_destroy(&queue->lock);
        return -1;
    }
    return 0;
}

void queue_free(struct queue *queue)
{
    pthread_cond_destroy(&queue->filled);
    pthread_mutex_destroy(&queue->lock);
}

static void append(struct queue *queue, struct job *job)
{
    job->state = JOB_WAITING;
    job->waiting_since_ms = clock_ms();
    job->next = NULL;
    job->previous = queue->last;
    if (queue->last)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
    queue->waiting++;
    if (job->slices_left < 1)
        job->slices_left = 1;
    queue->slices += job->slices_left;
    pthread_cond_signal(&queue->filled);
}

static void unlink_job(struct queue *queue, struct job *job)
{
    if (job->previous)
        job->previous->next = job->next;
    else
        queue->first = job->next;
    if (job->next)
        job->next->previous = job->previous;
    else
        queue->last = job->previous;
    job->next = job->previous = NULL;
    queue->waiting--;
    queue->slices -= job->slices_left;
}

bool queue_push(struct queue *queue, struct job *job)
{
    pthread_mutex_lock(&queue->lock);
    bool room = !queue->closed && queue->waiting < queue->capacity;
    if (room) {
        append(queue, job);
        atomic_store(&job->progress_ms, (long long)job->waiting_since_ms);
        job->pushed_ms = job->waiting_since_ms;
    }
    pthread_mutex_unlock(&queue->lock);
    return room;
}

enum queue_event queue_wait(struct queue *queue, struct job **job, unsigned *calls)
{
    enum queue_event event = QUEUE_ENDED;
    pthread_mutex_lock(&queue->lock);
    while (!queue->first && !queue->closed && queue->calls == *calls)
        pthread_cond_wait(&queue->filled, &queue->lock);
    *job = NULL;
    if (queue->calls != *calls) {
        *calls = queue->calls;
        event = QUEUE_CALLED;
    } else if (queue->first) {
        *job = queue->first;
        unlink_job(queue, *job);
        (*job)->state = JOB_RUNNING;
        queue->running++;
        event = QUEUE_JOB;
    }
    pthread_mutex_unlock(&queue->lock);
    return event;
}

void queue_call(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->calls++;
    pthread_cond_broadcast(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

struct job *queue_take(struct queue *queue)
{
    struct job *job;
    unsigned calls = 0;
    while (queue_wait(queue, &job, &calls) == QUEUE_CALLED)
        continue;
    return job;
}

bool queue_return(struct queue *queue, struct job *job)
{
    pthread_mutex_lock(&queue->lock);
    bool wanted = job->state == JOB_RUNNING;
    queue->running--;
    if (wanted)
        append(queue, job);
    pthread_mutex_unlock(&queue->lock);
    return wanted;
}

bool queue_park(struct queue *queue, struct job *job)
{
    pthread_mutex_lock(&queue->lock);
    bool wanted = job->state == JOB_RUNNING;
    if (wanted) {
        queue->running--;
        job->state = JOB_PARKED;
    }
    pthread_mutex_unlock(&queue->lock);
    return wanted;
}

void queue_unpark(struct queue *queue, struct job *job)
{
    pthread_mutex_lock(&queue->lock);
    if (job->state == JOB_PARKED)
        append(queue, job);
    pthread_mutex_unlock(&queue->lock);
}

bool queue_finish(struct queue *queue, struct job *job)
{
    pthread_mutex_lock(&queue->lock);
    bool wanted = job->state == JOB_RUNNING;
    queue->running--;
    if (wanted)
        job->state = JOB_FINISHED;
    pthread_mutex_unlock(&queue->lock);
    return wanted;
}

enum job_state queue_abandon(struct queue *queue, struct job *job)
{
    pthread_mutex_lock(&queue->lock);
    enum job_state was = job->state;
    if (was == JOB_WAITING)
        unlink_job(queue, job);
    if (was == JOB_WAITING || was == JOB_RUNNING || was == JOB_PARKED)
        job->state = JOB_ABANDONED;
    atomic_store(&job->abandoned, job->state == JOB_ABANDONED);
    pthread_mutex_unlock(&queue->lock);
    return was;
}

void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

void queue_measure(struct queue *queue, double ms)
{
    pthread_mutex_lock(&queue->lock);
    queue->slice_ms = queue->slice_ms > 0 ? 0.8 * queue->slice_ms + 0.2 * ms : ms;
    pthread_mutex_unlock(&queue->lock);
}

struct queue_counts queue_count(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    struct queue_counts counts = {queue->waiting, queue->running, queue->slices, queue->slice_ms};
    pthread_mutex_unlock(&queue->lock);
    return counts;
}

int queue_retry_after(const struct queue_counts *counts, int workers)
{
    double slices = (double)counts->slices + 1;
    double seconds = ceil(slices * counts->slice_ms / 1e3 / (workers ? workers : 1));
    return seconds < 1 ? 1 : seconds > 60 ? 60 : (int)seconds;
}

void job_free(struct job *job)
{
    if (!job)
        return;
    predict_free(&job->predict);
    buffer_free(&job->body);
    response_free(&job->response);
    stream_release(job->stream);
    free(job);
}
