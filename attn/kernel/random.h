/*
 * Kernels of random.c: Philox. Elements first .. first + n - 1 of the stream (seed, counter); first is a multiple of 64.
 * The order of a stream: element e is word (e % 64) / 16 of block counter + 16 (e / 64) + e % 16.
 */
#ifndef AT_KERNEL_RANDOM_H
#define AT_KERNEL_RANDOM_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_random_kernels) {
    void (*bits)(uint64_t seed, uint64_t counter, size_t first, size_t n, uint32_t *y);
    void (*bernoulli)(uint64_t seed, uint64_t counter, size_t first, size_t n, uint64_t threshold, uint8_t *y);
    /* y (+)= bits < threshold ? x scale : 0 */
    void (*dropout)(uint64_t seed, uint64_t counter, size_t first, size_t n, uint64_t threshold, real scale,
                    const real *x, real *y, bool accumulate);
} AT_REAL(at_random_kernels);

#endif
