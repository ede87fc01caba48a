/* What tests of volumes share: one service, one volume, and ways to send it. */
#ifndef ONESHOT_TESTS_VOLUME_SCENE_H
#define ONESHOT_TESTS_VOLUME_SCENE_H

#include "tests/http/look.h"
#include "tests/http/scene.h"
#include "tests/unit/nifti_maker.h"

static struct bytes volume;

static inline double body_value(int i, int j, int k)
{
    return (i * 37 + j * 13 + k * 101) % 1400 - 1000;
}

static inline struct bytes make_volume(const struct nifti_maker *m, bool gzip)
{
    struct bytes plain, zip;
    plain.data = nifti_file(&plain.length, m, body_value);
    if (!gzip)
        return plain;
    zip.data = gzip_bytes(&zip.length, plain.data, plain.length);
    free(plain.data);
    return zip;
}

static inline void begin(const char *const *words, const char *const *environment, int columns,
                         int rows, int slices)
{
    struct nifti_maker m = nifti_default(columns, rows, slices);
    setup(words, environment);
    volume = make_volume(&m, true);
}

static inline void end(void)
{
    free(volume.data);
    teardown();
}

static inline struct answer ask(const char *query, const char *const *headers)
{
    char path[256];
    snprintf(path, sizeof path, "/v1/predict%s", query);
    return http(&service, "POST", path, headers, volume.data, volume.length);
}

static inline json_t *ask_json(const char *query)
{
    struct answer answer = ask(query, NULL);
    ck_assert_msg(answer.status == 200, "%d: %.300s", answer.status, answer.body);
    json_t *root = parse((char *)answer.body, answer.length);
    answer_free(&answer);
    return root;
}

#endif
