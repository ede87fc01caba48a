#include "tests/http/service.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model/data/image.h"

enum { PATIENCE_MS = 20000, TICK_MS = 5, MAX_WORDS = 40 };

static void tick(void)
{
    struct timespec time = {0, TICK_MS * 1000000L};
    nanosleep(&time, NULL);
}

/* ---- processes ---- */

static void spawn(struct process *process, const char *const *first, const char *const *more,
                  const char *const *environment)
{
    const char *argv[MAX_WORDS] = {FAKE_BINARY};
    int n = 1;
    for (; first && *first; first++)
        argv[n++] = *first;
    for (; more && *more; more++) {
        ck_assert_int_lt(n, MAX_WORDS - 1);
        argv[n++] = *more;
    }
    process->port = 0;
    process->log = memfd_create("log", MFD_CLOEXEC);
    ck_assert_int_ge(process->log, 0);
    process->pid = fork();
    ck_assert_int_ge(process->pid, 0);
    if (process->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(process->log, STDERR_FILENO);
    dup2(process->log, STDOUT_FILENO);
    for (; environment && *environment; environment++)
        putenv((char *)*environment);
    execv(argv[0], (char *const *)argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

char *process_log(const struct process *process)
{
    off_t size = lseek(process->log, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    ck_assert_ptr_nonnull(text);
    ck_assert_int_eq(pread(process->log, text, (size_t)size, 0), size);
    return text;
}

static int occurrences(const char *text, const char *what)
{
    int count = 0;
    while ((text = strstr(text, what)) != NULL) {
        count++;
        text += strlen(what);
    }
    return count;
}

void process_expect_log(const struct process *process, const char *text, int times)
{
    for (int waited = 0;; waited += TICK_MS) {
        char *log = process_log(process);
        if (occurrences(log, text) >= times) {
            free(log);
            return;
        }
        ck_assert_msg(waited < PATIENCE_MS, "the log lacks %d x \"%s\":\n%s", times, text, log);
        free(log);
        tick();
    }
}

void process_start(struct process *process, const char *const *words,
                   const char *const *environment)
{
    static const char *const first[] = {"serve", "--port", "0", NULL};
    spawn(process, first, words, environment);
    process_expect_log(process, "\"event\":\"listening\"", 1);
    char *log = process_log(process);
    const char *where = strstr(log, "://127.0.0.1:");
    if (where)
        process->port = (int)strtol(where + 13, NULL, 10);
    process->tls = where && where[-1] == 's';
    free(log);
}

void process_start_ready(struct process *process, const char *const *words,
                         const char *const *environment)
{
    process_start(process, words, environment);
    process_expect_log(process, "\"event\":\"ready\"", 1);
}

int process_wait(struct process *process)
{
    int status = 0;
    for (int waited = 0; waitpid(process->pid, &status, WNOHANG) == 0; waited += TICK_MS) {
        ck_assert_msg(waited < PATIENCE_MS, "the process does not end");
        tick();
    }
    close(process->log);
    process->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int process_stop(struct process *process, int signal)
{
    ck_assert_int_eq(kill(process->pid, signal), 0);
    return process_wait(process);
}

int process_run(struct process *process, const char *const *words, const char *const *environment)
{
    spawn(process, words, NULL, environment);
    int log = dup(process->log);
    int code = process_wait(process);
    process->log = log;
    return code;
}

/* ---- libcurl ---- */

static size_t keep_header(char *text, size_t size, size_t count, void *context)
{
    struct answer *answer = context;
    size_t length = size * count, held = strlen(answer->headers);
    if (strncmp(text, "HTTP/", 5) == 0)
        held = 0;
    ck_assert_uint_lt(held + length, sizeof answer->headers);
    memcpy(answer->headers + held, text, length);
    answer->headers[held + length] = 0;
    return length;
}

size_t answer_keep(char *bytes, size_t size, size_t count, void *context)
{
    struct answer *answer = context;
    size_t length = size * count;
    answer->body = realloc(answer->body, answer->length + length + 1);
    ck_assert_ptr_nonnull(answer->body);
    memcpy(answer->body + answer->length, bytes, length);
    answer->length += length;
    answer->body[answer->length] = 0;
    return length;
}

struct answer http(const struct process *process, const char *method, const char *path,
                   const char *const *headers, const void *body, size_t length)
{
    struct answer answer = {.status = 0};
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    char url[2048];
    CURL *curl = curl_easy_init();
    ck_assert_ptr_nonnull(curl);
    snprintf(url, sizeof url, "%s://127.0.0.1:%d%s", process->tls ? "https" : "http", process->port,
             path);
    curl_easy_setopt(curl, CURLOPT_CAINFO, TEST_CERTIFICATE);
    bool typed = false;
    for (; headers && *headers; headers++) {
        typed |= strncasecmp(*headers, "Content-Type:", 13) == 0;
        list = curl_slist_append(list, *headers);
    }
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    if (body) {
        if (!typed)
            list = curl_slist_append(list, "Content-Type;");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
    if (strcmp(method, "HEAD") == 0)
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 3L * PATIENCE_MS);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, keep_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, answer_keep);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    CURLcode code = curl_easy_perform(curl);
    ck_assert_msg(code == CURLE_OK, "%s %s: %s", method, path, curl_easy_strerror(code));
    long status;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    answer.status = (int)status;
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);
    return answer;
}

void answer_free(struct answer *answer)
{
    free(answer->body);
    answer->body = NULL;
    answer->length = 0;
}

const char *answer_header(const struct answer *answer, const char *name)
{
    static __thread char value[1024];
    size_t length = strlen(name);
    for (const char *line = answer->headers; *line; line += strcspn(line, "\n") + 1) {
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            line += length + 1 + strspn(line + length + 1, " ");
            snprintf(value, sizeof value, "%.*s", (int)strcspn(line, "\r\n"), line);
            return value;
        }
        if (!strchr(line, '\n'))
            break;
    }
    return NULL;
}

bool answer_has(const struct answer *answer, const char *text)
{
    return answer->body && memmem(answer->body, answer->length, text, strlen(text)) != NULL;
}

/* ---- raw sockets ---- */

int raw_open(const struct process *process)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)process->port)};
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_msg(connect(fd, (struct sockaddr *)&where, sizeof where) == 0, "connect: %s",
                  strerror(errno));
    return fd;
}

bool raw_send(int fd, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;
    while (length > 0) {
        ssize_t n = send(fd, at, length, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        length -= (size_t)n;
    }
    return true;
}

void raw_text(int fd, const char *text)
{
    raw_send(fd, text, strlen(text));
}

char *raw_read(int fd, const char *enough)
{
    size_t length = 0, room = 65536;
    char *text = calloc(1, room);
    ck_assert_ptr_nonnull(text);
    for (;;) {
        struct pollfd set = {fd, POLLIN, 0};
        ck_assert_msg(poll(&set, 1, PATIENCE_MS) > 0, "nothing comes after \"%s\"", text);
        ssize_t n = recv(fd, text + length, room - length - 1, 0);
        if (n <= 0)
            return text;
        length += (size_t)n;
        text[length] = 0;
        if (enough && strstr(text, enough))
            return text;
        if (length + 1 == room) {
            text = realloc(text, room *= 2);
            ck_assert_ptr_nonnull(text);
        }
    }
}

/* ---- slices ---- */

static struct bytes encode(const uint8_t *pixels, int width, int height)
{
    struct bytes png = {NULL, 0};
    struct error err;
    ck_assert_int_eq(image_write_png(&png.data, &png.length, pixels, width, height, 1, &err), 0);
    return png;
}

struct bytes slice_png(int width, int height, unsigned seed)
{
    uint8_t *pixels = malloc((size_t)width * (size_t)height);
    ck_assert_ptr_nonnull(pixels);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            double u = 2.0 * x / width - 1, v = 2.0 * y / height - 1;
            int value = u * u / 0.7 + v * v / 0.45 < 1 ? 200 : 5;
            if ((fabs(u) - 0.38) * (fabs(u) - 0.38) / 0.06 + v * v / 0.16 < 1)
                value = 40 + (int)(seed % 64);
            seed = seed * 1664525u + 1013904223u;
            pixels[(size_t)y * (size_t)width + (size_t)x] = (uint8_t)(value + (int)(seed >> 28));
        }
    struct bytes png = encode(pixels, width, height);
    free(pixels);
    return png;
}

struct bytes flat_png(int side)
{
    uint8_t *pixels = calloc((size_t)side, (size_t)side);
    struct bytes png = encode(pixels, side, side);
    free(pixels);
    return png;
}

struct bytes multipart(const struct part *parts, size_t count)
{
    struct bytes body = {NULL, 0};
    FILE *out = open_memstream((char **)&body.data, &body.length);
    ck_assert_ptr_nonnull(out);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "--XX\r\nContent-Disposition: form-data; name=\"%s\"", parts[i].name);
        if (parts[i].filename)
            fprintf(out, "; filename=\"%s\"", parts[i].filename);
        if (parts[i].type)
            fprintf(out, "\r\nContent-Type: %s", parts[i].type);
        fprintf(out, "\r\n\r\n");
        size_t length = parts[i].length ? parts[i].length : strlen(parts[i].content);
        fwrite(parts[i].content, 1, length, out);
        fprintf(out, "\r\n");
    }
    fprintf(out, "--XX--\r\n");
    fclose(out);
    return body;
}

long process_peak_kb(const struct process *process)
{
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)process->pid);
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %ld", &kb) == 1)
            break;
    fclose(file);
    return kb;
}
