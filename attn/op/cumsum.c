/*
 * cumsum: y_j = x_1 + ... + x_j along dimension d.
 *
 *   dx_j   dy_j + ... + dy_n
 *
 * Sums run in double (int64 wraps around), from the first element on.
 */
#include "attn/op/rows.h"

#if AT_IS_INTEGER
typedef uint64_t total;
#else
typedef double total;
#endif

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    at_want_scratch(c, at_rows_scratch(at_along(x, c->arg[0].integer), 0));
    return at_out(c, x->ndim, x->size);
}

static void row(const at_rows *job, size_t r, const real *const *in, real *y, char *own)
{
    total sum = 0;

    (void)r, (void)own;
    AT_PIECES(j, stop, job->axis.n)
        for (; j < stop; j++)
            y[j] = (real)(sum += (total)in[0][j]);
}

static void forward(const at_call *c)
{
    at_run_rows(&(at_rows){.axis = at_along(c->in[0], c->arg[0].integer), .in = {at_in(c, 0)}, .out = at_outp(c, 0),
                           .mode = AT_ROW_WRITE, .fn = row, .work = c->work});
}

#if AT_IS_INTEGER
#define cumsum_backward NULL
#else
static void row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    total sum = 0;

    (void)r, (void)own;
    AT_PIECES(i, stop, job->axis.n)
        for (; i < stop; i++) {
            size_t j = job->axis.n - 1 - i;
            dx[j] += (real)(sum += in[0][j]);
        }
}

static void cumsum_backward(const at_call *c)
{
    at_run_rows(&(at_rows){.axis = at_along(c->in[0], c->arg[0].integer), .in = {at_dout(c, 0)}, .out = at_din(c, 0),
                           .mode = at_is_fresh(c, 0) ? AT_ROW_FRESH : AT_ROW_ADD, .fn = row_back, .work = c->work});
}
#endif

AT_OP(cumsum,
    .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}},
    .shape = shape, .forward = forward, .backward = cumsum_backward, .fresh = true, .keeps = AT_KEEP_NOTHING,
    .help = "cumsum(x, d = -1) -> y like x\nSums of the elements up to each along dimension d. int64 too.");
