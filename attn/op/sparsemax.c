/*
 * sparsemax: the point of the simplex nearest to x, over dimension d                    (Martins and Astudillo 2016)
 *
 *   y_j    max(x_j - tau, 0), tau such that the row sums to 1
 *   dx     on the support S = {y > 0}: dy - mean of dy over S; 0 elsewhere
 *
 * tau is found without sorting: those below the threshold of all leave until nobody does (Michelot 1986). It is at least
 * max x - 1. -inf has weight 0; a row of -inf only gives zeros. The rows are those of attention, too: op/row.h.
 */
#include "attn/core/rows.h"
#include "attn/op/row.h"

void AT_REAL(at_sparsemax_row)(size_t n, const real *x, const uint8_t *m, real *y, double *z)
{
    real max;
    size_t count = at_row_candidates(n, x, m, 1, &max, y, z), before = 0;
    double tau = -1;
    if (count == 0)
        return;
    while (count != before) {       /* those below the threshold of all leave, which raises it */
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
    for (size_t j = 0; j < n; j++) {
        double over = at_left(m, j) ? (double)x[j] - (double)max - tau : 0;
        y[j] = over > 0 ? (real)over : 0;
    }
}

void AT_REAL(at_sparsemax_row_back)(size_t n, const real *y, const real *dy, real *dx)
{
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

static void row(const at_rows *job, size_t r, const real *const *in, real *y, char *own)
{
    (void)r;
    AT_REAL(at_sparsemax_row)(job->axis.n, in[0], NULL, y, (double *)(void *)own);
}

static void row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    (void)r, (void)own;
    AT_REAL(at_sparsemax_row_back)(job->axis.n, in[0], in[1], dx);
}

static bool shape(at_call *c) { return at_along_shape(c, sizeof(double)); }
static void forward(const at_call *c) { at_along_forward(c, sizeof(double), row); }
static void backward(const at_call *c) { at_along_backward(c, row_back); }

AT_OP(sparsemax, .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}}, .shape = shape,
      .forward = forward, .backward = backward, .keeps = AT_KEEP_OUT(0), .fresh = true,
      .help = "sparsemax(x, d = -1) -> y like x\n"
              "The point of the simplex nearest to x along dimension d (Martins and Astudillo 2016): like softmax, "
              "with exact zeros. -inf has weight 0, and a row of -inf only gives zeros.");
