/*
 * rmsprop: steps divided by the root of a running mean of squared gradients (Tieleman and Hinton 2012); centered: by
 * their running deviation (Graves 2013).
 *
 *   d = g + weight_decay p    s = alpha s + (1 - alpha) d^2
 *   s' = s; centered: c = alpha c + (1 - alpha) d, s' = s - c^2
 *   x = d / (sqrt(s') + eps)    m = momentum m + x    p -= lr m (x without momentum)
 */
#include "attn/kernel/step.h"
#include "attn/optim/optim.h"

enum { ALPHA = AT_OPTIM_FIRST, EPS, MOMENTUM, CENTERED, DECAY };
enum { SQUARE, MEAN, STEP };

static const at_field fields[] = {
    AT_OPTIM_FIELDS(.value = 0.01),
    [ALPHA] = {"alpha", AT_FIELD_NUMBER, .value = 0.99, AT_PROBABILITY, .help = "how much of the means is kept"},
    [EPS] = {"eps", AT_FIELD_NUMBER, .value = 1e-8, AT_AT_LEAST_0, .help = "added to the divisor"},
    [MOMENTUM] = {"momentum", AT_FIELD_NUMBER, AT_AT_LEAST_0, .help = "how much of the last step is kept"},
    [CENTERED] = {"centered", AT_FIELD_FLAG, .help = "divide by the deviation of the gradient"},
    [DECAY] = {"weight_decay", AT_FIELD_NUMBER, AT_AT_LEAST_0, .help = "times the parameter, added to its gradient"},
    {0},
};

static bool uses(const at_group *g, int k)
{
    return k == SQUARE || (k == MEAN ? g->set[CENTERED].flag : g->set[MOMENTUM].number != 0);
}

static void update(const at_update *u, size_t begin, size_t end)
{
    const at_setting *set = u->group->set;
    real *mean = u->state[MEAN], *m = u->state[STEP];
    K->step->rmsprop(end - begin, (real *)u->p + begin, (const real *)u->g + begin, (real *)u->state[SQUARE] + begin,
                     mean ? mean + begin : NULL, m ? m + begin : NULL, u->lr, set[ALPHA].number, set[EPS].number,
                     set[MOMENTUM].number, set[DECAY].number);
}

AT_OPTIM(rmsprop, .fields = fields, .state = {"square", "mean", "momentum"}, .uses = uses, .update = update,
         .help = "optim.rmsprop{params =, lr = 0.01, alpha = 0.99, eps = 1e-8, momentum = 0, centered = false,\n"
                 "    weight_decay = 0} -> optimizer\n"
                 "Steps divided by the root of a running mean of squared gradients.");
