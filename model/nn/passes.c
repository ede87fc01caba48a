#include "model/nn/passes.h"

#include "model/nn/strip.h"

int passes_resolve(const struct node *nodes, int node)
{
    while (nodes[node].alias >= 0)
        node = nodes[node].alias;
    return node;
}

/* How many live nodes read this value. */
static int readers(const struct node *nodes, int count, int node)
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        if (nodes[i].alias >= 0 || nodes[i].dead)
            continue;
        for (int k = 0; k < nodes[i].inputs; k++)
            n += passes_resolve(nodes, nodes[i].input[k]) == node;
        n += nodes[i].residual >= 0 && passes_resolve(nodes, nodes[i].residual) == node;
    }
    return n;
}

/* Only a value nobody else sees may change under its producer's name. */
static bool private_to_one_reader(const struct node *nodes, int count, const bool *pinned, int node)
{
    for (int i = 0; i < count; i++)
        if (pinned[i] && passes_resolve(nodes, i) == node)
            return false;
    return readers(nodes, count, node) == 1;
}

/* A norm with stored statistics right behind a convolution is a scale and a shift of it. */
static void fold_norm(struct node *nodes, int count, const bool *pinned, int i)
{
    int x = passes_resolve(nodes, nodes[i].input[0]);
    struct node *conv = &nodes[x];
    if (nodes[i].norm != NORM_RUNNING || conv->kind != OP_CONV || conv->relu ||
        conv->residual >= 0 || conv->folded_norm >= 0 || conv->composed >= 0 ||
        !private_to_one_reader(nodes, count, pinned, x))
        return;
    conv->folded_norm = i;
    nodes[i].alias = x;
}

static void fuse_relu(struct node *nodes, int count, const bool *pinned, int i)
{
    int x = passes_resolve(nodes, nodes[i].input[0]);
    struct node *from = &nodes[x];
    bool able = from->kind == OP_CONV || from->kind == OP_NORM || from->kind == OP_LINEAR ||
                from->kind == OP_DECONV || from->kind == OP_ADD || from->kind == OP_UPCONV;
    if (!able || from->relu || !private_to_one_reader(nodes, count, pinned, x))
        return;
    from->relu = true;
    nodes[i].alias = x;
}

/* a + b becomes part of whichever of the two is computed last. */
static void fuse_add(struct node *nodes, int count, const bool *pinned, bool inference, int i)
{
    int a = passes_resolve(nodes, nodes[i].input[0]), b = passes_resolve(nodes, nodes[i].input[1]);
    int late = a > b ? a : b, early = a > b ? b : a;
    struct node *from = &nodes[late];
    bool able = from->kind == OP_NORM || (inference && from->kind == OP_CONV);
    if (!able || late == early || from->relu || from->residual >= 0 ||
        !private_to_one_reader(nodes, count, pinned, late))
        return;
    from->residual = early;
    nodes[i].alias = late;
}

/*
 * A transposed convolution whose kernel is its stride spreads a cell over a block; a convolution of
 * the same kernel and stride gathers that block again. With nothing between them the two are one
 * 1x1 convolution, whose weight is the product of theirs.
 */
static void compose(struct node *nodes, int count, const bool *pinned, int i)
{
    struct node *conv = &nodes[i];
    int x = passes_resolve(nodes, conv->input[0]);
    const struct node *spread = &nodes[x];
    if (spread->kind != OP_DECONV || spread->relu || conv->kernel != spread->kernel ||
        conv->stride != spread->kernel || conv->pad || conv->groups != 1 ||
        !private_to_one_reader(nodes, count, pinned, x))
        return;
    conv->composed = x;
    conv->input[0] = spread->input[0];
    conv->kernel = conv->stride = 1;
    nodes[x].dead = true;
}

/* A 3x3 convolution right behind a 2x2 transposed one: see op_upconv.c. */
static void compose_upsampled(struct node *nodes, int count, const bool *pinned, int i)
{
    struct node *conv = &nodes[i];
    int x = passes_resolve(nodes, conv->input[0]);
    const struct node *spread = &nodes[x];
    if (spread->kind != OP_DECONV || spread->relu || spread->kernel != 2 || conv->kernel != 3 ||
        conv->stride != 1 || conv->pad != 1 || conv->groups != 1 || spread->shape.h % 4 ||
        spread->shape.w % 4 || /* whole tiles of 2x2 coarse pixels */
        nodes[spread->input[0]].shape.c % STRIP_CHANNELS || conv->shape.c % STRIP_CHANNELS ||
        !private_to_one_reader(nodes, count, pinned, x))
        return;
    conv->kind = OP_UPCONV;
    conv->composed = x;
    conv->input[0] = spread->input[0];
    nodes[x].dead = true;
}

static void compose_conv(struct node *nodes, int count, const bool *pinned, int i)
{
    compose(nodes, count, pinned, i);
    if (nodes[i].composed < 0)
        compose_upsampled(nodes, count, pinned, i);
}

/* Inputs precede their readers, so one walk backwards finds all that matters. */
static void bury_dead(struct node *nodes, int count, const bool *pinned)
{
    for (int i = 0; i < count; i++)
        nodes[i].dead = !pinned[i] && nodes[i].kind != OP_INPUT;
    for (int i = count - 1; i >= 0; i--)
        for (int k = 0; k < nodes[i].inputs && !nodes[i].dead; k++)
            nodes[nodes[i].input[k]].dead = false;
}

void passes_apply(struct node *nodes, int count, const bool *pinned, bool inference)
{
    bury_dead(nodes, count, pinned);
    for (int i = 0; i < count; i++) {
        if (nodes[i].dead)
            continue;
        if (nodes[i].kind == OP_CONV && inference)
            compose_conv(nodes, count, pinned, i);
        else if (nodes[i].kind == OP_NORM && inference)
            fold_norm(nodes, count, pinned, i);
        else if (nodes[i].kind == OP_ADD)
            fuse_add(nodes, count, pinned, inference, i);
        else if (nodes[i].kind == OP_RELU)
            fuse_relu(nodes, count, pinned, i);
    }
}
