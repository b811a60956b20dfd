/*
 * Projective trees: Eisner's inside-outside algorithm (Eisner 1996), n^3 / 2 sums over three kinds of spans.
 *
 * Squares of cells [d, i] for the words i .. i + d, so that all spans of one length are made at once:
 *
 *   R   i .. i + d under i,    L   under i + d
 *   X   under nobody yet:            X[d, i] = join_l R[l, i] + L[d - 1 - l, i + l + 1]
 *   IR  the arc from i to i + d:     X + e[i + d, i],   IL  the other way: X + e[i, i + d]
 *
 *   R[d, i] = join_l IR[l, i] + R[d - l, i + l]        L[d, i] = join_l L[l, i] + IL[d - l, i + l]
 *   Z       = join_r L[r, 0] + F[r],  F[r] = R[n - 1 - r, r] + e[r, r]
 */
#include <string.h>

#include "attn/core/stop.h"
#include "attn/structured/chart.h"

typedef struct layout {
    size_t R, L, X, IR, IL, F, Z;
} layout;

static layout lay(size_t n)
{
    size_t s = n * n;
    return (layout){0, s, 2 * s, 3 * s, 4 * s, 5 * s, 5 * s + n};
}

static size_t room(size_t n) { return 5 * n * n + n + 1; }

/* The joins of all spans of length d: along with l the one row moves on by a length, the other back by one and to the right. */
typedef struct spans {
    at_joins q;
    size_t a[3], b[3], y[3];
} spans;
enum { BETWEEN, RIGHT, LEFT };

static spans of_length(const layout *at, size_t n, size_t d)
{
    return (spans){{.width = n - d, .n = d, .sa = (ptrdiff_t)n, .sb = 1 - (ptrdiff_t)n},
                   {at->R, at->IR + n, at->L},
                   {at->L + (d - 1) * n + 1, at->R + (d - 1) * n + 1, at->IL + d * n},
                   {at->X + d * n, at->R + d * n, at->L + d * n}};
}

static at_joins to_root(size_t n) { return (at_joins){.width = 1, .n = n, .sa = (ptrdiff_t)n, .sb = 1}; }

static double up(size_t n, const double *arcs, const double *tangent, const at_chart *c)
{
    layout at = lay(n);
    double *x = c->t ? c->t : c->v;
    const double *e = c->t ? tangent : arcs;

    memset(x + at.R, 0, n * sizeof *x);
    memset(x + at.L, 0, n * sizeof *x);
    for (size_t d = 1; d < n && !at_cut_short(); d++) {
        spans s = of_length(&at, n, d);
        at_chart_up(c, s.q, s.a[BETWEEN], s.b[BETWEEN], s.y[BETWEEN]);
        for (size_t i = 0; i + d < n; i++) {
            x[at.IR + d * n + i] = x[at.X + d * n + i] + e[(i + d) * n + i];
            x[at.IL + d * n + i] = x[at.X + d * n + i] + e[i * n + i + d];
        }
        at_chart_up(c, s.q, s.a[RIGHT], s.b[RIGHT], s.y[RIGHT]);
        at_chart_up(c, s.q, s.a[LEFT], s.b[LEFT], s.y[LEFT]);
    }
    for (size_t r = 0; r < n; r++)
        x[at.F + r] = x[at.R + (n - 1 - r) * n + r] + e[r * n + r];
    at_chart_up(c, to_root(n), at.L, at.F, at.Z);
    return x[at.Z];
}

static void down(size_t n, const double *arcs, const double *tangent, const at_chart *c, double *m)
{
    layout at = lay(n);
    const double *y = c->t ? c->h : c->g;
    double *x[2] = {c->g, c->h};
    int both = c->t ? 2 : 1;

    (void)arcs, (void)tangent;
    memset(m, 0, n * n * sizeof *m);
    if (c->v[at.Z] == -INFINITY)
        return;
    for (int k = 0; k < both; k++)
        memset(x[k], 0, room(n) * sizeof *x[k]);
    c->g[at.Z] = 1;
    at_chart_down(c, to_root(n), at.L, at.F, at.Z);
    for (size_t r = 0; r < n; r++) {
        for (int k = 0; k < both; k++)
            x[k][at.R + (n - 1 - r) * n + r] += x[k][at.F + r];
        m[r * n + r] = y[at.F + r];
    }
    for (size_t d = n - 1; d > 0 && !at_cut_short(); d--) {
        spans s = of_length(&at, n, d);
        at_chart_down(c, s.q, s.a[RIGHT], s.b[RIGHT], s.y[RIGHT]);
        at_chart_down(c, s.q, s.a[LEFT], s.b[LEFT], s.y[LEFT]);
        for (size_t i = 0; i + d < n; i++) {
            m[(i + d) * n + i] = y[at.IR + d * n + i];
            m[i * n + i + d] = y[at.IL + d * n + i];
            for (int k = 0; k < both; k++)
                x[k][at.X + d * n + i] = x[k][at.IR + d * n + i] + x[k][at.IL + d * n + i];
        }
        at_chart_down(c, s.q, s.a[BETWEEN], s.b[BETWEEN], s.y[BETWEEN]);
    }
}

/* ---- the best tree: the same with the greatest term for the sum ---- */

static size_t best_room(size_t n) { return room(n) * sizeof(double) + 3 * n * n * sizeof(int32_t); }

/* cut: the l of each cell. NaN counts as greatest, so that it is found in the end. */
static void greatest(at_joins q, const double *a, const double *b, double *y, int32_t *cut)
{
    for (size_t i = 0; i < q.width; i++) {
        y[i] = a[i] + b[i];
        cut[i] = 0;
        for (size_t l = 1; l < q.n; l++) {
            double x = a[(ptrdiff_t)l * q.sa + (ptrdiff_t)i] + b[(ptrdiff_t)l * q.sb + (ptrdiff_t)i];
            if (!(x <= y[i]) && y[i] == y[i]) {
                y[i] = x;
                cut[i] = (int32_t)l;
            }
        }
    }
}

/* Spans still to be taken apart: what and from where to where. At most one more than words at any time. */
typedef struct span {
    int32_t kind, i, j;
} span;

static double best(size_t n, const double *arcs, int64_t *heads, char *work)
{
    layout at = lay(n);
    double *v = (double *)(void *)work;
    int32_t *cut = (int32_t *)(void *)(v + room(n)), root;

    memset(heads, 0, n * sizeof *heads);
    memset(v + at.R, 0, n * sizeof *v);
    memset(v + at.L, 0, n * sizeof *v);
    for (size_t d = 1; d < n && !at_cut_short(); d++) {
        spans s = of_length(&at, n, d);
        for (size_t kind = BETWEEN; kind <= LEFT; kind++) {
            greatest(s.q, v + s.a[kind], v + s.b[kind], v + s.y[kind], cut + (kind * n + d) * n);
            for (size_t i = 0; kind == BETWEEN && i + d < n; i++) {
                v[at.IR + d * n + i] = v[at.X + d * n + i] + arcs[(i + d) * n + i];
                v[at.IL + d * n + i] = v[at.X + d * n + i] + arcs[i * n + i + d];
            }
        }
    }
    for (size_t r = 0; r < n; r++)
        v[at.F + r] = v[at.R + (n - 1 - r) * n + r] + arcs[r * n + r];
    greatest(to_root(n), v + at.L, v + at.F, v + at.Z, &root);
    double score = v[at.Z];
    if (!(score > -INFINITY) || at_cut_short())
        return score;

    /* the values are done with: their room is the stack's */
    span *stack = (span *)(void *)work;
    size_t depth = 0;
#define PUSH(what, from, to) stack[depth++] = (span){what, (int32_t)(from), (int32_t)(to)}
    heads[root] = root + 1;
    PUSH(LEFT, 0, root);
    PUSH(RIGHT, root, n - 1);
    while (depth > 0) {
        span s = stack[--depth];
        if (s.i == s.j)
            continue;
        int32_t k = s.i + cut[((size_t)s.kind * n + (size_t)(s.j - s.i)) * n + (size_t)s.i];
        if (s.kind == BETWEEN) {
            PUSH(RIGHT, s.i, k);
            PUSH(LEFT, k + 1, s.j);
        } else if (s.kind == RIGHT) {
            heads[++k] = s.i + 1;
            PUSH(BETWEEN, s.i, k);
            PUSH(RIGHT, k, s.j);
        } else {
            heads[k] = s.j + 1;
            PUSH(LEFT, s.i, k);
            PUSH(BETWEEN, k, s.j);
        }
    }
#undef PUSH
    return score;
}

const at_trees at_projective_trees = {room, up, down, best_room, best};
