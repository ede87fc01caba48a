/* oneshot: one binary, its subcommands in a table. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "model/base/threads.h"
#include "server/cmd_convert.h"
#include "server/cmd_eval.h"
#include "server/cmd_phantom.h"
#include "server/cmd_train.h"
#include "server/commands.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} commands[] = {
    {"serve", cmd_serve, "answer predictions over HTTP"},
    {"predict", cmd_predict, "predict slices and volumes given as files"},
    {"request", cmd_request, "send files to a running service"},
    {"healthcheck", cmd_healthcheck, "ask a running service whether it is ready"},
    {"info", cmd_info, "describe the model"},
    {"selftest", cmd_selftest, "check that the model works on this machine"},
#ifndef ONESHOT_FAKE_MODEL /* these need the model itself, not only model.h */
    {"convert", cmd_convert, "make a weight file from a PyTorch checkpoint"},
    {"train", cmd_train, "train a model in one shot from two data sets"},
    {"eval", cmd_eval, "measure a model on labelled data sets"},
    {"phantom", cmd_phantom, "draw synthetic chest slices, with exact labels"},
#endif
};

static void print_usage(FILE *out)
{
    fprintf(out, "usage: oneshot COMMAND [ARGUMENT]...\n\n");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(out, "  %-12s %s\n", commands[i].name, commands[i].about);
    fprintf(out, "\noneshot COMMAND --help tells more; oneshot --version says which this is.\n");
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    threads_wait_briefly(argv);
    signal(SIGXFSZ, SIG_IGN); /* a file beyond ulimit -f is an error like a full disk */
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (strcmp(name, "--version") == 0) {
        printf("oneshot %s\n", ONESHOT_VERSION);
        return 0;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (*name)
        fprintf(stderr, "oneshot: there is no command \"%s\"\n\n", name);
    print_usage(stderr);
    return 2;
}
