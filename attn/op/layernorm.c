/*
 * layernorm: y = (x - mean) / sqrt(var + eps) * weight + bias over the last dimension              (Ba et al. 2016)
 *
 *   x, y           [..., D]; var divides by D
 *   weight, bias   [D], may be left out (1 and 0)
 *   dx             (g - mean(g) - h mean(g h)) / sqrt(var + eps),  h = (x - mean) / sqrt(var + eps),  g = dy weight
 *   dweight        sum over the rows of dy h;  dbias the sum of dy
 *
 * Two numbers per row are kept, the mean and the factor.
 */
#include "attn/op/norm.h"
#include "attn/kernel/norm.h"

enum { WEIGHT = 1, BIAS };

static void row(const at_call *c, size_t D, const real *x, real *y, real *stats)
{
    K->norm->layernorm(D, x, at_norm_param(c, WEIGHT), at_norm_param(c, BIAS), (real)c->arg[0].number, y, stats);
}

static void row_back(const at_call *c, size_t D, const real *x, const real *stats, const real *dy, real *dx,
                     real *const *dp)
{
    K->norm->layernorm_back(D, x, at_norm_param(c, WEIGHT), stats, dy, dx, dp[0], dp[1]);
}

static const at_norm norm = {.params = 2, .stats = 2, .row = row, .back = row_back};

static bool shape(at_call *c) { return at_norm_shape(c, &norm); }
static void layernorm_forward(const at_call *c) { at_norm_forward(c, &norm); }
static void layernorm_backward(const at_call *c) { at_norm_backward(c, &norm); }

AT_OP(layernorm,
      .args = {{"x", AT_FLOAT},
               {"weight", AT_FLOAT, .optional = true},
               {"bias", AT_FLOAT, .optional = true},
               {"eps", AT_NUMBER, .optional = true, .value = 1e-5}},
      .shape = shape, .forward = layernorm_forward, .backward = layernorm_backward, .fresh = true,
      .keeps = AT_KEEP(0) | AT_KEEP(1), .plain = true,
      .help = "layernorm(x [..., D] [, weight [D], bias [D], eps = 1e-5]) -> y like x\n"
              "(x - mean) / sqrt(var + eps) * weight + bias over the last dimension; var divides by D.");
