/*
 * softmax: y_j = exp(x_j) / sum_k exp(x_k)
 *
 *   dx     y (dy - <dy, y>)
 *
 * A NaN in x reaches y. The loops are the kernel's (kernel/softmax.c).
 */
#include "attn/kernel/softmax.h"
#include "attn/row/row.h"

static void softmax_row_forward(size_t n, const real *x, const uint8_t *left, real *y, void *own, const at_beside *b)
{
    (void)own, (void)b;
    K->softmax->softmax(n, x, left, y);
}

static void softmax_row_backward(size_t n, const real *y, const real *dy, real *dx, void *own, const at_beside *b)
{
    (void)own, (void)b;
    K->softmax->softmax_back(n, y, dy, dx);
}

AT_ROW(softmax, .is.part.formula = "exp(e_j) / sum exp(e)", .is.part.source = "Bahdanau et al. 2015",
       .forward = softmax_row_forward, .backward = softmax_row_backward);
