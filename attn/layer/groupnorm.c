/*
 * groupnorm: y = (x - mean) / sqrt(var + eps) * weight + bias over each group of channels of an image        (Wu and He 2018)
 *
 *   x, y [B, channels, ...]    weight, bias [channels], from 1 and 0; groups of channels / groups neighbours; var divides by n
 */
#include "attn/layer/layer.h"

enum { CHANNELS, GROUPS, EPS };
enum { WEIGHT, BIAS }; /* parameters */

static const at_field fields[] = {
    [CHANNELS] = {"channels", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "size of dimension 2 of x"},
    [GROUPS] = {"groups", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "how many groups; divides channels"},
    [EPS] = {"eps", AT_FIELD_NUMBER, .value = 1e-5, .low = 0, .high = 1e300, .help = "added to the variance"},
    {0},
};

static bool setup(at_layer *l, at_error *e)
{
    int64_t channels = l->set[CHANNELS].integer, groups = l->set[GROUPS].integer;
    size_t C = (size_t)channels;
    if (channels % groups)
        return at_error_set(e, "groupnorm: channels is %lld, expected a multiple of groups, %lld", (long long)channels,
                            (long long)groups);
    return at_param(l, "weight", 1, &C, AT_INIT_ONE, 0, e) && at_param(l, "bias", 1, &C, AT_INIT_ZERO, 0, e);
}

static bool groupnorm_layer_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0);
    if (!at_expect(g, l, "x", x, 2, 0, 0))
        return false;
    if (x->size[1] != (size_t)l->set[CHANNELS].integer)
        return at_refuse(g, "x has %zu channels, expected %lld (x: %s)", x->size[1],
                         (long long)l->set[CHANNELS].integer, at_describe(x).text) != NULL;
    return at_return(p, at_tensor_value(AT_APPLY(g, groupnorm, .in = {x, at_weight(l, WEIGHT), at_weight(l, BIAS)},
                                                 .arg = {at_int(l->set[GROUPS].integer), at_num(l->set[EPS].number)})));
}

static const at_method methods[] = {
    {"forward", {{"x", AT_TENSOR, false}}, NULL, groupnorm_layer_forward, "layer(x [B, channels, ...]) -> y like x"},
    {0},
};

AT_LAYER(groupnorm, "layer.groupnorm", .fields = fields, .setup = setup, .methods = methods,
         .help = "layer.groupnorm{channels =, groups =, eps = 1e-5} -> layer\n"
                 "(x - mean) / sqrt(var + eps) * weight + bias, the mean and var of each group of channels / groups "
                 "neighbouring\n"
                 "channels of x [B, channels, ...]; var divides by n; weight [channels], bias [channels].");
