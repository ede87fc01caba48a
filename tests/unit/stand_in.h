/*
 * What every stand-in for the model does alike behind model.h: names, and sessions that know no
 * more than their model. Include once in a program, where its `struct model`, with `info` in it, is
 * complete.
 */
#ifndef ONESHOT_TESTS_STAND_IN_H
#define ONESHOT_TESTS_STAND_IN_H

#include <stdlib.h>

#include "model/model.h"

struct session {
    const struct model *model;
};

const char *model_image_class_name(int id)
{
    static const char *const names[] = {"control", "common_pneumonia", "covid_19"};
    return id >= 0 && id < MODEL_IMAGE_CLASSES ? names[id] : NULL;
}

const char *model_object_class_name(int id)
{
    static const char *const names[] = {"background", "lungs", "ggo", "consolidation"};
    return id >= 0 && id < MODEL_OBJECT_CLASSES ? names[id] : NULL;
}

const char *model_stage_name(int stage)
{
    return stage >= 0 && stage < MODEL_STAGES ? "stage" : NULL;
}

void model_free(struct model *model)
{
    free(model);
}

const struct model_info *model_info(const struct model *model)
{
    return &model->info;
}

int session_open(struct session **out, const struct model *model, struct error *err)
{
    *out = malloc(sizeof **out);
    if (!*out)
        return error_set(err, ERR_MEMORY, "no memory for a session");
    (*out)->model = model;
    return 0;
}

void session_close(struct session *session)
{
    free(session);
}

#endif
