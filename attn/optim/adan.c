/*
 * adan: Nesterov's momentum, from the differences of gradients                                       (Xie et al. 2022)
 *
 *   d = g - previous g (0 at the first step)
 *   m = b1 m + (1 - b1) g    v = b2 v + (1 - b2) d    n = b3 n + (1 - b3) (g + b2 d)^2
 *   p = (p - lr (m / (1 - b1^t) + b2 v / (1 - b2^t)) / (sqrt(n / (1 - b3^t)) + eps)) / (1 + lr weight_decay)
 *
 * The betas are what is kept, as everywhere here: 1 minus the paper's.
 */
#include "attn/optim/optim.h"

#include <tgmath.h>

enum { BETAS = AT_OPTIM_FIRST, EPS, DECAY };

static const at_field fields[] = {
    AT_OPTIM_FIELDS(.value = 1e-3),
    [BETAS] = {"betas", AT_FIELD_TABLE, .help = "how much of the moments is kept each step: {0.98, 0.92, 0.99}"},
    [EPS] = {"eps", AT_FIELD_NUMBER, .value = 1e-8, AT_AT_LEAST_0, .help = "added to the divisor"},
    [DECAY] = {"weight_decay", AT_FIELD_NUMBER, AT_AT_LEAST_0, .help = "shrinks the parameter"},
    {0},
};

static bool check(const at_optim *o, at_group *g, at_error *e)
{
    return at_optim_rates(o, g, BETAS, 3, (double[]){0.98, 0.92, 0.99}, e);
}

static void update(const at_update *u, size_t begin, size_t end)
{
    const at_setting *set = u->group->set;
    const double *beta = u->group->own;
    double t = (double)u->step;
    const real b1 = (real)beta[0], b2 = (real)beta[1], b3 = (real)beta[2];
    const real c1 = (real)(1 - pow(beta[0], t)), c2 = (real)(1 - pow(beta[1], t)), c3 = (real)(1 - pow(beta[2], t));
    const real lr = (real)u->lr, e = (real)set[EPS].number, shrink = (real)(1 / (1 + u->lr * set[DECAY].number));
    const real *g = u->g;
    real *p = u->p, *m = u->state[0], *v = u->state[1], *n = u->state[2], *last = u->state[3];

    for (size_t i = begin; i < end; i++) {
        real d = u->step == 1 ? 0 : g[i] - last[i], ahead = g[i] + b2 * d;
        m[i] = b1 * m[i] + (1 - b1) * g[i];
        v[i] = b2 * v[i] + (1 - b2) * d;
        n[i] = b3 * n[i] + (1 - b3) * ahead * ahead;
        p[i] = (p[i] - lr * (m[i] / c1 + b2 * v[i] / c2) / (sqrt(n[i] / c3) + e)) * shrink;
        last[i] = g[i];
    }
}

AT_OPTIM(
    adan, .fields = fields, .check = check, .state = {"m", "difference", "square", "last"}, .update = update,
    .help = "optim.adan{params =, lr = 1e-3, betas = {0.98, 0.92, 0.99}, eps = 1e-8, weight_decay = 0} -> optimizer\n"
            "Nesterov's momentum with moments of gradients and of their differences (Xie et al. 2022); betas are what "
            "is kept.");
