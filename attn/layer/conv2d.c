/*
 * conv2d: y = the windows of `kernel` pixels of x times the weight, plus bias; `padding` zeros at all sides.
 *
 *   x [B, inputs, H, W]    weight [outputs, inputs / groups, kernel, kernel]    bias [outputs]    y [B, outputs, H', W']
 *   H' = (H + 2 padding - dilation (kernel - 1) - 1) / stride + 1, rounded down, and W' alike
 *
 * Weight and bias start uniform in +-1 / sqrt(inputs / groups * kernel * kernel), as PyTorch's.
 */
#include "attn/layer/conv.h"

static const at_field fields[] = {
    [INPUTS] = {"inputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "channels of x"},
    [OUTPUTS] = {"outputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "channels of y"},
    [KERNEL] = {"kernel", AT_FIELD_COUNTS, .required = true, AT_POSITIVE, .help = "pixels a window is wide"},
    [STRIDE] = {"stride", AT_FIELD_COUNTS, .value = 1, AT_POSITIVE, .help = "pixels from one window to the next"},
    [PADDING] = {"padding", AT_FIELD_COUNTS, .low = 0, .high = 2147483648.0, .choices = "same",
                 .help = "zeros at all sides; {height, width}; \"same\""},
    [DILATION] = {"dilation", AT_FIELD_COUNTS, .value = 1, AT_POSITIVE,
                  .help = "pixels from one entry of a window to the next"},
    [GROUPS] = {"groups", AT_FIELD_INTEGER, .value = 1, AT_POSITIVE,
                .help = "parts of the channels that do not see each other"},
    [BIAS] = {"bias", AT_FIELD_FLAG, .value = true, .help = "adds a learned number to each channel"},
    {0},
};

static bool setup(at_layer *l, at_error *e)
{
    const int32_t *kernel = l->set[KERNEL].counts, *stride = l->set[STRIDE].counts;
    return at_conv_declare(l, "conv2d", (size_t)kernel[0], (size_t)kernel[1], stride[0] != 1 || stride[1] != 1, e);
}

static bool check_channels(at_build *g, const at_layer *l, const at_tensor *x)
{
    if (x->size[1] != (size_t)l->set[INPUTS].integer)
        at_refuse(g, "x has %zu channels, expected %lld (x: %s)", x->size[1], (long long)l->set[INPUTS].integer,
                  at_describe(x).text);
    return at_ok(g);
}

static bool conv2d_layer_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0);
    const at_setting *s = l->set;
    return at_expect(g, l, "x", x, 4, 4, 0) && check_channels(g, l, x) &&
           at_return(p,
                     at_tensor_value(AT_APPLY(
                         g, conv2d, .in = {x, at_weight(l, W), at_weight(l, B)},
                         .arg = {at_both(s[STRIDE].counts[0], s[STRIDE].counts[1]),
                                 at_both(s[PADDING].counts[0], s[PADDING].counts[1]),
                                 at_both(s[DILATION].counts[0], s[DILATION].counts[1]), at_int(s[GROUPS].integer)})));
}

static const at_method methods[] = {
    {"forward",
     {{"x", AT_TENSOR, false}},
     NULL,
     conv2d_layer_forward,
     "layer(x [B, inputs, H, W]) -> y [B, outputs, H', W']"},
    {0},
};

AT_LAYER(conv2d, "layer.conv2d", .fields = fields, .setup = setup, .methods = methods,
         .help = "layer.conv2d{inputs =, outputs =, kernel =, stride = 1, padding = 0, dilation = 1, groups = 1, bias "
                 "= true} -> layer\n"
                 "Windows of x [B, inputs, H, W] times weight [outputs, inputs / groups, kernel, kernel], plus bias "
                 "[outputs]; kernel, stride, padding, dilation a number"
                 " or {height, width}, padding also \"same\".");
