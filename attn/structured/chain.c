/*
 * Chains: forward-backward in log space, best tagging (Viterbi), drawing.
 *
 *   C[t, k]   join_j A[t - 1, j] + steps[j, k], 0 at first
 *   A[t, k]   C[t, k] + unary[t, k] - max_k of it: what is likely stays near 0, however long the chain
 *   Z         join_k A[T, k] + the sum of the maxima
 *
 * v holds A, C and Z. The shares go back by join_back: m[T] = softmax A[T], m[t - 1, j] = sum_k p(j | k) m[t, k], p of the join of
 * C[t, k]. Tangents of all that: chart.h says why.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "attn/core/stop.h"
#include "attn/kernel/join.h"
#include "attn/kernel/map.h"
#include "attn/kernel/reduce.h"
#include "attn/kernel/softmax.h"
#include "attn/structured/chain.h"

static const double *steps_to(const at_chain *q, size_t t) { return q->steps + (t - 1) * q->apart; }

static at_joins over(const at_chain *q) { return (at_joins){q->tags, q->tags, 1, (ptrdiff_t)q->tags, true}; }

/* What the join of C[t], t > 0, reads and writes; of the values, or of what is laid out like them. steps may be NULL. */
static at_join_f64 cells(const at_chain *q, size_t t, const double *A, const double *steps, const double *C)
{
    const double *s = steps ? steps + (t - 1) * q->apart : NULL;
    return (at_join_f64){(double *)(uintptr_t)(A + (t - 1) * q->tags), (double *)(uintptr_t)s,
                         (double *)(uintptr_t)(C + t * q->tags)};
}

double at_chain_up(const at_chain *q, double *v)
{
    size_t T = q->T, n = q->tags;
    double *A = v, *C = v + T * n, *Z = v + 2 * T * n;
    at_joins joins = over(q);

    *Z = 0;
    memset(C, 0, n * sizeof *C);
    for (size_t t = 0; t < T && !at_cut_short(); t++) {
        double *a = A + t * n;
        if (t) {
            at_join_f64 x = cells(q, t, A, q->steps, C);
            K->join->join(&joins, &x);
        }
        K->map->add(n, C + t * n, 1, q->unary + t * n, 1, a);
        double max = K->reduce->max(n, a);
        if (max == -INFINITY)
            return *Z = max;
        for (size_t k = 0; k < n; k++)
            a[k] -= max;
        *Z += max;
    }
    return *Z += K->softmax->logsumexp(n, A + (T - 1) * n, NULL);
}

void at_chain_down(const at_chain *q, const double *v, double share, double *m, double *dsteps)
{
    size_t T = q->T, n = q->tags;
    const double *A = v, *C = v + T * n, *Z = v + 2 * T * n;
    at_joins joins = over(q);

    memset(m, 0, T * n * sizeof *m);
    if (*Z == -INFINITY)
        return;
    K->softmax->softmax(n, A + (T - 1) * n, NULL, m + (T - 1) * n);
    K->map->scale(n, share, m + (T - 1) * n, m + (T - 1) * n);
    for (size_t t = T - 1; t > 0 && !at_cut_short(); t--) {
        at_join_f64 x = cells(q, t, A, q->steps, C), d = cells(q, t, m, dsteps, m);
        K->join->join_back(&joins, &x, &d);
    }
}

void at_chain_tangent(const at_chain *q, const double *v, const double *direction, double *t, double *m, double *tm,
                      double *tsteps)
{
    size_t T = q->T, n = q->tags, last = (T - 1) * n;
    const double *A = v, *C = v + T * n, *Z = v + 2 * T * n;
    double *tA = t, *tC = t + T * n;
    at_joins joins = over(q);

    memset(m, 0, T * n * sizeof *m);
    memset(tm, 0, T * n * sizeof *tm);
    if (*Z == -INFINITY)
        return;
    memset(tC, 0, n * sizeof *tC);
    for (size_t i = 0; i < T && !at_cut_short(); i++) {
        if (i) {
            at_join_f64 x = cells(q, i, A, q->steps, C), tx = cells(q, i, tA, NULL, tC);
            K->join->join_tangent(&joins, &x, &tx);
        }
        K->map->add(n, tC + i * n, 1, direction + i * n, 1, tA + i * n);
    }
    K->softmax->softmax(n, A + last, NULL, m + last);
    K->softmax->softmax_back(n, m + last, tA + last, tm + last); /* symmetric: the tangent is the gradient */
    for (size_t i = T - 1; i > 0 && !at_cut_short(); i--) {
        at_join_f64 x = cells(q, i, A, q->steps, C), tx = cells(q, i, tA, NULL, tC);
        at_join_f64 d = cells(q, i, m, NULL, m), td = cells(q, i, tm, tsteps, tm);
        K->join->join_back_tangent(&joins, &x, &tx, &d, &td);
    }
}

/* ---- the best ---- */

double at_chain_best(const at_chain *q, int64_t *tags, int32_t *back, double *a, double *b)
{
    size_t T = q->T, n = q->tags;

    memset(tags, 0, T * sizeof *tags);
    for (size_t t = 0; t < T && !at_cut_short(); t++) {
        for (size_t k = 0; k < n; k++) {
            const double *s = t ? steps_to(q, t) + k : NULL;
            double max = t ? a[0] + s[0] : 0;
            size_t place = 0;
            for (size_t j = 1; t && j < n; j++)
                if (!(a[j] + s[j * n] <= max) &&
                    max == max) { /* NaN counts as greatest, so that it is found in the end */
                    max = a[j] + s[j * n];
                    place = j;
                }
            b[k] = max + q->unary[t * n + k];
            back[t * n + k] = (int32_t)place;
        }
        memcpy(a, b, n * sizeof *a);
    }
    size_t tag = 0;
    for (size_t k = 1; k < n; k++)
        if (!(a[k] <= a[tag]) && a[tag] == a[tag])
            tag = k;
    if (!(a[tag] > -INFINITY) || at_cut_short())
        return a[tag];
    for (size_t t = T; t-- > 0;) {
        tags[t] = (int64_t)tag + 1;
        tag = (size_t)back[t * n + tag];
    }
    return a[(size_t)tags[T - 1] - 1];
}

/* ---- drawing: the last tag from its probabilities, each one before given the next ---- */

/* A place with probability exp(a + b - y), b apart by n, found by u. The last that is possible where rounding leaves nothing. */
static size_t draw(size_t n, const double *a, const double *b, double y, double u)
{
    size_t place = 0;
    for (size_t j = 0; j < n; j++) {
        double p = exp(a[j] + (b ? b[j * n] : 0) - y);
        if (p > 0) {
            place = j;
            if (u < p)
                break;
        }
        u -= p;
    }
    return place;
}

void at_chain_draw(const at_chain *q, const double *v, const double *u, int64_t *tags)
{
    size_t T = q->T, n = q->tags;
    const double *A = v, *C = v + T * n, *Z = v + 2 * T * n;

    memset(tags, 0, T * sizeof *tags);
    if (!(*Z > -INFINITY))
        return;
    size_t k = draw(n, A + (T - 1) * n, NULL, K->softmax->logsumexp(n, A + (T - 1) * n, NULL), u[T - 1]);
    tags[T - 1] = (int64_t)k + 1;
    for (size_t t = T - 1; t > 0; t--) {
        k = draw(n, A + (t - 1) * n, steps_to(q, t) + k, C[t * n + k], u[t - 1]);
        tags[t - 1] = (int64_t)k + 1;
    }
}
