/* The answers of the Open Inference Protocol, version 2. */
#include <string.h>
#include <strings.h>

#include "api/call.h"
#include "api/json.h"
#include "api/media.h"

enum api_next answer_v2(struct call *call)
{
    struct error err;
    char *text = NULL;
    size_t length = 0;
    int rc = json_infer_server(&text, &length, &err);
    return call_give_json(call, 200, rc, text, length, &err);
}

static enum api_next give_flag(struct call *call, const char *name, bool value, const char *model)
{
    struct error err;
    char *text = NULL;
    size_t length = 0;
    int rc = json_infer_flag(&text, &length, name, value, model, &err);
    return call_give_json(call, value ? 200 : 503, rc, text, length, &err);
}

enum api_next answer_v2_live(struct call *call)
{
    return give_flag(call, "live", call->state->alive, NULL);
}

enum api_next answer_v2_ready(struct call *call)
{
    return give_flag(call, "ready", call->state->phase == PHASE_READY, NULL);
}

/* 0 where the model that the path names is the one that is loaded. */
static int check_model(const struct call *call, struct problem *problem)
{
    const struct model_info *model = call->state->model;
    if (!model) {
        call_check_ready(problem, call->state);
        return -1;
    }
    if (strcmp(model->name, call->model) == 0)
        return 0;
    return problem_set(problem, PROBLEM_NOT_FOUND,
                       "There is no model \"%.80s\"; this service has \"%s\".", call->model,
                       model->name);
}

enum api_next answer_v2_model(struct call *call)
{
    struct problem problem;
    struct error err;
    char *text = NULL;
    size_t length = 0;
    if (check_model(call, &problem) != 0)
        return call_fail(call, &problem);
    int rc = json_infer_model(&text, &length, call->state->model, &err);
    return call_give_json(call, 200, rc, text, length, &err);
}

enum api_next answer_v2_model_ready(struct call *call)
{
    struct problem problem;
    if (check_model(call, &problem) != 0)
        return call_fail(call, &problem);
    return give_flag(call, "ready", call->state->phase == PHASE_READY, call->model);
}

static int check_infer_type(const struct request *request, struct problem *problem)
{
    enum answer answer;
    const char *type = request_header(request, "Content-Type");
    const char *encoding = request_header(request, "Content-Encoding");
    if (media_negotiate(&answer, request_header(request, "Accept"), problem) != 0)
        return -1;
    if (answer != ANSWER_JSON)
        return problem_set(problem, PROBLEM_NOT_ACCEPTABLE,
                           "Tensors are answered as application/json.");
    if (request_header(request, "Inference-Header-Content-Length"))
        return problem_set(problem, PROBLEM_UNSUPPORTED_MEDIA,
                           "Binary tensors behind the JSON are not taken; send \"data\".");
    if ((encoding && strcasecmp(encoding, "identity") != 0) ||
        (type && media_claim(type) != CLAIM_NOTHING &&
         strncasecmp(type, "application/json", 16) != 0))
        return problem_set(problem, PROBLEM_UNSUPPORTED_MEDIA,
                           "Tensors are taken as application/json, as it is.");
    return 0;
}

enum api_next answer_v2_infer(struct call *call)
{
    struct exchange *exchange = call->exchange;
    struct predict *predict = &exchange->predict;
    const struct api_limits *limits = &call->api->limits;
    const struct request *request = call->request;
    struct problem problem;
    predict->infer = true;
    predict->max_files = 1;
    options_default(&predict->options);
    strncat(predict->request_id, request->id, sizeof predict->request_id - 1);
    if (check_infer_type(request, &problem) != 0 ||
        call_check_size(limits, call->body, &problem) != 0 ||
        call_read_timeout(exchange, request, limits->timeout_ms, &problem) != 0 ||
        check_model(call, &problem) != 0 || call_check_room(call, &problem) != 0)
        return call_fail(call, &problem);
    return API_PREDICT;
}
