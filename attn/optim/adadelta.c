/*
 * adadelta: steps as large as the steps before them, in units of the gradient                             (Zeiler 2012)
 *
 *   d = g + weight_decay p    s = rho s + (1 - rho) d^2    x = sqrt(u + eps) / sqrt(s + eps) d
 *   u = rho u + (1 - rho) x^2    p -= lr x
 */
#include "attn/kernel/step.h"
#include "attn/optim/optim.h"

enum { RHO = AT_OPTIM_FIRST, EPS, DECAY };

static const at_field fields[] = {
    AT_OPTIM_FIELDS(.value = 1),
    [RHO] = {"rho", AT_FIELD_NUMBER, .value = 0.9, AT_PROBABILITY, .help = "how much of the running means is kept"},
    [EPS] = {"eps", AT_FIELD_NUMBER, .value = 1e-6, AT_AT_LEAST_0, .help = "added under both roots"},
    [DECAY] = {"weight_decay", AT_FIELD_NUMBER, AT_AT_LEAST_0, .help = "times the parameter, added to its gradient"},
    {0},
};

static void update(const at_update *u, size_t begin, size_t end)
{
    const at_setting *set = u->group->set;
    K->step->adadelta(end - begin, (real *)u->p + begin, (const real *)u->g + begin, (real *)u->state[0] + begin,
                      (real *)u->state[1] + begin, u->lr, set[RHO].number, set[EPS].number, set[DECAY].number);
}

AT_OPTIM(adadelta, .fields = fields, .state = {"square", "delta"}, .update = update,
         .help = "optim.adadelta{params =, lr = 1, rho = 0.9, eps = 1e-6, weight_decay = 0} -> optimizer\n"
                 "Steps scaled by the ratio of the running means of squared steps and squared gradients.");
