#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/soak/soak.h"

void wire_open(struct wire *wire, int port, bool narrow)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int least = 1;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *wire = (struct wire){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    if (narrow)
        setsockopt(wire->fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof least);
    if (connect(wire->fd, (struct sockaddr *)&where, sizeof where) != 0) {
        close(wire->fd);
        wire->fd = -1;
    }
}

void wire_close(struct wire *wire, bool reset)
{
    struct linger at_once = {1, 0};
    if (wire->fd >= 0) {
        if (reset)
            setsockopt(wire->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(wire->fd);
    }
    free(wire->held);
    *wire = (struct wire){.fd = -1};
}

bool wire_send(struct wire *wire, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length > 0) {
        ssize_t n = send(wire->fd, at, length, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        length -= (size_t)n;
    }
    return true;
}

bool wire_text(struct wire *wire, const char *text)
{
    return wire_send(wire, text, strlen(text));
}

/* Reads once more. */
static enum arrival take(struct wire *wire, double until_ms, enum pace pace)
{
    if (wire->fd < 0)
        return CLOSED;
    if (wire->room - wire->length < 4096) {
        wire->room = 2 * wire->room + 8192;
        wire->held = realloc(wire->held, wire->room);
        if (!wire->held)
            die("no memory");
    }
    if (pace == SLOWLY)
        nap_ms(2);
    double left = until_ms - now_ms();
    struct pollfd set = {wire->fd, POLLIN, 0};
    if (left <= 0 || poll(&set, 1, (int)left + 1) <= 0)
        return SILENT;
    size_t most = pace == SLOWLY ? 700 : wire->room - wire->length - 1;
    ssize_t n = recv(wire->fd, wire->held + wire->length, most, 0);
    if (n <= 0)
        return CLOSED;
    wire->length += (size_t)n;
    wire->held[wire->length] = 0;
    return ARRIVED;
}

static const char *header_in(const char *head, const char *end, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = strchr(head, '\n'); line && line < end; line = strchr(line, '\n')) {
        line++;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1 + strspn(line + length + 1, " ");
    }
    return NULL;
}

/* Removes `length` bytes from the beginning of what is held. */
static void drop(struct wire *wire, size_t length)
{
    wire->length -= length;
    memmove(wire->held, wire->held + length, wire->length + 1);
}

/* Appends `length` bytes to the body, and drops them with `behind` more, once they are there. */
static enum arrival take_body(struct wire *wire, struct answer *answer, size_t length,
                              size_t behind, double until_ms, enum pace pace)
{
    enum arrival arrival;
    while (wire->length < length + behind)
        if ((arrival = take(wire, until_ms, pace)) != ARRIVED)
            return arrival;
    answer->body = realloc(answer->body, answer->length + length + 1);
    if (!answer->body)
        die("no memory");
    memcpy(answer->body + answer->length, wire->held, length);
    answer->length += length;
    answer->body[answer->length] = 0;
    drop(wire, length + behind);
    return ARRIVED;
}

static enum arrival take_chunks(struct wire *wire, struct answer *answer, double until_ms,
                                enum pace pace)
{
    enum arrival arrival;
    for (;;) {
        char *end;
        while (wire->length == 0 || (end = strstr(wire->held, "\r\n")) == NULL)
            if ((arrival = take(wire, until_ms, pace)) != ARRIVED)
                return arrival;
        size_t length = strtoul(wire->held, NULL, 16);
        drop(wire, (size_t)(end + 2 - wire->held));
        arrival = take_body(wire, answer, length, 2, until_ms, pace);
        if (arrival != ARRIVED || length == 0)
            return arrival;
    }
}

enum arrival wire_read(struct wire *wire, struct answer *answer, double patience_ms, enum pace pace)
{
    double until = now_ms() + patience_ms;
    enum arrival arrival;
    char *end;
    *answer = (struct answer){0};
    while (wire->length == 0 || (end = strstr(wire->held, "\r\n\r\n")) == NULL)
        if ((arrival = take(wire, until, pace)) != ARRIVED)
            return arrival;
    if (pace == WITH_A_PAUSE)
        nap_ms(1000);
    if (strncmp(wire->held, "HTTP/1.", 7) == 0)
        answer->status = (int)strtol(wire->held + 9, NULL, 10);
    const char *length = header_in(wire->held, end, "Content-Length");
    const char *type = header_in(wire->held, end, "Content-Type");
    const char *coding = header_in(wire->held, end, "Transfer-Encoding");
    bool chunked = coding && strncasecmp(coding, "chunked", 7) == 0;
    answer->retry_after = header_in(wire->held, end, "Retry-After") != NULL;
    size_t count = length ? strtoul(length, NULL, 10) : 0, n = type ? strcspn(type, "\r\n") : 0;
    memcpy(answer->type, type ? type : "", n < 63 ? n : 63);
    drop(wire, (size_t)(end + 4 - wire->held));
    return chunked ? take_chunks(wire, answer, until, pace)
                   : take_body(wire, answer, count, 0, until, pace);
}

void answer_free(struct answer *answer)
{
    free(answer->body);
    *answer = (struct answer){0};
}
