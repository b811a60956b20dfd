/* See masked.h. */
#include "attn/op/masked.h"

#include <string.h>

#include "attn/core/contiguous.h"

extern const at_op at_op_where, at_op_permute;

#define EVERY(op)                                                                                                      \
    {                                                                                                                  \
        {                                                                                                              \
            &(op), &(op), &(op), &(op), &(op)                                                                          \
        }                                                                                                              \
    }

/* One operation on tensors of the caller's. */
static at_tensor *apply(const at_op_entry *entry, int n, at_tensor *const *in, int n_sizes, const int64_t *sizes,
                        at_error *e)
{
    at_call *c = at_call_new(entry, (size_t)n, e);
    if (!c)
        return NULL;
    memcpy(c->in, in, (size_t)n * sizeof *in);
    c->n_sizes = n_sizes;
    for (int k = 0; k < n_sizes; k++)
        c->sizes[k] = sizes[k];
    at_tensor *y = at_call_run(c, e) ? at_call_take(c, 0) : NULL;
    at_call_end(c);
    return y;
}

/* In place of input k, which the call retained; false for NULL. */
static bool replace(at_call *c, int k, at_tensor *t)
{
    if (!t)
        return false;
    at_release(c->in[k]);
    c->in[k] = t;
    return true;
}

bool at_spread_mask(at_call *c)
{
    const at_tensor *x = c->in[0], *mask = c->in[1];
    size_t size[AT_MAX_DIM], ndim;
    ptrdiff_t step[AT_MAX_DIM];

    if (!at_broadcast(x, mask, &ndim, size) || ndim != x->ndim || memcmp(size, x->size, ndim * sizeof *size) != 0)
        return at_fail(c, "the mask does not broadcast to x (x: %s, mask: %s)", at_describe(x).text,
                       at_describe(mask).text);
    for (size_t i = 0; i < ndim; i++) {
        bool has = i < mask->ndim && mask->size[mask->ndim - 1 - i] != 1;
        step[ndim - 1 - i] = has ? mask->step[mask->ndim - 1 - i] : 0;
    }
    return replace(c, 1, at_view_of(mask, ndim, size, step, 0, c->error));
}

static at_tensor *choose(at_call *c, at_tensor *a, at_tensor *b)
{
    static const at_op_entry entry = EVERY(at_op_where);
    at_tensor *y = a && b ? apply(&entry, 3, (at_tensor *[]){c->in[1], a, b}, 0, NULL, c->error) : NULL;
    at_release(b);
    return y;
}

bool at_fill_masked(at_call *c, double fill)
{
    return replace(c, 0, choose(c, c->in[0], at_scalar((at_dtype)c->in[0]->dtype, fill, c->error)));
}

at_tensor *at_masked_numbers(at_call *c, at_dtype dtype, double a, double b)
{
    at_tensor *left = at_scalar(dtype, a, c->error);
    at_tensor *y = choose(c, left, at_scalar(dtype, b, c->error));
    at_release(left);
    return y;
}

bool at_reorder(at_call *c, int n, const int64_t *order)
{
    static const at_op_entry entry = EVERY(at_op_permute);
    if (!replace(c, 0, apply(&entry, 1, &c->in[0], n, order, c->error)))
        return false;
    if (at_is_masked(c))
        return replace(c, 1, apply(&entry, 1, &c->in[1], n, order, c->error));
    return replace(c, 0, at_make_contiguous(c->in[0], c->error));
}
