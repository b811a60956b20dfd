/*
 * Kernels of softmax.c: mask is NULL or n bytes, 0 = left out (its x is not read into the result, even if NaN).
 * A row with nothing left, or of -inf only: softmax 0, log_softmax -inf, logsumexp -inf, gradients 0.
 */
#ifndef AT_KERNEL_SOFTMAX_H
#define AT_KERNEL_SOFTMAX_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_softmax_kernels) {
    void (*softmax)(size_t n, const real *x, const uint8_t *mask, real *y);
    void (*softmax_back)(size_t n, const real *y, const real *dy, real *dx); /* dx += y (dy - <dy, y>) */
    void (*log_softmax)(size_t n, const real *x, const uint8_t *mask, real *y);
    void (*log_softmax_back)(size_t n, const real *y, const real *dy, real *dx); /* nothing where y = -inf */
    double (*logsumexp)(size_t n, const real *x, const uint8_t *mask);

    /* Cross-entropy of logits x against class target (from 0), smoothing s: (1 - s) (lse - x_t) + s mean(lse - x).
     * stat: 2 numbers (max, sum of exp(x - max)) for the backward pass
     * dx (+)= scale (softmax(x) - (1 - s) onehot - s / n), added or written; dx may be x. */
    double (*cross_entropy)(size_t n, const real *x, size_t target, real smoothing, real *stat);
    void (*cross_entropy_back)(size_t n, const real *x, size_t target, real smoothing, const real *stat, real scale,
                               real *dx, bool accumulate);
} AT_REAL(at_softmax_kernels);

#endif
