/*
 * loss.nll: -logp[target] of log-probabilities against class ids.
 *
 *   logp       [..., V]
 *   targets    [...], int64: 1..V; 0 is ignored
 *   weight     [V], of the classes; 1 without it
 *   per row    -(1 - s) w_t logp_t - s mean_v w_v logp_v, s the smoothing
 *   result     mean over the rows that count, by the weights of their targets (0 if none does), sum, or none: [...], 0
 *              where ignored
 *   dlogp      -scale (1 - s) w_t at the target, -scale s w_v / V everywhere; logp itself is not needed
 */
#include <string.h>

#include "attn/core/op.h"
#include "attn/core/parallel.h"
#include "attn/op/class_weight.h"

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
    if (!(c->arg[1].number >= 0 && c->arg[1].number <= 1))
        return at_fail(c, "smoothing is %.14g, expected 0..1", c->arg[1].number);
    if (!at_class_weight_fits(c, 2, V) || !at_uninterrupted(c->error))
        return false;
    return c->arg[0].integer == NONE ? at_out(c, t->ndim, t->size) : at_out(c, 0, NULL);
}

static double divisor(const at_call *c)
{
    double sum = c->arg[0].integer == MEAN ? at_weight_of_targets(c, 1, 2) : 1;

    return sum != 0 ? sum : 1;
}

static double row_loss(const at_call *c, const real *logp, size_t V, size_t t)
{
    double s = c->arg[1].number, loss = s == 1 ? 0 : (1 - s) * at_class_weight(c, 2, t) * -(double)logp[t], others = 0;

    for (size_t v = 0; s != 0 && v < V; v++)
        others -= at_class_weight(c, 2, v) * (double)logp[v];
    return s != 0 ? loss + s * others / (double)V : loss;
}

static void nll_forward(const at_call *c)
{
    size_t rows = at_numel(c->in[1]), V = c->in[0]->size[c->in[0]->ndim - 1];
    double total = 0;

    AT_PIECES(r, end, rows)
    for (; r < end; r++) {
        int64_t t = at_ids(c->in[1])[r];
        double loss = t ? row_loss(c, at_in(c, 0) + r * V, V, (size_t)(t - 1)) : 0;
        if (c->arg[0].integer == NONE)
            at_outp(c, 0)[r] = (real)loss;
        total += loss;
    }
    if (c->arg[0].integer != NONE)
        *at_outp(c, 0) = (real)(total / divisor(c));
}

static void nll_backward(const at_call *c)
{
    size_t rows = at_numel(c->in[1]), V = c->in[0]->size[c->in[0]->ndim - 1];
    double n = divisor(c), s = c->arg[1].number;
    bool none = c->arg[0].integer == NONE;

    AT_PIECES(r, end, rows)
    for (; r < end; r++) {
        int64_t t = at_ids(c->in[1])[r];
        real *dx = at_din(c, 0) + r * V;
        double dy = (double)at_dout(c, 0)[none ? r : 0] / n;
        if (!t)
            continue;
        dx[t - 1] -= (real)(dy * (1 - s) * at_class_weight(c, 2, (size_t)(t - 1)));
        for (size_t v = 0; s != 0 && v < V; v++)
            dx[v] -= (real)(dy * s * at_class_weight(c, 2, v) / (double)V);
    }
}

AT_OP_NAMED(
    nll, "loss.nll",
    .args = {{"logp", AT_FLOAT},
             {"targets", AT_IDS},
             {"weight", AT_FLOAT, .option = true},
             {"reduction", AT_CHOICE, .optional = true, .option = true, .choices = "mean|sum|none"},
             {"smoothing", AT_NUMBER, .optional = true, .option = true}},
    .shape = shape, .forward = nll_forward, .backward = nll_backward, .keeps = AT_KEEP(1) | AT_KEEP(2),
    .help = "loss.nll(logp [..., V], targets [...], {weight =, smoothing = 0, reduction = \"mean\"}) -> loss\n"
            "-logp[target] with targets 1..V (int64); target 0 is ignored. weight [V]: what each class counts. "
            "Smoothing s: "
            "1 - s of it, and s times the mean over all classes. The mean is over the targets that count, by weight, "
            "0 if none does; reduction \"sum\" or \"none\" (shape of the targets).");
