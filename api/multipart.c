#include "api/multipart.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct span {
    const uint8_t *at, *end;
};

static bool starts_with(struct span span, const char *text, size_t length)
{
    return (size_t)(span.end - span.at) >= length && memcmp(span.at, text, length) == 0;
}

/* The next "\r\n--boundary" at or after span.at; NULL when there is none. */
static const uint8_t *find_delimiter(struct span span, const char *delimiter, size_t length)
{
    return memmem(span.at, (size_t)(span.end - span.at), delimiter, length);
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

/*
 * A parameter of a header value: name=token or name="quoted", where a backslash protects the next
 * character. Cuts at `size`. False when the value has no such parameter.
 */
static bool parameter(char *out, size_t size, const char *value, const char *name)
{
    size_t length = strlen(name);
    const char *p = value;
    while ((p = strchr(p, ';')) != NULL) {
        p++;
        while (is_space(*p))
            p++;
        bool wanted = strncasecmp(p, name, length) == 0 && p[length] == '=';
        p += strcspn(p, "=;");
        if (*p != '=')
            continue;
        p++;
        bool quoted = *p == '"';
        p += quoted;
        size_t n = 0;
        for (; *p && (quoted ? *p != '"' : *p != ';' && !is_space(*p)); p++) {
            if (quoted && *p == '\\' && (p[1] == '"' || p[1] == '\\'))
                p++;
            if (wanted && n + 1 < size)
                out[n++] = *p;
        }
        if (wanted) {
            out[n] = 0;
            return true;
        }
    }
    return false;
}

/* Reads one header line, already a string. */
static bool read_header(struct multipart_part *part, bool *disposition, const char *line,
                        struct problem *problem)
{
    const char *colon = strchr(line, ':');
    if (!colon || colon == line)
        return problem_set(problem, PROBLEM_BAD_MULTIPART,
                           "A part has a header line without a name and a colon."),
               false;
    size_t name = (size_t)(colon - line);
    const char *value = colon + 1;
    while (is_space(*value))
        value++;
    if (name == 19 && strncasecmp(line, "Content-Disposition", name) == 0) {
        *disposition = strncasecmp(value, "form-data", 9) == 0 &&
                       parameter(part->name, sizeof part->name, value, "name");
        parameter(part->filename, sizeof part->filename, value, "filename");
    } else if (name == 12 && strncasecmp(line, "Content-Type", name) == 0) {
        snprintf(part->type, sizeof part->type, "%s", value);
    } else if (name == 25 && strncasecmp(line, "Content-Transfer-Encoding", name) == 0 &&
               strcasecmp(value, "binary") != 0 && strcasecmp(value, "8bit") != 0 &&
               strcasecmp(value, "7bit") != 0) {
        return problem_set(problem, PROBLEM_BAD_MULTIPART,
                           "A part is encoded as \"%.40s\"; send its bytes as they are.", value),
               false;
    }
    return true;
}

/* Reads a part's headers; *contents moves on to its first byte. */
static int read_headers(struct multipart_part *part, struct span *contents, struct problem *problem)
{
    char line[1024];
    bool disposition = false;
    const uint8_t *start = contents->at;
    for (;;) {
        const uint8_t *end =
            memmem(contents->at, (size_t)(contents->end - contents->at), "\r\n", 2);
        if (!end || end - start > MULTIPART_MAX_HEADERS)
            return problem_set(problem, PROBLEM_BAD_MULTIPART,
                               "A part's headers do not end within %d bytes.",
                               MULTIPART_MAX_HEADERS);
        size_t length = (size_t)(end - contents->at);
        const uint8_t *text = contents->at;
        contents->at = end + 2;
        if (length == 0)
            break;
        if (length >= sizeof line || memchr(text, 0, length))
            return problem_set(problem, PROBLEM_BAD_MULTIPART,
                               "A part has a header line longer than %zu bytes or with a zero "
                               "byte.",
                               sizeof line - 1);
        memcpy(line, text, length);
        line[length] = 0;
        if (!read_header(part, &disposition, line, problem))
            return -1;
    }
    if (!disposition)
        return problem_set(problem, PROBLEM_BAD_MULTIPART,
                           "A part lacks \"Content-Disposition: form-data; name=...\".");
    return 0;
}

/* After a boundary: 1 when a part follows, 0 at the closing one, -1 neither. Moves on. */
static int after_boundary(struct span *span)
{
    bool closing = starts_with(*span, "--", 2);
    if (closing)
        span->at += 2;
    while (span->at < span->end && is_space((char)*span->at))
        span->at++;
    if (closing)
        return span->at == span->end || starts_with(*span, "\r\n", 2) ? 0 : -1;
    if (!starts_with(*span, "\r\n", 2))
        return -1;
    span->at += 2;
    return 1;
}

int multipart_parse(struct multipart_part *parts, int *count, const uint8_t *body, size_t length,
                    const char *boundary, struct problem *problem)
{
    char delimiter[80];
    int printed = snprintf(delimiter, sizeof delimiter, "\r\n--%s", boundary);
    if (printed < 5 || printed >= (int)sizeof delimiter)
        return problem_set(problem, PROBLEM_BAD_MULTIPART, "The boundary is too long.");
    size_t size = (size_t)printed;
    struct span span = {body, body + length};
    *count = 0;

    /* The first boundary stands at the very start, or after a preamble and its line end. */
    if (starts_with(span, delimiter + 2, size - 2)) {
        span.at += size - 2;
    } else {
        const uint8_t *first = find_delimiter(span, delimiter, size);
        if (!first)
            return problem_set(problem, PROBLEM_BAD_MULTIPART,
                               "The boundary that Content-Type announces is not in the body.");
        span.at = first + size;
    }
    int more;
    while ((more = after_boundary(&span)) > 0) {
        if (*count == MULTIPART_MAX_PARTS)
            return problem_set(problem, PROBLEM_BAD_MULTIPART,
                               "There are more than %d parts; send the rest in another request.",
                               MULTIPART_MAX_PARTS);
        struct multipart_part *part = &parts[*count];
        memset(part, 0, sizeof *part);
        struct span contents = span;
        if (read_headers(part, &contents, problem) != 0)
            return -1;
        /* An empty part's line end is the one that closed its headers. */
        struct span search = {contents.at - 2, contents.end};
        const uint8_t *end = find_delimiter(search, delimiter, size);
        if (!end)
            return problem_set(problem, PROBLEM_BAD_MULTIPART,
                               "The body ends before its closing boundary: it was cut off.");
        part->bytes = contents.at;
        part->length = end > contents.at ? (size_t)(end - contents.at) : 0;
        span.at = end + size;
        (*count)++;
    }
    if (more < 0)
        return problem_set(problem, PROBLEM_BAD_MULTIPART,
                           "A boundary is not followed by a line end.");
    if (*count == 0)
        return problem_set(problem, PROBLEM_BAD_MULTIPART,
                           "There are no parts; send the slice as a part named \"file\".");
    return 0;
}
