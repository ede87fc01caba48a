/* Small helpers over oneDNN's C API: descriptors, attributes, errors. */
#include "model/nn/dnn.h"

#include <string.h>

#include "model/nn/compile.h"

int dnn_check(dnnl_status_t status, const char *what, struct error *err)
{
    static const char *const texts[] = {"success",       "out of memory", "invalid arguments",
                                        "unimplemented", "iterator ends", "runtime error",
                                        "not required"};
    if (status == dnnl_success)
        return 0;
    unsigned i = (unsigned)status;
    return error_set(err, status == dnnl_out_of_memory ? ERR_MEMORY : ERR_INTERNAL,
                     "oneDNN refused %s: %s", what,
                     i < sizeof texts / sizeof *texts ? texts[i] : "unknown status");
}

int dnn_attr(dnnl_primitive_attr_t *out, struct error *err)
{
    if (dnn_check(dnnl_primitive_attr_create(out), "attributes", err) != 0)
        return -1;
    return dnn_check(dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user),
                     "user scratchpad", err);
}

int dnn_attr_after(dnnl_primitive_attr_t *out, bool sum, bool relu, struct error *err)
{
    int rc;
    dnnl_post_ops_t post = NULL;
    TRY(dnn_attr(out, err));
    TRY(dnn_check(dnnl_post_ops_create(&post), "post-ops", err));
    if (sum)
        TRY(dnn_check(dnnl_post_ops_append_sum(post, 1), "a sum", err));
    if (relu)
        TRY(dnn_check(dnnl_post_ops_append_eltwise(post, 1, dnnl_eltwise_relu, 0, 0), "a ReLU",
                      err));
    TRY(dnn_check(dnnl_primitive_attr_set_post_ops(*out, post), "post-ops", err));
done:
    if (post)
        dnnl_post_ops_destroy(post);
    return rc;
}

dnnl_memory_desc_t md_of(int rank, const int64_t *dim, dnnl_format_tag_t tag)
{
    dnnl_memory_desc_t md;
    memset(&md, 0, sizeof md);
    /* Fails only for a tag of another rank, which the caller's code decides, not its data. */
    dnnl_memory_desc_init_by_tag(&md, rank, dim, dnnl_f32, tag);
    return md;
}

dnnl_memory_desc_t md_4d(struct shape shape, dnnl_format_tag_t tag)
{
    return md_of(4, (const int64_t[]){shape.n, shape.c, shape.h, shape.w}, tag);
}

bool md_same_bytes(const dnnl_memory_desc_t *a, const dnnl_memory_desc_t *b)
{
    if (a->ndims != b->ndims || a->format_kind != dnnl_blocked || b->format_kind != dnnl_blocked)
        return dnnl_memory_desc_equal(a, b);
    const dnnl_blocking_desc_t *p = &a->format_desc.blocking, *q = &b->format_desc.blocking;
    if (p->inner_nblks != q->inner_nblks || a->data_type != b->data_type ||
        a->offset0 != b->offset0)
        return false;
    for (int i = 0; i < p->inner_nblks; i++)
        if (p->inner_blks[i] != q->inner_blks[i] || p->inner_idxs[i] != q->inner_idxs[i])
            return false;
    for (int i = 0; i < a->ndims; i++)
        if (a->dims[i] != b->dims[i] || a->padded_dims[i] != b->padded_dims[i] ||
            (a->padded_dims[i] > 1 && p->strides[i] != q->strides[i]))
            return false;
    return true;
}

bool md_blocked(const dnnl_memory_desc_t *md, struct blocked *out)
{
    if (md->format_kind != dnnl_blocked || md->ndims != 4)
        return false;
    const dnnl_blocking_desc_t *b = &md->format_desc.blocking;
    int64_t h = md->dims[2], w = md->dims[3];
    *out = (struct blocked){.n = md->dims[0], .spatial = h * w, .channels = md->dims[1]};
    if (b->inner_nblks == 1 && b->inner_idxs[0] == 1) {
        out->inner = b->inner_blks[0];
        out->blocks = md->padded_dims[1] / out->inner;
    } else if (b->inner_nblks == 0) {
        bool channels_last = md->dims[1] == 1 || (b->strides[1] == 1 && h * w > 1) || h * w == 1;
        out->inner = channels_last ? md->dims[1] : 1;
        out->blocks = channels_last ? 1 : md->dims[1];
    } else {
        return false;
    }
    dnnl_format_tag_t tags[] = {dnnl_nchw, dnnl_nhwc, dnnl_nChw4c, dnnl_nChw8c, dnnl_nChw16c};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        dnnl_memory_desc_t dense = md_of(4, md->dims, tags[i]);
        if (md_same_bytes(md, &dense))
            return true;
    }
    return false;
}

const char *dnn_isa_name(void)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char *name;
    } names[] = {
        {dnnl_cpu_isa_sse41, "sse41"},
        {dnnl_cpu_isa_avx, "avx"},
        {dnnl_cpu_isa_avx2, "avx2"},
        {dnnl_cpu_isa_avx2_vnni, "avx2_vnni"},
        {dnnl_cpu_isa_avx512_core, "avx512_core"},
        {dnnl_cpu_isa_avx512_core_vnni, "avx512_core_vnni"},
        {dnnl_cpu_isa_avx512_core_bf16, "avx512_core_bf16"},
        {dnnl_cpu_isa_avx512_core_amx, "avx512_core_amx"},
    };
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].isa == isa)
            return names[i].name;
    return "generic";
}
