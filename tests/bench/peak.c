#include "tests/bench/peak.h"

#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct shape {
    int n, in, out, side, kernel;
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(dnnl_status_t status)
{
    if (status != dnnl_success) {
        fprintf(stderr, "oneDNN failed with status %d\n", (int)status);
        exit(1);
    }
}

static dnnl_memory_t filled(const dnnl_memory_desc_t *md, dnnl_engine_t engine)
{
    dnnl_memory_t memory;
    void *data;
    check(dnnl_memory_create(&memory, md, engine, DNNL_MEMORY_ALLOCATE));
    check(dnnl_memory_get_data_handle(memory, &data));
    for (size_t i = 0; i < dnnl_memory_desc_get_size(md) / sizeof(float); i++)
        ((float *)data)[i] = 0.01f * (float)(i % 17) - 0.05f;
    return memory;
}

static double measure(const struct shape *s, dnnl_engine_t engine, dnnl_stream_t stream)
{
    const dnnl_dims_t x_dims = {s->n, s->in, s->side, s->side},
                      y_dims = {s->n, s->out, s->side, s->side},
                      w_dims = {s->out, s->in, s->kernel, s->kernel}, b_dims = {s->out},
                      stride = {1, 1}, pad = {s->kernel / 2, s->kernel / 2};
    dnnl_memory_desc_t x, w, b, y;
    check(dnnl_memory_desc_init_by_tag(&x, 4, x_dims, dnnl_f32, dnnl_format_tag_any));
    check(dnnl_memory_desc_init_by_tag(&w, 4, w_dims, dnnl_f32, dnnl_format_tag_any));
    check(dnnl_memory_desc_init_by_tag(&b, 1, b_dims, dnnl_f32, dnnl_a));
    check(dnnl_memory_desc_init_by_tag(&y, 4, y_dims, dnnl_f32, dnnl_format_tag_any));
    dnnl_convolution_desc_t desc;
    check(dnnl_convolution_forward_desc_init(&desc, dnnl_forward_inference, dnnl_convolution_direct,
                                             &x, &w, &b, &y, stride, pad, pad));
    dnnl_primitive_desc_t pd;
    check(dnnl_primitive_desc_create(&pd, &desc, NULL, engine, NULL));
    dnnl_primitive_t primitive;
    check(dnnl_primitive_create(&primitive, pd));
    dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, filled(dnnl_primitive_desc_query_md(pd, dnnl_query_src_md, 0), engine)},
        {DNNL_ARG_WEIGHTS,
         filled(dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0), engine)},
        {DNNL_ARG_BIAS, filled(&b, engine)},
        {DNNL_ARG_DST, filled(dnnl_primitive_desc_query_md(pd, dnnl_query_dst_md, 0), engine)},
    };
    double best = 1e9;
    for (int i = 0; i < 30; i++) {
        double since = now();
        check(dnnl_primitive_execute(primitive, stream, 4, args));
        check(dnnl_stream_wait(stream));
        double t = now() - since;
        best = t < best ? t : best;
    }
    for (int i = 0; i < 4; i++)
        dnnl_memory_destroy(args[i].memory);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(pd);
    return 2.0 * s->n * s->in * s->out * s->side * s->side * s->kernel * s->kernel / best * 1e-9;
}

double peak_direct_convolution(void)
{
    static const struct shape shapes[] = {
        {1, 64, 64, 128, 3},   {1, 128, 128, 64, 3},   {1, 256, 256, 32, 3}, {1, 512, 512, 16, 3},
        {1, 256, 256, 16, 3},  {16, 256, 256, 14, 3},  {1, 64, 256, 128, 1}, {1, 512, 1024, 32, 1},
        {1, 1024, 512, 32, 1}, {1, 2048, 1024, 16, 1}, {4, 256, 256, 14, 3},
    };
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    check(dnnl_engine_create(&engine, dnnl_cpu, 0));
    check(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    double best = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        double gflops = measure(&shapes[i], engine, stream);
        best = gflops > best ? gflops : best;
    }
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    return best;
}
