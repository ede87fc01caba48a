/* oneshot healthcheck: for containers and scripts. */
#include <stdio.h>
#include <string.h>

#include "server/client.h"
#include "server/commands.h"
#include "server/flags.h"

struct settings {
    const char *unix_socket, *ca_file;
    bool insecure;
    int timeout_ms;
};

static const struct flag table[] = {
    {"unix-socket", 0, FLAG_TEXT, offsetof(struct settings, unix_socket), "", 0, 0, NULL, "PATH",
     "connect to this socket"},
    {"cacert", 0, FLAG_TEXT, offsetof(struct settings, ca_file), "", 0, 0, NULL, "FILE",
     "trust these certificates (PEM) instead of the system's"},
    {"insecure", 'k', FLAG_SWITCH, offsetof(struct settings, insecure), NULL, 0, 0, NULL, NULL,
     "trust any certificate"},
    {"timeout", 0, FLAG_DURATION, offsetof(struct settings, timeout_ms), "3s", 1, 600000, NULL,
     "TIME", "longest wait for the answer"},
};

static const struct flags flags = {
    .table = table,
    .count = sizeof table / sizeof *table,
    .usage = "oneshot healthcheck [FLAG]... [URL]",
    .about =
        "Asks URL (http://127.0.0.1:8080/readyz; a URL without a path gets /readyz). Exits with 0\n"
        "where the answer is 200, else with 1.",
    .environment = false,
};

/* Adds /readyz where the URL ends with the host. */
static int full_url(char *out, size_t size, const char *url)
{
    const char *host = strstr(url, "://");
    const char *path = strchr(host ? host + 3 : url, '/');
    int n = snprintf(out, size, "%s%s", url, !path ? "/readyz" : path[1] == 0 ? "readyz" : "");
    return n > 0 && (size_t)n < size ? 0 : -1;
}

int cmd_healthcheck(int argc, char **argv)
{
    struct settings settings = {0};
    struct client *client = NULL;
    struct client_answer answer = {0};
    struct error err;
    char url[2048];
    int count, status = 1;
    bool help;
    if (flags_parse(&flags, &settings, argc, argv, &count, &help, &err) != 0) {
        fprintf(stderr, "oneshot healthcheck: %s\n", err.text);
        return 2;
    }
    if (help)
        return 0;
    if (count > 1 || full_url(url, sizeof url, count ? argv[1] : "http://127.0.0.1:8080") != 0) {
        fprintf(stderr, "oneshot healthcheck: takes one URL\n");
        return 2;
    }
    buffer_init(&answer.body, 65536);
    struct client_request request = {
        .url = url,
        .peer = {settings.unix_socket, settings.ca_file, settings.insecure, NULL},
        .timeout_ms = settings.timeout_ms,
    };
    if (client_open(&client, &err) != 0 || client_exchange(&answer, client, &request, &err) != 0) {
        fprintf(stderr, "oneshot healthcheck: %s\n", err.text);
    } else {
        status = answer.status == 200 ? 0 : 1;
        const char *said = answer.body.bytes ? (const char *)answer.body.bytes : "";
        size_t length = strlen(said);
        bool ended = length > 0 && said[length - 1] == '\n';
        fprintf(status ? stderr : stdout, "%d %s%s", answer.status, said, ended ? "" : "\n");
    }
    buffer_free(&answer.body);
    client_close(client);
    return status;
}
