/*
 * pair_act: f(q + k) for every query and key of its span, f one of tanh, relu, sigmoid or nothing, kept as vectors:
 * multi-dimensional attention needs them all, and the fused additive scores have tanh only.
 *
 *   q      [B, Tq, 1, D]    k  [B, Tk, 1, D]    y  [B, Tq, W, D] by span (op/attend.h), zeros behind it
 *   dq, dk dy f'(y), summed over keys and queries in order; 0 where dy is 0, whatever y is
 */
#include <math.h>
#include <string.h>

#include "attn/op/attend.h"
#include "attn/core/parallel.h"
#include "attn/op/rows.h"
#include "attn/kernel/map.h"

enum { Q, KEY, SPAN };

static bool shape(at_call *c)
{
    const at_tensor *q = c->in[Q], *k = c->in[KEY];
    if (q->ndim != 4 || k->ndim != 4 || q->size[0] != k->size[0] || q->size[2] != 1 || k->size[2] != 1 ||
        q->size[3] != k->size[3])
        return at_fail(c, "q and k do not fit (q: %s, k: %s)", at_describe(q).text, at_describe(k).text);
    return at_span_check(c, c->in[SPAN], q->size[0], q->size[1], k->size[1]) &&
           at_out(c, 4, (size_t[]){q->size[0], q->size[1], at_span_width(c->in[SPAN], k->size[1]), q->size[3]});
}

static void activate(at_score_act f, size_t n, real *y)
{
    if (f == AT_ACT_TANH)
        K->map->vtanh(n, y, y);
    else if (f == AT_ACT_SIGMOID)
        K->map->vsigmoid(n, y, y);
    for (size_t j = 0; f == AT_ACT_RELU && j < n; j++)
        y[j] = y[j] < 0 ? 0 : y[j];
}

/* From the result: of relu 0 at 0. */
static real slope(at_score_act f, real y)
{
    switch (f) {
    case AT_ACT_TANH: return 1 - y * y;
    case AT_ACT_RELU: return y > 0;
    case AT_ACT_SIGMOID: return y * (1 - y);
    default: return 1;
    }
}

static void queries(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    at_score_act f = (at_score_act)c->arg[0].integer;
    size_t Tq = c->in[Q]->size[1], Tk = c->in[KEY]->size[1], W = c->out[0]->size[2], D = c->out[0]->size[3];
    for (size_t r = begin; r < end; r++) {
        at_span keys = at_span_of(c->in[SPAN], Tq, Tk, r / Tq, r % Tq);
        const real *q = at_in(c, Q) + r * D, *k = at_in(c, KEY) + (r / Tq * Tk + keys.lo) * D;
        real *y = at_outp(c, 0) + r * W * D;
        for (size_t j = 0; j < keys.n; j++)
            K->map->add(D, q, 1, k + j * D, 1, y + j * D);
        activate(f, keys.n * D, y);
        memset(y + keys.n * D, 0, (W - keys.n) * D * sizeof(real));
    }
}

static void pair_act_forward(const at_call *c)
{
    if (at_numel(c->out[0]) > 0)
        at_for(c->in[Q]->size[0] * c->in[Q]->size[1], at_grain_rows(c->out[0]->size[2] * c->out[0]->size[3]), queries,
               (void *)(uintptr_t)c);
}

/* One row of the batch has one writer. */
static void rows(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    at_score_act f = (at_score_act)c->arg[0].integer;
    size_t Tq = c->in[Q]->size[1], Tk = c->in[KEY]->size[1], W = c->out[0]->size[2], D = c->out[0]->size[3];
    for (size_t r = begin * Tq; r < end * Tq; r++) {
        at_span keys = at_span_of(c->in[SPAN], Tq, Tk, r / Tq, r % Tq);
        const real *y = at_outp(c, 0) + r * W * D, *dy = at_dout(c, 0) + r * W * D;
        real *dq = at_din(c, Q) ? at_din(c, Q) + r * D : NULL;
        real *dk = at_din(c, KEY) ? at_din(c, KEY) + (r / Tq * Tk + keys.lo) * D : NULL;
        for (size_t j = 0; j < keys.n * D; j++) {
            if (dy[j] == 0)
                continue;
            real g = dy[j] * slope(f, y[j]);
            if (dq)
                dq[j % D] += g;
            if (dk)
                dk[j] += g;
        }
    }
}

static void pair_act_backward(const at_call *c)
{
    if (at_numel(c->out[0]) > 0)
        at_for(c->in[Q]->size[0], 1, rows, (void *)(uintptr_t)c);
}

AT_OP(pair_act, .args = {{"q", AT_FLOAT}, {"k", AT_FLOAT}, {"span", AT_IDS, .optional = true}, {"f", AT_INTEGER}},
      .shape = shape, .forward = pair_act_forward, .backward = pair_act_backward, .internal = true,
      .keeps = AT_KEEP(SPAN) | AT_KEEP_OUT(0),
      .help = "pair_act(q [B, Tq, 1, D], k [B, Tk, 1, D] [, span], f) -> [B, Tq, W, D]\nf(q + k) of every pair.");
