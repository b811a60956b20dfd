/*
 * softmax, log-softmax, logsumexp and cross-entropy of one row.
 *
 * y = exp(x - max) / sum, the maximum taken over what the mask leaves. A row with nothing left has max = -inf; it
 * counts as 0 there, so that -inf - -inf does not make NaN, and the sum is 0: the softmax of such a row is 0. A NaN in
 * x makes the row NaN.
 */
#include "attn/kernel/softmax.h"
#include "attn/kernel/table.h"

typedef uint8_t bytes __attribute__((vector_size(W)));

/* x where the mask allows, -inf elsewhere and in lanes that are not in use. */
INLINE vec allowed(const real *x, const uint8_t *mask, size_t i, size_t len)
{
    vec v = get_or(x + i, len, -INFINITY);

    if (mask) {
        bytes b = {0};
        memcpy(&b, mask + i, len);
        v = pick(__builtin_convertvector(b, ivec) != 0, v, splat(-INFINITY));
    }
    return v;
}

/* The maximum as it is to be subtracted: 0 for a row with nothing in it. */
INLINE real row_max(size_t n, const real *x, const uint8_t *mask)
{
    vec m = splat(-INFINITY);

    EACH(n, { m = greater(allowed(x, mask, i, len), m); });
    real max = across_greater(m);
    return max == -INFINITY ? 0 : max;
}

INLINE void softmax_row(size_t n, const real *x, const uint8_t *mask, real *y)
{
    real max = row_max(n, x, mask);
    vec s = {0};

    EACH(n, {
        vec e = exp_of(allowed(x, mask, i, len) - max);
        s += e;
        put(y + i, len, e);
    });
    real total = across(s), scale = total == 0 ? 0 : 1 / total;
    EACH(n, { put(y + i, len, get(y + i, len) * scale); });
}

static void softmax(size_t n, const real *x, const uint8_t *mask, real *y)
{
    if (mask)
        softmax_row(n, x, mask, y);
    else
        softmax_row(n, x, NULL, y);
}

static void softmax_back(size_t n, const real *y, const real *dy, real *dx)
{
    vec s = {0};

    EACH(n, { s += get(y + i, len) * get(dy + i, len); });
    real dot = across(s);
    EACH(n, { put(dx + i, len, get(dx + i, len) + get(y + i, len) * (get(dy + i, len) - dot)); });
}

/* Sum of exp(x - max). */
INLINE double row_sum(size_t n, const real *x, const uint8_t *mask, real max)
{
    vec s = {0};

    EACH(n, { s += exp_of(allowed(x, mask, i, len) - max); });
    return across(s);
}

static double logsumexp(size_t n, const real *x, const uint8_t *mask)
{
    real max = row_max(n, x, mask);

    /* +inf: inf - inf would be NaN; a NaN beside it is still found */
    if (max == INFINITY) {
        EACH(n, {
            vec v = allowed(x, mask, i, len);
            if (any(v != v))
                return NAN;
        });
        return INFINITY;
    }
    return max + log(row_sum(n, x, mask, max)); /* log 0 = -inf: nothing left */
}

static void log_softmax(size_t n, const real *x, const uint8_t *mask, real *y)
{
    real max = row_max(n, x, mask);
    double sum = row_sum(n, x, mask, max);
    real shift = sum == 0 ? 0 : (real)log(sum);

    EACH(n, { put(y + i, len, (allowed(x, mask, i, len) - max) - shift); });
}

static void log_softmax_back(size_t n, const real *y, const real *dy, real *dx)
{
    vec s = {0};

    EACH(n, { s += pick(get(y + i, len) == -INFINITY, splat(0), get(dy + i, len)); });
    real total = across(s);
    EACH(n, {
        vec v = get(y + i, len);
        vec d = pick(v == -INFINITY, splat(0), get(dy + i, len) - exp_of(v) * total);
        put(dx + i, len, get(dx + i, len) + d);
    });
}

static double cross_entropy(size_t n, const real *x, size_t target, real smoothing, real *stat)
{
    real max = row_max(n, x, NULL);
    double sum = row_sum(n, x, NULL, max), lse = max + log(sum);
    double loss = (1 - (double)smoothing) * (lse - x[target]);

    stat[0] = max;
    stat[1] = (real)sum;
    /* by a branch: 0 times the -inf of a logit would be NaN */
    if (smoothing != 0) {
        vec s = {0};
        EACH(n, { s += get(x + i, len); });
        loss += (double)smoothing * (lse - across(s) / (double)n);
    }
    return loss;
}

static void cross_entropy_back(size_t n, const real *x, size_t target, real smoothing, const real *stat, real scale,
                               real *dx, bool accumulate)
{
    real max = stat[0], factor = scale / stat[1], shift = scale * smoothing / (real)n;
    /* before dx, which may be x, is written; in one sum, since near the optimum p - 1 loses digits */
    vec at = exp_of(splat(x[target] - max)) * factor - scale * (1 - smoothing) - shift;
    real at_target = (accumulate ? dx[target] : 0) + at[0];

    if (accumulate)
        EACH(n, { put(dx + i, len, get(dx + i, len) + (exp_of(get(x + i, len) - max) * factor - shift)); });
    else
        EACH(n, { put(dx + i, len, exp_of(get(x + i, len) - max) * factor - shift); });
    dx[target] = at_target;
}

const AT_REAL(at_softmax_kernels) AT_KERNEL(at_softmax_kernels) = {
    .softmax = softmax,
    .softmax_back = softmax_back,
    .log_softmax = log_softmax,
    .log_softmax_back = log_softmax_back,
    .logsumexp = logsumexp,
    .cross_entropy = cross_entropy,
    .cross_entropy_back = cross_entropy_back,
};
