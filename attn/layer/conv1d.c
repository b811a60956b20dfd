/*
 * conv1d: y = the windows of `kernel` steps of x times the weight, plus bias; `padding` zeros at both ends.
 *
 *   x [B, T, inputs]    weight [outputs, inputs, kernel]    bias [outputs]    y [B, T', outputs]
 *   T' = (T + 2 padding - kernel) / stride + 1, rounded down
 *
 * Weight and bias start uniform in +-1 / sqrt(inputs * kernel), as PyTorch's.
 */
#include "attn/layer/layer.h"

#include <math.h>

enum { INPUTS, OUTPUTS, KERNEL, STRIDE, PADDING, BIAS };
enum { W, B };       /* parameters */

static const at_field fields[] = {
    [INPUTS] = {"inputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "channels of x"},
    [OUTPUTS] = {"outputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "channels of y"},
    [KERNEL] = {"kernel", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "steps a window is wide"},
    [STRIDE] = {"stride", AT_FIELD_INTEGER, .value = 1, AT_POSITIVE, .help = "steps from one window to the next"},
    [PADDING] = {"padding", AT_FIELD_INTEGER, .low = 0, .high = 2147483648.0, .help = "zeros at both ends"},
    [BIAS] = {"bias", AT_FIELD_FLAG, .value = true, .help = "adds a learned number to each channel"},
    {0}
};

static bool setup(at_layer *l, at_error *e)
{
    size_t inputs = (size_t)l->set[INPUTS].integer, outputs = (size_t)l->set[OUTPUTS].integer;
    size_t kernel = (size_t)l->set[KERNEL].integer;
    double fan = (double)inputs * (double)kernel, bound = 1 / sqrt(fan);
    return at_param(l, "weight", 3, (size_t[]){outputs, inputs, kernel}, AT_INIT_UNIFORM, bound, e) &&
           (!l->set[BIAS].flag || at_param(l, "bias", 1, &outputs, AT_INIT_UNIFORM, bound, e));
}

static bool forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0);
    return at_expect(g, l, "x", x, 3, 3, l->set[INPUTS].integer) &&
           at_return(p, at_tensor_value(AT_APPLY(g, conv1d, .in = {x, at_weight(l, W), at_weight(l, B)},
                                                .arg = {at_int(l->set[STRIDE].integer), at_int(l->set[PADDING].integer)})));
}

static const at_method methods[] = {
    {"forward", {{"x", AT_TENSOR, false}}, NULL, forward, "layer(x [B, T, inputs]) -> y [B, T', outputs]"},
    {0}
};

AT_LAYER(conv1d, "layer.conv1d",
    .fields = fields, .setup = setup, .methods = methods,
    .help = "layer.conv1d{inputs =, outputs =, kernel =, stride = 1, padding = 0, bias = true} -> layer\n"
            "Windows of x [B, T, inputs] times weight [outputs, inputs, kernel], plus bias [outputs].");
