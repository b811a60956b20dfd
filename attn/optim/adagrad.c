/*
 * adagrad: steps divided by the root of all squared gradients so far                                (Duchi et al. 2011)
 *
 *   d = g + weight_decay p    s += d^2    p -= lr d / (sqrt(s) + eps)
 */
#include "attn/kernel/step.h"
#include "attn/optim/optim.h"

enum { EPS = AT_OPTIM_FIRST, DECAY };

static const at_field fields[] = {
    AT_OPTIM_FIELDS(.value = 0.01),
    [EPS] = {"eps", AT_FIELD_NUMBER, .value = 1e-10, AT_AT_LEAST_0, .help = "added to the divisor"},
    [DECAY] = {"weight_decay", AT_FIELD_NUMBER, AT_AT_LEAST_0, .help = "times the parameter, added to its gradient"},
    {0},
};

static void update(const at_update *u, size_t begin, size_t end)
{
    const at_setting *set = u->group->set;
    K->step->adagrad(end - begin, (real *)u->p + begin, (const real *)u->g + begin, (real *)u->state[0] + begin, u->lr,
                     set[EPS].number, set[DECAY].number);
}

AT_OPTIM(adagrad, .fields = fields, .state = {"sum"}, .update = update,
         .help = "optim.adagrad{params =, lr = 0.01, eps = 1e-10, weight_decay = 0} -> optimizer\n"
                 "Steps divided by the root of the sum of all squared gradients so far.");
