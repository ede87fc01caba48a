#include "model/convert/pickle.h"

#include <stdlib.h>
#include <string.h>

#include "model/convert/pickle_machine.h"

void pickle_free(struct pickle *pickle)
{
    if (!pickle)
        return;
    for (struct block *block = pickle->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(pickle->references);
    free(pickle);
}

const struct pickle_value *pickle_root(const struct pickle *pickle)
{
    return pickle->root;
}

const struct pickle_value *const *pickle_references(const struct pickle *pickle, size_t *count)
{
    *count = pickle->references_count;
    return pickle->references;
}

/* `width` bytes of number, which `counted` turns into the length of what follows; or lines. */
static const struct {
    unsigned char width, counted, lines;
} forms[] = {
    [NO] = {0, 0, 0}, [N1] = {1, 0, 0}, [N2] = {2, 0, 0}, [N4] = {4, 0, 0},   [N8] = {8, 0, 0},
    [S1] = {1, 1, 0}, [S4] = {4, 1, 0}, [S8] = {8, 1, 0}, [LINE] = {0, 0, 1}, [LINES] = {0, 0, 2},
};

/* A line without its end. */
static int read_line(struct machine *m, struct pickle_text *out)
{
    const char *from = m->bytes + m->at;
    const char *end = memchr(from, '\n', m->length - m->at);
    if (!end)
        return pvm_bad(m, "cut off");
    *out = (struct pickle_text){from, (size_t)(end - from)};
    if (out->length > PICKLE_MAX_TEXT)
        return pvm_bad(m, "text longer than allowed");
    m->at += out->length + 1;
    return 0;
}

static int read_operand(struct machine *m, struct operand *out, enum operand_form form)
{
    *out = (struct operand){0};
    if (m->length - m->at < forms[form].width)
        return pvm_bad(m, "cut off");
    memcpy(&out->number, m->bytes + m->at, forms[form].width); /* little-endian, like us */
    m->at += forms[form].width;
    if (forms[form].counted) {
        if (out->number > m->length - m->at)
            return pvm_bad(m, "cut off");
        if (out->number > PICKLE_MAX_TEXT)
            return pvm_bad(m, "text longer than allowed");
        out->text = (struct pickle_text){m->bytes + m->at, (size_t)out->number};
        m->at += (size_t)out->number;
    }
    if (forms[form].lines > 0 && read_line(m, &out->text))
        return -1;
    return forms[form].lines > 1 ? read_line(m, &out->second) : 0;
}

static int step(struct machine *m)
{
    struct operand operand;
    m->op_at = m->at;
    m->op_name = "end";
    if (m->at >= m->length)
        return pvm_bad(m, "cut off");
    const struct opcode *op = &pvm_opcodes[(unsigned char)m->bytes[m->at++]];
    m->op_name = op->run ? op->name : "?";
    if (!op->run)
        return pvm_bad(m, "unknown opcode");
    if (read_operand(m, &operand, op->form))
        return -1;
    return op->run(m, &operand, op->detail);
}

int pickle_parse(struct pickle **out, const void *bytes, size_t length, size_t *used,
                 struct error *err)
{
    int rc = 0;
    *out = NULL;
    struct machine *m = calloc(1, sizeof *m);
    struct pickle *pickle = calloc(1, sizeof *pickle);
    if (!m || !pickle) {
        rc = error_set(err, ERR_MEMORY, "out of memory reading a pickle");
        goto done;
    }
    *m = (struct machine){.pickle = pickle, .bytes = bytes, .length = length, .err = err};
    while (!m->stopped)
        TRY(step(m));
    if (used)
        *used = m->at;
    *out = pickle;
    pickle = NULL;
done:
    pickle_free(pickle);
    if (m) {
        free(m->stack.at);
        free(m->memo.at);
    }
    free(m);
    return rc;
}
