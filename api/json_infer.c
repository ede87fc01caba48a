/* The documents of the Open Inference Protocol, and the head of its requests. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/infer.h"
#include "api/json.h"
#include "api/json_parts.h"
#include "api/rle.h"

static const struct {
    const char *name, *type;
    int columns; /* 0: none; a row per detection, or, with rows fixed, one */
    bool per_detection;
    const char *shape; /* in the metadata */
} outputs[INFER_OUTPUTS] = {
    [INFER_LOGITS] = {"logits", "FP32", MODEL_IMAGE_CLASSES, false, "[1,3]"},
    [INFER_PROBABILITIES] = {"probabilities", "FP32", MODEL_IMAGE_CLASSES, false, "[1,3]"},
    [INFER_BOXES] = {"boxes", "FP32", 4, true, "[-1,4]"},
    [INFER_LABELS] = {"labels", "INT64", 0, true, "[-1]"},
    [INFER_SCORES] = {"scores", "FP32", 0, true, "[-1]"},
    [INFER_MASKS] = {"masks", "BYTES", 0, true, "[-1]"},
};

const char *infer_output_name(enum infer_output output)
{
    return (unsigned)output < INFER_OUTPUTS ? outputs[output].name : "";
}

/* ---- about server and model ---- */

int json_infer_server(char **text, size_t *length, struct error *err)
{
    json_t *root =
        json_pack("{s:s,s:s,s:[]}", "name", "oneshot", "version", ONESHOT_VERSION, "extensions");
    return json_write(text, length, root, JSON_PLAIN, err);
}

int json_infer_flag(char **text, size_t *length, const char *name, bool value, const char *model,
                    struct error *err)
{
    json_t *root = json_pack("{s:b}", name, value);
    if (root && model && json_object_set_new(root, "name", outside_text(model)) != 0) {
        json_decref(root);
        root = NULL;
    }
    return json_write(text, length, root, JSON_PLAIN, err);
}

static json_t *tensor_about(const char *name, const char *type, const char *shape)
{
    return json_pack("{s:s,s:s,s:o}", "name", name, "datatype", type, "shape",
                     json_loads(shape, 0, NULL));
}

int json_infer_model(char **text, size_t *length, const struct model_info *model, struct error *err)
{
    json_t *all = json_array();
    for (int i = 0; i < INFER_OUTPUTS; i++)
        if (json_array_append_new(
                all, tensor_about(outputs[i].name, outputs[i].type, outputs[i].shape)) != 0) {
            json_decref(all);
            all = NULL;
            break;
        }
    json_t *root = json_pack("{s:o,s:[o],s:s,s:[o],s:o}", "name", outside_text(model->name),
                             "versions", outside_text(model->version), "platform", "oneshot_onednn",
                             "inputs", tensor_about("image", "BYTES", "[1]"), "outputs", all);
    return json_write(text, length, root, JSON_PLAIN, err);
}

/* ---- a request ---- */

#define SEE "GET /v2/models/NAME describes the tensors."

static int bad(struct problem *problem, const char *what)
{
    return problem_set(problem, PROBLEM_BAD_REQUEST, "%s. " SEE, what);
}

static int read_input(struct infer_request *request, json_t *input, struct problem *problem)
{
    static const char *const types[] = {
        [INFER_BYTES] = "BYTES", [INFER_UINT8] = "UINT8", [INFER_FP32] = "FP32"};
    const char *type = json_string_value(json_object_get(input, "datatype"));
    const char *name = json_string_value(json_object_get(input, "name"));
    json_t *shape = json_object_get(input, "shape"), *one;
    size_t i;
    if (!name || strcmp(name, "image") != 0)
        return bad(problem, "The input is called \"image\"");
    for (i = 0; i < sizeof types / sizeof *types; i++)
        if (type && strcmp(type, types[i]) == 0)
            break;
    if (i == sizeof types / sizeof *types)
        return bad(problem, "The datatype of \"image\" is BYTES, UINT8 or FP32");
    request->type = (enum infer_type)i;
    if (!json_is_array(shape) || json_array_size(shape) < 1 || json_array_size(shape) > INFER_RANK)
        return bad(problem, "The shape of \"image\" is an array of 1 to 4 whole numbers");
    json_array_foreach(shape, i, one)
    {
        if (!json_is_integer(one))
            return bad(problem, "The shape of \"image\" is an array of 1 to 4 whole numbers");
        request->shape[request->rank++] = json_integer_value(one);
    }
    return 0;
}

static int read_outputs(struct infer_request *request, json_t *wanted, struct problem *problem)
{
    json_t *one;
    size_t i;
    for (int k = 0; k < INFER_OUTPUTS; k++)
        request->wanted[k] = !wanted;
    if (wanted && !json_is_array(wanted))
        return bad(problem, "\"outputs\" is an array of objects with a name");
    json_array_foreach(wanted, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        int k = 0;
        while (k < INFER_OUTPUTS && !(name && strcmp(name, outputs[k].name) == 0))
            k++;
        if (k == INFER_OUTPUTS)
            return problem_set(problem, PROBLEM_BAD_REQUEST, "There is no output \"%.60s\". " SEE,
                               name ? name : "");
        request->wanted[k] = true;
    }
    return 0;
}

/* The options that make sense here, under their names of everywhere else. */
static int read_parameters(struct infer_request *request, json_t *parameters,
                           struct problem *problem)
{
    const char *name;
    json_t *value;
    char text[64];
    if (parameters && !json_is_object(parameters))
        return bad(problem, "\"parameters\" is an object");
    json_object_foreach(parameters, name, value)
    {
        bool known = strcmp(name, "score_threshold") == 0 || strcmp(name, "max_detections") == 0;
        if (!known)
            return problem_set(problem, PROBLEM_BAD_OPTION,
                               "There is no parameter \"%.64s\"; there are score_threshold and "
                               "max_detections.",
                               name);
        size_t n = json_is_number(value) ? json_dumpb(value, text, sizeof text - 1, JSON_ENCODE_ANY)
                                         : sizeof text;
        if (n >= sizeof text)
            return problem_set(problem, PROBLEM_BAD_OPTION, "Parameter %s takes a number.", name);
        text[n] = 0;
        if (options_set(&request->options, name, text, problem) != 0)
            return -1;
    }
    return 0;
}

int json_infer_read(struct infer_request *request, const char *text, size_t length,
                    struct problem *problem)
{
    json_error_t fault;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &fault);
    json_t *inputs = json_object_get(root, "inputs");
    const char *id = json_string_value(json_object_get(root, "id"));
    int rc = 0;
    if (!root)
        rc = problem_set(problem, PROBLEM_BAD_REQUEST, "The body is no JSON: %.120s. " SEE,
                         fault.text);
    else if (!json_is_array(inputs) || json_array_size(inputs) != 1)
        rc = bad(problem, "\"inputs\" is an array with one tensor");
    else if (read_input(request, json_array_get(inputs, 0), problem) != 0 ||
             read_outputs(request, json_object_get(root, "outputs"), problem) != 0 ||
             read_parameters(request, json_object_get(root, "parameters"), problem) != 0)
        rc = -1;
    else if (id && strlen(id) >= sizeof request->id)
        rc = bad(problem, "\"id\" has at most 128 bytes");
    else if (id)
        snprintf(request->id, sizeof request->id, "%s", id);
    json_decref(root);
    return rc;
}

/* ---- an answer ---- */

static json_t *mask_text(const struct detection *d, int width, int height, uint8_t *plane,
                         uint8_t *columns, struct buffer *text)
{
    struct mask_window window;
    buffer_clear(text);
    detection_paste(d, width, height, plane, &window);
    if (rle_encode(text, plane, width, height, &window, columns, NULL) != 0)
        return NULL;
    return json_stringn((const char *)text->bytes, text->length);
}

static json_t *boxes(const struct prediction *p)
{
    json_t *data = json_array();
    for (int i = 0; i < p->detections_count; i++) {
        const struct box *b = &p->detections[i].box;
        const float corners[4] = {b->x0, b->y0, b->x1, b->y1};
        for (int k = 0; k < 4; k++)
            if (json_array_append_new(data, decimals(corners[k], 100)) != 0) {
                json_decref(data);
                return NULL;
            }
    }
    return data;
}

static json_t *classes(const struct prediction *p, const float *values)
{
    json_t *data = json_array();
    for (int i = 0; p->classified && i < MODEL_IMAGE_CLASSES; i++)
        if (json_array_append_new(data, significant(values[i])) != 0) {
            json_decref(data);
            return NULL;
        }
    return data;
}

/* A value per detection. `planes` are two of the slice's size, for masks. */
static json_t *per_detection(const struct prediction *p, enum infer_output output, uint8_t *planes)
{
    size_t pixels = (size_t)p->width * (size_t)p->height;
    struct buffer text;
    json_t *data = json_array();
    buffer_init(&text, 64 + 4 * pixels);
    for (int i = 0; i < p->detections_count; i++) {
        const struct detection *d = &p->detections[i];
        json_t *one = output == INFER_LABELS ? json_integer(d->label)
                      : output == INFER_SCORES
                          ? significant(d->score)
                          : mask_text(d, p->width, p->height, planes, planes + pixels, &text);
        if (json_array_append_new(data, one) != 0) {
            json_decref(data);
            data = NULL;
            break;
        }
    }
    buffer_free(&text);
    return data;
}

static json_t *tensor(const struct prediction *p, enum infer_output output, uint8_t *planes)
{
    int rows = outputs[output].per_detection ? p->detections_count : p->classified ? 1 : 0;
    json_t *data = output == INFER_LOGITS          ? classes(p, p->logits)
                   : output == INFER_PROBABILITIES ? classes(p, p->probabilities)
                   : output == INFER_BOXES         ? boxes(p)
                                                   : per_detection(p, output, planes);
    json_t *shape = outputs[output].columns ? json_pack("[i,i]", rows, outputs[output].columns)
                                            : json_pack("[i]", rows);
    json_t *root = json_pack("{s:s,s:s,s:o,s:o}", "name", outputs[output].name, "datatype",
                             outputs[output].type, "shape", shape, "data", data);
    if (root && output == INFER_MASKS &&
        json_object_set_new(root, "parameters",
                            json_pack("{s:s,s:i,s:i}", "format", "coco_rle", "height", p->height,
                                      "width", p->width)) != 0) {
        json_decref(root);
        return NULL;
    }
    return root;
}

int json_infer_answer(char **text, size_t *length, const struct infer_request *request,
                      const struct prediction *p, const struct model_info *model,
                      const char *request_id, uint8_t *planes, struct error *err)
{
    json_t *all = json_array();
    for (int i = 0; all && i < INFER_OUTPUTS; i++)
        if (request->wanted[i] &&
            json_array_append_new(all, tensor(p, (enum infer_output)i, planes)) != 0) {
            json_decref(all);
            all = NULL;
        }
    json_t *root = json_pack(
        "{s:o,s:o,s:o,s:{s:s,s:b,s:s},s:o}", "model_name", outside_text(model->name),
        "model_version", outside_text(model->version), "id",
        outside_text(request->id[0] ? request->id : request_id), "parameters", "request_id",
        request_id, "trained", model->trained, "disclaimer", DISCLAIMER, "outputs", all);
    return json_write(text, length, root, JSON_PLAIN, err);
}
