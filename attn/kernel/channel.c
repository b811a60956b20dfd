/*
 * Channels: sums around a mean, and affine maps. A channel is a row (step 0: one mean and one factor for all of it) or a
 * place in a row (step 1: a mean and a factor for each number).
 */
#include "attn/kernel/channel.h"
#include "attn/kernel/table.h"

enum { BLOCK = 128 * W }; /* sums are in the element type within a block, in double over the blocks */

static double spread(size_t n, const real *x, real mean)
{
    double total = 0;
    for (size_t start = 0; start < n && !at_cut_short(); start += BLOCK) {
        const real *from = x + start;
        size_t count = n - start < BLOCK ? n - start : BLOCK;
        vec s = {0};
        EACH(count, {
            vec d = get_or(from + i, len, mean) - mean;
            s += d * d;
        });
        total += across(s);
    }
    return total;
}

static double spread_back(size_t n, const real *x, real mean, const real *dy, double *sum)
{
    double total = 0, plain = 0;
    for (size_t start = 0; start < n && !at_cut_short(); start += BLOCK) {
        const real *from = x + start, *g = dy + start;
        size_t count = n - start < BLOCK ? n - start : BLOCK;
        vec s = {0}, p = {0};
        EACH(count, {
            vec v = get(g + i, len);
            s += (get_or(from + i, len, mean) - mean) * v;
            p += v;
        });
        total += across(s);
        plain += across(p);
    }
    *sum = plain;
    return total;
}

static void spreads(size_t n, const real *x, const real *mean, real *q)
{
    EACH(n, {
        vec d = get(x + i, len) - get(mean + i, len);
        put(q + i, len, get(q + i, len) + d * d);
    });
}

static void spreads_back(size_t n, const real *x, const real *mean, const real *dy, real *s, real *q)
{
    EACH(n, {
        vec g = get(dy + i, len);
        put(s + i, len, get(s + i, len) + g);
        put(q + i, len, get(q + i, len) + (get(x + i, len) - get(mean + i, len)) * g);
    });
}

INLINE vec factor(const real *p, size_t i, size_t len, size_t step) { return step ? get(p + i, len) : splat(*p); }

INLINE void centred_(size_t n, const real *x, const real *mean, const real *scale, const real *bias, size_t step,
                     real *y)
{
    EACH(n, {
        put(y + i, len,
            (get(x + i, len) - factor(mean, i, len, step)) * factor(scale, i, len, step) + factor(bias, i, len, step));
    });
}

static void centred(size_t n, const real *x, const real *mean, const real *scale, const real *bias, size_t step,
                    real *y)
{
    if (step)
        centred_(n, x, mean, scale, bias, 1, y);
    else
        centred_(n, x, mean, scale, bias, 0, y);
}

INLINE void back(size_t n, const real *x, const real *mean, const real *dy, const real *a, const real *b, const real *c,
                 size_t step, real *dx, bool accumulate)
{
    EACH(n, {
        vec d = get(dy + i, len) * factor(a, i, len, step) +
                (get(x + i, len) - factor(mean, i, len, step)) * factor(b, i, len, step) + factor(c, i, len, step);
        put(dx + i, len, accumulate ? get(dx + i, len) + d : d);
    });
}

static void centred_back(size_t n, const real *x, const real *mean, const real *dy, const real *a, const real *b,
                         const real *c, size_t step, real *dx, bool accumulate)
{
    if (step)
        back(n, x, mean, dy, a, b, c, 1, dx, accumulate);
    else
        back(n, x, mean, dy, a, b, c, 0, dx, accumulate);
}

const AT_REAL(at_channel_kernels) AT_KERNEL(at_channel_kernels) = {
    .spread = spread,
    .spread_back = spread_back,
    .spreads = spreads,
    .spreads_back = spreads_back,
    .centred = centred,
    .centred_back = centred_back,
};
