/* `oneshot train`: from labelled slices to a weight file. */
#ifndef ONESHOT_SERVER_CMD_TRAIN_H
#define ONESHOT_SERVER_CMD_TRAIN_H

/*
 * argv[0] is "train". 0 done, 1 failed (the reason is on stderr), 2 called wrongly, 130 stopped by
 * a signal after writing a checkpoint.
 */
int cmd_train(int argc, char **argv);

#endif
