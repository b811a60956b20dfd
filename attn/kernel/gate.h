/*
 * Kernels of gate.c: one step of one row of a recurrent cell of n units, PyTorch's gates and order.
 * xi: W_ih x (+ b_ih), hi: W_hh h; bias: b_hh or NULL, added to hi. h may be h_prev (c may be c_prev).
 * save: numbers for the backward pass (NULL when none follows). dxi, dhi are written; dh_prev is written
 * and still lacks W_hh' dhi.
 *
 *   tanh  h = tanh(xi + hi)                                        no save: h is enough;  dhi = dxi
 *   gru   r, z = sigmoid(xi_rz + hi_rz), m = tanh(xi_n + r hi_n), h = (1 - z) m + z h_prev
 *         xi, hi, dxi, dhi: 3n (r, z, n); save: 4n (r, z, m, hi_n with its bias)
 *   lstm  i, f, o = sigmoid, g = tanh of xi + hi; c = f c_prev + i g; h = o tanh(c)
 *         xi, hi, dxi: 4n (i, f, g, o); save: 5n (i, f, g, o, tanh(c)); dhi = dxi
 *         dc: gradient of c from later steps, or NULL for none; dc_prev may be dc
 */
#ifndef AT_KERNEL_GATE_H
#define AT_KERNEL_GATE_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_gate_kernels) {
    void (*rnn)(size_t n, const real *xi, const real *hi, const real *bias, real *h);
    void (*rnn_back)(size_t n, const real *h, const real *dh, real *dxi);
    void (*gru)(size_t n, const real *xi, const real *hi, const real *bias, const real *h_prev, real *h, real *save);
    void (*gru_back)(size_t n, const real *save, const real *h_prev, const real *dh, real *dxi, real *dhi,
                     real *dh_prev);
    void (*lstm)(size_t n, const real *xi, const real *hi, const real *bias, const real *c_prev, real *c, real *h,
                 real *save);
    void (*lstm_back)(size_t n, const real *save, const real *c_prev, const real *dh, const real *dc, real *dxi,
                      real *dc_prev);
} AT_REAL(at_gate_kernels);

#endif
