/* contiguous: the one movement that calls make by themselves. */
#include "attn/core/contiguous.h"

static bool contiguous_shape(at_call *c) { return at_out_type(c, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->size); }

static void contiguous_forward(const at_call *c) { at_copy_elements(c->out[0], c->in[0]); }

static void contiguous_backward(const at_call *c)
{
    if (c->in[0]->grad)
        at_add_elements(c->in[0]->grad, c->out[0]->grad);
}

AT_MOVE_OP(contiguous, .args = {{"x", AT_ANY}}, .shape = contiguous_shape, .forward = contiguous_forward,
           .backward = contiguous_backward, .strided = true, .keeps = AT_KEEP_NOTHING, .idle = at_contiguous,
           .help = "contiguous(x) -> y like x\n"
                   "The same elements in row order in memory of their own; x itself if it is so already.");

at_tensor *at_make_contiguous(at_tensor *t, at_error *e)
{
    static const at_op_entry entry = {
        {&at_op_contiguous, &at_op_contiguous, &at_op_contiguous, &at_op_contiguous, &at_op_contiguous}};
    if (at_contiguous(t))
        return at_retain(t);
    at_call *c = at_call_new(&entry, 1, e);
    if (!c)
        return NULL;
    c->in[0] = t;
    at_tensor *y = at_call_run(c, e) ? at_call_take(c, 0) : NULL;
    at_call_end(c);
    return y;
}
