/*
 * What layernorm and rmsnorm share: rows of the last dimension, parameters [D] behind x that may be left out, some numbers kept
 * per row, and gradients of the parameters that are sums over the rows: in blocks of rows that depend on the sizes only, and over
 * the blocks in order. Typed: for op/ only, everything static.
 */
#ifndef AT_OP_NORM_H
#define AT_OP_NORM_H

#include <string.h>

#include "attn/op/rows.h"
#include "attn/kernel/map.h"

typedef struct at_norm {
    int params;   /* in 1 .. params, named as the record says */
    size_t stats; /* numbers kept per row */
    void (*row)(const at_call *c, size_t D, const real *x, real *y, real *stats);
    /* adds to dx (unless NULL) and to dp[k], the gradient of parameter k + 1 (unless NULL) */
    void (*back)(const at_call *c, size_t D, const real *x, const real *stats, const real *dy, real *dx,
                 real *const *dp);
} at_norm;

enum { AT_NORM_PARAMS = 2 }; /* at most */

typedef struct at_norm_job {
    const at_call *c;
    const at_norm *norm;
    size_t D, rows, blocks;
} at_norm_job;

static inline const real *at_norm_param(const at_call *c, int k)
{
    return k < c->n_in && c->in[k] ? at_in(c, k) : NULL;
}

static inline real *at_norm_gradient(const at_call *c, int k) { return k < c->n_in && c->in[k] ? at_din(c, k) : NULL; }

/* The backward pass goes over blocks of rows; each gathers the parameters' gradients in a slot of its own. */
static inline at_norm_job at_norm_job_of(const at_call *c, const at_norm *norm)
{
    const at_tensor *x = c->in[0];
    at_norm_job j = {.c = c, .norm = norm, .D = x->size[x->ndim - 1]};
    j.rows = j.D ? at_numel(x) / j.D : 0;
    j.blocks = j.rows / at_grain_rows(j.D) + 1;
    if (j.blocks > AT_SLOTS)
        j.blocks = AT_SLOTS;
    return j;
}

static inline bool at_norm_shape(at_call *c, const at_norm *norm)
{
    const at_tensor *x = c->in[0];
    if (x->ndim == 0 || x->size[x->ndim - 1] == 0)
        return at_fail(c, "x has no last dimension to normalise (x: %s)", at_describe(x).text);
    at_norm_job j = at_norm_job_of(c, norm);
    for (int k = 1; k <= norm->params && k < c->n_in; k++) {
        const at_tensor *p = c->in[k];
        if (p && (p->ndim != 1 || p->size[0] != j.D))
            return at_fail(c, "%s has shape %s, expected [%zu] (x: %s)", c->op->args[k].name,
                           at_describe_shape(p->ndim, p->size).text, j.D, at_describe(x).text);
    }
    if (at_recording(c))
        at_want_scratch(c, j.blocks * (size_t)norm->params * j.D * sizeof(real));
    return at_save(c, AT_REAL_DTYPE, norm->stats * j.rows) && at_out(c, x->ndim, x->size);
}

static inline void at_norm_rows(size_t begin, size_t end, void *context)
{
    const at_norm_job *j = context;
    for (size_t r = begin; r < end; r++)
        j->norm->row(j->c, j->D, at_in(j->c, 0) + r * j->D, at_outp(j->c, 0) + r * j->D,
                     at_savedp(j->c, 0) + j->norm->stats * r);
}

static inline void at_norm_forward(const at_call *c, const at_norm *norm)
{
    at_norm_job j = at_norm_job_of(c, norm);
    at_for(j.rows, at_grain_rows(j.D), at_norm_rows, &j);
}

static inline real *at_norm_slot(const at_norm_job *j, size_t block, int k)
{
    return (real *)(void *)j->c->work + (block * (size_t)j->norm->params + (size_t)k - 1) * j->D;
}

static inline void at_norm_blocks(size_t begin, size_t end, void *context)
{
    const at_norm_job *j = context;
    const at_call *c = j->c;
    size_t D = j->D;
    real *dx = at_din(c, 0), *dp[AT_NORM_PARAMS] = {NULL};
    for (size_t b = begin; b < end; b++) {
        for (int k = 1; k <= j->norm->params; k++)
            if (at_norm_gradient(c, k)) {
                dp[k - 1] = at_norm_slot(j, b, k);
                memset(dp[k - 1], 0, D * sizeof(real));
            }
        for (size_t r = j->rows * b / j->blocks; r < j->rows * (b + 1) / j->blocks; r++) {
            if (dx && at_is_fresh(c, 0))
                memset(dx + r * D, 0, D * sizeof(real));
            j->norm->back(c, D, at_in(c, 0) + r * D, at_savedp(c, 0) + j->norm->stats * r, at_dout(c, 0) + r * D,
                          dx ? dx + r * D : NULL, dp);
        }
    }
}

static inline void at_norm_backward(const at_call *c, const at_norm *norm)
{
    at_norm_job j = at_norm_job_of(c, norm);
    at_for(j.blocks, 1, at_norm_blocks, &j);
    for (int k = 1; k <= norm->params; k++) {
        real *d = at_norm_gradient(c, k);
        if (d && at_is_fresh(c, k))
            memset(d, 0, j.D * sizeof(real));
        for (size_t b = 0; d && b < j.blocks; b++)
            K->map->acc(j.D, at_norm_slot(&j, b, k), d);
    }
}

#endif
