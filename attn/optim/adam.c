/*
 * adam: steps scaled by running moments of the gradient (Kingma and Ba 2015); adamw: weight decay apart from the
 * gradient (Loshchilov and Hutter 2019).
 *
 *   adam     g += weight_decay p
 *   m = b1 m + (1 - b1) g    v = b2 v + (1 - b2) g^2
 *   adamw    p -= lr weight_decay p
 *   p -= lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps)    t counts the updates of this parameter
 */
#include "attn/kernel/step.h"
#include "attn/optim/optim.h"

#include <math.h>

enum { BETAS = AT_OPTIM_FIRST, EPS, DECAY };

#define FIELDS                                                                                                         \
    AT_OPTIM_FIELDS(.value = 1e-3),                                                                                    \
        [BETAS] = {"betas", AT_FIELD_TABLE, .help = "how much of the moments is kept each step: {0.9, 0.999}"},        \
        [EPS] = {"eps", AT_FIELD_NUMBER, .value = 1e-8, AT_AT_LEAST_0, .help = "added to the divisor"}
#define SHRINK .help = "shrinks the parameter"

static const at_field fields[] = {FIELDS, [DECAY] = {"weight_decay", AT_FIELD_NUMBER, AT_AT_LEAST_0, SHRINK}, {0}};
static const at_field fields_w[] =
    {FIELDS, [DECAY] = {"weight_decay", AT_FIELD_NUMBER, .value = 0.01, AT_AT_LEAST_0, SHRINK}, {0}};

static bool check(const at_optim *o, at_group *g, at_error *e)
{
    return at_optim_rates(o, g, BETAS, 2, (double[]){0.9, 0.999}, e);
}

static void run(const at_update *u, size_t begin, size_t end, bool decoupled)
{
    const at_setting *set = u->group->set;
    double beta1 = u->group->own[0], beta2 = u->group->own[1], t = (double)u->step;
    K->step->adam(end - begin, (real *)u->p + begin, (const real *)u->g + begin, (real *)u->state[0] + begin,
                  (real *)u->state[1] + begin, u->lr, beta1, beta2, set[EPS].number, 1 - pow(beta1, t),
                  1 - pow(beta2, t), set[DECAY].number, decoupled);
}

static void update(const at_update *u, size_t begin, size_t end) { run(u, begin, end, false); }
static void update_w(const at_update *u, size_t begin, size_t end) { run(u, begin, end, true); }

AT_OPTIM(adam, .fields = fields, .check = check, .state = {"m", "v"}, .update = update,
         .help = "optim.adam{params =, lr = 1e-3, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0} -> optimizer\n"
                 "Steps scaled by running moments of the gradient; weight_decay times the parameter is added to it.");

AT_OPTIM(
    adamw, .fields = fields_w, .check = check, .state = {"m", "v"}, .update = update_w,
    .help = "optim.adamw{params =, lr = 1e-3, betas = {0.9, 0.999}, eps = 1e-8, weight_decay = 0.01} -> optimizer\n"
            "Adam that shrinks the parameter by lr * weight_decay each step instead of changing the gradient.");
