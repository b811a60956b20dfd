/*
 * attend_context: values summed with weights.
 *
 *   a      [B, H, Tq, W] by span    v  [B, Tk, Hk, D]    span: op/attend.h
 *   c      [B, Tq, H, D]            c_i = sum_j a_ij v_j
 *   da     <dc_i, v_j>, and 0 where a is 0
 *   dv     sum_i a_ij dc_i
 *
 * A weight of 0 takes nothing from its value, not even NaN: products of whole matrices serve while v is finite,
 * otherwise rows are walked and zeros skipped. The rows of v may stand apart in memory (a cache has room behind
 * them). The 0 in da does no harm: a distribution's gradient is flat or has a factor of a there.
 */
#include <math.h>

#include "attn/op/attend.h"
#include "attn/core/gemm.h"
#include "attn/core/parallel.h"
#include "attn/op/rows.h"
#include "attn/kernel/map.h"
#include "attn/kernel/pair.h"
#include "attn/kernel/reduce.h"

enum { A, V, SPAN };
enum { FEW = 4 }; /* fewer heads in the whole batch: the product is spread over the pool, not the heads */

typedef struct job {
    size_t B, Tq, Tk, H, Hk, D, W, group;
    size_t batch; /* numbers from the values of one row to those of the next */
    const real *a, *v, *dc;
    const at_tensor *span;
    real *c, *da, *dv;
} job;

static bool shape(at_call *c)
{
    for (int i = 0; i < c->n_in; i++)
        if (!at_rows_dense(c, i, i == V))
            return false;
    const at_tensor *a = c->in[A], *v = c->in[V];

    if (a->ndim != 4 || v->ndim != 4 || a->size[0] != v->size[0] || v->size[2] == 0 || a->size[1] % v->size[2] != 0)
        return at_fail(c, "a and v do not fit (a: %s, v: %s)", at_describe(a).text, at_describe(v).text);
    if (!at_span_check(c, c->in[SPAN], a->size[0], a->size[2], v->size[1]))
        return false;
    if (a->size[3] < at_span_width(c->in[SPAN], v->size[1]))
        return at_fail(c, "a has fewer columns than the widest span (a: %s)", at_describe(a).text);
    return at_out(c, 4, (size_t[]){a->size[0], a->size[2], a->size[1], v->size[3]});
}

static job job_of(const at_call *c)
{
    const at_tensor *a = c->in[A], *v = c->in[V];
    return (job){
        .B = a->size[0],
        .H = a->size[1],
        .Tq = a->size[2],
        .W = a->size[3],
        .Tk = v->size[1],
        .Hk = v->size[2],
        .D = v->size[3],
        .group = a->size[1] / v->size[2],
        .a = at_in(c, A),
        .v = at_in(c, V),
        .span = c->in[SPAN],
        .batch = (size_t)v->step[0]};
}

static size_t context_at(const job *s, size_t b, size_t i, size_t h) { return ((b * s->Tq + i) * s->H + h) * s->D; }
static size_t value_at(const job *s, size_t b, size_t j, size_t hk) { return b * s->batch + (j * s->Hk + hk) * s->D; }
static size_t dvalue_at(const job *s, size_t b, size_t j, size_t hk) { return ((b * s->Tk + j) * s->Hk + hk) * s->D; }
static size_t weight_at(const job *s, size_t b, size_t h, size_t i) { return ((b * s->H + h) * s->Tq + i) * s->W; }

static bool whole(const job *s)
{
    bool finite = s->Tq > 3 && at_span_aligned(s->span); /* a few rows: looking costs as much as the product */
    for (size_t b = 0; finite && b < s->B; b++)
        finite = isfinite(K->reduce->sum(s->Tk * s->Hk * s->D, s->v + value_at(s, b, 0, 0)));
    return finite;
}

/* ---- forward ---- */

static void context_rows(size_t begin, size_t end, void *context)
{
    const job *s = context;
    for (size_t r = begin; r < end; r++) {
        size_t i = r % s->Tq, h = r / s->Tq % s->H, b = r / s->Tq / s->H;
        at_span keys = at_span_of(s->span, s->Tq, s->Tk, b, i);
        K->pair->context(keys.n, s->D, s->a + weight_at(s, b, h, i), s->v + value_at(s, b, keys.lo, h / s->group),
                         s->Hk * s->D, s->c + context_at(s, b, i, h), false);
    }
}

static void context_heads(size_t begin, size_t end, void *context)
{
    const job *s = context;
    for (size_t p = begin; p < end; p++) {
        size_t b = p / s->H, h = p % s->H, n = at_span_row_width(s->span, s->Tq, s->Tk, b);
        real_gemm(false, false, s->Tq, s->D, n, 1, s->a + weight_at(s, b, h, 0), s->W,
                  s->v + value_at(s, b, 0, h / s->group), s->Hk * s->D, 0, s->c + context_at(s, b, 0, h), s->H * s->D);
    }
}

static void attend_context_forward(const at_call *c)
{
    job s = job_of(c);

    s.c = at_outp(c, 0);
    if (at_numel(c->out[0]) == 0)
        return;
    if (!whole(&s))
        at_for(s.B * s.H * s.Tq, at_grain_rows(s.W * s.D), context_rows, &s);
    else if (s.B * s.H < FEW)
        context_heads(0, s.B * s.H, &s);
    else
        at_for(s.B * s.H, 1, context_heads, &s);
}

/* ---- backward: one head of the values of one row of the batch has one writer ---- */

static void back_rows(size_t begin, size_t end, void *context)
{
    const job *s = context;
    size_t ld = s->Hk * s->D;
    for (size_t p = begin; p < end; p++)
        for (size_t r = 0; r < s->group * s->Tq; r++) {
            size_t b = p / s->Hk, hk = p % s->Hk, h = hk * s->group + r / s->Tq, i = r % s->Tq;
            at_span keys = at_span_of(s->span, s->Tq, s->Tk, b, i);
            size_t weights = weight_at(s, b, h, i), values = value_at(s, b, keys.lo, hk),
                   dvalues = dvalue_at(s, b, keys.lo, hk);
            const real *dc = s->dc + context_at(s, b, i, h);
            for (size_t j = 0; j < keys.n; j++) {
                real a = s->a[weights + j];
                if (a == 0)
                    continue;
                if (s->da)
                    s->da[weights + j] += (real)K->reduce->dot(s->D, dc, s->v + values + j * ld);
                if (s->dv)
                    K->map->axpy(s->D, a, dc, s->dv + dvalues + j * ld);
            }
        }
}

static void back_heads(size_t begin, size_t end, void *context)
{
    const job *s = context;
    for (size_t p = begin; p < end; p++)
        for (size_t r = 0; r < s->group; r++) {
            size_t b = p / s->Hk, hk = p % s->Hk, h = hk * s->group + r,
                   n = at_span_row_width(s->span, s->Tq, s->Tk, b);
            size_t weights = weight_at(s, b, h, 0), values = value_at(s, b, 0, hk);
            const real *dc = s->dc + context_at(s, b, 0, h);
            if (n == 0)
                continue;
            if (s->da)
                real_gemm(false, true, s->Tq, n, s->D, 1, dc, s->H * s->D, s->v + values, s->Hk * s->D, 1,
                          s->da + weights, s->W);
            if (s->dv)
                real_gemm(true, false, n, s->D, s->Tq, 1, s->a + weights, s->W, dc, s->H * s->D, 1,
                          s->dv + dvalue_at(s, b, 0, hk), s->Hk * s->D);
        }
}

static void attend_context_backward(const at_call *c)
{
    job s = job_of(c);

    s.dc = at_dout(c, 0);
    s.da = at_din(c, A);
    s.dv = at_din(c, V);
    if (at_numel(c->out[0]) == 0)
        return;
    if (!whole(&s))
        at_for(s.B * s.Hk, 1, back_rows, &s);
    else if (s.B * s.Hk < FEW)
        back_heads(0, s.B * s.Hk, &s);
    else
        at_for(s.B * s.Hk, 1, back_heads, &s);
}

static double flops(const at_call *c, bool back)
{
    return 2.0 * (double)at_numel(c->in[A]) * (double)c->in[V]->size[3] * (back ? at_gradients_wanted(c, A, V + 1) : 1);
}

AT_OP(
    attend_context, .args = {{"a", AT_FLOAT}, {"v", AT_FLOAT}, {"span", AT_IDS, .optional = true}}, .shape = shape,
    .flops = flops, .forward = attend_context_forward, .backward = attend_context_backward, .strided = true,
    .internal = true, .keeps = AT_KEEP(A) | AT_KEEP(V) | AT_KEEP(SPAN),
    .help = "attend_context(a [B, H, Tq, W], v [B, Tk, Hk, D] [, span]) -> [B, Tq, H, D]\nThe weighted sum of values.");
