/*
 * sgd: gradient descent, with momentum and Nesterov's form of it                                (Sutskever et al. 2013)
 *
 *   d = g + weight_decay p
 *   m = momentum m + (1 - dampening) d    (m = d at the first step)
 *   p -= lr m    nesterov: p -= lr (d + momentum m)    without momentum: p -= lr d
 */
#include "attn/kernel/step.h"
#include "attn/optim/optim.h"

enum { MOMENTUM = AT_OPTIM_FIRST, DAMPENING, NESTEROV, DECAY };

static const at_field fields[] = {
    AT_OPTIM_FIELDS(.required = true),
    [MOMENTUM] = {"momentum", AT_FIELD_NUMBER, AT_AT_LEAST_0, .help = "how much of the last step is kept"},
    [DAMPENING] = {"dampening", AT_FIELD_NUMBER, AT_PROBABILITY, .help = "of the gradient in the momentum"},
    [NESTEROV] = {"nesterov", AT_FIELD_FLAG, .help = "look ahead along the momentum"},
    [DECAY] = {"weight_decay", AT_FIELD_NUMBER, AT_AT_LEAST_0, .help = "times the parameter, added to its gradient"},
    {0},
};

static bool check(const at_optim *o, at_group *g, at_error *e)
{
    (void)o;
    if (g->set[NESTEROV].flag && (g->set[MOMENTUM].number == 0 || g->set[DAMPENING].number != 0))
        return at_error_set(e, "sgd: nesterov needs a momentum above 0 and no dampening");
    return true;
}

static bool uses(const at_group *g, int k)
{
    (void)k;
    return g->set[MOMENTUM].number != 0;
}

static void update(const at_update *u, size_t begin, size_t end)
{
    const at_setting *set = u->group->set;
    real *m = u->state[0];
    K->step->sgd(end - begin, (real *)u->p + begin, (const real *)u->g + begin, m ? m + begin : NULL, u->lr,
                 set[MOMENTUM].number, set[DAMPENING].number, set[NESTEROV].flag, set[DECAY].number, u->step == 1);
}

AT_OPTIM(
    sgd, .fields = fields, .check = check, .state = {"momentum"}, .uses = uses, .update = update,
    .help = "optim.sgd{params =, lr =, momentum = 0, dampening = 0, nesterov = false, weight_decay = 0} -> optimizer\n"
            "p -= lr m, m = momentum m + g.");
