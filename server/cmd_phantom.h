/* `oneshot phantom`: synthetic slices as a picture or as data sets. */
#ifndef ONESHOT_SERVER_CMD_PHANTOM_H
#define ONESHOT_SERVER_CMD_PHANTOM_H

/* argv[0] is the subcommand's name. Returns the exit code: 0, 1 failed, 2 wrong use. */
int cmd_phantom(int argc, char **argv);

#endif
