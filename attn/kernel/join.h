/*
 * Kernels of join.c: y[i] = log sum_l exp(a[l, i] + b[l, i]), i < width, l < n; -inf where nothing is left. x: a, b, y; all others are laid
 * out like them. With p = exp(a + b - y), 0 where y is -inf:
 *   back           d: da += p dy, db += p dy
 *   tangent        t: ty = sum_l p (ta + tb), written
 *   back_tangent   as back; td: its tangent, p (tdy + dy (ta + tb - ty)), added to tda, tdb
 * b may be NULL in t (0), d, td (not wanted).
 */
#ifndef AT_KERNEL_JOIN_H
#define AT_KERNEL_JOIN_H

#include "attn/kernel/kernel.h"

/* Shape of joins: rows sa, sb apart; `one`: a[l] is one number for all i. And what they read and write. */
typedef struct at_joins {
    size_t width, n;
    ptrdiff_t sa, sb;
    bool one;
} at_joins;

typedef struct AT_REAL(at_join) {
    real *a, *b, *y;
} AT_REAL(at_join);

typedef struct AT_REAL(at_join_kernels) {
    void (*join)(const at_joins *q, const AT_REAL(at_join) * x);
    void (*join_back)(const at_joins *q, const AT_REAL(at_join) * x, const AT_REAL(at_join) * d);
    void (*join_tangent)(const at_joins *q, const AT_REAL(at_join) * x, const AT_REAL(at_join) * t);
    void (*join_back_tangent)(const at_joins *q, const AT_REAL(at_join) * x, const AT_REAL(at_join) * t,
                              const AT_REAL(at_join) * d, const AT_REAL(at_join) * td);
} AT_REAL(at_join_kernels);

#endif
