/*
 * nonzero: the places of what is not 0. masked_select and t[mask]: what stands where a mask is true. mask: which places of a row
 * are within its length. Any dtype.
 *
 *   nonzero         x any shape; y [n, dimensions of x], int64 from 1, in row order
 *   masked_select   the mask broadcasts to x; y [n], in row order
 *   select_rows     t[mask]: the mask has the sizes of the first dimensions of x; y [n, the other dimensions]
 *   mask            lengths [...]; y [..., T] bool, y_t = t <= length
 *   dx              dy put back at its places
 *
 * The places are found once, in shape, which must know how many there are; they are what backward needs.
 */
#include <string.h>

#include "attn/core/op.h"
#include "attn/core/parallel.h"

/* The places of a mask into saved[0]. */
static bool keep_places(at_call *c, const at_tensor *mask, size_t *count)
{
    *count = at_places(mask, NULL);
    if (!at_uninterrupted(c->error) || !at_save(c, AT_I64, *count))
        return false;
    at_places(mask, (int64_t *)(void *)c->saved[0]->data);
    return at_uninterrupted(c->error);
}

/* ---- nonzero ---- */

static bool nonzero_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t count;
    return keep_places(c, x, &count) && at_out_type(c, AT_I64, 2, (size_t[]){count, x->ndim});
}

static void nonzero_forward(const at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t count = c->out[0]->size[0];
    const int64_t *place = at_ids(c->saved[0]);
    int64_t *y = (int64_t *)(void *)c->out[0]->data;

    AT_PIECES(i, end, count)
    for (; i < end; i++) {
        size_t rest = (size_t)place[i];
        for (size_t d = x->ndim; d-- > 0; rest /= x->size[d])
            y[i * x->ndim + d] = (int64_t)(rest % x->size[d]) + 1;
    }
}

AT_MOVE_OP(nonzero, .args = {{"x", AT_ANY}}, .shape = nonzero_shape, .forward = nonzero_forward,
           .gradient = AT_NO_GRADIENT, .strided = true,
           .help = "nonzero(x) -> places [n, dimensions of x] (int64)\n"
                   "Where x is not 0 (true, NaN), in row order: a row for each, its place along every dimension, from "
                   "1. Of a vector\n"
                   "nonzero(x):squeeze(2) is a list of ids. Any dtype.");

/* ---- what stands there ---- */

/* Runs of `run` elements between x and the rows of y. */
static void move(const at_call *c, const char *from, char *to, bool back)
{
    const at_tensor *x = c->in[0];
    const int64_t *place = at_ids(c->saved[0]);
    size_t count = c->saved[0]->size[0], run = count ? at_numel(c->out[0]) / count : 0;
    size_t bytes = run * at_dtype_bytes((at_dtype)x->dtype);

    AT_PIECES(i, end, count)
    for (; i < end && !at_cut_short(); i++) {
        size_t there = (size_t)place[i] * bytes;
        if (!back)
            memcpy(to + i * bytes, from + there, bytes);
        else if (x->dtype == AT_F32)
            for (size_t k = 0; k < run; k++)
                ((float *)(void *)(to + there))[k] += ((const float *)(const void *)(from + i * bytes))[k];
        else
            for (size_t k = 0; k < run; k++)
                ((double *)(void *)(to + there))[k] += ((const double *)(const void *)(from + i * bytes))[k];
    }
}

static void select_forward(const at_call *c) { move(c, c->in[0]->data, c->out[0]->data, false); }
static void select_backward(const at_call *c) { move(c, c->out[0]->grad->data, c->in[0]->grad->data, true); }

static bool masked_shape(at_call *c)
{
    const at_tensor *x = c->in[0], *mask = c->in[1];
    size_t size[AT_MAX_DIM], ndim, count;

    if (!at_broadcast(x, mask, &ndim, size) || ndim != x->ndim || memcmp(size, x->size, ndim * sizeof *size) != 0)
        return at_fail(c, "the mask does not broadcast to x (x: %s, mask: %s)", at_describe(x).text,
                       at_describe(mask).text);
    at_tensor spread = *mask;
    spread.ndim = x->ndim;
    for (size_t i = 0; i < ndim; i++) {
        bool has = i < mask->ndim && mask->size[mask->ndim - 1 - i] != 1;
        spread.size[ndim - 1 - i] = x->size[ndim - 1 - i];
        spread.step[ndim - 1 - i] = has ? mask->step[mask->ndim - 1 - i] : 0;
    }
    return keep_places(c, &spread, &count) && at_out_type(c, (at_dtype)x->dtype, 1, &count);
}

AT_MOVE_OP(masked_select, .args = {{"x", AT_ANY}, {"mask", AT_MASK}}, .shape = masked_shape, .forward = select_forward,
           .backward = select_backward, .keeps = AT_KEEP_NOTHING,
           .help = "masked_select(x, mask (bool)) -> y [n]\n"
                   "The elements of x where the mask, broadcast to x, is true, in row order. Any dtype. t[mask] takes "
                   "a mask of the\n"
                   "first dimensions and gives whole rows.");

static bool rows_shape(at_call *c)
{
    const at_tensor *x = c->in[0], *mask = c->in[1];
    size_t size[AT_MAX_DIM], count, rest = x->ndim - (mask->ndim < x->ndim ? mask->ndim : x->ndim);

    if (mask->ndim == 0 || mask->ndim > x->ndim || memcmp(mask->size, x->size, mask->ndim * sizeof *mask->size) != 0)
        return at_fail(c, "the mask has not the sizes of the first dimensions of x (x: %s, mask: %s)",
                       at_describe(x).text, at_describe(mask).text);
    if (!keep_places(c, mask, &count))
        return false;
    size[0] = count;
    memcpy(size + 1, x->size + mask->ndim, rest * sizeof *size);
    return at_out_type(c, (at_dtype)x->dtype, rest + 1, size);
}

AT_MOVE_OP(select_rows, .args = {{"x", AT_ANY}, {"mask", AT_MASK}}, .shape = rows_shape, .forward = select_forward,
           .backward = select_backward, .keeps = AT_KEEP_NOTHING, .internal = true,
           .help = "select_rows(x, mask (bool)) -> y [n, ...]\nThe rows of x where a mask of its first dimensions is "
                   "true; t[mask] in scripts.");

/* ---- mask ---- */

static bool mask_shape(at_call *c)
{
    const at_tensor *lengths = c->in[0];
    size_t n = at_numel(lengths), size[AT_MAX_DIM];
    int64_t most = 0, T = c->arg[0].integer;
    bool given = c->given & 1;

    if (lengths->ndim == AT_MAX_DIM)
        return at_fail(c, "lengths has %d dimensions, expected at most %d", AT_MAX_DIM, AT_MAX_DIM - 1);
    if (given && T < 0)
        return at_fail(c, "T is %lld, expected at least 0", (long long)T);
    AT_PIECES(i, end, n)
    for (; i < end; i++) {
        int64_t length = at_ids(lengths)[i];
        if (length < 0 || (given && length > T))
            return at_fail(c, given ? "a length is %lld, expected 0..%lld (lengths: %s)" : "a length is %lld, below 0",
                           (long long)length, (long long)T, at_describe(lengths).text);
        most = length > most ? length : most;
    }
    memcpy(size, lengths->size, sizeof size);
    size[lengths->ndim] = (size_t)(given ? T : most);
    return at_uninterrupted(c->error) && at_out_type(c, AT_BOOL, lengths->ndim + 1u, size);
}

static void mask_forward(const at_call *c)
{
    size_t n = at_numel(c->in[0]), T = c->out[0]->size[c->in[0]->ndim];

    at_zero(c->out[0]->data, n * T);
    for (size_t i = 0; i < n && !at_cut_short(); i++)
        memset(c->out[0]->data + i * T, 1, (size_t)at_ids(c->in[0])[i]);
}

AT_MOVE_OP(
    mask, .args = {{"lengths", AT_IDS}, {"T", AT_INTEGER, .optional = true}}, .shape = mask_shape,
    .forward = mask_forward, .gradient = AT_NO_GRADIENT,
    .help = "mask(lengths [...] (int64) [, T]) -> [..., T] (bool)\n"
            "True at the first places of each row, as many as its length says. T is by default the greatest length.");
