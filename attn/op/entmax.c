/*
 * entmax: the distribution of that name (attn/row/entmax.c) over dimension d of any tensor, alpha a number or a tensor.
 *
 *   x, y    any shape with at least one dimension
 *   alpha   broadcasts to x, one number along d: from 1 to 2
 *   mask    bool, broadcasts to x; what it leaves out counts as -inf
 *   dx, dalpha   from y and dy; dalpha summed over its rows in order
 */
#include "attn/op/masked.h"
#include "attn/op/rows.h"
#include "attn/row/row.h"

enum { X, MASK, ALPHA };

/* in backward: of each row dalpha, then its sums */
typedef struct job {
    const at_call *c;
    const at_row *record;
    double *parts;
} job;

static at_axis axis_of(const at_call *c) { return at_along(c->in[X], c->arg[0].integer); }

/* The place in alpha of row r of x. */
static size_t alpha_place(const at_call *c, size_t r)
{
    const at_tensor *x = c->in[X], *alpha = c->in[ALPHA];
    size_t start = at_row_start(axis_of(c), r), place = 0, step = 1;
    for (size_t k = 1; k <= alpha->ndim; k++) {
        size_t wide = x->size[x->ndim - k], size = alpha->size[alpha->ndim - k];
        if (size > 1)
            place += start % wide * step;
        start /= wide;
        step *= size;
    }
    return place;
}

static at_beside beside_of(const job *s, size_t r)
{
    return (at_beside){.set = {(double)at_in(s->c, ALPHA)[alpha_place(s->c, r)]}, .uniform = -1};
}

static void row(const at_rows *rows, size_t r, const real *const *in, real *y, char *own)
{
    const job *s = rows->context;
    at_beside beside = beside_of(s, r);
    s->record->forward(rows->axis.n, in[0], NULL, y, own, &beside);
}

static void row_back(const at_rows *rows, size_t r, const real *const *in, real *dx, char *own)
{
    const job *s = rows->context;
    at_beside beside = beside_of(s, r);
    real dalpha = 0;
    beside.dparam[0] = &dalpha;
    s->record->backward(rows->axis.n, in[0], in[1], dx, own, &beside);
    s->parts[r] = (double)dalpha;
}

static job job_of(const at_call *c)
{
    const at_row *record = AT_REAL(at_rows)[AT_ROW_entmax];
    at_axis a = axis_of(c);
    size_t slots = at_rows_scratch(a, a.n * record->is.own_bytes);
    return (job){c, record, (double *)(void *)(c->work + at_round64(slots))};
}

static bool shape(at_call *c)
{
    if (!at_apply_mask(c, -INFINITY))
        return false;
    const at_tensor *x = c->in[X], *alpha = c->in[ALPHA];
    at_axis a = axis_of(c);
    size_t size[AT_MAX_DIM], ndim, d = (size_t)c->arg[0].integer;
    if (!at_broadcast(x, alpha, &ndim, size) || ndim != x->ndim || memcmp(size, x->size, ndim * sizeof *size) != 0 ||
        (alpha->ndim >= ndim - d && alpha->size[d - (ndim - alpha->ndim)] != 1))
        return at_fail(c, "alpha has no number for each row along dimension %zu (x: %s, alpha: %s)", d + 1,
                       at_describe(x).text, at_describe(alpha).text);
    for (size_t i = 0; i < at_numel(alpha); i++)
        if (!(at_in(c, ALPHA)[i] >= 1 && at_in(c, ALPHA)[i] <= 2))
            return at_fail(c, "alpha is %g, expected 1 to 2 (alpha: %s)", (double)at_in(c, ALPHA)[i],
                           at_describe(alpha).text);
    at_want_scratch(c, at_round64(at_rows_scratch(a, a.n * AT_REAL(at_rows)[AT_ROW_entmax]->is.own_bytes)) +
                           (a.rows + at_numel(alpha)) * sizeof(double));
    return at_out(c, x->ndim, x->size);
}

static void entmax_forward(const at_call *c)
{
    job s = job_of(c);
    at_along_forward(c, s.record->is.own_bytes, row, &s);
}

static void entmax_backward(const at_call *c)
{
    job s = job_of(c);
    size_t rows = axis_of(c).rows, n = at_numel(c->in[ALPHA]);
    real *dalpha = at_din(c, ALPHA);
    double *sum = s.parts + rows;

    at_along_backward(c, row_back, &s);
    if (!dalpha)
        return;
    memset(sum, 0, n * sizeof *sum);
    for (size_t r = 0; r < rows; r++)
        sum[alpha_place(c, r)] += s.parts[r];
    for (size_t i = 0; i < n; i++)
        dalpha[i] += (real)sum[i];
}

AT_OP(entmax,
      .args = {{"x", AT_FLOAT},
               {"mask", AT_MASK, .option = true},
               {"alpha", AT_OPERAND},
               {"d", AT_DIM, .optional = true, .value = -1}},
      .shape = shape, .forward = entmax_forward, .backward = entmax_backward, .keeps = AT_KEEP(ALPHA) | AT_KEEP_OUT(0),
      .help =
          "entmax(x, alpha, d = -1, {mask =}) -> y like x\n"
          "alpha-entmax along dimension d (Peters et al. 2019): alpha, a number or a tensor that broadcasts to x with "
          "one number a row, leads from softmax (1) by entmax15 (1.5) to sparsemax (2), and gets a gradient (Correia "
          "et al. "
          "2019). -inf has weight 0, and a row of -inf only gives zeros. What the\nmask (bool, broadcast to x) leaves "
          "out has weight 0 and no gradient.");
