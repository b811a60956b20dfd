/*
 * cast: the same values in another dtype. clone: the same values in memory of their own.
 *
 * A float to int64 is cut towards zero; anything to bool is "not 0". Gradients flow between the float types only.
 */
#include "attn/core/op.h"

enum { DTYPE };

static bool cast_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    return at_out_type(c, (at_dtype)c->arg[DTYPE].integer, x->ndim, x->size);
}

static void copy_forward(const at_call *c)
{
    at_copy_elements(c->out[0], c->in[0]);
}

#define ADD(to, from)                                                                                           \
    for (size_t i = 0; i < w.n; i++)                                                                            \
        ((to *)(void *)w.at[0])[(ptrdiff_t)i * w.step[0]] +=                                                    \
            (to)((const from *)(const void *)w.at[1])[(ptrdiff_t)i * w.step[1]]

static void cast_backward(const at_call *c)
{
    at_tensor *dx = c->in[0]->grad, *dy = c->out[0]->grad;
    if (!dx || !dy)
        return;
    if (dx->dtype == dy->dtype) {
        at_add_elements(dx, dy);
        return;
    }
    at_walk w = at_walk_of(2, (const at_tensor *[]){dx, dy});
    do {
        if (dx->dtype == AT_F32 && dy->dtype == AT_F64)
            ADD(float, double);
        else if (dx->dtype == AT_F64 && dy->dtype == AT_F32)
            ADD(double, float);
    } while (at_walk_next(&w));
}

AT_MOVE_OP(cast,
    .args = {{"x", AT_ANY}, {"dtype", AT_INTEGER}},
    .shape = cast_shape, .forward = copy_forward, .backward = cast_backward,
    .strided = true, .internal = true, .keeps = AT_KEEP_NOTHING,
    .help = "cast(x, dtype) -> y\nThe same values in another dtype; t:to(dtype) in scripts.");

static bool clone_shape(at_call *c)
{
    return at_out_type(c, (at_dtype)c->in[0]->dtype, c->in[0]->ndim, c->in[0]->size);
}

AT_MOVE_OP(clone,
    .args = {{"x", AT_ANY}},
    .shape = clone_shape, .forward = copy_forward, .backward = cast_backward,
    .strided = true, .keeps = AT_KEEP_NOTHING,
    .help = "clone(x) -> y like x\nA copy with memory of its own.");
