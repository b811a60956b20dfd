/*
 * Tiles of attention. A tile is s [keys, width]: a row per key, a column per query, so that what softmax does to a query runs down
 * a column and lanes never meet. Products of tiles are packed_gemm's (pack.c): a tile is the packed form of its queries.
 *
 * The running softmax of a column (Milakov and Gimelshein 2018; Rabe and Staats 2021; Dao et al. 2022):
 *
 *   m' = max(m, max_j s_j)    f = exp(m - m')    s_j = exp(s_j - m')    sum' = sum f + sum_j s_j
 *
 * What was added up under the old maximum is multiplied by f. A column of -inf only keeps m = -inf, and its s are 0.
 */
#include "attn/kernel/table.h"

static void attend_softmax(size_t keys, size_t width, real *s, real *max, real *sum, real *factor)
{
    for (size_t c = 0; c < width; c += W) {
        vec before = load(max + c), m = before, total = (vec){0};
        for (size_t j = 0; j < keys; j++)
            m = greater(load(s + j * width + c), m);
        /* -inf - -inf would be NaN */
        vec base = pick(m > splat(-INFINITY), m, (vec){0});
        vec f = exp_of(before - base);
        for (size_t j = 0; j < keys; j++) {
            vec e = exp_of(load(s + j * width + c) - base);
            store(s + j * width + c, e);
            total += e;
        }
        store(factor + c, f);
        store(sum + c, load(sum + c) * f + total);
        store(max + c, m);
    }
}

/* y[rows, width] *= factor[width] */
static void attend_rescale(size_t rows, size_t width, const real *factor, real *y)
{
    for (size_t c = 0; c < width; c += W) {
        vec f = load(factor + c);
        for (size_t r = 0; r < rows; r++)
            store(y + r * width + c, load(y + r * width + c) * f);
    }
}

/* s = exp(s - lse): the weights again, from the saved log of the sum (+inf for a query that sees nothing). */
static void attend_weights(size_t keys, size_t width, const real *lse, real *s)
{
    for (size_t c = 0; c < width; c += W) {
        vec l = load(lse + c);
        for (size_t j = 0; j < keys; j++)
            store(s + j * width + c, exp_of(load(s + j * width + c) - l));
    }
}

/* dp = scale p (dp - delta): the gradient of the scores; delta_i = sum_j p_ij dp_ij. */
static void attend_back(size_t keys, size_t width, const real *p, const real *delta, real scale, real *dp)
{
    for (size_t c = 0; c < width; c += W) {
        vec d = load(delta + c), k = splat(scale);
        for (size_t j = 0; j < keys; j++)
            store(dp + j * width + c, k * load(p + j * width + c) * (load(dp + j * width + c) - d));
    }
}

void AT_KERNEL(at_fill_attend)(AT_REAL(at_kernels) *t)
{
    t->attend_softmax = attend_softmax;
    t->attend_rescale = attend_rescale;
    t->attend_weights = attend_weights;
    t->attend_back = attend_back;
}
