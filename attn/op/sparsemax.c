/*
 * sparsemax: the point of the simplex nearest to x, over dimension d                    (Martins and Astudillo 2016)
 *
 *   y_j    max(x_j - tau, 0), tau such that the row sums to 1
 *   tau    (sum of the k greatest - 1) / k for the largest k with 1 + k x_(k) > sum of the k greatest
 *   dx     on the support S = {y > 0}: dy - mean of dy over S; 0 elsewhere
 *
 * tau is at least max x - 1, so only elements above that are sorted. -inf has weight 0; a row of -inf only gives zeros.
 */
#include <tgmath.h>

#include "attn/core/descend.h"
#include "attn/core/rows.h"
#include "attn/kernel/kernel.h"

static void row(const at_rows *job, size_t r, const real *const *in, real *y, char *own)
{
    size_t n = job->axis.n, count = 0;
    const real *x = in[0];
    real *z = (real *)(void *)own, max = K->max(n, x);
    double sum = 0, tau = 0;

    (void)r;
    if (max == -INFINITY) {
        K->fill(n, 0, y);
        return;
    }
    if (!isfinite(max)) {
        K->fill(n, NAN, y);
        return;
    }
    for (size_t j = 0; j < n; j++)
        if (x[j] - max > -1)
            z[count++] = x[j] - max;
    at_sort_descending(z, count);
    for (size_t k = 0; k < count; k++) {
        if (1 + (double)(k + 1) * z[k] <= sum + z[k])
            break;
        sum += z[k];
        tau = (sum - 1) / (double)(k + 1);
    }
    for (size_t j = 0; j < n; j++) {
        real over = (real)(x[j] - max - tau);
        y[j] = over > 0 ? over : 0;
    }
}

static void row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    const real *y = in[0], *dy = in[1];
    double sum = 0;
    size_t count = 0;

    (void)r, (void)own;
    for (size_t j = 0; j < job->axis.n; j++)
        if (y[j] > 0) {
            sum += dy[j];
            count++;
        }
    for (size_t j = 0; j < job->axis.n; j++)
        if (y[j] > 0)
            dx[j] += (real)(dy[j] - sum / (double)count);
}

static bool shape(at_call *c) { return at_along_shape(c, sizeof(real)); }
static void forward(const at_call *c) { at_along_forward(c, sizeof(real), row); }
static void backward(const at_call *c) { at_along_backward(c, row_back); }

AT_OP(sparsemax, .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}}, .shape = shape,
      .forward = forward, .backward = backward, .keeps = AT_KEEP_OUT(0), .fresh = true,
      .help = "sparsemax(x, d = -1) -> y like x\n"
              "The point of the simplex nearest to x along dimension d (Martins and Astudillo 2016): like softmax, "
              "with exact zeros. -inf has weight 0, and a row of -inf only gives zeros.");
