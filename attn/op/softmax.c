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

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    at_want_scratch(c, at_rows_scratch(at_along(x, c->arg[0].integer), 0));
    return at_out(c, x->ndim, x->size);
}

static void row(const at_rows *job, size_t r, const real *const *in, real *y, char *own)
{
    (void)r, (void)own;
    K->softmax(job->axis.n, in[0], NULL, y);
}

static void forward(const at_call *c)
{
    at_run_rows(&(at_rows){.axis = at_along(c->in[0], c->arg[0].integer), .in = {at_in(c, 0)}, .out = at_outp(c, 0),
                           .mode = AT_ROW_WRITE, .fn = row, .work = c->work});
}

static void row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    (void)r, (void)own;
    K->softmax_back(job->axis.n, in[0], in[1], dx);
}

static void backward(const at_call *c)
{
    at_run_rows(&(at_rows){.axis = at_along(c->out[0], c->arg[0].integer), .in = {at_outp(c, 0), at_dout(c, 0)},
                           .out = at_din(c, 0), .mode = at_is_fresh(c, 0) ? AT_ROW_FRESH : AT_ROW_ADD, .fn = row_back,
                           .work = c->work});
}

AT_OP(softmax,
    .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}},
    .shape = shape, .forward = forward, .backward = backward, .keeps = AT_KEEP_OUT(0), .fresh = true,
    .help = "softmax(x, d = -1) -> y like x\n"
            "exp(x) normalised to sum to 1 over dimension d; -inf has weight 0, and a row of -inf only gives zeros.");
