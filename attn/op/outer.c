/*
 * outer: y_ij = a_i b_j of two vectors.
 *
 *   a [N], b [M], y [N, M]     da_i = dy_i . b    db = sum_i a_i dy_i
 */
#include "attn/op/rows.h"
#include "attn/kernel/map.h"
#include "attn/kernel/reduce.h"

static bool shape(at_call *c)
{
    const at_tensor *a = c->in[0], *b = c->in[1];

    for (int k = 0; k < 2; k++)
        if (c->in[k]->ndim != 1)
            return at_fail(c, "%s has %d dimensions, expected a vector (%s: %s)", c->op->args[k].name, c->in[k]->ndim,
                           c->op->args[k].name, at_describe(c->in[k]).text);
    return at_out(c, 2, (size_t[]){a->size[0], b->size[0]});
}

static void rows(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    size_t M = c->in[1]->size[0];

    for (size_t i = begin; i < end && !at_cut_short(); i++)
        K->map->scale(M, at_in(c, 0)[i], at_in(c, 1), at_outp(c, 0) + i * M);
}

static void outer_forward(const at_call *c)
{
    at_for(c->in[0]->size[0], at_grain_rows(c->in[1]->size[0]), rows, (void *)(uintptr_t)c);
}

static void outer_backward(const at_call *c)
{
    size_t N = c->in[0]->size[0], M = c->in[1]->size[0];
    const real *dy = at_dout(c, 0);
    real *da = at_din(c, 0), *db = at_din(c, 1);

    for (size_t i = 0; i < N && !at_cut_short(); i++) {
        if (da)
            da[i] += (real)K->reduce->dot(M, dy + i * M, at_in(c, 1));
        if (db)
            K->map->axpy(M, at_in(c, 0)[i], dy + i * M, db);
    }
}

AT_OP(outer, .args = {{"a", AT_FLOAT}, {"b", AT_FLOAT}}, .shape = shape, .forward = outer_forward,
      .backward = outer_backward, .keeps = AT_KEEP(0) | AT_KEEP(1),
      .help = "outer(a [N], b [M]) -> y [N, M]\nThe products of every element of a with every element of b.");
