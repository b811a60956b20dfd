/*
 * rmsnorm: y = x / sqrt(mean(x^2) + eps) * weight over the last dimension                  (Zhang and Sennrich 2019)
 *
 *   x, y      [..., D]
 *   weight    [D], may be left out (1)
 *   dx        (g - h mean(g h)) / sqrt(mean(x^2) + eps),  h = x / sqrt(mean(x^2) + eps),  g = dy weight
 *   dweight   sum over the rows of dy h
 *
 * One number per row is kept, the factor.
 */
#include "attn/op/norm.h"
#include "attn/kernel/norm.h"

enum { WEIGHT = 1 };

static void row(const at_call *c, size_t D, const real *x, real *y, real *stats)
{
    K->norm->rmsnorm(D, x, at_norm_param(c, WEIGHT), (real)c->arg[0].number, y, stats);
}

static void row_back(const at_call *c, size_t D, const real *x, const real *stats, const real *dy, real *dx,
                     real *const *dp)
{
    K->norm->rmsnorm_back(D, x, at_norm_param(c, WEIGHT), stats, dy, dx, dp[0]);
}

static const at_norm norm = {.params = 1, .stats = 1, .row = row, .back = row_back};

static bool shape(at_call *c) { return at_norm_shape(c, &norm); }
static void rmsnorm_forward(const at_call *c) { at_norm_forward(c, &norm); }
static void rmsnorm_backward(const at_call *c) { at_norm_backward(c, &norm); }

AT_OP(rmsnorm,
      .args = {{"x", AT_FLOAT},
               {"weight", AT_FLOAT, .optional = true},
               {"eps", AT_NUMBER, .optional = true, .value = 1e-5}},
      .shape = shape, .forward = rmsnorm_forward, .backward = rmsnorm_backward, .fresh = true,
      .keeps = AT_KEEP(0) | AT_KEEP(1), .plain = true,
      .help = "rmsnorm(x [..., D] [, weight [D], eps = 1e-5]) -> y like x\n"
              "x / sqrt(mean(x^2) + eps) * weight over the last dimension.");
