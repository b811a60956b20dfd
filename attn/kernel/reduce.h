/*
 * Kernels of reduce.c: sums in double precision across blocks, so long float rows keep their digits
 */
#ifndef AT_KERNEL_REDUCE_H
#define AT_KERNEL_REDUCE_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_reduce_kernels) {
    double (*sum)(size_t n, const real *x);
    double (*sumsq)(size_t n, const real *x);
    double (*dot)(size_t n, const real *a, const real *b);
    double (*distance2)(size_t n, const real *a, const real *b); /* sum of (a - b)^2 */
    real (*max)(size_t n, const real *x);                        /* -inf for n = 0; NaN if any is */
    real (*min)(size_t n, const real *x);                        /* +inf for n = 0; NaN if any is */
    double (*sumexp)(size_t n, const real *x, real max);         /* sum of exp(x - max) */
} AT_REAL(at_reduce_kernels);

#endif
