/*
 * log_softmax: y_j = x_j - log(sum_k exp(x_k)), over dimension d.
 *
 *   x, y   any shape with at least one dimension
 *   dx     dy - exp(y) sum_k dy_k      needs y only
 *
 * -inf in x stays -inf and gets no gradient; a row of -inf only stays as it is.
 */
#include "attn/op/rows.h"
#include "attn/kernel/softmax.h"

static void row(const at_rows *job, size_t r, const real *const *in, real *y, char *own)
{
    (void)r, (void)own;
    K->softmax->log_softmax(job->axis.n, in[0], NULL, y);
}

static void row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    (void)r, (void)own;
    K->softmax->log_softmax_back(job->axis.n, in[0], in[1], dx);
}

static bool shape(at_call *c) { return at_along_shape(c, 0); }
static void log_softmax_forward(const at_call *c) { at_along_forward(c, 0, row, NULL); }
static void log_softmax_backward(const at_call *c) { at_along_backward(c, row_back, NULL); }

AT_OP(log_softmax, .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}}, .shape = shape,
      .forward = log_softmax_forward, .backward = log_softmax_backward, .keeps = AT_KEEP_OUT(0), .fresh = true,
      .help = "log_softmax(x, d = -1) -> y like x\n"
              "The logarithm of softmax over dimension d, without overflow; -inf stays -inf.");
