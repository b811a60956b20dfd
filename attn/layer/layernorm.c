/*
 * layernorm: y = (x - mean) / sqrt(var + eps) * weight + bias over the last dimension                (Ba et al. 2016)
 *
 *   x, y [..., dim]    weight, bias [dim], from 1 and 0; var divides by dim
 */
#include "attn/layer/layer.h"

enum { DIM, EPS };
enum { WEIGHT, BIAS }; /* parameters */

static const at_field fields[] = {
    [DIM] = {"dim", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of x"},
    [EPS] = {"eps", AT_FIELD_NUMBER, .value = 1e-5, .low = 0, .high = 1e300, .help = "added to the variance"},
    {0},
};

static bool setup(at_layer *l, at_error *e)
{
    size_t dim = (size_t)l->set[DIM].integer;
    return at_param(l, "weight", 1, &dim, AT_INIT_ONE, 0, e) && at_param(l, "bias", 1, &dim, AT_INIT_ZERO, 0, e);
}

static bool layernorm_layer_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0);
    return at_expect(g, l, "x", x, 1, 0, l->set[DIM].integer) &&
           at_return(p, at_tensor_value(AT_APPLY(g, layernorm, .in = {x, at_weight(l, WEIGHT), at_weight(l, BIAS)},
                                                 .arg = {at_num(l->set[EPS].number)})));
}

static const at_method methods[] = {
    {"forward", {{"x", AT_TENSOR, false}}, NULL, layernorm_layer_forward, "layer(x [..., dim]) -> y like x"},
    {0},
};

AT_LAYER(layernorm, "layer.layernorm", .fields = fields, .setup = setup, .methods = methods,
         .help = "layer.layernorm{dim =, eps = 1e-5} -> layer\n"
                 "(x - mean) / sqrt(var + eps) * weight + bias over the last dimension; weight [dim], bias [dim].");
