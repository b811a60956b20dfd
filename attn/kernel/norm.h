/*
 * Kernels of norm.c: weight, bias may be NULL (1, 0); dx, dweight, dbias may be NULL and are added to.
 * stat: layernorm 2 numbers (mean, 1 / sqrt(var + eps)), rmsnorm 1 (1 / sqrt(mean(x^2) + eps))
 */
#ifndef AT_KERNEL_NORM_H
#define AT_KERNEL_NORM_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_norm_kernels) {
    void (*layernorm)(size_t n, const real *x, const real *weight, const real *bias, real eps, real *y, real *stat);
    void (*layernorm_back)(size_t n, const real *x, const real *weight, const real *stat, const real *dy, real *dx,
                           real *dweight, real *dbias);
    void (*rmsnorm)(size_t n, const real *x, const real *weight, real eps, real *y, real *stat);
    void (*rmsnorm_back)(size_t n, const real *x, const real *weight, const real *stat, const real *dy, real *dx,
                         real *dweight);
} AT_REAL(at_norm_kernels);

#endif
