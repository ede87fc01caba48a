#include "api/media.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "model/model.h"

static const struct magic {
    enum media media;
    size_t offset;
    size_t length;
    const char *bytes;
} magics[] = {
    {MEDIA_PNG, 0, 8, "\x89PNG\r\n\x1a\n"},
    {MEDIA_NIFTI, 344, 4, "n+1"},
    {MEDIA_NIFTI, 344, 4, "ni1"},
    {MEDIA_NIFTI, 4, 4, "n+2"},
    {MEDIA_NIFTI, 4, 4, "ni2"},
    /* Headers whose magic is damaged: their size comes first, in either byte order. */
    {MEDIA_NIFTI, 0, 4, "\x5c\x01\0\0"},
    {MEDIA_NIFTI, 0, 4, "\0\0\x01\x5c"},
    {MEDIA_NIFTI, 0, 4, "\x1c\x02\0\0"},
    {MEDIA_NIFTI, 0, 4, "\0\0\x02\x1c"},
    {MEDIA_GZIP, 0, 2, "\x1f\x8b"},
    {MEDIA_DICOM, 128, 4, "DICM"},
    {MEDIA_JPEG, 0, 3, "\xff\xd8\xff"},
    {MEDIA_GIF, 0, 4, "GIF8"},
    {MEDIA_TIFF, 0, 4, "II*\0"},
    {MEDIA_TIFF, 0, 4, "MM\0*"},
    {MEDIA_BMP, 0, 2, "BM"},
    {MEDIA_WEBP, 8, 4, "WEBP"},
    {MEDIA_PDF, 0, 5, "%PDF-"},
    {MEDIA_ZIP, 0, 4, "PK\x03\x04"},
    {MEDIA_ZIP, 0, 4, "PK\x05\x06"}, /* empty */
};

/* What each is called, and what to do with it. */
static const struct {
    const char *name;
    const char *advice;
} words[] = {
    [MEDIA_UNKNOWN] = {"of no kind this service knows",
                       "Send a PNG, a NIfTI volume, DICOM slices or their zip"},
    [MEDIA_PNG] = {"a PNG", ""},
    [MEDIA_NIFTI] = {"a NIfTI volume", ""},
    [MEDIA_GZIP] = {"gzip data", ""},
    [MEDIA_DICOM] = {"a DICOM file", ""},
    [MEDIA_JPEG] = {"a JPEG", "Send the slice as PNG, made without going through JPEG"},
    [MEDIA_GIF] = {"a GIF", "Send the slice as PNG"},
    [MEDIA_TIFF] = {"a TIFF", "Send the slice as PNG"},
    [MEDIA_BMP] = {"a BMP", "Send the slice as PNG"},
    [MEDIA_WEBP] = {"a WebP", "Send the slice as PNG"},
    [MEDIA_PDF] = {"a PDF", "Send the slice as PNG"},
    [MEDIA_ZIP] = {"a ZIP archive", ""},
};

enum media media_sniff(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++) {
        const struct magic *m = &magics[i];
        if (length >= m->offset + m->length && memcmp(bytes + m->offset, m->bytes, m->length) == 0)
            return m->media;
    }
    return volume_is_dicom(bytes, length) ? MEDIA_DICOM : MEDIA_UNKNOWN;
}

/* True where a media type (before any parameters) is `name`. */
static bool type_is(const char *type, const char *name)
{
    size_t length = strlen(name);
    if (strncasecmp(type, name, length) != 0)
        return false;
    type += length;
    type += strspn(type, " \t");
    return *type == 0 || *type == ';';
}

static const struct {
    const char *type;
    enum claim claim;
} claims[] = {
    {"application/octet-stream", CLAIM_NOTHING},
    {"binary/octet-stream", CLAIM_NOTHING},
    {"application/x-www-form-urlencoded", CLAIM_NOTHING}, /* curl --data-binary, unasked */
    {"image/png", CLAIM_PNG},
    {"image/x-png", CLAIM_PNG},
    {"application/x-nifti", CLAIM_NIFTI},
    {"application/nifti", CLAIM_NIFTI},
    {"image/nii", CLAIM_NIFTI},
    {"application/gzip", CLAIM_GZIP},
    {"application/x-gzip", CLAIM_GZIP},
    {"application/dicom", CLAIM_DICOM},
    {"application/zip", CLAIM_ZIP},
    {"application/x-zip-compressed", CLAIM_ZIP},
    {"multipart/form-data", CLAIM_MULTIPART},
};

enum claim media_claim(const char *content_type)
{
    if (!content_type)
        return CLAIM_NOTHING;
    content_type += strspn(content_type, " \t");
    if (*content_type == 0)
        return CLAIM_NOTHING;
    for (size_t i = 0; i < sizeof claims / sizeof *claims; i++)
        if (type_is(content_type, claims[i].type))
            return claims[i].claim;
    return CLAIM_OTHER;
}

bool media_is_volume(enum media media)
{
    return media == MEDIA_NIFTI || media == MEDIA_GZIP || media == MEDIA_ZIP;
}

/* Whether a claim may stand over bytes of a kind. */
static bool agrees(enum claim claim, enum media media)
{
    switch (claim) {
    case CLAIM_NOTHING:
        return true;
    case CLAIM_PNG:
        return media == MEDIA_PNG;
    case CLAIM_NIFTI:
        return media == MEDIA_NIFTI || media == MEDIA_GZIP;
    case CLAIM_GZIP:
        return media == MEDIA_GZIP;
    case CLAIM_DICOM:
        return media == MEDIA_DICOM;
    case CLAIM_ZIP:
        return media == MEDIA_ZIP;
    default:
        return false;
    }
}

int media_require(enum media *out, const uint8_t *bytes, size_t length, const char *content_type,
                  struct problem *problem)
{
    if (length == 0)
        return problem_set(problem, PROBLEM_EMPTY_BODY,
                           "There are no bytes. Send the slice or volume itself, for example with "
                           "curl --data-binary @slice.png.");
    enum media media = *out = media_sniff(bytes, length);
    bool taken = media == MEDIA_PNG || media == MEDIA_DICOM || media_is_volume(media);
    if (taken && agrees(media_claim(content_type), media))
        return 0;
    if (taken)
        return problem_set(problem, PROBLEM_UNSUPPORTED_MEDIA,
                           "Content-Type says \"%.100s\", but the bytes are %s. Say what they are, "
                           "or nothing.",
                           content_type, words[media].name);
    bool claimed = media_claim(content_type) != CLAIM_NOTHING;
    return problem_set(problem, PROBLEM_UNSUPPORTED_MEDIA, "%s%.100s%s %s. %s.",
                       claimed ? "Content-Type says " : "", claimed ? content_type : "",
                       claimed ? ", but the bytes are" : "The bytes are", words[media].name,
                       words[media].advice);
}

/* One member of an Accept header. */
struct range {
    char type[64];
    double quality;
};

/* Reads one range and moves on past its comma; false at the end. */
static bool next_range(struct range *range, const char **rest)
{
    const char *text = *rest;
    text += strspn(text, " \t,");
    if (*text == 0)
        return false;
    size_t member = strcspn(text, ",");
    size_t type = strcspn(text, ",; \t");
    snprintf(range->type, sizeof range->type, "%.*s", (int)(type < 63 ? type : 63), text);
    range->quality = 1;
    for (size_t at = strcspn(text, ",;"); at < member; at += 1 + strcspn(text + at + 1, ",;")) {
        const char *p = text + at + 1;
        p += strspn(p, " \t");
        if ((*p == 'q' || *p == 'Q') && p[1] == '=') {
            /* Decimal by hand: the value must not depend on a locale, nor be "nan". */
            double scale = 1, q = 0;
            for (p += 2; (*p >= '0' && *p <= '9') || *p == '.'; p++) {
                if (*p == '.') {
                    scale = 0.1;
                } else if (scale < 1) {
                    q += scale * (*p - '0');
                    scale /= 10;
                } else {
                    q = q * 10 + (*p - '0');
                }
            }
            range->quality = q > 1 ? 1 : q;
        }
    }
    *rest = text + member;
    return true;
}

/* Quality an Accept header gives to a type; the most specific range decides. */
static double quality_of(const char *accept, const char *type)
{
    struct range range;
    double quality = 0;
    int best = 0;
    size_t slash = strcspn(type, "/");
    while (next_range(&range, &accept)) {
        int specific = 0;
        if (strcasecmp(range.type, type) == 0)
            specific = 3;
        else if (strncasecmp(range.type, type, slash + 1) == 0 &&
                 strcmp(range.type + slash + 1, "*") == 0)
            specific = 2;
        else if (strcmp(range.type, "*/*") == 0)
            specific = 1;
        if (specific > best || (specific == best && specific && range.quality > quality)) {
            best = specific;
            quality = range.quality;
        }
    }
    return quality;
}

static const char *const answers[ANSWERS] = {
    [ANSWER_JSON] = "application/json",     [ANSWER_NDJSON] = "application/x-ndjson",
    [ANSWER_SSE] = "text/event-stream",     [ANSWER_PNG] = "image/png",
    [ANSWER_NIFTI] = "application/x-nifti", [ANSWER_GZIP] = "application/gzip",
};

const char *answer_type(enum answer answer)
{
    return (unsigned)answer < ANSWERS ? answers[answer] : answers[ANSWER_JSON];
}

bool answer_streams(enum answer answer)
{
    return answer == ANSWER_NDJSON || answer == ANSWER_SSE;
}

int media_negotiate(enum answer *out, const char *accept, struct problem *problem)
{
    double best = 0;
    *out = ANSWER_JSON;
    if (!accept || accept[strspn(accept, " \t,")] == 0)
        return 0;
    for (int i = 0; i < ANSWERS; i++) {
        double quality = quality_of(accept, answers[i]);
        if (quality > best) {
            best = quality;
            *out = (enum answer)i;
        }
    }
    if (best > 0)
        return 0;
    return problem_set(problem, PROBLEM_NOT_ACCEPTABLE,
                       "Accept asks for \"%.100s\"; there is application/json, "
                       "application/x-ndjson, text/event-stream, image/png, and for volumes "
                       "application/x-nifti or application/gzip.",
                       accept);
}

static bool boundary_character(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("'()+_,-./:=? ", c));
}

int media_boundary(char out[71], const char *content_type)
{
    for (const char *p = strchr(content_type, ';'); p; p = strchr(p, ';')) {
        p++;
        p += strspn(p, " \t");
        if (strncasecmp(p, "boundary=", 9) != 0)
            continue;
        p += 9;
        bool quoted = *p == '"';
        p += quoted;
        size_t n = strcspn(p, quoted ? "\"" : "; \t");
        if (n < 1 || n > 70 || p[n - 1] == ' ' || (quoted && p[n] != '"'))
            return -1;
        for (size_t i = 0; i < n; i++)
            if (!boundary_character(p[i]))
                return -1;
        memcpy(out, p, n);
        out[n] = 0;
        return 0;
    }
    return -1;
}
