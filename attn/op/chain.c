/*
 * attn.structured, chains: of every sentence the distribution over its taggings, a linear-chain conditional random field.
 *
 *   unary [B, T, K]       transition [K, K], or [B, T - 1, K, K] for every pair of neighbours its own: from tag (row) to tag (column)
 *   p(tags)               proportional to exp(sum_t unary[t, tag_t] + sum_t transition[tag_t, tag_t+1])
 *   chain_log_partition   log of the sum over all taggings; its gradient are the marginals
 *   chain_marginals       the probability of each tag at each place; its gradient is the Hessian of the log partition times dy
 *   chain_nll             log partition - score of the tags
 *   chain_viterbi         the tagging of the greatest score;   chain_sample   taggings drawn
 *
 * The algorithms: attn/structured/chain.c.
 */
#include <math.h>

#include "attn/op/sentences.h"
#include "attn/structured/chain.h"

enum { UNARY, TRANSITION, TAGS };

typedef struct plan {
    size_t B, T, K, steps, apart; /* steps: numbers of all steps of a sentence */
    bool own;                     /* every pair has its own */
    const at_tensor *lengths;
} plan;

static plan plan_of(const at_call *c, int lengths)
{
    const at_tensor *u = c->in[UNARY];
    plan p = {.B = u->size[0],
              .T = u->size[1],
              .K = u->size[2],
              .own = c->in[TRANSITION]->ndim == 4,
              .lengths = c->in[lengths]};
    p.steps = p.own ? (p.T > 0 ? p.T - 1 : 0) * p.K * p.K : p.K * p.K;
    p.apart = p.own ? p.K * p.K : 0;
    return p;
}

/*
 * A slot: unary, the steps where they are its own, values, marginals; and what one operation or its backward pass wants: a direction,
 * tangents, their marginals, gradients of the steps. Steps that are common stand before all slots.
 */
typedef struct scratch {
    double *unary, *steps, *v, *m, *direction, *t, *tm, *dsteps;
} scratch;

static size_t slot_bytes(const plan *p)
{
    size_t place = p->T * p->K;
    return at_round64((4 * place + 2 * at_chain_room(p->T, p->K) + (p->own ? 2 : 1) * p->steps) * sizeof(double));
}

static scratch open_slot(const plan *p, char *own)
{
    scratch x;
    size_t place = p->T * p->K, room = at_chain_room(p->T, p->K);
    x.unary = (double *)(void *)own;
    x.m = x.unary + place;
    x.direction = x.m + place;
    x.tm = x.direction + place;
    x.v = x.tm + place;
    x.t = x.v + room;
    x.dsteps = x.t + room;
    x.steps = x.dsteps + p->steps;
    return x;
}

static bool check(at_call *c, int lengths)
{
    const at_tensor *u = c->in[UNARY], *s = c->in[TRANSITION];
    if (u->ndim != 3 || u->size[2] == 0)
        return at_fail(c, "unary has shape %s, expected [B, T, K] (unary: %s)",
                       at_describe_shape(u->ndim, u->size).text, at_describe(u).text);
    plan p = plan_of(c, lengths);
    size_t size[4] = {p.B, p.T > 0 ? p.T - 1 : 0, p.K, p.K};
    bool shared = s->ndim == 2 && memcmp(s->size, size + 2, 2 * sizeof *size) == 0;
    if (!shared && !(s->ndim == 4 && memcmp(s->size, size, sizeof size) == 0))
        return at_fail(c, "transition has shape %s, expected %s or %s (unary: %s)",
                       at_describe_shape(s->ndim, s->size).text, at_describe_shape(2, size + 2).text,
                       at_describe_shape(4, size).text, at_describe(u).text);
    if (p.K >= INT32_MAX)
        return at_fail(c, "unary has too many tags (unary: %s)", at_describe(u).text);
    at_want_scratch(c, at_round64(p.K * p.K * sizeof(double)) + at_sentence_blocks(p.B) * slot_bytes(&p));
    return at_check_lengths(c, p.lengths, p.B, p.T);
}

static bool want_values(at_call *c)
{
    const at_tensor *u = c->in[UNARY];
    return !at_recording(c) || at_save(c, AT_F64, u->size[0] * at_chain_room(u->size[1], u->size[2]));
}

static double *values(const at_call *c, const plan *p, size_t b, double *own)
{
    return c->n_saved ? (double *)(void *)c->saved[0]->data + b * at_chain_room(p->T, p->K) : own;
}

static at_chain load(const at_call *c, const plan *p, size_t b, size_t n, const scratch *x)
{
    at_widen(n * p->K, at_in(c, UNARY) + b * p->T * p->K, x->unary);
    if (p->own)
        at_widen((n - 1) * p->apart, at_in(c, TRANSITION) + b * p->steps, x->steps);
    return (at_chain){.T = n,
                      .tags = p->K,
                      .apart = p->apart,
                      .unary = x->unary,
                      .steps = p->own ? x->steps : (const double *)(const void *)c->work};
}

static void run(const at_call *c, const plan *p, void (*start)(const at_sentences *, char *),
                void (*fn)(const at_sentences *, size_t, size_t, char *))
{
    size_t shared = at_round64(p->K * p->K * sizeof(double));
    if (!p->own)
        at_widen(p->steps, at_in(c, TRANSITION), (double *)(void *)c->work);
    at_run_sentences(&(at_sentences){
        .c = c,
        .lengths = p->lengths,
        .B = p->B,
        .T = p->T,
        .shared = shared,
        .slot = slot_bytes(p),
        .start = start,
        .fn = fn,
        .context = p});
}

static void forward_of(const at_call *c, int lengths, void (*fn)(const at_sentences *, size_t, size_t, char *))
{
    plan p = plan_of(c, lengths);
    for (int k = 0; k < c->n_out; k++)
        at_zero(c->out[k]->data, at_numel(c->out[k]) * at_dtype_bytes((at_dtype)c->out[k]->dtype));
    run(c, &p, NULL, fn);
}

/* ---- backward passes ---- */

static void no_steps(const at_sentences *s, char *own)
{
    const plan *p = s->context;
    memset(open_slot(p, own).dsteps, 0, p->steps * sizeof(double));
}

/* Where sentence b gathers the gradients of its steps: common ones for the whole block. */
static double *gather_steps(const at_call *c, const plan *p, const scratch *x)
{
    if (!at_din(c, TRANSITION))
        return NULL;
    if (p->own)
        memset(x->dsteps, 0, p->steps * sizeof(double));
    return x->dsteps;
}

static void give(const at_call *c, const plan *p, const scratch *x, size_t b, size_t n, const double *m)
{
    if (at_din(c, UNARY))
        at_narrow_add(n * p->K, m, at_din(c, UNARY) + b * p->T * p->K);
    if (p->own && at_din(c, TRANSITION))
        at_narrow_add((n - 1) * p->apart, x->dsteps, at_din(c, TRANSITION) + b * p->steps);
}

static void backward_of(const at_call *c, int lengths, void (*fn)(const at_sentences *, size_t, size_t, char *))
{
    plan p = plan_of(c, lengths);
    size_t K2 = p.K * p.K, blocks = at_sentence_blocks(p.B), slot = slot_bytes(&p);
    double *sum = (double *)(void *)c->work;

    run(c, &p, no_steps, fn);
    if (p.own || !at_din(c, TRANSITION))
        return;
    memset(sum, 0, K2 * sizeof *sum);
    for (size_t block = 0; block < blocks; block++) {
        const double *d = open_slot(&p, c->work + at_round64(K2 * sizeof(double)) + block * slot).dsteps;
        for (size_t i = 0; i < K2; i++)
            sum[i] += d[i];
    }
    at_narrow_add(K2, sum, at_din(c, TRANSITION));
}

/* ---- log partition ---- */

static bool log_partition_shape(at_call *c)
{
    return check(c, 2) && want_values(c) && at_out(c, 1, c->in[UNARY]->size);
}

static void log_partition_of(const at_sentences *s, size_t b, size_t n, char *own)
{
    const plan *p = s->context;
    scratch x = open_slot(p, own);
    at_chain q = load(s->c, p, b, n, &x);
    at_outp(s->c, 0)[b] = (real)at_chain_up(&q, values(s->c, p, b, x.v));
}

static void log_partition_back(const at_sentences *s, size_t b, size_t n, char *own)
{
    const at_call *c = s->c;
    const plan *p = s->context;
    scratch x = open_slot(p, own);
    at_chain q = load(c, p, b, n, &x);
    at_chain_down(&q, values(c, p, b, NULL), (double)at_dout(c, 0)[b], x.m, gather_steps(c, p, &x));
    give(c, p, &x, b, n, x.m);
}

static void log_partition_forward(const at_call *c) { forward_of(c, 2, log_partition_of); }
static void log_partition_backward(const at_call *c) { backward_of(c, 2, log_partition_back); }

/* ---- marginals ---- */

static bool marginals_shape(at_call *c) { return check(c, 2) && want_values(c) && at_out(c, 3, c->in[UNARY]->size); }

static void marginals_of(const at_sentences *s, size_t b, size_t n, char *own)
{
    const at_call *c = s->c;
    const plan *p = s->context;
    scratch x = open_slot(p, own);
    at_chain q = load(c, p, b, n, &x);
    double *v = values(c, p, b, x.v);
    at_chain_up(&q, v);
    at_chain_down(&q, v, 1, x.m, NULL);
    at_narrow_add(n * p->K, x.m, at_outp(c, 0) + b * p->T * p->K);
}

static void marginals_back(const at_sentences *s, size_t b, size_t n, char *own)
{
    const at_call *c = s->c;
    const plan *p = s->context;
    scratch x = open_slot(p, own);
    at_chain q = load(c, p, b, n, &x);
    at_widen(n * p->K, at_dout(c, 0) + b * p->T * p->K, x.direction);
    at_chain_tangent(&q, values(c, p, b, NULL), x.direction, x.t, x.m, x.tm, gather_steps(c, p, &x));
    give(c, p, &x, b, n, x.tm);
}

static void marginals_forward(const at_call *c) { forward_of(c, 2, marginals_of); }
static void marginals_backward(const at_call *c) { backward_of(c, 2, marginals_back); }

/* ---- negative log-likelihood ---- */

static bool nll_shape(at_call *c)
{
    const at_tensor *u = c->in[UNARY], *tags = c->in[TAGS];
    if (!check(c, 3))
        return false;
    if (tags->ndim != 2 || memcmp(tags->size, u->size, 2 * sizeof *u->size) != 0)
        return at_fail(c, "tags has shape %s, expected %s (unary: %s)", at_describe_shape(tags->ndim, tags->size).text,
                       at_describe_shape(2, u->size).text, at_describe(u).text);
    for (size_t b = 0; b < u->size[0]; b++) {
        size_t n = c->in[3] ? (size_t)at_ids(c->in[3])[b] : u->size[1];
        for (size_t t = 0; t < n; t++) {
            int64_t tag = at_ids(tags)[b * u->size[1] + t];
            if (tag < 1 || tag > (int64_t)u->size[2])
                return at_fail(c, "tags[%zu, %zu] is %lld, expected 1..%zu within the length %zu (tags: %s)", b + 1,
                               t + 1, (long long)tag, u->size[2], n, at_describe(tags).text);
        }
    }
    return want_values(c) && at_out(c, 1, u->size);
}

/* The places of the tags in unary and in the steps. */
static size_t at_tag(const at_sentences *s, size_t b, size_t t, size_t K)
{
    return t * K + (size_t)at_ids(s->c->in[TAGS])[b * s->T + t] - 1;
}
static size_t at_step(const at_sentences *s, size_t b, size_t t, const at_chain *q)
{
    const int64_t *tag = at_ids(s->c->in[TAGS]) + b * s->T + t;
    return (t - 1) * q->apart + (size_t)(tag[-1] - 1) * q->tags + (size_t)tag[0] - 1;
}

static void nll_of(const at_sentences *s, size_t b, size_t n, char *own)
{
    const plan *p = s->context;
    scratch x = open_slot(p, own);
    at_chain q = load(s->c, p, b, n, &x);
    double z = at_chain_up(&q, values(s->c, p, b, x.v)), score = 0;
    for (size_t t = 0; t < n; t++)
        score += q.unary[at_tag(s, b, t, q.tags)] + (t ? q.steps[at_step(s, b, t, &q)] : 0);
    at_outp(s->c, 0)[b] = (real)(score == -INFINITY ? INFINITY : z - score);
}

static void nll_back(const at_sentences *s, size_t b, size_t n, char *own)
{
    const at_call *c = s->c;
    const plan *p = s->context;
    scratch x = open_slot(p, own);
    at_chain q = load(c, p, b, n, &x);
    const double *v = values(c, p, b, NULL);
    double dy = (double)at_dout(c, 0)[b], *dsteps = gather_steps(c, p, &x);

    at_chain_down(&q, v, dy, x.m, dsteps);
    for (size_t t = 0; t < n && v[at_chain_room(n, q.tags) - 1] != -INFINITY; t++) {
        size_t tag = at_tag(s, b, t, q.tags), step = t ? at_step(s, b, t, &q) : 0;
        if (q.unary[tag] != -INFINITY)
            x.m[tag] -= dy;
        if (t && dsteps && q.steps[step] != -INFINITY)
            dsteps[step] -= dy;
    }
    give(c, p, &x, b, n, x.m);
}

static void nll_forward(const at_call *c) { forward_of(c, 3, nll_of); }
static void nll_backward(const at_call *c) { backward_of(c, 3, nll_back); }

/* ---- the best ---- */

static bool viterbi_shape(at_call *c)
{
    return check(c, 2) && at_out_type(c, AT_I64, 2, c->in[UNARY]->size) && at_out(c, 1, c->in[UNARY]->size);
}

static int64_t *ids_of(const at_call *c) { return (int64_t *)(void *)c->out[0]->data; }

static void viterbi_of(const at_sentences *s, size_t b, size_t n, char *own)
{
    const plan *p = s->context;
    scratch x = open_slot(p, own);
    at_chain q = load(s->c, p, b, n, &x);
    at_outp(s->c, 1)[b] = (real)at_chain_best(&q, ids_of(s->c) + b * p->T, (int32_t *)(void *)x.v, x.m, x.tm);
}

static void viterbi_forward(const at_call *c) { forward_of(c, 2, viterbi_of); }

/* ---- drawing ---- */

static bool sample_shape(at_call *c)
{
    int64_t count = c->arg[0].integer;
    if (!check(c, 2))
        return false;
    if (count < 1)
        return at_fail(c, "count is %lld, expected at least 1", (long long)count);
    if (!at_out_type(c, AT_I64, 3, (size_t[]){(size_t)count, c->in[UNARY]->size[0], c->in[UNARY]->size[1]}))
        return false;
    c->random = at_random_reserve(2 * at_numel(c->out[0]));
    return true;
}

/* Element i of the stream, in [0, 1), with 53 bits. */
static double uniform(at_random stream, size_t i)
{
    uint64_t high = at_random_bits(stream, 2 * i) >> 5, low = at_random_bits(stream, 2 * i + 1) >> 6;
    return (double)(high << 26 | low) * 0x1p-53;
}

static void sample_of(const at_sentences *s, size_t b, size_t n, char *own)
{
    const at_call *c = s->c;
    const plan *p = s->context;
    scratch x = open_slot(p, own);
    at_chain q = load(c, p, b, n, &x);

    at_chain_up(&q, x.v);
    for (size_t k = 0; k < (size_t)c->arg[0].integer && !at_cut_short(); k++) {
        size_t at = (k * p->B + b) * p->T;
        for (size_t t = 0; t < n; t++)
            x.m[t] = uniform(c->random, at + t);
        at_chain_draw(&q, x.v, x.m, ids_of(c) + at);
    }
}

static void sample_forward(const at_call *c) { forward_of(c, 2, sample_of); }

#define CHAIN_LENGTHS                                                                                                  \
    {                                                                                                                  \
        "lengths", AT_IDS, .optional = true, .option = true                                                            \
    }

#define CHAIN_TEXT                                                                                                     \
    "A tagging has the score sum_t unary[b, t, tag_t] + sum_t transition[tag_t, tag_t+1], and a probability "          \
    "proportional to "                                                                                                 \
    "its exponential; -inf forbids. transition [K, K], or [B, T - 1, K, K] for every pair of neighbours its own. "     \
    "Tags are "                                                                                                        \
    "1..K. lengths [B]: places 1..lengths[b] only; a sentence of none gives 0 (Lafferty et al. 2001)."

AT_OP_NAMED(
    chain_marginals, "structured.chain_marginals",
    .args = {{"unary", AT_FLOAT}, {"transition", AT_FLOAT}, CHAIN_LENGTHS}, .plain = true, .shape = marginals_shape,
    .forward = marginals_forward, .backward = marginals_backward, .keeps = AT_KEEP(0) | AT_KEEP(1) | AT_KEEP(2),
    .help =
        "structured.chain_marginals(unary [B, T, K], transition [K, K] | [B, T - 1, K, K], {lengths =}) -> p [B, T, "
        "K]\n"
        "The probability of each tag at each place; 0 beyond the length, and where no tagging is possible. " CHAIN_TEXT
        "\nExample: attn.structured.chain_marginals(attn.randn(2, 5, 3), attn.zeros(3, 3))");

AT_OP_NAMED(
    chain_log_partition, "structured.chain_log_partition",
    .args = {{"unary", AT_FLOAT}, {"transition", AT_FLOAT}, CHAIN_LENGTHS}, .plain = true, .shape = log_partition_shape,
    .forward = log_partition_forward, .backward = log_partition_backward, .keeps = AT_KEEP(0) | AT_KEEP(1) | AT_KEEP(2),
    .help =
        "structured.chain_log_partition(unary [B, T, K], transition [K, K] | [B, T - 1, K, K], {lengths =}) -> z [B]\n"
        "The logarithm of the sum of exp(score) over all taggings, -inf where none is possible. " CHAIN_TEXT
        "\nExample: attn.structured.chain_log_partition(attn.randn(2, 5, 3), attn.zeros(3, 3))");

AT_OP_NAMED(
    chain_nll, "structured.chain_nll",
    .args = {{"unary", AT_FLOAT}, {"transition", AT_FLOAT}, {"tags", AT_IDS}, CHAIN_LENGTHS}, .plain = true,
    .shape = nll_shape, .forward = nll_forward, .backward = nll_backward,
    .keeps = AT_KEEP(0) | AT_KEEP(1) | AT_KEEP(2) | AT_KEEP(3),
    .help = "structured.chain_nll(unary [B, T, K], transition [K, K] | [B, T - 1, K, K], tags [B, T], {lengths =}) -> "
            "loss [B]\n"
            "-log p(tags), infinity for tags that are forbidden; tags beyond the length are not read. " CHAIN_TEXT
            "\nExample: attn.structured.chain_nll(attn.randn(2, 5, 3), attn.zeros(3, 3), attn.randint(1, 3, 2, 5))");

AT_OP_NAMED(
    chain_viterbi, "structured.chain_viterbi", .args = {{"unary", AT_FLOAT}, {"transition", AT_FLOAT}, CHAIN_LENGTHS},
    .plain = true, .outs = 2, .shape = viterbi_shape, .forward = viterbi_forward, .gradient = AT_NO_GRADIENT,
    .help =
        "structured.chain_viterbi(unary [B, T, K], transition [K, K] | [B, T - 1, K, K], {lengths =}) -> ids [B, T], "
        "score [B]\n"
        "The tagging of the greatest score; ids are 0 beyond the length, and where no tagging is possible (score "
        "-inf). " CHAIN_TEXT "\nExample: attn.structured.chain_viterbi(attn.randn(2, 5, 3), attn.zeros(3, 3))");

AT_OP_NAMED(
    chain_sample, "structured.chain_sample",
    .args = {{"unary", AT_FLOAT},
             {"transition", AT_FLOAT},
             CHAIN_LENGTHS,
             {"count", AT_INTEGER, .optional = true, .option = true, .value = 1}},
    .plain = true, .shape = sample_shape, .forward = sample_forward, .gradient = AT_NO_GRADIENT,
    .help =
        "structured.chain_sample(unary [B, T, K], transition [K, K] | [B, T - 1, K, K], {lengths =, count = 1}) -> ids "
        "[count, B, T]\n"
        "Taggings drawn from their distribution; ids are 0 beyond the length, and where no tagging is "
        "possible. " CHAIN_TEXT
        "\nExample: attn.structured.chain_sample(attn.randn(2, 5, 3), attn.zeros(3, 3), {count = 4})");
