/*
 * sparsemax: the point of the simplex nearest to x                                      (Martins and Astudillo 2016)
 *
 *   y_j    max(x_j - tau, 0), tau such that the row sums to 1
 *   dx     on the support S = {y > 0}: dy - mean of dy over S; 0 elsewhere
 *
 * tau is found without sorting: those below the threshold of all leave until nobody does (Michelot 1986). It is at least
 * max x - 1. Most weights are exactly 0; only the support gets a gradient.
 */
#include "attn/row/threshold.h"

static void sparsemax_row_forward(size_t n, const real *x, const uint8_t *left, real *y, void *own, const at_beside *b)
{
    double *z = own;
    (void)b;
    real max;
    size_t count = at_row_candidates(n, x, left, 1, &max, y, z), before = 0;
    double tau = -1;
    if (count == 0)
        return;
    while (count != before && !at_cut_short()) { /* those below the threshold of all leave, which raises it */
        double sum = 0;
        for (size_t j = 0; j < count; j++)
            sum += z[j];
        tau = (sum - 1) / (double)count;
        before = count;
        count = 0;
        for (size_t j = 0; j < before; j++) {
            z[count] = z[j];
            count += z[j] > tau;
        }
    }
    AT_PIECES(j, end, n)
    for (; j < end; j++) {
        double over = at_left(left, j) ? (double)x[j] - (double)max - tau : 0;
        y[j] = over > 0 ? (real)over : 0;
    }
}

static void sparsemax_row_backward(size_t n, const real *y, const real *dy, real *dx, void *own, const at_beside *b)
{
    (void)own, (void)b;
    double sum = 0, count = 0;
    for (size_t j = 0; j < n; j++)
        if (y[j] > 0) {
            sum += (double)dy[j];
            count++;
        }
    for (size_t j = 0; j < n; j++)
        if (y[j] > 0)
            dx[j] += (real)((double)dy[j] - sum / count);
}

AT_ROW(sparsemax, .is.part.formula = "the nearest point of the simplex", .is.part.source = "Martins, Astudillo 2016",
       .is.own_bytes = sizeof(double), .forward = sparsemax_row_forward, .backward = sparsemax_row_backward);
