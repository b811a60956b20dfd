/*
 * cat: tensors side by side along dimension d; stack: along a new dimension d.
 *
 *   list   tensors of one dtype; for cat equal in all sizes but the d-th, for stack in all
 *   dx_k   the part of dy that x_k became
 *
 * In memory the result is `outer` rows, and each tensor gives one piece of every row: pieces are copied as bytes. A
 * tensor that is not contiguous is copied through a window on the result.
 */
#include <string.h>

#include "attn/core/op.h"
#include "attn/core/parallel.h"

static bool cat_shape(at_call *c)
{
    const at_tensor *first = c->in[0];
    size_t size[AT_MAX_DIM], d = (size_t)c->arg[0].integer;

    memcpy(size, first->size, sizeof size);
    for (int k = 1; k < c->n_in; k++) {
        const at_tensor *t = c->in[k];
        bool same = t->ndim == first->ndim;
        for (size_t i = 0; same && i < t->ndim; i++)
            same = i == d || t->size[i] == first->size[i];
        if (!same)
            return at_fail(c,
                           "tensor %d has shape %s, expected that of tensor 1 in all dimensions but %zu (tensor 1: %s)",
                           k + 1, at_describe_shape(t->ndim, t->size).text, d + 1, at_describe(first).text);
        size[d] += t->size[d];
    }
    return at_out_type(c, (at_dtype)first->dtype, first->ndim, size);
}

static bool stack_shape(at_call *c)
{
    const at_tensor *first = c->in[0];
    size_t size[AT_MAX_DIM], d = (size_t)c->arg[0].integer;

    if (first->ndim == AT_MAX_DIM)
        return at_fail(c, "tensor 1 has %d dimensions, expected at most %d", AT_MAX_DIM, AT_MAX_DIM - 1);
    for (int k = 1; k < c->n_in; k++)
        if (!at_same_shape(c->in[k], first))
            return at_fail(c, "tensor %d has shape %s, expected that of tensor 1 (tensor 1: %s)", k + 1,
                           at_describe_shape(c->in[k]->ndim, c->in[k]->size).text, at_describe(first).text);
    for (size_t i = 0; i <= first->ndim; i++)
        size[i] = i < d ? first->size[i] : i == d ? c->n_in : first->size[i - 1];
    return at_out_type(c, (at_dtype)first->dtype, first->ndim + 1u, size);
}

/* The k-th piece of a tensor like the result: a window of x's shape, `at` elements behind the start of each row. */
static at_tensor window(const at_tensor *whole, const at_tensor *x, size_t d, size_t at)
{
    at_tensor w = *whole;
    bool stacked = x->ndim < whole->ndim;

    w.ndim = x->ndim;
    for (size_t i = 0; i < x->ndim; i++) {
        w.size[i] = x->size[i];
        w.step[i] = whole->step[stacked && i >= d ? i + 1 : i];
    }
    w.data += at * at_dtype_bytes((at_dtype)whole->dtype);
    return w;
}

static void cat_forward(const at_call *c)
{
    at_tensor *y = c->out[0];
    size_t d = (size_t)c->arg[0].integer, outer = 1, n = 1, at = 0, bytes = at_dtype_bytes((at_dtype)y->dtype);

    for (size_t i = 0; i < d; i++)
        outer *= y->size[i];
    for (size_t i = d; i < y->ndim; i++)
        n *= y->size[i];
    if (outer * n == 0)
        return;
    for (int k = 0; k < c->n_in; k++) {
        at_tensor *x = c->in[k];
        size_t piece = at_numel(x) / outer;
        if (at_contiguous(x)) {
            for (size_t r = 0; r < outer && !at_cut_short(); r++)
                at_copy_bytes(y->data + (r * n + at) * bytes, x->data + r * piece * bytes, piece * bytes);
        } else {
            at_tensor w = window(y, x, d, at);
            at_copy_elements(&w, x);
        }
        at += piece;
    }
}

static void cat_backward(const at_call *c)
{
    const at_tensor *y = c->out[0], *dy = y->grad;
    size_t d = (size_t)c->arg[0].integer, outer = 1, at = 0;

    for (size_t i = 0; i < d; i++)
        outer *= y->size[i];
    if (at_numel(y) == 0)
        return;
    for (int k = 0; k < c->n_in; k++) {
        const at_tensor *x = c->in[k];
        if (x->grad) {
            at_tensor w = window(dy, x, d, at);
            if (at_is_fresh(c, k))
                at_copy_elements(x->grad, &w);
            else
                at_add_elements(x->grad, &w);
        }
        at += at_numel(x) / outer;
    }
}

AT_MOVE_OP(cat, .args = {{"list", AT_LIST}, {"d", AT_DIM, .optional = true, .value = 1}}, .shape = cat_shape,
           .forward = cat_forward, .backward = cat_backward, .strided = true, .fresh = true, .keeps = AT_KEEP_NOTHING,
           .plain = true,
           .help = "cat(list, d = 1) -> y\n"
                   "The tensors of a list side by side along dimension d; their other sizes must be equal. Any dtype.");

AT_MOVE_OP(stack, .args = {{"list", AT_LIST}, {"d", AT_NEW_DIM, .optional = true, .value = 1}}, .shape = stack_shape,
           .forward = cat_forward, .backward = cat_backward, .strided = true, .fresh = true, .keeps = AT_KEEP_NOTHING,
           .plain = true,
           .help = "stack(list, d = 1) -> y with one dimension more\n"
                   "Tensors of one shape along a new dimension d: y[k] is the k-th for d = 1. Any dtype.");
