/* server/queue: order, bound, fairness, and the race between finishing and giving up. */
#include <string.h>
#include <unistd.h>

#include "server/queue.h"
#include "tests/unit/run.h"

static struct job *new_job(void)
{
    struct job *job = calloc(1, sizeof *job);
    ck_assert_ptr_nonnull(job);
    response_init(&job->response);
    buffer_init(&job->body, 16);
    return job;
}

START_TEST(first_come_first_served)
{
    struct queue queue;
    struct job *jobs[3];
    ck_assert_int_eq(queue_init(&queue, 3), 0);
    for (int i = 0; i < 3; i++)
        ck_assert(queue_push(&queue, jobs[i] = new_job()));
    ck_assert_int_eq(queue_count(&queue).waiting, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_ptr_eq(queue_take(&queue), jobs[i]);
    ck_assert_int_eq(queue_count(&queue).running, 3);
    for (int i = 0; i < 3; i++) {
        ck_assert(queue_finish(&queue, jobs[i]));
        job_free(jobs[i]);
    }
    ck_assert_int_eq(queue_count(&queue).running, 0);
    queue_free(&queue);
}
END_TEST

START_TEST(bounded)
{
    struct queue queue;
    struct job *a = new_job(), *b = new_job(), *c = new_job();
    ck_assert_int_eq(queue_init(&queue, 2), 0);
    ck_assert(queue_push(&queue, a) && queue_push(&queue, b));
    ck_assert(!queue_push(&queue, c));
    ck_assert_ptr_eq(queue_take(&queue), a);
    ck_assert(queue_push(&queue, c));
    /* Between two slices a job keeps its right to be there, even when the queue is full. */
    ck_assert(queue_return(&queue, a));
    ck_assert_int_eq(queue_count(&queue).waiting, 3);
    struct job *all[3] = {b, c, a};
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_eq(queue_take(&queue), all[i]);
        ck_assert(queue_finish(&queue, all[i]));
        job_free(all[i]);
    }
    queue_free(&queue);
}
END_TEST

START_TEST(giving_up)
{
    struct queue queue;
    struct job *a = new_job(), *b = new_job(), *c = new_job();
    ck_assert_int_eq(queue_init(&queue, 9), 0);
    ck_assert(queue_push(&queue, a) && queue_push(&queue, b) && queue_push(&queue, c));
    ck_assert_int_eq(queue_abandon(&queue, b), JOB_WAITING); /* from the middle */
    ck_assert_ptr_eq(queue_take(&queue), a);
    ck_assert_ptr_eq(queue_take(&queue), c);
    ck_assert(!atomic_load(&a->abandoned));
    ck_assert_int_eq(queue_abandon(&queue, a), JOB_RUNNING);
    ck_assert(atomic_load(&a->abandoned));
    ck_assert(!queue_finish(&queue, a));
    ck_assert_int_eq(queue_abandon(&queue, c), JOB_RUNNING);
    ck_assert(!queue_return(&queue, c));
    ck_assert_int_eq(queue_count(&queue).waiting, 0);
    struct job *d = new_job();
    ck_assert(queue_push(&queue, d));
    ck_assert_ptr_eq(queue_take(&queue), d);
    ck_assert(queue_finish(&queue, d));
    ck_assert_int_eq(queue_abandon(&queue, d), JOB_FINISHED);
    job_free(a);
    job_free(b);
    job_free(c);
    job_free(d);
    queue_free(&queue);
}
END_TEST

START_TEST(closing)
{
    struct queue queue;
    struct job *a = new_job(), *b = new_job();
    ck_assert_int_eq(queue_init(&queue, 2), 0);
    ck_assert(queue_push(&queue, a));
    queue_close(&queue);
    ck_assert(!queue_push(&queue, b));
    ck_assert_ptr_eq(queue_take(&queue), a);
    ck_assert_ptr_null(queue_take(&queue));
    ck_assert(queue_finish(&queue, a));
    job_free(a);
    job_free(b);
    queue_free(&queue);
}
END_TEST

START_TEST(calls_come_once_each_and_before_jobs)
{
    struct queue queue;
    struct job *a = new_job(), *job;
    unsigned calls = 0;
    ck_assert_int_eq(queue_init(&queue, 3), 0);
    ck_assert(queue_push(&queue, a));
    queue_call(&queue);
    ck_assert_int_eq(queue_wait(&queue, &job, &calls), QUEUE_CALLED);
    ck_assert_int_eq(queue_wait(&queue, &job, &calls), QUEUE_JOB);
    ck_assert_ptr_eq(job, a);
    queue_call(&queue);
    queue_call(&queue);
    queue_close(&queue);
    ck_assert_int_eq(queue_wait(&queue, &job, &calls), QUEUE_CALLED);
    ck_assert_int_eq(queue_wait(&queue, &job, &calls), QUEUE_ENDED);
    ck_assert_ptr_null(job);
    ck_assert(queue_finish(&queue, a));
    job_free(a);
    queue_free(&queue);
}
END_TEST

START_TEST(slices_that_wait_are_counted)
{
    struct queue queue;
    struct job *a = new_job(), *b = new_job();
    ck_assert_int_eq(queue_init(&queue, 3), 0);
    ck_assert(queue_push(&queue, a));
    ck_assert(queue_push(&queue, b));
    ck_assert_int_eq(queue_count(&queue).slices, 2);
    ck_assert_ptr_eq(queue_take(&queue), a);
    a->slices_left = 40; /* it turned out to be a volume */
    ck_assert(queue_return(&queue, a));
    ck_assert_int_eq(queue_count(&queue).slices, 41);
    ck_assert_int_eq(queue_abandon(&queue, b), JOB_WAITING);
    ck_assert_int_eq(queue_count(&queue).slices, 40);
    ck_assert_int_eq(queue_abandon(&queue, a), JOB_WAITING);
    ck_assert_int_eq(queue_count(&queue).slices, 0);
    job_free(a);
    job_free(b);
    queue_free(&queue);
}
END_TEST

START_TEST(retry_after)
{
    ck_assert_int_eq(queue_retry_after(&(struct queue_counts){0, 0, 0, 0}, 1), 1);
    ck_assert_int_eq(queue_retry_after(&(struct queue_counts){9, 1, 9, 500}, 1), 5);
    ck_assert_int_eq(queue_retry_after(&(struct queue_counts){9, 2, 9, 500}, 2), 3);
    /* Three volumes are more than three slices. */
    ck_assert_int_eq(queue_retry_after(&(struct queue_counts){3, 1, 119, 100}, 1), 12);
    ck_assert_int_eq(queue_retry_after(&(struct queue_counts){1000, 1, 1000, 900}, 1), 60);
}
END_TEST

/* Workers finish and return jobs while another thread gives up on every second one. */
enum { JOBS = 2000, WORKERS = 3 };

struct arena {
    struct queue queue;
    pthread_mutex_t lock;
    int finished, freed;
};

static void *work(void *context)
{
    struct arena *arena = context;
    struct job *job;
    while ((job = queue_take(&arena->queue)) != NULL) {
        bool again = job->predict.next++ == 0;
        bool wanted = again ? queue_return(&arena->queue, job) : queue_finish(&arena->queue, job);
        if (again && wanted)
            continue;
        pthread_mutex_lock(&arena->lock);
        *(wanted ? &arena->finished : &arena->freed) += 1;
        pthread_mutex_unlock(&arena->lock);
        /* A finished job stays with its owner, here the main thread. */
        if (!wanted)
            job_free(job);
    }
    return NULL;
}

START_TEST(every_job_ends_in_one_way)
{
    struct arena arena = {.finished = 0};
    static struct job *jobs[JOBS];
    pthread_t threads[WORKERS];
    int waiting = 0, running = 0, late = 0;
    ck_assert_int_eq(queue_init(&arena.queue, JOBS), 0);
    pthread_mutex_init(&arena.lock, NULL);
    for (int i = 0; i < WORKERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &arena), 0);
    for (int i = 0; i < JOBS; i++) {
        ck_assert(queue_push(&arena.queue, jobs[i] = new_job()));
        if (i % 2 == 0)
            continue;
        enum job_state was = queue_abandon(&arena.queue, jobs[i]);
        waiting += was == JOB_WAITING;
        running += was == JOB_RUNNING;
        late += was == JOB_FINISHED;
        if (was == JOB_WAITING)
            job_free(jobs[i]);
        if (was == JOB_WAITING || was == JOB_RUNNING)
            jobs[i] = NULL;
    }
    queue_close(&arena.queue);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(waiting + running + late, JOBS / 2);
    ck_assert_int_eq(arena.freed, running);
    ck_assert_int_eq(arena.finished, JOBS / 2 + late);
    struct queue_counts counts = queue_count(&arena.queue);
    ck_assert_int_eq(counts.waiting, 0);
    ck_assert_int_eq(counts.running, 0);
    for (int i = 0; i < JOBS; i++)
        job_free(jobs[i]);
    pthread_mutex_destroy(&arena.lock);
    queue_free(&arena.queue);
}
END_TEST

int main(void)
{
    RUN("queue", first_come_first_served, bounded, giving_up, closing,
        calls_come_once_each_and_before_jobs, slices_that_wait_are_counted, retry_after,
        every_job_ends_in_one_way);
}
