/*
 * A row to one number.
 *
 * Sums run over four vectors of partial sums within blocks, and over the blocks in double: the order depends on
 * n only, and a float sum over a million elements keeps six digits.
 */
#include "attn/kernel/reduce.h"
#include "attn/kernel/table.h"

enum { BLOCK = 128 * W }; /* 32 additions to each partial sum */

/* `term` is an expression in i (an index) and len (see EACH), and 0 in lanes that are not in use. */
#define SUM(term)                                                                                                      \
    double total = 0;                                                                                                  \
    for (size_t start = 0; start < n && !at_cut_short(); start += BLOCK) {                                             \
        size_t end = n - start < BLOCK ? n : start + BLOCK;                                                            \
        size_t i = start;                                                                                              \
        vec s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};                                                                    \
        for (; i + 4 * W <= end;) {                                                                                    \
            const size_t len = W;                                                                                      \
            s0 += term;                                                                                                \
            i += W;                                                                                                    \
            s1 += term;                                                                                                \
            i += W;                                                                                                    \
            s2 += term;                                                                                                \
            i += W;                                                                                                    \
            s3 += term;                                                                                                \
            i += W;                                                                                                    \
        }                                                                                                              \
        for (; i + W <= end; i += W) {                                                                                 \
            const size_t len = W;                                                                                      \
            s0 += term;                                                                                                \
        }                                                                                                              \
        if (i < end) {                                                                                                 \
            const size_t len = end - i;                                                                                \
            s1 += term;                                                                                                \
        }                                                                                                              \
        total += across((s0 + s1) + (s2 + s3));                                                                        \
    }                                                                                                                  \
    return total

INLINE vec square(vec v) { return v * v; }

static double sum(size_t n, const real *x) { SUM(get(x + i, len)); }

static double sumsq(size_t n, const real *x) { SUM(square(get(x + i, len))); }

static double dot(size_t n, const real *a, const real *b) { SUM(get(a + i, len) * get(b + i, len)); }

static double distance2(size_t n, const real *a, const real *b) { SUM(square(get(a + i, len) - get(b + i, len))); }

static double sumexp(size_t n, const real *x, real max)
{
    max = max == -INFINITY ? 0 : max;
    SUM(exp_of(get_or(x + i, len, -INFINITY) - max));
}

static real max_(size_t n, const real *x)
{
    vec m = splat(-INFINITY);
    ivec nan = {0};

    EACH(n, {
        vec v = get_or(x + i, len, -INFINITY);
        m = greater(v, m);
        nan |= v != v;
    });
    return any(nan) ? (real)NAN : across_greater(m);
}

static real min_(size_t n, const real *x)
{
    vec m = splat(INFINITY);
    ivec nan = {0};

    EACH(n, {
        vec v = get_or(x + i, len, INFINITY);
        m = lesser(v, m);
        nan |= v != v;
    });
    return any(nan) ? (real)NAN : across_lesser(m);
}

const AT_REAL(at_reduce_kernels) AT_KERNEL(at_reduce_kernels) = {
    .sum = sum,
    .sumsq = sumsq,
    .dot = dot,
    .distance2 = distance2,
    .sumexp = sumexp,
    .max = max_,
    .min = min_,
};
