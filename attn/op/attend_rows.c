/*
 * attend_rows: rows of scores to rows of weights: biases, distance penalties, masks and distribution in one pass.
 *
 *   e      [B, H, Tq, W]            bias   [B or 1, H or 1, Tq or 1, Tk], added; -inf in it leaves a key out
 *   mask   the shapes of bias, key_mask [B, Tk]: false leaves a key out         span: core/attend.h
 *   y      [B, H, Tq, W] weights    logp   [B, H, Tq] and p  like y, hard_sample and hard_likely only
 *
 *   x = e + bias - m_h |i - j|  (alibi: Press et al. 2022), over the keys that are left:
 *   softmax       exp(x) / sum                        dx = y (dy - <dy, y>)
 *   sparsemax     op/sparsemax.c
 *   entmax15      op/entmax15.c
 *   sigmoid       1 / (1 + exp(-x))                   dx = dy y (1 - y)
 *   hard_max      1 at the first greatest             none
 *   hard_sample   1 at a draw from p = softmax        dx = dlogp (y - p) + p (dp - <dp, p>)           (Williams 1992)
 *   hard_likely   1 at the first greatest             the same
 *   proportional  e / sum e                           dx = (dy - <dy, y>) / sum e
 *
 * A key that is left out is not read: it may be NaN. With no key left the row is 0 and has no gradient, logp is 0.
 * So it is with a row of minus infinities, which scores make too (log 0). Rows of sparsemax and entmax15: op/row.h.
 * bias gets its gradient summed over what it was broadcast over, in order.
 */
#include <math.h>
#include <string.h>

#include "attn/core/attend.h"
#include "attn/core/parallel.h"
#include "attn/core/rows.h"
#include "attn/kernel/kernel.h"
#include "attn/op/row.h"

enum { E, BIAS, MASK, KEY_MASK, SPAN };
enum { KIND, KEYS, OFFSET, ALIBI };

/* ---- distributions: n scores, m the bytes of keys that are left or NULL for all ---- */

static void sigmoid(size_t n, const real *x, const uint8_t *m, real *y)
{
    K->vsigmoid(n, x, y);
    for (size_t j = 0; m && j < n; j++)
        if (!m[j])
            y[j] = 0;
}

static void hard_max(size_t n, const real *x, const uint8_t *m, real *y)
{
    size_t best = n;
    for (size_t j = 0; j < n; j++)
        if (at_left(m, j) && x[j] > -INFINITY && (best == n || x[j] > x[best]))
            best = j;
    memset(y, 0, n * sizeof(real));
    if (best < n)
        y[best] = 1;
}

/* p: softmax of the row. */
static void hard_sample(size_t n, const real *p, double uniform, real *y)
{
    double total = 0;
    size_t drawn = n;
    for (size_t j = 0; j < n; j++) {
        if (!(p[j] > 0))
            continue;
        total += (double)p[j];
        drawn = j;              /* the last one, should rounding leave the sum below the number */
        if (uniform < total)
            break;
    }
    memset(y, 0, n * sizeof(real));
    if (drawn < n)
        y[drawn] = 1;
}

/* log p of the key that y chose; NaN stays NaN. */
static real log_chosen(size_t n, const real *y, const real *p)
{
    for (size_t j = 0; j < n; j++)
        if (y[j] > 0 || isnan(p[j]))
            return log(p[j]);
    return 0;
}

static real proportional(size_t n, const real *x, const uint8_t *m, real *y)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++) {
        y[j] = at_left(m, j) ? x[j] : 0;
        sum += (double)y[j];
    }
    K->scale(n, sum == 0 ? 0 : (real)(1 / sum), y, y);
    return (real)sum;
}

/* ---- rows ---- */

typedef struct job {
    const at_call *c;
    size_t B, H, Tq, W, Tk;
    at_row_kind kind;
    const at_tensor *span;
    size_t blocks, slot;            /* of scratch, in bytes */
    ptrdiff_t bias[4], mask[4], key_mask[2];    /* steps, 0 where broadcast */
    /* backward: rows of bias (or of scores) and how they meet */
    size_t unit[3], inner[3];       /* B, H, Tq: counts that have a row of dbias each; and what is added up within */
} job;

static void steps_of(const at_tensor *t, ptrdiff_t *step)
{
    for (int d = 0; t && d < 4; d++)
        step[d] = t->size[d] == 1 && d < 3 ? 0 : t->step[d];
}

static size_t blocks_of(size_t rows, size_t W)
{
    size_t blocks = rows * W / AT_GRAIN + 1;
    blocks = blocks < AT_SLOTS ? blocks : AT_SLOTS;
    return blocks < rows || rows == 0 ? blocks : rows;
}

/* Of a block: a row of scores, its mask, and candidates for a threshold. */
static size_t slot_bytes(size_t W)
{
    return at_round64(W * sizeof(real)) + at_round64(W) + at_round64(W * sizeof(double));
}

static job job_of(const at_call *c)
{
    const at_tensor *e = c->out[0], *mask = c->in[KEY_MASK];
    job s = {.c = c, .B = e->size[0], .H = e->size[1], .Tq = e->size[2], .W = e->size[3],
             .Tk = (size_t)c->arg[KEYS].integer, .kind = (at_row_kind)c->arg[KIND].integer, .span = c->in[SPAN],
             .slot = slot_bytes(e->size[3])};
    steps_of(c->in[BIAS], s.bias);
    steps_of(c->in[MASK], s.mask);
    if (mask)
        memcpy(s.key_mask, mask->step, sizeof s.key_mask);
    return s;
}

static bool fits(const at_tensor *t, const at_tensor *e, size_t Tk)
{
    if (!t)
        return true;
    if (t->ndim != 4 || t->size[3] != Tk)
        return false;
    for (int d = 0; d < 3; d++)
        if (t->size[d] != 1 && t->size[d] != e->size[d])
            return false;
    return true;
}

static bool shape(at_call *c)
{
    const at_tensor *e = c->in[E], *mask = c->in[KEY_MASK];
    size_t Tk = (size_t)c->arg[KEYS].integer;

    if (e->ndim != 4 || !at_contiguous(e))
        return at_fail(c, "e is no block of scores (e: %s)", at_describe(e).text);
    if (!fits(c->in[BIAS], e, Tk) || !fits(c->in[MASK], e, Tk) ||
        (mask && (mask->ndim != 2 || mask->size[0] != e->size[0] || mask->size[1] != Tk)))
        return at_fail(c, "bias, mask or key_mask do not fit %zu keys (e: %s)", Tk, at_describe(e).text);
    if (!at_span_check(c, c->in[SPAN], e->size[0], e->size[2], Tk))
        return false;
    size_t rows = e->size[0] * e->size[1] * e->size[2], W = e->size[3];
    if (W < at_span_width(c->in[SPAN], Tk))
        return at_fail(c, "e has %zu columns, fewer than the widest span (e: %s)", W, at_describe(e).text);
    at_want_scratch(c, AT_SLOTS * slot_bytes(W) + 64);       /* never none: rows of nothing are copied too */
    if (!at_out(c, 4, e->size))
        return false;
    at_row_kind kind = (at_row_kind)c->arg[KIND].integer;
    if (kind == AT_ROW_HARD_SAMPLE)
        c->random = at_random_reserve(rows);
    if (kind == AT_ROW_HARD_SAMPLE || kind == AT_ROW_HARD_LIKELY)
        return at_out(c, 3, e->size) && at_out(c, 4, e->size);
    return kind != AT_ROW_PROPORTIONAL || !at_recording(c) || at_save(c, at_call_dtype(c), rows);
}

/* The row with bias and distances, in `own` if anything is added; and the bytes of its mask, NULL if there is none. */
static const real *prepare(const job *s, size_t b, size_t h, size_t i, at_span keys, real *own, uint8_t *m,
                           bool *masked)
{
    const at_call *c = s->c;
    const real *e = at_in(c, E) + ((b * s->H + h) * s->Tq + i) * s->W, *x = e;
    ptrdiff_t at[3] = {(ptrdiff_t)b, (ptrdiff_t)h, (ptrdiff_t)i}, lo = (ptrdiff_t)keys.lo, n = (ptrdiff_t)keys.n;

    *masked = c->in[MASK] || c->in[KEY_MASK] || c->in[BIAS];
    if (*masked)
        memset(m, 1, keys.n);
    if (c->in[MASK]) {
        const char *row =
            c->in[MASK]->data + at[0] * s->mask[0] + at[1] * s->mask[1] + at[2] * s->mask[2] + lo * s->mask[3];
        for (ptrdiff_t j = 0; j < n; j++)
            m[j] = row[j * s->mask[3]] != 0;
    }
    if (c->in[KEY_MASK]) {
        const char *row = c->in[KEY_MASK]->data + at[0] * s->key_mask[0] + lo * s->key_mask[1];
        for (ptrdiff_t j = 0; j < n; j++)
            m[j] &= row[j * s->key_mask[1]] != 0;
    }
    if (c->in[BIAS]) {
        const real *row =
            at_in(c, BIAS) + at[0] * s->bias[0] + at[1] * s->bias[1] + at[2] * s->bias[2] + lo * s->bias[3];
        for (ptrdiff_t j = 0; j < n; j++) {
            own[j] = x[j] + row[j * s->bias[3]];
            m[j] &= row[j * s->bias[3]] != -INFINITY;
        }
        x = own;
    }
    if (c->arg[ALIBI].integer > 0) {
        size_t heads = (size_t)c->arg[ALIBI].integer;
        double slope = at_alibi_slope(h % heads, heads);
        int64_t place = c->arg[OFFSET].integer + (int64_t)i;
        for (ptrdiff_t j = 0; j < n; j++)
            own[j] = (real)((double)x[j] - slope * fabs((double)(place - (int64_t)(lo + j))));
        x = own;
    }
    return x;
}

static void row(const job *s, size_t r, real *own, uint8_t *bytes, double *z)
{
    const at_call *c = s->c;
    size_t i = r % s->Tq, h = r / s->Tq % s->H, b = r / s->Tq / s->H;
    at_span keys = at_span_of(s->span, s->Tq, s->Tk, b, i);
    bool masked;
    const real *x = prepare(s, b, h, i, keys, own, bytes, &masked);
    const uint8_t *m = masked ? bytes : NULL;
    real *y = at_outp(c, 0) + r * s->W;

    memset(y + keys.n, 0, (s->W - keys.n) * sizeof(real));
    switch (s->kind) {
    case AT_ROW_SOFTMAX: K->softmax(keys.n, x, m, y); break;
    case AT_ROW_SPARSEMAX: AT_REAL(at_sparsemax_row)(keys.n, x, m, y, z); break;
    case AT_ROW_ENTMAX15: AT_REAL(at_entmax15_row)(keys.n, x, m, y, z); break;
    case AT_ROW_SIGMOID: sigmoid(keys.n, x, m, y); break;
    case AT_ROW_HARD_MAX: hard_max(keys.n, x, m, y); break;
    case AT_ROW_HARD_SAMPLE:
    case AT_ROW_HARD_LIKELY: {
        real *p = at_outp(c, 2) + r * s->W;
        memset(p + keys.n, 0, (s->W - keys.n) * sizeof(real));
        K->softmax(keys.n, x, m, p);
        if (s->kind == AT_ROW_HARD_LIKELY)
            hard_max(keys.n, x, m, y);
        else
            hard_sample(keys.n, p, at_random_bits(c->random, r) * 0x1p-32, y);
        at_outp(c, 1)[r] = log_chosen(keys.n, y, p);
        break;
    }
    case AT_ROW_PROPORTIONAL: {
        real sum = proportional(keys.n, x, m, y);
        if (c->n_saved)
            at_savedp(c, 0)[r] = sum;
        break;
    }
    }
}

static void forward_block(size_t begin, size_t end, void *context)
{
    const job *s = context;
    size_t rows = s->B * s->H * s->Tq;
    for (size_t block = begin; block < end; block++) {
        char *slot = s->c->work + block * s->slot, *mask = slot + at_round64(s->W * sizeof(real));
        for (size_t r = rows * block / s->blocks; r < rows * (block + 1) / s->blocks; r++)
            row(s, r, (real *)(void *)slot, (uint8_t *)mask, (double *)(void *)(mask + at_round64(s->W)));
    }
}

static void forward(const at_call *c)
{
    job s = job_of(c);
    s.blocks = blocks_of(s.B * s.H * s.Tq, s.W);
    at_for(s.blocks, 1, forward_block, &s);
}

/* ---- backward ---- */

/* dx (+)= the gradient of a row of n numbers. */
static void row_back(const job *s, size_t r, size_t n, real *dx)
{
    const at_call *c = s->c;
    const real *y = at_outp(c, 0) + r * s->W, *dy = at_dout(c, 0) ? at_dout(c, 0) + r * s->W : NULL;

    if (s->kind == AT_ROW_HARD_SAMPLE || s->kind == AT_ROW_HARD_LIKELY) {
        const real *p = at_outp(c, 2) + r * s->W, *dlogp = at_dout(c, 1), *dp = at_dout(c, 2);
        if (dlogp && dlogp[r] != 0)
            for (size_t j = 0; j < n; j++)
                dx[j] += dlogp[r] * (y[j] - p[j]);
        if (dp)
            K->softmax_back(n, p, dp + r * s->W, dx);
        return;
    }
    if (!dy || s->kind == AT_ROW_HARD_MAX)
        return;
    switch (s->kind) {
    case AT_ROW_SOFTMAX: K->softmax_back(n, y, dy, dx); break;
    case AT_ROW_SPARSEMAX: AT_REAL(at_sparsemax_row_back)(n, y, dy, dx); break;
    case AT_ROW_ENTMAX15: AT_REAL(at_entmax15_row_back)(n, y, dy, dx); break;
    case AT_ROW_SIGMOID:
        for (size_t j = 0; j < n; j++)
            if (y[j] != 0)
                dx[j] += dy[j] * y[j] * (1 - y[j]);
        break;
    default: {      /* proportional */
        double dot = 0, total = (double)at_savedp(c, 0)[r];
        for (size_t j = 0; j < n; j++)
            if (y[j] != 0)
                dot += (double)dy[j] * (double)y[j];
        for (size_t j = 0; j < n; j++)
            if (y[j] != 0)
                dx[j] += (real)(((double)dy[j] - dot) / total);
        break;
    }
    }
}

/* One row of dbias with all rows of scores that it was added to; without dbias one row of scores. */
static void unit_back(const job *s, size_t unit, real *own)
{
    const at_call *c = s->c;
    bool bias = c->in[BIAS] && at_din(c, BIAS);
    size_t ui = unit % s->unit[2], uh = unit / s->unit[2] % s->unit[1], ub = unit / s->unit[2] / s->unit[1];

    for (size_t k = 0; k < s->inner[0] * s->inner[1] * s->inner[2]; k++) {
        size_t i = ui + k % s->inner[2], h = uh + k / s->inner[2] % s->inner[1], b = ub + k / s->inner[2] / s->inner[1];
        size_t r = (b * s->H + h) * s->Tq + i;
        at_span keys = at_span_of(s->span, s->Tq, s->Tk, b, i);
        real *de = at_din(c, E) ? at_din(c, E) + r * s->W : NULL;
        if (!bias) {
            if (de)
                row_back(s, r, keys.n, de);
            continue;
        }
        memset(own, 0, keys.n * sizeof(real));
        row_back(s, r, keys.n, own);
        if (de)
            K->acc(keys.n, own, de);
        K->acc(keys.n, own, at_din(c, BIAS) + unit * s->Tk + keys.lo);
    }
}

static void backward_block(size_t begin, size_t end, void *context)
{
    const job *s = context;
    size_t units = s->unit[0] * s->unit[1] * s->unit[2];
    for (size_t block = begin; block < end; block++)
        for (size_t u = units * block / s->blocks; u < units * (block + 1) / s->blocks; u++)
            unit_back(s, u, (real *)(void *)(s->c->work + block * s->slot));
}

static void backward(const at_call *c)
{
    job s = job_of(c);
    const at_tensor *bias = c->in[BIAS] && at_din(c, BIAS) ? c->in[BIAS] : NULL;
    for (int d = 0; d < 3; d++) {
        s.unit[d] = bias ? bias->size[d] : c->out[0]->size[d];
        s.inner[d] = c->out[0]->size[d] / (s.unit[d] ? s.unit[d] : 1);
    }
    size_t rows = s.B * s.H * s.Tq, blocks = blocks_of(rows, s.W), units = s.unit[0] * s.unit[1] * s.unit[2];
    s.blocks = blocks < units ? blocks : units;
    at_for(s.blocks, 1, backward_block, &s);
}

AT_OP(attend_rows,
    .args = {{"e", AT_FLOAT}, {"bias", AT_FLOAT, .optional = true}, {"mask", AT_MASK, .optional = true},
             {"key_mask", AT_MASK, .optional = true}, {"span", AT_IDS, .optional = true},
             {"kind", AT_INTEGER}, {"keys", AT_INTEGER}, {"offset", AT_INTEGER}, {"alibi", AT_INTEGER}},
    .shape = shape, .forward = forward, .backward = backward, .outs = 3, .strided = true, .internal = true,
    .keeps = AT_KEEP(SPAN) | AT_KEEP_OUT(0) | AT_KEEP_OUT(2),
    .help = "attend_rows(e [B, H, Tq, W] [, bias, mask, key_mask, span], kind, keys, offset, alibi)"
            " -> weights [, logp, probabilities]\n"
            "Attention weights from scores: biases, masks and a distribution, row by row.");
