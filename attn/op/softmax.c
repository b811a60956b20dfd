/*
 * softmax: y_j = exp(x_j) / sum_k exp(x_k), over dimension d.
 *
 *   x, y   any shape with at least one dimension
 *   dx     y (dy - <dy, y>)      needs y only, so x is not kept for the backward pass
 *
 * A row of -inf (a query that may attend to nothing) has no softmax. It gives y = 0, dx = 0, so that padding never
 * spreads NaN through a batch. A NaN in x still reaches y.
 */
#include "attn/core/rows.h"
#include "attn/kernel/kernel.h"

static void row(const at_rows *job, size_t r, const real *const *in, real *y, char *own)
{
    (void)r, (void)own;
    K->softmax(job->axis.n, in[0], NULL, y);
}

static void row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    (void)r, (void)own;
    K->softmax_back(job->axis.n, in[0], in[1], dx);
}

static bool shape(at_call *c) { return at_along_shape(c, 0); }
static void forward(const at_call *c) { at_along_forward(c, 0, row); }
static void backward(const at_call *c) { at_along_backward(c, row_back); }

AT_OP(softmax,
    .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}},
    .shape = shape, .forward = forward, .backward = backward, .keeps = AT_KEEP_OUT(0), .fresh = true,
    .help = "softmax(x, d = -1) -> y like x\n"
            "exp(x) normalised to sum to 1 over dimension d; -inf has weight 0, and a row of -inf only gives zeros.");
