/*
 * A growing byte buffer, born with its maximum: it never holds more than the caller allowed, and
 * says so (ERR_TOO_LARGE) instead of growing. One zero byte always follows the contents, so text
 * is a C string without further care. A buffer belongs to one thread at a time.
 */
#ifndef ONESHOT_BASE_BUFFER_H
#define ONESHOT_BASE_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/error.h"

struct buffer {
    uint8_t *bytes; /* owned; NULL until something was appended; bytes[length] is 0 */
    size_t length;  /* bytes in use */
    size_t capacity;
    size_t maximum; /* length never passes this */
};

/* An empty buffer of at most `maximum` bytes. Takes no memory. */
void buffer_init(struct buffer *buffer, size_t maximum);

/* Releases the contents; the buffer is empty and usable again. */
void buffer_free(struct buffer *buffer);

/* Forgets the contents, keeps the memory. */
void buffer_clear(struct buffer *buffer);

/*
 * Makes room for `extra` more bytes, so that appending up to as many cannot fail.
 * Errors (of this and the appending functions): ERR_TOO_LARGE, ERR_MEMORY; the contents stay.
 */
int buffer_reserve(struct buffer *buffer, size_t extra, struct error *err);

int buffer_append(struct buffer *buffer, const void *bytes, size_t length, struct error *err);

/* Appends formatted text (without its final zero). `err` comes before the format here. */
int buffer_printf(struct buffer *buffer, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Hands the contents to the caller, who frees them with free(), and leaves the buffer empty.
 * NULL only where nothing was ever appended. `length` may be NULL.
 */
uint8_t *buffer_take(struct buffer *buffer, size_t *length);

#endif
