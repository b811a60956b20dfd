/*
 * Tiles of attention. A tile is s' [keys, queries]: a row per key, a column per query, so that what softmax does to a query runs down
 * a column and lanes never meet. Each function takes the one vector of columns at s, rows ld apart.
 *
 * The running softmax of a column (Milakov and Gimelshein 2018; Rabe and Staats 2021; Dao et al. 2022):
 *
 *   m' = max(m, max_j s_j)    f = exp(m - m')    s_j = exp(s_j - m')    sum' = sum f + sum_j s_j
 *
 * What was added up under the old maximum is multiplied by f. A column of -inf only keeps m = -inf, and its s are 0. A maximum that is
 * little more than m is no new one: f is then 1, and there is nothing to multiply.
 *
 * A weight below e^-71 (float64: e^-672) of the greatest is 0: where numbers run out divided by what rounding loses, so that a row of any
 * length is the same to rounding. Products with less would fall below the smallest normal number, which takes many times as long, and
 * scores that fall with the distance make whole tiles of them.
 */
#include "attn/kernel/attend.h"
#include "attn/kernel/table.h"

INLINE vec weight_of(vec x)
{
    const vec least = splat(sizeof(real) == sizeof(float) ? (real)-71 : (real)-672); /* log(MIN / EPSILON) */
#if defined __AVX512F__ && AT_TYPE == 32 /* what a mask takes out needs no bound */
    vec n, t, y = 1 + reduce_exp(x, &n, &t);
    return (vec)_mm512_maskz_scalef_ps(_mm512_cmp_ps_mask((__m512)x, (__m512)least, _CMP_NLT_UQ), (__m512)y, (__m512)n);
#elif defined __AVX512F__
    vec n, t, y = 1 + reduce_exp(x, &n, &t);
    return (vec)_mm512_maskz_scalef_pd(
        _mm512_cmp_pd_mask((__m512d)x, (__m512d)least, _CMP_NLT_UQ), (__m512d)y, (__m512d)n);
#else
    return pick(x < least, splat(0), exp_of(greater(least, x)));
#endif
}

INLINE void cut_rows(size_t begin, size_t end, vec from, vec to, real *s, size_t ld)
{
    for (size_t j = begin; j < end; j++) {
        vec place = splat((real)j);
        store(s + j * ld, pick((place >= from) & (place < to), load(s + j * ld), splat(-INFINITY)));
    }
}

/* Rows begin .. end - 1 of s become -inf but where lo <= row < hi. Those that all columns see are passed over. */
static void attend_cut(size_t begin, size_t end, const real *lo, const real *hi, real *s, size_t ld)
{
    vec from = load(lo), to = load(hi);
    size_t first = (size_t)across_greater(from), last = (size_t)across_lesser(to);

    if (first >= last)
        first = last = end;
    cut_rows(begin, first, from, to, s, ld);
    cut_rows(last, end, from, to, s, ld);
}

static void attend_softmax(size_t keys, real *s, size_t ld, real *max, real *sum, real *factor)
{
    enum { CHAINS = 4 }; /* maxima that do not wait for one another */
    vec before = load(max), m = before, part[CHAINS] = {m, m, m, m}, total = (vec){0};
    size_t k = 0;

    for (; k + CHAINS <= keys; k += CHAINS)
        for (size_t a = 0; a < CHAINS; a++)
            part[a] = greater(load(s + (k + a) * ld), part[a]);
    for (; k < keys; k++)
        m = greater(load(s + k * ld), m);
    for (size_t a = 0; a < CHAINS; a++)
        m = greater(part[a], m);
    m = pick(m > before + 8, m, before); /* e^8 times the number of keys is far from where numbers run out */
    /* -inf - -inf would be NaN */
    vec base = pick(m > splat(-INFINITY), m, (vec){0}), f = exp_of(before - base);
    for (size_t j = 0; j < keys; j++) {
        vec e = weight_of(load(s + j * ld) - base);
        store(s + j * ld, e);
        total += e;
    }
    store(factor, f);
    store(sum, load(sum) * f + total);
    store(max, m);
}

/* s = exp(s - lse): the weights again, from the saved log of the sum (+inf for a query that sees nothing). */
static void attend_weights(size_t keys, const real *lse, real *s, size_t ld)
{
    vec l = load(lse);

    for (size_t j = 0; j < keys; j++)
        store(s + j * ld, weight_of(load(s + j * ld) - l));
}

/* dp = scale p (dp - delta): the gradient of the scores; delta_i = sum_j p_ij dp_ij. */
static void attend_back(size_t keys, const real *p, const real *delta, real scale, real *dp, size_t ld)
{
    vec d = load(delta), k = splat(scale);

    for (size_t j = 0; j < keys; j++)
        store(dp + j * ld, k * load(p + j * ld) * (load(dp + j * ld) - d));
}

const AT_REAL(at_attend_kernels) AT_KERNEL(at_attend_kernels) = {
    .cut = attend_cut,
    .softmax = attend_softmax,
    .weights = attend_weights,
    .back = attend_back,
};
