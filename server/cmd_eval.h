/* `oneshot eval`: how well a model does on data sets with labels. */
#ifndef ONESHOT_SERVER_CMD_EVAL_H
#define ONESHOT_SERVER_CMD_EVAL_H

/* argv[0] is "eval". 0 done, 1 failed (the reason is on stderr), 2 called wrongly. */
int cmd_eval(int argc, char **argv);

#endif
