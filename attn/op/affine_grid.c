/*
 * affine_grid: grid[b, i, j] = theta[b] (x_j, y_i, 1)'                                              (Jaderberg et al. 2015)
 *
 *   theta [B, 2, 3]    grid [B, H, W, 2], places (x, y) in -1 .. 1
 *   x_j        the centres of W pixels: (2 j + 1) / W - 1, j from 0; with align_corners from -1 to 1, 0 if W is 1; y_i alike
 *   dtheta     sum over i, j of dgrid (x_j, y_i, 1)
 */
#include "attn/op/rows.h"

enum { SIZE, ALIGN };

typedef struct job {
    const real *theta, *dgrid;
    real *grid, *dtheta;
    size_t H, W;
    bool align;
} job;

static job job_of(const at_call *c)
{
    return (job){.theta = at_in(c, 0),
                 .H = (size_t)c->arg[SIZE].counts[0],
                 .W = (size_t)c->arg[SIZE].counts[1],
                 .align = c->arg[ALIGN].flag};
}

static bool shape(at_call *c)
{
    const at_tensor *t = c->in[0];
    if (t->ndim != 3 || t->size[1] != 2 || t->size[2] != 3)
        return at_fail(c, "theta has shape %s, expected [B, 2, 3]", at_describe_shape(t->ndim, t->size).text);
    for (int i = 0; i < 2; i++)
        if (c->arg[SIZE].counts[i] < 1)
            return at_fail(c, "size is {%d, %d}, expected at least {1, 1}", c->arg[SIZE].counts[0],
                           c->arg[SIZE].counts[1]);
    return at_out(c, 4, (size_t[]){t->size[0], (size_t)c->arg[SIZE].counts[0], (size_t)c->arg[SIZE].counts[1], 2});
}

static double centre(const job *s, size_t i, size_t n)
{
    if (!s->align)
        return (2 * (double)i + 1) / (double)n - 1;
    return n == 1 ? 0 : 2 * (double)i / (double)(n - 1) - 1;
}

static void lines(size_t begin, size_t end, void *context)
{
    const job *s = context;
    for (size_t r = begin; r < end; r++) {
        const real *t = s->theta + r / s->H * 6;
        double y = centre(s, r % s->H, s->H);
        real *g = s->grid + r * s->W * 2;
        for (size_t j = 0; j < s->W; j++) {
            double x = centre(s, j, s->W);
            g[2 * j] = (real)((double)t[0] * x + (double)t[1] * y + (double)t[2]);
            g[2 * j + 1] = (real)((double)t[3] * x + (double)t[4] * y + (double)t[5]);
        }
    }
}

static void affine_grid_forward(const at_call *c)
{
    job s = job_of(c);
    s.grid = at_outp(c, 0);
    at_for(c->in[0]->size[0] * s.H, at_grain_rows(2 * s.W), lines, &s);
}

static void images(size_t begin, size_t end, void *context)
{
    const job *s = context;
    for (size_t b = begin; b < end; b++) {
        const real *g = s->dgrid + b * s->H * s->W * 2;
        double sum[6] = {0};
        for (size_t i = 0; i < s->H && !at_cut_short(); i++) {
            double y = centre(s, i, s->H);
            for (size_t j = 0; j < s->W; j++, g += 2) {
                double x = centre(s, j, s->W);
                for (int k = 0; k < 2; k++) {
                    sum[3 * k] += (double)g[k] * x;
                    sum[3 * k + 1] += (double)g[k] * y;
                    sum[3 * k + 2] += (double)g[k];
                }
            }
        }
        for (int k = 0; k < 6; k++)
            s->dtheta[6 * b + (size_t)k] += (real)sum[k];
    }
}

static void affine_grid_backward(const at_call *c)
{
    job s = job_of(c);
    s.dgrid = at_dout(c, 0);
    s.dtheta = at_din(c, 0);
    at_for(c->in[0]->size[0], at_grain_rows(2 * s.H * s.W), images, &s);
}

AT_OP(affine_grid,
      .args = {{"theta", AT_FLOAT}, {"size", AT_COUNTS}, {"align_corners", AT_FLAG, .optional = true, .option = true}},
      .shape = shape, .forward = affine_grid_forward, .backward = affine_grid_backward, .keeps = AT_KEEP_NOTHING,
      .plain = true,
      .help = "affine_grid(theta [B, 2, 3], size, {align_corners = false}) -> [B, H, W, 2]\n"
              "The places theta (x, y, 1)' for every pixel (x, y) of a picture of size {H, W}, in -1 .. 1, for "
              "attn.grid_sample.\n"
              "-1 and 1 are the outer edges of the corner pixels, with align_corners their centres.");
