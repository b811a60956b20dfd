/*
 * cosine_similarity: y = a.b / (max(|a|, eps) max(|b|, eps)) along dimension d, after broadcasting.
 *
 *   a, b   shapes that broadcast; y has the shape they broadcast to, without dimension d
 *   da     dy (b / (A B) - y a / |a|^2), A, B the two lengths; without the second term where |a| is below eps. db alike
 *
 * Norms are taken again in the backward pass, from the same numbers.
 */
#include <math.h>

#include "attn/op/rows.h"
#include "attn/kernel/map.h"
#include "attn/kernel/reduce.h"

enum { DIM, EPS };

/* d counts among the dimensions of the broadcast shape, which is known here only. */
static bool shape(at_call *c)
{
    const at_tensor *a = c->in[0], *b = c->in[1];
    size_t size[AT_MAX_DIM], ndim;
    int64_t d = c->arg[DIM].integer;

    if (!at_broadcast(a, b, &ndim, size))
        return at_fail(c, "the shapes do not broadcast (a: %s, b: %s)", at_describe(a).text, at_describe(b).text);
    if (ndim == 0)
        return at_fail(c, "a and b are scalars, expected at least 1 dimension");
    if (d == 0 || d > (int64_t)ndim || d < -(int64_t)ndim)
        return at_fail(c, "d is %lld, expected 1..%zu or -%zu..-1 (a: %s, b: %s)", (long long)d, ndim, ndim,
                       at_describe(a).text, at_describe(b).text);
    if (!(c->arg[EPS].number >= 0))
        return at_fail(c, "eps is %g, expected at least 0", c->arg[EPS].number);
    for (size_t k = (size_t)(d > 0 ? d - 1 : d + (int64_t)ndim); k + 1 < ndim; k++)
        size[k] = size[k + 1];
    return at_out(c, ndim - 1, size);
}

/* A tensor as it lies in the broadcast shape: elements between neighbours along d, and along the dimensions of y. */
typedef struct side {
    const real *x;
    real *dx;
    ptrdiff_t along, step[AT_MAX_DIM];
} side;

typedef struct job {
    side a, b;
    const real *dy;
    real *y, eps;
    size_t n, ndim, size[AT_MAX_DIM]; /* elements along d; the shape of y */
    size_t rows;                      /* of y in one part (job_parts) */
} job;

static side side_of(const at_tensor *t, size_t ndim, size_t d, real *dx)
{
    side s = {.x = (const real *)(const void *)t->data, .dx = dx};
    size_t lead = ndim - t->ndim;

    for (size_t k = 0, to = 0; k < ndim; k++) {
        ptrdiff_t step = k < lead || t->size[k - lead] == 1 ? 0 : t->step[k - lead];
        if (k == d)
            s.along = step;
        else
            s.step[to++] = step;
    }
    return s;
}

static job job_of(const at_call *c)
{
    const at_tensor *a = c->in[0], *b = c->in[1], *y = c->out[0];
    size_t ndim = y->ndim + 1u, size[AT_MAX_DIM];
    int64_t d = c->arg[DIM].integer;

    d = d > 0 ? d - 1 : d + (int64_t)ndim;
    at_broadcast(a, b, &ndim, size);
    job j = {.a = side_of(a, ndim, (size_t)d, at_din(c, 0)),
             .b = side_of(b, ndim, (size_t)d, at_din(c, 1)),
             .eps = (real)c->arg[EPS].number,
             .n = size[d],
             .ndim = y->ndim,
             .rows = 1};
    for (size_t k = 0; k < y->ndim; k++)
        j.size[k] = y->size[k];
    return j;
}

static double product(size_t n, const real *a, ptrdiff_t sa, const real *b, ptrdiff_t sb)
{
    double sum = 0;

    if (sa == 1 && sb == 1)
        return K->reduce->dot(n, a, b);
    AT_PIECES(i, end, n)
    for (; i < end; i++)
        sum += (double)a[(ptrdiff_t)i * sa] * b[(ptrdiff_t)i * sb];
    return sum;
}

/* dx += p other + q own */
static void add(size_t n, real *dx, ptrdiff_t step, double p, const real *other, ptrdiff_t so, double q,
                const real *own)
{
    if (step == 1 && so == 1) {
        K->map->axpy(n, (real)p, other, dx);
        K->map->axpy(n, (real)q, own, dx);
        return;
    }
    AT_PIECES(i, end, n)
    for (; i < end; i++)
        dx[(ptrdiff_t)i * step] += (real)(p * other[(ptrdiff_t)i * so] + q * own[(ptrdiff_t)i * step]);
}

static void rows(size_t begin, size_t end, void *context)
{
    const job *j = context;
    size_t index[AT_MAX_DIM] = {0}, rest = begin;
    ptrdiff_t at = 0, bt = 0, sa = j->a.along, sb = j->b.along;

    for (size_t k = j->ndim; k-- > 0; rest /= j->size[k]) {
        index[k] = rest % j->size[k];
        at += (ptrdiff_t)index[k] * j->a.step[k];
        bt += (ptrdiff_t)index[k] * j->b.step[k];
    }
    for (size_t r = begin; r < end && !at_cut_short(); r++) {
        const real *a = j->a.x + at, *b = j->b.x + bt;
        double A = sqrt(product(j->n, a, sa, a, sa)), B = sqrt(product(j->n, b, sb, b, sb));
        double p = A > j->eps || A != A ? A : j->eps, q = B > j->eps || B != B ? B : j->eps;
        double y = product(j->n, a, sa, b, sb) / p / q;
        if (j->y)
            j->y[r] = (real)y;
        else {
            double dy = j->dy[r];
            if (j->a.dx)
                add(j->n, j->a.dx + at, sa, dy / p / q, b, sb, A > j->eps ? -dy * y / A / A : 0, a);
            if (j->b.dx)
                add(j->n, j->b.dx + bt, sb, dy / p / q, a, sa, B > j->eps ? -dy * y / B / B : 0, b);
        }
        for (size_t k = j->ndim; k-- > 0;) {
            at += j->a.step[k];
            bt += j->b.step[k];
            if (++index[k] < j->size[k])
                break;
            at -= j->a.step[k] * (ptrdiff_t)index[k];
            bt -= j->b.step[k] * (ptrdiff_t)index[k];
            index[k] = 0;
        }
    }
}

static void cosine_similarity_forward(const at_call *c)
{
    job j = job_of(c);

    j.y = at_outp(c, 0);
    at_for(at_numel(c->out[0]), at_grain_rows(3 * j.n), rows, &j);
}

/* Parts of dimension 1. */
static void parts(size_t begin, size_t end, void *context)
{
    const job *j = context;
    rows(begin * j->rows, end * j->rows, context);
}

/* In parts that add to different elements: those of dimension 1 where neither side is repeated along it. */
static void cosine_similarity_backward(const at_call *c)
{
    job j = job_of(c);
    size_t n = at_numel(c->out[0]);

    j.dy = at_dout(c, 0);
    if (n == 0)
        return;
    if (j.ndim > 0 && j.a.step[0] != 0 && j.b.step[0] != 0) {
        j.rows = n / j.size[0];
        at_for(j.size[0], at_grain_rows(5 * j.n * j.rows), parts, &j);
    } else {
        rows(0, n, &j);
    }
}

AT_OP(cosine_similarity,
      .args = {{"a", AT_FLOAT},
               {"b", AT_FLOAT},
               {"d", AT_INTEGER, .optional = true, .value = -1},
               {"eps", AT_NUMBER, .optional = true, .option = true, .value = 1e-8}},
      .shape = shape, .forward = cosine_similarity_forward, .backward = cosine_similarity_backward,
      .keeps = AT_KEEP(0) | AT_KEEP(1),
      .help = "cosine_similarity(a, b, d = -1, {eps = 1e-8}) -> y without dimension d\n"
              "a.b / (max(|a|, eps) max(|b|, eps)) along dimension d of the shape that a and b broadcast to.");
