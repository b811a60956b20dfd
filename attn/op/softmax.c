/*
 * softmax, sparsemax, entmax15: the distributions of attention (attn/row/) over dimension d of any tensor.
 *
 *   x, y   any shape with at least one dimension
 *   dx     from y and dy, so that x is not kept for the backward pass
 *
 * A row of -inf (a query that may attend to nothing) gives y = 0, dx = 0, so that padding never spreads NaN through a
 * batch.
 */
#include "attn/op/rows.h"
#include "attn/row/row.h"

static void row(const at_rows *job, size_t r, const real *const *in, real *y, char *own)
{
    const at_row *record = job->context;
    (void)r;
    record->forward(job->axis.n, in[0], NULL, y, own, NULL);
}

static void row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    const at_row *record = job->context;
    (void)r;
    record->backward(job->axis.n, in[0], in[1], dx, own, NULL);
}

#define ALONG(id, text)                                                                                                         \
    static bool id##_shape(at_call *c) { return at_along_shape(c, AT_REAL(at_rows)[AT_ROW_##id]->is.own_bytes); }               \
    static void id##_forward(const at_call *c)                                                                                  \
    {                                                                                                                           \
        at_along_forward(c, AT_REAL(at_rows)[AT_ROW_##id]->is.own_bytes, row, AT_REAL(at_rows)[AT_ROW_##id]);                   \
    }                                                                                                                           \
    static void id##_backward(const at_call *c) { at_along_backward(c, row_back, AT_REAL(at_rows)[AT_ROW_##id]); }              \
    AT_OP(id, .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}}, .shape = id##_shape,                     \
          .forward = id##_forward, .backward = id##_backward, .keeps = AT_KEEP_OUT(0), .fresh = true, .help = text)

ALONG(softmax,
      "softmax(x, d = -1) -> y like x\n"
      "exp(x) normalised to sum to 1 over dimension d; -inf has weight 0, and a row of -inf only gives zeros.");

ALONG(sparsemax,
      "sparsemax(x, d = -1) -> y like x\n"
      "The point of the simplex nearest to x along dimension d (Martins and Astudillo 2016): like softmax, "
      "with exact zeros. -inf has weight 0, and a row of -inf only gives zeros.");

ALONG(entmax15,
      "entmax15(x, d = -1) -> y like x\n"
      "1.5-entmax along dimension d (Peters et al. 2019): between softmax and sparsemax, with exact zeros. -inf has "
      "weight 0, and a row of -inf only gives zeros.");
