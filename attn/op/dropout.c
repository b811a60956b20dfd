/*
 * dropout: y_i = x_i / (1 - p) with probability 1 - p, else 0 (Srivastava et al. 2014).
 *
 *   x, y   any shape
 *   dx     dy / (1 - p) at the same places
 *
 * No mask is kept: which elements stay is a function of a stretch of the random stream that `shape` reserves, and the
 * backward pass asks it again. The function always drops; layers call it in training only.
 */
#include "attn/core/random.h"
#include "attn/op/rows.h"
#include "attn/kernel/random.h"

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    double p = c->arg[0].number;

    if (!(p >= 0 && p <= 1))
        return at_fail(c, "p is %.14g, expected 0..1", p);
    if (!at_out(c, x->ndim, x->size))
        return false;
    c->random = at_random_reserve(at_numel(x));
    return true;
}

static void block(size_t begin, size_t end, void *context)
{
    const at_map *m = context;
    const at_call *c = m->context;
    double stay = 1 - c->arg[0].number;

    K->random->dropout(c->random.seed, c->random.counter, begin, end - begin, at_random_threshold(stay),
                       stay > 0 ? (real)(1 / stay) : 0, m->a + begin, m->y + begin, !m->fresh);
}

static void dropout_forward(const at_call *c)
{
    at_map m = {.a = at_in(c, 0), .y = at_outp(c, 0), .fresh = true, .context = c};
    at_for(at_numel(c->out[0]), AT_GRAIN, block, &m);
}

static void dropout_backward(const at_call *c)
{
    at_map m = {.a = at_dout(c, 0), .y = at_din(c, 0), .fresh = at_is_fresh(c, 0), .context = c};
    at_for(at_numel(c->out[0]), AT_GRAIN, block, &m);
}

AT_OP(
    dropout, .args = {{"x", AT_FLOAT}, {"p", AT_NUMBER, .optional = true, .value = 0.5}}, .shape = shape,
    .forward = dropout_forward, .backward = dropout_backward, .fresh = true, .keeps = AT_KEEP_NOTHING,
    .gradient = AT_SEEDED,
    .help =
        "dropout(x, p = 0.5) -> y like x\n"
        "Each element 0 with probability p, else divided by 1 - p. Always drops: the layer does so in training only.");
