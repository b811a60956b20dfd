/*
 * entmax15: argmax over the simplex of <y, x> + H(y), H Tsallis' entropy with alpha 1.5 (Peters et al. 2019, alg. 2)
 *
 *   y_j    max(x_j / 2 - tau, 0)^2, tau such that the row sums to 1
 *   tau    mean - sqrt((1 - ss) / k) of the k greatest x / 2, ss the sum of their squared deviations from the mean, for
 *          the largest k whose tau does not exceed the k-th
 *   dx     s (dy - <s, dy> / sum s),  s = sqrt(y)
 *
 * tau is at least max x / 2 - 1, so only elements above that are sorted. -inf has weight 0; a row of -inf only gives
 * zeros.
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
    double sum = 0, squares = 0, tau = 0;

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
        if ((x[j] - max) / 2 > -1)
            z[count++] = (x[j] - max) / 2;
    at_sort_descending(z, count);
    for (size_t k = 0; k < count; k++) {
        double m = (double)(k + 1), mean, spare;
        sum += z[k];
        squares += (double)z[k] * z[k];
        mean = sum / m;
        spare = 1 - (squares - sum * mean);
        double t = mean - sqrt(spare > 0 ? spare / m : 0);
        if (t > z[k])
            break;
        tau = t;
    }
    for (size_t j = 0; j < n; j++) {
        double over = (double)(x[j] - max) / 2 - tau;
        y[j] = over > 0 ? (real)(over * over) : 0;
    }
}

static void row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    const real *y = in[0], *dy = in[1];
    double sum = 0, total = 0;

    (void)r, (void)own;
    for (size_t j = 0; j < job->axis.n; j++) {
        double root = sqrt((double)y[j]);
        sum += root * dy[j];
        total += root;
    }
    for (size_t j = 0; j < job->axis.n; j++)
        if (y[j] > 0)
            dx[j] += (real)(sqrt((double)y[j]) * (dy[j] - sum / total));
}

static bool shape(at_call *c) { return at_along_shape(c, sizeof(real)); }
static void forward(const at_call *c) { at_along_forward(c, sizeof(real), row); }
static void backward(const at_call *c) { at_along_backward(c, row_back); }

AT_OP(entmax15,
    .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}}, .shape = shape,
    .forward = forward, .backward = backward, .keeps = AT_KEEP_OUT(0), .fresh = true,
    .help =
        "entmax15(x, d = -1) -> y like x\n"
        "1.5-entmax along dimension d (Peters et al. 2019): between softmax and sparsemax, with exact zeros. -inf has "
        "weight 0, and a row of -inf only gives zeros.");
