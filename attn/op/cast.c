/*
 * cast: the same values in another dtype. clone: the same values in memory of their own.
 *
 * A float to int64 or uint8 is cut towards zero; what is beyond 0..255 becomes its nearest end in uint8; anything to bool is
 * "not 0". Gradients flow between the float types only. A matrix of float32 becomes a weight kept for inference, and back.
 */
#include "attn/core/kept.h"
#include "attn/core/op.h"
#include "attn/core/walk.h"

enum { DTYPE };

static bool cast_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    at_dtype dtype = (at_dtype)c->arg[DTYPE].integer;
    bool keeps = dtype > AT_DTYPES;
    if (keeps && (x->dtype != AT_F32 || x->ndim != 2))
        return at_fail(c, "x is %s, expected a matrix of float32 to become a weight of %s", at_describe(x).text,
                       at_dtype_name(dtype));
    if (at_is_kept(x) && dtype != AT_F32)
        return at_fail(c, "x is %s, " AT_KEPT_FOR ", no %s", at_describe(x).text, at_dtype_name(dtype));
    if (keeps)
        at_want_scratch(c, at_keep_scratch(x));
    return at_out_type(c, dtype, x->ndim, x->size);
}

static void cast_forward(const at_call *c)
{
    if (at_is_kept(c->out[0]))
        at_keep(c->out[0], c->in[0], c->work);
    else if (at_is_kept(c->in[0]))
        at_expand(c->out[0], c->in[0]);
    else
        at_copy_elements(c->out[0], c->in[0]);
}

static void copy_forward(const at_call *c) { at_copy_elements(c->out[0], c->in[0]); }

#define ADD(to, from)                                                                                                  \
    for (size_t i = 0; i < n; i++)                                                                                     \
    ((to *)(void *)at[0])[(ptrdiff_t)i * step[0]] += (to)((const from *)(const void *)at[1])[(ptrdiff_t)i * step[1]]

/* at: dx, dy, of the two float types */
static void add(size_t n, char *const *at, const ptrdiff_t *step, void *context)
{
    if (*(const at_dtype *)context == AT_F32)
        ADD(float, double);
    else
        ADD(double, float);
}

static void cast_backward(const at_call *c)
{
    at_tensor *dx = c->in[0]->grad, *dy = c->out[0]->grad;
    if (!dx || !dy)
        return;
    if (dx->dtype == dy->dtype) {
        at_add_elements(dx, dy);
        return;
    }
    const at_tensor *both[] = {dx, dy};
    at_walk w = at_walk_of(2, both);
    at_run_in_order(&w, both, add, &(at_dtype){(at_dtype)dx->dtype});
}

AT_MOVE_OP(cast, .args = {{"x", AT_WEIGHT}, {"dtype", AT_INTEGER}}, .shape = cast_shape, .forward = cast_forward,
           .backward = cast_backward, .strided = true, .internal = true, .keeps = AT_KEEP_NOTHING,
           .help = "cast(x, dtype) -> y\nThe same values in another dtype; t:to(dtype) in scripts.");

static bool clone_shape(at_call *c)
{
    return at_out_type(c, (at_dtype)c->in[0]->dtype, c->in[0]->ndim, c->in[0]->size);
}

AT_MOVE_OP(clone, .args = {{"x", AT_ANY}}, .shape = clone_shape, .forward = copy_forward, .backward = cast_backward,
           .strided = true, .keeps = AT_KEEP_NOTHING, .help = "clone(x) -> y like x\nA copy with memory of its own.");
