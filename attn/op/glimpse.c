/*
 * glimpse: squares around a place, each twice as wide as the one before, brought to one size            (Mnih et al. 2014)
 *
 *   x [B, C, H, W]    centre [B, 2], (x, y) in -1 .. 1    y [B, scales, C, size, size]
 *   scale s     n = size 2^(s - 1) pixels wide; its first column, from 0, is floor((x + 1) W / 2 - n / 2 + 0.5), rows alike; each
 *               number is the mean of a block of 2^(s - 1) x 2^(s - 1) pixels; outside of the image is 0
 *   dx          dy / block to the pixels of each block that are inside; centre has no gradient
 */
#include <math.h>
#include <string.h>

#include "attn/op/rows.h"

enum { SIZE, SCALES };
enum { MAX_SCALES = 30 };

typedef struct job {
    size_t C, H, W, size, scales;
    const real *x, *centre, *dy;
    real *y, *dx;
    bool fresh;
} job;

static job job_of(const at_call *c)
{
    const at_tensor *x = c->in[0];
    return (job){.C = x->size[1],
                 .H = x->size[2],
                 .W = x->size[3],
                 .size = (size_t)c->arg[SIZE].integer,
                 .scales = (size_t)c->arg[SCALES].integer,
                 .centre = at_in(c, 1)};
}

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0], *centre = c->in[1];
    int64_t size = c->arg[SIZE].integer, scales = c->arg[SCALES].integer;
    if (x->ndim != 4)
        return at_fail(c, "x has %d dimensions, expected [B, C, H, W] (x: %s)", x->ndim, at_describe(x).text);
    if (centre->ndim != 2 || centre->size[0] != x->size[0] || centre->size[1] != 2)
        return at_fail(c, "centre has shape %s, expected [%zu, 2] (x: %s)",
                       at_describe_shape(centre->ndim, centre->size).text, x->size[0], at_describe(x).text);
    if (!(c->given >> SIZE & 1))
        return at_fail(c, "size is missing, expected an integer");
    if (size < 1 || size > INT32_MAX)
        return at_fail(c, "size is %lld, expected 1 to %d", (long long)size, INT32_MAX);
    if (scales < 1 || scales > MAX_SCALES)
        return at_fail(c, "scales is %lld, expected 1 to %d", (long long)scales, MAX_SCALES);
    return at_out(c, 5, (size_t[]){x->size[0], (size_t)scales, x->size[1], (size_t)size, (size_t)size});
}

/* The first column (or row) of a square of n among `length`, kept where no overflow is: beyond, all is outside anyway. */
static int64_t first_of(real centre, size_t length, double n)
{
    double at = floor(((double)centre + 1) * (double)length / 2 - n / 2 + 0.5), far = 0x1p62;
    return at > -far && at < far ? (int64_t)at : INT64_C(1) << 62;
}

/* Block i of a square from `first` on, cut to what is inside. */
static void cut(int64_t first, size_t i, size_t block, size_t length, size_t *from, size_t *to)
{
    int64_t low = first + (int64_t)(i * block), high = low + (int64_t)block, end = (int64_t)length;
    *from = (size_t)(low < 0 ? 0 : low < end ? low : end);
    *to = (size_t)(high < 0 ? 0 : high < end ? high : end);
}

/* One square of one image and channel: y from x, or dx from dy. */
static void square(const job *s, size_t b, size_t scale, size_t channel)
{
    size_t block = (size_t)1 << scale, plane = b * s->C + channel;
    double n = (double)s->size * (double)block;
    int64_t left = first_of(s->centre[2 * b], s->W, n), top = first_of(s->centre[2 * b + 1], s->H, n);
    size_t at = ((b * s->scales + scale) * s->C + channel) * s->size * s->size;
    real share = (real)(1 / ((double)block * (double)block));

    for (size_t i = 0; i < s->size && !at_cut_short(); i++)
        for (size_t j = 0; j < s->size; j++) {
            size_t r, bottom, c, right;
            double sum = 0;
            cut(top, i, block, s->H, &r, &bottom);
            cut(left, j, block, s->W, &c, &right);
            for (; r < bottom; r++)
                for (size_t k = c; k < right; k++)
                    if (s->dx)
                        s->dx[(plane * s->H + r) * s->W + k] += share * s->dy[at + i * s->size + j];
                    else
                        sum += (double)s->x[(plane * s->H + r) * s->W + k];
            if (s->y)
                s->y[at + i * s->size + j] = (real)sum * share;
        }
}

static void planes(size_t begin, size_t end, void *context)
{
    const job *s = context;
    for (size_t plane = begin; plane < end; plane++) {
        if (s->dx && s->fresh)
            memset(s->dx + plane * s->H * s->W, 0, s->H * s->W * sizeof(real));
        for (size_t scale = 0; scale < s->scales; scale++)
            square(s, plane / s->C, scale, plane % s->C);
    }
}

static void glimpse_forward(const at_call *c)
{
    job s = job_of(c);
    s.x = at_in(c, 0);
    s.y = at_outp(c, 0);
    at_for(c->in[0]->size[0] * s.C, at_grain_rows(s.size * s.size * s.scales), planes, &s);
}

static void glimpse_backward(const at_call *c)
{
    job s = job_of(c);
    s.dy = at_dout(c, 0);
    s.dx = at_din(c, 0);
    s.fresh = at_is_fresh(c, 0);
    if (at_din(c, 1) && at_is_fresh(c, 1))
        memset(at_din(c, 1), 0, at_numel(c->in[1]) * sizeof(real));
    if (s.dx)
        at_for(c->in[0]->size[0] * s.C, at_grain_rows(s.H * s.W), planes, &s);
}

AT_OP(glimpse,
      .args = {{"x", AT_FLOAT},
               {"centre", AT_FLOAT},
               {"size", AT_INTEGER, .optional = true, .option = true},
               {"scales", AT_INTEGER, .optional = true, .option = true, .value = 1}},
      .shape = shape, .forward = glimpse_forward, .backward = glimpse_backward, .fresh = true, .keeps = AT_KEEP(1),
      .help = "glimpse(x [B, C, H, W], centre [B, 2], {size =, scales = 1}) -> [B, scales, C, size, size]\n"
              "Squares around the place centre = (x, y), each in -1 .. 1: of n = size 2^(s - 1) pixels for scale s, "
              "averaged over\n"
              "blocks to size x size. The first column is floor((x + 1) W / 2 - n / 2 + 0.5), from 0, rows alike; "
              "outside of the\n"
              "image is 0. Gradient to x only (Mnih et al. 2014).");
