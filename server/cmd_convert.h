/* `oneshot convert`: a checkpoint of PyTorch into a weight file. */
#ifndef ONESHOT_SERVER_CMD_CONVERT_H
#define ONESHOT_SERVER_CMD_CONVERT_H

/*
 * argv[0] is "convert". Returns the exit code: 0 done, 1 failed (the reason is on standard error),
 * 2 wrong usage.
 */
int cmd_convert(int argc, char **argv);

#endif
