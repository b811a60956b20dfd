/*
 * conv1d: y = the windows of `kernel` steps of x times the weight, plus bias; `padding` zeros at both ends.
 *
 *   x [B, T, inputs]    weight [outputs, inputs / groups, kernel]    bias [outputs]    y [B, T', outputs]
 *   T' = (T + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down
 *
 * Weight and bias start uniform in +-1 / sqrt(inputs / groups * kernel), as PyTorch's.
 */
#include "attn/layer/conv.h"

static const at_field fields[] = {
    [INPUTS] = {"inputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "channels of x"},
    [OUTPUTS] = {"outputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "channels of y"},
    [KERNEL] = {"kernel", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "steps a window is wide"},
    [STRIDE] = {"stride", AT_FIELD_INTEGER, .value = 1, AT_POSITIVE, .help = "steps from one window to the next"},
    [PADDING] = {"padding", AT_FIELD_COUNTS, .low = 0, .high = 2147483648.0, .choices = "same|causal",
                 .help = "zeros at both ends; {before, after}; \"same\"; \"causal\": all before"},
    [DILATION] = {"dilation", AT_FIELD_INTEGER, .value = 1, AT_POSITIVE,
                  .help = "steps from one entry of a window to the next"},
    [GROUPS] = {"groups", AT_FIELD_INTEGER, .value = 1, AT_POSITIVE,
                .help = "parts of the channels that do not see each other"},
    [BIAS] = {"bias", AT_FIELD_FLAG, .value = true, .help = "adds a learned number to each channel"},
    {0},
};

static bool setup(at_layer *l, at_error *e)
{
    return at_conv_declare(l, "conv1d", 0, (size_t)l->set[KERNEL].integer, l->set[STRIDE].integer != 1, e);
}

static bool conv1d_layer_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0);
    const at_setting *s = l->set;
    int32_t stride = (int32_t)s[STRIDE].integer, dilation = (int32_t)s[DILATION].integer;
    return at_expect(g, l, "x", x, 3, 3, s[INPUTS].integer) &&
           at_return(p, at_tensor_value(AT_APPLY(
                            g, conv1d, .in = {x, at_weight(l, W), at_weight(l, B)},
                            .arg = {at_both(stride, stride), at_both(s[PADDING].counts[0], s[PADDING].counts[1]),
                                    at_both(dilation, dilation), at_int(s[GROUPS].integer)})));
}

static const at_method methods[] = {
    {"forward", {{"x", AT_TENSOR, false}}, NULL, conv1d_layer_forward, "layer(x [B, T, inputs]) -> y [B, T', outputs]"},
    {0},
};

AT_LAYER(conv1d, "layer.conv1d", .fields = fields, .setup = setup, .methods = methods,
         .help = "layer.conv1d{inputs =, outputs =, kernel =, stride = 1, padding = 0, dilation = 1, groups = 1, bias "
                 "= true} -> layer\n"
                 "Windows of x [B, T, inputs] times weight [outputs, inputs / groups, kernel], plus bias [outputs]; "
                 "padding a number, {before, after},"
                 " \"same\" or \"causal\".");
