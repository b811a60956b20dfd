/*
 * attn.structured, trees: of every sentence the distribution over its dependency trees with one root.
 *
 *   arcs [B, T, T]       arcs[b, i, j] scores the arc from head j to word i, arcs[b, i, i] that i is the root
 *   p(tree)              proportional to the exponential of the sum of its arcs
 *   tree_log_partition   log of the sum over all trees; d arcs = its dy times the marginals
 *   tree_marginals       the probability of every arc; d arcs = Hessian of the log partition times dy (structured/chart.h)
 *   tree_best            the tree of the greatest score
 *
 * The algorithms: attn/structured/projective.c (Eisner 1996) and all_trees.c (Koo et al. 2007; Chu and Liu 1965, Edmonds 1967).
 */
#include <math.h>

#include "attn/op/sentences.h"
#include "attn/structured/tree.h"

enum { ARCS, LENGTHS };

static const at_trees *family(const at_call *c) { return c->arg[0].flag ? &at_projective_trees : &at_all_trees; }

static at_sentences sentences(const at_call *c)
{
    return (at_sentences){.c = c, .lengths = c->in[LENGTHS], .B = c->in[ARCS]->size[0], .T = c->in[ARCS]->size[1]};
}

/* Four charts and three squares: what the backward pass of marginals wants. */
typedef struct scratch {
    double *arcs, *direction, *m, *v, *t, *g, *h;
} scratch;

static size_t slot_bytes(const at_trees *f, size_t T, bool back)
{
    size_t chart = f->room(T), square = T * T;
    return at_round64((back ? 3 * square + 4 * chart : 2 * square + 2 * chart) * sizeof(double));
}

static scratch open_slot(const at_trees *f, size_t T, char *own)
{
    scratch x;
    size_t chart = f->room(T), square = T * T;
    x.arcs = (double *)(void *)own;
    x.m = x.arcs + square;
    x.v = x.m + square;
    x.g = x.v + chart;
    x.t = x.g + chart;
    x.h = x.t + chart;
    x.direction = x.h + chart;
    return x;
}

static bool check(at_call *c)
{
    const at_tensor *x = c->in[ARCS];
    if (x->ndim != 3 || x->size[1] != x->size[2])
        return at_fail(c, "arcs has shape %s, expected [B, T, T] (arcs: %s)", at_describe_shape(x->ndim, x->size).text,
                       at_describe(x).text);
    return at_check_lengths(c, c->in[LENGTHS], x->size[0], x->size[1]);
}

static bool want(at_call *c)
{
    size_t B = c->in[ARCS]->size[0], T = c->in[ARCS]->size[1];
    at_want_scratch(c, at_sentence_blocks(B) * slot_bytes(family(c), T, at_recording(c)));
    return !at_recording(c) || at_save(c, AT_F64, B * family(c)->room(T));
}

/* The values of sentence b: kept for the backward pass if there may be one. */
static double *values(const at_call *c, size_t b, double *own)
{
    return c->n_saved ? (double *)(void *)c->saved[0]->data + b * family(c)->room(c->in[ARCS]->size[1]) : own;
}

static void square(const at_call *c, const real *x, size_t b, size_t n, double *y)
{
    size_t T = c->in[ARCS]->size[1];
    for (size_t i = 0; i < n; i++)
        at_widen(n, x + (b * T + i) * T, y + i * n);
}

static void add_square(const at_call *c, const double *x, size_t b, size_t n, real *y)
{
    size_t T = c->in[ARCS]->size[1];
    for (size_t i = 0; i < n; i++)
        at_narrow_add(n, x + i * n, y + (b * T + i) * T);
}

/* Arcs less the greatest of each word, of which every tree has one: numbers stay small. Returns the sum of these. */
static double load(const at_call *c, size_t b, size_t n, double *arcs)
{
    double sum = 0;
    square(c, at_in(c, ARCS), b, n, arcs);
    for (size_t i = 0; i < n; i++) {
        double max = -INFINITY;
        for (size_t j = 0; j < n; j++)
            max = arcs[i * n + j] > max ? arcs[i * n + j] : max;
        if (!isfinite(max))
            continue;
        sum += max;
        for (size_t j = 0; j < n; j++)
            arcs[i * n + j] -= max;
    }
    return sum;
}

/* ---- log partition ---- */

static bool log_partition_shape(at_call *c) { return check(c) && want(c) && at_out(c, 1, c->in[ARCS]->size); }

static void log_partition_of(const at_sentences *s, size_t b, size_t n, char *own)
{
    scratch x = open_slot(family(s->c), s->T, own);
    double sum = load(s->c, b, n, x.arcs);
    at_outp(s->c, 0)[b] = (real)(sum + family(s->c)->up(n, x.arcs, NULL, &(at_chart){.v = values(s->c, b, x.v)}));
}

static at_sentences in_slots(const at_call *c, void (*fn)(const at_sentences *, size_t, size_t, char *))
{
    at_sentences s = sentences(c);
    s.slot = slot_bytes(family(c), s.T, c->n_saved > 0);
    s.fn = fn;
    return s;
}

static void log_partition_forward(const at_call *c)
{
    at_sentences s = in_slots(c, log_partition_of);
    at_zero(at_outp(c, 0), s.B * sizeof(real));
    at_run_sentences(&s);
}

static void log_partition_back(const at_sentences *s, size_t b, size_t n, char *own)
{
    const at_call *c = s->c;
    scratch x = open_slot(family(c), s->T, own);
    double dy = (double)at_dout(c, 0)[b];

    load(c, b, n, x.arcs);
    family(c)->down(n, x.arcs, NULL, &(at_chart){.v = values(c, b, NULL), .g = x.g}, x.m);
    for (size_t i = 0; i < n * n; i++)
        x.m[i] *= dy;
    add_square(c, x.m, b, n, at_din(c, ARCS));
}

static void log_partition_backward(const at_call *c)
{
    at_sentences s = in_slots(c, log_partition_back);
    at_run_sentences(&s);
}

/* ---- marginals ---- */

static bool marginals_shape(at_call *c) { return check(c) && want(c) && at_out(c, 3, c->in[ARCS]->size); }

static void marginals_of(const at_sentences *s, size_t b, size_t n, char *own)
{
    const at_call *c = s->c;
    scratch x = open_slot(family(c), s->T, own);
    at_chart chart = {.v = values(c, b, x.v), .g = x.g};

    load(c, b, n, x.arcs);
    family(c)->up(n, x.arcs, NULL, &chart);
    family(c)->down(n, x.arcs, NULL, &chart, x.m);
    add_square(c, x.m, b, n, at_outp(c, 0));
}

static void marginals_forward(const at_call *c)
{
    at_sentences s = in_slots(c, marginals_of);
    at_zero(at_outp(c, 0), at_numel(c->out[0]) * sizeof(real));
    at_run_sentences(&s);
}

static void marginals_back(const at_sentences *s, size_t b, size_t n, char *own)
{
    const at_call *c = s->c;
    scratch x = open_slot(family(c), s->T, own);
    at_chart chart = {.v = values(c, b, NULL), .t = x.t, .g = x.g, .h = x.h};

    load(c, b, n, x.arcs);
    square(c, at_dout(c, 0), b, n, x.direction);
    family(c)->up(n, x.arcs, x.direction, &chart);
    family(c)->down(n, x.arcs, x.direction, &chart, x.m);
    add_square(c, x.m, b, n, at_din(c, ARCS));
}

static void marginals_backward(const at_call *c)
{
    at_sentences s = in_slots(c, marginals_back);
    at_run_sentences(&s);
}

/* ---- the best ---- */

static size_t best_slot(const at_call *c, size_t T)
{
    return at_round64(T * T * sizeof(double)) + at_round64(family(c)->best_room(T));
}

static bool best_shape(at_call *c)
{
    if (!check(c))
        return false;
    size_t B = c->in[ARCS]->size[0], T = c->in[ARCS]->size[1];
    if (T >= INT32_MAX)
        return at_fail(c, "arcs has too many words (arcs: %s)", at_describe(c->in[ARCS]).text);
    at_want_scratch(c, at_sentence_blocks(B) * best_slot(c, T));
    return at_out_type(c, AT_I64, 2, c->in[ARCS]->size) && at_out(c, 1, c->in[ARCS]->size);
}

static void best_of(const at_sentences *s, size_t b, size_t n, char *own)
{
    const at_call *c = s->c;
    double *arcs = (double *)(void *)own;
    int64_t *heads = (int64_t *)(void *)c->out[0]->data + b * s->T;
    double sum = load(c, b, n, arcs);
    at_outp(c, 1)[b] = (real)(sum + family(c)->best(n, arcs, heads, own + at_round64(n * n * sizeof(double))));
}

static void best_forward(const at_call *c)
{
    at_sentences s = sentences(c);
    s.slot = best_slot(c, s.T);
    s.fn = best_of;
    at_zero(c->out[0]->data, at_numel(c->out[0]) * sizeof(int64_t));
    at_zero(at_outp(c, 1), s.B * sizeof(real));
    at_run_sentences(&s);
}

#define TREE_ARGS                                                                                                      \
    .args = {{"arcs", AT_FLOAT},                                                                                       \
             {"lengths", AT_IDS, .optional = true, .option = true},                                                    \
             {"projective", AT_FLAG, .optional = true, .option = true, .value = 1}},                                   \
    .plain = true

#define TREE_TEXT                                                                                                      \
    "arcs[b, i, j] scores the arc from head j to word i, arcs[b, i, i] that i is the root; -inf forbids. A tree has "  \
    "one root, and the sum of its arcs for a score. projective = true: no crossing arcs (Eisner 1996); false: all "    \
    "trees (Koo et al. 2007). lengths [B]: words 1..lengths[b] only; a sentence of none gives 0."

AT_OP_NAMED(
    tree_marginals, "structured.tree_marginals", TREE_ARGS, .shape = marginals_shape, .forward = marginals_forward,
    .backward = marginals_backward, .keeps = AT_KEEP(ARCS) | AT_KEEP(LENGTHS),
    .help =
        "structured.tree_marginals(arcs [B, T, T], {lengths =, projective = true}) -> p [B, T, T]\n"
        "The probability of every arc under p(tree) proportional to exp(score): p[b, i, j] that j is the head of i, "
        "p[b, i, i] that i is the root; every row sums to 1, those beyond the length are 0, and all where no tree is "
        "possible. " TREE_TEXT "\nExample: attn.structured.tree_marginals(attn.randn(2, 5, 5))");

AT_OP_NAMED(tree_log_partition, "structured.tree_log_partition", TREE_ARGS, .shape = log_partition_shape,
            .forward = log_partition_forward, .backward = log_partition_backward,
            .keeps = AT_KEEP(ARCS) | AT_KEEP(LENGTHS),
            .help = "structured.tree_log_partition(arcs [B, T, T], {lengths =, projective = true}) -> z [B]\n"
                    "The logarithm of the sum of exp(score) over all trees, -inf where none is possible. " TREE_TEXT
                    "\nExample: attn.structured.tree_log_partition(attn.randn(2, 5, 5), {projective = false})");

AT_OP_NAMED(
    tree_best, "structured.tree_best", TREE_ARGS, .shape = best_shape, .forward = best_forward, .outs = 2,
    .gradient = AT_NO_GRADIENT,
    .help = "structured.tree_best(arcs [B, T, T], {lengths =, projective = true}) -> heads (int64) [B, T], score [B]\n"
            "The tree of the greatest score; the root has its own place for a head, words beyond the length 0. Where "
            "no tree "
            "is possible, heads are 0 and the score is -inf. All trees: Chu and Liu 1965, Edmonds 1967. " TREE_TEXT
            "\nExample: attn.structured.tree_best(attn.randn(2, 5, 5))");
