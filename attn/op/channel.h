/*
 * What batchnorm and groupnorm share: x as [O, C, I], each channel with a weight and a bias that may be left out. Sums over a
 * channel are taken per row (o, c), or where rows would be of one number, per block of rows [C]; they stand in a partial table
 * [P, C] and are added up over P in order: bounds and order depend on the sizes only. Typed: for op/ only, everything static.
 */
#ifndef AT_OP_CHANNEL_H
#define AT_OP_CHANNEL_H

#include <string.h>

#include "attn/op/rows.h"
#include "attn/kernel/channel.h"
#include "attn/kernel/map.h"
#include "attn/kernel/reduce.h"

enum { AT_CHANNEL_ROWS = 128 }; /* rows of channels that are added up in the element type; beyond in double */

typedef struct at_channels {
    size_t O, C, I;
    bool columns; /* I is 1: sums go down the columns of [O, C] */
    size_t P;     /* rows of a partial table */
    const real *x, *dy;
    const real *mean; /* [P, C] or [C]: mean_step from one o to the next */
    size_t mean_step;
    double *first, *second; /* partial tables [P, C]; NULL: not wanted */
    const real *a, *b, *c;  /* factors, laid out like the mean */
    real *to;
    bool add;
    real *own; /* P slots of 2 C numbers, for columns */
} at_channels;

static inline at_channels at_channels_of(const at_tensor *x, size_t dim)
{
    at_channels s = {.O = 1, .C = x->size[dim], .I = 1};
    for (size_t d = 0; d < dim; d++)
        s.O *= x->size[d];
    for (size_t d = dim + 1; d < x->ndim; d++)
        s.I *= x->size[d];
    s.P = s.O;
    s.columns = s.I == 1;
    if (s.columns) {
        s.P = s.O / at_grain_rows(s.C) + 1;
        s.P = s.P < AT_SLOTS ? s.P : AT_SLOTS;
    }
    return s;
}

/* Scratch for n partial tables and the slots. */
static inline size_t at_channels_scratch(const at_channels *s, size_t n)
{
    return s->P * s->C * (n * sizeof(double) + (s->columns ? 2 * sizeof(real) : 0));
}

static inline real *at_channels_slots(const at_channels *s, size_t n, char *work)
{
    return (real *)(void *)(work + s->P * s->C * n * sizeof(double));
}

/* The first and the last row of block p of those that are taken together. */
static inline size_t at_channels_row(const at_channels *s, size_t p) { return s->O * p / s->P; }

/* ---- sums: first, second = sum (x - mean)^2 without dy; sum dy, sum (x - mean) dy with it; without a mean first = sum x ---- */

static inline void at_channel_sums_block(const at_channels *s, size_t p)
{
    size_t C = s->C;
    real *one = s->own + 2 * p * C, *two = one + C;
    memset(s->first + p * C, 0, C * sizeof(double));
    if (s->second)
        memset(s->second + p * C, 0, C * sizeof(double));
    for (size_t o = at_channels_row(s, p), end = at_channels_row(s, p + 1); o < end && !at_cut_short();) {
        size_t stop = end - o < AT_CHANNEL_ROWS ? end : o + AT_CHANNEL_ROWS;
        memset(one, 0, 2 * C * sizeof(real));
        for (; o < stop; o++) {
            if (s->dy)
                K->channel->spreads_back(C, s->x + o * C, s->mean, s->dy + o * C, one, two);
            else if (s->mean)
                K->channel->spreads(C, s->x + o * C, s->mean, one);
            else
                K->map->acc(C, s->x + o * C, one);
        }
        for (size_t c = 0; c < C; c++)
            s->first[p * C + c] += (double)one[c];
        for (size_t c = 0; c < C && s->second; c++)
            s->second[p * C + c] += (double)two[c];
    }
}

static inline void at_channel_sums_part(size_t begin, size_t end, void *context)
{
    const at_channels *s = context;
    for (size_t r = begin; r < end; r++) {
        if (s->columns) {
            at_channel_sums_block(s, r);
            continue;
        }
        const real *x = s->x + r * s->I;
        size_t m = r / s->C * s->mean_step + r % s->C;
        if (s->dy)
            s->second[r] = K->channel->spread_back(s->I, x, s->mean[m], s->dy + r * s->I, &s->first[r]);
        else
            s->first[r] = s->mean ? K->channel->spread(s->I, x, s->mean[m]) : K->reduce->sum(s->I, x);
    }
}

static inline void at_channel_sums(at_channels *s)
{
    if (s->columns)
        at_for(s->P, 1, at_channel_sums_part, s);
    else
        at_for(s->O * s->C, at_grain_rows(s->I), at_channel_sums_part, s);
}

/* ---- maps: to = (x - mean) a + b without dy; a dy + b (x - mean) + c with it ---- */

static inline void at_channel_map_part(size_t begin, size_t end, void *context)
{
    const at_channels *s = context;
    size_t n = s->I == 1 ? s->C : s->I, step = s->I == 1;
    for (size_t r = begin; r < end; r++) {
        size_t m = step ? r * s->mean_step : r / s->C * s->mean_step + r % s->C;
        if (s->dy)
            K->channel->centred_back(
                n, s->x + r * n, s->mean + m, s->dy + r * n, s->a + m, s->b + m, s->c + m, step, s->to + r * n, s->add);
        else
            K->channel->centred(n, s->x + r * n, s->mean + m, s->a + m, s->b + m, step, s->to + r * n);
    }
}

static inline void at_channel_map(at_channels *s)
{
    if (s->I == 1)
        at_for(s->O, at_grain_rows(s->C), at_channel_map_part, s);
    else
        at_for(s->O * s->C, at_grain_rows(s->I), at_channel_map_part, s);
}

/* ---- parameters ---- */

static inline const real *at_channel_param(const at_call *c, int k)
{
    return k < c->n_in && c->in[k] ? at_in(c, k) : NULL;
}
static inline real *at_channel_gradient(const at_call *c, int k)
{
    return k < c->n_in && c->in[k] ? at_din(c, k) : NULL;
}

static inline void at_channel_give(const at_call *c, int k, size_t i, double value)
{
    real *d = at_channel_gradient(c, k);
    if (d)
        d[i] = (real)value + (at_is_fresh(c, k) ? 0 : d[i]);
}

static inline bool at_channel_check(at_call *c, int k, size_t C)
{
    const at_tensor *p = k < c->n_in ? c->in[k] : NULL;
    return !p || (p->ndim == 1 && p->size[0] == C) ||
           at_fail(c, "%s has shape %s, expected [%zu] (x: %s)", c->op->args[k].name,
                   at_describe_shape(p->ndim, p->size).text, C, at_describe(c->in[0]).text);
}

#endif
