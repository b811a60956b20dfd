/*
 * For distributions found by a threshold that lies less than 1 below the greatest score. NaN, or a greatest score of
 * infinity, gives NaN.
 */
#ifndef AT_ROW_THRESHOLD_H
#define AT_ROW_THRESHOLD_H

#include "attn/core/stop.h"
#include "attn/kernel/reduce.h"
#include "attn/row/row.h"

/* z gets what is above the least possible threshold, less the greatest, times scale, side by side. Returns how many; 0: the row has
 * no threshold, and y is written, or the work is cut short. */
static inline size_t at_row_candidates(size_t n, const real *x, const uint8_t *left, double scale, real *max, real *y,
                                       double *z)
{
    size_t count = 0;
    *max = left ? -INFINITY : K->reduce->max(n, x);
    for (size_t j = 0; left && j < n; j++)
        if (left[j] && (x[j] > *max || isnan(x[j])))
            *max = x[j];
    if (!isfinite(*max)) {
        for (size_t j = 0; j < n; j++)
            y[j] = at_left(left, j) && *max != -INFINITY ? NAN : 0;
        return 0;
    }
    AT_PIECES(j, end, n)
    for (; j < end; j++) {
        z[count] = ((double)x[j] - (double)*max) * scale;
        count += at_left(left, j) && z[count] > -1;
    }
    return at_cut_short() ? 0 : count;
}

#endif
