/*
 * Prints the answer of POST /v1/predict, read from standard input, for a person.
 * Exits with 1 where the input is no such answer.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

enum { BAR = 24, ROWS = 5 };

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "?";
}

static double number(const json_t *object, const char *key)
{
    return json_number_value(json_object_get(object, key));
}

static double item(const json_t *array, size_t index)
{
    return json_number_value(json_array_get(array, index));
}

static void print_box(const json_t *object)
{
    const json_t *box = json_object_get(object, "bbox_xywh");
    printf("x %3.0f  y %3.0f  %3.0f x %3.0f", item(box, 0), item(box, 1), item(box, 2),
           item(box, 3));
}

static void print_input(const json_t *answer)
{
    const json_t *input = json_object_get(answer, "input"),
                 *model = json_object_get(answer, "model");
    const json_t *intensity = json_object_get(input, "intensity");
    printf("slice        %.0f x %.0f pixels, window %.0f / %.0f HU%s\n", number(input, "width"),
           number(input, "height"), number(intensity, "window"), number(intensity, "level"),
           json_is_true(json_object_get(intensity, "assumed")) ? " (assumed)" : "");
    printf("model        %s, sha256 %.12s...\n", text(model, "name"), text(model, "sha256"));
    printf("time         %.0f ms\n", number(json_object_get(answer, "timing_ms"), "infer"));
}

static void print_classes(const json_t *classification)
{
    const json_t *classes = json_object_get(classification, "classes");
    const json_t *predicted = json_object_get(classification, "predicted");
    printf("\nclasses      (each on its own: the probabilities need not add up to 1)\n");
    if (json_array_size(classes) == 0)
        printf("  none: no region was found to judge by\n");
    for (size_t i = 0; i < json_array_size(classes); i++) {
        const json_t *class = json_array_get(classes, i);
        char bar[BAR + 1] = {0};
        double p = number(class, "probability");
        for (int k = 0; k < BAR; k++)
            bar[k] = k < p * BAR ? '#' : '.';
        bool largest = json_equal(json_object_get(class, "name"), predicted);
        printf("  %-17s %s %5.3f%s\n", text(class, "name"), bar, p, largest ? "  <- largest" : "");
    }
}

static void print_detections(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "detections");
    printf("\nfound        (box and area in pixels)\n");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *found = json_array_get(list, i);
        printf("  %-17s score %5.3f  ", text(found, "class"), number(found, "score"));
        print_box(found);
        printf("  area %.0f\n", number(found, "area_px"));
    }
    if (json_array_size(list) == 0)
        printf("  nothing above the score threshold\n");
    const json_t *burden = json_object_get(answer, "burden");
    const json_t *share = json_object_get(burden, "affected_pct");
    if (json_is_number(share))
        printf("  %.1f %% of the lungs affected\n", json_number_value(share));
}

static int by_attention(const void *a, const void *b)
{
    double x = number(*(json_t *const *)a, "attention_for");
    double y = number(*(json_t *const *)b, "attention_for");
    return (x < y) - (x > y);
}

static void print_regions(const json_t *explanation)
{
    const json_t *list = json_object_get(explanation, "rois"), *sorted[256];
    size_t count = json_array_size(list);
    if (count == 0 || count > sizeof sorted / sizeof *sorted)
        return;
    for (size_t i = 0; i < count; i++)
        sorted[i] = json_array_get(list, i);
    qsort(sorted, count, sizeof *sorted, by_attention);
    printf("\nattended     (%zu regions, %.0f of them different; those with most attention)\n",
           count, number(explanation, "unique_rois"));
    for (size_t i = 0; i < count && i < ROWS; i++) {
        printf("  %-17s for %4.1f %%  against %4.1f %%  ", text(sorted[i], "class"),
               100 * number(sorted[i], "attention_for"),
               100 * number(sorted[i], "attention_against"));
        print_box(sorted[i]);
        putchar('\n');
    }
}

static void print_warnings(const json_t *answer)
{
    const json_t *list = json_object_get(answer, "warnings");
    if (json_array_size(list) > 0)
        printf("\nwarnings\n");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *warning = json_array_get(list, i);
        printf("  %s: %s\n", text(warning, "code"), text(warning, "detail"));
    }
}

static void print_banner(const json_t *model)
{
    if (!json_is_false(json_object_get(model, "trained")))
        return;
    printf("************************************************************************\n"
           "*  THIS MODEL IS NOT TRAINED. Its weights come from a random number    *\n"
           "*  generator: everything below shows the form of an answer, nothing    *\n"
           "*  more. `oneshot serve --model FILE` takes a trained one.             *\n"
           "************************************************************************\n\n");
}

int main(void)
{
    json_error_t error;
    json_t *answer = json_loadf(stdin, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(json_object_get(answer, "classification"))) {
        fprintf(stderr, "findings: not an answer of /v1/predict: %s\n", answer ? "" : error.text);
        json_decref(answer);
        return 1;
    }
    print_banner(json_object_get(answer, "model"));
    print_input(answer);
    print_classes(json_object_get(answer, "classification"));
    print_detections(answer);
    print_regions(json_object_get(answer, "explanation"));
    print_warnings(answer);
    printf("\n%s\n", text(answer, "disclaimer"));
    json_decref(answer);
    return 0;
}
