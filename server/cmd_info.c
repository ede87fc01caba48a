/* oneshot info: the model as JSON. oneshot selftest: does it work here? */
#include <stdio.h>
#include <stdlib.h>

#include "api/json.h"
#include "api/selftest.h"
#include "server/commands.h"
#include "server/config.h"
#include "server/local.h"

struct settings {
    const char *model;
    int threads;
};

static const struct flag table[] = {
    {"model", 'm', FLAG_TEXT, offsetof(struct settings, model), "", 0, 0, NULL, "FILE",
     "weight file; without it, the model that comes along"},
    {"threads", 't', FLAG_INT, offsetof(struct settings, threads), "0", 0, 256, NULL, "N",
     "cores to use; 0: all"},
};

static const struct flags info_flags = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .usage = "oneshot info [FLAG]...",
    .about = "Prints what the service would say of this model at /v1/info.",
    .environment = true,
};

static const struct flags selftest_flags = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .usage = "oneshot selftest [FLAG]...",
    .about = "Predicts a synthetic slice twice; every output must be finite, in range and the same "
             "twice.",
    .environment = true,
};

static int print_info(struct local *local, struct error *err)
{
    struct api_limits limits = {.workers = 1, .max_files = API_MAX_FILES};
    struct api_state state = {.phase = PHASE_READY, .model = model_info(local->model)};
    struct config defaults;
    char *text = NULL, *none[] = {NULL, NULL};
    size_t length;
    bool help;
    int rc = config_read(&defaults, 1, none, &help, err);
    config_free(&defaults);
    if (rc != 0)
        return -1;
    limits.max_body = defaults.max_body;
    limits.max_buffered = defaults.max_buffered;
    limits.max_pixels = defaults.max_pixels;
    limits.max_slices = defaults.max_slices;
    limits.max_ratio = defaults.max_ratio;
    limits.queue_capacity = defaults.queue;
    limits.timeout_ms = defaults.timeout_ms;
    limits.max_connections = defaults.max_connections;
    if (json_info(&text, &length, &limits, &state, true, err) != 0)
        return -1;
    puts(text);
    free(text);
    return 0;
}

static int print_selftest(struct local *local, struct error *err)
{
    double start = clock_ms();
    if (selftest_run(&local->worker, err) != 0)
        return -1;
    const struct model_info *info = model_info(local->model);
    const double *seconds = local->worker.prediction->seconds;
    printf("ok: %s %s, two slices in %.0f ms on %d threads (%s)%s\n", info->name, info->version,
           clock_ms() - start, info->threads, info->isa,
           info->trained ? "" : "; the model is not trained");
    for (int i = 0; i < MODEL_STAGES; i++)
        printf("  %-12s %8.2f ms\n", model_stage_name(i), seconds[i] * 1e3);
    return 0;
}

static int run(const char *name, const struct flags *flags, int argc, char **argv,
               int (*print)(struct local *local, struct error *err))
{
    struct settings settings = {0};
    struct local local = {0};
    struct error err;
    int count, status = 1;
    bool help;
    if (flags_parse(flags, &settings, argc, argv, &count, &help, &err) != 0 || count > 0) {
        fprintf(stderr, "oneshot %s: %s\n", name, count > 0 ? "takes flags only" : err.text);
        return 2;
    }
    if (help)
        return 0;
    size_t pixels = (size_t)MODEL_INPUT_SIDE * MODEL_INPUT_SIDE;
    if (local_open(&local, settings.model, settings.threads, pixels, &err) != 0 ||
        print(&local, &err) != 0)
        fprintf(stderr, "oneshot %s: %s\n", name, err.text);
    else
        status = 0;
    local_close(&local);
    return status;
}

int cmd_info(int argc, char **argv)
{
    return run("info", &info_flags, argc, argv, print_info);
}

int cmd_selftest(int argc, char **argv)
{
    return run("selftest", &selftest_flags, argc, argv, print_selftest);
}
