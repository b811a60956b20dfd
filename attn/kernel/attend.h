/*
 * Kernels of attend.c: tiles of attention, a row per key and a column per query; one vector of columns, rows ld apart.
 *   cut       s = -inf but in rows lo .. hi - 1 of each column
 *   softmax   running softmax down the columns: s becomes exp(s - max), max and sum go on, factor is what older sums lose;
 *             a max that is at most 8 more than the one before is no new one
 *   weights   s = exp(s - lse)
 *   back      dp = scale p (dp - delta)
 */
#ifndef AT_KERNEL_ATTEND_H
#define AT_KERNEL_ATTEND_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_attend_kernels) {
    void (*cut)(size_t begin, size_t end, const real *lo, const real *hi, real *s, size_t ld);
    void (*softmax)(size_t keys, real *s, size_t ld, real *max, real *sum, real *factor);
    void (*weights)(size_t keys, const real *lse, real *s, size_t ld);
    void (*back)(size_t keys, const real *p, const real *delta, real scale, real *dp, size_t ld);
} AT_REAL(at_attend_kernels);

#endif
