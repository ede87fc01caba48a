#include "server/eval_run.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/data/components.h"
#include "server/progress.h"

/* ---- what a prediction says of pixels ---- */

int eval_kept(const struct prediction *prediction, float threshold, int most)
{
    int kept = 0;
    while (kept < prediction->detections_count && kept < most &&
           prediction->detections[kept].score > threshold)
        kept++;
    return kept;
}

static void clear_window(uint8_t *plane, int width, const struct mask_window *window)
{
    for (int y = window->y0; y < window->y1; y++)
        memset(plane + (size_t)y * (size_t)width + window->x0, 0,
               (size_t)(window->x1 - window->x0));
}

static void raise_labels(uint8_t *map, const uint8_t *plane, int width,
                         const struct mask_window *window, int label)
{
    for (int y = window->y0; y < window->y1; y++) {
        size_t row = (size_t)y * (size_t)width;
        for (int x = window->x0; x < window->x1; x++)
            if (plane[row + (size_t)x] && map[row + (size_t)x] < label)
                map[row + (size_t)x] = (uint8_t)label;
    }
}

void eval_label_map(uint8_t *map, uint8_t *plane, const struct prediction *prediction,
                    const struct eval_limits *limits)
{
    int width = prediction->width;
    int height = prediction->height;
    int kept = eval_kept(prediction, limits->score_threshold, limits->max_detections);
    memset(map, 0, (size_t)width * (size_t)height);
    for (int i = 0; i < kept; i++) {
        const struct detection *detection = &prediction->detections[i];
        struct mask_window window;
        detection_paste(detection, width, height, plane, &window);
        raise_labels(map, plane, width, &window, detection->label);
    }
}

/* ---- one image ---- */

struct worker {
    struct eval_run *run;
    struct pool *pool;
    struct session *session;
    struct prediction *prediction;
    uint8_t *plane, *map; /* (height, width) of the largest image so far */
    size_t room;
};

/* The masks of one image, packed. */
struct masks {
    int count, room;
    struct bitmask *list;
};

static int masks_init(struct masks *masks, int room, struct error *err)
{
    *masks = (struct masks){.room = room, .list = calloc((size_t)room + 1, sizeof *masks->list)};
    return masks->list ? 0 : error_set(err, ERR_MEMORY, "no memory for %d masks", room);
}

static void masks_free(struct masks *masks)
{
    for (int i = 0; i < masks->count; i++)
        bitmask_free(&masks->list[i]);
    free(masks->list);
}

static int make_room(struct worker *worker, const struct image *image, struct error *err)
{
    size_t pixels = (size_t)image->width * (size_t)image->height;
    if (pixels <= worker->room)
        return 0;
    free(worker->plane);
    free(worker->map);
    worker->plane = malloc(pixels);
    worker->map = malloc(pixels);
    worker->room = worker->plane && worker->map ? pixels : 0;
    return worker->room ? 0 : error_set(err, ERR_MEMORY, "no memory for %zu pixels", pixels);
}

static int pack_truths(struct masks *masks, struct worker *worker,
                       const struct components *components, struct error *err)
{
    for (int i = 0; i < components->count; i++) {
        components_mask(worker->plane, components, i);
        if (bitmask_pack(&masks->list[i], worker->plane, components->width, components->height,
                         err) != 0)
            return -1;
        masks->count++;
    }
    return 0;
}

static int pack_predictions(struct masks *masks, struct worker *worker, struct error *err)
{
    const struct prediction *p = worker->prediction;
    memset(worker->plane, 0, (size_t)p->width * (size_t)p->height);
    for (int i = 0; i < p->detections_count; i++) {
        struct mask_window window;
        detection_paste(&p->detections[i], p->width, p->height, worker->plane, &window);
        if (bitmask_pack(&masks->list[i], worker->plane, p->width, p->height, err) != 0)
            return -1;
        masks->count++;
        clear_window(worker->plane, p->width, &window);
    }
    return 0;
}

/* AP per image of the detections a reader would see, COCO's of all of them. */
static int match_instances(struct ap_image *out, struct worker *worker,
                           const struct components *components, struct error *err)
{
    int rc = 0;
    const struct prediction *p = worker->prediction;
    const struct eval_limits *limits = &worker->run->limits;
    struct masks truth_masks = {0};
    struct masks found_masks = {0};
    struct ap_truth *truths = calloc((size_t)components->count + 1, sizeof *truths);
    struct ap_prediction *found = calloc((size_t)p->detections_count + 1, sizeof *found);
    struct ap_image *shown = malloc(sizeof *shown);
    if (!truths || !found || !shown)
        TRY(error_set(err, ERR_MEMORY, "no memory for %d instances", components->count));
    TRY(masks_init(&truth_masks, components->count, err));
    TRY(masks_init(&found_masks, p->detections_count, err));
    TRY(pack_truths(&truth_masks, worker, components, err));
    TRY(pack_predictions(&found_masks, worker, err));
    for (int i = 0; i < components->count; i++)
        truths[i] = (struct ap_truth){components->list[i].label, &truth_masks.list[i]};
    for (int i = 0; i < p->detections_count; i++)
        found[i] = (struct ap_prediction){p->detections[i].label, p->detections[i].score,
                                          &found_masks.list[i]};

    int kept = eval_kept(p, limits->score_threshold, limits->max_detections);
    int ranked = eval_kept(p, limits->coco_threshold, limits->coco_detections);
    TRY(ap_match(shown, truths, components->count, found, kept, err));
    TRY(ap_match(out, truths, components->count, found, ranked, err));
    memcpy(out->present, shown->present, sizeof out->present);
    memcpy(out->ap, shown->ap, sizeof out->ap);
done:
    masks_free(&found_masks);
    masks_free(&truth_masks);
    free(shown);
    free(found);
    free(truths);
    return rc;
}

/* One prediction serves both thresholds: a higher one only drops detections from the end. */
static int predict(struct worker *worker, const struct image *image, struct error *err)
{
    const struct eval_limits *limits = &worker->run->limits;
    bool coco_lower = limits->coco_threshold < limits->score_threshold;
    bool coco_more = limits->coco_detections > limits->max_detections;
    struct predict_options options = {
        .score_threshold = coco_lower ? limits->coco_threshold : limits->score_threshold,
        .max_detections = coco_more ? limits->coco_detections : limits->max_detections,
    };
    return session_predict(worker->session, image, &options, worker->prediction, err);
}

static int map_image(struct worker *worker, size_t index, struct error *err)
{
    int rc = 0;
    struct eval_mapped *out = &worker->run->mapped[index];
    struct image image = {0};
    uint8_t *labels = NULL;
    struct components components = {0};
    TRY(dataset_load(&image, &labels, &worker->run->segmentation->data, index, err));
    TRY(make_room(worker, &image, err));
    TRY(components_find(&components, labels, image.width, image.height, COMPONENTS_MIN_AREA, err));
    TRY(predict(worker, &image, err));
    TRY(match_instances(&out->ap, worker, &components, err));
    eval_label_map(worker->map, worker->plane, worker->prediction, &worker->run->limits);
    TRY(segmentation_count(&out->counts, labels, worker->map,
                           (size_t)image.width * (size_t)image.height, err));
    out->done = true;
done:
    components_free(&components);
    free(labels);
    image_free(&image);
    return rc;
}

static int classify_image(struct worker *worker, size_t index, struct error *err)
{
    int rc = 0;
    struct eval_classified *out = &worker->run->classified[index];
    struct image image = {0};
    uint8_t *labels = NULL;
    TRY(dataset_load(&image, &labels, &worker->run->classification->data, index, err));
    TRY(predict(worker, &image, err));
    const struct prediction *p = worker->prediction;
    out->predicted = p->classified ? (int8_t)p->predicted : -1;
    memcpy(out->probabilities, p->probabilities, sizeof out->probabilities);
    out->done = true;
done:
    free(labels);
    image_free(&image);
    return rc;
}

/* ---- several threads ---- */

/* Tasks are the samples of both sets, one after the other. Everything here is under the lock. */
struct pool {
    pthread_mutex_t lock;
    pthread_cond_t moved;
    size_t tasks, next, done, first_bad;
    int running;
    bool failed;
    struct error failure;
};

static const struct sample *task_sample(const struct eval_run *run, size_t task)
{
    size_t mapped = run->segmentation->data.count;
    return task < mapped ? &run->segmentation->data.samples[task]
                         : &run->classification->data.samples[task - mapped];
}

/* False where there is none, or somebody failed. */
static bool pool_take(struct pool *pool, size_t *task)
{
    pthread_mutex_lock(&pool->lock);
    bool any = !pool->failed && pool->next < pool->tasks;
    *task = any ? pool->next++ : 0;
    pthread_mutex_unlock(&pool->lock);
    return any;
}

/* The first problem in the order of the images is the one that is told, whoever met it. */
static void pool_report(struct pool *pool, struct eval_run *run, size_t task, int rc,
                        const struct error *err)
{
    pthread_mutex_lock(&pool->lock);
    pool->done++;
    if (rc != 0 && (err->code == ERR_MEMORY || err->code == ERR_INTERNAL)) {
        pool->failure = pool->failed ? pool->failure : *err;
        pool->failed = true;
    } else if (rc != 0) {
        run->problems++;
        if (task < pool->first_bad) {
            pool->first_bad = task;
            snprintf(run->first_problem, sizeof run->first_problem, "%s", err->text);
        }
    }
    pthread_cond_signal(&pool->moved);
    pthread_mutex_unlock(&pool->lock);
}

static void pool_leave(struct pool *pool, int rc, const struct error *err)
{
    pthread_mutex_lock(&pool->lock);
    if (rc != 0 && !pool->failed) {
        pool->failed = true;
        pool->failure = *err;
    }
    pool->running--;
    pthread_cond_signal(&pool->moved);
    pthread_mutex_unlock(&pool->lock);
}

static int run_task(struct worker *worker, size_t task, struct error *err)
{
    const struct eval_run *run = worker->run;
    size_t mapped = run->segmentation->data.count;
    int rc =
        task < mapped ? map_image(worker, task, err) : classify_image(worker, task - mapped, err);
    const char *path = task_sample(run, task)->path;
    if (rc != 0 && !strstr(err->text, path))
        error_prefix(err, "%s", path);
    return rc;
}

static void *work(void *worker_)
{
    struct worker *worker = worker_;
    struct error err;
    size_t task;
    int rc = 0;
    worker->prediction = malloc(sizeof *worker->prediction);
    if (!worker->prediction)
        TRY(error_set(&err, ERR_MEMORY, "no memory for a prediction"));
    TRY(session_open(&worker->session, worker->run->model, &err));
    while (pool_take(worker->pool, &task)) {
        int task_rc = run_task(worker, task, &err);
        pool_report(worker->pool, worker->run, task, task_rc, &err);
    }
done:
    session_close(worker->session);
    free(worker->prediction);
    free(worker->plane);
    free(worker->map);
    pool_leave(worker->pool, rc, &err);
    return NULL;
}

static void watch(struct pool *pool, bool quiet)
{
    struct progress progress;
    progress_start(&progress, "evaluating", (int64_t)pool->tasks, !quiet);
    pthread_mutex_lock(&pool->lock);
    while (pool->running > 0) {
        pthread_cond_wait(&pool->moved, &pool->lock);
        size_t done = pool->done;
        pthread_mutex_unlock(&pool->lock);
        progress_set(&progress, (int64_t)done);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    progress_end(&progress);
}

static int run_workers(struct eval_run *run, struct pool *pool, struct error *err)
{
    size_t count = (size_t)run->workers;
    count = count > pool->tasks ? pool->tasks : count;
    struct worker *workers = calloc(count + 1, sizeof *workers);
    pthread_t *threads = calloc(count + 1, sizeof *threads);
    size_t started = 0;
    if (!workers || !threads) {
        free(workers);
        free(threads);
        return error_set(err, ERR_MEMORY, "no memory for %zu workers", count);
    }
    pool->running = (int)count;
    for (; started < count; started++) {
        workers[started] = (struct worker){.run = run, .pool = pool};
        if (pthread_create(&threads[started], NULL, work, &workers[started]) != 0)
            break;
    }
    for (size_t i = started; i < count; i++) {
        struct error none;
        error_set(&none, ERR_MEMORY, "cannot start a thread");
        pool_leave(pool, -1, &none);
    }
    watch(pool, run->quiet);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    free(workers);
    if (!pool->failed)
        return 0;
    if (err)
        *err = pool->failure;
    return -1;
}

int eval_run_all(struct eval_run *run, struct error *err)
{
    size_t mapped = run->segmentation->data.count;
    size_t classified = run->classification->data.count;
    struct pool pool = {.tasks = mapped + classified, .first_bad = SIZE_MAX};
    run->mapped = calloc(mapped + 1, sizeof *run->mapped);
    run->classified = calloc(classified + 1, sizeof *run->classified);
    if (!run->mapped || !run->classified)
        return error_set(err, ERR_MEMORY, "no memory for results of %zu images", pool.tasks);
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.moved, NULL);
    int rc = run_workers(run, &pool, err);
    pthread_cond_destroy(&pool.moved);
    pthread_mutex_destroy(&pool.lock);
    return rc;
}

void eval_run_free(struct eval_run *run)
{
    free(run->mapped);
    free(run->classified);
    run->mapped = NULL;
    run->classified = NULL;
}
