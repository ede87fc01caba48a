/* convert/pickle: one object by every protocol, opcodes torch seldom writes, damage, limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/buffer.h"
#include "model/convert/pickle.h"
#include "tests/golden/pickles.h"
#include "tests/unit/oom.h"
#include "tests/unit/run.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- values as text, so that a table can say what is expected ---- */

static void describe(struct buffer *out, const struct pickle_value *value, int depth);

static void describe_items(struct buffer *out, const struct pickle_items *items, const char *open,
                           const char *close, int step, int depth)
{
    buffer_printf(out, NULL, "%s", open);
    for (size_t i = 0; i < items->count; i++) {
        if (i)
            buffer_printf(out, NULL, "%s", i % (size_t)step ? ":" : ",");
        describe(out, items->at[i], depth + 1);
    }
    buffer_printf(out, NULL, "%s", close);
}

static void describe_call(struct buffer *out, const struct pickle_call *call, int depth)
{
    describe(out, call->function, depth + 1);
    buffer_printf(out, NULL, "(");
    describe(out, call->arguments, depth + 1);
    buffer_printf(out, NULL, ")");
    if (call->items.count)
        describe_items(out, &call->items, "+[", "]", 1, depth);
    if (call->entries.count)
        describe_items(out, &call->entries, "+{", "}", 2, depth);
    if (call->state) {
        buffer_printf(out, NULL, "<-");
        describe(out, call->state, depth + 1);
    }
}

static void describe_text(struct buffer *out, const struct pickle_text *text, const char *quote)
{
    buffer_printf(out, NULL, "%s", quote);
    for (size_t i = 0; i < text->length; i++) {
        unsigned char c = (unsigned char)text->at[i];
        buffer_printf(out, NULL, c < 0x20 || c > 0x7e ? "\\x%02x" : "%c", c);
    }
    buffer_printf(out, NULL, "%s", quote);
}

static void describe(struct buffer *out, const struct pickle_value *value, int depth)
{
    if (depth > 10) {
        buffer_printf(out, NULL, "...");
        return;
    }
    switch (value->kind) {
    case PICKLE_NONE:
        buffer_printf(out, NULL, "None");
        break;
    case PICKLE_BOOL:
        buffer_printf(out, NULL, value->integer ? "True" : "False");
        break;
    case PICKLE_INT:
        buffer_printf(out, NULL, "%lld", (long long)value->integer);
        break;
    case PICKLE_FLOAT:
        buffer_printf(out, NULL, "%g", value->real);
        break;
    case PICKLE_LONG:
        describe_text(out, &value->text, "#");
        break;
    case PICKLE_TEXT:
        describe_text(out, &value->text, "'");
        break;
    case PICKLE_BYTES:
        describe_text(out, &value->text, "\"");
        break;
    case PICKLE_TUPLE:
        describe_items(out, &value->items, "(", ")", 1, depth);
        break;
    case PICKLE_LIST:
        describe_items(out, &value->items, "[", "]", 1, depth);
        break;
    case PICKLE_SET:
        describe_items(out, &value->items, "s[", "]", 1, depth);
        break;
    case PICKLE_DICT:
        describe_items(out, &value->items, "{", "}", 2, depth);
        break;
    case PICKLE_GLOBAL:
        buffer_printf(out, NULL, "%.*s.%.*s", (int)value->global.module.length,
                      value->global.module.at, (int)value->global.name.length,
                      value->global.name.at);
        break;
    case PICKLE_CALL:
        describe_call(out, value->call, depth);
        break;
    case PICKLE_REFERENCE:
        buffer_printf(out, NULL, "@");
        describe(out, value->reference, depth + 1);
        break;
    default:
        ck_abort_msg("kind %d", value->kind);
    }
}

/* ---- opcodes ---- */

/* A pickle as a C string that may hold zeros. */
#define P(text) text, sizeof(text) - 1

static const struct {
    const char *bytes;
    size_t length;
    const char *expected;
} good[] = {
    {P("N."), "None"},
    {P("\x80\x02\x88."), "True"},
    {P("I01\n."), "True"},
    {P("I00\n."), "False"},
    {P("I-12\n."), "-12"},
    {P("L12L\n."), "12"},
    {P("F-1.5e3\n."), "-1500"},
    {P("G\x3f\xf8\0\0\0\0\0\0."), "1.5"},
    {P("J\xff\xff\xff\xff."), "-1"},
    {P("K\xff."), "255"},
    {P("M\xff\xff."), "65535"},
    {P("\x8a\0."), "0"},
    {P("\x8a\x01\xff."), "-1"},
    {P("\x8a\x08\0\0\0\0\0\0\0\x80."), "-9223372036854775808"},
    {P("\x8a\x09\1\2\3\4\5\6\7\x08\x09."), "#\\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08\\x09#"},
    {P("\x8b\x02\0\0\0\0\x01."), "256"},
    {P("S'ab'\n."), "'ab'"},
    {P("S\"\"\n."), "''"},
    {P("Vab\n."), "'ab'"},
    {P("T\x02\0\0\0ab."), "'ab'"},
    {P("U\x02"
       "ab."),
     "'ab'"},
    {P("\x8c\x02"
       "ab."),
     "'ab'"},
    {P("X\x02\0\0\0ab."), "'ab'"},
    {P("\x8d\x02\0\0\0\0\0\0\0ab."), "'ab'"},
    {P("B\x02\0\0\0ab."), "\"ab\""},
    {P("C\x02"
       "ab."),
     "\"ab\""},
    {P("\x8e\x02\0\0\0\0\0\0\0ab."), "\"ab\""},
    {P("\x96\x02\0\0\0\0\0\0\0ab."), "\"ab\""},
    {P(")."), "()"},
    {P("K\1\x85."), "(1)"},
    {P("K\1K\2\x86."), "(1,2)"},
    {P("K\1K\2K\3\x87."), "(1,2,3)"},
    {P("(K\1K\2K\3K\4t."), "(1,2,3,4)"},
    {P("(l."), "[]"},
    {P("(K\1l."), "[1]"},
    {P("]K\1a."), "[1]"},
    {P("](K\1K\2e."), "[1,2]"},
    {P("(K\1K\2d."), "{1:2}"},
    {P("}K\1K\2s."), "{1:2}"},
    {P("}(K\1K\2K\3K\4u."), "{1:2,3:4}"},
    {P("\x8f(K\1\x90."), "s[1]"},
    {P("(K\1\x91."), "s[1]"},
    {P("K\1K\2"
       "0."),
     "1"},
    {P("K\1(0."), "1"},
    {P("K\1(K\2K\3"
       "1."),
     "1"},
    {P("K\1"
       "2\x86."),
     "(1,1)"},
    {P("]p3\nK\1a0g3\n."), "[1]"},
    {P("]q\3K\1a0h\3."), "[1]"},
    {P("]r\3\1\0\0K\1a0j\3\1\0\0."), "[1]"},
    {P("(K\5\x94K\6\x94h\0h\1\x86\x94h\2t."), "(5,6,(5,6),(5,6))"},
    {P("(K\5q\0q\0K\6\x94h\1t."), "(5,6,6)"},
    {P("\x80\x04\x95\x02\0\0\0\0\0\0\0N."), "None"},
    {P("cos\nsystem\n."), "os.system"},
    {P("\x8c\x02os\x8c\x06system\x93."), "os.system"},
    {P("cos\nsystem\n(S'rm'\ntR."), "os.system(('rm'))"},
    {P("cm\nC\n)\x81}K\1K\2sb."), "m.C(())<-{1:2}"},
    {P("cm\nC\n)}\x92."), "m.C(())"},
    {P("(K\1im\nC\n."), "m.C((1))"},
    {P("(cm\nC\nK\1o."), "m.C((1))"},
    {P("cm\nC\n)R(K\1K\2u."), "m.C(())+{1:2}"},
    {P("cm\nC\n)R(K\1K\2e."), "m.C(())+[1,2]"},
    {P("Pkey\n."), "@'key'"},
    {P("K\7Q."), "@7"},
    {P("]q\0h\0a."), "[[[[[[[[[[[...]]]]]]]]]]]"},
};

START_TEST(reads_opcodes)
{
    struct error err = {0};
    struct pickle *pickle;
    struct buffer text;
    size_t used;
    buffer_init(&text, 10000);
    int rc = pickle_parse(&pickle, good[_i].bytes, good[_i].length, &used, &err);
    ck_assert_msg(rc == 0, "%s expected, but: %s", good[_i].expected, err.text);
    ck_assert_uint_eq(used, good[_i].length);
    describe(&text, pickle_root(pickle), 0);
    ck_assert_str_eq((char *)text.bytes, good[_i].expected);
    pickle_free(pickle);
    buffer_free(&text);

    /* cut anywhere it fails, and a sanitizer sees any read past the end */
    for (size_t length = 0; length < good[_i].length; length++) {
        char *copy = malloc(length + 1);
        memcpy(copy, good[_i].bytes, length);
        ck_assert_int_eq(pickle_parse(&pickle, copy, length, NULL, &err), -1);
        ck_assert_int_eq(err.code, ERR_BAD_WEIGHTS);
        free(copy);
    }
}
END_TEST

static const struct {
    const char *bytes;
    size_t length;
    enum error_code code;
    const char *message;
} wrong[] = {
    {P(""), ERR_BAD_WEIGHTS, "pickle byte 0 (end): cut off"},
    {P("N"), ERR_BAD_WEIGHTS, "pickle byte 1 (end): cut off"},
    {P("."), ERR_BAD_WEIGHTS, "byte 0 (STOP): ends with other than one value"},
    {P("NN."), ERR_BAD_WEIGHTS, "byte 2 (STOP): ends with other"},
    {P("N(."), ERR_BAD_WEIGHTS, "ends with other"},
    {P("\xff."), ERR_BAD_WEIGHTS, "byte 0 (?): unknown opcode"},
    {P("\0."), ERR_BAD_WEIGHTS, "unknown opcode"},
    {P("\x80\x06N."), ERR_BAD_WEIGHTS, "protocol newer than 5"},
    {P("J\1\2."), ERR_BAD_WEIGHTS, "(BININT): cut off"},
    {P("X\x05\0\0\0ab."), ERR_BAD_WEIGHTS, "(BINUNICODE): cut off"},
    {P("X\xff\xff\xff\xff"), ERR_BAD_WEIGHTS, "(BINUNICODE): cut off"},
    {P("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), ERR_BAD_WEIGHTS, "(BINUNICODE8): cut off"},
    {P("\x8b\xff\xff\xff\xff"), ERR_BAD_WEIGHTS, "(LONG4): cut off"},
    {P("I5."), ERR_BAD_WEIGHTS, "(INT): cut off"},
    {P("I\n."), ERR_BAD_WEIGHTS, "(INT): malformed number"},
    {P("I5x\n."), ERR_BAD_WEIGHTS, "(INT): malformed number"},
    {P("L99999999999999999999L\n."), ERR_BAD_WEIGHTS, "malformed number"},
    {P("F1.5.\n."), ERR_BAD_WEIGHTS, "(FLOAT): malformed number"},
    {P("Sab\n."), ERR_BAD_WEIGHTS, "string without quotes"},
    {P("S'\n."), ERR_BAD_WEIGHTS, "string without quotes"},
    {P("S'a\\n'\n."), ERR_UNSUPPORTED, "escaped text"},
    {P("0."), ERR_BAD_WEIGHTS, "(POP): takes a value from an empty stack"},
    {P("2."), ERR_BAD_WEIGHTS, "(DUP): takes a value from an empty stack"},
    {P("1."), ERR_BAD_WEIGHTS, "there is no mark"},
    {P("t."), ERR_BAD_WEIGHTS, "(TUPLE): there is no mark"},
    {P("K\1\x86."), ERR_BAD_WEIGHTS, "(TUPLE2): takes a value"},
    {P("K\1(\x85."), ERR_BAD_WEIGHTS, "(TUPLE1): takes a value"},
    {P("(K\1d."), ERR_BAD_WEIGHTS, "(DICT): a key without a value"},
    {P("}(K\1u."), ERR_BAD_WEIGHTS, "(SETITEMS): a key without a value"},
    {P("}(K\1e."), ERR_BAD_WEIGHTS, "(APPENDS): appends to what is not"},
    {P("](K\1K\2u."), ERR_BAD_WEIGHTS, "(SETITEMS): sets an entry of what is not"},
    {P("K\1K\1K\1s."), ERR_BAD_WEIGHTS, "(SETITEM): sets an entry"},
    {P("(K\1a."), ERR_BAD_WEIGHTS, "(APPEND): takes a value"},
    {P("h\0."), ERR_BAD_WEIGHTS, "(BINGET): memo index that was never put"},
    {P("Nq\5h\4."), ERR_BAD_WEIGHTS, "never put"},
    {P("j\xff\xff\xff\xff."), ERR_BAD_WEIGHTS, "never put"},
    {P("Nr\xff\xff\xff\xff."), ERR_BAD_WEIGHTS, "memo index larger than allowed"},
    {P("q\0."), ERR_BAD_WEIGHTS, "(BINPUT): takes a value"},
    {P("Np-1\n."), ERR_BAD_WEIGHTS, "malformed memo index"},
    {P("gx\n."), ERR_BAD_WEIGHTS, "malformed memo index"},
    {P("K\1K\2\x93."), ERR_BAD_WEIGHTS, "a global whose name is not text"},
    {P("NR."), ERR_BAD_WEIGHTS, "(REDUCE): takes a value"},
    {P("(o."), ERR_BAD_WEIGHTS, "an object without a class"},
    {P("}}b."), ERR_BAD_WEIGHTS, "(BUILD): gives state to what is not an object"},
    {P("cos\n"), ERR_BAD_WEIGHTS, "(GLOBAL): cut off"},
    {P("Q."), ERR_BAD_WEIGHTS, "(BINPERSID): takes a value"},
    {P("\x82\1."), ERR_UNSUPPORTED, "extensions or buffers"},
    {P("\x97."), ERR_UNSUPPORTED, "extensions or buffers"},
};

START_TEST(names_what_is_wrong)
{
    struct error err = {0};
    struct pickle *pickle;
    ck_assert_int_eq(pickle_parse(&pickle, wrong[_i].bytes, wrong[_i].length, NULL, &err), -1);
    ck_assert_msg(strstr(err.text, wrong[_i].message) != NULL, "%s\n  said: %s", wrong[_i].message,
                  err.text);
    ck_assert_int_eq(err.code, wrong[_i].code);
    ck_assert_ptr_null(pickle);
}
END_TEST

/* ---- one object by every protocol ---- */

static const struct {
    const unsigned char *bytes;
    size_t length;
} protocols[] = {
    {protocol0, sizeof protocol0}, {protocol1, sizeof protocol1}, {protocol2, sizeof protocol2},
    {protocol3, sizeof protocol3}, {protocol4, sizeof protocol4}, {protocol5, sizeof protocol5},
};

/* What is said of entry `key`; freed by the next call. */
static const char *entry_text(const struct pickle *pickle, const char *key)
{
    static struct buffer text;
    buffer_free(&text);
    buffer_init(&text, 10000);
    const struct pickle_value *value = pickle_get(pickle_root(pickle), key);
    if (!value)
        return "(missing)";
    describe(&text, value, 0);
    return (const char *)text.bytes;
}

START_TEST(reads_every_protocol)
{
    static const struct {
        const char *key, *value;
        int from; /* protocol */
    } entries[] = {
        {"none", "None", 0},
        {"small", "7", 0},
        {"large", "70000", 0},
        {"negative", "-3", 0},
        {"wide", "1099511627776", 0},
        {"real", "-0.75", 0},
        {"text", "'h\\xc3\\xa9'", 1},
        {"tuple", "()", 0},
        {"one", "(1)", 0},
        {"two", "(1,2)", 0},
        {"three", "(1,2,3)", 0},
        {"four", "(1,2,3,4)", 0},
        {"list", "[1,[2]]", 0},
        {"shared", "[['x'],['x']]", 0},
        {"yes", "True", 0},
        {"no", "False", 0},
        {"huge", "#l\\xfc\\x9cF\\xf9 j\\xa8P\\x19#", 2},
        {"bytes", "\"\\x00\\x01\"", 3},
        {"set", "s[5]", 4},
        {"frozen", "s[6]", 4},
    };
    struct error err = {0};
    struct pickle *pickle;
    int rc = pickle_parse(&pickle, protocols[_i].bytes, protocols[_i].length, NULL, &err);
    ck_assert_msg(rc == 0, "protocol %d: %s", _i, err.text);
    for (size_t i = 0; i < COUNT(entries); i++)
        if (_i >= entries[i].from)
            ck_assert_str_eq(entry_text(pickle, entries[i].key), entries[i].value);
    const struct pickle_value *shared = pickle_get(pickle_root(pickle), "shared");
    ck_assert_ptr_eq(pickle_item(shared, 0), pickle_item(shared, 1));
    const struct pickle_value *ordered = pickle_get(pickle_root(pickle), "ordered");
    ck_assert_uint_eq(pickle_entries(ordered), 2);
    ck_assert_int_eq(pickle_get(ordered, "k")->integer, 1);
    ck_assert_int_eq(pickle_get(ordered, "l")->integer, 2);
    pickle_free(pickle);
}
END_TEST

START_TEST(cut_anywhere_is_an_error)
{
    struct error err;
    struct pickle *pickle;
    for (size_t length = 0; length < protocols[_i].length; length++) {
        unsigned char *copy = malloc(length + 1);
        memcpy(copy, protocols[_i].bytes, length);
        ck_assert_int_eq(pickle_parse(&pickle, copy, length, NULL, &err), -1);
        ck_assert_int_eq(err.code, ERR_BAD_WEIGHTS);
        free(copy);
    }
}
END_TEST

START_TEST(questions_about_other_values_say_no)
{
    struct pickle *pickle;
    const struct pickle_value *key, *value;
    static const char text[] =
        "(Va\ncm\nf\nK\1)]ccollections\nOrderedDict\n(((Va\nK\1t(Vb\nK\2lltRl.";
    ck_assert_int_eq(pickle_parse(&pickle, text, sizeof text - 1, NULL, NULL), 0);
    const struct pickle_value *root = pickle_root(pickle);
    ck_assert(pickle_text_is(pickle_item(root, 0), "a"));
    ck_assert(!pickle_text_is(pickle_item(root, 0), "ab"));
    ck_assert(!pickle_text_is(pickle_item(root, 0), ""));
    ck_assert(!pickle_text_is(pickle_item(root, 1), "m"));
    ck_assert(!pickle_text_is(NULL, "m"));
    ck_assert(pickle_global_is(pickle_item(root, 1), "m", "f"));
    ck_assert(!pickle_global_is(pickle_item(root, 1), "m", "g"));
    ck_assert(!pickle_global_is(pickle_item(root, 0), "m", "f"));
    ck_assert(!pickle_global_is(NULL, "m", "f"));
    ck_assert_ptr_null(pickle_item(root, 6));
    ck_assert_ptr_null(pickle_item(NULL, 0));
    ck_assert_ptr_null(pickle_item(pickle_item(root, 0), 0));
    ck_assert_ptr_null(pickle_get(root, "a"));
    ck_assert_ptr_null(pickle_get(NULL, "a"));
    ck_assert_int_eq(pickle_entry(NULL, 0, &key, &value), -1);
    ck_assert_uint_eq(pickle_entries(pickle_item(root, 2)), 0);
    /* an OrderedDict of Python 2: its entries came as pairs */
    const struct pickle_value *ordered = pickle_item(root, 5);
    ck_assert_uint_eq(pickle_entries(ordered), 2);
    ck_assert_int_eq(pickle_get(ordered, "b")->integer, 2);
    ck_assert_int_eq(pickle_entry(ordered, 2, &key, &value), -1);
    pickle_free(pickle);
    pickle_free(NULL);
    for (int kind = 0; kind < PICKLE_KINDS; kind++)
        ck_assert_int_gt((int)strlen(pickle_kind_name((enum pickle_kind)kind)), 1);
    ck_assert_str_eq(pickle_kind_name(PICKLE_KINDS), "?");
}
END_TEST

START_TEST(gives_every_reference)
{
    struct pickle *pickle;
    size_t count;
    static const char text[] = "(Vs\nQVs\nQPt\nt.";
    ck_assert_int_eq(pickle_parse(&pickle, text, sizeof text - 1, NULL, NULL), 0);
    const struct pickle_value *const *references = pickle_references(pickle, &count);
    ck_assert_uint_eq(count, 3);
    ck_assert(pickle_text_is(references[1]->reference, "s"));
    ck_assert(pickle_text_is(references[2]->reference, "t"));
    pickle_free(pickle);
}
END_TEST

/* ---- limits ---- */

static const struct {
    const char *repeat;
    size_t length, times;
    const char *message; /* NULL: still fine */
} repeated[] = {
    {P("("), PICKLE_MAX_DEPTH + 1, "nested deeper than allowed"},
    {P("K\1"), PICKLE_MAX_STACK + 1, "stack deeper than allowed"},
    {P("K\1"
       "0"),
     PICKLE_MAX_VALUES + 1, "more values than allowed"},
    {P("}(NNNNNNNNu0"), 250000, "more memory than allowed"},
    {P("}(h\0h\0h\0h\0h\0h\0h\0h\0u0"), 500000, "more memory than allowed"},
    {P("K\1"
       "0"),
     500000, NULL},
};

START_TEST(limits_hold)
{
    struct error err = {0};
    struct pickle *pickle;
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    int rc = buffer_append(&bytes, "Nq\0", 3, NULL);
    for (size_t i = 0; rc == 0 && i < repeated[_i].times; i++)
        rc = buffer_append(&bytes, repeated[_i].repeat, repeated[_i].length, NULL);
    ck_assert_int_eq(rc, 0); /* not in the loop: each assertion is written to a pipe */
    ck_assert_int_eq(buffer_append(&bytes, ".", 1, NULL), 0);
    rc = pickle_parse(&pickle, bytes.bytes, bytes.length, NULL, &err);
    if (repeated[_i].message) {
        ck_assert_int_eq(rc, -1);
        ck_assert_msg(strstr(err.text, repeated[_i].message) != NULL, "%s", err.text);
    } else {
        ck_assert_msg(rc == 0, "%s", err.text);
    }
    pickle_free(pickle);
    buffer_free(&bytes);
}
END_TEST

START_TEST(long_text_is_refused)
{
    struct error err = {0};
    struct pickle *pickle;
    size_t length = (size_t)PICKLE_MAX_TEXT + 7;
    char *bytes = calloc(1, length);
    uint32_t size = PICKLE_MAX_TEXT + 1;
    bytes[0] = 'X';
    memcpy(bytes + 1, &size, 4);
    bytes[length - 1] = '.';
    ck_assert_int_eq(pickle_parse(&pickle, bytes, length, NULL, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "text longer than allowed"));
    free(bytes);
}
END_TEST

START_TEST(every_failing_allocation_is_an_error)
{
    struct error err;
    struct pickle *pickle;
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    ck_assert_int_eq(buffer_append(&bytes, "(", 1, NULL), 0);
    for (int i = 0; i < 3000; i++)
        ck_assert_int_eq(buffer_printf(&bytes, NULL, "Nr%c%c%c%cPx\n", i & 255, i >> 8, 0, 0), 0);
    ck_assert_int_eq(buffer_append(&bytes, "t.", 2, NULL), 0);
    struct oom_walk walk = {.err = &err, .more_than = 10};
    while (oom_next(&walk)) {
        int rc = pickle_parse(&pickle, bytes.bytes, bytes.length, NULL, &err);
        pickle_free(pickle);
        oom_judge(&walk, rc);
        if (rc != 0)
            ck_assert_ptr_null(pickle);
    }
    buffer_free(&bytes);
}
END_TEST

int main(void)
{
    TCase *tc = test_case("pickle");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, reads_opcodes, 0, COUNT(good));
    tcase_add_loop_test(tc, names_what_is_wrong, 0, COUNT(wrong));
    tcase_add_loop_test(tc, reads_every_protocol, 0, COUNT(protocols));
    tcase_add_loop_test(tc, cut_anywhere_is_an_error, 0, COUNT(protocols));
    tcase_add_test(tc, questions_about_other_values_say_no);
    tcase_add_test(tc, gives_every_reference);
    tcase_add_loop_test(tc, limits_hold, 0, COUNT(repeated));
    tcase_add_test(tc, long_text_is_refused);
    tcase_add_test(tc, every_failing_allocation_is_an_error);
    return run_case("pickle", tc);
}
