/*
 * Losses of one number against another, element by element: loss.mse, loss.bce, loss.bce_logits, loss.kl.
 *
 *   mse          (x - t)^2
 *   bce          -(t log p + (1 - t) log(1 - p)); logarithms are cut off at -100, so that p of 0 and 1 are finite
 *   bce_logits   the same of p = sigmoid(x): max(x, 0) - x t + log(1 + exp(-|x|))
 *   kl           t (log t - logp), 0 where t = 0
 *
 * x and t have one shape. The mean is over all elements; a target of 0 is a number like any other here. Both x and t
 * get gradients. Sums are taken in double, in blocks of AT_GRAIN elements and over the blocks in order.
 */
#include <string.h>
#include <tgmath.h>

#include "attn/op/rows.h"

enum { MEAN, SUM, NONE };

typedef enum kind { MSE, BCE, BCE_LOGITS, KL } kind;

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0], *t = c->in[1];

    if (!at_same_shape(x, t))
        return at_fail(c, "target has shape %s, expected %s (%s: %s)", at_describe_shape(t->ndim, t->size).text,
                       at_describe_shape(x->ndim, x->size).text, c->op->args[0].name, at_describe(x).text);
    if (c->arg[0].integer == NONE)
        return at_out(c, x->ndim, x->size);
    at_want_scratch(c, (at_numel(x) / AT_GRAIN + 1) * sizeof(double));
    return at_out(c, 0, NULL);
}

static real cut_log(real p)
{
    real y = log(p);
    return y < -100 ? -100 : y;
}

static real value(kind op, real x, real t)
{
    switch (op) {
    case MSE: return (x - t) * (x - t);
    case BCE: return -(t * cut_log(x) + (1 - t) * cut_log(1 - x));
    case BCE_LOGITS: return (x > 0 ? x : x == x ? 0 : x) - x * t + log1p(exp(-fabs(x)));
    default: return t == 0 ? 0 : t * (log(t) - x);
    }
}

static real slope(kind op, real x, real t)
{
    switch (op) {
    case MSE: return 2 * (x - t);
    case BCE: return (x - t) / (x * (1 - x) > (real)1e-12 ? x * (1 - x) : (real)1e-12);
    case BCE_LOGITS: return (x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x))) - t;
    default: return -t;
    }
}

static real target_slope(kind op, real x, real t)
{
    switch (op) {
    case MSE: return 2 * (t - x);
    case BCE: return cut_log(1 - x) - cut_log(x);
    case BCE_LOGITS: return -x;
    default: return t == 0 ? 0 : log(t) - x + 1;
    }
}

typedef struct job {
    const at_call *c;
    kind op;
    real scale;             /* of the gradient, where the result is one number */
} job;

static void values(size_t begin, size_t end, void *context)
{
    const job *j = context;
    const real *x = at_in(j->c, 0), *t = at_in(j->c, 1);
    double total = 0;

    if (j->c->arg[0].integer == NONE) {
        for (size_t i = begin; i < end; i++)
            at_outp(j->c, 0)[i] = value(j->op, x[i], t[i]);
        return;
    }
    for (size_t i = begin; i < end; i++)
        total += value(j->op, x[i], t[i]);
    ((double *)(void *)j->c->work)[begin / AT_GRAIN] = total;
}

static void forward(const at_call *c, kind op)
{
    size_t n = at_numel(c->in[0]);
    double total = 0;

    at_for(n, AT_GRAIN, values, &(job){.c = c, .op = op});
    if (c->arg[0].integer == NONE)
        return;
    for (size_t i = 0; i * AT_GRAIN < n; i++)
        total += ((const double *)(const void *)c->work)[i];
    *at_outp(c, 0) = (real)(c->arg[0].integer == MEAN ? total / (double)n : total);
}

static void slopes(size_t begin, size_t end, void *context)
{
    const job *j = context;
    const real *x = at_in(j->c, 0), *t = at_in(j->c, 1), *dy = at_dout(j->c, 0);
    bool none = j->c->arg[0].integer == NONE;

    for (int k = 0; k < 2; k++) {
        real *dx = at_din(j->c, k);
        bool fresh = at_is_fresh(j->c, k);
        for (size_t i = begin; dx && i < end; i++) {
            real d = (k ? target_slope : slope)(j->op, x[i], t[i]) * (none ? dy[i] : j->scale);
            dx[i] = fresh ? d : dx[i] + d;
        }
    }
}

static void backward(const at_call *c, kind op)
{
    size_t n = at_numel(c->in[0]);
    job j = {.c = c, .op = op};

    if (n == 0)
        return;
    if (c->arg[0].integer != NONE)
        j.scale = c->arg[0].integer == MEAN ? *at_dout(c, 0) / (real)n : *at_dout(c, 0);
    at_for(n, AT_GRAIN, slopes, &j);
}

#define LOSS(id, op, first, text)                                                                                   \
    static void id##_forward(const at_call *c) { forward(c, op); }                                                  \
    static void id##_backward(const at_call *c) { backward(c, op); }                                                \
    AT_OP_NAMED(id, "loss." #id,                                                                                    \
        .args = {{first, AT_FLOAT}, {"target", AT_FLOAT},                                                           \
                 {"reduction", AT_CHOICE, .optional = true, .option = true, .choices = "mean|sum|none"}},           \
        .shape = shape, .forward = id##_forward, .backward = id##_backward, .fresh = true,                          \
        .keeps = AT_KEEP(0) | AT_KEEP(1),                                                                           \
        .help = "loss." #id "(" first ", target, {reduction = \"mean\"}) -> loss\n" text                            \
                " Shapes must be equal; reduction \"mean\" over all elements, \"sum\", or \"none\" (same shape).")

LOSS(mse, MSE, "x", "(x - target)^2.");
LOSS(bce, BCE, "p", "-(target log p + (1 - target) log(1 - p)), p a probability; logarithms are cut off at -100.");
LOSS(bce_logits, BCE_LOGITS, "x", "-(target log p + (1 - target) log(1 - p)) with p = sigmoid(x), without overflow.");
LOSS(kl, KL, "logp", "target (log target - logp), 0 where the target is 0.");
