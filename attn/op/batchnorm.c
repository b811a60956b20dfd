/*
 * batchnorm: y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var of each channel     (Ioffe and Szegedy 2015)
 *
 *   x, y           any shape; dimension dim is the channel, n values each
 *   weight, bias   [C], may be left out (1 and 0)
 *   mean, var      [C]; without them those of x (var divides by n), which are results too
 *   dx             a (dy - mean(dy) - h mean(dy h)), a = weight / sqrt(var + eps), h = (x - mean) / sqrt(var + eps);
 *                  a dy with a mean given
 *   dweight        sum of dy h;  dbias the sum of dy;  dmean = - a sum dy;  dvar = - a sum dy (x - mean) / (2 (var + eps))
 */
#include <math.h>

#include "attn/op/channel.h"

enum { WEIGHT = 1, BIAS, MEAN, VAR };
enum { Y, OUT_MEAN, OUT_VAR };
enum { DIM, EPS };

static at_channels channels(const at_call *c)
{
    at_channels s = at_channels_of(c->in[0], (size_t)c->arg[DIM].integer);
    s.x = at_in(c, 0);
    return s;
}

static bool given(const at_call *c) { return at_channel_param(c, MEAN) != NULL; }

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    at_channels s = channels(c);
    bool training = !c->in[MEAN];
    for (int k = WEIGHT; k <= VAR; k++)
        if (!at_channel_check(c, k, s.C))
            return false;
    if (!c->in[MEAN] != !c->in[VAR])
        return at_fail(c, "mean and var go together");
    if (training && s.O * s.I < 2)
        return at_fail(c, "x has %zu value%s per channel, expected at least 2 in training (x: %s)", s.O * s.I,
                       s.O * s.I == 1 ? "" : "s", at_describe(x).text);
    at_want_scratch(c, at_channels_scratch(&s, 2) + 3 * s.C * sizeof(real));
    return at_save(c, AT_REAL_DTYPE, 2 * s.C) && at_out(c, x->ndim, x->size) &&
           (!training || (at_out(c, 1, &s.C) && at_out(c, 1, &s.C)));
}

/* The sum over P of a partial table. */
static double total(const at_channels *s, const double *partial, size_t c)
{
    double sum = 0;
    for (size_t p = 0; p < s->P; p++)
        sum += partial[p * s->C + c];
    return sum;
}

/* Mean and var of x, into the results. */
static void measure(const at_call *c, at_channels s)
{
    real *mean = at_outp(c, OUT_MEAN), *var = at_outp(c, OUT_VAR);
    double n = (double)(s.O * s.I);
    s.first = (double *)(void *)c->work;
    s.own = at_channels_slots(&s, 2, c->work);
    at_channel_sums(&s);
    for (size_t i = 0; i < s.C; i++)
        mean[i] = (real)(total(&s, s.first, i) / n);
    s.mean = mean;
    at_channel_sums(&s);
    for (size_t i = 0; i < s.C; i++)
        var[i] = (real)(total(&s, s.first, i) / n);
}

static void batchnorm_forward(const at_call *c)
{
    at_channels s = channels(c);
    const real *weight = at_channel_param(c, WEIGHT), *bias = at_channel_param(c, BIAS),
               *mean = at_channel_param(c, MEAN), *var = at_channel_param(c, VAR);
    real *a = (real *)(void *)c->work, *b = a + s.C, *kept = at_savedp(c, 0), *scale = kept + s.C;

    if (!mean) {
        measure(c, s);
        mean = at_outp(c, OUT_MEAN);
        var = at_outp(c, OUT_VAR);
    }
    for (size_t i = 0; i < s.C; i++) {
        kept[i] = mean[i];
        scale[i] = (real)(1 / sqrt((double)var[i] + c->arg[EPS].number));
        a[i] = scale[i] * (weight ? weight[i] : 1);
        b[i] = bias ? bias[i] : 0;
    }
    s.mean = kept;
    s.a = a;
    s.b = b;
    s.to = at_outp(c, Y);
    at_channel_map(&s);
}

static void batchnorm_backward(const at_call *c)
{
    at_channels s = channels(c);
    const real *weight = at_channel_param(c, WEIGHT), *kept = at_savedp(c, 0), *scale = kept + s.C;
    double n = (double)(s.O * s.I);
    bool fixed = given(c);

    s.dy = at_dout(c, Y);
    if (!s.dy) {
        for (int k = 0; k < c->n_in; k++)
            if (at_channel_gradient(c, k) && at_is_fresh(c, k))
                memset(at_din(c, k), 0, at_numel(c->in[k]) * sizeof(real));
        return;
    }
    s.mean = kept;
    s.first = (double *)(void *)c->work;
    s.second = s.first + s.P * s.C;
    s.own = at_channels_slots(&s, 2, c->work);
    at_channel_sums(&s);
    real *a = (real *)(void *)(c->work + at_channels_scratch(&s, 2)), *b = a + s.C, *shift = b + s.C;
    for (size_t i = 0; i < s.C; i++) {
        double sum = total(&s, s.first, i), dot = total(&s, s.second, i), w = weight ? (double)weight[i] : 1,
               r = (double)scale[i];
        a[i] = (real)(w * r);
        b[i] = fixed ? 0 : (real)(-w * r * r * r * dot / n);
        shift[i] = fixed ? 0 : (real)(-w * r * sum / n);
        at_channel_give(c, WEIGHT, i, dot * r);
        at_channel_give(c, BIAS, i, sum);
        at_channel_give(c, MEAN, i, -w * r * sum);
        at_channel_give(c, VAR, i, -0.5 * w * r * r * r * dot);
    }
    s.a = a;
    s.b = b;
    s.c = shift;
    s.to = at_din(c, 0);
    s.add = !at_is_fresh(c, 0);
    if (s.to)
        at_channel_map(&s);
}

AT_OP(batchnorm,
      .args = {{"x", AT_FLOAT},
               {"weight", AT_FLOAT, .optional = true},
               {"bias", AT_FLOAT, .optional = true},
               {"mean", AT_FLOAT, .optional = true},
               {"var", AT_FLOAT, .optional = true},
               {"dim", AT_DIM, .optional = true, .value = 2},
               {"eps", AT_NUMBER, .optional = true, .value = 1e-5}},
      .shape = shape, .forward = batchnorm_forward, .backward = batchnorm_backward, .outs = 3, .fresh = true,
      .internal = true, .keeps = AT_KEEP(0) | AT_KEEP(WEIGHT),
      .help = "batchnorm(x, weight, bias, mean, var, dim, eps) -> y like x, mean [C], var [C]\n"
              "What layer.batchnorm is made of.");
