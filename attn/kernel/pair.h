/*
 * Kernels of pair.c: one query row against S key rows, ldk (ldm) elements apart.
 *   additive  e[s] = sum_d v[d] tanh(q[d] + k[s, d]); backward takes tanh again, adds to dq, dk, dv (may be NULL)
 *   context   c = sum_s a[s] m[s], written (added if accumulate); backward: da[s] = <dc, m[s]> written,
 *             dm[s] += a[s] dc (dm may be NULL). A row with a[s] = 0 is left out: its m may be anything, da[s] = 0
 *             (a distribution's backward multiplies da by a, or is flat there)
 */
#ifndef AT_KERNEL_PAIR_H
#define AT_KERNEL_PAIR_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_pair_kernels) {
    void (*additive)(size_t S, size_t D, const real *q, const real *k, size_t ldk, const real *v, real *e);
    void (*additive_back)(size_t S, size_t D, const real *q, const real *k, size_t ldk, const real *v, const real *de,
                          real *dq, real *dk, size_t lddk, real *dv);
    void (*context)(size_t S, size_t D, const real *a, const real *m, size_t ldm, real *c, bool accumulate);
    void (*context_back)(size_t S, size_t D, const real *a, const real *m, size_t ldm, const real *dc, real *da,
                         real *dm, size_t lddm);
} AT_REAL(at_pair_kernels);

#endif
