/*
 * linear: y = x W' + b.
 *
 *   x [..., inputs]    weight [outputs, inputs]    bias [outputs]    y [..., outputs]
 *
 * Weight and bias start uniform in +-1 / sqrt(inputs), as PyTorch's.
 */
#include "attn/layer/layer.h"

#include <math.h>

enum { INPUTS, OUTPUTS, BIAS };
enum { W, B }; /* parameters */

static const at_field fields[] = {
    [INPUTS] = {"inputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of x"},
    [OUTPUTS] = {"outputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of y"},
    [BIAS] = {"bias", AT_FIELD_FLAG, .value = true, .help = "adds a learned vector"},
    {0},
};

static bool setup(at_layer *l, at_error *e)
{
    size_t inputs = (size_t)l->set[INPUTS].integer, outputs = (size_t)l->set[OUTPUTS].integer;
    double bound = 1 / sqrt((double)inputs);
    return at_matrix(l, "weight", outputs, inputs, AT_INIT_UNIFORM, bound, e) &&
           (!l->set[BIAS].flag || at_param(l, "bias", 1, &outputs, AT_INIT_UNIFORM, bound, e));
}

static bool linear_layer_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0), *w = at_weight(l, W), *b = at_weight(l, B);
    if (!at_expect(g, l, "x", x, 1, 0, l->set[INPUTS].integer))
        return false;
    at_tensor *y = p->activation ? AT_APPLY(g, linear_act, .in = {x, w, b}, .arg = {at_int(p->activation - 1)})
                                 : at_linear(g, x, w, b);
    return at_return(p, at_tensor_value(y));
}

static const at_method methods[] = {
    {"forward", {{"x", AT_TENSOR, false}}, NULL, linear_layer_forward, "layer(x [..., inputs]) -> y [..., outputs]"},
    {0},
};

AT_LAYER(linear, "layer.linear", .fields = fields, .setup = setup, .methods = methods,
         .help = "layer.linear{inputs =, outputs =, bias = true} -> layer\n"
                 "y = x W' + b; weight [outputs, inputs], bias [outputs].");
