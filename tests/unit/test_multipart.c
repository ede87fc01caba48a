/* api/multipart: forms as clients send them, cut anywhere, and spoilt at random. */
#include <stdio.h>
#include <string.h>

#include "api/multipart.h"
#include "tests/unit/run.h"

static struct multipart_part parts[MULTIPART_MAX_PARTS];
static struct problem problem;
static int count;

/* In memory of its exact size, so that reading past the end is noticed by a sanitizer. */
static int parse_bytes(const char *body, size_t length, const char *boundary)
{
    uint8_t *copy = malloc(length ? length : 1);
    if (length)
        memcpy(copy, body, length);
    int rc = multipart_parse(parts, &count, copy, length, boundary, &problem);
    free(copy);
    return rc;
}

static int parse(const char *body)
{
    return multipart_parse(parts, &count, (const uint8_t *)body, strlen(body), "XX", &problem);
}

#define FILE_PART                                                                                  \
    "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a b\\\".png\"\r\n"          \
    "Content-Type: image/png\r\n\r\nBYTES\r\n--X\r\nMORE\r\n"

static const char two_parts[] =
    FILE_PART "--XX\r\ncontent-disposition:form-data;name=options\r\n\r\n{}\r\n--XX--\r\n";

START_TEST(parts_as_curl_sends_them)
{
    ck_assert_int_eq(parse(two_parts), 0);
    ck_assert_int_eq(count, 2);
    ck_assert_str_eq(parts[0].name, "file");
    ck_assert_str_eq(parts[0].filename, "a b\".png");
    ck_assert_str_eq(parts[0].type, "image/png");
    ck_assert_uint_eq(parts[0].length, 16);
    ck_assert_mem_eq(parts[0].bytes, "BYTES\r\n--X\r\nMORE", 16);
    ck_assert_str_eq(parts[1].name, "options");
    ck_assert_str_eq(parts[1].filename, "");
    ck_assert_uint_eq(parts[1].length, 2);
}
END_TEST

START_TEST(edges_of_the_grammar)
{
    ck_assert_int_eq(parse("preamble\r\n--XX \t\r\nContent-Disposition: form-data; name=f\r\n\r\n"
                           "\r\n--XX--epilogue"),
                     -1); /* an epilogue begins on a line of its own */
    ck_assert_int_eq(parse("preamble\r\n--XX \t\r\nContent-Disposition: form-data; name=f\r\n\r\n"
                           "\r\n--XX--\r\nepilogue"),
                     0);
    ck_assert_int_eq(count, 1);
    ck_assert_uint_eq(parts[0].length, 0);
    ck_assert_int_eq(parse("--XX\r\nContent-Disposition: form-data; name=f\r\n\r\n--XX--"), 0);
    ck_assert_uint_eq(parts[0].length, 0);
    ck_assert_int_eq(parse("--XX\r\nX: y\r\nContent-Disposition: form-data; filename=\"name=x\"; "
                           "name=f\r\n\r\nabc\r\n--XX--\r\n"),
                     0);
    ck_assert_str_eq(parts[0].name, "f");
    ck_assert_str_eq(parts[0].filename, "name=x");
}
END_TEST

START_TEST(refusals)
{
    static const char *const bodies[] = {
        "",
        "no boundary",
        "--XX",
        "--XX--",
        "--XXX\r\nContent-Disposition: form-data; name=f\r\n\r\nabc\r\n--XX--",
        "--XX\nContent-Disposition: form-data; name=f\n\nabc\n--XX--",
        "--XX\r\n\r\nabc\r\n--XX--",
        "--XX\r\nContent-Disposition: form-data\r\n\r\nabc\r\n--XX--",
        "--XX\r\nContent-Disposition: attachment; name=f\r\n\r\nabc\r\n--XX--",
        "--XX\r\nContent-Disposition form-data\r\n\r\nabc\r\n--XX--",
        "--XX\r\n: form-data\r\n\r\nabc\r\n--XX--",
        "--XX\r\nContent-Disposition: form-data; name=f\r\n\r\nabc",
        "--XX\r\nContent-Disposition: form-data; name=f\r\n",
        "--XX\r\nContent-Disposition: form-data; name=f\r\nContent-Transfer-Encoding: base64\r\n"
        "\r\nabc\r\n--XX--",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        ck_assert_msg(parse(bodies[i]) != 0, "case %zu was taken", i);
        ck_assert_int_eq(problem.kind, PROBLEM_BAD_MULTIPART);
        ck_assert_uint_gt(strlen(problem.detail), 15);
    }
}
END_TEST

START_TEST(headers_are_bounded)
{
    size_t size = 20000;
    char *body = malloc(size + 200);
    int n = snprintf(body, 200, "--XX\r\nContent-Disposition: form-data; name=");
    memset(body + n, 'a', size);
    snprintf(body + n + size, 100, "\r\n\r\nabc\r\n--XX--");
    ck_assert_int_ne(parse(body), 0);
    /* Many short lines are too long together. */
    strncpy(body, "--XX\r\n", 7);
    for (size_t at = 6; at < size; at += 10)
        memcpy(body + at, "X-Y: abc\r\n", 11);
    ck_assert_int_ne(parse(body), 0);
    ck_assert_ptr_nonnull(strstr(problem.detail, "headers"));
    free(body);
    /* Names are cut, not overrun. */
    char longer[1200];
    memset(longer, 'b', sizeof longer);
    n = snprintf(longer, 200, "--XX\r\nContent-Disposition: form-data; name=");
    longer[n] = 'b';
    snprintf(longer + 600, 100, "\r\n\r\nabc\r\n--XX--");
    ck_assert_int_eq(parse(longer), 0);
    ck_assert_uint_eq(strlen(parts[0].name), MULTIPART_NAME_SIZE - 1);
}
END_TEST

START_TEST(too_many_parts)
{
    const size_t one = sizeof FILE_PART - 1, size = (MULTIPART_MAX_PARTS + 2) * one;
    char *full = calloc(1, size);
    for (int i = 0; i <= MULTIPART_MAX_PARTS; i++)
        memcpy(full + (size_t)i * one, FILE_PART, one);
    ck_assert_int_ne(parse_bytes(full, strlen(full), "XX"), 0);
    snprintf(full + MULTIPART_MAX_PARTS * one, one, "--XX--\r\n");
    ck_assert_int_eq(parse(full), 0);
    ck_assert_int_eq(count, MULTIPART_MAX_PARTS);
    memcpy(full + MULTIPART_MAX_PARTS * one, FILE_PART "--XX--\r\n", one + 9);
    ck_assert_int_ne(parse(full), 0);
    ck_assert_ptr_nonnull(strstr(problem.detail, "more than"));
    free(full);
}
END_TEST

START_TEST(cut_anywhere)
{
    /* The last four bytes are the closing dashes and their line end; dashes alone suffice. */
    for (size_t n = 0; n < sizeof two_parts - 3; n++)
        ck_assert_msg(parse_bytes(two_parts, n, "XX") != 0, "cut at %zu was taken", n);
    ck_assert_int_eq(parse_bytes(two_parts, sizeof two_parts - 3, "XX"), 0);
}
END_TEST

START_TEST(spoilt_at_random)
{
    unsigned state = 11;
    char body[sizeof two_parts];
    for (int round = 0; round < 20000; round++) {
        memcpy(body, two_parts, sizeof body);
        for (unsigned k = random_next(&state) % 4 + 1; k > 0; k--)
            body[random_next(&state) % (sizeof body - 1)] = (char)random_next(&state);
        if (parse_bytes(body, sizeof body - 1, "XX") != 0)
            continue;
        ck_assert_int_ge(count, 1);
        for (int i = 0; i < count; i++)
            ck_assert_uint_lt(parts[i].length, sizeof body);
    }
}
END_TEST

int main(void)
{
    RUN("multipart", parts_as_curl_sends_them, edges_of_the_grammar, refusals, headers_are_bounded,
        too_many_parts, cut_anywhere, spoilt_at_random);
}
