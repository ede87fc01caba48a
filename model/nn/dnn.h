/* What the rest of the program may ask about oneDNN without knowing it. */
#ifndef ONESHOT_NN_DNN_H
#define ONESHOT_NN_DNN_H

/* The instruction set oneDNN dispatches to on this machine, "avx512_core_bf16". */
const char *dnn_isa_name(void);

#endif
