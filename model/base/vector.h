/*
 * VECTORIZED marks a leaf kernel to be compiled for several x86-64 levels and picked at start-up,
 * so that one portable binary uses AVX2 or AVX-512 where the machine has them. It belongs on plain
 * loops only: never on a function that holds OpenMP pragmas (put those in the caller).
 */
#ifndef ONESHOT_BASE_VECTOR_H
#define ONESHOT_BASE_VECTOR_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) &&                             \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTORIZED /* sanitizers start up after the resolvers that pick a clone would run */
#endif

#endif
