/*
 * mean: y_j = x_j / n over the n keys that may be attended to          (Wang et al. 2018, the dot and concat forms of non-local networks)
 *
 *   dx     dy / n
 *
 * A score of minus infinity (a bias) leaves its key out like a mask. The weights do not sum to 1, and may be negative.
 */
#include "attn/row/row.h"

static bool counts(const real *x, const uint8_t *left, size_t j) { return at_left(left, j) && x[j] != -INFINITY; }

static real share(size_t n, const real *x, const uint8_t *left)
{
    size_t count = 0;
    for (size_t j = 0; j < n; j++)
        count += counts(x, left, j);
    return count ? 1 / (real)count : 0;
}

static void mean_row_forward(size_t n, const real *x, const uint8_t *left, real *y, void *own, const at_beside *b)
{
    (void)own, (void)b;
    real part = share(n, x, left);
    for (size_t j = 0; j < n; j++)
        y[j] = counts(x, left, j) ? x[j] * part : 0;
}

static void mean_row_backward(size_t n, const real *y, const real *dy, real *dx, void *own, const at_beside *b)
{
    (void)own, (void)y;
    real part = share(n, b->x, b->left);
    for (size_t j = 0; j < n; j++)
        if (counts(b->x, b->left, j))
            dx[j] += dy[j] * part;
}

AT_ROW(mean,
       .is.part.formula =
           "e_j / n: the score itself over the number of keys that may be attended to, no mean weights of 1 / n",
       .is.part.source = "Wang et al. 2018", .is.rereads = true, .forward = mean_row_forward,
       .backward = mean_row_backward);
