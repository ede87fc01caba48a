#include "server/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int open_address(const struct addrinfo *info)
{
    int one = 1;
    int fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
        return fd;
    int reason = errno;
    close(fd);
    errno = reason;
    return -1;
}

static void describe(char *address, const char *scheme, int fd)
{
    struct sockaddr_storage where;
    socklen_t size = sizeof where;
    char host[128] = "?", port[16] = "?";
    if (getsockname(fd, (struct sockaddr *)&where, &size) == 0)
        getnameinfo((struct sockaddr *)&where, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(address, LISTEN_ADDRESS_SIZE, strchr(host, ':') ? "%s://[%s]:%s" : "%s://%s:%s",
             scheme, host, port);
}

int listen_tcp(int *out, char address[LISTEN_ADDRESS_SIZE], const char *scheme, const char *host,
               int port, struct error *err)
{
    char service[16];
    struct addrinfo *all = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    snprintf(service, sizeof service, "%d", port);
    int code = getaddrinfo(*host ? host : NULL, service, &hints, &all);
    if (code != 0)
        return error_set(err, ERR_IO, "host \"%.100s\": %s", host, gai_strerror(code));
    int fd = -1;
    for (struct addrinfo *info = all; info && fd < 0; info = info->ai_next)
        fd = open_address(info);
    int reason = errno;
    freeaddrinfo(all);
    if (fd < 0)
        return error_set(err, ERR_IO, "cannot listen on %.100s port %d: %s", host, port,
                         strerror(reason));
    describe(address, scheme, fd);
    *out = fd;
    return 0;
}

/* True where a socket file is there but nobody listens. */
static int is_stale(const struct sockaddr_un *where)
{
    struct stat status;
    if (lstat(where->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
        return 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return 0;
    int refused =
        connect(fd, (const struct sockaddr *)where, sizeof *where) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

int listen_unix(int *out, char address[LISTEN_ADDRESS_SIZE], const char *path, struct error *err)
{
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof where.sun_path)
        return error_set(err, ERR_IO, "the path of a socket has at most %zu bytes",
                         sizeof where.sun_path - 1);
    memcpy(where.sun_path, path, strlen(path));
    if (is_stale(&where))
        unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&where, sizeof where) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        int reason = errno;
        if (fd >= 0)
            close(fd);
        return error_set(err, ERR_IO, "cannot listen on %.100s: %s", path, strerror(reason));
    }
    snprintf(address, LISTEN_ADDRESS_SIZE, "unix:%s", path);
    *out = fd;
    return 0;
}
