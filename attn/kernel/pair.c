/*
 * One query row against the rows of a memory: additive scores (Bahdanau et al. 2015) and the weighted sum.
 *
 *   e[s] = sum_d v[d] tanh(q[d] + k[s, d])
 *   with t = tanh(q + k) taken again and g = de[s] v (1 - t^2):  dq += g, dk[s] += g, dv += de[s] t
 *
 * Nothing of size S x D is stored. Backward walks the columns outside and the rows inside, so that dq and dv stay in
 * registers.
 */
#include "attn/kernel/pair.h"
#include "attn/kernel/table.h"

static void additive(size_t S, size_t D, const real *q, const real *k, size_t ldk, const real *v, real *e)
{
    for (size_t s = 0; s < S; s++) {
        vec sum = {0};
        EACH(D, { sum += get(v + i, len) * tanh_of(get(q + i, len) + get(k + s * ldk + i, len)); });
        e[s] = across(sum);
    }
}

static void additive_back(size_t S, size_t D, const real *q, const real *k, size_t ldk, const real *v, const real *de,
                          real *dq, real *dk, size_t lddk, real *dv)
{
    EACH(D, {
        vec qd = get(q + i, len);
        vec vd = get(v + i, len);
        vec sq = {0};
        vec sv = {0};
        for (size_t s = 0; s < S; s++) {
            if (de[s] == 0)
                continue;
            vec t = tanh_of(qd + get(k + s * ldk + i, len));
            vec g = de[s] * vd * (1 - t * t);
            sq += g;
            sv += de[s] * t;
            if (dk)
                put(dk + s * lddk + i, len, get(dk + s * lddk + i, len) + g);
        }
        if (dq)
            put(dq + i, len, get(dq + i, len) + sq);
        if (dv)
            put(dv + i, len, get(dv + i, len) + sv);
    });
}

/* Columns i .. i + 4 W - 1 and single vectors: four sums at once, since one alone waits for its own latency. */
static void context(size_t S, size_t D, const real *a, const real *m, size_t ldm, real *c, bool accumulate)
{
    size_t d = 0;

    for (; d + 4 * W <= D; d += 4 * W) {
        vec c0 = {0}, c1 = {0}, c2 = {0}, c3 = {0};
        for (size_t s = 0; s < S; s++) {
            const real *row = m + s * ldm + d, w = a[s];
            if (w == 0)
                continue;
            c0 += w * load(row);
            c1 += w * load(row + W);
            c2 += w * load(row + 2 * W);
            c3 += w * load(row + 3 * W);
        }
        if (accumulate) {
            c0 += load(c + d);
            c1 += load(c + d + W);
            c2 += load(c + d + 2 * W);
            c3 += load(c + d + 3 * W);
        }
        store(c + d, c0);
        store(c + d + W, c1);
        store(c + d + 2 * W, c2);
        store(c + d + 3 * W, c3);
    }
    EACH(D - d, {
        vec sum = {0};
        for (size_t s = 0; s < S; s++)
            if (a[s] != 0)
                sum += a[s] * get(m + s * ldm + d + i, len);
        if (accumulate)
            sum += get(c + d + i, len);
        put(c + d + i, len, sum);
    });
}

static void context_back(size_t S, size_t D, const real *a, const real *m, size_t ldm, const real *dc, real *da,
                         real *dm, size_t lddm)
{
    for (size_t s = 0; s < S; s++) {
        const real *row = m + s * ldm;
        if (a[s] == 0) {
            da[s] = 0;
            continue;
        }
        vec s0 = {0}, s1 = {0};
        size_t d = 0;
        for (; d + 2 * W <= D; d += 2 * W) {
            s0 += load(dc + d) * load(row + d);
            s1 += load(dc + d + W) * load(row + d + W);
        }
        EACH(D - d, { s0 += get(dc + d + i, len) * get(row + d + i, len); });
        da[s] = across(s0 + s1);
        if (dm)
            EACH(D, { put(dm + s * lddm + i, len, get(dm + s * lddm + i, len) + a[s] * get(dc + i, len)); });
    }
}

const AT_REAL(at_pair_kernels) AT_KERNEL(at_pair_kernels) = {
    .additive = additive,
    .additive_back = additive_back,
    .context = context,
    .context_back = context_back,
};
