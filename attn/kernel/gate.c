/*
 * The gates of recurrent cells, one step of one row: everything between two matrix products in one pass over memory.
 *
 *   gru   h = (1 - z) m + z h_prev = m + z (h_prev - m)                             (Cho et al. 2014, PyTorch's form)
 *         dm = dh (1 - z) (1 - m^2), the gradient before tanh; dz = dh (h_prev - m) z (1 - z); dr = dm hi_n r (1 - r)
 *         dxi = (dr, dz, dm), dhi = (dr, dz, r dm)
 *   lstm  dct = dc + dh o (1 - tanh(c)^2); di = dct g i (1 - i); df = dct c_prev f (1 - f); dg = dct i (1 - g^2);
 *         do = dh tanh(c) o (1 - o); dc_prev = dct f
 */
#include "attn/kernel/gate.h"
#include "attn/kernel/table.h"

/* x + h + bias */
INLINE vec sum3(const real *x, const real *h, const real *bias, size_t at, size_t len)
{
    vec v = get(x + at, len) + get(h + at, len);

    return bias ? v + get(bias + at, len) : v;
}

static void rnn(size_t n, const real *xi, const real *hi, const real *bias, real *h)
{
    EACH(n, { put(h + i, len, tanh_of(sum3(xi, hi, bias, i, len))); });
}

static void rnn_back(size_t n, const real *h, const real *dh, real *dxi)
{
    EACH(n, {
        vec y = get(h + i, len);
        put(dxi + i, len, get(dh + i, len) * (1 - y * y));
    });
}

static void gru(size_t n, const real *xi, const real *hi, const real *bias, const real *h_prev, real *h, real *save)
{
    EACH(n, {
        vec r = sigmoid_of(sum3(xi, hi, bias, i, len));
        vec z = sigmoid_of(sum3(xi, hi, bias, n + i, len));
        vec hn = get(hi + 2 * n + i, len);
        if (bias)
            hn += get(bias + 2 * n + i, len);
        vec m = tanh_of(get(xi + 2 * n + i, len) + r * hn);
        put(h + i, len, m + z * (get(h_prev + i, len) - m));
        if (save) {
            put(save + i, len, r);
            put(save + n + i, len, z);
            put(save + 2 * n + i, len, m);
            put(save + 3 * n + i, len, hn);
        }
    });
}

static void gru_back(size_t n, const real *save, const real *h_prev, const real *dh, real *dxi, real *dhi,
                     real *dh_prev)
{
    EACH(n, {
        vec r = get(save + i, len);
        vec z = get(save + n + i, len);
        vec m = get(save + 2 * n + i, len);
        vec hn = get(save + 3 * n + i, len);
        vec d = get(dh + i, len);
        vec dm = d * (1 - z) * (1 - m * m);
        vec dz = d * (get(h_prev + i, len) - m) * z * (1 - z);
        vec dr = dm * hn * r * (1 - r);
        put(dxi + i, len, dr);
        put(dxi + n + i, len, dz);
        put(dxi + 2 * n + i, len, dm);
        put(dhi + i, len, dr);
        put(dhi + n + i, len, dz);
        put(dhi + 2 * n + i, len, r * dm);
        put(dh_prev + i, len, d * z);
    });
}

static void lstm(size_t n, const real *xi, const real *hi, const real *bias, const real *c_prev, real *c, real *h,
                 real *save)
{
    EACH(n, {
        vec in = sigmoid_of(sum3(xi, hi, bias, i, len));
        vec f = sigmoid_of(sum3(xi, hi, bias, n + i, len));
        vec g = tanh_of(sum3(xi, hi, bias, 2 * n + i, len));
        vec o = sigmoid_of(sum3(xi, hi, bias, 3 * n + i, len));
        vec cell = f * get(c_prev + i, len) + in * g;
        vec t = tanh_of(cell);
        put(c + i, len, cell);
        put(h + i, len, o * t);
        if (save) {
            put(save + i, len, in);
            put(save + n + i, len, f);
            put(save + 2 * n + i, len, g);
            put(save + 3 * n + i, len, o);
            put(save + 4 * n + i, len, t);
        }
    });
}

static void lstm_back(size_t n, const real *save, const real *c_prev, const real *dh, const real *dc, real *dxi,
                      real *dc_prev)
{
    EACH(n, {
        vec in = get(save + i, len);
        vec f = get(save + n + i, len);
        vec g = get(save + 2 * n + i, len);
        vec o = get(save + 3 * n + i, len);
        vec t = get(save + 4 * n + i, len);
        vec d = get(dh + i, len);
        vec dct = d * o * (1 - t * t);
        if (dc)
            dct += get(dc + i, len);
        put(dxi + i, len, dct * g * in * (1 - in));
        put(dxi + n + i, len, dct * get(c_prev + i, len) * f * (1 - f));
        put(dxi + 2 * n + i, len, dct * in * (1 - g * g));
        put(dxi + 3 * n + i, len, d * t * o * (1 - o));
        put(dc_prev + i, len, dct * f);
    });
}

const AT_REAL(at_gate_kernels) AT_KERNEL(at_gate_kernels) = {
    .rnn = rnn,
    .rnn_back = rnn_back,
    .gru = gru,
    .gru_back = gru_back,
    .lstm = lstm,
    .lstm_back = lstm_back,
};
