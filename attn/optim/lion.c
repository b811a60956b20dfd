/*
 * lion: the sign of a moment                                                                       (Chen et al. 2023)
 *
 *   p -= lr (sign(b1 m + (1 - b1) g) + weight_decay p)    m = b2 m + (1 - b2) g
 */
#include "attn/optim/optim.h"

enum { BETAS = AT_OPTIM_FIRST, DECAY };

static const at_field fields[] = {
    AT_OPTIM_FIELDS(.value = 1e-4),
    [BETAS] = {"betas", AT_FIELD_TABLE, .help = "how much of the moments is kept each step: {0.9, 0.99}"},
    [DECAY] = {"weight_decay", AT_FIELD_NUMBER, AT_AT_LEAST_0, .help = "shrinks the parameter"},
    {0},
};

static bool check(const at_optim *o, at_group *g, at_error *e)
{
    return at_optim_rates(o, g, BETAS, 2, (double[]){0.9, 0.99}, e);
}

static void update(const at_update *u, size_t begin, size_t end)
{
    const double *beta = u->group->own;
    const real b1 = (real)beta[0], b2 = (real)beta[1], lr = (real)u->lr, decay = (real)u->group->set[DECAY].number;
    const real *g = u->g;
    real *p = u->p, *m = u->state[0];

    for (size_t i = begin; i < end; i++) {
        real d = b1 * m[i] + (1 - b1) * g[i];
        m[i] = b2 * m[i] + (1 - b2) * g[i];
        p[i] -= lr * ((d == d ? (real)(d > 0) - (real)(d < 0) : d) + decay * p[i]);
    }
}

AT_OPTIM(lion, .fields = fields, .check = check, .state = {"m"}, .update = update,
         .help = "optim.lion{params =, lr = 1e-4, betas = {0.9, 0.99}, weight_decay = 0} -> optimizer\n"
                 "Steps of lr along the sign of a moment of the gradient (Chen et al. 2023).");
