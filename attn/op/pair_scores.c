/*
 * pair_scores: a score for every query and key of its span, from prepared rows.
 *
 *   q      [B, Tq, H, D]    k  [B, Tk, Hk, D]    v  [D] or [H, D], additive only    span: op/attend.h
 *   e      [B, H, Tq, W]    dot        scale <q, k>
 *                           additive   <v, tanh(q + k)>
 *                           distance   -scale |q - k|^2
 *
 * Nothing of size Tq x Tk x D is stored: the backward pass takes tanh and differences again. A key whose gradient is
 * 0 because it is masked adds nothing to any gradient, even when it is NaN: products of whole matrices serve while q
 * and k are finite, otherwise the rows are walked and zeros skipped. Additive rows go through the pair kernel. The
 * rows of k may stand apart in memory (a cache has room behind them).
 */
#include <math.h>
#include <string.h>

#include "attn/op/attend.h"
#include "attn/core/gemm.h"
#include "attn/core/parallel.h"
#include "attn/op/rows.h"
#include "attn/kernel/map.h"
#include "attn/kernel/pair.h"
#include "attn/kernel/reduce.h"

enum { Q, KEY, V, SPAN };
enum { FEW = 4 }; /* fewer heads in the whole batch: the product is spread over the pool, not the heads */

typedef struct job {
    size_t B, Tq, Tk, H, Hk, D, W, group;
    at_pair_kind kind;
    real scale;
    size_t batch; /* numbers from the keys of one row to those of the next */
    const real *q, *k, *v;
    const at_tensor *span;
    real *e;
    const real *de;
    real *dq, *dk, *dv; /* dv: [B, H, D] to be added up over B */
} job;

static bool shape(at_call *c)
{
    for (int i = 0; i < c->n_in; i++)
        if (!at_rows_dense(c, i, i == KEY))
            return false;
    const at_tensor *q = c->in[Q], *k = c->in[KEY], *v = c->in[V], *span = c->in[SPAN];

    if (q->ndim != 4 || k->ndim != 4 || q->size[0] != k->size[0] || q->size[3] != k->size[3] || k->size[2] == 0 ||
        q->size[2] % k->size[2] != 0)
        return at_fail(c, "q and k do not fit (q: %s, k: %s)", at_describe(q).text, at_describe(k).text);
    if (c->arg[0].integer == AT_PAIR_ADDITIVE && (!v || at_numel(v) != q->size[2] * q->size[3]))
        return at_fail(c, "v does not fit (q: %s)", at_describe(q).text);
    if (!at_span_check(c, span, q->size[0], q->size[1], k->size[1]))
        return false;
    if (v && at_recording(c))
        at_want_scratch(c, q->size[0] * q->size[2] * q->size[3] * sizeof(real));
    return at_out(c, 4, (size_t[]){q->size[0], q->size[2], q->size[1], at_span_width(span, k->size[1])});
}

static job job_of(const at_call *c)
{
    const at_tensor *q = c->in[Q], *k = c->in[KEY];
    return (job){
        .B = q->size[0],
        .Tq = q->size[1],
        .H = q->size[2],
        .D = q->size[3],
        .Tk = k->size[1],
        .Hk = k->size[2],
        .W = c->out[0]->size[3],
        .batch = (size_t)k->step[0],
        .group = q->size[2] / k->size[2],
        .kind = (at_pair_kind)c->arg[0].integer,
        .scale = (real)c->arg[1].number,
        .q = at_in(c, Q),
        .k = at_in(c, KEY),
        .v = c->in[V] ? at_in(c, V) : NULL,
        .span = c->in[SPAN]};
}

static const real *query_of(const job *s, size_t b, size_t i, size_t h)
{
    return s->q + ((b * s->Tq + i) * s->H + h) * s->D;
}
static size_t key_at(const job *s, size_t b, size_t j, size_t hk) { return b * s->batch + (j * s->Hk + hk) * s->D; }
static size_t dkey_at(const job *s, size_t b, size_t j, size_t hk) { return ((b * s->Tk + j) * s->Hk + hk) * s->D; }
static size_t score_at(const job *s, size_t b, size_t h, size_t i) { return ((b * s->H + h) * s->Tq + i) * s->W; }

/* ---- forward ---- */

static void score_row(const job *s, size_t b, size_t h, size_t i)
{
    at_span keys = at_span_of(s->span, s->Tq, s->Tk, b, i);
    const real *q = query_of(s, b, i, h), *k = s->k + key_at(s, b, keys.lo, h / s->group);
    real *e = s->e + score_at(s, b, h, i);
    size_t ld = s->Hk * s->D;

    if (s->kind == AT_PAIR_ADDITIVE) {
        K->pair->additive(keys.n, s->D, q, k, ld, s->v + h * s->D, e);
    } else if (s->kind == AT_PAIR_DOT) {
        for (size_t j = 0; j < keys.n; j++)
            e[j] = s->scale * (real)K->reduce->dot(s->D, q, k + j * ld);
    } else {
        for (size_t j = 0; j < keys.n; j++) {
            double sum = 0;
            for (size_t d = 0; d < s->D; d++) {
                double x = (double)q[d] - (double)k[j * ld + d];
                sum += x * x;
            }
            e[j] = (real)(-(double)s->scale * sum);
        }
    }
    memset(e + keys.n, 0, (s->W - keys.n) * sizeof(real));
}

static void score_rows(size_t begin, size_t end, void *context)
{
    const job *s = context;
    for (size_t r = begin; r < end; r++)
        score_row(s, r / s->Tq / s->H, r / s->Tq % s->H, r % s->Tq);
}

static void score_heads(size_t begin, size_t end, void *context)
{
    const job *s = context;
    for (size_t p = begin; p < end; p++) {
        size_t b = p / s->H, h = p % s->H, n = at_span_row_width(s->span, s->Tq, s->Tk, b);
        real *e = s->e + score_at(s, b, h, 0);
        if (n > 0)
            real_gemm(false, true, s->Tq, n, s->D, s->scale, query_of(s, b, 0, h), s->H * s->D,
                      s->k + key_at(s, b, 0, h / s->group), s->Hk * s->D, 0, e, s->W);
        for (size_t i = 0; n < s->W && i < s->Tq; i++)
            memset(e + i * s->W + n, 0, (s->W - n) * sizeof(real));
    }
}

static void pair_scores_forward(const at_call *c)
{
    job s = job_of(c);

    s.e = at_outp(c, 0);
    if (at_numel(c->out[0]) == 0)
        return;
    if (s.kind == AT_PAIR_DOT && s.D > 0 && at_span_aligned(s.span)) {
        if (s.B * s.H < FEW)
            score_heads(0, s.B * s.H, &s);
        else
            at_for(s.B * s.H, 1, score_heads, &s);
    } else {
        at_for(s.B * s.H * s.Tq, at_grain_rows(s.W * s.D), score_rows, &s);
    }
}

/* ---- backward: one key head of one row of the batch has one writer ---- */

static void pair_back(const job *s, real de, const real *q, const real *k, real *dq, real *dk)
{
    if (de == 0)
        return;
    if (s->kind == AT_PAIR_DOT) {
        if (dq)
            K->map->axpy(s->D, s->scale * de, k, dq);
        if (dk)
            K->map->axpy(s->D, s->scale * de, q, dk);
        return;
    }
    real g = -2 * s->scale * de;
    for (size_t d = 0; d < s->D; d++) {
        real x = g * (q[d] - k[d]);
        if (dq)
            dq[d] += x;
        if (dk)
            dk[d] -= x;
    }
}

static void back_rows(size_t begin, size_t end, void *context)
{
    const job *s = context;
    size_t ld = s->Hk * s->D;
    for (size_t p = begin; p < end; p++)
        for (size_t r = 0; r < s->group * s->Tq; r++) {
            size_t b = p / s->Hk, hk = p % s->Hk, h = hk * s->group + r / s->Tq, i = r % s->Tq;
            at_span keys = at_span_of(s->span, s->Tq, s->Tk, b, i);
            size_t at = key_at(s, b, keys.lo, hk), row = (size_t)(query_of(s, b, i, h) - s->q);
            const real *de = s->de + score_at(s, b, h, i);
            real *dq = s->dq ? s->dq + row : NULL, *dk = s->dk ? s->dk + dkey_at(s, b, keys.lo, hk) : NULL;
            if (s->kind == AT_PAIR_ADDITIVE) {
                K->pair->additive_back(keys.n, s->D, s->q + row, s->k + at, ld, s->v + h * s->D, de, dq, dk, ld,
                                       s->dv ? s->dv + (b * s->H + h) * s->D : NULL);
                continue;
            }
            for (size_t j = 0; j < keys.n; j++)
                pair_back(s, de[j], s->q + row, s->k + at + j * ld, dq, dk ? dk + j * ld : NULL);
        }
}

static void back_heads(size_t begin, size_t end, void *context)
{
    const job *s = context;
    size_t ldq = s->H * s->D, ldk = s->Hk * s->D;
    for (size_t p = begin; p < end; p++)
        for (size_t r = 0; r < s->group; r++) {
            size_t b = p / s->Hk, hk = p % s->Hk, h = hk * s->group + r, at = key_at(s, b, 0, hk);
            size_t n = at_span_row_width(s->span, s->Tq, s->Tk, b), row = (size_t)(query_of(s, b, 0, h) - s->q);
            const real *de = s->de + score_at(s, b, h, 0);
            if (n == 0)
                continue;
            if (s->dq)
                real_gemm(false, false, s->Tq, s->D, n, s->scale, de, s->W, s->k + at, ldk, 1, s->dq + row, ldq);
            if (s->dk)
                real_gemm(true, false, n, s->D, s->Tq, s->scale, de, s->W, s->q + row, ldq, 1,
                          s->dk + dkey_at(s, b, 0, hk), ldk);
        }
}

static void pair_scores_backward(const at_call *c)
{
    job s = job_of(c);
    real *dv = c->in[V] ? at_din(c, V) : NULL;

    s.de = at_dout(c, 0);
    s.dq = at_din(c, Q);
    s.dk = at_din(c, KEY);
    if (at_numel(c->out[0]) == 0 || s.D == 0)
        return;
    if (dv) {
        s.dv = (real *)(void *)c->work;
        memset(s.dv, 0, s.B * s.H * s.D * sizeof(real));
    }
    bool whole = s.kind == AT_PAIR_DOT && at_span_aligned(s.span) && isfinite(K->reduce->sum(at_numel(c->in[Q]), s.q));
    for (size_t b = 0; whole && b < s.B; b++)
        whole = isfinite(K->reduce->sum(s.Tk * s.Hk * s.D, s.k + key_at(&s, b, 0, 0)));
    if (!whole)
        at_for(s.B * s.Hk, 1, back_rows, &s);
    else if (s.B * s.Hk < FEW)
        back_heads(0, s.B * s.Hk, &s);
    else
        at_for(s.B * s.Hk, 1, back_heads, &s);
    for (size_t b = 0; dv && b < s.B; b++)
        K->map->acc(s.H * s.D, s.dv + b * s.H * s.D, dv);
}

static double flops(const at_call *c, bool back)
{
    return 2.0 * (double)at_numel(c->out[0]) * (double)c->in[Q]->size[3] *
           (back ? at_gradients_wanted(c, Q, KEY + 1) : 1);
}

AT_OP(pair_scores,
      .args = {{"q", AT_FLOAT},
               {"k", AT_FLOAT},
               {"v", AT_FLOAT, .optional = true},
               {"span", AT_IDS, .optional = true},
               {"kind", AT_INTEGER},
               {"scale", AT_NUMBER}},
      .shape = shape, .flops = flops, .forward = pair_scores_forward, .backward = pair_scores_backward, .strided = true,
      .internal = true, .keeps = AT_KEEP(Q) | AT_KEEP(KEY) | AT_KEEP(V) | AT_KEEP(SPAN),
      .help = "pair_scores(q [B, Tq, H, D], k [B, Tk, Hk, D] [, v, span], kind, scale) -> [B, H, Tq, W]\n"
              "Scores of every query with the keys of its span: dot product, additive tanh, or negative squared "
              "distance.");
