/*
 * Rows of weights that more than one operation makes: n scores x, m the bytes of keys that are left or NULL for all,
 * y like x. What is left out is not read. For typed files of op/ only.
 *
 * A row with nothing left, or of minus infinities only, gives zeros; NaN, or a greatest score of infinity, gives NaN.
 * Both have no gradient. z: n doubles of scratch.
 */
#ifndef AT_OP_ROW_H
#define AT_OP_ROW_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attn/core/real.h"
#include "attn/kernel/kernel.h"

void AT_REAL(at_sparsemax_row)(size_t n, const real *x, const uint8_t *m, real *y, double *z);
void AT_REAL(at_sparsemax_row_back)(size_t n, const real *y, const real *dy, real *dx);    /* dx += ... */
void AT_REAL(at_entmax15_row)(size_t n, const real *x, const uint8_t *m, real *y, double *z);
void AT_REAL(at_entmax15_row_back)(size_t n, const real *y, const real *dy, real *dx);

static inline bool at_left(const uint8_t *m, size_t j) { return !m || m[j]; }

/*
 * For distributions found by a threshold that lies less than 1 below the greatest score: z gets what is above that, less
 * the greatest, times scale, side by side. Returns how many; 0: the row has no threshold, and y is written.
 */
static inline size_t at_row_candidates(size_t n, const real *x, const uint8_t *m, double scale, real *max, real *y,
                                       double *z)
{
    size_t count = 0;
    *max = m ? -INFINITY : K->max(n, x);
    for (size_t j = 0; m && j < n; j++)
        if (m[j] && (x[j] > *max || isnan(x[j])))
            *max = x[j];
    if (!isfinite(*max)) {
        for (size_t j = 0; j < n; j++)
            y[j] = at_left(m, j) && *max != -INFINITY ? NAN : 0;
        return 0;
    }
    for (size_t j = 0; j < n; j++) {
        z[count] = ((double)x[j] - (double)*max) * scale;
        count += at_left(m, j) && z[count] > -1;
    }
    return count;
}

#endif
