/*
 * Losses of one number against another, element by element: loss.mse, loss.l1, loss.huber, loss.bce, loss.bce_logits,
 * loss.kl.
 *
 *   mse          (x - t)^2
 *   l1           |x - t|; no gradient where they are equal
 *   huber        d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2), d = x - t
 *   bce          -(t log p + (1 - t) log(1 - p)); logarithms are cut off at -100, so that p of 0 and 1 are finite
 *   bce_logits   the same of p = sigmoid(x): max(x, 0) - x t + log(1 + exp(-|x|))
 *   kl           t (log t - logp), 0 where t = 0
 *
 * bce_logits has smoothing s, which makes a target t (1 - s) + s / 2, and weights of the classes, the last dimension.
 * x and t have one shape. The mean is over all elements; a target of 0 is a number like any other here. Both x and t
 * get gradients. Sums are taken in double, in blocks of AT_GRAIN elements and over the blocks in order.
 */
#include <string.h>
#include <tgmath.h>

#include "attn/op/class_weight.h"
#include "attn/op/rows.h"

enum { MEAN, SUM, NONE };

enum { REDUCTION, DELTA, SMOOTHING = DELTA };

typedef enum kind { MSE, L1, HUBER, BCE, BCE_LOGITS, KL } kind;

/* Whether the loss has weights and smoothing: the inputs and arguments behind the common ones. */
static bool smoothed(const at_call *c) { return c->op->args[3].kind == AT_FLOAT; }

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0], *t = c->in[1];

    if (c->op->args[3].kind == AT_NUMBER && !(c->arg[DELTA].number > 0))
        return at_fail(c, "delta is %.14g, expected more than 0", c->arg[DELTA].number);
    if (!at_same_shape(x, t))
        return at_fail(c, "%s has shape %s, expected %s (%s: %s)", c->op->args[1].name,
                       at_describe_shape(t->ndim, t->size).text, at_describe_shape(x->ndim, x->size).text,
                       c->op->args[0].name, at_describe(x).text);
    if (smoothed(c)) {
        if (!(c->arg[SMOOTHING].number >= 0 && c->arg[SMOOTHING].number <= 1))
            return at_fail(c, "smoothing is %.14g, expected 0..1", c->arg[SMOOTHING].number);
        if (c->in[2] && x->ndim == 0)
            return at_fail(c, "x is a scalar, expected classes as its last dimension (x: %s)", at_describe(x).text);
        if (c->in[2] && !at_class_weight_fits(c, 2, x->size[x->ndim - 1]))
            return false;
    }
    if (c->arg[REDUCTION].integer == NONE)
        return at_out(c, x->ndim, x->size);
    at_want_scratch(c, (at_numel(x) / AT_GRAIN + 1) * sizeof(double));
    return at_out(c, 0, NULL);
}

static real cut_log(real p)
{
    real y = log(p);
    return y < -100 ? -100 : y;
}

/* delta is huber's */
static real value(kind op, real delta, real x, real t)
{
    switch (op) {
    case MSE: return (x - t) * (x - t);
    case L1: return fabs(x - t);
    case HUBER: return fabs(x - t) <= delta ? (x - t) * (x - t) / 2 : delta * (fabs(x - t) - delta / 2);
    case BCE: return -(t * cut_log(x) + (1 - t) * cut_log(1 - x));
    case BCE_LOGITS: return (x > 0 ? x : x == x ? 0 : x) - x * t + log1p(exp(-fabs(x)));
    default: return t == 0 ? 0 : t * (log(t) - x);
    }
}

static real slope(kind op, real delta, real x, real t)
{
    switch (op) {
    case MSE: return 2 * (x - t);
    case L1: return x > t ? 1 : x < t ? -1 : x - t;
    case HUBER: return x - t > delta ? delta : x - t < -delta ? -delta : x - t;
    case BCE: return (x - t) / (x * (1 - x) > (real)1e-12 ? x * (1 - x) : (real)1e-12);
    case BCE_LOGITS: return (x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x))) - t;
    default: return -t;
    }
}

static real target_slope(kind op, real delta, real x, real t)
{
    switch (op) {
    case MSE:
    case L1:
    case HUBER: return -slope(op, delta, x, t);
    case BCE: return cut_log(1 - x) - cut_log(x);
    case BCE_LOGITS: return -x;
    default: return t == 0 ? 0 : log(t) - x + 1;
    }
}

typedef struct job {
    const at_call *c;
    kind op;
    real scale; /* of the gradient, where the result is one number */
    real smoothing;
    const real *weight;
    size_t classes;
} job;

static job job_of(const at_call *c, kind op)
{
    job j = {.c = c, .op = op};
    if (smoothed(c)) {
        j.smoothing = (real)c->arg[SMOOTHING].number;
        j.weight = c->in[2] ? at_in(c, 2) : NULL;
        j.classes = j.weight ? c->in[2]->size[0] : 1;
    }
    return j;
}

static real target(const job *j, real t) { return j->smoothing != 0 ? t * (1 - j->smoothing) + j->smoothing / 2 : t; }
static real weight(const job *j, size_t i) { return j->weight ? j->weight[i % j->classes] : 1; }

static void values(size_t begin, size_t end, void *context)
{
    const job *j = context;
    const real *x = at_in(j->c, 0), *t = at_in(j->c, 1);
    real delta = (real)j->c->arg[DELTA].number;
    double total = 0;

    if (j->c->arg[REDUCTION].integer == NONE) {
        for (size_t i = begin; i < end; i++)
            at_outp(j->c, 0)[i] = weight(j, i) * value(j->op, delta, x[i], target(j, t[i]));
        return;
    }
    for (size_t i = begin; i < end; i++)
        total += weight(j, i) * value(j->op, delta, x[i], target(j, t[i]));
    ((double *)(void *)j->c->work)[begin / AT_GRAIN] = total;
}

static void loss_forward(const at_call *c, kind op)
{
    size_t n = at_numel(c->in[0]);
    double total = 0;

    job j = job_of(c, op);
    at_for(n, AT_GRAIN, values, &j);
    if (c->arg[REDUCTION].integer == NONE)
        return;
    for (size_t i = 0; i * AT_GRAIN < n; i++)
        total += ((const double *)(const void *)c->work)[i];
    *at_outp(c, 0) = (real)(c->arg[REDUCTION].integer == MEAN ? total / (double)n : total);
}

static void slopes(size_t begin, size_t end, void *context)
{
    const job *j = context;
    const real *x = at_in(j->c, 0), *t = at_in(j->c, 1), *dy = at_dout(j->c, 0);
    bool none = j->c->arg[REDUCTION].integer == NONE;
    real delta = (real)j->c->arg[DELTA].number;

    for (int k = 0; k < 2; k++) {
        real *dx = at_din(j->c, k);
        bool fresh = at_is_fresh(j->c, k);
        real inner = k ? 1 - j->smoothing : 1;
        for (size_t i = begin; dx && i < end; i++) {
            real d = (k ? target_slope : slope)(j->op, delta, x[i], target(j, t[i])) * (none ? dy[i] : j->scale);
            d *= inner * weight(j, i);
            dx[i] = fresh ? d : dx[i] + d;
        }
    }
}

static void loss_backward(const at_call *c, kind op)
{
    size_t n = at_numel(c->in[0]);
    job j = job_of(c, op);

    if (n == 0)
        return;
    if (c->arg[REDUCTION].integer != NONE)
        j.scale = c->arg[REDUCTION].integer == MEAN ? *at_dout(c, 0) / (real)n : *at_dout(c, 0);
    at_for(n, AT_GRAIN, slopes, &j);
}

#define LOSS(id, op, x, t, own_args, own_help, text)                                                                   \
    static void id##_forward(const at_call *c) { loss_forward(c, op); }                                                \
    static void id##_backward(const at_call *c) { loss_backward(c, op); }                                              \
    AT_OP_NAMED(                                                                                                       \
        id, "loss." #id,                                                                                               \
        .args = {{x, AT_FLOAT},                                                                                        \
                 {t, AT_FLOAT},                                                                                        \
                 {"reduction", AT_CHOICE, .optional = true, .option = true, .choices = "mean|sum|none"} own_args},     \
        .shape = shape, .forward = id##_forward, .backward = id##_backward, .fresh = true,                             \
        .keeps = AT_KEEP(0) | AT_KEEP(1) | AT_KEEP(2),                                                                 \
        .help = "loss." #id "(" x ", " t ", {reduction = \"mean\"" own_help "}) -> loss\n" text                        \
                " Shapes must be equal; reduction \"mean\" over all elements, \"sum\", or \"none\" (same shape).")
#define NOTHING

LOSS(mse, MSE, "x", "target", NOTHING, "", "(x - target)^2.");
LOSS(l1, L1, "x", "y", NOTHING, "", "|x - y|, with gradient 0 where they are equal.");
#define DELTA_ARG                                                                                                      \
    , { "delta", AT_NUMBER, .optional = true, .option = true, .value = 1 }
LOSS(huber, HUBER, "x", "y", DELTA_ARG, ", delta = 1",
     "(x - y)^2 / 2 where |x - y| is at most delta, delta (|x - y| - delta / 2) elsewhere (Huber 1964).");
LOSS(bce, BCE, "p", "target", NOTHING, "",
     "-(target log p + (1 - target) log(1 - p)), p a probability; logarithms are cut off at -100.");
#define WEIGHT_ARGS                                                                                                    \
    , {"weight", AT_FLOAT, .option = true}, { "smoothing", AT_NUMBER, .optional = true, .option = true }
LOSS(bce_logits, BCE_LOGITS, "x", "target", WEIGHT_ARGS, ", weight =, smoothing = 0",
     "-(target log p + (1 - target) log(1 - p)) with p = sigmoid(x), without overflow. weight [K]: what each class, "
     "the last "
     "dimension, counts; smoothing s: a target t is t (1 - s) + s / 2.");
LOSS(kl, KL, "logp", "target", NOTHING, "", "target (log target - logp), 0 where the target is 0.");
