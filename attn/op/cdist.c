/*
 * cdist: Euclidean distances of all pairs of points.
 *
 *   a [..., N, D], b [..., M, D]   the same sizes in front
 *   y [..., N, M]                  y_ij = |a_i - b_j|
 *   da_i                           sum_j dy_ij (a_i - b_j) / y_ij, without the pairs at distance 0; db alike
 *
 * From the differences themselves: a.a - 2 a.b + b.b would lose what matters of points that are far from 0.
 */
#include <math.h>

#include "attn/op/rows.h"
#include "attn/kernel/map.h"
#include "attn/kernel/reduce.h"

static bool shape(at_call *c)
{
    const at_tensor *a = c->in[0], *b = c->in[1];
    size_t size[AT_MAX_DIM], last = a->ndim - 1u;
    bool fits = a->ndim == b->ndim && a->ndim >= 2;

    for (size_t k = 0; fits && k < a->ndim; k++) {
        fits = k + 1 == last || a->size[k] == b->size[k];
        size[k] = a->size[k];
    }
    if (!fits)
        return at_fail(c, "a is %s and b is %s, expected [B, N, D] and [B, M, D]", at_describe(a).text,
                       at_describe(b).text);
    size[last] = b->size[last - 1];
    return at_out(c, a->ndim, size);
}

typedef struct job {
    const real *a, *b, *y, *dy;
    real *to;
    size_t N, M, D;
} job;

/* Row i of y. */
static void distances(size_t begin, size_t end, void *context)
{
    const job *p = context;

    for (size_t i = begin; i < end; i++)
        for (size_t j = 0; j < p->M && !at_cut_short(); j++)
            p->to[i * p->M + j] =
                (real)sqrt(K->reduce->distance2(p->D, p->a + i * p->D, p->b + (i / p->N * p->M + j) * p->D));
}

static real slope(const job *p, size_t at) { return p->y[at] == 0 ? 0 : p->dy[at] / p->y[at]; }

static void slopes_a(size_t begin, size_t end, void *context)
{
    const job *p = context;

    for (size_t i = begin; i < end; i++)
        for (size_t j = 0; j < p->M && !at_cut_short(); j++)
            K->map->add_difference(
                p->D, slope(p, i * p->M + j), p->a + i * p->D, p->b + (i / p->N * p->M + j) * p->D, p->to + i * p->D);
}

static void slopes_b(size_t begin, size_t end, void *context)
{
    const job *p = context;

    for (size_t j = begin; j < end; j++)
        for (size_t k = 0; k < p->N && !at_cut_short(); k++) {
            size_t i = j / p->M * p->N + k;
            K->map->add_difference(
                p->D, slope(p, i * p->M + j % p->M), p->b + j * p->D, p->a + i * p->D, p->to + j * p->D);
        }
}

static job job_of(const at_call *c)
{
    const at_tensor *a = c->in[0], *b = c->in[1];
    return (job){.a = at_in(c, 0),
                 .b = at_in(c, 1),
                 .y = at_outp(c, 0),
                 .N = a->size[a->ndim - 2],
                 .M = b->size[b->ndim - 2],
                 .D = a->size[a->ndim - 1]};
}

/* Points of one side over the pool, each with `others` partners. */
static void run(const at_call *c, job *p, size_t others, void (*fn)(size_t, size_t, void *))
{
    if (at_numel(c->out[0]) > 0)
        at_for(at_numel(c->out[0]) / others, at_grain_rows(others * (p->D + 1)), fn, p);
}

static void cdist_forward(const at_call *c)
{
    job p = job_of(c);

    p.to = at_outp(c, 0);
    run(c, &p, p.M, distances);
}

static void cdist_backward(const at_call *c)
{
    job p = job_of(c);

    p.dy = at_dout(c, 0);
    if ((p.to = at_din(c, 0)))
        run(c, &p, p.M, slopes_a);
    if ((p.to = at_din(c, 1)))
        run(c, &p, p.N, slopes_b);
}

AT_OP(cdist, .args = {{"a", AT_FLOAT}, {"b", AT_FLOAT}}, .shape = shape, .forward = cdist_forward,
      .backward = cdist_backward, .keeps = AT_KEEP(0) | AT_KEEP(1) | AT_KEEP_OUT(0),
      .help = "cdist(a [B, N, D], b [B, M, D]) -> y [B, N, M]\n"
              "Euclidean distances of all pairs; any number of dimensions in front. The gradient at distance 0 is 0.");
