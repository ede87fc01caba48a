/* Keys and certificate that are exchanged while the service runs. */
#include <curl/curl.h>
#include <sys/stat.h>

#include "tests/http/scene.h"
#include "tests/unit/run.h"

#define OTHER_CERTIFICATE "tests/http/tls/other_certificate.pem"
#define OTHER_KEY "tests/http/tls/other_key.pem"

/* A path of this test's own; `name` tells several apart. */
static const char *path_of(const char *name)
{
    static char paths[2][64];
    static int next;
    char *path = paths[next ^= 1];
    snprintf(path, sizeof paths[0], "/tmp/oneshot-rotation-%d-%s", (int)getpid(), name);
    return path;
}

/* Puts a text in a file's place in one step, as one is told to. */
static void put(const char *name, const char *text)
{
    char fresh[80], path[64];
    snprintf(path, sizeof path, "%s", path_of(name));
    snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *file = fopen(fresh, "wb");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    ck_assert_int_eq(rename(fresh, path), 0);
}

static void copy(const char *name, const char *from)
{
    char text[8192] = "";
    FILE *file = fopen(from, "rb");
    ck_assert_ptr_nonnull(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = 0;
    put(name, text);
}

static void reload(const char *event, const char *file, int times)
{
    char line[128];
    snprintf(line, sizeof line, "\"event\":\"%s\",\"file\":\"%s\"", event, file);
    ck_assert_int_eq(kill(service.pid, SIGHUP), 0);
    process_expect_log(&service, line, times);
}

static int ask(const char *key)
{
    char header[96];
    snprintf(header, sizeof header, "Authorization: Bearer %s", key);
    struct answer answer = http(&service, "GET", "/v1/info", WORDS(header), NULL, 0);
    answer_free(&answer);
    return answer.status;
}

#define FIRST "the-first-key-of-all"
#define SECOND "the-second-key-of-all"

START_TEST(keys_are_exchanged)
{
    put("keys", FIRST "\n");
    setup(WORDS("--api-key-file", path_of("keys")), NULL);
    ck_assert_int_eq(ask(FIRST), 200);
    ck_assert_int_eq(ask(SECOND), 401);
    put("keys", SECOND "\n");
    ck_assert_int_eq(ask(FIRST), 200); /* not before it is told to */
    reload("credentials_reloaded", "keys", 1);
    ck_assert_int_eq(ask(FIRST), 401);
    ck_assert_int_eq(ask(SECOND), 200);
    check(get("/v1/info"), 401, "unauthorized");
    check(get("/metrics"), 200,
          "oneshot_credential_reloads_total{file=\"keys\",outcome=\"ok\"} 1\n");
    unlink(path_of("keys"));
    teardown();
}
END_TEST

START_TEST(bad_keys_change_nothing)
{
    static const char *const bad[] = {"", "# none\n", FIRST "\nsecret\n"};
    put("keys", FIRST "\n");
    setup(WORDS("--api-key-file", path_of("keys")), NULL);
    int failed = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("keys", bad[i]);
        reload("credentials_stay", "keys", ++failed);
        ck_assert_int_eq(ask(FIRST), 200);
        check(get("/v1/info"), 401, "unauthorized");
    }
    unlink(path_of("keys"));
    reload("credentials_stay", "keys", ++failed);
    /* A pipe, which would be waited for, and the end of the service with it. */
    ck_assert_int_eq(mkfifo(path_of("keys"), 0600), 0);
    reload("credentials_stay", "keys", ++failed);
    ck_assert_int_eq(ask(FIRST), 200);
    process_expect_log(&service, "line 2", 1);
    char *log = process_log(&service);
    ck_assert_ptr_null(strstr(log, "secret"));
    free(log);
    /* The model's reload does not depend on it. */
    process_expect_log(&service, "\"event\":\"reloaded\"", 1);
    unlink(path_of("keys"));
    teardown();
}
END_TEST

START_TEST(keys_are_exchanged_while_the_model_loads)
{
    put("keys", FIRST "\n");
    process_start(&service, WORDS("--api-key-file", path_of("keys")), WORDS("FAKE_LOAD_MS=1000"));
    put("keys", SECOND "\n");
    reload("credentials_reloaded", "keys", 1);
    process_expect_log(&service, "\"event\":\"reload_ignored\"", 1);
    ck_assert_int_eq(ask(FIRST), 401);
    ck_assert_int_eq(ask(SECOND), 503);
    unlink(path_of("keys"));
    ck_assert_int_eq(process_stop(&service, SIGTERM), 0);
}
END_TEST

/* ---- HTTPS ---- */

static CURL *client(const char *certificate)
{
    char url[64];
    CURL *curl = curl_easy_init();
    ck_assert_ptr_nonnull(curl);
    snprintf(url, sizeof url, "https://127.0.0.1:%d/livez", service.port);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    curl_easy_setopt(curl, CURLOPT_CAINFO, certificate);
    return curl;
}

/* Whether the service shows this certificate. */
static bool shows(const char *certificate)
{
    CURL *curl = client(certificate);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_cleanup(curl);
    ck_assert_msg(code == CURLE_OK || code == CURLE_PEER_FAILED_VERIFICATION, "%s",
                  curl_easy_strerror(code));
    return code == CURLE_OK;
}

START_TEST(a_certificate_is_exchanged)
{
    copy("certificate", TEST_CERTIFICATE);
    copy("key", TEST_KEY);
    const char *certificate = path_of("certificate"), *key = path_of("key");
    setup(WORDS("--tls-cert", certificate, "--tls-key", key), NULL);
    ck_assert(shows(TEST_CERTIFICATE));
    ck_assert(!shows(OTHER_CERTIFICATE));
    CURL *old = client(TEST_CERTIFICATE);
    ck_assert_int_eq(curl_easy_perform(old), CURLE_OK);
    /* Half of it: the key does not fit yet. */
    copy("certificate", OTHER_CERTIFICATE);
    reload("credentials_stay", "certificate", 1);
    ck_assert(shows(TEST_CERTIFICATE));
    copy("key", OTHER_KEY);
    reload("credentials_reloaded", "certificate", 1);
    ck_assert(shows(OTHER_CERTIFICATE));
    ck_assert(!shows(TEST_CERTIFICATE));
    /* Connections that are there go on. */
    long connects = -1;
    ck_assert_int_eq(curl_easy_perform(old), CURLE_OK);
    curl_easy_getinfo(old, CURLINFO_NUM_CONNECTS, &connects);
    ck_assert_int_eq(connects, 0);
    curl_easy_cleanup(old);
    put("certificate", "-----BEGIN CERTIFICATE-----\nbad\n-----END CERTIFICATE-----\n");
    reload("credentials_stay", "certificate", 2);
    unlink(path_of("certificate"));
    reload("credentials_stay", "certificate", 3);
    /* Taken for a chain, it would fail in every handshake. */
    FILE *bundle = fopen(path_of("certificate"), "wb");
    ck_assert_ptr_nonnull(bundle);
    char text[8192];
    FILE *one = fopen(OTHER_CERTIFICATE, "rb");
    ck_assert_ptr_nonnull(one);
    size_t length = fread(text, 1, sizeof text, one);
    fclose(one);
    for (int i = 0; i < 17; i++)
        ck_assert_uint_eq(fwrite(text, 1, length, bundle), length);
    fclose(bundle);
    reload("credentials_stay", "certificate", 4);
    ck_assert(shows(OTHER_CERTIFICATE));
    unlink(path_of("certificate"));
    unlink(path_of("key"));
    teardown();
}
END_TEST

int main(void)
{
    RUN("rotation", keys_are_exchanged, bad_keys_change_nothing,
        keys_are_exchanged_while_the_model_loads, a_certificate_is_exchanged);
}
