/*
 * Weights of classes, an optional input [V] of a loss: constants, 1 where there are none. Everything static.
 */
#ifndef AT_OP_CLASS_WEIGHT_H
#define AT_OP_CLASS_WEIGHT_H

#include "attn/core/op.h"

/* In shape: input k is [V] and a constant. */
static inline bool at_class_weight_fits(at_call *c, int k, size_t V)
{
    const at_tensor *w = c->in[k];

    if (!w)
        return true;
    if (w->ndim != 1 || w->size[0] != V)
        return at_fail(c, "weight has shape %s, expected [%zu], one of each class (weight: %s)",
                       at_describe_shape(w->ndim, w->size).text, V, at_describe(w).text);
    if (w->requires_grad || w->node)
        return at_fail(c, "weight carries a gradient, expected constants (weight: %s)", at_describe(w).text);
    return true;
}

static inline double at_class_weight(const at_call *c, int k, size_t v)
{
    return c->in[k] ? (double)at_in(c, k)[v] : 1;
}

/* What a mean divides by: the weights of the targets (input t, ids; 0 is ignored) together. */
static inline double at_weight_of_targets(const at_call *c, int t, int k)
{
    double sum = 0;

    for (size_t r = 0; r < at_numel(c->in[t]); r++)
        if (at_ids(c->in[t])[r] != 0)
            sum += at_class_weight(c, k, (size_t)at_ids(c->in[t])[r] - 1);
    return sum;
}

#endif
