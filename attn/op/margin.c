/*
 * loss.margin: max(0, margin - score + other), what a score lacks of being better than others by a margin.
 *
 *   score [B], other [B] or [B, N]     score i belongs to row i of other
 *   d other   g where the term is above 0, else 0      d score_i   minus the sum of these over row i
 *
 * Sums are taken in double, row by row and over the rows in order.
 */
#include "attn/op/rows.h"

enum { MEAN, SUM, NONE };
enum { REDUCTION, MARGIN };

static bool shape(at_call *c)
{
    const at_tensor *score = c->in[0], *other = c->in[1];

    if (score->ndim != 1)
        return at_fail(c, "score has %d dimensions, expected [B] (score: %s)", score->ndim, at_describe(score).text);
    if (other->ndim < 1 || other->ndim > 2 || other->size[0] != score->size[0])
        return at_fail(c, "other has shape %s, expected [%zu] or [%zu, N] (other: %s)",
                       at_describe_shape(other->ndim, other->size).text, score->size[0], score->size[0],
                       at_describe(other).text);
    if (c->arg[REDUCTION].integer == NONE)
        return at_out(c, other->ndim, other->size);
    at_want_scratch(c, score->size[0] * sizeof(double));
    return at_out(c, 0, NULL);
}

static size_t per_row(const at_call *c) { return c->in[1]->ndim == 2 ? c->in[1]->size[1] : 1; }

static void values(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    size_t n = per_row(c);
    real margin = (real)c->arg[MARGIN].number;

    for (size_t r = begin; r < end && !at_cut_short(); r++) {
        const real *other = at_in(c, 1) + r * n;
        real start = margin - at_in(c, 0)[r];
        double total = 0;
        for (size_t i = 0; i < n; i++) {
            real v = start + other[i] <= 0 ? 0 : start + other[i]; /* NaN stays */
            if (c->arg[REDUCTION].integer == NONE)
                at_outp(c, 0)[r * n + i] = v;
            total += v;
        }
        if (c->arg[REDUCTION].integer != NONE)
            ((double *)(void *)c->work)[r] = total;
    }
}

static void margin_forward(const at_call *c)
{
    size_t rows = c->in[0]->size[0];
    double total = 0;

    at_for(rows, at_grain_rows(per_row(c)), values, (void *)(uintptr_t)c);
    if (c->arg[REDUCTION].integer == NONE)
        return;
    for (size_t r = 0; r < rows; r++)
        total += ((const double *)(const void *)c->work)[r];
    *at_outp(c, 0) = (real)(c->arg[REDUCTION].integer == MEAN ? total / (double)at_numel(c->in[1]) : total);
}

static void slopes(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    size_t n = per_row(c);
    real margin = (real)c->arg[MARGIN].number, *dscore = at_din(c, 0), *dother = at_din(c, 1);
    const real *dy = at_dout(c, 0);
    bool none = c->arg[REDUCTION].integer == NONE;
    real each = none ? 0 : c->arg[REDUCTION].integer == MEAN ? *dy / (real)at_numel(c->in[1]) : *dy;

    for (size_t r = begin; r < end && !at_cut_short(); r++) {
        const real *other = at_in(c, 1) + r * n;
        real start = margin - at_in(c, 0)[r];
        double total = 0;
        for (size_t i = 0; i < n; i++) {
            real g = start + other[i] <= 0 ? 0 : none ? dy[r * n + i] : each;
            total += g;
            if (dother)
                dother[r * n + i] += g;
        }
        if (dscore)
            dscore[r] -= (real)total;
    }
}

static void margin_backward(const at_call *c)
{
    at_for(c->in[0]->size[0], at_grain_rows(per_row(c)), slopes, (void *)(uintptr_t)c);
}

AT_OP_NAMED(margin, "loss.margin",
            .args = {{"score", AT_FLOAT},
                     {"other", AT_FLOAT},
                     {"reduction", AT_CHOICE, .optional = true, .option = true, .choices = "mean|sum|none"},
                     {"margin", AT_NUMBER, .optional = true, .option = true, .value = 1}},
            .shape = shape, .forward = margin_forward, .backward = margin_backward, .keeps = AT_KEEP(0) | AT_KEEP(1),
            .help = "loss.margin(score [B], other [B] or [B, N], {margin = 1, reduction = \"mean\"}) -> loss\n"
                    "max(0, margin - score + other); score i belongs to row i of other. reduction \"mean\" over all "
                    "elements of other, "
                    "\"sum\", or \"none\" (shape of other).");
