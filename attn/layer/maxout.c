/*
 * maxout: y_o = max over p of (x W' + b)_{o, p}                                                (Goodfellow et al. 2013)
 *
 *   x [..., inputs]    weight [outputs * pieces, inputs]    bias [outputs * pieces]    y [..., outputs]
 *
 * Piece p of output o is row (o - 1) * pieces + p. Starts as a linear layer does.
 */
#include "attn/layer/layer.h"

#include <math.h>

enum { INPUTS, OUTPUTS, PIECES, BIAS };
enum { W, B }; /* parameters */

static const at_field fields[] = {
    [INPUTS] = {"inputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of x"},
    [OUTPUTS] = {"outputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of y"},
    [PIECES] = {"pieces", AT_FIELD_INTEGER, .value = 2, AT_POSITIVE, .help = "linear pieces of each output"},
    [BIAS] = {"bias", AT_FIELD_FLAG, .value = true, .help = "adds a learned vector"},
    {0},
};

static bool setup(at_layer *l, at_error *e)
{
    size_t inputs = (size_t)l->set[INPUTS].integer;
    size_t rows = (size_t)l->set[OUTPUTS].integer * (size_t)l->set[PIECES].integer; /* at most 2^62 */
    double bound = 1 / sqrt((double)inputs);
    return at_matrix(l, "weight", rows, inputs, AT_INIT_UNIFORM, bound, e) &&
           (!l->set[BIAS].flag || at_param(l, "bias", 1, &rows, AT_INIT_UNIFORM, bound, e));
}

static bool maxout_layer_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0);
    if (!at_expect(g, l, "x", x, 1, 0, l->set[INPUTS].integer))
        return false;
    at_tensor *y = at_linear(g, x, at_weight(l, W), at_weight(l, B));
    y = AT_APPLY(g, maxout, .in = {y}, .arg = {at_int(l->set[PIECES].integer)});
    return at_return(p, at_tensor_value(y));
}

static const at_method methods[] = {
    {"forward", {{"x", AT_TENSOR, false}}, NULL, maxout_layer_forward, "layer(x [..., inputs]) -> y [..., outputs]"},
    {0},
};

AT_LAYER(maxout, "layer.maxout", .fields = fields, .setup = setup, .methods = methods,
         .help = "layer.maxout{inputs =, outputs =, pieces = 2, bias = true} -> layer\n"
                 "The largest of `pieces` linear functions for each output; weight [outputs * pieces, inputs], bias;\n"
                 "piece p of output o is row (o - 1) * pieces + p.");
