/*
 * softmax, sparsemax, entmax15: the distributions of attention (attn/row/) over dimension d of any tensor.
 *
 *   x, y   any shape with at least one dimension
 *   mask   bool, broadcasts to x; what it leaves out counts as -inf
 *   dx     from y and dy, so that x is not kept for the backward pass
 *
 * A row of -inf (a query that may attend to nothing) gives y = 0, dx = 0, so that padding never spreads NaN through a
 * batch. Short rows of softmax (of two, say) are taken many at a time, so that the exponential runs over whole vectors.
 */
#include <math.h>
#include <string.h>

#include "attn/kernel/map.h"
#include "attn/kernel/pack.h"
#include "attn/op/masked.h"
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

/* ---- short rows ---- */

enum { SHORT = 47, FEW = 4, BLOCK = 2048 }; /* elements of a short row; those that are taken at once */

static at_axis axis_of(const at_call *c) { return at_along(c->out[0], c->arg[0].integer); }

/* Divisions cost as much as a row. */
static inline size_t start_of(at_axis a, size_t r) { return a.step == 1 ? r * a.n : at_row_start(a, r); }

/* Rows that lie one behind the other, from FEW elements on, are turned: element j of all rows of a block is a row. */
static bool are_turned(at_axis a) { return a.step == 1 && a.n >= FEW; }

static void turned_rows(size_t begin, size_t end, const at_call *c, size_t n)
{
    real e[BLOCK], max[BLOCK / FEW], sum[BLOCK / FEW];

    for (size_t r = begin, rows; r < end && !at_cut_short(); r += rows) {
        rows = at_min_size(end - r, BLOCK / n);
        K->pack->transpose(rows, n, at_in(c, 0) + r * n, n, e, rows);
        memcpy(max, e, rows * sizeof *max);
        for (size_t j = 1; j < n; j++)
            K->map->maximum(rows, max, 1, e + j * rows, 1, max);
        for (size_t i = 0; i < rows; i++)
            max[i] = max[i] == -INFINITY ? 0 : max[i]; /* -inf - -inf would be NaN */
        for (size_t j = 0; j < n; j++)
            K->map->sub(rows, e + j * rows, 1, max, 1, e + j * rows);
        K->map->vexp(rows * n, e, e);
        K->map->fill(rows, 0, sum);
        for (size_t j = 0; j < n; j++)
            K->map->acc(rows, e + j * rows, sum);
        for (size_t i = 0; i < rows; i++)
            sum[i] = sum[i] == 0 ? 0 : 1 / sum[i];
        for (size_t j = 0; j < n; j++)
            K->map->mul(rows, e + j * rows, 1, sum, 1, e + j * rows);
        K->pack->transpose(n, rows, e, rows, at_outp(c, 0) + r * n, n);
    }
}

static void turned_rows_back(size_t begin, size_t end, const at_call *c, size_t n)
{
    real y[BLOCK], d[BLOCK], dot[BLOCK / FEW];
    bool fresh = at_is_fresh(c, 0);

    for (size_t r = begin, rows; r < end && !at_cut_short(); r += rows) {
        real *dx = at_din(c, 0) + r * n;
        rows = at_min_size(end - r, BLOCK / n);
        K->pack->transpose(rows, n, at_outp(c, 0) + r * n, n, y, rows);
        K->pack->transpose(rows, n, at_dout(c, 0) + r * n, n, d, rows);
        K->map->fill(rows, 0, dot);
        for (size_t j = 0; j < n; j++)
            K->map->muladd(rows, y + j * rows, 1, d + j * rows, 1, dot);
        for (size_t j = 0; j < n; j++)
            K->map->sub(rows, d + j * rows, 1, dot, 1, d + j * rows);
        K->map->mul(rows * n, y, 1, d, 1, d);
        K->pack->transpose(n, rows, d, rows, fresh ? dx : y, n);
        if (!fresh)
            K->map->acc(rows * n, y, dx);
    }
}

static void short_rows(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    at_axis a = axis_of(c);
    real e[BLOCK];

    if (are_turned(a)) {
        turned_rows(begin, end, c, a.n);
        return;
    }

    for (size_t r = begin, count; r < end && !at_cut_short(); r += count) {
        count = end - r < BLOCK / a.n ? end - r : BLOCK / a.n;
        for (size_t i = 0; i < count; i++) {
            const real *x = at_in(c, 0) + start_of(a, r + i);
            real max = x[0], *to = e + i * a.n;
            for (size_t j = 1; j < a.n; j++)
                max = x[j * a.step] > max ? x[j * a.step] : max;
            if (max == -INFINITY)
                max = 0; /* -inf - -inf would be NaN */
            for (size_t j = 0; j < a.n; j++)
                to[j] = x[j * a.step] - max;
        }
        K->map->vexp(count * a.n, e, e);
        for (size_t i = 0; i < count; i++) {
            real *y = at_outp(c, 0) + start_of(a, r + i), sum = 0;
            const real *from = e + i * a.n;
            for (size_t j = 0; j < a.n; j++)
                sum += from[j];
            real scale = sum == 0 ? 0 : 1 / sum;
            for (size_t j = 0; j < a.n; j++)
                y[j * a.step] = from[j] * scale;
        }
    }
}

static void short_rows_back(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    at_axis a = axis_of(c);
    bool fresh = at_is_fresh(c, 0);

    if (are_turned(a)) {
        turned_rows_back(begin, end, c, a.n);
        return;
    }
    for (size_t r = begin; r < end && !at_cut_short(); r++) {
        size_t start = start_of(a, r);
        const real *y = at_outp(c, 0) + start, *dy = at_dout(c, 0) + start;
        real *dx = at_din(c, 0) + start, dot = 0;
        for (size_t j = 0; j < a.n; j++)
            dot += y[j * a.step] * dy[j * a.step];
        for (size_t j = 0; j < a.n; j++) {
            real d = y[j * a.step] * (dy[j * a.step] - dot);
            dx[j * a.step] = fresh ? d : dx[j * a.step] + d;
        }
    }
}

/* False if it is not softmax or its rows are not short. */
static bool run_short(const at_call *c, const at_row *record, void (*rows)(size_t, size_t, void *))
{
    at_axis a = axis_of(c);
    if (record != AT_REAL(at_rows)[AT_ROW_softmax] || a.n == 0 || a.n > SHORT)
        return false;
    at_for(a.rows, at_grain_rows(a.n), rows, (void *)(uintptr_t)c);
    return true;
}

/* ---- the three ---- */

#define ALONG(id, text)                                                                                                \
    static bool id##_shape(at_call *c)                                                                                 \
    {                                                                                                                  \
        return at_apply_mask(c, -INFINITY) && at_along_shape(c, AT_REAL(at_rows)[AT_ROW_##id]->is.own_bytes);          \
    }                                                                                                                  \
    static void id##_forward(const at_call *c)                                                                         \
    {                                                                                                                  \
        const at_row *record = AT_REAL(at_rows)[AT_ROW_##id];                                                          \
        if (!run_short(c, record, short_rows))                                                                         \
            at_along_forward(c, record->is.own_bytes, row, record);                                                    \
    }                                                                                                                  \
    static void id##_backward(const at_call *c)                                                                        \
    {                                                                                                                  \
        if (!run_short(c, AT_REAL(at_rows)[AT_ROW_##id], short_rows_back))                                             \
            at_along_backward(c, row_back, AT_REAL(at_rows)[AT_ROW_##id]);                                             \
    }                                                                                                                  \
    AT_OP(id,                                                                                                          \
          .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}, {"mask", AT_MASK, .option = true}},  \
          .shape = id##_shape, .forward = id##_forward, .backward = id##_backward, .keeps = AT_KEEP_OUT(0),            \
          .fresh = true,                                                                                               \
          .help = text " What the\nmask (bool, broadcast to x) leaves out has weight 0 and no gradient.")

ALONG(softmax,
      "softmax(x, d = -1, {mask =}) -> y like x\n"
      "exp(x) normalised to sum to 1 over dimension d; -inf has weight 0, and a row of -inf only gives zeros.");

ALONG(sparsemax, "sparsemax(x, d = -1, {mask =}) -> y like x\n"
                 "The point of the simplex nearest to x along dimension d (Martins and Astudillo 2016): like softmax, "
                 "with exact zeros. -inf has weight 0, and a row of -inf only gives zeros.");

ALONG(entmax15,
      "entmax15(x, d = -1, {mask =}) -> y like x\n"
      "1.5-entmax along dimension d (Peters et al. 2019): between softmax and sparsemax, with exact zeros. -inf has "
      "weight 0, and a row of -inf only gives zeros.");
