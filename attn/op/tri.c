/*
 * tril, triu: matrices with zeros above, or below, a diagonal. Any dtype.
 *
 *   x    [..., m, n]; y like x
 *   k    the diagonal: 0 the main one, 1 the one above it, -1 the one below
 *   dx   dy where x was kept
 */
#include <string.h>

#include "attn/core/op.h"
#include "attn/core/parallel.h"

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0];

    if (x->ndim < 2)
        return at_fail(c, "x has %d dimensions, expected at least 2 (x: %s)", x->ndim, at_describe(x).text);
    return at_out_type(c, (at_dtype)x->dtype, x->ndim, x->size);
}

/* How many elements of row i stand up to diagonal k. */
static size_t up_to(size_t i, size_t n, int64_t k)
{
    int64_t last = k > (int64_t)n ? (int64_t)n : k < -(int64_t)i - 1 ? -1 : (int64_t)i + k;
    return last < 0 ? 0 : (size_t)last >= n ? n : (size_t)last + 1;
}

static void add_run(at_dtype dtype, size_t n, const char *from, char *to)
{
    if (dtype == AT_F32)
        for (size_t i = 0; i < n; i++)
            ((float *)(void *)to)[i] += ((const float *)(const void *)from)[i];
    else
        for (size_t i = 0; i < n; i++)
            ((double *)(void *)to)[i] += ((const double *)(const void *)from)[i];
}

static void run(const at_call *c, const char *from, char *to, bool lower, bool back)
{
    const at_tensor *x = c->in[0];
    size_t m = x->size[x->ndim - 2], n = x->size[x->ndim - 1], bytes = at_dtype_bytes((at_dtype)x->dtype);
    size_t rows = n ? at_numel(x) / n : 0;
    int64_t k = c->arg[0].integer;

    if (!lower && k == INT64_MIN)
        k++;
    for (size_t r = 0; r < rows && !at_cut_short(); r++) {
        /* lower: up to diagonal k; upper: from k on, which is behind k - 1 */
        size_t border = up_to(r % m, n, lower ? k : k - 1), start = lower ? 0 : border, end = lower ? border : n;
        const char *source = from + (r * n + start) * bytes;
        char *target = to + (r * n + start) * bytes;
        if (back) {
            add_run((at_dtype)x->dtype, end - start, source, target);
        } else {
            at_zero(to + r * n * bytes, n * bytes);
            at_copy_bytes(target, source, (end - start) * bytes);
        }
    }
}

static void tril_forward(const at_call *c) { run(c, c->in[0]->data, c->out[0]->data, true, false); }
static void triu_forward(const at_call *c) { run(c, c->in[0]->data, c->out[0]->data, false, false); }
static void tril_backward(const at_call *c) { run(c, c->out[0]->grad->data, c->in[0]->grad->data, true, true); }
static void triu_backward(const at_call *c) { run(c, c->out[0]->grad->data, c->in[0]->grad->data, false, true); }

AT_MOVE_OP(
    tril, .args = {{"x", AT_ANY}, {"k", AT_INTEGER, .optional = true}}, .shape = shape, .forward = tril_forward,
    .backward = tril_backward, .keeps = AT_KEEP_NOTHING,
    .help = "tril(x [..., m, n], k = 0) -> y like x\n"
            "The lower triangle: zeros (false) above diagonal k, 1 being the one above the main one. Any dtype.");

AT_MOVE_OP(
    triu, .args = {{"x", AT_ANY}, {"k", AT_INTEGER, .optional = true}}, .shape = shape, .forward = triu_forward,
    .backward = triu_backward, .keeps = AT_KEEP_NOTHING,
    .help = "triu(x [..., m, n], k = 0) -> y like x\n"
            "The upper triangle: zeros (false) below diagonal k, 1 being the one above the main one. Any dtype.");
