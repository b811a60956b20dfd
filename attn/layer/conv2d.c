/*
 * conv2d: y = the windows of `kernel` pixels of x times the weight, plus bias; `padding` zeros at all sides.
 *
 *   x [B, inputs, H, W]    weight [outputs, inputs, kernel, kernel]    bias [outputs]    y [B, outputs, H', W']
 *   H' = (H + 2 padding - kernel) / stride + 1, rounded down, and W' alike
 *
 * Weight and bias start uniform in +-1 / sqrt(inputs * kernel * kernel), as PyTorch's.
 */
#include "attn/layer/layer.h"

#include <math.h>

enum { INPUTS, OUTPUTS, KERNEL, STRIDE, PADDING, BIAS };
enum { W, B };       /* parameters */

static const at_field fields[] = {
    [INPUTS] = {"inputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "channels of x"},
    [OUTPUTS] = {"outputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "channels of y"},
    [KERNEL] = {"kernel", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "pixels a window is wide"},
    [STRIDE] = {"stride", AT_FIELD_INTEGER, .value = 1, AT_POSITIVE, .help = "pixels from one window to the next"},
    [PADDING] = {"padding", AT_FIELD_INTEGER, .low = 0, .high = 2147483648.0, .help = "zeros at all sides"},
    [BIAS] = {"bias", AT_FIELD_FLAG, .value = true, .help = "adds a learned number to each channel"},
    {0}
};

static bool setup(at_layer *l, at_error *e)
{
    size_t inputs = (size_t)l->set[INPUTS].integer, outputs = (size_t)l->set[OUTPUTS].integer;
    size_t kernel = (size_t)l->set[KERNEL].integer;
    double fan = (double)inputs * (double)kernel * (double)kernel, bound = 1 / sqrt(fan);
    return at_param(l, "weight", 4, (size_t[]){outputs, inputs, kernel, kernel}, AT_INIT_UNIFORM, bound, e) &&
           (!l->set[BIAS].flag || at_param(l, "bias", 1, &outputs, AT_INIT_UNIFORM, bound, e));
}

static bool check_channels(at_build *g, const at_layer *l, const at_tensor *x)
{
    if (x->size[1] != (size_t)l->set[INPUTS].integer)
        at_refuse(g, "x has %zu channels, expected %lld (x: %s)", x->size[1], (long long)l->set[INPUTS].integer,
                  at_describe(x).text);
    return at_ok(g);
}

static bool forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0);
    return at_expect(g, l, "x", x, 4, 4, 0) && check_channels(g, l, x) &&
           at_return(p, at_tensor_value(AT_APPLY(g, conv2d, .in = {x, at_weight(l, W), at_weight(l, B)},
                                                .arg = {at_int(l->set[STRIDE].integer), at_int(l->set[PADDING].integer)})));
}

static const at_method methods[] = {
    {"forward", {{"x", AT_TENSOR, false}}, NULL, forward, "layer(x [B, inputs, H, W]) -> y [B, outputs, H', W']"},
    {0}
};

AT_LAYER(conv2d, "layer.conv2d",
    .fields = fields, .setup = setup, .methods = methods,
    .help = "layer.conv2d{inputs =, outputs =, kernel =, stride = 1, padding = 0, bias = true} -> layer\n"
            "Windows of x [B, inputs, H, W] times weight [outputs, inputs, kernel, kernel], plus bias [outputs].");
