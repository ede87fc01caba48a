#include "server/cmd_convert.h"

#include <getopt.h>
#include <stdio.h>

#include "model/convert/convert.h"

static const char usage[] =
    "usage: oneshot convert [options] CHECKPOINT OUTPUT\n"
    "\n"
    "Turns a checkpoint written by torch.save (zip or legacy) into a safetensors weight file.\n"
    "The state dict may be the saved object, or lie in it as model_weights, state_dict, model or\n"
    "model_state_dict. The file is read as data: nothing that it names is ever run.\n"
    "\n"
    "  --optimizer        keep Adam's moments and steps, to go on training\n"
    "  --batch-norm MODE  where norms take their statistics from: batch (the image itself) or\n"
    "                     running; BACKBONE/ATTENTION sets the two apart, as in running/batch.\n"
    "                     Default batch: checkpoints of the reference are evaluated that way\n"
    "  --half             store weights of two and more dimensions in 16 bits\n"
    "  --force            replace OUTPUT if it is there\n"
    "  --help             show this text\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage.\n";

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static int wrong_usage(const char *what)
{
    fprintf(stderr, "oneshot convert: %s; see oneshot convert --help\n", what);
    return EXIT_USAGE;
}

static void print_dropped(const struct dropped *dropped)
{
    if (dropped->count == 0)
        return;
    printf("left out       ");
    for (size_t i = 0; i < dropped->count && i < WEIGHTS_MAX_DROPPED; i++)
        printf("%s%s", i ? ", " : "", dropped->names[i]);
    if (dropped->count > WEIGHTS_MAX_DROPPED)
        printf(" and %zu more", dropped->count - WEIGHTS_MAX_DROPPED);
    printf("\n");
}

static void print_report(const struct convert_report *r, const char *in, const char *out)
{
    printf("input          %s (%s container)\n", in, r->container);
    printf("state dict     %s\n", r->state_dict[0] ? r->state_dict : "the saved object itself");
    printf("architecture   %s\n", r->architecture);
    printf("backbone       %s\n", r->backbone);
    if (r->out_channels)
        printf("out channels   %d\n", r->out_channels);
    printf("tensors        %zu\n", r->tensors);
    printf("parameters     %lld\n", (long long)r->parameters);
    if (r->moments)
        printf("optimizer      Adam, moments of %zu parameters\n", r->moments);
    print_dropped(&r->dropped);
    printf("output         %s (%.1f MB of tensors)\n", out, (double)r->bytes / 1e6);
}

int cmd_convert(int argc, char **argv)
{
    enum { OPTIMIZER = 1, BATCH_NORM, HALF, FORCE, HELP };
    static const struct option flags[] = {
        {"optimizer", no_argument, NULL, OPTIMIZER},
        {"batch-norm", required_argument, NULL, BATCH_NORM},
        {"half", no_argument, NULL, HALF},
        {"force", no_argument, NULL, FORCE},
        {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    struct convert_options options = {0};
    int flag;
    optind = 0; /* start over: the caller may have parsed options of its own */
    opterr = 0;
    while ((flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        switch (flag) {
        case OPTIMIZER:
            options.optimizer = true;
            break;
        case BATCH_NORM:
            options.batch_norm = optarg;
            break;
        case HALF:
            options.half = true;
            break;
        case FORCE:
            options.force = true;
            break;
        case HELP:
            fputs(usage, stdout);
            return EXIT_DONE;
        default:
            return wrong_usage("unknown option, or one without its value");
        }
    }
    if (argc - optind != 2)
        return wrong_usage("needs a checkpoint and an output file");

    struct error err;
    struct convert_report report;
    const char *in = argv[optind], *out = argv[optind + 1];
    if (convert_checkpoint(in, out, &options, &report, &err)) {
        fprintf(stderr, "oneshot convert: %s\n", err.text);
        return err.code == ERR_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
    }
    print_report(&report, in, out);
    return EXIT_DONE;
}
