/* Volumes that mean harm, and how much memory and time they get. */
#include <math.h>

#include "tests/http/volume_scene.h"
#include "tests/unit/run.h"

static void attack(const uint8_t *bytes, size_t length, bool gzip, int status, const char *has)
{
    static const char *const accepts[] = {"Accept: application/json", "Accept: application/x-nifti",
                                          "Accept: application/x-ndjson"};
    size_t zipped = length;
    uint8_t *zip = gzip ? gzip_bytes(&zipped, bytes, length) : NULL;
    for (int i = 0; i < 3; i++) {
        struct answer answer = http(&service, "POST", "/v1/predict?masks=none", WORDS(accepts[i]),
                                    zip ? zip : bytes, zipped);
        ck_assert_msg(answer.status == (i == 2 ? 200 : status) && answer_has(&answer, has),
                      "%d instead of %d %s: %.300s", answer.status, status, has, answer.body);
        answer_free(&answer);
    }
    free(zip);
}

START_TEST(files_that_mean_harm)
{
    setup(NULL, NULL);
    check(predict(NULL), 200, "burden");
    long before = process_peak_kb(&service);
    uint8_t header[1024];
    struct nifti_maker m = nifti_default(30000, 30000, 10); /* 18 GB in 377 bytes */
    nifti_header(&m, header);
    attack(header, 377, false, 422, "dim");
    attack(header, 377, true, 422, "dim");
    m = nifti_default(2000000000, 2000000000, 2000000000);
    m.version = 2;
    nifti_header(&m, header);
    attack(header, 560, false, 422, "dim[1..3]");
    m = nifti_default(4, 4, 4);
    m.offset = 900;
    nifti_header(&m, header);
    attack(header, 400, false, 422, "vox_offset");
    /* Every float at once. */
    m = nifti_default(2, 2, 2);
    nifti_header(&m, header);
    for (int at = 76; at < 328; at += 4)
        if (at < 120 || at >= 256)
            nifti_put_real(&m, header + at, 4, NAN);
    attack(header, 352 + 16, false, 422, "vox_offset");
    /* 134 MB of nothing in 130 KB. */
    size_t zipped, bomb = 352 + 2u * 4096 * 4096 * 4;
    uint8_t *nothing = calloc(1, bomb);
    m = nifti_default(4096, 4096, 4);
    nifti_header(&m, nothing);
    uint8_t *zip = gzip_bytes(&zipped, nothing, bomb);
    free(nothing);
    attack(zip, zipped, false, 413, "--max-inflate-ratio");
    /* A small volume with a bomb behind it. */
    uint8_t *tail = malloc(zipped + 1000), *head;
    size_t first;
    m = nifti_default(2, 2, 2);
    memset(header, 0, sizeof header);
    nifti_header(&m, header);
    for (int i = 0; i < 8; i++)
        nifti_voxel(&m, header + 352 + 2 * i, i);
    head = gzip_bytes(&first, header, 352 + 16);
    memcpy(tail, head, first);
    memcpy(tail + first, zip, zipped);
    attack(tail, first + zipped, false, 422, "after the last voxel");
    memcpy(tail + first, "trailing garbage", 16);
    attack(tail, first + 16, false, 422, "no gzip data");
    free(head);
    free(tail);
    free(zip);
    ck_assert_msg(process_peak_kb(&service) - before < 100 * 1024, "%ld KB more",
                  process_peak_kb(&service) - before);
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

/* Sideways, all of it has to be inflated for the first slice: the deadline comes in between. */
START_TEST(what_nobody_waits_for_is_not_inflated_to_its_end)
{
    static const double srow[3][4] = {{0, 0.75, 0, 0}, {0, 0, 0.75, 0}, {5, 0, 0, -300}};
    struct nifti_maker m = nifti_default(4, 4096, 4096);
    memcpy(m.srow, srow, sizeof srow);
    size_t zipped, length = 352 + 2u * 4096 * 4096 * 4;
    uint8_t *nothing = calloc(1, length);
    ck_assert_ptr_nonnull(nothing);
    nifti_header(&m, nothing);
    uint8_t *zip = gzip_bytes(&zipped, nothing, length);
    free(nothing);
    setup(WORDS("--workers", "1", "--max-inflate-ratio", "1032"), NULL);
    bool left = false;
    for (int tries = 0; !left; tries++) {
        ck_assert_int_lt(tries, 50);
        check(http(&service, "POST", "/v1/predict", WORDS("X-Request-Timeout-Ms: 40"), zip, zipped),
              504, "deadline_exceeded");
        wait_for(0, 0);
        struct answer answer = get("/metrics");
        left = answer_has(&answer, "{kind=\"nifti-1\",outcome=\"deadline_exceeded\"}");
        answer_free(&answer);
    }
    free(zip);
    check(predict(NULL), 200, "burden");
    teardown();
}
END_TEST

START_TEST(volumes_share_the_memory_for_bodies)
{
    begin(WORDS("--max-body", "2M", "--max-buffered", "2M"), NULL, 200, 200, 20);
    struct answer answer = ask("?masks=none", NULL);
    ck_assert_int_eq(answer.status, volume.length + 1600000 > 2u << 20 ? 429 : 200);
    answer_free(&answer);
    check(ask("?masks=none&slices=0:2", WORDS("Accept: application/x-nifti")), 429,
          "--max-buffered");
    check(predict(NULL), 200, "burden"); /* all of it was given back */
    end();
    begin(WORDS("--max-body", "1M", "--max-buffered", "1M"), NULL, 200, 200, 20);
    check(ask("?masks=none", NULL), 413, "--max-buffered");
    end();
}
END_TEST

int main(void)
{
    RUN("harm", files_that_mean_harm, what_nobody_waits_for_is_not_inflated_to_its_end,
        volumes_share_the_memory_for_bodies);
}
