/*
 * Kernels of channel.c: around a mean. spread: sum (x - mean)^2; spread_back: sum (x - mean) dy, and sum dy; spreads and spreads_back:
 * the same for each number of a row, with a mean of its own, added to q and s
 *   centred         y = (x - mean) scale + bias
 *   centred_back    dx = a dy + b (x - mean) + c, written (added if accumulate)
 * step 0: mean, scale, bias, a, b, c are one number, 1: rows of n
 */
#ifndef AT_KERNEL_CHANNEL_H
#define AT_KERNEL_CHANNEL_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_channel_kernels) {
    double (*spread)(size_t n, const real *x, real mean);
    double (*spread_back)(size_t n, const real *x, real mean, const real *dy, double *sum);
    void (*spreads)(size_t n, const real *x, const real *mean, real *q);
    void (*spreads_back)(size_t n, const real *x, const real *mean, const real *dy, real *s, real *q);
    void (*centred)(size_t n, const real *x, const real *mean, const real *scale, const real *bias, size_t step,
                    real *y);
    void (*centred_back)(size_t n, const real *x, const real *mean, const real *dy, const real *a, const real *b,
                         const real *c, size_t step, real *dx, bool accumulate);
} AT_REAL(at_channel_kernels);

#endif
