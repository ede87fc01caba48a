/* What the service says of itself: /v1/info, health. */
#include "api/json.h"
#include "api/json_parts.h"

static json_t *model_full(const struct model_info *m)
{
    json_t *image_classes = json_array(), *object_classes = json_array();
    for (int i = 0; i < MODEL_IMAGE_CLASSES; i++)
        json_array_append_new(image_classes,
                              json_pack("{s:i,s:s}", "id", i, "name", model_image_class_name(i)));
    for (int i = 1; i < MODEL_OBJECT_CLASSES; i++)
        json_array_append_new(object_classes,
                              json_pack("{s:i,s:s}", "id", i, "name", model_object_class_name(i)));
    return json_pack("{s:o,s:o,s:s,s:o,s:o,s:b,s:o,s:s,s:o,s:I,s:i,s:o,s:o,s:o}", "name",
                     outside_text(m->name), "version", outside_text(m->version), "architecture",
                     "oneshot", "backbone", outside_text(m->backbone), "batch_norm",
                     outside_text(m->batch_norm), "trained", m->trained, "trained_on",
                     outside_text(m->trained_on), "sha256", m->sha256, "file",
                     outside_text(m->file), "parameters", (json_int_t)m->parameters, "regions",
                     m->regions, "gflops_per_slice", decimals(m->flops / 1e9, 100), "image_classes",
                     image_classes, "object_classes", object_classes);
}

static json_t *limits_json(const struct api_limits *l)
{
    return json_pack("{s:I,s:I,s:I,s:i,s:i,s:i,s:i,s:i,s:i,s:i}", "max_body_bytes",
                     (json_int_t)l->max_body, "max_buffered_bytes", (json_int_t)l->max_buffered,
                     "max_pixels", (json_int_t)l->max_pixels, "max_files", l->max_files,
                     "max_slices", l->max_slices, "max_inflate_ratio", l->max_ratio,
                     "max_detections", MODEL_MAX_DETECTIONS, "queue_capacity", l->queue_capacity,
                     "timeout_ms", l->timeout_ms, "max_connections", l->max_connections);
}

static json_t *build_json(void)
{
#if defined(__clang__)
    const char *compiler = "clang " __clang_version__;
#else
    const char *compiler = "gcc " __VERSION__;
#endif
    return json_pack("{s:s,s:s}", "version", ONESHOT_VERSION, "compiler", compiler);
}

int json_info(char **text, size_t *length, const struct api_limits *limits,
              const struct api_state *state, bool indent, struct error *err)
{
    const struct model_info *m = state->model;
    struct slice_options options;
    options_default(&options);
    json_t *root = json_pack("{s:s,s:o,s:{s:s,s:o,s:i,s:b,s:s,s:i,s:i},s:o,s:o}", "schema_version",
                             SCHEMA_VERSION, "model", model_full(m), "defaults", "masks",
                             mask_format_name(options.masks), "score_threshold",
                             significant(m->default_score_threshold), "max_detections",
                             m->default_max_detections, "explain", options.explain, "intensity",
                             intensity_name(options.intensity), "window", SLICE_WINDOW, "level",
                             SLICE_LEVEL, "limits", limits_json(limits), "build", build_json());
    json_t *rest =
        json_pack("{s:{s:s,s:i,s:i},s:s}", "compute", "isa", m->isa, "workers", limits->workers,
                  "threads_per_worker", m->threads, "disclaimer", DISCLAIMER);
    if (!root || !rest || json_object_update(root, rest) != 0) {
        json_decref(root);
        root = NULL;
    }
    json_decref(rest);
    return json_write(text, length, root,
                      indent ? (JSON_PLAIN & ~JSON_COMPACT) | JSON_INDENT(2) : JSON_PLAIN, err);
}

static const char *phase_name(enum api_phase phase)
{
    static const char *const names[] = {
        [PHASE_LOADING] = "loading",   [PHASE_READY] = "ready",   [PHASE_DRAINING] = "draining",
        [PHASE_STOPPING] = "stopping", [PHASE_FAILED] = "failed",
    };
    return names[phase];
}

static json_t *reason_json(const struct api_state *state)
{
    return state->reason[0] ? outside_text(state->reason) : json_null();
}

int json_health(char **text, size_t *length, const char *status, const struct api_state *state,
                struct error *err)
{
    json_t *root = json_pack("{s:s,s:s,s:o,s:b,s:i,s:i,s:o}", "status", status, "phase",
                             phase_name(state->phase), "reason", reason_json(state),
                             "workers_alive", state->alive, "queued", state->queued, "busy",
                             state->busy, "uptime_s", decimals(state->uptime_s, 10));
    return json_write(text, length, root, JSON_PLAIN, err);
}

static json_t *worker_json(const struct api_activity *activity)
{
    if (!activity->route)
        return json_pack("{s:s}", "state", "idle");
    return json_pack("{s:s,s:s,s:i,s:o,s:o}", "state", "busy", "route", activity->route, "slice",
                     activity->slice, "slices",
                     activity->slices ? json_integer(activity->slices) : json_null(), "for_ms",
                     decimals(activity->for_ms, 1));
}

int json_status(char **text, size_t *length, const struct api_state *state,
                const struct api_limits *limits, const struct api_activity *activity,
                struct error *err)
{
    json_t *workers = json_array();
    for (int i = 0; i < limits->workers; i++)
        if (json_array_append_new(workers, worker_json(&activity[i])) != 0) {
            json_decref(workers);
            workers = NULL;
            break;
        }
    json_t *root =
        json_pack("{s:s,s:o,s:{s:i,s:i,s:i},s:o,s:o}", "state", phase_name(state->phase), "reason",
                  reason_json(state), "queue", "length", state->queued, "capacity",
                  limits->queue_capacity, "retry_after_s", state->retry_after, "workers", workers,
                  "uptime_s", decimals(state->uptime_s, 10));
    return json_write(text, length, root, JSON_PLAIN, err);
}
