/*
 * All trees with one root: the matrix-tree theorem (Koo et al. 2007), by elimination without a subtraction.
 *
 * The determinant of the Laplacian of the arcs is a sum of positive terms, and so is every number of its elimination when the diagonal
 * is never stored but summed anew (Grassmann, Taksar and Heyman 1985): words leave from the last to the first, word k by
 *
 *   w[i, j] += w[i, k] w[k, j] / S[k],   S[k] = sum_{j < k} w[k, j],   i, j < k or j the root
 *
 * so that logarithms lose no digits whatever the size of the scores. Written as the final w, w[i, j] is one join over l > max(i, j); all
 * of a word k, to the words before it, are made at once:
 *
 *   A[k, j]   log w[k, j] after all words behind k have left;  AR[k] from the root
 *   C[k, i]   log w[i, k] the same
 *   P[k, j]   join_l C[l, k] + V[l, j], what was added to e[k, j];  Q[k, i]  join_l V[l, k] + C[l, i], to e[i, k];  PR[k]
 *   V[k, j]   A[k, j] - S[k], the share of head j among those of word k;  VR[k]
 *
 * One root: arcs from the root are no part of S, and weigh infinitely less than all others. A word k with no other head left (the first
 * at the latest) is the root: Z gets its AR[k]. From then on the root is an ordinary head, whose arcs are those to k. Z = sum of S.
 */
#include <string.h>

#include "attn/core/stop.h"
#include "attn/structured/chart.h"
#include "attn/kernel/softmax.h"

typedef struct layout {
    size_t A, C, P, Q, V, AR, PR, VR, S, Z;
} layout;

static layout lay(size_t n)
{
    size_t s = n * n, r = 5 * s;
    return (layout){0, s, 2 * s, 3 * s, 4 * s, r, r + n, r + 2 * n, r + 3 * n, r + 4 * n};
}

static size_t room(size_t n) { return 5 * n * n + 4 * n + 1; }

/* Joins over `count` words behind word k, of `width` cells; the one of the root has a row of numbers below. */
static at_joins over(size_t n, size_t width, size_t count)
{
    return (at_joins){.width = width, .n = count, .sa = (ptrdiff_t)n, .sb = (ptrdiff_t)n, .one = true};
}

static at_joins over_root(size_t n, size_t count)
{
    return (at_joins){.width = 1, .n = count, .sa = (ptrdiff_t)n, .sb = 1};
}

/* u = log(exp(e) + exp(p)), and its tangent. */
static void merge_up(const at_chart *c, double e, double te, size_t p, size_t u)
{
    const double *v = c->v;
    if (c->t) {
        c->t[u] = v[u] == -INFINITY ? 0 : exp(e - v[u]) * te + exp(v[p] - v[u]) * c->t[p];
        return;
    }
    double max = e > v[p] ? e : v[p], less = e > v[p] ? v[p] : e;
    c->v[u] = max == -INFINITY ? max : max + log1p(exp(less - max));
}

/* The share of u given to p; returns that of e, or its tangent. */
static double merge_down(const at_chart *c, double e, double te, size_t p, size_t u)
{
    const double *v = c->v;
    if (v[u] == -INFINITY)
        return 0;
    double of_e = exp(e - v[u]), of_p = exp(v[p] - v[u]);
    c->g[p] = c->g[u] * of_p;
    if (!c->t)
        return c->g[u] * of_e;
    c->h[p] = (c->h[u] + c->g[u] * (c->t[p] - c->t[u])) * of_p;
    return (c->h[u] + c->g[u] * (te - c->t[u])) * of_e;
}

static double up(size_t n, const double *arcs, const double *tangent, const at_chart *c)
{
    layout at = lay(n);
    double total = 0, *v = c->v, *t = c->t, *x = t ? t : v;
    size_t root = n; /* n: not known yet */

    if (t && v[at.Z] == -INFINITY)
        return 0;
    for (size_t k = n; k-- > 0 && !at_cut_short();) {
        size_t behind = n - 1 - k, row = k * n, next = row + n;
        at_chart_up(c, over(n, k, behind), at.C + next + k, at.V + next, at.P + row);
        at_chart_up(c, over(n, k, behind), at.V + next + k, at.C + next, at.Q + row);
        for (size_t j = 0; j < k; j++) {
            merge_up(c, arcs[row + j], t ? tangent[row + j] : 0, at.P + row + j, at.A + row + j);
            merge_up(c, arcs[j * n + k], t ? tangent[j * n + k] : 0, at.Q + row + j, at.C + row + j);
        }
        at_chart_up(c, over_root(n, root < n ? root - k : behind), at.C + next + k, at.VR + k + 1, at.PR + k);
        merge_up(c, root < n ? -INFINITY : arcs[row + k], t ? tangent[row + k] : 0, at.PR + k, at.AR + k);

        const double *a = v + at.A + row, of_root = root < n ? v[at.AR + k] : -INFINITY;
        if (!t) {
            double others = K->softmax->logsumexp(k, a, NULL), max = others > of_root ? others : of_root;
            v[at.S + k] = max == -INFINITY ? max : max + log1p(exp((others > of_root ? of_root : others) - max));
        }
        double s = v[at.S + k], ts = 0;
        if (s == -INFINITY && root == n) {
            root = k;
            total += x[at.AR + k];
            for (size_t j = 0; j < k; j++)
                x[at.V + row + j] = t ? 0 : -INFINITY;
            x[at.VR + k] = 0;
            continue;
        }
        for (size_t j = 0; t && j < k; j++)
            ts += exp(a[j] - s) * t[at.A + row + j];
        if (t)
            ts += exp(of_root - s) * t[at.AR + k];
        s = t ? ts : s;
        total += s;
        if (total == -INFINITY)
            break;
        for (size_t j = 0; j < k; j++)
            x[at.V + row + j] = x[at.A + row + j] - s;
        x[at.VR + k] = x[at.AR + k] - s;
    }
    return x[at.Z] = total;
}

/* From V and S to A: V = A - S, S the sum of the A's. */
static void share_out(const at_chart *c, double gs, double hs, size_t from, size_t to, bool counted)
{
    double q = counted ? exp(c->v[from]) : 0;
    c->g[to] += c->g[from] + gs * q;
    if (c->t)
        c->h[to] += c->h[from] + (hs + gs * c->t[from]) * q;
}

static void down(size_t n, const double *arcs, const double *tangent, const at_chart *c, double *m)
{
    layout at = lay(n);
    double *v = c->v, *t = c->t, *g = c->g, *h = c->h;
    size_t root = n - 1;

    memset(m, 0, n * n * sizeof *m);
    if (v[at.Z] == -INFINITY)
        return;
    memset(g, 0, room(n) * sizeof *g);
    if (t)
        memset(h, 0, room(n) * sizeof *h);
    while (root > 0 && v[at.S + root] != -INFINITY)
        root--;
    for (size_t k = 0; k < n && !at_cut_short(); k++) {
        size_t behind = n - 1 - k, row = k * n, next = row + n;
        if (k == root)
            g[at.AR + k] += 1;
        else {
            double gs = 1 - g[at.VR + k], hs = t ? -h[at.VR + k] : 0;
            for (size_t j = 0; j < k; j++) {
                gs -= g[at.V + row + j];
                hs -= t ? h[at.V + row + j] : 0;
            }
            for (size_t j = 0; j < k; j++)
                share_out(c, gs, hs, at.V + row + j, at.A + row + j, true);
            share_out(c, gs, hs, at.VR + k, at.AR + k, k < root);
        }
        for (size_t j = 0; j < k; j++) {
            m[row + j] = merge_down(c, arcs[row + j], t ? tangent[row + j] : 0, at.P + row + j, at.A + row + j);
            m[j * n + k] = merge_down(c, arcs[j * n + k], t ? tangent[j * n + k] : 0, at.Q + row + j, at.C + row + j);
        }
        m[row + k] =
            merge_down(c, k < root ? -INFINITY : arcs[row + k], t ? tangent[row + k] : 0, at.PR + k, at.AR + k);
        at_chart_down(c, over(n, k, behind), at.C + next + k, at.V + next, at.P + row);
        at_chart_down(c, over(n, k, behind), at.V + next + k, at.C + next, at.Q + row);
        at_chart_down(c, over_root(n, k < root ? root - k : behind), at.C + next + k, at.VR + k + 1, at.PR + k);
    }
}

/* ---- the best tree: Chu and Liu 1965, Edmonds 1967, for dense graphs ----
 *
 * Every word takes its best arc; a cycle becomes one node, whose arcs are what the others lose or win by breaking it; and so on, at
 * most n times n^2. That there is one root is part of the order of scores: fewer arcs from the root are better than any score. */

typedef struct arc {
    double score;       /* -inf: none */
    int32_t roots;      /* arcs from the root that it adds */
    int32_t head, word; /* the arc it stands for; head = word: from the root */
} arc;

static bool better(const arc *a, const arc *b)
{
    if (a->score == -INFINITY || b->score == -INFINITY)
        return b->score == -INFINITY && a->score > -INFINITY;
    return a->roots != b->roots ? a->roots < b->roots : a->score > b->score;
}

/*
 * Places 0 .. n - 1 hold what is left of the words: a row of n + 1 arcs each, the last from the root. A cycle goes to the place of one of
 * its members, with a number of its own from n on; of each number: whose part it became, the arc it took, whether that was broken up.
 */
typedef struct graph {
    size_t n, numbers;
    arc *w, *taken;
    int32_t *from, *number, *gone, *mark, *part_of, *broken;
} graph;

static size_t best_room(size_t n) { return (n * (n + 1) + 2 * n) * sizeof(arc) + 8 * n * sizeof(int32_t); }

static arc *arc_of(const graph *q, size_t i, size_t j) { return q->w + i * (q->n + 1) + j; }

/* The best arc of every place; false: one has none. */
static bool choose(const graph *q)
{
    for (size_t i = 0; i < q->n; i++) {
        size_t b = q->n;
        if (q->gone[i])
            continue;
        for (size_t j = 0; j < q->n; j++)
            if (!q->gone[j] && better(arc_of(q, i, j), arc_of(q, i, b)))
                b = j;
        if (arc_of(q, i, b)->score == -INFINITY)
            return false;
        q->from[i] = (int32_t)b;
        q->taken[q->number[i]] = *arc_of(q, i, b);
    }
    return true;
}

/* A place on a cycle, n if there is none: a way up that comes back to where this search was. */
static size_t cycle(const graph *q)
{
    for (size_t i = 0; i < q->n; i++)
        q->mark[i] = -1;
    for (size_t i = 0; i < q->n; i++) {
        size_t x = q->gone[i] ? q->n : i;
        for (; x < q->n && q->mark[x] < 0; x = (size_t)q->from[x])
            q->mark[x] = (int32_t)i;
        if (x < q->n && q->mark[x] == (int32_t)i)
            return x;
    }
    return q->n;
}

/* The cycle through `at` becomes one. */
static void contract(graph *q, size_t at)
{
    size_t n = q->n, x = at;
    do { /* an arc into it replaces one of its own */
        arc old = *arc_of(q, x, (size_t)q->from[x]);
        for (size_t j = 0; j <= n; j++)
            if (arc_of(q, x, j)->score > -INFINITY) {
                arc_of(q, x, j)->score -= old.score;
                arc_of(q, x, j)->roots -= old.roots;
            }
        q->part_of[q->number[x]] = (int32_t)q->numbers;
        x = (size_t)q->from[x];
    } while (x != at);
    for (x = (size_t)q->from[at]; x != at; x = (size_t)q->from[x]) {
        q->gone[x] = 1;
        for (size_t j = 0; j <= n; j++)
            if (better(arc_of(q, x, j), arc_of(q, at, j)))
                *arc_of(q, at, j) = *arc_of(q, x, j);
        for (size_t i = 0; i < n; i++)
            if (better(arc_of(q, i, x), arc_of(q, i, at)))
                *arc_of(q, i, at) = *arc_of(q, i, x);
    }
    arc_of(q, at, at)->score = -INFINITY;
    q->number[at] = (int32_t)q->numbers;
    q->part_of[q->numbers++] = -1;
}

static double best(size_t n, const double *arcs, int64_t *heads, char *work)
{
    graph q = {.n = n, .numbers = n};
    double score = 0;
    size_t roots = 0, at = 0;

    q.w = (arc *)(void *)work;
    q.taken = q.w + n * (n + 1);
    q.from = (int32_t *)(void *)(q.taken + 2 * n);
    q.number = q.from + n;
    q.gone = q.number + n;
    q.mark = q.gone + n;
    q.part_of = q.mark + n;
    q.broken = q.part_of + 2 * n;
    memset(heads, 0, n * sizeof *heads);
    memset(q.broken, 0, 2 * n * sizeof *q.broken);
    for (size_t i = 0; i < n; i++) {
        q.number[i] = (int32_t)i;
        q.gone[i] = 0;
        q.part_of[i] = -1;
        *arc_of(&q, i, i) = (arc){-INFINITY, 0, 0, 0};
        for (size_t j = 0; j < n; j++) {
            if (isnan(arcs[i * n + j]))
                return NAN;
            *arc_of(&q, i, i == j ? n : j) = (arc){arcs[i * n + j], i == j, (int32_t)j, (int32_t)i};
        }
    }
    do {
        if (!choose(&q) || at_cut_short())
            return -INFINITY;
        at = cycle(&q);
        if (at < n)
            contract(&q, at);
    } while (at < n);
    /* from the outermost in: the arc into a cycle takes the place of the one that its word, and what held the word, had taken */
    for (size_t i = q.numbers; i-- > 0;)
        if (!q.broken[i]) {
            arc a = q.taken[i];
            heads[a.word] = a.head + 1;
            score += arcs[(size_t)a.word * n + (size_t)a.head];
            roots += a.word == a.head;
            for (int32_t x = a.word; x != (int32_t)i; x = q.part_of[x])
                q.broken[x] = 1;
        }
    if (roots == 1)
        return score;
    memset(heads, 0, n * sizeof *heads);
    return -INFINITY;
}

const at_trees at_all_trees = {room, up, down, best_room, best};
