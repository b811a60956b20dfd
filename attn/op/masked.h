/*
 * An option mask (bool, broadcasting to x) of what takes part: x with a number in place of what the mask leaves out, which so has
 * neither a part in the result nor a gradient. All to be called in shape, with x as in 0 and the mask, if there is one, as in 1.
 */
#ifndef AT_OP_MASKED_H
#define AT_OP_MASKED_H

#include "attn/core/op.h"

/* Calls from within the engine may leave the option away altogether. */
static inline bool at_is_masked(const at_call *c) { return c->n_in > 1 && c->in[1]; }

/* The mask becomes a view of x's shape. */
bool at_spread_mask(at_call *c);

/* x becomes a contiguous tensor, recorded, that has `fill` where the mask, which was spread, is false. */
bool at_fill_masked(at_call *c, double fill);

/* Both, if there is a mask. */
static inline bool at_apply_mask(at_call *c, double fill)
{
    return !at_is_masked(c) || (at_spread_mask(c) && at_fill_masked(c, fill));
}

/* a where the spread mask is true, b elsewhere; NULL with the error. */
at_tensor *at_masked_numbers(at_call *c, at_dtype dtype, double a, double b);

/* x, recorded, and the mask with their dimensions in another order, from 1; x is contiguous afterwards unless there is a mask. */
bool at_reorder(at_call *c, int n, const int64_t *order);

#endif
