/*
 * attend_gauss: weights times a Gaussian around a predicted place                     (Luong et al. 2015, eq. 10)
 *
 *   a      [B, H, Tq, W] by span    p  [B, Tq]: places from 1, real numbers    span: op/attend.h
 *   y      a_s exp(-(s - p)^2 / (2 sigma^2)), s the key's number
 *   da     dy times the factor;  dp = sum over heads and keys of dy y (s - p) / sigma^2, in order
 */
#include <math.h>
#include <string.h>

#include "attn/op/attend.h"
#include "attn/core/parallel.h"
#include "attn/op/rows.h"

enum { A, P, SPAN };
enum { KEYS };

static bool shape(at_call *c)
{
    const at_tensor *a = c->in[A], *p = c->in[P];
    if (p->ndim != 2 || p->size[0] != a->size[0] || p->size[1] != a->size[2])
        return at_fail(c, "p does not fit (a: %s, p: %s)", at_describe(a).text, at_describe(p).text);
    return at_span_check(c, c->in[SPAN], a->size[0], a->size[2], (size_t)c->arg[KEYS].integer) && at_out(c, 4, a->size);
}

/* One query with all its heads. */
static void queries(size_t begin, size_t end, const at_call *c, bool back)
{
    const at_tensor *a = c->in[A];
    size_t H = a->size[1], Tq = a->size[2], W = a->size[3];
    double sigma = c->arg[1].number, scale = 1 / (sigma * sigma);

    for (size_t q = begin; q < end; q++) {
        size_t b = q / Tq, i = q % Tq;
        at_span keys = at_span_of(c->in[SPAN], Tq, (size_t)c->arg[KEYS].integer, b, i);
        double p = (double)at_in(c, P)[q], dp = 0;
        for (size_t h = 0; h < H; h++) {
            size_t at = ((b * H + h) * Tq + i) * W;
            for (size_t j = 0; j < keys.n; j++) {
                double x = (double)(keys.lo + j + 1) - p, factor = exp(-0.5 * scale * x * x);
                if (!back) {
                    at_outp(c, 0)[at + j] = at_in(c, A)[at + j] == 0 ? 0 : (real)((double)at_in(c, A)[at + j] * factor);
                    continue;
                }
                double dy = (double)at_dout(c, 0)[at + j], w = (double)at_in(c, A)[at + j];
                if (w == 0)
                    continue;
                if (at_din(c, A))
                    at_din(c, A)[at + j] += (real)(dy * factor);
                dp += dy * w * factor * scale * x;
            }
            if (!back)
                memset(at_outp(c, 0) + at + keys.n, 0, (W - keys.n) * sizeof(real));
        }
        if (back && at_din(c, P))
            at_din(c, P)[q] += (real)dp;
    }
}

static void forward_queries(size_t begin, size_t end, void *c) { queries(begin, end, c, false); }
static void backward_queries(size_t begin, size_t end, void *c) { queries(begin, end, c, true); }

static void run(const at_call *c, void (*fn)(size_t begin, size_t end, void *c))
{
    const at_tensor *a = c->in[A];
    at_for(a->size[0] * a->size[2], at_grain_rows(16 * a->size[1] * a->size[3]), fn, (void *)(uintptr_t)c);
}

static void attend_gauss_forward(const at_call *c) { run(c, forward_queries); }

static void attend_gauss_backward(const at_call *c) { run(c, backward_queries); }

AT_OP(attend_gauss,
      .args = {{"a", AT_FLOAT}, {"p", AT_FLOAT}, {"span", AT_IDS}, {"keys", AT_INTEGER}, {"sigma", AT_NUMBER}},
      .shape = shape, .forward = attend_gauss_forward, .backward = attend_gauss_backward, .internal = true,
      .keeps = AT_KEEP(A) | AT_KEEP(P) | AT_KEEP(SPAN),
      .help = "attend_gauss(a [B, H, Tq, W], p [B, Tq], span, keys, sigma) -> like a\n"
              "Weights times a Gaussian around the place p.");
