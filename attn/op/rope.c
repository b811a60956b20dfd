/*
 * rope: neighbouring features turned by an angle that grows with the place      (Su et al. 2021)
 *
 *   x      [B, T, H, D], D even
 *   y      (y_2i-1, y_2i) = (x_2i-1 cos t - x_2i sin t, x_2i-1 sin t + x_2i cos t),  t = place 10000^(-2 (i - 1) / D)
 *   dx     dy turned back
 *
 * Places count from `first` (0 for the beginning of a sequence). Angles are taken in double: a place in the
 * thousands has few digits left in float.
 */
#include <math.h>

#include "attn/core/parallel.h"
#include "attn/op/rows.h"

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    if (x->ndim != 4 || x->size[3] % 2 != 0)
        return at_fail(c, "x has shape %s, expected [B, T, H, D] with an even D",
                       at_describe_shape(x->ndim, x->size).text);
    return at_out(c, 4, x->size);
}

/* One place in all rows of the batch, so that its angles are taken once. */
static void places(size_t begin, size_t end, const at_call *c, bool back)
{
    const at_tensor *x = c->in[0];
    size_t B = x->size[0], T = x->size[1], H = x->size[2], D = x->size[3];
    const real *from = back ? at_dout(c, 0) : at_in(c, 0);
    real *to = back ? at_din(c, 0) : at_outp(c, 0);

    for (size_t t = begin; t < end; t++)
        for (size_t d = 0; d < D; d += 2) {
            double angle = (double)(c->arg[0].integer + (int64_t)t) * pow(10000, -(double)d / (double)D);
            real cosine = (real)cos(angle), sine = (real)sin(angle);
            for (size_t p = 0; p < B * H; p++) {
                size_t at = ((p / H * T + t) * H + p % H) * D + d;
                real a = from[at], b = from[at + 1];
                if (back) {
                    to[at] += a * cosine + b * sine;
                    to[at + 1] += b * cosine - a * sine;
                } else {
                    to[at] = a * cosine - b * sine;
                    to[at + 1] = a * sine + b * cosine;
                }
            }
        }
}

static void forward_places(size_t begin, size_t end, void *c) { places(begin, end, c, false); }
static void backward_places(size_t begin, size_t end, void *c) { places(begin, end, c, true); }

static void run(const at_call *c, void (*fn)(size_t begin, size_t end, void *c))
{
    const at_tensor *x = c->in[0];
    if (at_numel(x) > 0)
        at_for(x->size[1], at_grain_rows(x->size[0] * x->size[2] * x->size[3] + 32 * x->size[3]), fn,
               (void *)(uintptr_t)c);
}

static void rope_forward(const at_call *c) { run(c, forward_places); }

static void rope_backward(const at_call *c) { run(c, backward_places); }

AT_OP(rope, .args = {{"x", AT_FLOAT}, {"first", AT_INTEGER}}, .shape = shape, .forward = rope_forward,
      .backward = rope_backward, .internal = true, .keeps = AT_KEEP_NOTHING,
      .help = "rope(x [B, T, H, D], first) -> like x\nRotary positions: pairs of features turned by the place.");
