/* The table of ops. Each row lives in a file of its own, forward and backward side by side. */
#include "model/nn/compile.h"

const struct op *const ops[OP_KINDS] = {
    [OP_CONV] = &op_conv,         [OP_DECONV] = &op_deconv,   [OP_LINEAR] = &op_linear,
    [OP_NORM] = &op_norm,         [OP_RELU] = &op_relu,       [OP_ADD] = &op_add,
    [OP_MAX_POOL] = &op_max_pool, [OP_LSTM] = &op_lstm,       [OP_LAST_ROW] = &op_last_row,
    [OP_MATMUL] = &op_matmul,     [OP_SOFTMAX] = &op_softmax, [OP_UPCONV] = &op_upconv,
};
