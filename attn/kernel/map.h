/*
 * Kernels of map.c: element-wise
 */
#ifndef AT_KERNEL_MAP_H
#define AT_KERNEL_MAP_H

#include "attn/kernel/kernel.h"

/* y = f(x), and dx += f'(x) dy. A backward pass reads only what its comment says; the other pointer may be NULL. */
#define AT_MAP(name)                                                                                                   \
    void (*name)(size_t n, const real *x, real *y);                                                                    \
    void (*name##_back)(size_t n, const real *x, const real *y, const real *dy, real *dx)

/* y = a op b. A step of 0 repeats the first element, 1 walks. */
#define AT_ZIP(name) void (*name)(size_t n, const real *a, size_t sa, const real *b, size_t sb, real *y)

typedef struct AT_REAL(at_map_kernels) {
    AT_ZIP(add);
    AT_ZIP(sub);
    AT_ZIP(mul);
    AT_ZIP(div);
    AT_ZIP(maximum); /* NaN if either is */
    AT_ZIP(minimum);
    AT_ZIP(muladd);                                              /* y += a b */
    AT_ZIP(divadd);                                              /* y += a / b */
    void (*acc)(size_t n, const real *x, real *y);               /* y += x */
    void (*axpy)(size_t n, real alpha, const real *x, real *y);  /* y += alpha x */
    void (*scale)(size_t n, real alpha, const real *x, real *y); /* y = alpha x */
    void (*fill)(size_t n, real alpha, real *y);
    void (*negate)(size_t n, const real *x, real *y);
    void (*add_difference)(size_t n, real alpha, const real *a, const real *b, real *y); /* y += alpha (a - b) */

    AT_MAP(vexp);     /* backward reads y */
    AT_MAP(vlog);     /* x */
    AT_MAP(vsqrt);    /* y */
    AT_MAP(vtanh);    /* y */
    AT_MAP(vsigmoid); /* y */
    AT_MAP(vrelu);    /* x; NaN stays NaN; f'(0) = 0 */
    /* x > 0 ? x : slope x, and its gradient */
    void (*leaky)(size_t n, real slope, const real *x, real *y);
    void (*leaky_back)(size_t n, real slope, const real *x, const real *dy, real *dx);
    AT_MAP(vgelu);     /* x; x Phi(x), with erf */
    AT_MAP(vsilu);     /* x; x sigmoid(x) */
    AT_MAP(vsoftplus); /* x; log(1 + exp(x)) */
    AT_MAP(velu);      /* y; alpha 1 */
    AT_MAP(vphi);      /* y; elu(x) + 1, with all its digits where exp(x) is small */
    AT_MAP(vabs);      /* x; f'(0) = 0 */
    AT_MAP(vsin);      /* x */
    AT_MAP(vcos);      /* x */
    AT_MAP(vsquare);   /* x */
    AT_MAP(vrsqrt);    /* y; 1 / sqrt(x) */
    AT_MAP(vlog1p);    /* x */
    AT_MAP(vexpm1);    /* y */
    AT_MAP(vtan);      /* y */
    AT_MAP(vatan);     /* x */
    AT_MAP(verf);      /* x */
    void (*vfloor)(size_t n, const real *x, real *y);
    void (*vceil)(size_t n, const real *x, real *y);
    void (*vround)(size_t n, const real *x, real *y); /* halves to even */
} AT_REAL(at_map_kernels);

#endif
