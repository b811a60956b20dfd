/*
 * sigmoid: y_j = 1 / (1 + exp(-x_j)), each key for itself                       (Kim et al. 2017)
 *
 *   dx     dy y (1 - y)
 *
 * The weights do not sum to 1: the context grows with the number of keys that matter.
 */
#include "attn/kernel/map.h"
#include "attn/row/row.h"

static void sigmoid_row_forward(size_t n, const real *x, const uint8_t *left, real *y, void *own, const at_beside *b)
{
    (void)own, (void)b;
    K->map->vsigmoid(n, x, y);
    for (size_t j = 0; left && j < n; j++)
        if (!left[j])
            y[j] = 0;
}

static void sigmoid_row_backward(size_t n, const real *y, const real *dy, real *dx, void *own, const at_beside *b)
{
    (void)own, (void)b;
    for (size_t j = 0; j < n; j++)
        if (y[j] != 0)
            dx[j] += dy[j] * y[j] * (1 - y[j]);
}

AT_ROW(sigmoid, .is.part.formula = "sigmoid(e_j), each key for itself", .is.part.source = "Kim et al. 2017",
       .forward = sigmoid_row_forward, .backward = sigmoid_row_backward);
