/* server/flags, server/config: where a value comes from, what is refused, the help. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/cgroup.h"
#include "server/config.h"
#include "tests/unit/run.h"
#include "tests/unit/scratch.h"

static struct config config;
static struct error err;
static bool help;

/* Reads a command line given as words. */
#define READ(...)                                                                                  \
    read_words((char *[]){(char[]){"serve"}, __VA_ARGS__, NULL},                                   \
               sizeof((char *[]){NULL, __VA_ARGS__}) / sizeof(char *))
#define W(text) ((char[]){text})

static int read_words(char **argv, size_t argc)
{
    memset(&err, 0, sizeof err);
    return config_read(&config, (int)argc, argv, &help, &err);
}

static void clear(void)
{
    static const char *const names[] = {"ONESHOT_PORT", "ONESHOT_MAX_BODY", "ONESHOT_UI",
                                        "ONESHOT_LOG_FORMAT"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
}

START_TEST(defaults)
{
    clear();
    char *argv[] = {W("serve"), NULL};
    ck_assert_int_eq(read_words(argv, 1), 0);
    ck_assert_str_eq(config.host, "127.0.0.1");
    ck_assert_int_eq(config.port, 8080);
    ck_assert_uint_eq(config.max_body, 256u << 20);
    ck_assert_int_eq(config.timeout_ms, 60000);
    ck_assert_int_eq(config.ui, 0);
    ck_assert_str_eq(config.api_prefix, "");
    ck_assert(!help);
}
END_TEST

START_TEST(the_command_line_wins_over_the_environment)
{
    clear();
    setenv("ONESHOT_PORT", "1234", 1);
    setenv("ONESHOT_MAX_BODY", "64K", 1);
    setenv("ONESHOT_LOG_FORMAT", "text", 1);
    ck_assert_int_eq(READ(W("--max-body"), W("1M")), 0);
    ck_assert_int_eq(config.port, 1234);
    ck_assert_uint_eq(config.max_body, 1u << 20);
    ck_assert_int_eq(config.log_format, 1);
    setenv("ONESHOT_PORT", "none", 1);
    ck_assert_int_ne(READ(W("--ui=off")), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "ONESHOT_PORT"));
    clear();
}
END_TEST

/* Writes a configuration file and gives its path. */
static const char *write_config(const char *text)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/oneshot-config-%d", (int)getpid());
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), file), strlen(text));
    fclose(file);
    return path;
}

START_TEST(the_file_is_below_the_environment)
{
    clear();
    const char *path =
        write_config("\xef\xbb\xbf# a comment\n\n port=1111\r\nmax-body = 64K # of = 32M\n"
                     "\tlog-format\t=\ttext \nhost = ::1\nmodel = a = b#c\t# d # e\nui=off");
    setenv("ONESHOT_MAX_BODY", "128K", 1);
    ck_assert_int_eq(READ(W("--ui"), W("on"), W("--config"), (char *)path), 0);
    ck_assert_int_eq(config.port, 1111);
    ck_assert_uint_eq(config.max_body, 128u << 10);
    ck_assert_int_eq(config.log_format, 1);
    ck_assert_str_eq(config.host, "::1");
    ck_assert_str_eq(config.model, "a = b#c");
    ck_assert_int_eq(config.ui, 0);
    ck_assert_int_eq(config.queue, 64);
    config_free(&config);
    setenv("ONESHOT_CONFIG", path, 1);
    ck_assert_int_eq(READ(W("-p"), W("2222")), 0);
    ck_assert_int_eq(config.port, 2222);
    ck_assert_int_eq(config.ui, 1);
    config_free(&config);
    unsetenv("ONESHOT_CONFIG");
    clear();
    unlink(path);
}
END_TEST

START_TEST(every_way_to_name_the_file)
{
    clear();
    char *path = (char *)write_config("port = 1111");
    char together[80];
    snprintf(together, sizeof together, "--config=%s", path);
    ck_assert_int_eq(READ(W("-c"), path), 0);
    ck_assert_int_eq(config.port, 1111);
    config_free(&config);
    ck_assert_int_eq(READ(W("--config"), path), 0);
    ck_assert_int_eq(config.port, 1111);
    config_free(&config);
    ck_assert_int_eq(READ(together), 0);
    ck_assert_int_eq(config.port, 1111);
    config_free(&config);
    ck_assert_int_ne(READ(W("-c"), W("/nonexistent/config")), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/config"));
    config_free(&config);
    unlink(path);
}
END_TEST

START_TEST(files_that_are_refused)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"port 80", ":1: a line is NAME = VALUE"},
        {"\n#\nprot = 80", ":3: there is no \"prot\""},
        {"port = 80\nport = 80", ":2: port is there more than once"},
        {"port = many", ":1: port takes a whole number"},
        {"config = x", "there is no \"config\""},
        {"= x", "there is no \"\""},
        {"tls-cert = x", "belong together"},
        {"metrics = key", "--api-key-file"},
        {"cors-origins = viewer.example", "https://viewer.example"},
    };
    clear();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *path = write_config(cases[i].text);
        ck_assert_int_ne(READ(W("--config"), (char *)path), 0);
        ck_assert_msg(strstr(err.text, cases[i].says) != NULL, "%s: %s", cases[i].text, err.text);
        config_free(&config);
        unlink(path);
    }
    ck_assert_int_ne(READ(W("--config=/nonexistent/config")), 0);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/config"));
}
END_TEST

START_TEST(forms_of_flags)
{
    clear();
    /* Texts of the configuration point into the words. */
    char *argv[] = {W("serve"),
                    W("-p"),
                    W("0"),
                    W("--ui=off"),
                    W("--timeout=1500ms"),
                    W("--drain-delay"),
                    W("5m"),
                    W("--max-pixels=4M"),
                    W("--api-prefix=/a/b-c"),
                    NULL};
    ck_assert_int_eq(read_words(argv, 9), 0);
    ck_assert_int_eq(config.port, 0);
    ck_assert_int_eq(config.ui, 1);
    ck_assert_int_eq(config.timeout_ms, 1500);
    ck_assert_int_eq(config.drain_delay_ms, 300000);
    ck_assert_uint_eq(config.max_pixels, 4u << 20);
    ck_assert_str_eq(config.api_prefix, "/a/b-c");
}
END_TEST

START_TEST(refusals_say_why)
{
    static const struct {
        const char *first, *second; /* second may be NULL */
        const char *says;
    } cases[] = {
        {"--port", "65536", "0 to 65535"},
        {"--port", "-1", "0 to 65535"},
        {"--port", "80x", "whole number"},
        {"--port", "0x50", "whole number"},
        {"--port", "8.5", "whole number"},
        {"--port", "", "whole number"},
        {"--port", NULL, "needs a value"},
        {"--prot", "80", "no flag --prot"},
        {"-x", NULL, "no flag -x"},
        {"--max-body", "1T", "32M"},
        {"--max-body", "0", "1024 to"},
        {"--max-body", "1500M", "--max-buffered"},
        {"--timeout", "soon", "30s"},
        {"--timeout", "0", "1 to"},
        {"--ui", "maybe", "on, off"},
        {"--log-level", "loud", "debug, info, warn, error"},
        {"--workers", "0", "1 to 64"},
        {"--api-prefix", "ct", "beginning with a slash"},
        {"--api-prefix", "/ct/", "not ending in one"},
        {"--api-prefix", "/a//b", "path"},
        {"--api-prefix", "/..", "path"},
        {"--api-prefix", "/a b", "path"},
        {"file.png", NULL, "flags only"},
        {"--", "x", "flags only"},
    };
    clear();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char first[64], second[64];
        snprintf(first, sizeof first, "%s", cases[i].first);
        snprintf(second, sizeof second, "%s", cases[i].second ? cases[i].second : "");
        char *argv[] = {W("serve"), first, second, NULL};
        if (!cases[i].second)
            argv[2] = NULL;
        ck_assert_msg(read_words(argv, cases[i].second ? 3 : 2) != 0, "%s %s was taken", first,
                      second);
        ck_assert_int_eq(err.code, ERR_ARGUMENT);
        ck_assert_msg(strstr(err.text, cases[i].says) != NULL, "%s %s: %s", first, second,
                      err.text);
    }
}
END_TEST

START_TEST(operands_come_to_the_front)
{
    struct {
        bool quiet;
        float share;
    } fields = {0};
    const struct flag table[] = {
        {"quiet", 'q', FLAG_SWITCH, offsetof(__typeof__(fields), quiet), NULL, 0, 0, NULL, NULL,
         ""},
        {"share", 0, FLAG_NUMBER, offsetof(__typeof__(fields), share), "0.5", 0, 1, NULL, "N", ""},
    };
    const struct flags flags = {.table = table, .count = 2, .usage = "x"};
    char *argv[] = {W("x"),    W("a"), W("-q"), W("b"),  W("--share"),
                    W("0.25"), W("-"), W("--"), W("-c"), NULL};
    int operands;
    ck_assert_int_eq(flags_parse(&flags, &fields, 9, argv, &operands, &help, &err), 0);
    ck_assert_int_eq(operands, 4);
    ck_assert_str_eq(argv[1], "a");
    ck_assert_str_eq(argv[2], "b");
    ck_assert_str_eq(argv[3], "-");
    ck_assert_str_eq(argv[4], "-c");
    ck_assert(fields.quiet);
    ck_assert_float_eq(fields.share, 0.25f);
    char *valued[] = {W("x"), W("--quiet=1"), NULL};
    ck_assert_int_ne(flags_parse(&flags, &fields, 2, valued, &operands, &help, &err), 0);
}
END_TEST

START_TEST(the_help_names_every_flag)
{
    char *text = NULL;
    size_t length = 0;
    for (int markdown = 0; markdown <= 1; markdown++) {
        FILE *out = open_memstream(&text, &length);
        flags_print(&serve_flags, out, markdown);
        fclose(out);
        for (size_t i = 0; i < serve_flags.count; i++) {
            char name[80];
            snprintf(name, sizeof name, "--%s", serve_flags.table[i].name);
            ck_assert_msg(strstr(text, name) != NULL, "%s", name);
        }
        ck_assert_ptr_nonnull(strstr(text, "ONESHOT_MAX_BODY"));
        free(text);
    }
}
END_TEST

START_TEST(cores_are_shared)
{
    static const struct {
        int workers, threads, cores, workers_after, threads_after;
        bool reduced;
    } cases[] = {
        {1, 0, 8, 1, 8, false}, {2, 0, 8, 2, 4, false}, {3, 0, 8, 3, 2, false},
        {2, 2, 8, 2, 2, false}, {2, 8, 8, 2, 4, true},  {9, 1, 8, 8, 1, true},
        {4, 0, 1, 1, 1, true},  {1, 1, 1, 1, 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        config.workers = cases[i].workers;
        config.threads = cases[i].threads;
        ck_assert_int_eq(config_share_cores(&config, cases[i].cores), cases[i].reduced);
        ck_assert_int_eq(config.workers, cases[i].workers_after);
        ck_assert_int_eq(config.threads, cases[i].threads_after);
    }
    ck_assert_int_ge(config_cores(), 1);
}
END_TEST

static void write_text(const char *name, const char *text)
{
    FILE *file = fopen(scratch(name), "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

START_TEST(a_quota_counts_in_whole_cores)
{
    static const struct {
        const char *quota;
        int cores;
    } cases[] = {{"max 100000\n", 0},    {"400000 100000\n", 4}, {"150000 100000\n", 1},
                 {"399999 100000\n", 3}, {"20000 100000\n", 1},  {"", 0}};
    char root[512];
    snprintf(root, sizeof root, "%s", scratch(""));
    root[strlen(root) - 1] = 0;
    write_text("groups", "0::/here\n");
    ck_assert_int_eq(cgroup_cores_at(scratch("groups"), root), 0);
    ck_assert_int_eq(cgroup_cores_at(scratch("nowhere"), root), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text("cpu.max", cases[i].quota);
        ck_assert_int_eq(cgroup_cores_at(scratch("groups"), root), cases[i].cores);
    }
    /* The smallest of the group and those above it, in both versions. */
    ck_assert_int_eq(mkdir(scratch("here"), 0700), 0);
    write_text("cpu.max", "300000 100000\n");
    write_text("here/cpu.max", "700000 100000\n");
    ck_assert_int_eq(cgroup_cores_at(scratch("groups"), root), 3);
    write_text("here/cpu.max", "200000 100000\n");
    ck_assert_int_eq(cgroup_cores_at(scratch("groups"), root), 2);
    remove(scratch("here/cpu.max"));
    write_text("groups", "3:memory:/x\n2:cpu:/\n0::/here\n");
    ck_assert_int_eq(mkdir(scratch("cpu"), 0700), 0);
    write_text("cpu/cpu.cfs_quota_us", "250000\n");
    write_text("cpu/cpu.cfs_period_us", "100000\n");
    ck_assert_int_eq(cgroup_cores_at(scratch("groups"), root), 2);
    write_text("cpu/cpu.cfs_quota_us", "-1\n");
    ck_assert_int_eq(cgroup_cores_at(scratch("groups"), root), 3);
    remove(scratch("cpu/cpu.cfs_quota_us"));
    remove(scratch("cpu/cpu.cfs_period_us"));
}
END_TEST

int main(void)
{
    RUN("config", defaults, the_command_line_wins_over_the_environment,
        the_file_is_below_the_environment, every_way_to_name_the_file, files_that_are_refused,
        forms_of_flags, refusals_say_why, operands_come_to_the_front, the_help_names_every_flag,
        cores_are_shared, a_quota_counts_in_whole_cores);
}
