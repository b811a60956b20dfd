/*
 * embedding: rows of a table by id.
 *
 *   ids      any shape, int64: 1..V, and 0 for padding
 *   weight   [V, D], also kept for inference (core/kept.h)
 *   y        [..., D]: weight[id], zeros for id 0
 *   dweight  row v: the sum of dy over the places of v, in the order of the places; padding gives nothing
 *
 * The backward pass sorts the places by id (counting, stable), so that every row has one writer and one order of
 * addition, whatever the number of threads.
 */
#include <string.h>

#include "attn/core/kept.h"
#include "attn/op/rows.h"
#include "attn/kernel/map.h"

/* Scratch of the backward pass: where the places of each id start, and the places. */
static size_t starts(size_t V) { return (V + 2) * sizeof(size_t); }

static bool shape(at_call *c)
{
    const at_tensor *ids = c->in[0], *w = c->in[1];
    size_t size[AT_MAX_DIM], n = at_numel(ids), V;

    if (w->ndim != 2)
        return at_fail(c, "weight has %d dimensions, expected [V, D] (weight: %s)", w->ndim, at_describe(w).text);
    if (ids->ndim == AT_MAX_DIM)
        return at_fail(c, "ids has %d dimensions, expected at most %d", AT_MAX_DIM, AT_MAX_DIM - 1);
    V = w->size[0];
    AT_PIECES(i, end, n)
    for (; i < end; i++)
        if (at_ids(ids)[i] < 0 || at_ids(ids)[i] > (int64_t)V)
            return at_fail(c, "id %lld is out of range, ids are 1..%zu, 0 is padding (ids: %s)",
                           (long long)at_ids(ids)[i], V, at_describe(ids).text);
    if (!at_uninterrupted(c->error))
        return false;
    memcpy(size, ids->size, sizeof size);
    size[ids->ndim] = w->size[1];
    if (at_recording(c))
        at_want_scratch(c, starts(V) + n * sizeof(size_t));
    return at_out(c, ids->ndim + 1u, size);
}

static void copy_rows(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    size_t D = c->in[1]->size[1];
    const int64_t *ids = at_ids(c->in[0]);

    for (size_t i = begin; i < end; i++)
        if (ids[i] == 0)
            memset(at_outp(c, 0) + i * D, 0, D * sizeof(real));
#if AT_TYPE == 32
        else if (at_is_kept(c->in[1]))
            at_expand_row(c->in[1], (size_t)(ids[i] - 1), at_outp(c, 0) + i * D);
#endif
        else
            memcpy(at_outp(c, 0) + i * D, at_in(c, 1) + (size_t)(ids[i] - 1) * D, D * sizeof(real));
}

static void embedding_forward(const at_call *c)
{
    at_for(at_numel(c->in[0]), at_grain_rows(c->in[1]->size[1]), copy_rows, (void *)(uintptr_t)c);
}

static void add_rows(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    size_t V = c->in[1]->size[0], D = c->in[1]->size[1];
    const size_t *start = (const size_t *)(const void *)c->work, *place = start + V + 2;

    for (size_t v = begin; v < end; v++) {
        real *dw = at_din(c, 1) + v * D;
        if (at_is_fresh(c, 1))
            memset(dw, 0, D * sizeof(real));
        for (size_t p = start[v]; p < start[v + 1] && !at_cut_short(); p++)
            K->map->acc(D, at_dout(c, 0) + place[p] * D, dw);
    }
}

static void embedding_backward(const at_call *c)
{
    size_t V = c->in[1]->size[0], D = c->in[1]->size[1], n = at_numel(c->in[0]), total = 0;
    size_t *start = (size_t *)(void *)c->work, *place = start + V + 2;
    const int64_t *ids = at_ids(c->in[0]);

    /* start[id]: where the places of id begin; as they are dealt out it moves to their end, where id + 1 begins */
    memset(start, 0, starts(V));
    AT_PIECES(i, end, n)
    for (; i < end; i++)
        if (ids[i] > 0)
            start[ids[i] + 1]++;
    for (size_t v = 1; v <= V + 1; v++)
        start[v] = total += start[v];
    if (at_cut_short())
        return; /* not all were counted */
    AT_PIECES(i, end, n)
    for (; i < end; i++)
        if (ids[i] > 0)
            place[start[ids[i]]++] = i;
    /* blocks of rows; as many as make some work each, by the sizes only */
    size_t per_row = V ? n * D / V + D : 0;
    at_for(V, at_grain_rows(per_row), add_rows, (void *)(uintptr_t)c);
}

AT_OP(embedding, .args = {{"ids", AT_IDS}, {"weight", AT_WEIGHT}}, .shape = shape, .picks = true,
      .forward = embedding_forward, .backward = embedding_backward, .fresh = true, .keeps = AT_KEEP(0), .plain = true,
      .help = "embedding(ids (int64), weight [V, D]) -> [..., D]\n"
              "Row id of the weight for every id, 1..V; id 0 is padding: a row of zeros, without gradient. weight may\n"
              "be kept in bfloat16 or int8 (tensor:to): no gradient then.");
