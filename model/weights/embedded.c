/* The path and the hash come from weights.mk. */
#include "model/weights/embedded.h"

__asm__(".section .rodata.embedded_weights, \"a\", @progbits\n"
        ".balign 64\n"
        "embedded_weights_begin:\n"
        ".incbin \"" EMBEDDED_FILE "\"\n"
        "embedded_weights_end:\n"
        ".byte 0\n"
        ".previous\n");

extern const unsigned char embedded_weights_begin[], embedded_weights_end[];

const struct embedded_weights embedded_weights = {embedded_weights_begin, embedded_weights_end,
                                                  EMBEDDED_SHA256};
