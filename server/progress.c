#include "server/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "api/slice.h"

void progress_start(struct progress *progress, const char *what, int64_t total, bool worthwhile)
{
    *progress = (struct progress){.shown = worthwhile && total > 0 && isatty(STDERR_FILENO),
                                  .what = what,
                                  .total = total,
                                  .started_ms = clock_ms()};
    progress_set(progress, 0);
}

void progress_set(struct progress *progress, int64_t done)
{
    enum { CELLS = 30 };
    double now = clock_ms();
    if (!progress->shown || (done < progress->total && now - progress->drawn_ms < 80))
        return;
    progress->drawn_ms = now;
    double share = (double)done / (double)progress->total;
    int full = (int)(share * CELLS);
    char bar[CELLS + 1];
    for (int i = 0; i < CELLS; i++)
        bar[i] = i < full ? '#' : '.';
    bar[CELLS] = 0;
    double left = share > 0 ? (now - progress->started_ms) / 1e3 * (1 - share) / share : 0;
    fprintf(stderr, "\r%s [%s] %3.0f%%  %lld/%lld  %.0f s left \033[K", progress->what, bar,
            100 * share, (long long)done, (long long)progress->total, left);
    fflush(stderr);
}

void progress_end(struct progress *progress)
{
    if (progress->shown)
        fprintf(stderr, "\r\033[K");
    progress->shown = false;
}
