/* `oneshot convert`: a checkpoint of PyTorch into a weight file. */
#include "server/cmd_convert.h"

#include <stdio.h>

#include "model/convert/convert.h"
#include "model/net/backbone.h"
#include "server/flags.h"
#include "server/progress.h"

struct settings {
    bool optimizer, half, force;
    const char *batch_norm;
};

#define FIELD(name) offsetof(struct settings, name)

static const struct flag table[] = {
    {"optimizer", 0, FLAG_SWITCH, FIELD(optimizer), NULL, 0, 0, NULL, NULL,
     "keep Adam's moments and steps, to go on training"},
    {"batch-norm", 0, FLAG_TEXT, FIELD(batch_norm), "batch", 0, 0, NULL, "MODE",
     "norms' statistics: batch (the image's own), running, or BACKBONE/ATTENTION"},
    {"half", 0, FLAG_SWITCH, FIELD(half), NULL, 0, 0, NULL, NULL,
     "store weights of two and more dimensions in 16 bits"},
    {"force", 'f', FLAG_SWITCH, FIELD(force), NULL, 0, 0, NULL, NULL,
     "replace OUTPUT if it is there"},
};

static const struct flags flags = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .usage = "oneshot convert [FLAG]... CHECKPOINT OUTPUT",
    .about =
        "Turns a checkpoint written by torch.save (zip or legacy) into a safetensors weight file.\n"
        "The state dict may be what was saved, or lie in it as model_weights, state_dict, model\n"
        "or model_state_dict. The file is read as data: nothing that it names is ever run.",
    .environment = false,
};

static void print_dropped(const struct dropped *dropped)
{
    if (dropped->count == 0)
        return;
    printf("left out      ");
    for (size_t i = 0; i < dropped->count && i < WEIGHTS_MAX_DROPPED; i++)
        printf("%s %s", i ? "," : "", dropped->names[i]);
    if (dropped->count > WEIGHTS_MAX_DROPPED)
        printf(" and %zu more", dropped->count - WEIGHTS_MAX_DROPPED);
    printf("\n");
}

static void print_report(const struct convert_report *r, const char *in, const char *out)
{
    printf("input          %s (%s container)\n", in, r->container);
    printf("state dict     %s\n", r->state_dict[0] ? r->state_dict : "what was saved");
    printf("architecture   %s\n", r->architecture);
    printf("backbone       %s\n", r->backbone);
    if (r->out_channels)
        printf("out channels   %d\n", r->out_channels);
    printf("tensors        %zu\n", r->tensors);
    printf("parameters     %lld\n", (long long)r->parameters);
    if (r->moments)
        printf("optimizer      Adam's moments of %zu parameters\n", r->moments);
    print_dropped(&r->dropped);
    printf("output         %s (%.1f MB of tensors)\n", out, (double)r->bytes / 1e6);
    if (!backbone_find(r->backbone))
        printf("note           this backbone is none of %s: the file can be looked at, but not "
               "served or trained on\n",
               backbone_names());
}

/* Called by the conversion after each tensor. */
static void show_progress(void *user, int64_t done, int64_t total)
{
    struct progress *progress = user;
    if (!progress->what)
        progress_start(progress, "convert", total, true);
    progress_set(progress, done);
}

int cmd_convert(int argc, char **argv)
{
    struct settings settings = {0};
    struct progress progress = {0};
    struct convert_report report;
    struct error err;
    int count;
    bool help;
    if (flags_parse(&flags, &settings, argc, argv, &count, &help, &err) != 0) {
        fprintf(stderr, "oneshot convert: %s\n", err.text);
        return 2;
    }
    if (help)
        return 0;
    if (count != 2) {
        fprintf(stderr, "oneshot convert: give it a checkpoint and the file to write; --help tells "
                        "more\n");
        return 2;
    }
    const struct convert_options options = {.optimizer = settings.optimizer,
                                            .half = settings.half,
                                            .force = settings.force,
                                            .batch_norm = settings.batch_norm,
                                            .progress = show_progress,
                                            .progress_user = &progress};
    int rc = convert_checkpoint(argv[1], argv[2], &options, &report, &err);
    progress_end(&progress);
    if (rc != 0) {
        fprintf(stderr, "oneshot convert: %s\n", err.text);
        return err.code == ERR_ARGUMENT ? 2 : 1;
    }
    print_report(&report, argv[1], argv[2]);
    return 0;
}
