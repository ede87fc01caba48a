#include "api/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>

void response_init(struct response *response)
{
    response->status = 0;
    response->headers_count = 0;
    response->body = NULL;
    response->length = 0;
    response->borrowed = false;
    response->close = false;
    response->code = "";
}

void response_free(struct response *response)
{
    if (!response->borrowed)
        free(response->body);
    response_init(response);
}

void response_header(struct response *response, const char *name, const char *format, ...)
{
    if (response->headers_count == RESPONSE_HEADERS)
        return;
    struct response_header *header = &response->headers[response->headers_count++];
    header->name = name;
    va_list args;
    va_start(args, format);
    vsnprintf(header->value, sizeof header->value, format, args);
    va_end(args);
}

const char *response_find(const struct response *response, const char *name)
{
    for (int i = 0; i < response->headers_count; i++)
        if (strcasecmp(response->headers[i].name, name) == 0)
            return response->headers[i].value;
    return NULL;
}

static void set_body(struct response *response, int status, const char *type)
{
    response_free(response);
    response->status = status;
    if (type)
        response_header(response, "Content-Type", "%s", type);
}

void response_give(struct response *response, int status, const char *type, uint8_t *bytes,
                   size_t length)
{
    set_body(response, status, type);
    response->body = bytes;
    response->length = length;
}

void response_lend(struct response *response, int status, const char *type, const uint8_t *bytes,
                   size_t length)
{
    set_body(response, status, type);
    response->body = (uint8_t *)bytes;
    response->length = length;
    response->borrowed = true;
}

const char *request_header(const struct request *request, const char *name)
{
    return request->header ? request->header(request->context, name) : NULL;
}

static bool id_is_sound(const char *id)
{
    size_t length = strnlen(id, REQUEST_ID_SIZE);
    if (length == 0 || length >= REQUEST_ID_SIZE)
        return false;
    for (size_t i = 0; i < length; i++)
        if (id[i] <= ' ' || id[i] > '~' || id[i] == '"' || id[i] == '\\')
            return false;
    return true;
}

void request_id_choose(char *out, const char *offered)
{
    if (offered && id_is_sound(offered)) {
        snprintf(out, REQUEST_ID_SIZE, "%s", offered);
        return;
    }
    uint8_t noise[16];
    if (getrandom(noise, sizeof noise, GRND_NONBLOCK) != (ssize_t)sizeof noise) {
        /* An id need only be distinct: the clock will do until the kernel has entropy. */
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        memset(noise, 0, sizeof noise);
        memcpy(noise, &now.tv_nsec, sizeof now.tv_nsec);
        memcpy(noise + 8, &now.tv_sec, sizeof now.tv_sec);
    }
    for (size_t i = 0; i < sizeof noise; i++)
        snprintf(out + 2 * i, 3, "%02x", noise[i]);
}
