/*
 * DICOM slices byte by byte, for tests: both representations, with and without preamble, sequences
 * of every form, names of a patient that must not come back, and fields that can be spoilt. Written
 * from PS3.5, not with the code under test.
 */
#ifndef ONESHOT_TESTS_DICOM_MAKER_H
#define ONESHOT_TESTS_DICOM_MAKER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DICOM_PATIENT "Doe^Jane"
#define DICOM_STUDY "1.2.826.0.1.3680043.9.1"

enum { DICOM_MAKER_ROOM = 1 << 18 };

struct dicom_maker {
    bool implicit, bare, no_meta; /* representation; no preamble; neither meta information */
    bool sequences;
    const char *syntax; /* NULL: what `implicit` says */
    const char *photometric, *modality, *series;
    const char *orientation, *spacing, *slope, *inter, *frames,
        *position;               /* "": empty, NULL: none */
    int columns, rows;           /* of the pixels that are written */
    int said_columns, said_rows; /* below 0: left away, as all numbers */
    int samples, allocated, stored, high, sign;
    double z;
    bool no_pixels, fragments;
    int more; /* bytes that Pixel Data announces beyond what there should be */
};

static inline struct dicom_maker dicom_default(int columns, int rows)
{
    return (struct dicom_maker){
        .photometric = "MONOCHROME2",
        .modality = "CT",
        .series = "1.2.826.0.1.3680043.9.7",
        .orientation = "1\\0\\0\\0\\1\\0",
        .spacing = "0.8\\0.7", /* between rows, then between columns */
        .slope = "2",
        .inter = "-1024",
        .columns = columns,
        .rows = rows,
        .said_columns = columns,
        .said_rows = rows,
        .samples = 1,
        .allocated = 16,
        .stored = 16,
        .high = 15,
        .sign = 1,
    };
}

struct dicom_bytes {
    uint8_t *data;
    size_t length;
    bool implicit;
};

static inline void dicom_put(struct dicom_bytes *b, int bytes, uint64_t value)
{
    for (int i = 0; i < bytes; i++)
        b->data[b->length++] = (uint8_t)(value >> (8 * i));
}

static inline void dicom_head(struct dicom_bytes *b, uint32_t tag, const char *vr, uint32_t length)
{
    dicom_put(b, 2, tag >> 16);
    dicom_put(b, 2, tag & 0xffff);
    if (b->implicit || tag >> 16 == 0xfffe) {
        dicom_put(b, 4, length);
        return;
    }
    memcpy(b->data + b->length, vr, 2);
    b->length += 2;
    bool wide = strstr("OB OW OF SQ UN UT", vr) != NULL;
    dicom_put(b, 2, wide ? 0 : length);
    if (wide)
        dicom_put(b, 4, length);
}

static inline void dicom_text(struct dicom_bytes *b, uint32_t tag, const char *vr, const char *text)
{
    if (!text)
        return;
    size_t n = strlen(text);
    dicom_head(b, tag, vr, (uint32_t)(n + (n & 1)));
    memcpy(b->data + b->length, text, n);
    b->length += n;
    if (n & 1)
        dicom_put(b, 1, strcmp(vr, "UI") == 0 ? 0 : ' ');
}

static inline void dicom_short(struct dicom_bytes *b, uint32_t tag, int value)
{
    if (value < 0)
        return;
    dicom_head(b, tag, "US", 2);
    dicom_put(b, 2, (uint64_t)value);
}

/* Decoys inside: Rows and pixels of something else. */
static inline void dicom_sequences(struct dicom_bytes *b)
{
    enum { OPEN = -1 };
    for (int form = 0; form < 4; form++) { /* of sequence and item: defined, undefined length */
        bool open = form & 1, open_item = form & 2;
        size_t item = b->implicit ? 10 : 10;
        size_t inside = 8 + item + (open_item ? 8 : 0);
        dicom_head(b, 0x00081140 + (uint32_t)form, "SQ", open ? 0xffffffff : (uint32_t)inside);
        dicom_head(b, 0xfffee000, "", open_item ? 0xffffffff : (uint32_t)item);
        dicom_short(b, 0x00280010, 999);
        if (open_item)
            dicom_head(b, 0xfffee00d, "", 0);
        if (open)
            dicom_head(b, 0xfffee0dd, "", 0);
    }
    dicom_head(b, 0x00081150, "SQ", 0xffffffff); /* three deep, and an empty item */
    for (int i = 0; i < 2; i++) {
        dicom_head(b, 0xfffee000, "", 0xffffffff);
        dicom_head(b, 0x00081151, "SQ", 0xffffffff);
    }
    dicom_head(b, 0xfffee000, "", 0);
    for (int i = 0; i < 2; i++) {
        dicom_head(b, 0xfffee0dd, "", 0);
        dicom_head(b, 0xfffee00d, "", 0);
    }
    dicom_head(b, 0xfffee0dd, "", 0);
    dicom_head(b, 0x00880200, "SQ", 0xffffffff); /* an icon with pixels in fragments */
    dicom_head(b, 0xfffee000, "", 0xffffffff);
    dicom_head(b, 0x7fe00010, "OB", 0xffffffff);
    dicom_head(b, 0xfffee000, "", 2);
    dicom_put(b, 2, 0x1234);
    dicom_head(b, 0xfffee0dd, "", 0);
    dicom_head(b, 0xfffee00d, "", 0);
    dicom_head(b, 0xfffee0dd, "", 0);
    if (b->implicit)
        return;
    dicom_head(b, 0x00090010, "UN", 0xffffffff); /* implicit inside, whatever is outside */
    dicom_head(b, 0xfffee000, "", 0xffffffff);
    b->implicit = true;
    dicom_short(b, 0x00280010, 998);
    b->implicit = false;
    dicom_head(b, 0xfffee00d, "", 0);
    dicom_head(b, 0xfffee0dd, "", 0);
}

static inline void dicom_attributes(struct dicom_bytes *b, const struct dicom_maker *m)
{
    char position[64];
    snprintf(position, sizeof position, "-100\\-80\\%.3f", m->z);
    dicom_text(b, 0x00080005, "CS", "ISO_IR 100");
    dicom_text(b, 0x00080020, "DA", "19700203");
    dicom_text(b, 0x00080060, "CS", m->modality);
    if (m->sequences)
        dicom_sequences(b);
    dicom_text(b, 0x00100010, "PN", DICOM_PATIENT);
    dicom_text(b, 0x00100020, "LO", "PAT-4711");
    dicom_text(b, 0x00180050, "DS", "2.5 ");
    dicom_text(b, 0x0020000d, "UI", DICOM_STUDY);
    dicom_text(b, 0x0020000e, "UI", m->series);
    dicom_text(b, 0x00200013, "IS", "7");
    dicom_text(b, 0x00200032, "DS", m->position ? m->position : position);
    dicom_text(b, 0x00200037, "DS", m->orientation);
    dicom_short(b, 0x00280002, m->samples);
    dicom_text(b, 0x00280004, "CS", m->photometric);
    dicom_text(b, 0x00280008, "IS", m->frames);
    dicom_short(b, 0x00280010, m->said_rows);
    dicom_short(b, 0x00280011, m->said_columns);
    dicom_text(b, 0x00280030, "DS", m->spacing);
    dicom_short(b, 0x00280100, m->allocated);
    dicom_short(b, 0x00280101, m->stored);
    dicom_short(b, 0x00280102, m->high);
    dicom_short(b, 0x00280103, m->sign);
    dicom_text(b, 0x00281052, "DS", m->inter);
    dicom_text(b, 0x00281053, "DS", m->slope);
}

/* A whole file; pixel (i,j) is stored as value(i, j, z). The caller frees. */
static inline uint8_t *dicom_file(size_t *length, const struct dicom_maker *m,
                                  int (*value)(int i, int j, int k))
{
    struct dicom_bytes b = {calloc(1, DICOM_MAKER_ROOM), 0, false};
    const char *syntax = m->syntax     ? m->syntax
                         : m->implicit ? "1.2.840.10008.1.2"
                                       : "1.2.840.10008.1.2.1";
    if (!m->bare) {
        b.length = 128;
        memcpy(b.data + 128, "DICM", 4);
        b.length += 4;
    }
    if (!m->no_meta) {
        dicom_head(&b, 0x00020000, "UL", 4);
        dicom_put(&b, 4, 0); /* nobody should trust it */
        dicom_text(&b, 0x00020010, "UI", syntax);
        dicom_text(&b, 0x00020016, "AE", "WARD-7");
    }
    b.implicit = m->implicit;
    dicom_attributes(&b, m);
    size_t bytes = (size_t)m->allocated / 8;
    size_t size = (size_t)m->columns * (size_t)m->rows * bytes;
    if (!m->no_pixels)
        dicom_head(&b, 0x7fe00010, "OW",
                   m->fragments ? 0xffffffff : (uint32_t)((int)(size + (size & 1)) + m->more));
    if (!m->no_pixels && b.length + size + 1 < DICOM_MAKER_ROOM)
        for (int j = 0; j < m->rows; j++)
            for (int i = 0; i < m->columns; i++)
                dicom_put(&b, (int)bytes, (uint64_t)(int64_t)value(i, j, (int)m->z));
    if (size & 1)
        dicom_put(&b, 1, 0);
    *length = b.length;
    uint8_t *exact = malloc(b.length + 1); /* so that tools see every read past the end */
    memcpy(exact, b.data, b.length);
    free(b.data);
    return exact;
}

#endif
