#include "api/keys.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The characters of a bearer token: RFC 6750, section 2.1. */
static bool is_token(const char *text, size_t length)
{
    static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                   "-._~+/=";
    for (size_t i = 0; i < length; i++)
        if (!text[i] || !strchr(alphabet, text[i]))
            return false;
    return true;
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool read_digest(uint8_t digest[SHA256_SIZE], const char *text, size_t length)
{
    if (length != 2 * (size_t)SHA256_SIZE)
        return false;
    for (int i = 0; i < SHA256_SIZE; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        digest[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

static int read_line(uint8_t digest[SHA256_SIZE], const char *text, size_t length, int line,
                     struct error *err)
{
    if (length > 7 && memcmp(text, "sha256:", 7) == 0) {
        if (read_digest(digest, text + 7, length - 7))
            return 0;
        return error_set(err, ERR_BAD_CONFIG,
                         "line %d: sha256: is followed by 64 hexadecimal "
                         "digits",
                         line);
    }
    if (length < KEYS_SHORTEST || length > KEYS_LONGEST || !is_token(text, length))
        return error_set(err, ERR_BAD_CONFIG,
                         "line %d: a key is %d to %d letters, digits or - . _ ~ + / =", line,
                         KEYS_SHORTEST, KEYS_LONGEST);
    sha256_digest(digest, text, length);
    return 0;
}

int keys_read(struct keys *out, const char *text, size_t length, struct error *err)
{
    *out = (struct keys){.digests = calloc(KEYS_MAXIMUM, sizeof *out->digests)};
    if (!out->digests)
        return error_set(err, ERR_MEMORY, "no memory for keys");
    int rc = 0, line = 1;
    for (size_t at = 0; rc == 0 && at < length; line++) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t full = end ? (size_t)(end - text) - at : length - at, used = full;
        while (used > 0 && strchr(" \t\r", text[at + used - 1]))
            used--;
        if (used > 0 && text[at] != '#') {
            if (out->count == KEYS_MAXIMUM)
                rc = error_set(err, ERR_BAD_CONFIG, "more than %d keys", KEYS_MAXIMUM);
            else
                rc = read_line(out->digests[out->count++], text + at, used, line, err);
        }
        at += full + 1;
    }
    if (rc == 0 && out->count == 0)
        rc = error_set(err, ERR_BAD_CONFIG, "there is no key in it");
    if (rc != 0)
        keys_free(out);
    return rc;
}

void keys_free(struct keys *keys)
{
    free(keys->digests);
    *keys = (struct keys){.count = 0};
}

bool keys_are_given(const char *authorization)
{
    return authorization && strncasecmp(authorization, "Bearer ", 7) == 0;
}

bool keys_match(const struct keys *keys, const char *authorization)
{
    uint8_t digest[SHA256_SIZE];
    if (!keys_are_given(authorization))
        return false;
    authorization += 7 + strspn(authorization + 7, " ");
    size_t length = strnlen(authorization, KEYS_LONGEST + 1);
    sha256_digest(digest, authorization, length);
    unsigned found = 0;
    for (int i = 0; i < keys->count; i++) {
        unsigned differs = 0;
        for (int k = 0; k < SHA256_SIZE; k++)
            differs |= (unsigned)(digest[k] ^ keys->digests[i][k]);
        found |= (differs - 1u) >> 31; /* 1 where nothing differs */
    }
    return found != 0;
}
