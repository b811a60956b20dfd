/*
 * Layer normalisation (Ba et al. 2016) and RMS normalisation (Zhang and Sennrich 2019) of one row.
 *
 *   layernorm  u = (x - mean) s, s = 1 / sqrt(var + eps), var over n;  y = u weight + bias
 *              dx = s (g - mean(g) - u mean(g u)), g = dy weight
 *   rmsnorm    u = x s, s = 1 / sqrt(mean(x^2) + eps);                 y = u weight
 *              dx = s (g - u mean(g u))
 *
 * The variance takes a second pass over the row (it is in cache): E x^2 - (E x)^2 loses all digits of rows far from 0.
 */
#include "attn/kernel/norm.h"
#include "attn/kernel/table.h"

INLINE vec weighted(const real *weight, size_t i, size_t len, vec v) { return weight ? v * get(weight + i, len) : v; }

static void layernorm(size_t n, const real *x, const real *weight, const real *bias, real eps, real *y, real *stat)
{
    vec s = {0}, q = {0};

    EACH(n, { s += get(x + i, len); });
    real mean = across(s) / (real)n;
    EACH(n, {
        vec d = get_or(x + i, len, mean) - mean;
        q += d * d;
    });
    real scale = (real)(1 / sqrt((double)across(q) / (double)n + (double)eps));
    EACH(n, {
        vec u = weighted(weight, i, len, (get(x + i, len) - mean) * scale);
        put(y + i, len, bias ? u + get(bias + i, len) : u);
    });
    stat[0] = mean;
    stat[1] = scale;
}

static void layernorm_back(size_t n, const real *x, const real *weight, const real *stat, const real *dy, real *dx,
                           real *dweight, real *dbias)
{
    real mean = stat[0], scale = stat[1];
    vec sg = {0}, sgu = {0};

    EACH(n, {
        vec d = get(dy + i, len), u = (get_or(x + i, len, mean) - mean) * scale, g = weighted(weight, i, len, d);
        sg += g;
        sgu += g * u;
        if (dweight)
            put(dweight + i, len, get(dweight + i, len) + d * u);
        if (dbias)
            put(dbias + i, len, get(dbias + i, len) + d);
    });
    if (!dx)
        return;
    real mg = across(sg) / (real)n, mgu = across(sgu) / (real)n;
    EACH(n, {
        vec u = (get(x + i, len) - mean) * scale, g = weighted(weight, i, len, get(dy + i, len));
        put(dx + i, len, get(dx + i, len) + (g - mg - u * mgu) * scale);
    });
}

static void rmsnorm(size_t n, const real *x, const real *weight, real eps, real *y, real *stat)
{
    vec q = {0};

    EACH(n, {
        vec v = get(x + i, len);
        q += v * v;
    });
    real scale = (real)(1 / sqrt((double)across(q) / (double)n + (double)eps));
    EACH(n, { put(y + i, len, weighted(weight, i, len, get(x + i, len) * scale)); });
    stat[0] = scale;
}

static void rmsnorm_back(size_t n, const real *x, const real *weight, const real *stat, const real *dy, real *dx,
                         real *dweight)
{
    real scale = stat[0];
    vec sgu = {0};

    EACH(n, {
        vec d = get(dy + i, len), u = get(x + i, len) * scale;
        sgu += weighted(weight, i, len, d) * u;
        if (dweight)
            put(dweight + i, len, get(dweight + i, len) + d * u);
    });
    if (!dx)
        return;
    real mgu = across(sgu) / (real)n;
    EACH(n, {
        vec u = get(x + i, len) * scale, g = weighted(weight, i, len, get(dy + i, len));
        put(dx + i, len, get(dx + i, len) + (g - u * mgu) * scale);
    });
}

const AT_REAL(at_norm_kernels) AT_KERNEL(at_norm_kernels) = {
    .layernorm = layernorm,
    .layernorm_back = layernorm_back,
    .rmsnorm = rmsnorm,
    .rmsnorm_back = rmsnorm_back,
};
