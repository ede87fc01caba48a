#include "api/base64.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_length(size_t length)
{
    return (length + 2) / 3 * 4;
}

void base64_encode(char *out, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i += 3) {
        size_t left = length - i;
        uint32_t group = (uint32_t)bytes[i] << 16;
        group |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        group |= left > 2 ? (uint32_t)bytes[i + 2] : 0;
        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = left > 1 ? alphabet[group >> 6 & 63] : '=';
        *out++ = left > 2 ? alphabet[group & 63] : '=';
    }
    *out = 0;
}

static int value_of(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

int base64_decode(uint8_t *out, size_t *out_length, const char *text, size_t length)
{
    uint32_t group = 0;
    size_t count = 0, padding = 0, n = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\' && i + 1 < length && text[i + 1] == '/')
            i++;
        int value = value_of(text[i]);
        if (text[i] == '=')
            padding++;
        if ((value < 0 && text[i] != '=') || padding > 2 || (padding > 0 && value >= 0))
            return -1;
        group = group << 6 | (value < 0 ? 0 : (uint32_t)value);
        if (++count % 4 != 0)
            continue;
        out[n++] = (uint8_t)(group >> 16);
        if (padding < 2)
            out[n++] = (uint8_t)(group >> 8);
        if (padding < 1)
            out[n++] = (uint8_t)group;
    }
    *out_length = n;
    return count % 4 == 0 ? 0 : -1;
}
