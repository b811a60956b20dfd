/*
 * pair_table: scores that are numbers by place: column lo + c of a query's row becomes column c.
 *
 *   t      [B or 1, Tq, H, M]: row i of head h for the keys 1..M; with 1 the batch shares it
 *   e      [B, H, Tq, W]
 *   dt     de back in its place, added up over the batch in order where it is shared
 */
#include <string.h>

#include "attn/op/attend.h"
#include "attn/core/parallel.h"
#include "attn/op/rows.h"
#include "attn/kernel/map.h"

enum { T, SPAN };
enum { BATCH, KEYS };

static bool shape(at_call *c)
{
    const at_tensor *t = c->in[T], *span = c->in[SPAN];
    size_t B = (size_t)c->arg[BATCH].integer, Tk = (size_t)c->arg[KEYS].integer;

    if (t->ndim != 4 || (t->size[0] != 1 && t->size[0] != B) || t->size[3] < Tk)
        return at_fail(c, "t does not fit %zu rows of %zu keys (t: %s)", B, Tk, at_describe(t).text);
    if (!at_span_check(c, span, B, t->size[1], Tk))
        return false;
    return at_out(c, 4, (size_t[]){B, t->size[2], t->size[1], at_span_width(span, Tk)});
}

/* One row of t, for every row of the batch that reads it. */
static void rows(size_t begin, size_t end, const at_call *c, bool back)
{
    const at_tensor *t = c->in[T], *span = c->in[SPAN];
    size_t B = c->out[0]->size[0], Tq = t->size[1], H = t->size[2], M = t->size[3], W = c->out[0]->size[3];
    size_t Tk = (size_t)c->arg[KEYS].integer;

    for (size_t r = begin; r < end; r++) {
        size_t h = r % H, i = r / H % Tq, own = r / H / Tq, last = t->size[0] == 1 ? B : own + 1;
        for (size_t b = own; b < last; b++) {
            at_span keys = at_span_of(span, Tq, Tk, b, i);
            size_t at = ((b * H + h) * Tq + i) * W, from = r * M + keys.lo;
            if (back) {
                K->map->acc(keys.n, at_dout(c, 0) + at, at_din(c, T) + from);
            } else {
                memcpy(at_outp(c, 0) + at, at_in(c, T) + from, keys.n * sizeof(real));
                memset(at_outp(c, 0) + at + keys.n, 0, (W - keys.n) * sizeof(real));
            }
        }
    }
}

static void forward_rows(size_t begin, size_t end, void *c) { rows(begin, end, c, false); }
static void backward_rows(size_t begin, size_t end, void *c) { rows(begin, end, c, true); }

static void run(const at_call *c, void (*fn)(size_t begin, size_t end, void *c))
{
    const at_tensor *t = c->in[T];
    if (at_numel(c->out[0]) > 0)
        at_for(t->size[0] * t->size[1] * t->size[2],
               at_grain_rows(c->out[0]->size[3] * (c->out[0]->size[0] / t->size[0])), fn, (void *)(uintptr_t)c);
}

static void pair_table_forward(const at_call *c) { run(c, forward_rows); }

static void pair_table_backward(const at_call *c) { run(c, backward_rows); }

AT_OP(pair_table,
      .args = {{"t", AT_FLOAT}, {"span", AT_IDS, .optional = true}, {"batch", AT_INTEGER}, {"keys", AT_INTEGER}},
      .shape = shape, .forward = pair_table_forward, .backward = pair_table_backward, .internal = true,
      .keeps = AT_KEEP(SPAN),
      .help = "pair_table(t [B or 1, Tq, H, M] [, span], batch, keys) -> [B, H, Tq, W]\n"
              "Scores read from a table by the places of query and key.");
