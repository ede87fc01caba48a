/* api/keys, api/cors: who may ask, and which pages may read. */
#include <stdio.h>
#include <string.h>

#include "api/cors.h"
#include "api/keys.h"
#include "tests/unit/run.h"

static struct keys keys;
static struct error err;

static int read_keys(const char *text)
{
    return keys_read(&keys, text, strlen(text), &err);
}

START_TEST(keys_are_read_and_matched)
{
    char digest[SHA256_HEX_SIZE], text[512];
    sha256_hex(digest, "the-second-key-of-all", 21);
    snprintf(text, sizeof text, "# comment\n\nthe-first-key-of-all \r\nsha256:%s\n", digest);
    ck_assert_int_eq(read_keys(text), 0);
    ck_assert_int_eq(keys.count, 2);
    ck_assert(keys_match(&keys, "Bearer the-first-key-of-all"));
    ck_assert(keys_match(&keys, "bearer   the-second-key-of-all"));
    static const char *const wrong[] = {"Bearer the-first-key-of-al",
                                        "Bearer the-first-key-of-all ",
                                        "Bearer THE-FIRST-KEY-OF-ALL",
                                        "Basic the-first-key-of-all",
                                        "the-first-key-of-all",
                                        "Bearer",
                                        "Bearer ",
                                        ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_msg(!keys_match(&keys, wrong[i]), "\"%s\"", wrong[i]);
    ck_assert(!keys_match(&keys, NULL));
    /* What is kept does not hold them, nor is a digest a key. */
    ck_assert_ptr_null(memmem(keys.digests, sizeof *keys.digests * 2, "first", 5));
    snprintf(text, sizeof text, "Bearer %s", digest);
    ck_assert(!keys_match(&keys, text));
    snprintf(text, sizeof text, "Bearer sha256:%s", digest);
    ck_assert(!keys_match(&keys, text));
    keys_free(&keys);
}
END_TEST

START_TEST(every_byte_of_a_key_counts)
{
    char key[] = "0123456789abcdefghij", header[64];
    ck_assert_int_eq(read_keys(key), 0);
    for (size_t i = 0; key[i]; i++) {
        key[i] ^= 1;
        snprintf(header, sizeof header, "Bearer %s", key);
        ck_assert_msg(!keys_match(&keys, header), "byte %zu", i);
        key[i] ^= 1;
    }
    snprintf(header, sizeof header, "Bearer %s", key);
    ck_assert(keys_match(&keys, header));
    keys_free(&keys);
}
END_TEST

START_TEST(files_that_hold_no_keys)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "no key"},
        {"# only\n#comments\n\n", "no key"},
        {"short\n", "line 1"},
        {"a-key-that-is-long-enough\nwith space in between\n", "line 2"},
        {"sha256:1234\n", "line 1"},
        {"sha256:zz3456789012345678901234567890123456789012345678901234567890abcd\n", "line 1"},
        {"a-key-that-is-\xc3\xa4-long-enough\n", "line 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_msg(read_keys(cases[i].text) != 0, "case %zu", i);
        ck_assert_msg(strstr(err.text, cases[i].says) != NULL, "case %zu: %s", i, err.text);
        ck_assert_ptr_null(strstr(err.text, "space in"));
        ck_assert_int_eq(keys.count, 0);
    }
    char many[(KEYS_MAXIMUM + 1) * 32];
    size_t n = 0;
    for (int i = 0; i <= KEYS_MAXIMUM; i++)
        n += (size_t)snprintf(many + n, sizeof many - n, "key-number-%08d\n", i);
    ck_assert_int_ne(read_keys(many), 0);
}
END_TEST

START_TEST(lists_of_origins)
{
    static const char *const good[] = {"",
                                       "*",
                                       "https://a.example",
                                       "http://localhost:3000",
                                       "https://a.example,https://b.example:8443",
                                       "https://a.example, http://[::1]:80"};
    static const char *const bad[] = {"a.example",
                                      "https://",
                                      "https://a.example/",
                                      "https://a.example/path",
                                      "ftp://a.example",
                                      "https://a.example,*",
                                      "https://a b",
                                      "null",
                                      "https://a.example\r\nX: y"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        ck_assert_msg(cors_valid(good[i]), "%s", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!cors_valid(bad[i]), "%s", bad[i]);
}
END_TEST

START_TEST(origins_are_allowed_whole)
{
    const char *list = "https://a.example,http://localhost:3000";
    ck_assert(cors_allows(list, "https://a.example"));
    ck_assert(cors_allows(list, "HTTPS://A.example"));
    ck_assert(cors_allows(list, "http://localhost:3000"));
    ck_assert(!cors_allows(list, "https://a.example.evil"));
    ck_assert(!cors_allows(list, "https://a.exampl"));
    ck_assert(!cors_allows(list, "http://a.example"));
    ck_assert(!cors_allows(list, "http://localhost"));
    ck_assert(!cors_allows(list, "null"));
    ck_assert(!cors_allows(list, ""));
    ck_assert(!cors_allows(list, NULL));
    ck_assert(!cors_allows("", "https://a.example"));
    ck_assert(cors_allows("*", "https://any.example"));
}
END_TEST

START_TEST(headers_for_other_origins)
{
    struct response r;
    response_init(&r);
    cors_answer(&r, "", "https://a.example", NULL);
    ck_assert_int_eq(r.headers_count, 0);
    cors_answer(&r, "https://a.example", "https://b.example", NULL);
    ck_assert_str_eq(response_find(&r, "Vary"), "Origin");
    ck_assert_ptr_null(response_find(&r, "Access-Control-Allow-Origin"));
    response_init(&r);
    cors_answer(&r, "https://a.example", "https://a.example", NULL);
    ck_assert_str_eq(response_find(&r, "Access-Control-Allow-Origin"), "https://a.example");
    ck_assert_ptr_nonnull(strstr(response_find(&r, "Access-Control-Expose-Headers"), "Retry"));
    ck_assert_ptr_null(response_find(&r, "Access-Control-Allow-Methods"));
    ck_assert_ptr_null(response_find(&r, "Access-Control-Allow-Credentials"));
    response_init(&r);
    cors_answer(&r, "*", "https://a.example", "POST, OPTIONS");
    ck_assert_str_eq(response_find(&r, "Access-Control-Allow-Origin"), "*");
    ck_assert_str_eq(response_find(&r, "Access-Control-Allow-Methods"), "POST, OPTIONS");
    ck_assert_ptr_nonnull(
        strstr(response_find(&r, "Access-Control-Allow-Headers"), "Authorization"));
}
END_TEST

int main(void)
{
    RUN("access", keys_are_read_and_matched, every_byte_of_a_key_counts, files_that_hold_no_keys,
        lists_of_origins, origins_are_allowed_whole, headers_for_other_origins);
}
