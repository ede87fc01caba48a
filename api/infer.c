#include "api/infer.h"

#include <stdlib.h>
#include <string.h>

#include "api/json.h"

/* Predicts the image and writes the answer. Takes two planes of the slice's size for its masks. */
static int answer(struct response *response, const struct infer_request *request,
                  const struct predict *predict, struct slice *slice, struct slice_worker *worker,
                  struct problem *problem)
{
    const struct slice_options *options = &request->options;
    struct predict_options wanted = {options->score_threshold, options->max_detections};
    size_t pixels = (size_t)slice->image.width * (size_t)slice->image.height, length = 0;
    struct error err;
    char *text = NULL;
    double start = clock_ms();
    if (session_predict(worker->session, &slice->image, &wanted, worker->prediction, &err) != 0)
        return problem_from_error(problem, &err);
    slice->timing.infer = clock_ms() - start;
    uint8_t *planes = malloc(2 * pixels);
    int rc = planes ? json_infer_answer(&text, &length, request, worker->prediction, worker->model,
                                        predict->request_id, planes, &err)
                    : error_set(&err, ERR_MEMORY, "no memory for masks");
    free(planes);
    if (rc != 0)
        return problem_from_error(problem, &err);
    slice->timing.encode = clock_ms() - start - slice->timing.infer;
    response_give(response, 200, "application/json", (uint8_t *)text, length);
    response_header(response, "Cache-Control", "no-store");
    slice_timing_header(response, predict->queue_ms, &slice->timing);
    return 0;
}

bool infer_step(struct predict *predict, struct slice_worker *worker, struct response *response)
{
    struct infer_request request;
    struct problem problem;
    struct slice slice = {.kind = "tensor", .model = worker->model};
    double start = clock_ms();
    predict->files = 1;
    slice.prediction = worker->prediction;
    int rc = infer_read(&request, (const char *)predict->body, predict->length, &problem);
    if (rc == 0 && request.type == INFER_BYTES)
        slice.kind = "png";
    if (rc == 0)
        rc = infer_image(&slice.image, &request, worker->max_pixels, &problem);
    slice.timing.decode = clock_ms() - start;
    if (rc == 0)
        rc = answer(response, &request, predict, &slice, worker, &problem);
    if (rc == 0)
        predict->slices_done++;
    else
        problem_answer_infer(response, &problem, predict->request_id);
    slice_report(worker, &slice, rc == 0 ? NULL : &problem);
    slice_free(&slice);
    return true;
}
