/*
 * score_act: y = f(e + b), f one of tanh, relu, sigmoid, log(x^2), 1 / (1 + sqrt(-x)).
 *
 *   e, y   [B, H, Tq, W]
 *   b      one number per head ([1] or [H, 1]), may be left out
 *   de     dy f'(e + b), and 0 wherever dy is 0: a masked score may be NaN or infinite without harm
 *   db     sum of de, over each head in order
 *
 * log(x^2) is -inf at 0: a key of weight 0 without gradient. 1 / (1 + sqrt(-x)), of minus a squared distance, has none at 0.
 */
#include <tgmath.h>

#include "attn/op/attend.h"
#include "attn/core/parallel.h"
#include "attn/op/rows.h"

static bool shape(at_call *c)
{
    const at_tensor *e = c->in[0], *b = c->in[1];
    if (e->ndim != 4 || (b && at_numel(b) != 1 && at_numel(b) != e->size[1]))
        return at_fail(c, "b does not fit (e: %s)", at_describe(e).text);
    if (b && at_recording(c))
        at_want_scratch(c, e->size[0] * e->size[1] * sizeof(double));
    return at_out(c, 4, e->size);
}

static real bias_of(const at_call *c, size_t head)
{
    const at_tensor *b = c->in[1];
    return !b ? 0 : at_in(c, 1)[at_numel(b) == 1 ? 0 : head % c->in[0]->size[1]];
}

static void forward_heads(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    size_t n = c->in[0]->size[2] * c->in[0]->size[3];
    for (size_t p = begin; p < end; p++) {
        const real *e = at_in(c, 0) + p * n;
        real *y = at_outp(c, 0) + p * n, b = bias_of(c, p);
        for (size_t i = 0; i < n; i++) {
            real x = e[i] + b;
            switch ((at_score_act)c->arg[0].integer) {
            case AT_ACT_TANH: y[i] = tanh(x); break;
            case AT_ACT_RELU: y[i] = x < 0 ? 0 : x; break;
            case AT_ACT_SIGMOID: y[i] = 1 / (1 + exp(-x)); break;
            case AT_ACT_LOG_SQUARE: y[i] = 2 * log(fabs(x)); break;
            case AT_ACT_INVERSE: y[i] = 1 / (1 + sqrt(-x)); break;
            default: y[i] = x; break;
            }
        }
    }
}

static void score_act_forward(const at_call *c)
{
    at_for(c->in[0]->size[0] * c->in[0]->size[1], at_grain_rows(16 * c->in[0]->size[2] * c->in[0]->size[3]),
           forward_heads, (void *)(uintptr_t)c);
}

static real slope(at_score_act f, real x, real y)
{
    switch (f) {
    case AT_ACT_TANH: return 1 - y * y;
    case AT_ACT_RELU: return x > 0;
    case AT_ACT_SIGMOID: return y * (1 - y);
    case AT_ACT_LOG_SQUARE: return isinf(2 / x) ? 0 : 2 / x; /* at 0 and where it is beyond the type */
    case AT_ACT_INVERSE: return x < 0 ? y * y / (2 * sqrt(-x)) : 0;
    default: return 1;
    }
}

static void backward_heads(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    size_t n = c->in[0]->size[2] * c->in[0]->size[3];
    double *sums = c->in[1] && at_din(c, 1) ? (double *)(void *)c->work : NULL;
    for (size_t p = begin; p < end; p++) {
        const real *e = at_in(c, 0) + p * n, *y = at_outp(c, 0) + p * n, *dy = at_dout(c, 0) + p * n;
        real *de = at_din(c, 0) ? at_din(c, 0) + p * n : NULL, b = bias_of(c, p);
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            if (dy[i] == 0)
                continue;
            real g = dy[i] * slope((at_score_act)c->arg[0].integer, e[i] + b, y[i]);
            if (de)
                de[i] += g;
            sum += (double)g;
        }
        if (sums)
            sums[p] = sum;
    }
}

static void score_act_backward(const at_call *c)
{
    size_t heads = c->in[0]->size[0] * c->in[0]->size[1];
    at_for(heads, at_grain_rows(4 * c->in[0]->size[2] * c->in[0]->size[3]), backward_heads, (void *)(uintptr_t)c);
    if (!c->in[1] || !at_din(c, 1))
        return;
    const double *sums = (const double *)(const void *)c->work;
    for (size_t k = 0, m = at_numel(c->in[1]); k < m; k++) {
        double sum = 0;
        for (size_t p = k; p < heads; p += m)
            sum += sums[p];
        at_din(c, 1)[k] += (real)sum;
    }
}

AT_OP(score_act, .args = {{"e", AT_FLOAT}, {"b", AT_FLOAT, .optional = true}, {"f", AT_INTEGER}}, .shape = shape,
      .forward = score_act_forward, .backward = score_act_backward, .internal = true,
      .help = "score_act(e [B, H, Tq, W] [, b], f) -> like e\nAn activation of scores, behind a bias per head.");
