/*
 * The rows of a walk over tensors, over the pool. Everything static.
 *
 * All work is cut into blocks whose bounds depend on the sizes only, never on the number of threads.
 */
#ifndef AT_CORE_WALK_H
#define AT_CORE_WALK_H

#include "attn/core/parallel.h"
#include "attn/core/tensor.h"

enum { AT_GRAIN = 16384 }; /* elements a block has at least: some microseconds, against one for waking a thread */

/* Rows of n elements in a block of at least AT_GRAIN. */
static inline size_t at_grain_rows(size_t n) { return n >= AT_GRAIN ? 1 : n == 0 ? AT_GRAIN : AT_GRAIN / n; }

static inline size_t at_walk_rows(const at_walk *w)
{
    size_t rows = 1;
    for (size_t d = 0; d < w->ndim; d++)
        rows *= w->size[d];
    return rows;
}

typedef struct at_each {
    const at_walk *walk;
    size_t bytes[AT_WALK]; /* of an element of each tensor */
    void (*fn)(size_t n, char *const *at, const ptrdiff_t *step, void *context);
    void *context;
} at_each;

/* One row, in pieces. */
static inline void at_each_row(const at_each *each, const at_walk *w)
{
    if (w->n <= AT_PIECE) {
        each->fn(w->n, w->at, w->step, each->context);
        return;
    }
    AT_PIECES(i, end, w->n)
    {
        char *at[AT_WALK] = {NULL};
        for (size_t k = 0; k < w->count; k++)
            at[k] = w->at[k] + (ptrdiff_t)i * w->step[k] * (ptrdiff_t)each->bytes[k];
        each->fn(end - i, at, w->step, each->context);
        i = end;
    }
}

static inline void at_each_rows(size_t begin, size_t end, void *context)
{
    const at_each *each = context;
    at_walk w = *each->walk;
    size_t rest = begin;
    for (size_t d = 0; d < w.ndim; d++) {
        w.index[d] = rest % w.size[d];
        rest /= w.size[d];
        for (size_t k = 0; k < w.count; k++)
            w.at[k] += (ptrdiff_t)w.index[d] * w.jump[k][d];
    }
    for (size_t r = begin; r < end; r++) {
        at_each_row(each, &w);
        if (!at_walk_next(&w))
            break;
    }
}

static inline void at_each_part(size_t begin, size_t end, void *context)
{
    const at_each *each = context;
    const at_walk *w = each->walk;
    char *at[AT_WALK] = {NULL};
    for (size_t k = 0; k < w->count; k++)
        at[k] = w->at[k] + (ptrdiff_t)begin * w->step[k] * (ptrdiff_t)each->bytes[k];
    each->fn(end - begin, at, w->step, each->context);
}

/* Calls fn for every row of a walk in order, in this thread: for rows that may write the same elements. */
static inline void at_run_in_order(at_walk *w, const at_tensor *const *t,
                                   void (*fn)(size_t n, char *const *at, const ptrdiff_t *step, void *context),
                                   void *context)
{
    at_each each = {.walk = w, .fn = fn, .context = context};
    for (size_t k = 0; k < w->count; k++)
        each.bytes[k] = at_dtype_bytes((at_dtype)t[k]->dtype);
    do
        at_each_row(&each, w);
    while (at_walk_next(w));
}

/* Calls fn for every row of a walk (or for pieces of the only row). Rows must not write the same elements. */
static inline void at_run_each(const at_walk *w, const at_tensor *const *t,
                               void (*fn)(size_t n, char *const *at, const ptrdiff_t *step, void *context),
                               void *context)
{
    at_each each = {.walk = w, .fn = fn, .context = context};
    for (size_t k = 0; k < w->count; k++)
        each.bytes[k] = at_dtype_bytes((at_dtype)t[k]->dtype);
    if (w->n == 0)
        return;
    if (w->ndim == 0)
        at_for(w->n, AT_GRAIN, at_each_part, &each);
    else
        at_for(at_walk_rows(w), at_grain_rows(w->n), at_each_rows, &each);
}

#endif
