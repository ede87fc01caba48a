/* The only file of the model's code that knows JSON: the report, and the lines of a training log.
 */
#include <jansson.h>
#include <string.h>

#include "model/eval/report_parts.h"

/* jansson lets a failed allocation travel as NULL: objects given NULL refuse, and say so. */
struct writer {
    bool failed;
};

static json_t *object(struct writer *w)
{
    json_t *made = json_object();
    w->failed |= !made;
    return made;
}

static void put(struct writer *w, json_t *into, const char *key, json_t *value)
{
    if (json_object_set_new(into, key, value) != 0)
        w->failed = true;
}

static void append(struct writer *w, json_t *into, json_t *value)
{
    if (json_array_append_new(into, value) != 0)
        w->failed = true;
}

static json_t *array(struct writer *w)
{
    json_t *made = json_array();
    w->failed |= !made;
    return made;
}

/* Any bytes: what is not valid UTF-8 becomes the replacement character. */
static json_t *string(struct writer *w, const char *text)
{
    if (!text || !text[0])
        return json_null();
    struct buffer clean;
    buffer_init(&clean, 1 << 20);
    int rc = 0;
    while (*text && rc == 0) {
        int length = utf8_length(text);
        if (length > 0)
            rc = buffer_append(&clean, text, (size_t)length, NULL);
        else
            rc = buffer_append(&clean, "\xef\xbf\xbd", 3, NULL);
        text += length > 0 ? length : 1;
    }
    json_t *made = rc == 0 ? json_string((const char *)clean.bytes) : NULL;
    w->failed |= !made;
    buffer_free(&clean);
    return made;
}

static json_t *estimate_json(struct writer *w, struct estimate estimate)
{
    if (!estimate.defined)
        return json_null();
    json_t *made = object(w);
    put(w, made, "value", json_real(estimate.value));
    put(w, made, "low", estimate.interval ? json_real(estimate.low) : json_null());
    put(w, made, "high", estimate.interval ? json_real(estimate.high) : json_null());
    return made;
}

/* ---- sections ---- */

static json_t *model_json(struct writer *w, const struct eval_model *model)
{
    json_t *made = object(w);
    put(w, made, "name", string(w, model->name));
    put(w, made, "version", string(w, model->version));
    put(w, made, "file", string(w, model->file));
    put(w, made, "sha256", string(w, model->sha256));
    put(w, made, "backbone", string(w, model->backbone));
    put(w, made, "batch_norm", string(w, model->batch_norm));
    put(w, made, "trained", json_boolean(model->trained));
    put(w, made, "trained_on", string(w, model->trained_on));
    put(w, made, "parameters", json_integer(model->parameters));
    put(w, made, "regions", json_integer(model->regions));
    return made;
}

static json_t *setup_json(struct writer *w, const struct eval_setup *setup)
{
    json_t *made = object(w);
    put(w, made, "segmentation_data", string(w, setup->segmentation_data));
    put(w, made, "classification_data", string(w, setup->classification_data));
    put(w, made, "score_threshold", json_real(setup->score_threshold));
    put(w, made, "max_detections", json_integer(setup->max_detections));
    put(w, made, "coco_score_threshold", json_real(setup->coco_threshold));
    put(w, made, "coco_max_detections", json_integer(setup->coco_detections));
    json_t *bootstrap = object(w);
    put(w, bootstrap, "by", string(w, setup->group));
    put(w, bootstrap, "resamples", json_integer(setup->bootstrap.resamples));
    put(w, bootstrap, "level", json_real(setup->bootstrap.level));
    put(w, bootstrap, "seed", json_integer((json_int_t)setup->bootstrap.seed));
    put(w, made, "bootstrap", bootstrap);
    return made;
}

static json_t *curve_json(struct writer *w, const struct curve *curve)
{
    json_t *made = array(w);
    for (int64_t k = 0; k < curve->count; k++) {
        json_t *point = array(w);
        append(w, point, json_real(curve->x[k]));
        append(w, point, json_real(curve->y[k]));
        append(w, made, point);
    }
    return made;
}

static json_t *calibration_json(struct writer *w, const struct calibration *calibration)
{
    if (calibration->count == 0)
        return json_null();
    json_t *bins = array(w);
    for (int b = 0; b < CALIBRATION_BINS; b++) {
        const struct calibration_bin *bin = &calibration->bins[b];
        json_t *made = object(w);
        put(w, made, "images", json_integer(bin->count));
        put(w, made, "probability", bin->count > 0 ? json_real(bin->probability) : json_null());
        put(w, made, "frequency", bin->count > 0 ? json_real(bin->frequency) : json_null());
        append(w, bins, made);
    }
    json_t *made = object(w);
    put(w, made, "ece", json_real(calibration->ece));
    put(w, made, "bins", bins);
    return made;
}

static json_t *class_json(struct writer *w, const struct class_result *result, bool curves)
{
    json_t *made = object(w);
    put(w, made, "positives", json_integer(result->positives));
    put(w, made, "negatives", json_integer(result->negatives));
    put(w, made, "tp", json_integer(result->tp));
    put(w, made, "fp", json_integer(result->fp));
    put(w, made, "fn", json_integer(result->fn));
    put(w, made, "tn", json_integer(result->tn));
    put(w, made, "sensitivity", estimate_json(w, result->sensitivity));
    put(w, made, "specificity", estimate_json(w, result->specificity));
    put(w, made, "precision", estimate_json(w, result->precision));
    put(w, made, "f1", estimate_json(w, result->f1));
    put(w, made, "auroc", estimate_json(w, result->auroc));
    put(w, made, "average_precision", estimate_json(w, result->average_precision));
    put(w, made, "brier", estimate_json(w, result->brier));
    if (curves) {
        put(w, made, "calibration", calibration_json(w, &result->calibration));
        put(w, made, "roc", curve_json(w, &result->roc));
        put(w, made, "precision_recall", curve_json(w, &result->precision_recall));
    }
    return made;
}

static json_t *classification_json(struct writer *w, const struct classification_result *result,
                                   bool curves)
{
    json_t *made = object(w);
    put(w, made, "images", json_integer(result->images));
    put(w, made, "images_of_known_class", json_integer(result->known));
    put(w, made, "images_without_answer", json_integer(result->unanswered));
    put(w, made, "groups", json_integer(result->groups));
    put(w, made, "f1", estimate_json(w, result->f1));
    put(w, made, "accuracy", estimate_json(w, result->accuracy));
    put(w, made, "precision", estimate_json(w, result->precision));
    put(w, made, "balanced_accuracy", estimate_json(w, result->balanced_accuracy));
    json_t *confusion = array(w);
    json_t *classes = object(w);
    for (int c = 0; c < EVAL_CLASSES; c++) {
        json_t *row = array(w);
        for (int p = 0; p <= EVAL_CLASSES; p++)
            append(w, row, json_integer(result->confusion[c][p]));
        append(w, confusion, row);
        put(w, classes, report_image_classes[c].id, class_json(w, &result->classes[c], curves));
    }
    put(w, made, "confusion", confusion); /* [true][predicted], last column: no answer */
    put(w, made, "classes", classes);
    return made;
}

static json_t *scores_json(struct writer *w, const struct ap_scores *scores)
{
    json_t *made = object(w);
    json_t *at = array(w);
    for (int t = 0; t < AP_THRESHOLDS; t++)
        append(w, at, scores->at[t].defined ? json_real(scores->at[t].value) : json_null());
    put(w, made, "ap", estimate_json(w, scores->mean));
    put(w, made, "ap50", estimate_json(w, scores->at[AP_AT_50]));
    put(w, made, "ap75", estimate_json(w, scores->at[AP_AT_75]));
    put(w, made, "by_threshold", at);
    return made;
}

static json_t *detection_json(struct writer *w, const struct detection_result *result)
{
    json_t *thresholds = array(w);
    for (int t = 0; t < AP_THRESHOLDS; t++)
        append(w, thresholds, json_real(ap_threshold(t)));
    json_t *per_image = object(w);
    json_t *coco = object(w);
    for (int c = 0; c <= AP_CLASSES; c++) {
        const char *id = report_objects[c].id;
        json_t *scores = scores_json(w, &result->per_image[c]);
        put(w, scores, "images", json_integer(result->per_image_count[c]));
        put(w, per_image, id, scores);
        scores = scores_json(w, &result->coco[c]);
        put(w, scores, "ar100", estimate_json(w, result->coco_recall[c]));
        if (c > 0) {
            put(w, scores, "instances", json_integer(result->truths[c - 1]));
            put(w, scores, "predictions", json_integer(result->predictions[c - 1]));
        }
        put(w, coco, id, scores);
    }
    json_t *made = object(w);
    put(w, made, "images", json_integer(result->images));
    put(w, made, "iou_thresholds", thresholds);
    put(w, made, "per_image", per_image);
    put(w, made, "coco", coco);
    return made;
}

static json_t *segmentation_json(struct writer *w, const struct segmentation_result *result)
{
    json_t *regions = object(w);
    for (int r = 0; r < REGIONS; r++) {
        const struct region_result *region = &result->regions[r];
        json_t *made = object(w);
        put(w, made, "dice", estimate_json(w, region->dice));
        put(w, made, "iou", estimate_json(w, region->iou));
        put(w, made, "mean_dice", estimate_json(w, region->mean_dice));
        put(w, made, "mean_iou", estimate_json(w, region->mean_iou));
        put(w, made, "images", json_integer(region->images));
        put(w, made, "absent", json_integer(region->absent));
        put(w, regions, report_regions[r].id, made);
    }
    json_t *pixels = array(w);
    for (int t = 0; t < PIXEL_LABELS; t++) {
        json_t *row = array(w);
        for (int p = 0; p < PIXEL_LABELS; p++)
            append(w, row, json_integer(result->pixels.pixels[t][p]));
        append(w, pixels, row);
    }
    json_t *made = object(w);
    put(w, made, "images", json_integer(result->images));
    put(w, made, "groups", json_integer(result->groups));
    put(w, made, "regions", regions);
    put(w, made, "pixels", pixels); /* [true][predicted] */
    return made;
}

static json_t *source_json(struct writer *w, const struct eval_source *source)
{
    json_t *made = object(w);
    put(w, made, "name", string(w, source->name));
    if (source->has_classification)
        put(w, made, "classification", classification_json(w, &source->classification, false));
    if (source->has_segmentation) {
        put(w, made, "segmentation", segmentation_json(w, &source->segmentation));
        put(w, made, "detection", detection_json(w, &source->detection));
    }
    return made;
}

/* ---- document ---- */

struct sink {
    struct buffer *out;
    struct error *err;
    int rc; /* kept: jansson goes on after a key it could not write */
};

static int write_bytes(const char *bytes, size_t length, void *sink_)
{
    struct sink *sink = sink_;
    if (sink->rc == 0)
        sink->rc = buffer_append(sink->out, bytes, length, sink->err);
    return sink->rc;
}

static int write_document(struct buffer *out, const json_t *root, struct error *err)
{
    struct sink sink = {.out = out, .err = err};
    int rc = json_dump_callback(root, write_bytes, &sink, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    if (sink.rc != 0)
        return sink.rc;
    if (rc != 0)
        return error_set(err, ERR_MEMORY, "no memory to write the JSON of the report");
    return buffer_append(out, "\n", 1, err);
}

int report_write_json(struct buffer *out, const struct eval_results *results, struct error *err)
{
    struct writer writer = {0};
    struct writer *w = &writer;
    json_t *root = object(w);
    put(w, root, "schema_version", json_string("1"));
    put(w, root, "program", json_string("oneshot " ONESHOT_VERSION));
    put(w, root, "disclaimer", json_string("research use only; not a medical device"));
    put(w, root, "model", model_json(w, &results->model));
    put(w, root, "setup", setup_json(w, &results->setup));
    json_t *notes = array(w);
    for (int i = 0; i < results->notes_count; i++)
        append(w, notes, string(w, results->notes[i]));
    put(w, root, "notes", notes);
    if (results->has_classification)
        put(w, root, "classification", classification_json(w, &results->classification, true));
    if (results->has_segmentation) {
        put(w, root, "segmentation", segmentation_json(w, &results->segmentation));
        put(w, root, "detection", detection_json(w, &results->detection));
    }
    json_t *sources = array(w);
    for (int s = 0; s < results->sources_count; s++)
        append(w, sources, source_json(w, &results->sources[s]));
    put(w, root, "sources", sources);

    int rc;
    if (w->failed)
        rc = error_set(err, ERR_MEMORY, "no memory for the JSON of the report");
    else
        rc = write_document(out, root, err);
    json_decref(root);
    return rc;
}

/* ---- training log ---- */

static int read_line(struct training_log *log, const json_t *line, struct error *err)
{
    const json_t *given = json_object_get(line, "iteration");
    double iteration = json_is_number(given) ? json_number_value(given) : (double)log->lines;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)line, key, value)
    {
        bool series = strncmp(key, "loss", 4) == 0 || strncmp(key, "val", 3) == 0;
        if (!series || !json_is_number(value))
            continue;
        if (training_log_add(log, key, iteration, json_number_value(value), err) != 0)
            return -1;
    }
    return 0;
}

int training_log_read(struct training_log *out, const char *text, size_t length, struct error *err)
{
    memset(out, 0, sizeof *out);
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t here = end ? (size_t)(end - text) : length;
        size_t taken = end ? here + 1 : here;
        if (here > 0) {
            out->lines++;
            json_t *line = json_loadb(text, here, 0, NULL);
            bool usable = json_is_object(line);
            out->skipped += !usable;
            int rc = usable ? read_line(out, line, err) : 0;
            json_decref(line);
            if (rc != 0)
                return rc;
        }
        text += taken;
        length -= taken;
    }
    if (out->lines == out->skipped)
        return error_set(err, ERR_BAD_DATA,
                         "no line of the training log is a JSON object; it should have lines like "
                         "{\"iteration\": 1, \"loss_seg\": 2.5}");
    return 0;
}
