/*
 * The Open Inference Protocol's way to ask for a prediction (KServe, version 2, JSON): one tensor
 * in, a list of tensors out. Reading and answering; what is in between is the model.
 */
#ifndef ONESHOT_API_INFER_H
#define ONESHOT_API_INFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/predict.h"

enum {
    INFER_RANK = 4,             /* dimensions of a tensor, at most */
    INFER_MAX_HEAD = 64 * 1024, /* bytes of a request without its data */
};

enum infer_type { INFER_BYTES, INFER_UINT8, INFER_FP32 };

enum infer_output {
    INFER_LOGITS,
    INFER_PROBABILITIES,
    INFER_BOXES,
    INFER_LABELS,
    INFER_SCORES,
    INFER_MASKS,
    INFER_OUTPUTS
};

struct infer_request {
    char id[REQUEST_ID_SIZE]; /* the client's name for it; "" */
    enum infer_type type;
    int64_t shape[INFER_RANK];
    int rank;
    struct slice_options options;
    bool wanted[INFER_OUTPUTS];
    const char *data; /* the array as text, brackets and all; borrowed from the body */
    size_t data_length;
};

/* "logits" … of an output. */
const char *infer_output_name(enum infer_output output);

/*
 * Reads a body, behind which a zero byte must follow. Its data stays text: a tensor is never turned
 * into a tree of numbers. PROBLEM_BAD_REQUEST, PROBLEM_BAD_OPTION.
 */
int infer_read(struct infer_request *request, const char *body, size_t length,
               struct problem *problem);

/*
 * The image that a request's data is; to be freed with image_free. At most `max_pixels`. The
 * problems of a slice, PROBLEM_BAD_REQUEST.
 */
int infer_image(struct image *image, const struct infer_request *request, size_t max_pixels,
                struct problem *problem);

/* Does a request, from its body to its response; predict->infer is set. Always true: one step. */
bool infer_step(struct predict *predict, struct slice_worker *worker, struct response *response);

#endif
