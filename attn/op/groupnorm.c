/*
 * groupnorm: y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var of each group of channels      (Wu and He 2018)
 *
 *   x, y           [B, C, ...]; a group is C / groups neighbouring channels of one b, n values; var divides by n
 *   weight, bias   [C], may be left out (1 and 0)
 *   dx             r (g - mean(g) - h mean(g h)), r = 1 / sqrt(var + eps), h = (x - mean) r, g = dy weight, means over the group
 *   dweight        sum over b of dy h;  dbias the sum of dy
 */
#include <math.h>

#include "attn/op/channel.h"

enum { WEIGHT = 1, BIAS };
enum { GROUPS, EPS };

/* x by channels, its sums always along rows; a mean and factors for each channel of each b. */
static at_channels channels(const at_call *c)
{
    at_channels s = at_channels_of(c->in[0], 1);
    s.x = at_in(c, 0);
    s.columns = false;
    s.P = s.O;
    s.mean_step = s.C;
    return s;
}

/* x by groups: each is a channel to its sums. */
static at_channels groups_of(const at_call *c)
{
    at_channels s = channels(c);
    size_t groups = (size_t)c->arg[GROUPS].integer;
    s.I *= s.C / groups;
    s.C = s.mean_step = groups;
    return s;
}

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    int64_t groups = c->arg[GROUPS].integer;
    if (x->ndim < 2)
        return at_fail(c, "x has %d dimensions, expected [B, C, ...] (x: %s)", x->ndim, at_describe(x).text);
    if (groups < 1 || x->size[1] % (size_t)groups)
        return at_fail(c, "x has %zu channels, expected a multiple of the %lld groups (x: %s)", x->size[1],
                       (long long)groups, at_describe(x).text);
    at_channels s = channels(c);
    at_want_scratch(c, s.O * s.C * (2 * sizeof(double) + 4 * sizeof(real)));
    return at_channel_check(c, WEIGHT, s.C) && at_channel_check(c, BIAS, s.C) &&
           at_save(c, AT_REAL_DTYPE, 2 * s.O * (size_t)groups) && at_out(c, x->ndim, x->size);
}

/* Scratch: two tables of sums, then these, each a number for each channel of each b. */
typedef struct factors {
    real *mean, *a, *b, *c;
} factors;

static factors factors_of(const at_call *c, const at_channels *s)
{
    real *at = (real *)(void *)(c->work + 2 * s->O * s->C * sizeof(double));
    size_t n = s->O * s->C;
    return (factors){at, at + n, at + 2 * n, at + 3 * n};
}

static void groupnorm_forward(const at_call *c)
{
    at_channels s = channels(c), g = groups_of(c);
    const real *weight = at_channel_param(c, WEIGHT), *bias = at_channel_param(c, BIAS);
    size_t rows = g.O * g.C, in_group = g.C ? s.C / g.C : 0;
    factors f = factors_of(c, &s);
    real *mean = at_savedp(c, 0), *scale = mean + rows;

    if (at_numel(c->out[0]) == 0)
        return;
    g.first = (double *)(void *)c->work;
    at_channel_sums(&g);
    for (size_t r = 0; r < rows; r++)
        mean[r] = (real)(g.first[r] / (double)g.I);
    g.mean = mean;
    at_channel_sums(&g);
    for (size_t r = 0; r < rows; r++)
        scale[r] = (real)(1 / sqrt(g.first[r] / (double)g.I + c->arg[EPS].number));
    for (size_t i = 0; i < s.O * s.C; i++) {
        f.mean[i] = mean[i / in_group];
        f.a[i] = scale[i / in_group] * (weight ? weight[i % s.C] : 1);
        f.b[i] = bias ? bias[i % s.C] : 0;
    }
    s.mean = f.mean;
    s.a = f.a;
    s.b = f.b;
    s.to = at_outp(c, 0);
    at_channel_map(&s);
}

static void groupnorm_backward(const at_call *c)
{
    at_channels s = channels(c), g = groups_of(c);
    const real *weight = at_channel_param(c, WEIGHT);
    size_t rows = g.O * g.C, in_group = s.C / g.C;
    const real *mean = at_savedp(c, 0), *scale = mean + rows;
    factors f = factors_of(c, &s);
    bool empty = at_numel(c->out[0]) == 0;

    s.dy = at_dout(c, 0);
    s.first = (double *)(void *)c->work;
    s.second = s.first + s.O * s.C;
    for (size_t i = 0; !empty && i < s.O * s.C; i++)
        f.mean[i] = mean[i / in_group];
    s.mean = f.mean;
    if (!empty)
        at_channel_sums(&s);
    for (size_t i = 0; i < s.C; i++) {
        double sum = 0, dot = 0;
        for (size_t o = 0; !empty && o < s.O; o++) {
            sum += s.first[o * s.C + i];
            dot += s.second[o * s.C + i] * (double)scale[o * g.C + i / in_group];
        }
        at_channel_give(c, WEIGHT, i, dot);
        at_channel_give(c, BIAS, i, sum);
    }
    if (empty || !at_din(c, 0))
        return;
    for (size_t r = 0; r < rows; r++) {
        double sum = 0, dot = 0, q = (double)scale[r];
        for (size_t i = r * in_group; i < (r + 1) * in_group; i++) {
            double w = weight ? (double)weight[i % s.C] : 1;
            sum += w * s.first[i];
            dot += w * s.second[i];
            f.a[i] = (real)(w * q);
        }
        for (size_t i = r * in_group; i < (r + 1) * in_group; i++) {
            f.b[i] = (real)(-q * q * q * dot / (double)g.I);
            f.c[i] = (real)(-q * sum / (double)g.I);
        }
    }
    s.a = f.a;
    s.b = f.b;
    s.c = f.c;
    s.to = at_din(c, 0);
    s.add = !at_is_fresh(c, 0);
    at_channel_map(&s);
}

AT_OP(groupnorm,
      .args = {{"x", AT_FLOAT},
               {"weight", AT_FLOAT, .optional = true},
               {"bias", AT_FLOAT, .optional = true},
               {"groups", AT_INTEGER},
               {"eps", AT_NUMBER, .optional = true, .value = 1e-5}},
      .shape = shape, .forward = groupnorm_forward, .backward = groupnorm_backward, .fresh = true, .internal = true,
      .keeps = AT_KEEP(0) | AT_KEEP(WEIGHT),
      .help = "groupnorm(x [B, C, ...], weight, bias, groups, eps) -> y like x\n"
              "What layer.groupnorm is made of.");
