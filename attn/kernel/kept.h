/*
 * Kernels of kept.c: matrices W [n, k] kept in fewer bits, and their products with rows of float32; of float32 only.
 *
 *   bfloat16   the upper half of a float32, rounded as bf16.h says
 *   int8       W[i][j] = q[i][j] s[i]: s[i] = max_j |W[i][j]| / 127, q = W / s to the nearest, halves to even. A row below the smallest
 *              normal number is zeros; one with NaN or infinity in it is NaN
 *
 * Rows of W stand side by side. The sum of an element of a product is taken in one order that depends on k (and the level) only.
 */
#ifndef AT_KERNEL_KEPT_H
#define AT_KERNEL_KEPT_H

#include "attn/kernel/kernel.h"

enum { AT_KEPT_BF16, AT_KEPT_INT8, AT_KEPT_FORMATS };

#if AT_TYPE == 32
typedef struct at_kept_kernels {
    size_t (*room)(size_t k);                                 /* of k numbers arranged */
    void (*arrange)(size_t k, const real *x, real *arranged); /* a row of x as `few` reads it */
    /* y [m, n] = x W' + bias (NULL: none), for few rows: x [m, room(k)] arranged; scale [n] of int8 */
    void (*few)(size_t m, size_t n, size_t k, const real *x, const void *w, const real *scale, const real *bias,
                real *y, size_t ldy);
    /* one row, and back; keep returns the scale */
    real (*keep)(size_t n, const real *x, void *w);
    void (*expand)(size_t n, const void *w, real scale, real *x);
} at_kept_kernels;
#endif

#endif
