/*
 * grid_sample: y[b, :, i, j] = x[b, :] at the place grid[b, i, j] = (x, y), each in -1 .. 1          (Jaderberg et al. 2015)
 *
 *   x [B, C, H, W]    grid [B, H', W', 2]    y [B, C, H', W']
 *   place          (g + 1) / 2 (size - 1) with align_corners, else ((g + 1) size - 1) / 2, counted from 0
 *   bilinear       the four pixels around it, weighted; nearest: the nearest, of two the even one, as PyTorch's
 *   padding        "zeros": pixels outside are 0; "border": places are moved to the edge, without gradient to the coordinate
 *   dx, dgrid      of the same sum; nearest: dx only. A place that is NaN is outside, or the first
 *
 * x is laid out pixel by pixel, [H W, C], so that a result is a weighted sum of rows; results go back PIXELS at a time.
 */
#include <math.h>
#include <string.h>

#include "attn/op/rows.h"
#include "attn/kernel/pack.h"
#include "attn/kernel/sample.h"

enum { BILINEAR, NEAREST };
enum { ZEROS, BORDER };
enum { MODE, PADDING, ALIGN };
enum { PIXELS = 64 };

typedef struct plan {
    size_t B, C, H, W, N; /* N results a channel */
    size_t blocks, slots; /* of PIXELS results in an image; blocks of units that have a slot each */
    bool nearest, border, align;
    const real *x, *grid, *dy;
    real *y, *dgrid;
    real *rows, *drows; /* [B, H W, C] */
    real *slot;
} plan;

static size_t slot_size(const plan *p) { return 2 * PIXELS * p->C; }

static plan plan_of(const at_call *c)
{
    const at_tensor *x = c->in[0], *grid = c->in[1];
    plan p = {.B = x->size[0],
              .C = x->size[1],
              .H = x->size[2],
              .W = x->size[3],
              .N = grid->size[1] * grid->size[2],
              .nearest = c->arg[MODE].integer == NEAREST,
              .border = c->arg[PADDING].integer == BORDER,
              .align = c->arg[ALIGN].flag,
              .x = at_in(c, 0),
              .grid = at_in(c, 1)};
    p.blocks = at_ratio(p.N, PIXELS);
    p.slots = p.B * p.blocks < AT_SLOTS ? p.B * p.blocks : AT_SLOTS;
    p.rows = (real *)(void *)c->work;
    return p;
}

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0], *grid = c->in[1];
    if (x->ndim != 4)
        return at_fail(c, "x has %d dimensions, expected [B, C, H, W] (x: %s)", x->ndim, at_describe(x).text);
    if (grid->ndim != 4 || grid->size[0] != x->size[0] || grid->size[3] != 2)
        return at_fail(c, "grid has shape %s, expected [%zu, H', W', 2] (x: %s)",
                       at_describe_shape(grid->ndim, grid->size).text, x->size[0], at_describe(x).text);
    if (x->size[2] == 0 || x->size[3] == 0)
        return at_fail(c, "x has no pixels (x: %s)", at_describe(x).text);
    plan p = plan_of(c);
    at_want_scratch(c, ((at_recording(c) ? 2 : 1) * at_numel(x) + p.slots * slot_size(&p)) * sizeof(real));
    return at_out(c, 4, (size_t[]){p.B, p.C, grid->size[1], grid->size[2]});
}

/* ---- x pixel by pixel, and back ---- */

typedef struct turn {
    size_t m, n, images; /* [m, n] of each image becomes [n, m], PIXELS of the n at a time */
    const real *from;
    real *to;
} turn;

static void turn_part(size_t begin, size_t end, void *context)
{
    const turn *t = context;
    size_t blocks = at_ratio(t->n, PIXELS);
    for (size_t u = begin; u < end; u++) {
        size_t image = u / blocks, at = u % blocks * PIXELS, n = t->n - at < PIXELS ? t->n - at : PIXELS;
        K->pack->transpose(t->m, n, t->from + image * t->m * t->n + at, t->n, t->to + image * t->m * t->n + at * t->m,
                           t->m);
    }
}

static void turn_images(size_t images, size_t m, size_t n, const real *from, real *to)
{
    turn t = {m, n, images, from, to};
    at_for(images * (at_ratio(n, PIXELS)), at_grain_rows(PIXELS * m), turn_part, &t);
}

/* ---- places ---- */

/* A coordinate in pixels, and what it changes by when g does. */
static double place(const plan *p, real g, size_t size, double *slope)
{
    double n = (double)size, x = p->align ? ((double)g + 1) / 2 * (n - 1) : (((double)g + 1) * n - 1) / 2;
    *slope = (p->align ? n - 1 : n) / 2;
    if (!p->border)
        return x;
    if (!(x > 0) || x >= n - 1)
        *slope = 0;
    return !(x > 0) ? 0 : x < n - 1 ? x : n - 1;
}

typedef struct spot {
    ptrdiff_t at[4]; /* pixels, -1: none. First the upper two */
    real weight[4];
    double fx, fy, slope_x, slope_y;
} spot;

static ptrdiff_t pixel(const plan *p, double x, double y)
{
    bool inside = x >= 0 && x < (double)p->W && y >= 0 && y < (double)p->H;
    return inside ? (ptrdiff_t)y * (ptrdiff_t)p->W + (ptrdiff_t)x : -1;
}

static spot find(const plan *p, const real *g)
{
    spot s;
    double x = place(p, g[0], p->W, &s.slope_x), y = place(p, g[1], p->H, &s.slope_y);
    double left = p->nearest ? nearbyint(x) : floor(x), top = p->nearest ? nearbyint(y) : floor(y);
    s.fx = x - left;
    s.fy = y - top;
    s.at[0] = pixel(p, left, top);
    s.at[1] = p->nearest ? -1 : pixel(p, left + 1, top);
    s.at[2] = p->nearest ? -1 : pixel(p, left, top + 1);
    s.at[3] = p->nearest ? -1 : pixel(p, left + 1, top + 1);
    s.weight[0] = p->nearest ? 1 : (real)((1 - s.fx) * (1 - s.fy));
    s.weight[1] = (real)(s.fx * (1 - s.fy));
    s.weight[2] = (real)((1 - s.fx) * s.fy);
    s.weight[3] = (real)(s.fx * s.fy);
    return s;
}

/* n results from `first` on: their pixels and weights. */
static void find_block(const plan *p, size_t b, size_t first, size_t n, ptrdiff_t *at, real *weight)
{
    const real *g = p->grid + 2 * (b * p->N + first);
    for (size_t i = 0; i < n; i++) {
        spot s = find(p, g + 2 * i);
        memcpy(at + 4 * i, s.at, sizeof s.at);
        memcpy(weight + 4 * i, s.weight, sizeof s.weight);
    }
}

/* ---- forward ---- */

static void sample(size_t begin, size_t end, void *context)
{
    const plan *p = context;
    for (size_t slot = begin; slot < end; slot++) {
        real *y = p->slot + slot * slot_size(p);
        size_t units = p->B * p->blocks;
        for (size_t u = units * slot / p->slots; u < units * (slot + 1) / p->slots && !at_cut_short(); u++) {
            size_t b = u / p->blocks, first = u % p->blocks * PIXELS, n = p->N - first < PIXELS ? p->N - first : PIXELS;
            ptrdiff_t at[4 * PIXELS];
            real weight[4 * PIXELS];
            find_block(p, b, first, n, at, weight);
            K->sample->sample(n, p->C, p->rows + b * p->H * p->W * p->C, at, weight, y);
            K->pack->transpose(n, p->C, y, p->C, p->y + b * p->C * p->N + first, p->N);
        }
    }
}

static void grid_sample_forward(const at_call *c)
{
    plan p = plan_of(c);
    p.y = at_outp(c, 0);
    p.slot = p.rows + at_numel(c->in[0]);
    turn_images(p.B, p.C, p.H * p.W, p.x, p.rows);
    at_for(p.slots, 1, sample, &p);
}

/* ---- backward ---- */

static void give_grid(const plan *p, const real *g, const real *dweight, real *dg)
{
    spot s = find(p, g);
    if (s.at[0] < 0 && s.at[1] < 0 && s.at[2] < 0 && s.at[3] < 0)
        return; /* a place at infinity has no fraction */
    double d[4] = {(double)dweight[0], (double)dweight[1], (double)dweight[2], (double)dweight[3]};
    dg[0] += (real)(s.slope_x * ((d[1] - d[0]) * (1 - s.fy) + (d[3] - d[2]) * s.fy));
    dg[1] += (real)(s.slope_y * ((d[2] - d[0]) * (1 - s.fx) + (d[3] - d[1]) * s.fx));
}

/* An image: its results in order. */
static void scatter(size_t b, const plan *p, real *dy)
{
    size_t pixels = p->H * p->W * p->C;
    for (size_t first = 0; first < p->N && !at_cut_short(); first += PIXELS) {
        size_t n = p->N - first < PIXELS ? p->N - first : PIXELS;
        ptrdiff_t at[4 * PIXELS];
        real weight[4 * PIXELS], dweight[4 * PIXELS];
        find_block(p, b, first, n, at, weight);
        K->pack->transpose(p->C, n, p->dy + b * p->C * p->N + first, p->N, dy, p->C);
        K->sample->sample_back(n, p->C, p->rows + b * pixels, at, weight, dy, p->drows ? p->drows + b * pixels : NULL,
                               p->dgrid ? dweight : NULL);
        for (size_t i = 0; i < n && p->dgrid; i++)
            give_grid(p, p->grid + 2 * (b * p->N + first + i), dweight + 4 * i, p->dgrid + 2 * (b * p->N + first + i));
    }
}

static void scatter_slot(size_t begin, size_t end, void *context)
{
    const plan *p = context;
    for (size_t slot = begin; slot < end; slot++)
        for (size_t b = slot; b < p->B; b += p->slots)
            scatter(b, p, p->slot + slot * slot_size(p));
}

static void grid_sample_backward(const at_call *c)
{
    plan p = plan_of(c);
    size_t n = at_numel(c->in[0]);
    real *dx = at_din(c, 0);

    p.dy = at_dout(c, 0);
    p.dgrid = p.nearest ? NULL : at_din(c, 1);
    p.slot = p.rows + 2 * n;
    p.drows = dx ? p.rows + n : NULL;
    if (at_din(c, 1) && at_is_fresh(c, 1))
        memset(at_din(c, 1), 0, at_numel(c->in[1]) * sizeof(real));
    if (p.dgrid)
        turn_images(p.B, p.C, p.H * p.W, p.x, p.rows);
    if (dx && at_is_fresh(c, 0))
        at_zero(p.drows, n * sizeof(real));
    else if (dx)
        turn_images(p.B, p.C, p.H * p.W, dx, p.drows);
    at_for(p.B < p.slots ? p.B : p.slots, 1, scatter_slot, &p);
    if (dx)
        turn_images(p.B, p.H * p.W, p.C, p.drows, dx);
}

AT_OP(grid_sample,
      .args = {{"x", AT_FLOAT},
               {"grid", AT_FLOAT},
               {"mode", AT_CHOICE, .optional = true, .option = true, .choices = "bilinear|nearest"},
               {"padding", AT_CHOICE, .optional = true, .option = true, .choices = "zeros|border"},
               {"align_corners", AT_FLAG, .optional = true, .option = true}},
      .shape = shape, .forward = grid_sample_forward, .backward = grid_sample_backward, .fresh = true,
      .keeps = AT_KEEP(0) | AT_KEEP(1),
      .help = "grid_sample(x [B, C, H, W], grid [B, H', W', 2], {mode = \"bilinear\", padding = \"zeros\", "
              "align_corners = false})\n"
              "    -> [B, C, H', W']\n"
              "x at the places of the grid, each (x, y) in -1 .. 1 (attn.affine_grid makes such). mode \"bilinear\" "
              "weights the\n"
              "four pixels around, \"nearest\" takes the nearest; beyond the image is 0 with padding \"zeros\", its "
              "edge with\n"
              "\"border\". -1 and 1 are the outer edges of the corner pixels, with align_corners their centres. "
              "Gradient to x and\n"
              "grid, with \"nearest\" to x.");
