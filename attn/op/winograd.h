/*
 * Convolutions of images with 3 x 3 taps, stride and dilation 1, by minimal filtering: winograd.c. For conv.c.
 */
#ifndef AT_OP_WINOGRAD_H
#define AT_OP_WINOGRAD_H

#include "attn/core/op.h"

/* y[b, o, h, w] (+)= bias[o] + sum over c, i, j of weight[o w_o + c w_c + tap] x[b, c, h + i - top, w + j - left], in each group;
 * tap is 3 i + j, or turned 8 - 3 i - j */
typedef struct AT_REAL(at_filter) {
    size_t B, G, C, O;          /* channels of one group */
    size_t H, W, rows, columns; /* of x, of y */
    ptrdiff_t top, left;
    size_t w_o, w_c;
    bool turned, add;
    const real *x, *weight, *bias;
    real *y;
} AT_REAL(at_filter);

/* Whether it is faster than the sum itself: by the sizes only. */
bool AT_REAL(at_winograd_pays)(const AT_REAL(at_filter) * f);

/* bytes of scratch; the work */
size_t AT_REAL(at_winograd_room)(const AT_REAL(at_filter) * f);
void AT_REAL(at_winograd)(const AT_REAL(at_filter) * f, char *work, size_t bytes);

/* The gradient of a weight that is not turned: dw += */
size_t AT_REAL(at_winograd_gradient_room)(const AT_REAL(at_filter) * f);
void AT_REAL(at_winograd_gradient)(const AT_REAL(at_filter) * f, const real *dy, real *dw, char *work, size_t bytes);

#endif
