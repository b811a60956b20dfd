/*
 * Sums over some dimensions of a contiguous tensor, over the pool. Typed: for op/ only, everything static.
 *
 * The order of every sum depends on the sizes only. Long sums are taken in double: in pieces of SUM_ROWS rows where
 * whole rows are added up, by K->reduce->sum along a row.
 */
#ifndef AT_OP_SUM_H
#define AT_OP_SUM_H

#include <string.h>

#include "attn/core/op.h"
#include "attn/core/parallel.h"
#include "attn/op/rows.h"
#include "attn/kernel/map.h"
#include "attn/kernel/reduce.h"

enum { AT_SUM_ROWS = 128, AT_SUM_COLUMNS = 512, AT_SUM_BLOCKS = 256 };

#if AT_IS_INTEGER
typedef uint64_t at_total; /* wraps around, as int64 sums do in Lua */
static inline at_total at_row_total(size_t n, const real *x)
{
    at_total t = 0;
    for (size_t i = 0; i < n; i++)
        t += (at_total)x[i];
    return t;
}
static inline void at_row_acc(size_t n, const real *x, real *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (real)((at_total)y[i] + (at_total)x[i]);
}
#else
typedef double at_total;
static inline at_total at_row_total(size_t n, const real *x) { return K->reduce->sum(n, x); }
static inline void at_row_acc(size_t n, const real *x, real *y) { K->map->acc(n, x, y); }
#endif

typedef struct at_sum_job {
    const real *x;
    real *y;
    size_t n; /* of the innermost dimension */
    bool inner_reduced;
    size_t keeps, kept[AT_MAX_DIM], kept_step[AT_MAX_DIM]; /* outer dimensions that stay, innermost first */
    size_t drops, dropped[AT_MAX_DIM], dropped_step[AT_MAX_DIM];
    size_t keep_count, drop_count, column_blocks;
    size_t block;
    at_total *partial;
} at_sum_job;

static inline size_t at_sum_offset(size_t r, size_t dims, const size_t *size, const size_t *step)
{
    size_t at = 0;
    for (size_t d = 0; d < dims; d++) {
        at += r % size[d] * step[d];
        r /= size[d];
    }
    return at;
}

static inline void at_sum_everything(size_t begin, size_t end, void *context)
{
    const at_sum_job *s = context;
    s->partial[begin / s->block] = at_row_total(end - begin, s->x + begin);
}

static inline void at_sum_along(size_t begin, size_t end, void *context)
{
    const at_sum_job *s = context;
    for (size_t r = begin; r < end; r++) {
        const real *x = s->x + at_sum_offset(r, s->keeps, s->kept, s->kept_step);
        at_total total = 0;
        for (size_t q = 0; q < s->drop_count && !at_cut_short(); q++)
            total += at_row_total(s->n, x + at_sum_offset(q, s->drops, s->dropped, s->dropped_step));
        s->y[r] = (real)((at_total)s->y[r] + total);
    }
}

static inline void at_sum_across(size_t begin, size_t end, void *context)
{
    const at_sum_job *s = context;
    for (size_t unit = begin; unit < end; unit++) {
        size_t r = unit / s->column_blocks, column = unit % s->column_blocks * AT_SUM_COLUMNS;
        size_t n = s->n - column < AT_SUM_COLUMNS ? s->n - column : AT_SUM_COLUMNS;
        const real *x = s->x + at_sum_offset(r, s->keeps, s->kept, s->kept_step) + column;
        real *y = s->y + r * s->n + column, piece[AT_SUM_COLUMNS];
        at_total total[AT_SUM_COLUMNS];
        if (s->drop_count <= AT_SUM_ROWS) {
            for (size_t q = 0; q < s->drop_count; q++)
                at_row_acc(n, x + at_sum_offset(q, s->drops, s->dropped, s->dropped_step), y);
            continue;
        }
        for (size_t i = 0; i < n; i++)
            total[i] = (at_total)y[i];
        for (size_t from = 0; from < s->drop_count && !at_cut_short(); from += AT_SUM_ROWS) {
            size_t to = s->drop_count - from < AT_SUM_ROWS ? s->drop_count : from + AT_SUM_ROWS;
            memset(piece, 0, n * sizeof *piece);
            for (size_t q = from; q < to; q++)
                at_row_acc(n, x + at_sum_offset(q, s->drops, s->dropped, s->dropped_step), piece);
            for (size_t i = 0; i < n; i++)
                total[i] += (at_total)piece[i];
        }
        for (size_t i = 0; i < n; i++)
            y[i] = (real)total[i];
    }
}

/* y += x summed over the dimensions where reduced[d]. x is contiguous of the given shape, y of what stays of it. */
static inline void at_sum_into(real *y, const real *x, size_t ndim, const size_t *size, const bool *reduced)
{
    size_t merged[AT_MAX_DIM], dims = 0;
    bool gone[AT_MAX_DIM];

    /* innermost first, neighbours of one kind together */
    for (size_t d = ndim; d-- > 0;) {
        if (size[d] == 0)
            return;
        if (size[d] == 1)
            continue;
        if (dims > 0 && gone[dims - 1] == reduced[d]) {
            merged[dims - 1] *= size[d];
        } else {
            merged[dims] = size[d];
            gone[dims++] = reduced[d];
        }
    }
    if (dims == 0) {
        *y = (real)((at_total)*y + (at_total)*x);
        return;
    }
    at_sum_job s = {.x = x, .y = y, .n = merged[0], .inner_reduced = gone[0], .keep_count = 1, .drop_count = 1};
    for (size_t d = 1, step = merged[0]; d < dims; step *= merged[d++]) {
        if (gone[d]) {
            s.dropped[s.drops] = merged[d];
            s.dropped_step[s.drops++] = step;
            s.drop_count *= merged[d];
        } else {
            s.kept[s.keeps] = merged[d];
            s.kept_step[s.keeps++] = step;
            s.keep_count *= merged[d];
        }
    }
    if (s.inner_reduced && dims == 1) {
        at_total partial[AT_SUM_BLOCKS], total = 0;
        size_t n = s.n, block = at_ratio(n, AT_SUM_BLOCKS);
        s.block = block < AT_GRAIN ? AT_GRAIN : block;
        s.partial = partial;
        at_for(n, s.block, at_sum_everything, &s);
        for (size_t i = 0; i * s.block < n; i++)
            total += partial[i];
        *y = (real)((at_total)*y + total);
    } else if (s.inner_reduced) {
        at_for(s.keep_count, at_grain_rows(s.n * s.drop_count), at_sum_along, &s);
    } else {
        s.column_blocks = at_ratio(s.n, AT_SUM_COLUMNS);
        at_for(s.keep_count * s.column_blocks,
               at_grain_rows((s.n < AT_SUM_COLUMNS ? s.n : AT_SUM_COLUMNS) * s.drop_count), at_sum_across, &s);
    }
}

/* Which dimensions of the shape `size` a tensor was broadcast over. */
static inline bool at_broadcast_over(const at_tensor *t, size_t ndim, const size_t *size, bool *reduced)
{
    bool any = false;
    for (size_t i = 0; i < ndim; i++) {
        size_t d = ndim - 1 - i;
        reduced[d] = i >= t->ndim || (t->size[t->ndim - 1 - i] == 1 && size[d] != 1);
        any = any || (reduced[d] && size[d] != 1);
    }
    return any;
}

#endif
