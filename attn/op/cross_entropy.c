/*
 * loss.cross_entropy: of the softmax of logits against class ids.
 *
 *   logits     [..., V]
 *   targets    [...], int64: 1..V; 0 is ignored
 *   weight     [V], of the classes; 1 without it
 *   per row    (1 - s) w_t (lse - x_t) + s mean_v w_v (lse - x_v),  lse = log sum exp x, s the smoothing
 *   result     mean over the rows that count, by the weights of their targets (0 if none does), sum, or none: [...], 0
 *              where ignored
 *   dx         scale (A softmax(x) - (1 - s) w_t onehot(t) - s w / V),  A = (1 - s) w_t + s mean_v w_v
 *
 * The softmax is never stored: two numbers per row, its maximum and the sum of exp(x - max), are enough to make the
 * gradient in one pass over the logits.
 */
#include <string.h>

#include "attn/op/rows.h"
#include "attn/kernel/softmax.h"

#include "attn/op/class_weight.h"

enum { MEAN, SUM, NONE };

static size_t rows_of(const at_call *c) { return at_numel(c->in[1]); }
static size_t classes(const at_call *c) { return c->in[0]->size[c->in[0]->ndim - 1]; }

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0], *t = c->in[1];
    double s = c->arg[0].number;
    size_t V;

    if (x->ndim == 0 || x->size[x->ndim - 1] == 0)
        return at_fail(c, "logits have no classes, expected [..., V] (logits: %s)", at_describe(x).text);
    V = classes(c);
    if (t->ndim + 1 != x->ndim || memcmp(t->size, x->size, t->ndim * sizeof *t->size) != 0)
        return at_fail(c, "targets have shape %s, expected %s (logits: %s)", at_describe_shape(t->ndim, t->size).text,
                       at_describe_shape(x->ndim - 1u, x->size).text, at_describe(x).text);
    if (!(s >= 0 && s <= 1))
        return at_fail(c, "smoothing is %.14g, expected 0..1", s);
    AT_PIECES(r, end, rows_of(c))
    for (; r < end; r++)
        if (at_ids(t)[r] < 0 || at_ids(t)[r] > (int64_t)V)
            return at_fail(c, "target %lld is out of range, targets are 1..%zu, 0 is ignored (targets: %s)",
                           (long long)at_ids(t)[r], V, at_describe(t).text);
    if (!at_class_weight_fits(c, 2, V) || !at_uninterrupted(c->error))
        return false;
    at_want_scratch(c, rows_of(c) * sizeof(double));
    return at_save(c, AT_REAL_DTYPE, 2 * rows_of(c)) &&
           (c->arg[1].integer == NONE ? at_out(c, t->ndim, t->size) : at_out(c, 0, NULL));
}

/* What the row of target t (from 0) is worth altogether: A above. */
static double share_of(const at_call *c, double mean, size_t t)
{
    double s = c->arg[0].number;
    return (1 - s) * at_class_weight(c, 2, t) + s * mean;
}

/* The mean weight: with smoothing every class counts. */
static double mean_weight(const at_call *c)
{
    double sum = 0;
    for (size_t v = 0; v < classes(c); v++)
        sum += at_class_weight(c, 2, v);
    return sum / (double)classes(c);
}

static double weighted_loss(const at_call *c, const real *x, size_t t, double mean, real *saved)
{
    size_t V = classes(c);
    double s = c->arg[0].number, plain = K->softmax->cross_entropy(V, x, t, 0, saved), other = 0;

    for (size_t v = 0; s != 0 && v < V; v++)
        other += at_class_weight(c, 2, v) * ((double)x[t] - x[v]);
    return share_of(c, mean, t) * plain + (s != 0 ? s * other / (double)V : 0);
}

static void weighted_gradient(const at_call *c, const real *x, size_t t, double mean, real *saved, real dy, real *dx)
{
    size_t V = classes(c);
    double s = c->arg[0].number, share = share_of(c, mean, t);

    K->softmax->cross_entropy_back(V, x, t, 0, saved, (real)(dy * share), dx, !at_is_fresh(c, 0));
    for (size_t v = 0; s != 0 && v < V; v++)
        dx[v] -= (real)(dy * s * at_class_weight(c, 2, v) / (double)V);
    if (s != 0)
        dx[t] += (real)(dy * s * mean); /* the product above took it off too */
}

static void losses(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    size_t V = classes(c);
    double *loss = (double *)(void *)c->work, mean = c->in[2] ? mean_weight(c) : 1;

    for (size_t r = begin; r < end; r++) {
        int64_t t = at_ids(c->in[1])[r];
        if (t != 0 && c->in[2])
            loss[r] = weighted_loss(c, at_in(c, 0) + r * V, (size_t)(t - 1), mean, at_savedp(c, 0) + 2 * r);
        else
            loss[r] = t == 0 ? 0
                             : K->softmax->cross_entropy(V, at_in(c, 0) + r * V, (size_t)(t - 1),
                                                         (real)c->arg[0].number, at_savedp(c, 0) + 2 * r);
    }
}

static void cross_entropy_forward(const at_call *c)
{
    size_t rows = rows_of(c);
    const double *loss = (const double *)(const void *)c->work;
    double total = 0;

    at_for(rows, at_grain_rows(classes(c)), losses, (void *)(uintptr_t)c);
    if (c->arg[1].integer == NONE) {
        for (size_t r = 0; r < rows; r++)
            at_outp(c, 0)[r] = (real)loss[r];
        return;
    }
    for (size_t r = 0; r < rows; r++)
        total += loss[r];
    double n = c->arg[1].integer == MEAN ? at_weight_of_targets(c, 1, 2) : 1;
    *at_outp(c, 0) = (real)(n != 0 ? total / n : 0);
}

static void gradients(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    size_t V = classes(c);
    bool none = c->arg[1].integer == NONE;
    real share = *(const real *)(const void *)c->work;
    double mean = c->in[2] ? mean_weight(c) : 1;

    for (size_t r = begin; r < end; r++) {
        int64_t t = at_ids(c->in[1])[r];
        real *dx = at_din(c, 0) + r * V;
        if (t != 0 && c->in[2])
            weighted_gradient(c, at_in(c, 0) + r * V, (size_t)(t - 1), mean, at_savedp(c, 0) + 2 * r,
                              none ? at_dout(c, 0)[r] : share, dx);
        else if (t != 0)
            K->softmax->cross_entropy_back(
                V, at_in(c, 0) + r * V, (size_t)(t - 1), (real)c->arg[0].number, at_savedp(c, 0) + 2 * r,
                none ? at_dout(c, 0)[r] : share, dx, !at_is_fresh(c, 0));
        else if (at_is_fresh(c, 0))
            memset(dx, 0, V * sizeof(real));
    }
}

static void cross_entropy_backward(const at_call *c)
{
    double n = c->arg[1].integer == MEAN ? at_weight_of_targets(c, 1, 2) : 1;

    if (rows_of(c) == 0)
        return;
    /* work holds at least one double: the factor common to all rows */
    *(real *)(void *)c->work = n != 0 && c->arg[1].integer != NONE ? *at_dout(c, 0) / (real)n : 0;
    at_for(rows_of(c), at_grain_rows(classes(c)), gradients, (void *)(uintptr_t)c);
}

AT_OP_NAMED(
    cross_entropy, "loss.cross_entropy",
    .args = {{"logits", AT_FLOAT},
             {"targets", AT_IDS},
             {"weight", AT_FLOAT, .option = true},
             {"smoothing", AT_NUMBER, .optional = true, .option = true},
             {"reduction", AT_CHOICE, .optional = true, .option = true, .choices = "mean|sum|none"}},
    .shape = shape, .forward = cross_entropy_forward, .backward = cross_entropy_backward, .fresh = true,
    .keeps = AT_KEEP(0) | AT_KEEP(1) | AT_KEEP(2),
    .help =
        "loss.cross_entropy(logits [..., V], targets [...], {weight =, smoothing = 0, reduction = \"mean\"}) -> loss\n"
        "-log softmax(logits)[target] with targets 1..V (int64); target 0 is ignored. Smoothing s: 1 - s of "
        "it, and s times the mean over all classes. weight [V]: what each class counts, in the sum and in what the "
        "mean "
        "divides by. The mean is over the targets that count, 0 if none does; "
        "reduction \"sum\" or \"none\" (shape of the targets).");
