/* Volumes: where they lie, what their slices add up to, and the events of a stream. */
#include <string.h>

#include "api/json.h"
#include "api/json_parts.h"

/* ---- the volume ---- */

/* (x, y, slice, 1) to mm, x and y in pixels as boxes have them. */
static json_t *pixel_to_world(const struct volume *volume)
{
    static const double units[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    double origin[3], moved[3], matrix[3][4];
    volume_to_world(origin, volume, 0, 0, 0);
    for (int i = 0; i < 3; i++) {
        volume_to_world(moved, volume, units[i][0], units[i][1], units[i][2]);
        for (int k = 0; k < 3; k++)
            matrix[k][i] = moved[k] - origin[k];
    }
    json_t *rows = json_array();
    for (int k = 0; k < 3; k++)
        if (json_array_append_new(
                rows, json_pack("[o,o,o,o]", significant(matrix[k][0]), significant(matrix[k][1]),
                                significant(matrix[k][2]), decimals(origin[k], 1000))) != 0) {
            json_decref(rows);
            return NULL;
        }
    return rows;
}

static json_t *volume_json(const struct scan *scan)
{
    const struct volume *v = scan->volume;
    char orientation[4];
    double spacing[3];
    volume_orientation(orientation, v);
    volume_spacing(spacing, v);
    return json_pack("{s:[i,i,i],s:[o,o,o],s:s,s:s,s:s,s:i,s:o,s:{s:i,s:i,s:i},s:o}", "shape",
                     v->size[0], v->size[1], v->size[2], "spacing_mm", significant(spacing[0]),
                     significant(spacing[1]), significant(spacing[2]), "orientation", orientation,
                     "placed_by", v->placed_by, "type", voxel_type_name(v->type), "slices",
                     volume_slices(v), "voxel_ml", significant(volume_voxel_mm3(v) / 1000),
                     "slices_selected", "first", scan->first, "step", scan->step, "count",
                     scan->count, "pixel_to_world", pixel_to_world(v));
}

static json_t *scan_input(const struct scan *scan)
{
    const struct volume *v = scan->volume;
    const struct slice_input input = {
        v->kind,      volume_columns(v), volume_rows(v), voxel_bits(v->type),
        scan->length, scan->sha256,      scan->file,     scan->intensity};
    return input_json(&input);
}

/* ---- its slices ---- */

static double position(const struct scan *scan, int index)
{
    const struct volume *v = scan->volume;
    double world[3];
    volume_to_world(world, v, volume_columns(v) / 2.0, volume_rows(v) / 2.0, index);
    return world[2];
}

static json_t *place_json(const struct scan *scan, int index)
{
    return json_pack("{s:i,s:o}", "slice", index, "position_mm",
                     decimals(position(scan, index), 100));
}

static json_t *scan_slice_json(const struct scan *scan, struct slice *slice,
                               struct slice_worker *worker, const struct slice_options *options,
                               struct error *err)
{
    return merged(place_json(scan, slice->index), findings_json(slice, worker, options, err));
}

static json_t *scan_problem_json(const struct scan *scan, const struct problem *problem)
{
    return merged(place_json(scan, scan_index(scan)),
                  json_pack("{s:o}", "error", problem_json(problem, NULL)));
}

/* ---- what they add up to ---- */

static json_t *areas_json(const struct scan_areas *areas, double ml)
{
    json_t *share = areas->lung > 0
                        ? decimals(100.0 * (double)areas->affected / (double)areas->lung, 100)
                        : json_null();
    return json_pack("{s:o,s:o,s:o,s:o,s:o}", "lung_ml", decimals((double)areas->lung * ml, 100),
                     "ggo_ml", decimals((double)areas->ggo * ml, 100), "consolidation_ml",
                     decimals((double)areas->consolidation * ml, 100), "affected_ml",
                     decimals((double)areas->affected * ml, 100), "affected_pct", share);
}

static struct scan_areas both(const struct scan_areas sides[SCAN_SIDES])
{
    const struct scan_areas *r = &sides[SCAN_RIGHT], *l = &sides[SCAN_LEFT];
    return (struct scan_areas){r->lung + l->lung, r->ggo + l->ggo,
                               r->consolidation + l->consolidation, r->affected + l->affected};
}

static json_t *burden_ml(const struct scan *scan, double ml)
{
    struct scan_areas sides[SCAN_SIDES];
    scan_sum(sides, scan);
    struct scan_areas all = both(sides);
    return json_pack("{s:o,s:o,s:o}", "total", areas_json(&all, ml), "right",
                     areas_json(&sides[SCAN_RIGHT], ml), "left", areas_json(&sides[SCAN_LEFT], ml));
}

static json_t *class_json(const struct scan_slice *one)
{
    if (!one->classified)
        return json_pack("{s:n}", "predicted");
    return json_pack("{s:s,s:[o,o,o]}", "predicted", model_image_class_name(one->predicted),
                     "probabilities", significant((double)one->probabilities[0]),
                     significant((double)one->probabilities[1]),
                     significant((double)one->probabilities[2]));
}

static json_t *profile_json(const struct scan *scan, double ml)
{
    json_t *all = json_array();
    for (int i = 0; i < scan->next; i++) {
        const struct scan_slice *one = &scan->slices[i];
        struct scan_areas areas = both(one->sides);
        json_t *row =
            merged(merged(place_json(scan, one->index), areas_json(&areas, ml)), class_json(one));
        if (json_array_append_new(all, row) != 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static json_t *worst_json(const struct scan *scan, double ml)
{
    int places[SCAN_WORST], count = scan_worst(places, scan);
    json_t *all = json_array();
    for (int i = 0; i < count; i++) {
        const struct scan_slice *one = &scan->slices[places[i]];
        struct scan_areas areas = both(one->sides);
        if (json_array_append_new(
                all, merged(place_json(scan, one->index), areas_json(&areas, ml))) != 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static json_t *vote_json(const struct scan *scan)
{
    struct scan_vote vote;
    json_t *classes = json_array();
    scan_vote(&vote, scan);
    for (int c = 0; vote.slices > 0 && c < MODEL_IMAGE_CLASSES; c++)
        if (json_array_append_new(classes, json_pack("{s:i,s:s,s:o,s:i}", "id", c, "name",
                                                     model_image_class_name(c), "probability",
                                                     significant(vote.probabilities[c]), "votes",
                                                     vote.votes[c])) != 0) {
            json_decref(classes);
            return NULL;
        }
    return json_pack("{s:s,s:i,s:o,s:s?}", "rule", scan_vote_rule, "slices", vote.slices, "classes",
                     classes, "predicted",
                     vote.predicted < 0 ? NULL : model_image_class_name(vote.predicted));
}

static json_t *summary_json(const struct scan *scan)
{
    double ml = volume_voxel_mm3(scan->volume) / 1000;
    return json_pack("{s:b,s:i,s:i,s:o,s:s,s:o,s:o,s:o}", "complete", scan_is_complete(scan),
                     "slices_done", scan->next - scan->failed, "slices_failed", scan->failed,
                     "burden", burden_ml(scan, ml), "sides_rule", scan_sides_rule, "vote",
                     vote_json(scan), "worst_slices", worst_json(scan, ml), "profile",
                     profile_json(scan, ml));
}

json_t *scan_json(const struct scan *scan, const char *request_id, json_t *slices)
{
    json_t *root = json_pack("{s:s,s:s,s:o,s:o,s:o}", "schema_version", SCHEMA_VERSION,
                             "request_id", request_id, "model", model_brief(&scan->model), "input",
                             scan_input(scan), "volume", volume_json(scan));
    json_t *rest =
        json_pack("{s:o,s:o,s:o,s:o,s:s}", "summary", summary_json(scan), "slices", slices,
                  "warnings", warnings_json(scan->warnings, scan->warnings_count), "timing_ms",
                  timing_json(&scan->spent), "disclaimer", DISCLAIMER);
    return merged(root, rest);
}

json_t *scan_entry_json(const struct scan *scan, struct slice *slice, struct slice_worker *worker,
                        const struct slice_options *options, const struct problem *problem,
                        struct error *err)
{
    return problem ? scan_problem_json(scan, problem)
                   : scan_slice_json(scan, slice, worker, options, err);
}

/* ---- events ---- */

static json_t *begin(const char *kind, const struct event *event)
{
    json_t *root = json_pack("{s:s}", "event", kind);
    if (event->files < 2)
        return root;
    return merged(
        root, json_pack("{s:i,s:o}", "file_index", event->file, "file", outside_text(event->name)));
}

static json_t *progress(const struct event *event)
{
    json_t *eta = event->eta_ms < 0 ? json_null() : decimals(event->eta_ms, 1);
    return json_pack("{s:{s:i,s:i,s:o}}", "progress", "done", event->done, "total", event->total,
                     "eta_ms", eta);
}

static int write_event(char **text, size_t *length, json_t *root, struct error *err)
{
    return json_write(text, length, root, JSON_PLAIN, err);
}

int event_accepted(char **text, size_t *length, const struct event *event, int ahead,
                   struct error *err)
{
    return write_event(text, length,
                       json_pack("{s:s,s:s,s:s,s:i}", "event", "accepted", "schema_version",
                                 SCHEMA_VERSION, "request_id", event->request_id, "queue_position",
                                 ahead),
                       err);
}

int event_volume(char **text, size_t *length, const struct event *event, const struct scan *scan,
                 struct error *err)
{
    json_t *about =
        json_pack("{s:o,s:o,s:o,s:o,s:s}", "model", model_brief(&scan->model), "input",
                  scan_input(scan), "volume", volume_json(scan), "warnings",
                  warnings_json(scan->warnings, scan->warnings_count), "disclaimer", DISCLAIMER);
    return write_event(text, length, merged(begin("volume", event), about), err);
}

int event_slice(char **text, size_t *length, const struct event *event, const struct scan *scan,
                struct slice *slice, struct slice_worker *worker,
                const struct slice_options *options, struct error *err)
{
    json_t *findings = scan ? scan_slice_json(scan, slice, worker, options, err)
                            : slice_json(slice, worker, event->request_id, options, err);
    json_t *root = merged(begin("slice", event), findings);
    return write_event(text, length, merged(root, progress(event)), err);
}

int event_slice_problem(char **text, size_t *length, const struct event *event,
                        const struct scan *scan, const struct problem *problem, struct error *err)
{
    json_t *what = scan ? scan_problem_json(scan, problem)
                        : json_pack("{s:o}", "error", problem_json(problem, NULL));
    return write_event(text, length, merged(merged(begin("slice", event), what), progress(event)),
                       err);
}

int event_summary(char **text, size_t *length, const struct event *event, const struct scan *scan,
                  struct error *err)
{
    json_t *rest =
        json_pack("{s:o,s:o,s:o,s:o}", "input", scan_input(scan), "summary", summary_json(scan),
                  "warnings", warnings_json(scan->warnings, scan->warnings_count), "timing_ms",
                  timing_json(&scan->spent));
    return write_event(text, length, merged(begin("summary", event), rest), err);
}

int event_done(char **text, size_t *length, const struct event *event, int failed,
               const struct slice_timing *timing, struct error *err)
{
    return write_event(text, length,
                       json_pack("{s:s,s:s,s:i,s:i,s:o}", "event", "done", "request_id",
                                 event->request_id, "slices_done", event->done - failed,
                                 "slices_failed", failed, "timing_ms", timing_json(timing)),
                       err);
}

int event_error(char **text, size_t *length, const struct event *event,
                const struct problem *problem, struct error *err)
{
    return write_event(
        text, length,
        json_pack("{s:s,s:o}", "event", "error", "error", problem_json(problem, event->request_id)),
        err);
}
