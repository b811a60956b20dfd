/*
 * Kernels of pool.c: one place of n windows, x `step` apart from window to window. at: integers as wide as real
 *   start       y = -inf, at[i] = first + i by
 *   max         where x > y or x is NaN: y = x, at[i] = first + i by
 *   max_back    dx[at[i] + i step] += dy
 *   sum         y += x; sum_back: dx += scale dy
 */
#ifndef AT_KERNEL_POOL_H
#define AT_KERNEL_POOL_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_pool_kernels) {
    void (*start)(size_t n, size_t first, size_t by, real *y, void *at);
    void (*max)(size_t n, const real *x, size_t step, size_t first, size_t by, real *y, void *at);
    void (*max_back)(size_t n, const void *at, size_t step, const real *dy, real *dx);
    void (*sum)(size_t n, const real *x, size_t step, real *y);
    void (*sum_back)(size_t n, const real *dy, real scale, size_t step, real *dx);
} AT_REAL(at_pool_kernels);

#endif
