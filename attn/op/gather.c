/*
 * gather, index_select: elements and slices by id along dimension d. Any dtype.
 *
 *   gather         y[..., j, ...] = x[..., ids[..., j, ...], ...]: ids has x's number of dimensions, and sizes of at
 *                  most x's in all of them but d; y has the shape of ids
 *   index_select   y[..., j, ...] = x[..., ids[j], ...]: whole slices, ids is a vector
 *   dx             dy added up at the places it came from, in the order of y
 *
 * Ids count from 1; 0 is an error here, padding has no place in x.
 */
#include <string.h>

#include "attn/core/op.h"
#include "attn/core/walk.h"

static bool check_ids(at_call *c)
{
    const at_tensor *x = c->in[0], *ids = c->in[1];
    size_t d = (size_t)c->arg[0].integer, n = at_numel(ids);
    int64_t most = (int64_t)x->size[d];

    AT_PIECES(i, end, n)
        for (; i < end; i++)
            if (at_ids(ids)[i] < 1 || at_ids(ids)[i] > most)
                return at_fail(c, "id %lld is out of range, expected 1..%lld along dimension %zu (x: %s)",
                               (long long)at_ids(ids)[i], (long long)most, d + 1, at_describe(x).text);
    return at_uninterrupted(c->error);      /* else not all were looked at */
}

static void add_run(at_dtype dtype, size_t n, const char *from, char *to)
{
    if (dtype == AT_F32) {
        const float *x = (const float *)(const void *)from;
        float *y = (float *)(void *)to;
        AT_PIECES(i, end, n)
            for (; i < end; i++)
                y[i] += x[i];
    } else {
        const double *x = (const double *)(const void *)from;
        double *y = (double *)(void *)to;
        AT_PIECES(i, end, n)
            for (; i < end; i++)
                y[i] += x[i];
    }
}

/* ---- gather ---- */

static bool gather_shape(at_call *c)
{
    const at_tensor *x = c->in[0], *ids = c->in[1];
    bool fits = ids->ndim == x->ndim;

    for (size_t k = 0; fits && k < x->ndim; k++)
        fits = (int64_t)k == c->arg[0].integer || ids->size[k] <= x->size[k];
    if (!fits)
        return at_fail(c, "ids has shape %s, expected at most that of x in all dimensions but %lld (x: %s)",
                       at_describe_shape(ids->ndim, ids->size).text, (long long)c->arg[0].integer + 1,
                       at_describe(x).text);
    return check_ids(c) && at_out_type(c, (at_dtype)x->dtype, ids->ndim, ids->size);
}

/* Goes over the elements of y in order; the place in x moves with them, but for the d-th dimension. */
static void gather(const at_call *c, const char *from, char *to, bool back)
{
    const at_tensor *x = c->in[0], *ids = c->in[1];
    size_t d = (size_t)c->arg[0].integer, n = at_numel(ids), at = 0, index[AT_MAX_DIM] = {0}, step[AT_MAX_DIM];
    size_t bytes = at_dtype_bytes((at_dtype)x->dtype), width = 1;

    for (size_t k = x->ndim; k-- > 0; width *= x->size[k])
        step[k] = width;
    AT_PIECES(i, end, n)
        for (; i < end; i++) {
            size_t place = at + (size_t)(at_ids(ids)[i] - 1) * step[d];
            if (back)
                add_run((at_dtype)x->dtype, 1, from + i * bytes, to + place * bytes);
            else
                memcpy(to + i * bytes, from + place * bytes, bytes);
            for (size_t k = x->ndim; k-- > 0;) {
                size_t move = k == d ? 0 : step[k];
                at += move;
                if (++index[k] < ids->size[k])
                    break;
                at -= move * index[k];
                index[k] = 0;
            }
        }
}

static void gather_forward(const at_call *c) { gather(c, c->in[0]->data, c->out[0]->data, false); }
static void gather_backward(const at_call *c) { gather(c, c->out[0]->grad->data, c->in[0]->grad->data, true); }

AT_MOVE_OP(gather,
    .args = {{"x", AT_ANY}, {"d", AT_DIM}, {"ids", AT_IDS}},
    .shape = gather_shape, .forward = gather_forward, .backward = gather_backward, .keeps = AT_KEEP(1),
    .help = "gather(x, d, ids (int64)) -> y with the shape of ids\n"
            "y[i, j] = x[ids[i, j], j] for d = 1, x[i, ids[i, j]] for d = 2, and so on; ids from 1. Any dtype.");

/* ---- index_select ---- */

static bool select_shape(at_call *c)
{
    const at_tensor *x = c->in[0], *ids = c->in[1];
    size_t size[AT_MAX_DIM];

    if (ids->ndim != 1)
        return at_fail(c, "ids has shape %s, expected a vector (ids: %s)", at_describe_shape(ids->ndim, ids->size).text,
                       at_describe(ids).text);
    memcpy(size, x->size, sizeof size);
    size[c->arg[0].integer] = ids->size[0];
    return check_ids(c) && at_out_type(c, (at_dtype)x->dtype, x->ndim, size);
}

static void select_slices(const at_call *c, const char *from, char *to, bool back)
{
    const at_tensor *x = c->in[0], *ids = c->in[1];
    size_t d = (size_t)c->arg[0].integer, n = ids->size[0], bytes = at_dtype_bytes((at_dtype)x->dtype), outer = 1,
           run = 1;

    for (size_t k = 0; k < d; k++)
        outer *= x->size[k];
    for (size_t k = d + 1; k < x->ndim; k++)
        run *= x->size[k];
    for (size_t o = 0; o < outer; o++)
        for (size_t j = 0; j < n && !at_cut_short(); j++) {
            size_t there = (o * x->size[d] + (size_t)(at_ids(ids)[j] - 1)) * run, here = (o * n + j) * run;
            if (back)
                add_run((at_dtype)x->dtype, run, from + here * bytes, to + there * bytes);
            else
                at_copy_bytes(to + here * bytes, from + there * bytes, run * bytes);
        }
}

static void select_forward(const at_call *c) { select_slices(c, c->in[0]->data, c->out[0]->data, false); }
static void select_backward(const at_call *c) { select_slices(c, c->out[0]->grad->data, c->in[0]->grad->data, true); }

AT_MOVE_OP(index_select,
    .args = {{"x", AT_ANY}, {"d", AT_DIM}, {"ids", AT_IDS}},
    .shape = select_shape, .forward = select_forward, .backward = select_backward, .keeps = AT_KEEP(1),
    .help = "index_select(x, d, ids [n] (int64)) -> y [..., n, ...]\n"
            "The slices of x along dimension d in the order of ids, from 1; an id may repeat. Any dtype.");
