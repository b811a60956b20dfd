/*
 * attend_rows: rows of scores to rows of weights: biases, distance penalties, masks and distribution in one pass.
 *
 *   e      [B, H, Tq, W]            bias   [B or 1, H or 1, Tq or 1, Tk], added; -inf in it leaves a key out
 *   mask   the shapes of bias, key_mask [B, Tk]: false leaves a key out         span: op/attend.h
 *   params of the distribution, with a leading dimension H or without
 *   y      [B, H, Tq, W] weights    logp   [B, H, Tq] and p  like y, of distributions that draw
 *
 *   x = e + bias - m_h |i - j|  (alibi: Press et al. 2022), over the keys that are left; what a row of x becomes, and its
 *   gradient, is the distribution's: row/row.h
 *
 * A key that is left out is not read: it may be NaN. With no key left the row is 0 and has no gradient, logp is 0.
 * bias gets its gradient summed over what it was broadcast over, parameters over all rows of their head, in order.
 */
#include <string.h>

#include "attn/op/attend.h"
#include "attn/core/parallel.h"
#include "attn/op/rows.h"
#include "attn/kernel/map.h"
#include "attn/row/row.h"

enum { E, BIAS, MASK, KEY_MASK, SPAN, PARAM };
enum { KIND, KEYS, OFFSET, ALIBI, DRAW, SET };

/*
 * The unit of work is a row, or with .square all rows of a head: `rows` of them, n keys each. A block of units has a slot of
 * scratch: x, mask and, for squares, y and dy, side by side; the distribution's own; gradients of parameters.
 */
typedef struct job {
    const at_call *c;
    const at_row *row;
    size_t B, H, Tq, W, Tk;
    const at_tensor *span;
    bool bare;                               /* nothing stands beside a row */
    size_t square;                           /* rows of a unit: Tq, else 1 */
    size_t blocks, slot;                     /* of scratch, in bytes */
    ptrdiff_t bias[4], mask[4], key_mask[2]; /* steps, 0 where broadcast */
    size_t param[AT_ROW_PARAMS];             /* elements of a head's parameters */
    bool by_head[AT_ROW_PARAMS];
    /* backward: rows of bias (or of scores) and how they meet */
    size_t unit[3], inner[3]; /* B, H, Tq: counts that have a row of dbias each; and what is added up within */
} job;

/* A slot of scratch. */
typedef struct slot {
    real *x, *y, *dy; /* y, dy: squares only */
    uint8_t *left;
    void *own;
    real *dparam[AT_ROW_PARAMS]; /* backward: of all heads; NULL: not wanted */
} slot;

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

static size_t params_of(const at_call *c) { return (size_t)(c->n_in - PARAM); }

/* Bytes of a slot, for units of `cells` scores. */
static size_t slot_bytes(const at_call *c, const at_row *row, size_t cells)
{
    size_t bytes = at_round64(cells * sizeof(real)) + at_round64(cells) + at_round64(cells * row->is.own_bytes);
    if (row->is.square)
        bytes += 2 * at_round64(cells * sizeof(real));
    for (size_t k = 0; k < params_of(c); k++)
        bytes += at_round64(at_numel(c->in[PARAM + k]) * sizeof(real));
    return bytes;
}

static slot slot_of(const job *s, size_t block)
{
    size_t cells = s->square * s->W;
    char *at = s->c->work + block * s->slot;
    slot own = {.x = (real *)(void *)at};
    at += at_round64(cells * sizeof(real));
    own.left = (uint8_t *)at;
    at += at_round64(cells);
    own.own = at;
    at += at_round64(cells * s->row->is.own_bytes);
    if (s->row->is.square) {
        own.y = (real *)(void *)at;
        own.dy = (real *)(void *)(at + at_round64(cells * sizeof(real)));
        at += 2 * at_round64(cells * sizeof(real));
    }
    for (size_t k = 0; k < params_of(s->c); k++) {
        own.dparam[k] = (real *)(void *)at;
        at += at_round64(at_numel(s->c->in[PARAM + k]) * sizeof(real));
    }
    return own;
}

static const at_row *row_of(const at_call *c) { return AT_REAL(at_rows)[c->arg[KIND].integer]; }

static size_t dims_of(const at_part_param *p) { return p->size[1] ? 2 : 1; }

static job job_of(const at_call *c)
{
    const at_tensor *e = c->out[0], *mask = c->in[KEY_MASK];
    const at_row *row = row_of(c);
    job s = {
        .c = c,
        .row = row,
        .B = e->size[0],
        .H = e->size[1],
        .Tq = e->size[2],
        .W = e->size[3],
        .Tk = (size_t)c->arg[KEYS].integer,
        .span = c->in[SPAN],
        .square = row->is.square ? e->size[2] : 1,
        .bare = !row->is.samples && !row->is.stats && !row->is.rereads && !row->is.part.fields && params_of(c) == 0};
    s.slot = slot_bytes(c, row, s.square * s.W);
    steps_of(c->in[BIAS], s.bias);
    steps_of(c->in[MASK], s.mask);
    if (mask)
        memcpy(s.key_mask, mask->step, sizeof s.key_mask);
    for (size_t k = 0; k < params_of(c); k++) {
        s.by_head[k] = c->in[PARAM + k]->ndim > dims_of(&row->is.part.param[k]);
        s.param[k] = at_numel(c->in[PARAM + k]) / (s.by_head[k] && s.H ? s.H : 1);
    }
    return s;
}

/* Units and the blocks they are cut into. */
static size_t units_of(const job *s) { return s->B * s->H * (s->row->is.square ? 1 : s->Tq); }

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
    const at_row *row = row_of(c);
    size_t rows = e->size[0] * e->size[1] * e->size[2], W = e->size[3], cells = W * (row->is.square ? e->size[2] : 1);
    if (W < at_span_width(c->in[SPAN], Tk))
        return at_fail(c, "e has %zu columns, fewer than the widest span (e: %s)", W, at_describe(e).text);
    if (row->is.square && e->size[2] != Tk)
        return at_fail(c, "e has %zu rows for %zu keys, expected one for each (e: %s)", e->size[2], Tk,
                       at_describe(e).text);
    at_want_scratch(c, AT_SLOTS * slot_bytes(c, row, cells) + 64); /* never none: rows of nothing are copied too */
    if (!at_out(c, 4, e->size))
        return false;
    if (row->is.samples) {
        if (c->arg[DRAW].flag)
            c->random = at_random_reserve(rows);
        if (!at_out(c, 3, e->size) || !at_out(c, 4, e->size))
            return false;
    }
    at_dtype dtype = at_call_dtype(c);
    if (!at_recording(c))
        return true;
    return (!row->is.stats || at_save(c, dtype, row->is.stats * rows)) &&
           (!row->is.rereads || (at_save(c, dtype, rows * W) && at_save(c, AT_BOOL, rows * W)));
}

/* ---- a row of scores ---- */

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

/* What stands beside row (or square) r of head h. */
static at_beside beside_of(const job *s, size_t r, size_t h)
{
    const at_call *c = s->c;
    const at_row_kind *is = &s->row->is;
    at_beside b = {.uniform = -1};
    int saved = 0;
    for (int k = 0; k < AT_ROW_FIELDS; k++)
        b.set[k] = c->arg[SET + k].number;
    for (size_t k = 0; k < params_of(c); k++)
        b.param[k] = at_in(c, PARAM + (int)k) + (s->by_head[k] ? h * s->param[k] : 0);
    if (is->samples) {
        b.logp = at_outp(c, 1) + r;
        b.p = at_outp(c, 2) + r * s->W;
        if (c->arg[DRAW].flag)
            b.uniform = at_random_bits(c->random, r) * 0x1p-32;
    }
    if (is->stats && c->n_saved > saved)
        b.stat = at_savedp(c, saved++) + r * is->stats;
    if (is->rereads && c->n_saved > saved) {
        b.x = at_savedp(c, saved) + r * s->W;
        b.left = (const uint8_t *)c->saved[saved + 1]->data + r * s->W;
    }
    return b;
}

/* What backward gets again stands where beside_of finds it: n scores and marks from the start of a row, or of each row of a square. */
static void keep(const at_beside *b, size_t n, const real *x, const uint8_t *left)
{
    if (!b->x)
        return;
    memcpy((real *)(uintptr_t)b->x, x, n * sizeof *x);
    if (left)
        memcpy((uint8_t *)(uintptr_t)b->left, left, n);
    else
        memset((uint8_t *)(uintptr_t)b->left, 1, n);
}

static void row(const job *s, size_t r, const slot *own)
{
    const at_call *c = s->c;
    size_t i = r % s->Tq, h = r / s->Tq % s->H, b = r / s->Tq / s->H;
    at_span keys = at_span_of(s->span, s->Tq, s->Tk, b, i);
    bool masked;
    const real *x = prepare(s, b, h, i, keys, own->x, own->left, &masked);
    const uint8_t *left = masked ? own->left : NULL;
    real *y = at_outp(c, 0) + r * s->W;

    memset(y + keys.n, 0, (s->W - keys.n) * sizeof(real));
    if (s->bare) {
        s->row->forward(keys.n, x, left, y, own->own, NULL);
        return;
    }
    at_beside beside = beside_of(s, r, h);
    keep(&beside, keys.n, x, left);
    if (beside.p)
        memset(beside.p + keys.n, 0, (s->W - keys.n) * sizeof(real));
    s->row->forward(keys.n, x, left, y, own->own, &beside);
}

/* Rows and columns of a square that its length leaves: those beyond are empty. */
static size_t square_size(const job *s, size_t b) { return s->Tq ? at_span_of(s->span, s->Tq, s->Tk, b, 0).n : 0; }

static void square(const job *s, size_t u, const slot *own)
{
    const at_call *c = s->c;
    size_t h = u % s->H, b = u / s->H, n = square_size(s, b), W = s->W;
    real *y = at_outp(c, 0) + u * s->Tq * W;
    bool masked = false;

    for (size_t i = 0; i < n; i++) {
        const real *x = prepare(s, b, h, i, (at_span){0, n}, own->x + i * n, own->left + i * n, &masked);
        if (x != own->x + i * n)
            memcpy(own->x + i * n, x, n * sizeof *x);
    }
    at_beside beside = beside_of(s, u * s->Tq, h);
    keep(&beside, n * n, own->x, masked ? own->left : NULL);
    s->row->forward(n, own->x, masked ? own->left : NULL, own->y, own->own, &beside);
    memset(y, 0, s->Tq * W * sizeof *y);
    for (size_t i = 0; i < n; i++)
        memcpy(y + i * W, own->y + i * n, n * sizeof *y);
}

static void forward_block(size_t begin, size_t end, void *context)
{
    const job *s = context;
    size_t units = units_of(s);
    for (size_t block = begin; block < end; block++) {
        slot own = slot_of(s, block);
        for (size_t u = units * block / s->blocks; u < units * (block + 1) / s->blocks; u++)
            if (s->row->is.square)
                square(s, u, &own);
            else
                row(s, u, &own);
    }
}

static void rows_forward(const at_call *c)
{
    job s = job_of(c);
    s.blocks = blocks_of(units_of(&s), s.square * s.W);
    at_for(s.blocks, 1, forward_block, &s);
}

/* ---- backward ---- */

static void beside_back(const job *s, size_t r, size_t h, const slot *own, at_beside *b)
{
    const at_call *c = s->c;
    *b = beside_of(s, r, h);
    if (s->row->is.samples) {
        b->dlogp = at_dout(c, 1) ? at_dout(c, 1) + r : NULL;
        b->dp = at_dout(c, 2) ? at_dout(c, 2) + r * s->W : NULL;
    }
    for (size_t k = 0; k < params_of(c); k++)
        b->dparam[k] = at_din(c, PARAM + (int)k) ? own->dparam[k] + (s->by_head[k] ? h * s->param[k] : 0) : NULL;
}

/* dx (+)= the gradient of a row of n numbers. */
static void row_back(const job *s, size_t r, size_t n, real *dx, const slot *own)
{
    const at_call *c = s->c;
    const real *y = at_outp(c, 0) + r * s->W, *dy = at_dout(c, 0) ? at_dout(c, 0) + r * s->W : NULL;

    if (!s->row->backward || (!dy && !s->row->is.samples))
        return;
    if (s->bare) {
        s->row->backward(n, y, dy, dx, own->own, NULL);
        return;
    }
    at_beside beside;
    beside_back(s, r, r / s->Tq % s->H, own, &beside);
    s->row->backward(n, y, dy, dx, own->own, &beside);
}

/* One row of dbias with all rows of scores that it was added to; without dbias one row of scores. */
static void unit_back(const job *s, size_t unit, const slot *own)
{
    const at_call *c = s->c;
    bool bias = c->in[BIAS] && at_din(c, BIAS);
    size_t ui = unit % s->unit[2], uh = unit / s->unit[2] % s->unit[1], ub = unit / s->unit[2] / s->unit[1];

    for (size_t k = 0; k < s->inner[0] * s->inner[1] * s->inner[2]; k++) {
        size_t i = ui + k % s->inner[2], h = uh + k / s->inner[2] % s->inner[1], b = ub + k / s->inner[2] / s->inner[1];
        size_t r = (b * s->H + h) * s->Tq + i;
        at_span keys = at_span_of(s->span, s->Tq, s->Tk, b, i);
        real *de = at_din(c, E) ? at_din(c, E) + r * s->W : NULL;
        if (!bias && de) {
            row_back(s, r, keys.n, de, own);
            continue;
        }
        memset(own->x, 0, keys.n * sizeof(real));
        row_back(s, r, keys.n, own->x, own);
        if (de)
            K->map->acc(keys.n, own->x, de);
        if (bias)
            K->map->acc(keys.n, own->x, at_din(c, BIAS) + unit * s->Tk + keys.lo);
    }
}

static void square_back(const job *s, size_t u, const slot *own)
{
    const at_call *c = s->c;
    size_t h = u % s->H, b = u / s->H, n = square_size(s, b), W = s->W, at = u * s->Tq * W;
    const real *y = at_outp(c, 0) + at, *dy = at_dout(c, 0) ? at_dout(c, 0) + at : NULL;
    real *de = at_din(c, E) ? at_din(c, E) + at : NULL, *dbias = c->in[BIAS] ? at_din(c, BIAS) : NULL;

    if (!s->row->backward || !dy)
        return;
    for (size_t i = 0; i < n; i++) {
        memcpy(own->y + i * n, y + i * W, n * sizeof *y);
        memcpy(own->dy + i * n, dy + i * W, n * sizeof *dy);
    }
    at_beside beside;
    beside_back(s, u * s->Tq, h, own, &beside);
    memset(own->x, 0, n * n * sizeof *own->x);
    s->row->backward(n, own->y, own->dy, own->x, own->own, &beside);
    for (size_t i = 0; i < n; i++) {
        if (de)
            K->map->acc(n, own->x + i * n, de + i * W);
        if (dbias) {
            const size_t *size = c->in[BIAS]->size;
            size_t bb = size[0] == 1 ? 0 : b, bh = size[1] == 1 ? 0 : h, bi = size[2] == 1 ? 0 : i;
            K->map->acc(n, own->x + i * n, dbias + ((bb * size[1] + bh) * size[2] + bi) * s->Tk);
        }
    }
}

static void backward_block(size_t begin, size_t end, void *context)
{
    const job *s = context;
    size_t units = s->unit[0] * s->unit[1] * s->unit[2];
    for (size_t block = begin; block < end; block++) {
        slot own = slot_of(s, block);
        for (size_t k = 0; k < params_of(s->c); k++)
            memset(own.dparam[k], 0, at_numel(s->c->in[PARAM + k]) * sizeof(real));
        for (size_t u = units * block / s->blocks; u < units * (block + 1) / s->blocks; u++)
            if (s->row->is.square)
                square_back(s, u, &own);
            else
                unit_back(s, u, &own);
    }
}

static void rows_backward(const at_call *c)
{
    job s = job_of(c);
    const at_tensor *bias = c->in[BIAS] && at_din(c, BIAS) ? c->in[BIAS] : NULL;
    size_t blocks = blocks_of(units_of(&s), s.square * s.W);
    for (int d = 0; d < 3; d++) {
        s.unit[d] = s.row->is.square && d == 2 ? 1 : bias && !s.row->is.square ? bias->size[d] : c->out[0]->size[d];
        s.inner[d] = c->out[0]->size[d] / (s.unit[d] ? s.unit[d] : 1);
    }
    size_t units = s.unit[0] * s.unit[1] * s.unit[2];
    s.blocks = s.row->is.square && bias ? at_min_size(units, 1)
                                        : at_min_size(blocks, units); /* squares may share a row of dbias */
    at_for(s.blocks, 1, backward_block, &s);
    for (size_t block = 0; block < s.blocks; block++) {
        slot own = slot_of(&s, block);
        for (size_t k = 0; k < params_of(c); k++)
            if (at_din(c, PARAM + (int)k))
                K->map->acc(at_numel(c->in[PARAM + k]), own.dparam[k], at_din(c, PARAM + (int)k));
    }
}

AT_OP(attend_rows,
      .args = {{"e", AT_FLOAT},
               {"bias", AT_FLOAT, .optional = true},
               {"mask", AT_MASK, .optional = true},
               {"key_mask", AT_MASK, .optional = true},
               {"span", AT_IDS, .optional = true},
               {"params", AT_LIST, .optional = true},
               {"kind", AT_INTEGER},
               {"keys", AT_INTEGER},
               {"offset", AT_INTEGER},
               {"alibi", AT_INTEGER},
               {"draw", AT_FLAG},
               {"first", AT_NUMBER},
               {"second", AT_NUMBER}},
      .shape = shape, .forward = rows_forward, .backward = rows_backward, .outs = 3, .strided = true, .internal = true,
      .keeps = AT_KEEP(SPAN) | AT_KEEP(PARAM) | AT_KEEP(PARAM + 1) | AT_KEEP_OUT(0) | AT_KEEP_OUT(2),
      .help = "attend_rows(e [B, H, Tq, W] [, bias, mask, key_mask, span], params, kind, keys, offset, alibi, draw,"
              " first, second) -> weights [, logp, probabilities]\n"
              "Attention weights from scores: biases, masks and a distribution, row by row.");
