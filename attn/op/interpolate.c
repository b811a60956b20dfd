/*
 * interpolate: an image of another size.
 *
 *   x [B, C, H, W]    y [B, C, h, w]
 *   nearest     row i of y, from 0, is row floor(i H / h) of x, columns alike
 *   bilinear    row i lies at (i + 0.5) H / h - 0.5, at least 0, with align_corners at i (H - 1) / (h - 1) (0 if h is 1): the two
 *               rows around, weighted; columns alike; the last row stands for the one behind it
 *   dx          of the same sum
 */
#include <string.h>

#include "attn/op/rows.h"

enum { BILINEAR, NEAREST };
enum { SIZE, MODE, ALIGN };

/* Along one dimension: two places and the weight of the second. */
typedef struct tap {
    size_t low, high;
    real weight;
} tap;

typedef struct job {
    size_t H, W, h, w;
    const tap *row, *column;
    const real *x, *dy;
    real *y, *dx;
    bool fresh;
} job;

static void tabulate(size_t from, size_t to, bool nearest, bool align, tap *t)
{
    for (size_t i = 0; i < to; i++) {
        if (nearest) {
            size_t at = (size_t)((unsigned __int128)i * from / to);
            t[i] = (tap){at, at, 0};
            continue;
        }
        double x = align ? (to > 1 ? (double)i * (double)(from - 1) / (double)(to - 1) : 0)
                         : ((double)i + 0.5) * (double)from / (double)to - 0.5;
        x = x > 0 ? x : 0;
        size_t low = (size_t)x < from - 1 ? (size_t)x : from - 1;
        t[i] = (tap){low, low < from - 1 ? low + 1 : low, (real)(x - (double)low)};
    }
}

static job job_of(const at_call *c)
{
    const at_tensor *x = c->in[0];
    job s = {
        .H = x->size[2], .W = x->size[3], .h = (size_t)c->arg[SIZE].counts[0], .w = (size_t)c->arg[SIZE].counts[1]};
    tap *t = (tap *)(void *)c->work;
    tabulate(s.H, s.h, c->arg[MODE].integer == NEAREST, c->arg[ALIGN].flag, t);
    tabulate(s.W, s.w, c->arg[MODE].integer == NEAREST, c->arg[ALIGN].flag, t + s.h);
    s.row = t;
    s.column = t + s.h;
    return s;
}

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    int32_t h = c->arg[SIZE].counts[0], w = c->arg[SIZE].counts[1];
    if (x->ndim != 4)
        return at_fail(c, "x has %d dimensions, expected [B, C, H, W] (x: %s)", x->ndim, at_describe(x).text);
    if (h < 1 || w < 1)
        return at_fail(c, "size is {%d, %d}, expected at least {1, 1}", h, w);
    if (x->size[2] == 0 || x->size[3] == 0)
        return at_fail(c, "x has no pixels (x: %s)", at_describe(x).text);
    if (c->arg[ALIGN].flag && c->arg[MODE].integer == NEAREST)
        return at_fail(c, "align_corners goes with mode \"bilinear\" only");
    at_want_scratch(c, ((size_t)h + (size_t)w) * sizeof(tap));
    return at_out(c, 4, (size_t[]){x->size[0], x->size[1], (size_t)h, (size_t)w});
}

static void rows(size_t begin, size_t end, void *context)
{
    const job *s = context;
    for (size_t r = begin; r < end; r++) {
        tap v = s->row[r % s->h];
        const real *plane = s->x + r / s->h * s->H * s->W, *a = plane + v.low * s->W, *b = plane + v.high * s->W;
        real *y = s->y + r * s->w;
        for (size_t j = 0; j < s->w; j++) {
            tap u = s->column[j];
            real upper = a[u.low], lower = b[u.low];
            if (u.weight != 0) { /* what has no weight has no say: it may be infinite */
                upper += u.weight * (a[u.high] - upper);
                lower += u.weight * (b[u.high] - lower);
            }
            y[j] = v.weight != 0 ? upper + v.weight * (lower - upper) : upper;
        }
    }
}

static void interpolate_forward(const at_call *c)
{
    job s = job_of(c);
    s.x = at_in(c, 0);
    s.y = at_outp(c, 0);
    at_for(c->in[0]->size[0] * c->in[0]->size[1] * s.h, at_grain_rows(s.w), rows, &s);
}

static void planes(size_t begin, size_t end, void *context)
{
    const job *s = context;
    for (size_t plane = begin; plane < end; plane++) {
        real *dx = s->dx + plane * s->H * s->W;
        const real *dy = s->dy + plane * s->h * s->w;
        if (s->fresh)
            memset(dx, 0, s->H * s->W * sizeof(real));
        for (size_t i = 0; i < s->h && !at_cut_short(); i++) {
            tap v = s->row[i];
            real *a = dx + v.low * s->W, *b = dx + v.high * s->W;
            for (size_t j = 0; j < s->w; j++) {
                tap u = s->column[j];
                real g = *dy++, upper = g * (1 - v.weight), lower = g * v.weight;
                a[u.low] += upper * (1 - u.weight);
                a[u.high] += upper * u.weight;
                b[u.low] += lower * (1 - u.weight);
                b[u.high] += lower * u.weight;
            }
        }
    }
}

static void interpolate_backward(const at_call *c)
{
    job s = job_of(c);
    s.dy = at_dout(c, 0);
    s.dx = at_din(c, 0);
    s.fresh = at_is_fresh(c, 0);
    at_for(c->in[0]->size[0] * c->in[0]->size[1], at_grain_rows(s.H * s.W), planes, &s);
}

AT_OP(interpolate,
      .args = {{"x", AT_FLOAT},
               {"size", AT_COUNTS},
               {"mode", AT_CHOICE, .optional = true, .option = true, .choices = "bilinear|nearest"},
               {"align_corners", AT_FLAG, .optional = true, .option = true}},
      .shape = shape, .forward = interpolate_forward, .backward = interpolate_backward, .fresh = true,
      .keeps = AT_KEEP_NOTHING,
      .help =
          "interpolate(x [B, C, H, W], size, {mode = \"bilinear\", align_corners = false}) -> [B, C, h, w]\n"
          "The images in size {h, w}. mode \"bilinear\" weights the four pixels around a place, \"nearest\" takes row\n"
          "floor(i H / h) for row i, from 0, and columns alike. With align_corners the centres of the corner pixels "
          "stay where\n"
          "they are, without it the edges of the image.");
