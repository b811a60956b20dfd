/*
 * radam: Adam whose steps are scaled only as far as the second moment can be trusted                (Liu et al. 2020)
 *
 *   g += weight_decay p    m = b1 m + (1 - b1) g    v = b2 v + (1 - b2) g^2
 *   r_max = 2 / (1 - b2) - 1    r = r_max - 2 t b2^t / (1 - b2^t)
 *   r > 5:  p -= lr / (1 - b1^t) m sqrt(1 - b2^t) / (sqrt(v) + eps) k,
 *           k^2 = (r - 4) (r - 2) r_max / ((r_max - 4) (r_max - 2) r)
 *   else    p -= lr / (1 - b1^t) m
 */
#include "attn/optim/optim.h"

#include <tgmath.h>

enum { BETAS = AT_OPTIM_FIRST, EPS, DECAY };

static const at_field fields[] = {
    AT_OPTIM_FIELDS(.value = 1e-3),
    [BETAS] = {"betas", AT_FIELD_TABLE, .help = "how much of the moments is kept each step: {0.9, 0.999}"},
    [EPS] = {"eps", AT_FIELD_NUMBER, .value = 1e-8, AT_AT_LEAST_0, .help = "added to the divisor"},
    [DECAY] = {"weight_decay", AT_FIELD_NUMBER, AT_AT_LEAST_0, .help = "times the parameter, added to its gradient"},
    {0},
};

static bool check(const at_optim *o, at_group *g, at_error *e)
{
    return at_optim_rates(o, g, BETAS, 2, (double[]){0.9, 0.999}, e);
}

static void update(const at_update *u, size_t begin, size_t end)
{
    const at_setting *set = u->group->set;
    double beta1 = u->group->own[0], beta2 = u->group->own[1], t = (double)u->step, power = pow(beta2, t);
    double most = 2 / (1 - beta2) - 1, r = most - 2 * t * power / (1 - power);
    bool scaled = r > 5;
    double k = scaled ? sqrt((r - 4) * (r - 2) * most / ((most - 4) * (most - 2) * r)) * sqrt(1 - power) : 1;
    const real b1 = (real)beta1, b2 = (real)beta2, c1 = (real)(1 - beta1), c2 = (real)(1 - beta2);
    const real rate = (real)(u->lr * k / (1 - pow(beta1, t))), e = (real)set[EPS].number,
               decay = (real)set[DECAY].number;
    const real *g = u->g;
    real *p = u->p, *m = u->state[0], *v = u->state[1];

    for (size_t i = begin; i < end; i++) {
        real d = g[i] + decay * p[i];
        m[i] = b1 * m[i] + c1 * d;
        v[i] = b2 * v[i] + c2 * d * d;
        p[i] -= rate * (scaled ? m[i] / (sqrt(v[i]) + e) : m[i]);
    }
}

AT_OPTIM(radam, .fields = fields, .check = check, .state = {"m", "v"}, .update = update,
         .help = "optim.radam{params =, lr = 1e-3, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0} -> optimizer\n"
                 "Adam that needs no warm-up: its first steps are not scaled, later ones as the variance allows (Liu "
                 "et al. 2020).");
