/*
 * The subcommands. Each gets argv with its own name in argv[0] and returns the exit code:
 * 0 done, 1 failed (the reason is on stderr), 2 called wrongly.
 */
#ifndef ONESHOT_SERVER_COMMANDS_H
#define ONESHOT_SERVER_COMMANDS_H

int cmd_serve(int argc, char **argv);
int cmd_predict(int argc, char **argv);
int cmd_selftest(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_request(int argc, char **argv);
int cmd_healthcheck(int argc, char **argv);

#endif
