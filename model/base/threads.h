/*
 * How long OpenMP's threads wait for each other before they give their core away.
 *
 * libgomp's threads spin at every barrier for milliseconds. On cores that are theirs alone this
 * costs nothing; next to any other busy process a thread spins through the time that the one it
 * waits for needs, and a slice takes ten times as long. It reads how long from the environment
 * when it is loaded, which is before main().
 */
#ifndef ONESHOT_BASE_THREADS_H
#define ONESHOT_BASE_THREADS_H

/*
 * Starts the program again with a spin of about 0.1 ms (GOMP_SPINCOUNT), unless the environment
 * says something about waiting already. To be called first in main(), once. Returns where there is
 * nothing to do or the program cannot be started again, which is no error: it is slower then.
 */
void threads_wait_briefly(char **argv);

#endif
