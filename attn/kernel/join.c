/*
 * join: y[i] = log sum_l exp(a[l, i] + b[l, i]), the step of every dynamic program in log space, and what follows from it.
 *
 * With p[l, i] = exp(a + b - y), the share of l in y, the gradient is da = db = p dy, and the tangent of y is sum_l p (ta + tb). The
 * tangent of the gradient is all that a second derivative needs: join_back_tangent. Lanes run along i, so that nothing is summed across
 * them but for an a that is one number for all.
 */
#include "attn/kernel/join.h"
#include "attn/kernel/table.h"

/* Lanes of a at l, or its one number; 0 in lanes not in use. */
INLINE vec lanes(const at_joins *q, bool one, const real *a, size_t l, size_t i, size_t len)
{
    a += (ptrdiff_t)l * q->sa;
    return one ? splat(*a) : get(a + i, len);
}

INLINE vec below(const at_joins *q, const real *b, size_t l, size_t i, size_t len)
{
    return get(b + (ptrdiff_t)l * q->sb + i, len);
}

INLINE vec term(const at_joins *q, bool one, const AT_REAL(at_join) * x, size_t l, size_t i, size_t len)
{
    return lanes(q, one, x->a, l, i, len) + below(q, x->b, l, i, len);
}

/* What is subtracted from terms; infinity, so that shares are 0, where nothing is left. Lanes not in use have 0: an exp that
 * underflows in each of them would cost as much as all the rest. */
INLINE vec whole(const AT_REAL(at_join) * x, size_t i, size_t len)
{
    vec y = get(x->y + i, len);
    return pick(y == -INFINITY, splat(INFINITY), y);
}

INLINE void values(const at_joins *q, bool one, const AT_REAL(at_join) * x)
{
    EACH(q->width, {
        vec m = splat(-INFINITY), s = {0};
        for (size_t l = 0; l < q->n; l++)
            m = greater(term(q, one, x, l, i, len), m);
        m = pick(m == -INFINITY, splat(0), m); /* -inf - -inf would be NaN; a NaN is still found */
        for (size_t l = 0; l < q->n; l++)
            s += exp_of(term(q, one, x, l, i, len) - m);
        for (size_t k = 0; k < len; k++)
            x->y[i + k] = m[k] + log(s[k]);
    });
}

INLINE void add_lanes(const at_joins *q, bool one, real *da, size_t l, size_t i, size_t len, vec g)
{
    da += (ptrdiff_t)l * q->sa;
    if (one)
        *da += across(g);
    else
        put(da + i, len, get(da + i, len) + g);
}

INLINE void add_below(const at_joins *q, real *db, size_t l, size_t i, size_t len, vec g)
{
    if (db)
        put(db + (ptrdiff_t)l * q->sb + i, len, get(db + (ptrdiff_t)l * q->sb + i, len) + g);
}

INLINE void shares(const at_joins *q, bool one, const AT_REAL(at_join) * x, const AT_REAL(at_join) * d)
{
    EACH(q->width, {
        vec y = whole(x, i, len);
        vec dy = get(d->y + i, len);
        for (size_t l = 0; l < q->n; l++) {
            vec g = dy * exp_of(term(q, one, x, l, i, len) - y);
            add_lanes(q, one, d->a, l, i, len, g);
            add_below(q, d->b, l, i, len, g);
        }
    });
}

/* Of a term; without tangents of b where there are none. */
INLINE vec moved(const at_joins *q, bool one, const AT_REAL(at_join) * t, size_t l, size_t i, size_t len)
{
    return t->b ? term(q, one, t, l, i, len) : lanes(q, one, t->a, l, i, len);
}

INLINE void tangents(const at_joins *q, bool one, const AT_REAL(at_join) * x, const AT_REAL(at_join) * t)
{
    EACH(q->width, {
        vec y = whole(x, i, len);
        vec s = {0};
        for (size_t l = 0; l < q->n; l++)
            s += exp_of(term(q, one, x, l, i, len) - y) * moved(q, one, t, l, i, len);
        put(t->y + i, len, s);
    });
}

INLINE void share_tangents(const at_joins *q, bool one, const AT_REAL(at_join) * x, const AT_REAL(at_join) * t,
                           const AT_REAL(at_join) * d, const AT_REAL(at_join) * td)
{
    EACH(q->width, {
        vec y = whole(x, i, len);
        vec ty = get(t->y + i, len);
        vec dy = get(d->y + i, len);
        vec tdy = get(td->y + i, len);
        for (size_t l = 0; l < q->n; l++) {
            vec p = exp_of(term(q, one, x, l, i, len) - y);
            vec g = dy * p;
            vec h = p * (tdy + dy * (moved(q, one, t, l, i, len) - ty));
            add_lanes(q, one, d->a, l, i, len, g);
            add_below(q, d->b, l, i, len, g);
            add_lanes(q, one, td->a, l, i, len, h);
            add_below(q, td->b, l, i, len, h);
        }
    });
}

static void join(const at_joins *q, const AT_REAL(at_join) * x)
{
    if (q->one)
        values(q, true, x);
    else
        values(q, false, x);
}

static void join_back(const at_joins *q, const AT_REAL(at_join) * x, const AT_REAL(at_join) * d)
{
    if (q->one)
        shares(q, true, x, d);
    else
        shares(q, false, x, d);
}

static void join_tangent(const at_joins *q, const AT_REAL(at_join) * x, const AT_REAL(at_join) * t)
{
    if (q->one)
        tangents(q, true, x, t);
    else
        tangents(q, false, x, t);
}

static void join_back_tangent(const at_joins *q, const AT_REAL(at_join) * x, const AT_REAL(at_join) * t,
                              const AT_REAL(at_join) * d, const AT_REAL(at_join) * td)
{
    if (q->one)
        share_tangents(q, true, x, t, d, td);
    else
        share_tangents(q, false, x, t, d, td);
}

const AT_REAL(at_join_kernels) AT_KERNEL(at_join_kernels) = {
    .join = join,
    .join_back = join_back,
    .join_tangent = join_tangent,
    .join_back_tangent = join_back_tangent,
};
