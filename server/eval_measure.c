#include "server/eval_measure.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Samples of one set that were used, of one source or of all. */
struct choice {
    const struct eval_run *run;
    const struct eval_set *set;
    size_t count;
    size_t *samples; /* owned, as long as the set */
    int32_t *groups; /* owned */
    size_t unknown;  /* samples without the name they should be grouped by */
};

/* `source` NULL: all. */
static int choice_make(struct choice *out, const struct eval_run *run, enum eval_kind kind,
                       const char *source, enum eval_group by, struct error *err)
{
    const struct eval_set *set =
        kind == EVAL_SEGMENTATION ? run->segmentation : run->classification;
    size_t room = set->data.count + 1;
    *out = (struct choice){.run = run, .set = set};
    out->samples = malloc(room * sizeof *out->samples);
    out->groups = malloc(room * sizeof *out->groups);
    if (!out->samples || !out->groups)
        return error_set(err, ERR_MEMORY, "no memory for %zu images", room);
    for (size_t i = 0; i < set->data.count; i++) {
        bool done = kind == EVAL_SEGMENTATION ? run->mapped[i].done : run->classified[i].done;
        if (done && (!source || strcmp(set->origins[i].source, source) == 0))
            out->samples[out->count++] = i;
    }
    eval_set_groups(out->groups, &out->unknown, set, out->samples, out->count, by);
    return 0;
}

static void choice_free(struct choice *choice)
{
    free(choice->samples);
    free(choice->groups);
}

static int measure_classification(struct classification_result *out, const struct choice *choice,
                                  const struct bootstrap_options *bootstrap, struct error *err)
{
    int rc = 0;
    size_t room = choice->count + 1;
    int8_t(*labels)[EVAL_CLASSES] = malloc(room * sizeof *labels);
    float(*probabilities)[EVAL_CLASSES] = malloc(room * sizeof *probabilities);
    int8_t *predicted = malloc(room);
    if (!labels || !probabilities || !predicted)
        TRY(error_set(err, ERR_MEMORY, "no memory for %zu images", choice->count));
    for (size_t k = 0; k < choice->count; k++) {
        const struct eval_classified *from = &choice->run->classified[choice->samples[k]];
        memcpy(labels[k], choice->set->data.samples[choice->samples[k]].classes, sizeof labels[k]);
        memcpy(probabilities[k], from->probabilities, sizeof probabilities[k]);
        predicted[k] = from->predicted;
    }
    struct classification_input input = {
        .images = (int64_t)choice->count,
        .labels = (const int8_t(*)[EVAL_CLASSES])labels,
        .probabilities = (const float(*)[EVAL_CLASSES])probabilities,
        .predicted = predicted,
        .groups = choice->groups,
    };
    rc = classification_measure(out, &input, bootstrap, err);
done:
    free(predicted);
    free(probabilities);
    free(labels);
    return rc;
}

static int measure_maps(struct segmentation_result *segmentation,
                        struct detection_result *detection, const struct choice *choice,
                        const struct bootstrap_options *bootstrap, struct error *err)
{
    int rc = 0;
    struct ap_evaluation *evaluation = NULL;
    struct segmentation_counts *counts = malloc((choice->count + 1) * sizeof *counts);
    if (!counts)
        TRY(error_set(err, ERR_MEMORY, "no memory for %zu images", choice->count));
    TRY(ap_open(&evaluation, err));
    for (size_t k = 0; k < choice->count; k++) {
        const struct eval_mapped *from = &choice->run->mapped[choice->samples[k]];
        counts[k] = from->counts;
        TRY(ap_add(evaluation, &from->ap, err));
    }
    TRY(segmentation_measure(segmentation, counts, (int64_t)choice->count, choice->groups,
                             bootstrap, err));
    TRY(ap_measure(detection, evaluation, choice->groups, bootstrap, err));
done:
    ap_close(evaluation);
    free(counts);
    return rc;
}

/* ---- notes ---- */

int eval_note(struct eval_summary *summary, struct error *err, const char *format, ...)
{
    if (summary->results.notes_count == EVAL_MAX_NOTES)
        return 0;
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    if (length < 0)
        return error_set(err, ERR_MEMORY, "no memory for a note");
    summary->notes[summary->results.notes_count++] = text;
    return 0;
}

static int note_problems(struct eval_summary *summary, const struct eval_run *run,
                         struct error *err)
{
    const struct eval_set *const sets[] = {run->segmentation, run->classification};
    for (int k = 0; k < 2; k++) {
        const struct dataset *data = &sets[k]->data;
        if (data->problems_count > 0 &&
            eval_note(summary, err, "Left out: %zu of the files in %s. The first: %s: %s",
                      data->problems_count, sets[k]->folder, data->problems[0].path,
                      data->problems[0].reason) != 0)
            return -1;
    }
    if (run->problems > 0)
        return eval_note(summary, err, "Not used: %zu of the images. The first: %s", run->problems,
                         run->first_problem);
    return 0;
}

static int note_partial_labels(struct eval_summary *summary, struct error *err)
{
    const struct classification_result *c = &summary->results.classification;
    if (c->known == c->images)
        return 0;
    return eval_note(summary, err,
                     "Of %lld of %lld classified images only part of the label is known (not "
                     "COVID-19, say): they count where it is.",
                     (long long)(c->images - c->known), (long long)c->images);
}

/* Images that show a class but come from very few patients test those patients, not the class. */
static int note_few_patients(struct eval_summary *summary, const struct choice *choice,
                             struct error *err)
{
    enum { FEW = 4 };
    static const char *const names[EVAL_CLASSES] = {"Control", "Common pneumonia", "COVID-19"};
    for (int c = 0; c < EVAL_CLASSES; c++) {
        const char *seen[FEW];
        int patients = 0;
        size_t images = 0;
        bool many = false;
        for (size_t k = 0; k < choice->count && !many; k++) {
            size_t i = choice->samples[k];
            const char *name = choice->set->origins[i].patient;
            if (choice->set->data.samples[i].classes[c] != 1)
                continue;
            bool known = false;
            for (int p = 0; p < patients; p++)
                known |= strcmp(seen[p], name) == 0;
            images++;
            many = !*name || (!known && patients == FEW);
            if (!known && !many)
                seen[patients++] = name;
        }
        if (!many && images > 0 &&
            eval_note(summary, err,
                      "%s: all %zu images are of %d patient%s. Figures for this class speak of %s, "
                      "not of new patients.",
                      names[c], images, patients, patients == 1 ? "" : "s",
                      patients == 1 ? "that one" : "those few") != 0)
            return -1;
    }
    return 0;
}

static int note_grouping(struct eval_summary *summary, const struct choice *choice,
                         enum eval_group by, struct error *err)
{
    if (choice->unknown == 0)
        return 0;
    return eval_note(summary, err,
                     "Of %zu of %zu images of %s the %s is not known: each was drawn by itself, so "
                     "intervals are too narrow if some belong together.",
                     choice->unknown, choice->count, choice->set->folder, eval_group_names[by]);
}

/* ---- sources ---- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct sources of both sets, sorted; *count of them in a malloc'ed list. */
static int list_sources(const char ***out, size_t *count, const struct eval_run *run,
                        struct error *err)
{
    const struct eval_set *const sets[] = {run->segmentation, run->classification};
    size_t all = 0;
    const char **list = malloc((sets[0]->data.count + sets[1]->data.count + 1) * sizeof *list);
    if (!list)
        return error_set(err, ERR_MEMORY, "no memory for the sources");
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < sets[k]->data.count; i++)
            list[all++] = sets[k]->origins[i].source;
    qsort(list, all, sizeof *list, compare_texts);
    *count = 0;
    for (size_t i = 0; i < all; i++)
        if (i == 0 || strcmp(list[i], list[i - 1]) != 0)
            list[(*count)++] = list[i];
    *out = list;
    return 0;
}

static int measure_source(struct eval_source *out, const char *name, const struct eval_run *run,
                          enum eval_group by, const struct bootstrap_options *bootstrap,
                          struct error *err)
{
    int rc = 0;
    struct choice maps = {0};
    struct choice classes = {0};
    out->name = *name ? name : "(not named)";
    TRY(choice_make(&maps, run, EVAL_SEGMENTATION, name, by, err));
    TRY(choice_make(&classes, run, EVAL_CLASSIFICATION, name, by, err));
    if (maps.count > 0) {
        TRY(measure_maps(&out->segmentation, &out->detection, &maps, bootstrap, err));
        out->has_segmentation = true;
    }
    if (classes.count > 0) {
        TRY(measure_classification(&out->classification, &classes, bootstrap, err));
        out->has_classification = true;
    }
done:
    choice_free(&maps);
    choice_free(&classes);
    return rc;
}

static int measure_sources(struct eval_summary *summary, const struct eval_run *run,
                           enum eval_group by, const struct bootstrap_options *bootstrap,
                           struct error *err)
{
    enum { MOST = 100 }; /* rows of a table; more would be no sources but names */
    int rc = 0;
    const char **names = NULL;
    size_t count = 0;
    TRY(list_sources(&names, &count, run, err));
    if (count < 2 || count > MOST)
        goto done;
    summary->sources = calloc(count, sizeof *summary->sources);
    if (!summary->sources)
        TRY(error_set(err, ERR_MEMORY, "no memory for %zu sources", count));
    summary->results.sources = summary->sources;
    for (size_t s = 0; s < count; s++) {
        summary->results.sources_count++;
        TRY(measure_source(&summary->sources[s], names[s], run, by, bootstrap, err));
    }
done:
    free(names);
    return rc;
}

/* ---- all ---- */

static int measure_all(struct eval_summary *out, const struct choice *maps,
                       const struct choice *classes, enum eval_group by,
                       const struct bootstrap_options *bootstrap, struct error *err)
{
    int rc = 0;
    struct eval_results *results = &out->results;
    if (classes->count > 0) {
        TRY(measure_classification(&results->classification, classes, bootstrap, err));
        results->has_classification = true;
        TRY(note_partial_labels(out, err));
        TRY(note_few_patients(out, classes, err));
        TRY(note_grouping(out, classes, by, err));
    }
    if (maps->count > 0) {
        TRY(measure_maps(&results->segmentation, &results->detection, maps, bootstrap, err));
        results->has_segmentation = true;
        TRY(note_grouping(out, maps, by, err));
    }
done:
    return rc;
}

int eval_measure(struct eval_summary *out, const struct eval_run *run, enum eval_group by,
                 const struct bootstrap_options *bootstrap, struct error *err)
{
    int rc = 0;
    struct choice maps = {0};
    struct choice classes = {0};
    *out = (struct eval_summary){0};
    out->results.notes = (const char *const *)out->notes;
    out->results.setup.group = eval_group_names[by];
    out->results.setup.bootstrap = *bootstrap;
    TRY(choice_make(&maps, run, EVAL_SEGMENTATION, NULL, by, err));
    TRY(choice_make(&classes, run, EVAL_CLASSIFICATION, NULL, by, err));
    if (maps.count + classes.count == 0)
        TRY(error_set(err, ERR_BAD_DATA, "no image could be used; the first: %s",
                      run->first_problem));
    TRY(note_problems(out, run, err));
    TRY(measure_all(out, &maps, &classes, by, bootstrap, err));
    TRY(measure_sources(out, run, by, bootstrap, err));
done:
    choice_free(&maps);
    choice_free(&classes);
    return rc;
}

void eval_summary_close(struct eval_summary *summary)
{
    for (int i = 0; i < EVAL_MAX_NOTES; i++)
        free(summary->notes[i]);
    for (int s = 0; s < summary->results.sources_count; s++)
        classification_free(&summary->sources[s].classification);
    free(summary->sources);
    classification_free(&summary->results.classification);
    *summary = (struct eval_summary){0};
}
