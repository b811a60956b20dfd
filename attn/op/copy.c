/*
 * loss.copy: -log p(target) of a model that generates a word or copies one of the source (See et al. 2017, eq. 9).
 *
 *   p(y) = g softmax(logits)_y [y <= V] + (1 - g) m_y,   m_y = sum of weights_s over the places s with ids_s = y,
 *   g = sigmoid(gate)
 *
 *   logits [B, ..., V]    weights [B, ..., S]    gate [B, ...]    ids [B, S]: of the source, above V what the vocabulary lacks
 *   targets [B, ...], 0 is ignored
 *   loss = -logaddexp(a, b),   a = log g + log softmax(logits)_y,   b = log(1 - g) + log m_y
 *
 * Nothing as wide as V and the words of the source together is ever made. With r = exp(a + loss), the probability that
 * the target was generated, and u = exp(log(1 - g) + loss):
 *
 *   dlogits = r (softmax - onehot)    dgate = g - r    dweights_s = -u where ids_s = y
 *
 * u is bounded by 1 / the smallest normal number, so that it does no harm beside a weight of 0. A target of probability
 * 0 (no word of the vocabulary, and without weight in the source) costs -log of the smallest normal number and has no
 * gradient.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "attn/op/rows.h"
#include "attn/kernel/softmax.h"

enum { LOGITS, WEIGHTS, GATE, IDS, TARGETS };
enum { MEAN, SUM, NONE };
enum { STAT, R = 2, DGATE, U, SAVED }; /* of each row, for the backward pass */

static const double smallest = sizeof(real) == sizeof(float) ? FLT_MIN : DBL_MIN;

static size_t rows_of(const at_call *c) { return at_numel(c->in[TARGETS]); }
static size_t width(const at_tensor *t) { return t->size[t->ndim - 1]; }

/* The ids of the source that row r reads. */
static const int64_t *source_of(const at_call *c, size_t r)
{
    return at_ids(c->in[IDS]) + r / (rows_of(c) / c->in[IDS]->size[0]) * width(c->in[IDS]);
}

static bool ids_fit(at_call *c, int k)
{
    const at_tensor *t = c->in[k];

    AT_PIECES(i, end, at_numel(t))
    for (; i < end; i++)
        if (at_ids(t)[i] < 0)
            return at_fail(c, "%s hold %lld, expected ids from 1 and 0 for padding (%s: %s)", c->op->args[k].name,
                           (long long)at_ids(t)[i], c->op->args[k].name, at_describe(t).text);
    return true;
}

/* Input k is [those of the targets]. */
static bool leads(at_call *c, int k, size_t ndim)
{
    const at_tensor *x = c->in[k], *t = c->in[TARGETS];

    return (x->ndim == ndim && memcmp(t->size, x->size, t->ndim * sizeof *t->size) == 0) ||
           at_fail(c, "%s has shape %s, expected that of the targets, %s%s (%s: %s)", c->op->args[k].name,
                   at_describe_shape(x->ndim, x->size).text, at_describe_shape(t->ndim, t->size).text,
                   ndim > t->ndim ? ", and one dimension more" : "", c->op->args[k].name, at_describe(x).text);
}

static bool shape(at_call *c)
{
    const at_tensor *weights = c->in[WEIGHTS], *ids = c->in[IDS], *t = c->in[TARGETS];

    if (t->ndim == 0)
        return at_fail(c, "targets is a scalar, expected [B, ...] (targets: %s)", at_describe(t).text);
    if (!leads(c, LOGITS, t->ndim + 1u) || !leads(c, WEIGHTS, t->ndim + 1u) || !leads(c, GATE, t->ndim))
        return false;
    if (width(c->in[LOGITS]) == 0)
        return at_fail(c, "logits have no classes, expected [..., V] (logits: %s)", at_describe(c->in[LOGITS]).text);
    if (ids->ndim != 2 || ids->size[0] != t->size[0] || ids->size[1] != width(weights))
        return at_fail(c, "ids has shape %s, expected [%zu, %zu] (weights: %s)",
                       at_describe_shape(ids->ndim, ids->size).text, t->size[0], width(weights),
                       at_describe(weights).text);
    if (!ids_fit(c, IDS) || !ids_fit(c, TARGETS) || !at_uninterrupted(c->error))
        return false;
    at_want_scratch(c, rows_of(c) * sizeof(double));
    return at_save(c, AT_REAL_DTYPE, SAVED * rows_of(c)) &&
           (c->arg[0].integer == NONE ? at_out(c, t->ndim, t->size) : at_out(c, 0, NULL));
}

/* log sigmoid(z) */
static double log_sigmoid(double z) { return z < 0 ? z - log1p(exp(z)) : -log1p(exp(-z)); }

static double row_loss(const at_call *c, size_t r, int64_t y, real *saved)
{
    size_t V = width(c->in[LOGITS]), S = width(c->in[IDS]);
    const int64_t *ids = source_of(c, r);
    const real *w = at_in(c, WEIGHTS) + r * S;
    double z = (double)at_in(c, GATE)[r], keep = log_sigmoid(z), pass = log_sigmoid(-z), mass = 0;
    double a = -INFINITY, b;

    if ((size_t)y <= V)
        a = keep - K->softmax->cross_entropy(V, at_in(c, LOGITS) + r * V, (size_t)(y - 1), 0, saved + STAT);
    for (size_t s = 0; s < S; s++)
        mass += ids[s] == y ? (double)w[s] : 0;
    b = mass <= 0 ? -INFINITY : pass + log(mass); /* NaN stays */
    if (a == -INFINITY && b == -INFINITY) {
        saved[R] = saved[DGATE] = saved[U] = 0;
        return -log(smallest);
    }
    double most = fmax(a, b), logp = most + log(exp(a - most) + exp(b - most)), u = exp(pass - logp);
    saved[R] = (real)exp(a - logp);
    saved[DGATE] = (real)(exp(keep) - exp(a - logp));
    saved[U] = (real)(u > 1 / smallest ? 1 / smallest : u);
    return -logp;
}

static void losses(size_t begin, size_t end, void *context)
{
    const at_call *c = context;

    for (size_t r = begin; r < end && !at_cut_short(); r++) {
        int64_t y = at_ids(c->in[TARGETS])[r];
        ((double *)(void *)c->work)[r] = y == 0 ? 0 : row_loss(c, r, y, at_savedp(c, 0) + SAVED * r);
    }
}

static size_t grain(const at_call *c) { return at_grain_rows(width(c->in[LOGITS]) + width(c->in[IDS])); }

/* What a mean divides by. */
static double divisor(const at_call *c)
{
    size_t n = 0;

    for (size_t r = 0; c->arg[0].integer == MEAN && r < rows_of(c); r++)
        n += at_ids(c->in[TARGETS])[r] != 0;
    return n > 0 ? (double)n : 1;
}

static void copy_forward(const at_call *c)
{
    const double *loss = (const double *)(const void *)c->work;
    double total = 0;

    at_for(rows_of(c), grain(c), losses, (void *)(uintptr_t)c);
    for (size_t r = 0; r < rows_of(c); r++) {
        if (c->arg[0].integer == NONE)
            at_outp(c, 0)[r] = (real)loss[r];
        total += loss[r];
    }
    if (c->arg[0].integer != NONE)
        *at_outp(c, 0) = (real)(total / divisor(c));
}

static void row_gradient(const at_call *c, size_t r, int64_t y, real dy)
{
    size_t V = width(c->in[LOGITS]), S = width(c->in[IDS]);
    const int64_t *ids = source_of(c, r);
    real *saved = at_savedp(c, 0) + SAVED * r, *dlogits = at_din(c, LOGITS), *dw = at_din(c, WEIGHTS);

    if (dlogits && (size_t)y <= V)
        K->softmax->cross_entropy_back(
            V, at_in(c, LOGITS) + r * V, (size_t)(y - 1), 0, saved + STAT, dy * saved[R], dlogits + r * V, true);
    for (size_t s = 0; dw && s < S; s++)
        if (ids[s] == y)
            dw[r * S + s] -= dy * saved[U];
    if (at_din(c, GATE))
        at_din(c, GATE)[r] += dy * saved[DGATE];
}

static void gradients(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    bool none = c->arg[0].integer == NONE;
    real share = *(const real *)(const void *)c->work;

    for (size_t r = begin; r < end && !at_cut_short(); r++)
        if (at_ids(c->in[TARGETS])[r] != 0)
            row_gradient(c, r, at_ids(c->in[TARGETS])[r], none ? at_dout(c, 0)[r] : share);
}

static void copy_backward(const at_call *c)
{
    if (rows_of(c) == 0)
        return;
    /* work holds at least one double: the factor common to all rows */
    *(real *)(void *)c->work = c->arg[0].integer == NONE ? 0 : *at_dout(c, 0) / (real)divisor(c);
    at_for(rows_of(c), grain(c), gradients, (void *)(uintptr_t)c);
}

AT_OP_NAMED(
    copy, "loss.copy",
    .args = {{"logits", AT_FLOAT},
             {"weights", AT_FLOAT},
             {"gate", AT_FLOAT},
             {"ids", AT_IDS},
             {"targets", AT_IDS},
             {"reduction", AT_CHOICE, .optional = true, .option = true, .choices = "mean|sum|none"}},
    .shape = shape, .forward = copy_forward, .backward = copy_backward,
    .keeps = AT_KEEP(LOGITS) | AT_KEEP(IDS) | AT_KEEP(TARGETS),
    .help =
        "loss.copy(logits [B, ..., V], weights [B, ..., S], gate [B, ...], ids [B, S], targets [B, ...],\n"
        "    {reduction = \"mean\"}) -> loss\n"
        "-log p(target) of a model that generates a word or copies one of the source (pointer-generator, See et al. "
        "2017):\n"
        "p(y) = g softmax(logits)_y + (1 - g) m_y, g = sigmoid(gate), m_y the sum of the weights on the places s of "
        "the "
        "source with\n"
        "ids[s] = y. ids and targets above V are words that only the source has (text.extend numbers them); target 0 "
        "is "
        "ignored,\n"
        "id 0 is padding. One softmax over words and places (CopyNet, Gu et al. 2016) is the same with weights = "
        "softmax(scores),\n"
        "gate = logsumexp(logits) - logsumexp(scores). A target of probability 0 costs -log of the smallest normal "
        "number (87, in\n"
        "float64 708), without gradient. The mean is over the targets that count; reduction \"sum\" or \"none\" (shape "
        "of the targets).\n"
        "Example: attn.loss.copy(attn.randn(2, 4, 9), attn.randn(2, 4, 5):softmax(), attn.randn(2, 4),\n"
        "    attn.randint(1, 11, 2, 5), attn.randint(1, 9, 2, 4))");
