#include "model/data/dicom_elements.h"

#include <string.h>

#define TAG_ITEM 0xfffee000u
#define TAG_ITEM_END 0xfffee00du
#define TAG_SEQUENCE_END 0xfffee0ddu
#define UNDEFINED 0xffffffffu

enum { LONG_HEADER = 12 };

static uint16_t u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t u32(const uint8_t *p)
{
    return u16(p) | (uint32_t)u16(p + 2) << 16;
}

static uint32_t tag_at(const uint8_t *p)
{
    return (uint32_t)u16(p) << 16 | u16(p + 2);
}

/* Representations whose length has 16 bits; all others, also those to come, have 32. */
bool dicom_vr_is_short(const char vr[2])
{
    static const char all[] = "AEASATCSDADSDTFDFLISLOLTPNSHSLSSSTTMUIULUS";
    for (size_t i = 0; i + 1 < sizeof all; i += 2)
        if (memcmp(all + i, vr, 2) == 0)
            return true;
    return false;
}

bool dicom_is_vr(const uint8_t *p)
{
    return p[0] >= 'A' && p[0] <= 'Z' && p[1] >= 'A' && p[1] <= 'Z';
}

/* Whether `count` bytes can be looked at; if not, r->cut or an error says why. */
bool dicom_has(struct dicom_reader *r, size_t count)
{
    if (r->at <= r->there && count <= r->there - r->at)
        return true;
    r->cut = r->at <= r->length && count <= r->length - r->at;
    if (!r->cut)
        error_set(r->err, ERR_BAD_DICOM,
                  "the file ends in the middle of an element: it was cut off");
    return false;
}

/* Reads the header at r->at, and moves to the value. -1: an error, or r->cut. */
int dicom_next(struct dicom_element *e, struct dicom_reader *r, bool explicit)
{
    if (!dicom_has(r, DICOM_SHORT_HEADER))
        return -1;
    const uint8_t *p = r->bytes + r->at;
    uint32_t length = u32(p + 4);
    size_t header = DICOM_SHORT_HEADER;
    *e = (struct dicom_element){.tag = tag_at(p)};
    if (explicit && e->tag >> 16 != 0xfffe) {
        if (!dicom_is_vr(p + 4))
            return error_set(r->err, ERR_BAD_DICOM,
                             "element (%04x,%04x) has no value representation: the file is damaged",
                             e->tag >> 16, e->tag & 0xffff);
        memcpy(e->vr, p + 4, 2);
        if (dicom_vr_is_short(e->vr)) {
            length = u16(p + 6);
        } else {
            header = LONG_HEADER;
            if (!dicom_has(r, LONG_HEADER))
                return -1;
            length = u32(p + 8);
        }
    }
    if (++r->elements > DICOM_MAX_ELEMENTS)
        return error_set(r->err, ERR_BAD_DICOM, "it has more than %d elements before its pixels",
                         DICOM_MAX_ELEMENTS);
    r->at += header;
    e->value = r->at;
    e->undefined = length == UNDEFINED;
    e->length = e->undefined ? 0 : length;
    if (e->length <= r->length - r->at)
        return 0;
    return error_set(r->err, ERR_BAD_DICOM,
                     "%s (%04x,%04x) has %zu bytes, but only %zu follow: the file was cut off",
                     e->tag == DICOM_PIXELS ? "Pixel Data" : "element", e->tag >> 16,
                     e->tag & 0xffff, e->length, r->length - r->at);
}

static int skip_sequence(struct dicom_reader *r, bool explicit, int depth);

/* Steps over the value of an element that was just read. */
static int skip(struct dicom_reader *r, const struct dicom_element *e, bool explicit, int depth)
{
    r->at = e->value + e->length;
    if (!e->undefined)
        return 0;
    /* What is of unknown representation and undefined length is implicit inside (PS3.5, 6.2.2). */
    bool unknown = memcmp(e->vr, "UN", 2) == 0;
    return skip_sequence(r, explicit && !unknown, depth + 1);
}

/* Items up to the end of a sequence of undefined length (PS3.5, 7.5). */
static int skip_sequence(struct dicom_reader *r, bool explicit, int depth)
{
    struct dicom_element e;
    if (depth > DICOM_MAX_DEPTH)
        return error_set(r->err, ERR_BAD_DICOM, "sequences are nested deeper than %d",
                         DICOM_MAX_DEPTH);
    for (;;) {
        if (dicom_next(&e, r, false) != 0)
            return -1;
        if (e.tag == TAG_SEQUENCE_END)
            return 0;
        if (e.tag != TAG_ITEM)
            return error_set(r->err, ERR_BAD_DICOM,
                             "(%04x,%04x) is where an item of a sequence should be", e.tag >> 16,
                             e.tag & 0xffff);
        r->at = e.value + e.length;
        while (e.undefined) {
            struct dicom_element inner;
            if (dicom_next(&inner, r, explicit) != 0)
                return -1;
            if (inner.tag == TAG_ITEM_END)
                break;
            if (skip(r, &inner, explicit, depth) != 0)
                return -1;
        }
    }
}

int dicom_skip(struct dicom_reader *r, const struct dicom_element *e, bool explicit)
{
    return skip(r, e, explicit, 0);
}
