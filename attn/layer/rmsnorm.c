/*
 * rmsnorm: y = x / sqrt(mean(x^2) + eps) * weight over the last dimension                     (Zhang and Sennrich 2019)
 *
 *   x, y [..., dim]    weight [dim], from 1
 */
#include "attn/layer/layer.h"

enum { DIM, EPS };
enum { WEIGHT }; /* parameters */

static const at_field fields[] = {
    [DIM] = {"dim", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of x"},
    [EPS] = {"eps", AT_FIELD_NUMBER, .value = 1e-5, .low = 0, .high = 1e300, .help = "added to the mean square"},
    {0},
};

static bool setup(at_layer *l, at_error *e)
{
    size_t dim = (size_t)l->set[DIM].integer;
    return at_param(l, "weight", 1, &dim, AT_INIT_ONE, 0, e);
}

static bool rmsnorm_layer_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0);
    return at_expect(g, l, "x", x, 1, 0, l->set[DIM].integer) &&
           at_return(p, at_tensor_value(AT_APPLY(
                            g, rmsnorm, .in = {x, at_weight(l, WEIGHT)}, .arg = {at_num(l->set[EPS].number)})));
}

static const at_method methods[] = {
    {"forward", {{"x", AT_TENSOR, false}}, NULL, rmsnorm_layer_forward, "layer(x [..., dim]) -> y like x"},
    {0},
};

AT_LAYER(rmsnorm, "layer.rmsnorm", .fields = fields, .setup = setup, .methods = methods,
         .help = "layer.rmsnorm{dim =, eps = 1e-5} -> layer\n"
                 "x / sqrt(mean(x^2) + eps) * weight over the last dimension; weight [dim].");
