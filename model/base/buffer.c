#include "model/base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 256 };

void buffer_init(struct buffer *buffer, size_t maximum)
{
    /* one byte stays free for the zero, whatever the caller allows */
    *buffer = (struct buffer){.maximum = maximum < SIZE_MAX ? maximum : SIZE_MAX - 1};
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->bytes);
    buffer_init(buffer, buffer->maximum);
}

void buffer_clear(struct buffer *buffer)
{
    buffer->length = 0;
    if (buffer->bytes)
        buffer->bytes[0] = 0;
}

int buffer_reserve(struct buffer *buffer, size_t extra, struct error *err)
{
    if (extra > buffer->maximum - buffer->length)
        return error_set(err, ERR_TOO_LARGE, "more than the %zu bytes allowed here",
                         buffer->maximum);
    size_t needed = buffer->length + extra + 1;
    if (needed <= buffer->capacity)
        return 0;
    size_t capacity = buffer->capacity ? buffer->capacity : FIRST_CAPACITY;
    while (capacity < needed)
        capacity = capacity <= SIZE_MAX / 2 ? capacity * 2 : needed;
    if (capacity > buffer->maximum + 1)
        capacity = buffer->maximum + 1;
    uint8_t *bytes = realloc(buffer->bytes, capacity);
    if (!bytes)
        return error_set(err, ERR_MEMORY, "out of memory growing a buffer to %zu bytes", capacity);
    bytes[buffer->length] = 0;
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return 0;
}

int buffer_append(struct buffer *buffer, const void *bytes, size_t length, struct error *err)
{
    if (buffer_reserve(buffer, length, err))
        return -1;
    if (length)
        memcpy(buffer->bytes + buffer->length, bytes, length);
    buffer->length += length;
    buffer->bytes[buffer->length] = 0;
    return 0;
}

int buffer_printf(struct buffer *buffer, struct error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        return error_set(err, ERR_INTERNAL, "text cannot be formatted");
    if (buffer_reserve(buffer, (size_t)length, err))
        return -1;
    va_start(args, format);
    vsnprintf((char *)buffer->bytes + buffer->length, (size_t)length + 1, format, args);
    va_end(args);
    buffer->length += (size_t)length;
    return 0;
}

uint8_t *buffer_take(struct buffer *buffer, size_t *length)
{
    uint8_t *bytes = buffer->bytes;
    if (length)
        *length = buffer->length;
    buffer_init(buffer, buffer->maximum);
    return bytes;
}
