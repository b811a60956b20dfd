/*
 * Rows of operations, over the pool: typed, everything static.
 *
 * All work is cut into blocks whose bounds depend on the sizes only, never on the number of threads. A row that needs
 * room of its own gets it from a slot of at_call.work: there are at most AT_SLOTS blocks, each with one slot.
 */
#ifndef AT_OP_ROWS_H
#define AT_OP_ROWS_H

#include <string.h>

#include "attn/core/op.h"
#include "attn/core/parallel.h"
#include "attn/core/walk.h"

enum {
    AT_SLOTS = 32,
    AT_COLUMNS = 8 /* neighbouring rows that are gathered together where elements of a row are not side by side */
};

/* ---- the rows of contiguous tensors of one shape along a dimension ---- */

typedef enum at_row_mode {
    AT_ROW_WRITE, /* fn writes the whole of out */
    AT_ROW_ADD,   /* fn adds to out */
    AT_ROW_FRESH  /* fn adds to out, which holds nothing yet */
} at_row_mode;

typedef struct at_rows {
    at_axis axis;
    const real *in[3]; /* NULL: none */
    real *out;         /* NULL: none, fn puts its result elsewhere */
    at_row_mode mode;
    /* in[k], out: n elements side by side. own: own_bytes of undefined contents, 64-byte aligned. */
    void (*fn)(const struct at_rows *job, size_t row, const real *const *in, real *out, char *own);
    size_t own_bytes;
    const void *context;
    char *work; /* at_call.work */
} at_rows;

static inline size_t at_round64(size_t bytes) { return at_round_up(bytes, 64); }

/* How many neighbouring rows are gathered at once, and how many blocks there are: both by the sizes only. */
static inline size_t at_rows_columns(at_axis a) { return a.step == 1 ? 0 : a.step < AT_COLUMNS ? a.step : AT_COLUMNS; }

static inline size_t at_rows_blocks(at_axis a)
{
    size_t columns = at_rows_columns(a), most = columns ? at_ratio(a.rows, columns) : a.rows;
    size_t blocks = a.n == 0 ? 1 : a.rows / at_ratio(2 * AT_GRAIN, a.n) + 1;
    blocks = blocks < most ? blocks : most;
    return blocks < AT_SLOTS ? blocks : AT_SLOTS;
}

static inline size_t at_slot_bytes(at_axis a, size_t own_bytes)
{
    return 4 * at_rows_columns(a) * at_round64(a.n * sizeof(real)) + at_round64(own_bytes);
}

/* What `work` needs; for at_want_scratch. */
static inline size_t at_rows_scratch(at_axis a, size_t own_bytes)
{
    return at_rows_blocks(a) * at_slot_bytes(a, own_bytes);
}

static inline void at_rows_straight(const at_rows *job, size_t begin, size_t end, char *own)
{
    size_t n = job->axis.n;
    for (size_t r = begin; r < end && !at_cut_short(); r++) {
        const real *in[3] = {NULL};
        for (int k = 0; k < 3; k++)
            if (job->in[k])
                in[k] = job->in[k] + r * n;
        real *out = job->out ? job->out + r * n : NULL;
        if (out && job->mode == AT_ROW_FRESH)
            at_zero(out, n * sizeof(real));
        job->fn(job, r, in, out, own);
    }
}

static inline void at_rows_gathered(const at_rows *job, size_t begin, size_t end, char *slot)
{
    at_axis a = job->axis;
    size_t stride = at_round64(a.n * sizeof(real)) / sizeof(real);
    size_t columns = at_rows_columns(a);
    real *buffer = (real *)(void *)slot, *out = buffer + 3 * columns * stride;
    char *own = slot + 4 * columns * stride * sizeof(real);

    for (size_t r = begin, count; r < end && !at_cut_short(); r += count) {
        /* rows r .. r + count - 1 lie side by side */
        size_t left = a.step - r % a.step, start = at_row_start(a, r);
        count = end - r < left ? end - r : left;
        if (count > columns)
            count = columns;
        for (int k = 0; k < 3; k++) {
            real *b = buffer + (size_t)k * columns * stride;
            if (job->in[k])
                AT_PIECES(j, stop, a.n)
            for (; j < stop; j++)
                for (size_t i = 0; i < count; i++)
                    b[i * stride + j] = job->in[k][start + j * a.step + i];
        }
        if (job->mode != AT_ROW_WRITE)
            at_zero(out, count * stride * sizeof(real));
        for (size_t i = 0; i < count; i++) {
            const real *in[3] = {NULL};
            for (size_t k = 0; k < 3; k++)
                if (job->in[k])
                    in[k] = buffer + (k * columns + i) * stride;
            job->fn(job, r + i, in, out + i * stride, own);
        }
        if (!job->out)
            continue;
        AT_PIECES(j, stop, a.n)
        for (; j < stop; j++)
            for (size_t i = 0; i < count; i++) {
                real *y = job->out + start + j * a.step + i;
                *y = job->mode == AT_ROW_ADD ? *y + out[i * stride + j] : out[i * stride + j];
            }
    }
}

static inline void at_rows_block(size_t begin, size_t end, void *context)
{
    const at_rows *job = context;
    at_axis a = job->axis;
    if (a.step == 1 && job->own_bytes == 0) {
        at_rows_straight(job, begin, end, NULL);
        return;
    }
    size_t blocks = at_rows_blocks(a);
    for (size_t block = begin; block < end; block++) {
        size_t from = a.rows * block / blocks, to = a.rows * (block + 1) / blocks;
        char *slot = job->work + block * at_slot_bytes(a, job->own_bytes);
        if (a.step == 1)
            at_rows_straight(job, from, to, slot);
        else
            at_rows_gathered(job, from, to, slot);
    }
}

static inline void at_run_rows(at_rows *job)
{
    at_axis a = job->axis;
    if (a.rows == 0)
        return;
    if (a.step == 1 && job->own_bytes == 0)
        at_for(a.rows, at_grain_rows(a.n), at_rows_block, job);
    else
        at_for(at_rows_blocks(a), 1, at_rows_block, job);
}

/* ---- operations along dimension arg 0 of in 0 whose gradient needs the result only (softmax and its like) ---- */

typedef void at_row_fn(const at_rows *job, size_t row, const real *const *in, real *out, char *own);

/* own: bytes of scratch for each element of a row */
static inline bool at_along_shape(at_call *c, size_t own)
{
    at_axis a = at_along(c->in[0], c->arg[0].integer);
    at_want_scratch(c, at_rows_scratch(a, a.n * own));
    return at_out(c, c->in[0]->ndim, c->in[0]->size);
}

static inline void at_along_forward(const at_call *c, size_t own, at_row_fn *row, const void *context)
{
    at_axis a = at_along(c->in[0], c->arg[0].integer);
    at_run_rows(&(at_rows){
        .axis = a,
        .in = {at_in(c, 0)},
        .out = at_outp(c, 0),
        .mode = AT_ROW_WRITE,
        .fn = row,
        .own_bytes = a.n * own,
        .context = context,
        .work = c->work});
}

/* in: y, dy; adds to dx unless it is fresh */
static inline void at_along_backward(const at_call *c, at_row_fn *row, const void *context)
{
    at_run_rows(&(at_rows){
        .axis = at_along(c->out[0], c->arg[0].integer),
        .in = {at_outp(c, 0), at_dout(c, 0)},
        .out = at_din(c, 0),
        .mode = at_is_fresh(c, 0) ? AT_ROW_FRESH : AT_ROW_ADD,
        .fn = row,
        .context = context,
        .work = c->work});
}

/* ---- elements of contiguous tensors of one shape ---- */

typedef struct at_map {
    const real *a, *b, *c;
    real *y;
    size_t n;
    bool fresh; /* y holds nothing yet; fn gets it zeroed */
    void (*fn)(const struct at_map *m, size_t begin, size_t n);
    const void *context;
} at_map;

static inline void at_map_block(size_t begin, size_t end, void *context)
{
    const at_map *m = context;
    if (m->fresh)
        memset(m->y + begin, 0, (end - begin) * sizeof(real));
    m->fn(m, begin, end - begin);
}

static inline void at_run_map(at_map *m)
{
    if (m->n <= AT_GRAIN)
        at_map_block(0, m->n, m);
    else
        at_for(m->n, AT_GRAIN, at_map_block, m);
}

#endif
