/* api/media: bytes, types, Accept. */
#include <string.h>

#include "api/media.h"
#include "tests/unit/run.h"

static const uint8_t png[] = "\x89PNG\r\n\x1a\n....";
static struct problem problem;

START_TEST(bytes_are_recognised)
{
    uint8_t bytes[400] = {0};
    ck_assert_int_eq(media_sniff(png, sizeof png), MEDIA_PNG);
    ck_assert_int_eq(media_sniff(png, 7), MEDIA_UNKNOWN);
    ck_assert_int_eq(media_sniff(NULL, 0), MEDIA_UNKNOWN);
    memcpy(bytes + 344, "n+1", 4);
    ck_assert_int_eq(media_sniff(bytes, 348), MEDIA_NIFTI);
    ck_assert_int_eq(media_sniff(bytes, 347), MEDIA_UNKNOWN);
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes + 4, "n+2\0\r\n\x1a\n", 8);
    ck_assert_int_eq(media_sniff(bytes, 540 > sizeof bytes ? sizeof bytes : 540), MEDIA_NIFTI);
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes + 128, "DICM", 4);
    ck_assert_int_eq(media_sniff(bytes, 132), MEDIA_DICOM);
    memcpy(bytes, "II*\0", 4); /* a TIFF in the preamble, as microscopes write it */
    ck_assert_int_eq(media_sniff(bytes, 132), MEDIA_DICOM);
    ck_assert_int_eq(media_sniff((const uint8_t *)"\x8\0\5\0CS\2\0X ", 10), MEDIA_DICOM);
    ck_assert_int_eq(media_sniff((const uint8_t *)"\x8\0\5\0CS\2\0X ", 9), MEDIA_UNKNOWN);
    ck_assert_int_eq(media_sniff((const uint8_t *)"PK\3\4", 4), MEDIA_ZIP);
    ck_assert_int_eq(media_sniff((const uint8_t *)"PK\5\6", 4), MEDIA_ZIP);
    ck_assert_int_eq(media_sniff((const uint8_t *)"\x1f\x8b\x08", 3), MEDIA_GZIP);
    ck_assert_int_eq(media_sniff((const uint8_t *)"\xff\xd8\xff\xe0", 4), MEDIA_JPEG);
}
END_TEST

START_TEST(types_claim)
{
    ck_assert_int_eq(media_claim(NULL), CLAIM_NOTHING);
    ck_assert_int_eq(media_claim(""), CLAIM_NOTHING);
    ck_assert_int_eq(media_claim("application/octet-stream"), CLAIM_NOTHING);
    ck_assert_int_eq(media_claim("application/x-www-form-urlencoded"), CLAIM_NOTHING);
    ck_assert_int_eq(media_claim("Image/PNG"), CLAIM_PNG);
    ck_assert_int_eq(media_claim("image/png ; x=y"), CLAIM_PNG);
    ck_assert_int_eq(media_claim("image/pngx"), CLAIM_OTHER);
    ck_assert_int_eq(media_claim("image/jpeg"), CLAIM_OTHER);
    ck_assert_int_eq(media_claim("multipart/form-data; boundary=x"), CLAIM_MULTIPART);
    ck_assert_int_eq(media_claim("application/x-nifti"), CLAIM_NIFTI);
    ck_assert_int_eq(media_claim("application/gzip"), CLAIM_GZIP);
    ck_assert_int_eq(media_claim("application/dicom"), CLAIM_DICOM);
    ck_assert_int_eq(media_claim("application/zip"), CLAIM_ZIP);
    ck_assert_int_eq(media_claim("application/x-zip-compressed"), CLAIM_ZIP);
    ck_assert_int_eq(media_claim("multipart/mixed; boundary=x"), CLAIM_OTHER);
}
END_TEST

static int require(const uint8_t *bytes, size_t length, const char *type)
{
    enum media media = MEDIA_UNKNOWN;
    int rc = media_require(&media, bytes, length, type, &problem);
    return rc == 0 ? (int)media : -1;
}

START_TEST(bytes_and_type_must_agree)
{
    uint8_t nifti[352] = {0};
    static const uint8_t zip[] = {0x1f, 0x8b, 8, 0};
    memcpy(nifti + 344, "n+1", 4);
    ck_assert_int_eq(require(png, sizeof png, NULL), MEDIA_PNG);
    ck_assert_int_eq(require(png, sizeof png, "image/png"), MEDIA_PNG);
    ck_assert_int_eq(require(nifti, sizeof nifti, NULL), MEDIA_NIFTI);
    ck_assert_int_eq(require(nifti, sizeof nifti, "application/x-nifti"), MEDIA_NIFTI);
    ck_assert_int_eq(require(zip, sizeof zip, "application/x-nifti"), MEDIA_GZIP);
    ck_assert_int_eq(require(zip, sizeof zip, "application/gzip"), MEDIA_GZIP);
    ck_assert(media_is_volume(MEDIA_NIFTI) && media_is_volume(MEDIA_GZIP));
    ck_assert(media_is_volume(MEDIA_ZIP));
    ck_assert(!media_is_volume(MEDIA_PNG) && !media_is_volume(MEDIA_DICOM));
    static const uint8_t series[] = "PK\3\4";
    uint8_t dicom[140] = {0};
    memcpy(dicom + 128, "DICM", 4);
    ck_assert_int_eq(require(dicom, sizeof dicom, NULL), MEDIA_DICOM);
    ck_assert_int_eq(require(dicom, sizeof dicom, "application/dicom"), MEDIA_DICOM);
    ck_assert_int_eq(require(dicom, sizeof dicom, "application/zip"), -1);
    ck_assert_int_eq(require(series, 4, "application/zip"), MEDIA_ZIP);
    ck_assert_int_eq(require(series, 4, "application/dicom"), -1);
    static const struct {
        const char *type, *names;
        int bytes; /* 0 png, 1 nifti, 2 gzip */
    } cases[] = {
        {"application/dicom", "application/dicom", 0},
        {"application/x-nifti", "a PNG", 0},
        {"image/png", "a NIfTI volume", 1},
        {"application/gzip", "a NIfTI volume", 1},
        {"image/png", "gzip data", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = cases[i].bytes == 0   ? require(png, sizeof png, cases[i].type)
                 : cases[i].bytes == 1 ? require(nifti, sizeof nifti, cases[i].type)
                                       : require(zip, sizeof zip, cases[i].type);
        ck_assert_int_eq(rc, -1);
        ck_assert_int_eq(problem.kind, PROBLEM_UNSUPPORTED_MEDIA);
        ck_assert_msg(strstr(problem.detail, cases[i].names) != NULL, "%s", problem.detail);
    }
    ck_assert_int_eq(require((const uint8_t *)"\xff\xd8\xff\xe0", 4, "image/png"), -1);
    ck_assert_int_eq(problem.kind, PROBLEM_UNSUPPORTED_MEDIA);
    ck_assert_ptr_nonnull(strstr(problem.detail, "a JPEG"));
    ck_assert_int_eq(require(png, 0, NULL), -1);
    ck_assert_int_eq(problem.kind, PROBLEM_EMPTY_BODY);
    /* A header whose magic is gone is still recognised, in either byte order. */
    memset(nifti, 0, sizeof nifti);
    memcpy(nifti, "\x5c\1\0\0", 4);
    ck_assert_int_eq(require(nifti, sizeof nifti, NULL), MEDIA_NIFTI);
    memcpy(nifti, "\0\0\2\x1c", 4);
    ck_assert_int_eq(require(nifti, sizeof nifti, NULL), MEDIA_NIFTI);
}
END_TEST

START_TEST(accept_chooses)
{
    static const struct {
        const char *accept;
        int answer; /* -1: refused */
    } cases[] = {
        {NULL, ANSWER_JSON},
        {"", ANSWER_JSON},
        {" , ", ANSWER_JSON},
        {"*/*", ANSWER_JSON},
        {"application/json", ANSWER_JSON},
        {"APPLICATION/JSON;charset=utf-8", ANSWER_JSON},
        {"application/*", ANSWER_JSON},
        {"image/png", ANSWER_PNG},
        {"image/*", ANSWER_PNG},
        {"image/png, application/json", ANSWER_JSON},
        {"image/png, application/json;q=0.9", ANSWER_PNG},
        {"image/png;q=0.1, */*;q=0.2", ANSWER_JSON},
        {"*/*;q=0.1, image/png;q=0.5", ANSWER_PNG},
        {"application/json;q=0, */*", ANSWER_PNG},
        {"application/json;q=0, image/png;q=0.000", -1},
        {"text/html", -1},
        {"text/html, application/xml;q=0.9", -1},
        {"application/jsonx", -1},
        {"image/png;q=nan, application/json;q=0.5", ANSWER_JSON},
        {"*/*;q=0", -1},
        {"application/x-ndjson", ANSWER_NDJSON},
        {"text/event-stream", ANSWER_SSE},
        {"text/*", ANSWER_SSE},
        {"application/x-nifti", ANSWER_NIFTI},
        {"application/gzip", ANSWER_GZIP},
        {"application/json;q=0.5, application/x-ndjson", ANSWER_NDJSON},
        {"application/x-ndjson, application/json", ANSWER_JSON},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum answer answer;
        int rc = media_negotiate(&answer, cases[i].accept, &problem);
        const char *name = cases[i].accept ? cases[i].accept : "(none)";
        if (cases[i].answer < 0) {
            ck_assert_msg(rc != 0, "%s was taken", name);
            ck_assert_int_eq(problem.kind, PROBLEM_NOT_ACCEPTABLE);
        } else {
            ck_assert_msg(rc == 0 && (int)answer == cases[i].answer, "%s", name);
        }
    }
    for (int answer = 0; answer < ANSWERS; answer++) {
        enum answer chosen;
        ck_assert_int_eq(media_negotiate(&chosen, answer_type((enum answer)answer), &problem), 0);
        ck_assert_int_eq(chosen, answer);
        ck_assert_int_eq(answer_streams(chosen), answer == ANSWER_NDJSON || answer == ANSWER_SSE);
    }
}
END_TEST

START_TEST(boundaries)
{
    static const struct {
        const char *type, *boundary; /* NULL: refused */
    } cases[] = {
        {"multipart/form-data; boundary=abc", "abc"},
        {"multipart/form-data;charset=x; Boundary=\"a b:c\"", "a b:c"},
        {"multipart/form-data; boundary=abc; more=1", "abc"},
        {"multipart/form-data", NULL},
        {"multipart/form-data; boundary=", NULL},
        {"multipart/form-data; boundary=\"\"", NULL},
        {"multipart/form-data; boundary=\"abc", NULL},
        {"multipart/form-data; boundary=\"abc \"", NULL},
        {"multipart/form-data; boundary=a\xc3\xa9", NULL},
        {"multipart/form-data; boundary="
         "12345678901234567890123456789012345678901234567890123456789012345678901",
         NULL},
        {"multipart/form-data; boundary="
         "1234567890123456789012345678901234567890123456789012345678901234567890",
         "1234567890123456789012345678901234567890123456789012345678901234567890"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char boundary[71] = "";
        int rc = media_boundary(boundary, cases[i].type);
        ck_assert_msg((rc == 0) == (cases[i].boundary != NULL), "%s", cases[i].type);
        if (rc == 0)
            ck_assert_str_eq(boundary, cases[i].boundary);
    }
}
END_TEST

int main(void)
{
    RUN("media", bytes_are_recognised, types_claim, bytes_and_type_must_agree, accept_chooses,
        boundaries);
}
