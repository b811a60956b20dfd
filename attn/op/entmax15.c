/*
 * entmax15: argmax over the simplex of <y, x> + H(y), H Tsallis' entropy with alpha 1.5         (Peters et al. 2019)
 *
 *   y_j    max(x_j / 2 - tau, 0)^2, tau such that the row sums to 1
 *   dx     s (dy - <s, dy> / sum s),  s = sqrt(y)
 *
 * tau is found by Newton's iteration on |max(z - tau, 0)| = 1: convex, and almost straight, so three to five turns; from
 * the left, so those below tau are out for good. It is at least max x / 2 - 1. -inf has weight 0; a row of -inf only
 * gives zeros. The rows are those of attention, too: op/row.h.
 */
#include "attn/core/rows.h"
#include "attn/op/row.h"

void AT_REAL(at_entmax15_row)(size_t n, const real *x, const uint8_t *m, real *y, double *z)
{
    real max;
    size_t count = at_row_candidates(n, x, m, 0.5, &max, y, z);
    double tau = -1;
    if (count == 0)
        return;
    for (int turn = 0; turn < 64; turn++) {
        double sum = 0, squares = 0;
        size_t stay = 0;
        for (size_t j = 0; j < count; j++) {
            double d = z[j] - tau;
            z[stay] = z[j];
            stay += d > 0;
            d = d > 0 ? d : 0;
            sum += d;
            squares += d * d;
        }
        count = stay;
        double norm = sqrt(squares), next = tau + (norm - 1) * norm / sum;
        if (!(next > tau + 1e-15))
            break;
        tau = next;
    }
    for (size_t j = 0; j < n; j++) {
        double over = at_left(m, j) ? ((double)x[j] - (double)max) / 2 - tau : 0;
        y[j] = over > 0 ? (real)(over * over) : 0;
    }
}

void AT_REAL(at_entmax15_row_back)(size_t n, const real *y, const real *dy, real *dx)
{
    double sum = 0, total = 0;
    for (size_t j = 0; j < n; j++)
        if (y[j] > 0) {
            double root = sqrt((double)y[j]);
            sum += root * (double)dy[j];
            total += root;
        }
    for (size_t j = 0; j < n; j++)
        if (y[j] > 0)
            dx[j] += (real)(sqrt((double)y[j]) * ((double)dy[j] - sum / total));
}

static void row(const at_rows *job, size_t r, const real *const *in, real *y, char *own)
{
    (void)r;
    AT_REAL(at_entmax15_row)(job->axis.n, in[0], NULL, y, (double *)(void *)own);
}

static void row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    (void)r, (void)own;
    AT_REAL(at_entmax15_row_back)(job->axis.n, in[0], in[1], dx);
}

static bool shape(at_call *c) { return at_along_shape(c, sizeof(double)); }
static void forward(const at_call *c) { at_along_forward(c, sizeof(double), row); }
static void backward(const at_call *c) { at_along_backward(c, row_back); }

AT_OP(entmax15,
    .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}}, .shape = shape,
    .forward = forward, .backward = backward, .keeps = AT_KEEP_OUT(0), .fresh = true,
    .help =
        "entmax15(x, d = -1) -> y like x\n"
        "1.5-entmax along dimension d (Peters et al. 2019): between softmax and sparsemax, with exact zeros. -inf has "
        "weight 0, and a row of -inf only gives zeros.");
