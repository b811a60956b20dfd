/* What conv1d and conv2d share: the fields' places, and the parameters of windows of `high` x `wide` places. */
#ifndef AT_LAYER_CONV_H
#define AT_LAYER_CONV_H

#include "attn/layer/layer.h"

#include <math.h>

enum { INPUTS, OUTPUTS, KERNEL, STRIDE, PADDING, DILATION, GROUPS, BIAS };
enum { W, B }; /* parameters */

/* high 0: there is one direction only. strided: some stride is not 1. */
static inline bool at_conv_declare(at_layer *l, const char *name, size_t high, size_t wide, bool strided, at_error *e)
{
    size_t inputs = (size_t)l->set[INPUTS].integer, outputs = (size_t)l->set[OUTPUTS].integer,
           groups = (size_t)l->set[GROUPS].integer;
    const int32_t *padding = l->set[PADDING].counts;

    if (inputs % groups != 0 || outputs % groups != 0)
        return at_error_set(e, "%s: groups is %zu, expected a divisor of inputs = %zu and outputs = %zu", name, groups,
                            inputs, outputs);
    if (padding[0] == AT_WORD && padding[1] == 0 && strided)
        return at_error_set(e, "%s: stride is not 1, which padding 'same' expects", name);
    double fan = (double)(inputs / groups) * (double)(high ? high : 1) * (double)wide, bound = 1 / sqrt(fan);
    size_t size[4] = {outputs, inputs / groups, high ? high : wide, wide};
    return at_param(l, "weight", high ? 4 : 3, size, AT_INIT_UNIFORM, bound, e) &&
           (!l->set[BIAS].flag || at_param(l, "bias", 1, &outputs, AT_INIT_UNIFORM, bound, e));
}

#endif
