/*
 * Kernels of window.c: entry j of the window of place q is x[at[j] + q].
 * gemm: y[r][q] = start[r] (NULL: 0) + sum over j of w[j m + r] x[at[j] + q], m <= rows, q < n
 * dot:  dw[r][j] += sum over q of dy[r][q] x[at[j] + q], n a multiple of 64 bytes
 * block: y [m, n] = x, or +=
 */
#ifndef AT_KERNEL_WINDOW_H
#define AT_KERNEL_WINDOW_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_window_kernels) {
    size_t rows;
    void (*gemm)(size_t m, size_t n, size_t k, const real *w, const real *x, const size_t *at, const real *start,
                 real *y, size_t ldy);
    void (*dot)(size_t m, size_t k, size_t n, const real *dy, size_t ldy, const real *x, const size_t *at, real *dw,
                size_t ldw);
    void (*block)(size_t m, size_t n, const real *x, size_t ldx, real *y, size_t ldy, bool add);
} AT_REAL(at_window_kernels);

#endif
