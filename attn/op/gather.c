/*
 * gather, scatter_add, index_select, t[ids]: elements and slices by id along dimension d. Any dtype.
 *
 *   gather         y[..., j, ...] = x[..., ids[..., j, ...], ...]: ids has x's number of dimensions, and sizes of at
 *                  most x's in all of them but d; y has the shape of ids
 *   scatter_add    the mirror of gather: y = x, and y[..., ids[..., j, ...], ...] += source[..., j, ...]
 *   index_select   y[..., j, ...] = x[..., ids[j], ...]: whole slices, ids is a vector
 *   select_ids     t[ids]: y[j, ..., :] = x[ids[j, ...], :] with ids of any shape
 *   dx             dy added up at the places it came from, in the order of y
 *
 * Ids count from 1. Id 0 is padding, which has no place in x: it gives 0 and drops what it is given; in index_select it is
 * an error.
 */
#include <string.h>

#include "attn/core/op.h"
#include "attn/core/walk.h"

static bool check_ids(at_call *c, int64_t least)
{
    const at_tensor *x = c->in[0], *ids = c->in[1];
    size_t d = (size_t)c->arg[0].integer, n = at_numel(ids);
    int64_t most = (int64_t)x->size[d];

    AT_PIECES(i, end, n)
    for (; i < end; i++)
        if (at_ids(ids)[i] < least || at_ids(ids)[i] > most)
            return at_fail(c, "id %lld is out of range, expected %lld..%lld along dimension %zu (x: %s)",
                           (long long)at_ids(ids)[i], (long long)least, (long long)most, d + 1, at_describe(x).text);
    return at_uninterrupted(c->error); /* else not all were looked at */
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

/* ---- gather, scatter_add ---- */

/* ids fits x: its first entries in all dimensions but d. */
static bool check_places(at_call *c)
{
    const at_tensor *x = c->in[0], *ids = c->in[1];
    bool fits = ids->ndim == x->ndim;

    for (size_t k = 0; fits && k < x->ndim; k++)
        fits = (int64_t)k == c->arg[0].integer || ids->size[k] <= x->size[k];
    if (!fits)
        return at_fail(c, "ids has shape %s, expected at most that of x in all dimensions but %lld (x: %s)",
                       at_describe_shape(ids->ndim, ids->size).text, (long long)c->arg[0].integer + 1,
                       at_describe(x).text);
    return check_ids(c, 0);
}

typedef enum way { TAKE, PUT, TAKE_BACK } way;

/* `small` has the shape of ids, `large` that of x. TAKE: small = large at the places, 0 at id 0. PUT: large += small.
 * TAKE_BACK: small += large. */
typedef struct places {
    const at_tensor *x, *ids;
    way way;
    at_dtype dtype;
    size_t d;
    char *small, *large;
} places;

#define MOVE(type)                                                                                                     \
    do {                                                                                                               \
        type *s = (type *)(void *)p->small + at, *l = (type *)(void *)p->large + base;                                 \
        for (size_t i = from; i < to; i++)                                                                             \
            s[i] = id[i] ? l[(size_t)(id[i] - 1) * step + i * move] : 0;                                               \
    } while (0)
#define ADD(type)                                                                                                      \
    do {                                                                                                               \
        type *s = (type *)(void *)p->small + at, *l = (type *)(void *)p->large + base;                                 \
        if (p->way == PUT) {                                                                                           \
            for (size_t i = from; i < to; i++)                                                                         \
                if (id[i])                                                                                             \
                    l[(size_t)(id[i] - 1) * step + i * move] += s[i];                                                  \
        } else {                                                                                                       \
            for (size_t i = from; i < to; i++)                                                                         \
                if (id[i])                                                                                             \
                    s[i] += l[(size_t)(id[i] - 1) * step + i * move];                                                  \
        }                                                                                                              \
    } while (0)
typedef uint32_t __attribute__((may_alias)) word4;
typedef uint64_t __attribute__((may_alias)) word8;

/* A row along the last dimension: its ids start at number `at`, its places in x at `base`, `step` apart along d; `move` apart
 * along the row, unless that is d. */
static void place_row(const places *p, size_t n, size_t at, size_t base, size_t step, size_t move)
{
    const int64_t *id = at_ids(p->ids) + at;

    AT_PIECES(from, to, n)
    {
        size_t bytes = p->way == TAKE ? at_dtype_bytes(p->dtype) : 0;
        if (bytes == 1)
            MOVE(uint8_t);
        else if (bytes == 4)
            MOVE(word4);
        else if (bytes == 8)
            MOVE(word8);
        else if (p->dtype == AT_F32)
            ADD(float);
        else if (p->dtype == AT_F64)
            ADD(double);
        else
            ADD(word8); /* int64 wraps around */
        from = to;
    }
}

/* Rows of ids along the last dimension, in order. */
static void place_rows(size_t begin, size_t end, void *context)
{
    const places *p = context;
    const at_tensor *x = p->x, *ids = p->ids;
    size_t last = x->ndim - 1u, step[AT_MAX_DIM], index[AT_MAX_DIM] = {0}, width = 1, rest = begin, base = 0;

    for (size_t k = x->ndim; k-- > 0; width *= x->size[k])
        step[k] = width;
    for (size_t k = last; k-- > 0; rest /= ids->size[k])
        index[k] = rest % ids->size[k];
    for (size_t k = 0; k < last; k++)
        base += k == p->d ? 0 : step[k] * index[k];
    for (size_t r = begin; r < end && !at_cut_short(); r++) {
        place_row(p, ids->size[last], r * ids->size[last], base, step[p->d], last == p->d ? 0 : 1);
        for (size_t k = last; k-- > 0;) {
            size_t move = k == p->d ? 0 : step[k];
            base += move;
            if (++index[k] < ids->size[k])
                break;
            base -= move * index[k];
            index[k] = 0;
        }
    }
}

/* The part of ids in one place of dimension 1: no other part writes to what it adds to, if d is another dimension. */
static void place_parts(size_t begin, size_t end, void *context)
{
    const places *p = context;
    size_t rows = at_numel(p->ids) / p->ids->size[0] / p->ids->size[p->ids->ndim - 1];
    place_rows(begin * rows, end * rows, context);
}

static void run(const at_call *c, way how, char *small, char *large)
{
    const at_tensor *ids = c->in[1];
    places p = {c->in[0], ids, how, (at_dtype)c->in[0]->dtype, (size_t)c->arg[0].integer, small, large};
    size_t n = at_numel(ids);

    if (n == 0)
        return;
    if (how != PUT)
        at_for(n / ids->size[ids->ndim - 1], at_grain_rows(ids->size[ids->ndim - 1]), place_rows, &p);
    else if (p.d == 0 || ids->ndim == 1)
        place_rows(0, n / ids->size[ids->ndim - 1], &p);
    else
        at_for(ids->size[0], at_grain_rows(n / ids->size[0]), place_parts, &p);
}

static bool gather_shape(at_call *c)
{
    const at_tensor *x = c->in[0], *ids = c->in[1];
    return check_places(c) && at_out_type(c, (at_dtype)x->dtype, ids->ndim, ids->size);
}

static void gather_forward(const at_call *c) { run(c, TAKE, c->out[0]->data, c->in[0]->data); }
static void gather_backward(const at_call *c) { run(c, PUT, c->out[0]->grad->data, c->in[0]->grad->data); }

AT_MOVE_OP(gather, .args = {{"x", AT_ANY}, {"d", AT_DIM}, {"ids", AT_IDS}}, .shape = gather_shape, .picks = true,
           .forward = gather_forward, .backward = gather_backward, .keeps = AT_KEEP(1),
           .help = "gather(x, d, ids (int64)) -> y with the shape of ids\n"
                   "y[i, j] = x[ids[i, j], j] for d = 1, x[i, ids[i, j]] for d = 2, and so on; ids from 1. Id 0 is "
                   "padding: it gives 0, "
                   "without gradient. Any dtype.");

static bool scatter_shape(at_call *c)
{
    const at_tensor *x = c->in[0], *ids = c->in[1], *source = c->in[2];

    if (x->dtype > AT_I64)
        return at_fail(c, "x is %s, expected float32, float64 or int64 (x: %s)", at_dtype_name((at_dtype)x->dtype),
                       at_describe(x).text);
    if (!at_same_shape(ids, source))
        return at_fail(c, "source has shape %s, expected that of ids, %s (source: %s)",
                       at_describe_shape(source->ndim, source->size).text, at_describe_shape(ids->ndim, ids->size).text,
                       at_describe(source).text);
    return check_places(c) && at_out_type(c, (at_dtype)x->dtype, x->ndim, x->size);
}

static void scatter_forward(const at_call *c)
{
    at_copy_elements(c->out[0], c->in[0]);
    run(c, PUT, c->in[2]->data, c->out[0]->data);
}

static void scatter_backward(const at_call *c)
{
    at_tensor *dy = c->out[0]->grad;

    if (c->in[0]->grad)
        at_add_elements(c->in[0]->grad, dy);
    if (c->in[2]->grad)
        run(c, TAKE_BACK, c->in[2]->grad->data, dy->data);
}

AT_MOVE_OP(scatter_add, .args = {{"x", AT_ANY}, {"d", AT_DIM}, {"ids", AT_IDS}, {"source", AT_ANY}},
           .shape = scatter_shape, .forward = scatter_forward, .backward = scatter_backward, .keeps = AT_KEEP(1),
           .help = "scatter_add(x, d, ids (int64), source) -> y like x\n"
                   "A copy of x with source, which has the shape of ids, added at the places that gather reads: "
                   "y[ids[i, j], j] += "
                   "source[i, j] for d = 1, and so on. Repeated places add up in order; an entry whose id is 0 "
                   "(padding) is dropped. "
                   "int64 too.");

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
    return check_ids(c, 1) && at_out_type(c, (at_dtype)x->dtype, x->ndim, size);
}

static void select_slices(const at_call *c, const char *from, char *to, bool back)
{
    const at_tensor *x = c->in[0], *ids = c->in[1];
    size_t d = (size_t)c->arg[0].integer, n = at_numel(ids), bytes = at_dtype_bytes((at_dtype)x->dtype), outer = 1,
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

AT_MOVE_OP(index_select, .args = {{"x", AT_ANY}, {"d", AT_DIM}, {"ids", AT_IDS}}, .shape = select_shape, .picks = true,
           .forward = select_forward, .backward = select_backward, .keeps = AT_KEEP(1),
           .help = "index_select(x, d, ids [n] (int64)) -> y [..., n, ...]\n"
                   "The slices of x along dimension d in the order of ids, from 1; an id may repeat. Any dtype.");

static bool ids_shape(at_call *c)
{
    const at_tensor *x = c->in[0], *ids = c->in[1];
    size_t size[AT_MAX_DIM], ndim = x->ndim + ids->ndim - 1u;

    if (x->ndim == 0)
        return at_fail(c, "x is a scalar, expected at least 1 dimension (x: %s)", at_describe(x).text);
    if (ndim > AT_MAX_DIM)
        return at_fail(c, "the result would have %zu dimensions, expected at most %d (x: %s, ids: %s)", ndim,
                       AT_MAX_DIM, at_describe(x).text, at_describe(ids).text);
    memcpy(size, ids->size, ids->ndim * sizeof *size);
    memcpy(size + ids->ndim, x->size + 1, (x->ndim - 1u) * sizeof *size);
    return check_ids(c, 1) && at_out_type(c, (at_dtype)x->dtype, ndim, size);
}

AT_MOVE_OP(select_ids, .args = {{"x", AT_ANY}, {"ids", AT_IDS}}, .shape = ids_shape, .picks = true,
           .forward = select_forward, .backward = select_backward, .keeps = AT_KEEP(1), .internal = true,
           .help = "select_ids(x, ids (int64)) -> y [the shape of ids, ...]\n"
                   "Entries of the first dimension of x in the order of ids; t[ids] in scripts.");
