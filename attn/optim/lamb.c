/*
 * lamb: Adam's direction, as long as the parameter is                                                 (You et al. 2020)
 *
 *   m = b1 m + (1 - b1) g    v = b2 v + (1 - b2) g^2
 *   r = m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps) + weight_decay p
 *   p -= lr |p| / |r| r      norms over the whole parameter; where one of them is 0, p -= lr r
 */
#include "attn/optim/optim.h"

#include <tgmath.h>

enum { BETAS = AT_OPTIM_FIRST, EPS, DECAY };

static const at_field fields[] = {
    AT_OPTIM_FIELDS(.value = 1e-3),
    [BETAS] = {"betas", AT_FIELD_TABLE, .help = "how much of the moments is kept each step: {0.9, 0.999}"},
    [EPS] = {"eps", AT_FIELD_NUMBER, .value = 1e-6, AT_AT_LEAST_0, .help = "added to the divisor"},
    [DECAY] = {"weight_decay", AT_FIELD_NUMBER, AT_AT_LEAST_0, .help = "times the parameter, added to the direction"},
    {0},
};

static bool check(const at_optim *o, at_group *g, at_error *e)
{
    return at_optim_rates(o, g, BETAS, 2, (double[]){0.9, 0.999}, e);
}

typedef struct rule {
    real c1, c2, e, decay;
} rule;

static rule rule_of(const at_update *u)
{
    const double *beta = u->group->own, t = (double)u->step;
    return (rule){(real)(1 - pow(beta[0], t)), (real)(1 - pow(beta[1], t)), (real)u->group->set[EPS].number,
                  (real)u->group->set[DECAY].number};
}

static real direction(rule r, real p, real m, real v) { return m / r.c1 / (sqrt(v / r.c2) + r.e) + r.decay * p; }

static void measure(const at_update *u, size_t begin, size_t end, double *sum)
{
    const real b1 = (real)u->group->own[0], b2 = (real)u->group->own[1];
    const rule r = rule_of(u);
    const real *g = u->g, *p = u->p;
    real *m = u->state[0], *v = u->state[1];

    for (size_t i = begin; i < end; i++) {
        m[i] = b1 * m[i] + (1 - b1) * g[i];
        v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
        double d = direction(r, p[i], m[i], v[i]);
        sum[0] += (double)p[i] * p[i];
        sum[1] += d * d;
    }
}

static void update(const at_update *u, size_t begin, size_t end)
{
    const real lr = (real)(u->sum[0] > 0 && u->sum[1] > 0 ? u->lr * sqrt(u->sum[0] / u->sum[1]) : u->lr);
    const rule r = rule_of(u);
    const real *m = u->state[0], *v = u->state[1];
    real *p = u->p;

    for (size_t i = begin; i < end; i++)
        p[i] -= lr * direction(r, p[i], m[i], v[i]);
}

AT_OPTIM(lamb, .fields = fields, .check = check, .state = {"m", "v"}, .measure = measure, .update = update,
         .help = "optim.lamb{params =, lr = 1e-3, betas = {0.9, 0.999}, eps = 1e-6, weight_decay = 0} -> optimizer\n"
                 "Adam's direction scaled to the norm of the parameter, for large batches (You et al. 2020).");
