/*
 * attend_expand: weights by span to weights by key.
 *
 *   a      [B, H, Tq, W] by span    y  [B, H, Tq, Tk], 0 outside the span    span: op/attend.h
 *   da     dy of the span
 */
#include <string.h>

#include "attn/op/attend.h"
#include "attn/core/parallel.h"
#include "attn/op/rows.h"
#include "attn/kernel/map.h"

static bool shape(at_call *c)
{
    const at_tensor *a = c->in[0];
    size_t Tk = (size_t)c->arg[0].integer;
    return at_span_check(c, c->in[1], a->size[0], a->size[2], Tk) &&
           at_out(c, 4, (size_t[]){a->size[0], a->size[1], a->size[2], Tk});
}

static void rows(size_t begin, size_t end, const at_call *c, bool back)
{
    const at_tensor *y = c->out[0], *a = c->in[0];
    size_t H = y->size[1], Tq = y->size[2], Tk = y->size[3], W = a->size[3];
    for (size_t r = begin; r < end; r++) {
        at_span keys = at_span_of(c->in[1], Tq, Tk, r / Tq / H, r % Tq);
        if (back) {
            K->map->acc(keys.n, at_dout(c, 0) + r * Tk + keys.lo, at_din(c, 0) + r * W);
            continue;
        }
        real *to = at_outp(c, 0) + r * Tk;
        memset(to, 0, keys.lo * sizeof(real));
        memcpy(to + keys.lo, at_in(c, 0) + r * W, keys.n * sizeof(real));
        memset(to + keys.lo + keys.n, 0, (Tk - keys.lo - keys.n) * sizeof(real));
    }
}

static void forward_rows(size_t begin, size_t end, void *c) { rows(begin, end, c, false); }
static void backward_rows(size_t begin, size_t end, void *c) { rows(begin, end, c, true); }

static void run(const at_call *c, void (*fn)(size_t begin, size_t end, void *c))
{
    const at_tensor *y = c->out[0];
    at_for(y->size[0] * y->size[1] * y->size[2], at_grain_rows(y->size[3]), fn, (void *)(uintptr_t)c);
}

static void attend_expand_forward(const at_call *c) { run(c, forward_rows); }

static void attend_expand_backward(const at_call *c) { run(c, backward_rows); }

AT_OP(attend_expand, .args = {{"a", AT_FLOAT}, {"span", AT_IDS}, {"keys", AT_INTEGER}}, .shape = shape,
      .forward = attend_expand_forward, .backward = attend_expand_backward, .internal = true, .keeps = AT_KEEP(1),
      .help = "attend_expand(a [B, H, Tq, W], span, keys) -> [B, H, Tq, keys]\n"
              "Weights stored by span, in the places of their keys.");
