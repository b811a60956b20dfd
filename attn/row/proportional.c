/*
 * proportional: y_j = x_j / sum_k x_k: the weights of linear attention
 *
 *   dx     (dy - <dy, y>) / sum x
 */
#include "attn/kernel/map.h"
#include "attn/row/row.h"

static void proportional_row_forward(size_t n, const real *x, const uint8_t *left, real *y, void *own,
                                     const at_beside *b)
{
    double sum = 0;
    (void)own;
    for (size_t j = 0; j < n; j++) {
        y[j] = at_left(left, j) ? x[j] : 0;
        sum += (double)y[j];
    }
    K->map->scale(n, sum == 0 ? 0 : (real)(1 / sum), y, y);
    if (b->stat)
        *b->stat = (real)sum;
}

static void proportional_row_backward(size_t n, const real *y, const real *dy, real *dx, void *own, const at_beside *b)
{
    double dot = 0, total = (double)*b->stat;
    (void)own;
    for (size_t j = 0; j < n; j++)
        if (y[j] != 0)
            dot += (double)dy[j] * (double)y[j];
    for (size_t j = 0; j < n; j++)
        if (y[j] != 0)
            dx[j] += (real)(((double)dy[j] - dot) / total);
}

AT_ROW(proportional, .is.internal = true, .is.stats = 1, .forward = proportional_row_forward,
       .backward = proportional_row_backward);
