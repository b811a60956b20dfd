/*
 * Kernels of sample.c: y [n, C] = for each row the sum of weight[k] times row at[k] of x [pixels, C], four k to a row, at < 0: none.
 * Backward, in order: dx[at[k]] += weight[k] dy; dweight[k] = <x[at[k]], dy> is written; either may be NULL
 */
#ifndef AT_KERNEL_SAMPLE_H
#define AT_KERNEL_SAMPLE_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_sample_kernels) {
    void (*sample)(size_t n, size_t C, const real *x, const ptrdiff_t *at, const real *weight, real *y);
    void (*sample_back)(size_t n, size_t C, const real *x, const ptrdiff_t *at, const real *weight, const real *dy,
                        real *dx, real *dweight);
} AT_REAL(at_sample_kernels);

#endif
