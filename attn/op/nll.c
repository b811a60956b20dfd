/*
 * loss.nll: -logp[target] of log-probabilities against class ids.
 *
 *   logp       [..., V]
 *   targets    [...], int64: 1..V; 0 is ignored
 *   result     mean over the rows that count (0 if none does), sum, or none: [...], 0 where ignored
 *   dlogp      -scale at the target, 0 elsewhere; logp itself is not needed
 */
#include <string.h>

#include "attn/core/op.h"
#include "attn/core/parallel.h"

enum { MEAN, SUM, NONE };

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0], *t = c->in[1];
    size_t rows = at_numel(t), V;

    if (x->ndim == 0 || x->size[x->ndim - 1] == 0)
        return at_fail(c, "logp has no classes, expected [..., V] (logp: %s)", at_describe(x).text);
    V = x->size[x->ndim - 1];
    if (t->ndim + 1 != x->ndim || memcmp(t->size, x->size, t->ndim * sizeof *t->size) != 0)
        return at_fail(c, "targets have shape %s, expected %s (logp: %s)", at_describe_shape(t->ndim, t->size).text,
                       at_describe_shape(x->ndim - 1u, x->size).text, at_describe(x).text);
    AT_PIECES(r, end, rows)
        for (; r < end; r++)
            if (at_ids(t)[r] < 0 || at_ids(t)[r] > (int64_t)V)
                return at_fail(c, "target %lld is out of range, targets are 1..%zu, 0 is ignored (targets: %s)",
                               (long long)at_ids(t)[r], V, at_describe(t).text);
    if (!at_uninterrupted(c->error))
        return false;
    return c->arg[0].integer == NONE ? at_out(c, t->ndim, t->size) : at_out(c, 0, NULL);
}

/* How many targets a sum is divided by. */
static size_t divisor(const at_call *c)
{
    size_t rows = at_numel(c->in[1]), n = 0;

    if (c->arg[0].integer != MEAN)
        return 1;
    AT_PIECES(r, end, rows)
        for (; r < end; r++)
            n += at_ids(c->in[1])[r] != 0;
    return n ? n : 1;
}

static void forward(const at_call *c)
{
    size_t rows = at_numel(c->in[1]), V = c->in[0]->size[c->in[0]->ndim - 1];
    double total = 0;

    AT_PIECES(r, end, rows)
        for (; r < end; r++) {
            int64_t t = at_ids(c->in[1])[r];
            real loss = t ? -at_in(c, 0)[r * V + (size_t)(t - 1)] : 0;
            if (c->arg[0].integer == NONE)
                at_outp(c, 0)[r] = loss;
            total += loss;
        }
    if (c->arg[0].integer != NONE)
        *at_outp(c, 0) = (real)(total / (double)divisor(c));
}

static void backward(const at_call *c)
{
    size_t rows = at_numel(c->in[1]), V = c->in[0]->size[c->in[0]->ndim - 1];
    real n = (real)divisor(c);
    bool none = c->arg[0].integer == NONE;

    AT_PIECES(r, end, rows)
        for (; r < end; r++) {
            int64_t t = at_ids(c->in[1])[r];
            if (t)
                at_din(c, 0)[r * V + (size_t)(t - 1)] -= at_dout(c, 0)[none ? r : 0] / n;
        }
}

AT_OP_NAMED(nll, "loss.nll",
            .args = {{"logp", AT_FLOAT},
                     {"targets", AT_IDS},
                     {"reduction", AT_CHOICE, .optional = true, .option = true, .choices = "mean|sum|none"}},
            .shape = shape, .forward = forward, .backward = backward, .keeps = AT_KEEP(1),
            .help = "loss.nll(logp [..., V], targets [...], {reduction = \"mean\"}) -> loss\n"
                    "-logp[target] with targets 1..V (int64); target 0 is ignored. The mean is over the targets that "
                    "count, 0 if none does; reduction \"sum\" or \"none\" (shape of the targets).");
