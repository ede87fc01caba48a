/* base/threads: the program starts again with a short spin, unless the operator chose one. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/base/threads.h"
#include "tests/unit/run.h"

/* What the child below prints when started with these settings: spin, wait policy, its argument. */
static void started_with(const char *settings, const char *expected)
{
    char program[4096], command[5000], line[256] = "";
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    ck_assert_int_gt(length, 0);
    program[length] = 0;
    snprintf(command, sizeof command,
             "env -u GOMP_SPINCOUNT -u OMP_WAIT_POLICY %s '%s' --child 'two words'", settings,
             program);
    FILE *child = popen(command, "r");
    ck_assert_ptr_nonnull(child);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, child));
    ck_assert_int_eq(pclose(child), 0);
    line[strcspn(line, "\n")] = 0;
    ck_assert_str_eq(line, expected);
}

static const char *or_none(const char *value)
{
    return value ? value : "none";
}

static int child(char **argv)
{
    threads_wait_briefly(argv);
    printf("%s %s %s\n", or_none(getenv("GOMP_SPINCOUNT")), or_none(getenv("OMP_WAIT_POLICY")),
           argv[2]);
    return 0;
}

START_TEST(brief_where_nothing_is_set)
{
    started_with("", "5000 none two words");
}
END_TEST

START_TEST(the_operator_decides)
{
    started_with("GOMP_SPINCOUNT=7", "7 none two words");
    started_with("OMP_WAIT_POLICY=active", "none active two words");
}
END_TEST

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--child") == 0)
        return child(argv);
    RUN("threads", brief_where_nothing_is_set, the_operator_decides);
}
