/*
 * Flags, their environment variables and their keys in a configuration file from one table, which
 * also checks ranges and writes the help. A command has a table over its own struct; the command
 * line wins over the environment, the environment over the file, the file over the default. Errors
 * are ERR_ARGUMENT texts for a person at a terminal.
 */
#ifndef ONESHOT_SERVER_FLAGS_H
#define ONESHOT_SERVER_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "model/base/error.h"

enum flag_kind {
    FLAG_TEXT,     /* const char *, pointing into argv, the environment or the file's text */
    FLAG_INT,      /* int */
    FLAG_NUMBER,   /* float */
    FLAG_BYTES,    /* size_t; 32M, 64K, 1G (powers of 1024) */
    FLAG_DURATION, /* int, milliseconds; 500ms, 30s, 5m, plain numbers are seconds */
    FLAG_CHOICE,   /* int, index into choices */
    FLAG_SWITCH,   /* bool, present or not; takes no value */
};

struct flag {
    const char *name; /* "max-body"; the variable is ONESHOT_MAX_BODY */
    char letter;      /* 'o' for -o; 0 for none */
    enum flag_kind kind;
    size_t offset;              /* of the field in the command's struct */
    const char *fallback;       /* default, as one would type it; "" leaves the field alone */
    double minimum, maximum;    /* of numbers, in the field's unit; maximum 0: no limit */
    const char *const *choices; /* NULL-terminated */
    const char *value;          /* what it is called in the help: "PORT" */
    const char *help;
};

struct flags {
    const struct flag *table;
    size_t count;
    const char *usage; /* "oneshot serve [FLAG]..." */
    const char *about; /* a paragraph; may be NULL */
    bool environment;  /* flags may be set by ONESHOT_* */
    const char *file;  /* name of the flag that names a configuration file; NULL: there is none */
    size_t file_text;  /* offset of a char * that keeps the file's text, for the caller to free */
};

/*
 * Fills `fields`. A configuration file has lines "name = value", a name being a flag without its
 * dashes; empty lines and lines that begin with '#' are left out. Arguments that are no flags are
 * moved to the front of argv (from argv[1] on) in their order, their number is *operands;
 * everything after "--" is one. *help is set where --help was asked for (and printed); then nothing
 * else is meaningful.
 */
int flags_parse(const struct flags *flags, void *fields, int argc, char **argv, int *operands,
                bool *help, struct error *err);

/* The help: text for a terminal, or a Markdown table. */
void flags_print(const struct flags *flags, FILE *out, bool markdown);

#endif
