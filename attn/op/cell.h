/*
 * What recurrent operations share: cells with their gates, batches of rows of unequal length, scratch. Typed: for op/
 * only, everything static.
 *
 * A step of a row has one record of `save` numbers per unit. The forward pass finds the input's pre-activations in it
 * and leaves what the backward pass reads; the backward pass leaves the gradients of the pre-activations, so that a
 * record passes through the cache twice in a training step, and the weights' gradients are products over the records:
 *
 *           record               forward, before -> after        after backward
 *     gru   4 H                  xi (r, z, n) -> r, z, m, hi_n   dxi (r, z, n), dhi_n
 *     lstm  6 H                  xi (i, f, g, o) -> i, f, g, o, tanh(c), c     dxi (i, f, g, o), -, c
 *     rnn   1 H                  xi -> (h is enough)             dxi
 */
#ifndef AT_OP_CELL_H
#define AT_OP_CELL_H

#include <string.h>

#include "attn/core/gemm.h"
#include "attn/core/op.h"
#include "attn/core/parallel.h"
#include "attn/kernel/gate.h"
#include "attn/kernel/map.h"

typedef enum at_cell { AT_GRU, AT_LSTM, AT_RNN } at_cell; /* in the order of "gru|lstm|rnn" */

enum {
    AT_CELL_SLOTS = 64 /* most blocks of work, each with scratch of its own */
};

/*
 * Rows of a batch that run through all their steps together, of `rows` in all. 4 rows at a time take hardly more
 * processor time than 16 (a training step of 16 rows, 20 steps, H = 512: 23.4 ms either way), so that a small batch is
 * better cut for several threads. Depends on the size only.
 */
static inline size_t at_cell_rows(size_t rows) { return rows >= 64 ? 16 : rows <= 16 ? 4 : (rows + 3) / 4; }

static inline size_t at_cell_gates(at_cell cell) { return cell == AT_GRU ? 3 : cell == AT_LSTM ? 4 : 1; }
static inline size_t at_cell_save(at_cell cell) { return cell == AT_GRU ? 4 : cell == AT_LSTM ? 6 : 1; }

/*
 * One step of one row. xi: pre-activations of the input without any bias; with `record` they stand in the record
 * itself. bias: as at_cell_bias left it. h (in and out), c (lstm: in and out).
 */
static inline void at_cell_forward(at_cell cell, size_t H, real *xi, const real *hi, const real *bias, real *h, real *c,
                                   bool record)
{
    switch (cell) {
    case AT_GRU:
        K->map->acc(H, bias + 3 * H, xi + 2 * H);
        K->gate->gru(H, xi, hi, bias, h, h, record ? xi : NULL);
        break;
    case AT_LSTM:
        K->gate->lstm(H, xi, hi, bias, c, c, h, record ? xi : NULL);
        if (record)
            memcpy(xi + 5 * H, c, H * sizeof *c);
        break;
    case AT_RNN: K->gate->rnn(H, xi, hi, bias, h); break;
    }
}

/*
 * Back through it. h, h_prev, c_prev: after and before the step (c_prev of lstm only). dh, dc: gradients of h and c,
 * replaced by those of h_prev and c_prev but for W_hh' dhi, which the caller adds to dh. dhi: [gates H], written.
 * record: as in the table above.
 */
static inline void at_cell_backward(at_cell cell, size_t H, real *record, const real *h, const real *h_prev,
                                    const real *c_prev, real *dh, real *dc, real *dhi)
{
    switch (cell) {
    case AT_GRU:
        K->gate->gru_back(H, record, h_prev, dh, record, dhi, dh);
        memcpy(record + 3 * H, dhi + 2 * H, H * sizeof *dhi);
        break;
    case AT_LSTM:
        K->gate->lstm_back(H, record, c_prev, dh, dc, record, dc);
        memcpy(dhi, record, 4 * H * sizeof *dhi);
        memset(dh, 0, H * sizeof *dh);
        break;
    case AT_RNN:
        K->gate->rnn_back(H, h, dh, dhi);
        memcpy(record, dhi, H * sizeof *dhi);
        memset(dh, 0, H * sizeof *dh);
        break;
    }
}

/* Numbers of a bias for at_cell_forward: both biases in one, but for gru's n, where the input's is at the end. */
static inline size_t at_cell_bias_size(at_cell cell, size_t H) { return at_cell_save(cell) * H; }

static inline void at_cell_bias(at_cell cell, size_t H, const real *input, const real *hidden, real *bias)
{
    if (cell == AT_GRU) {
        K->map->add(2 * H, input, 1, hidden, 1, bias);
        memcpy(bias + 2 * H, hidden + 2 * H, H * sizeof *bias);
        memcpy(bias + 3 * H, input + 2 * H, H * sizeof *bias);
    } else {
        K->map->add(at_cell_gates(cell) * H, input, 1, hidden, 1, bias);
    }
}

/* ---- sums of columns ---- */

typedef struct at_columns {
    const real *x;
    size_t ld, rows, n;
    real *y;
} at_columns;

enum { AT_COLUMNS_BLOCK = 256, AT_COLUMNS_PIECE = 128 };

static inline void at_columns_block(size_t begin, size_t end, void *context)
{
    const at_columns *s = context;
    for (size_t j = begin; j < end; j += AT_COLUMNS_BLOCK) {
        real piece[AT_COLUMNS_BLOCK];
        double total[AT_COLUMNS_BLOCK] = {0};
        size_t n = end - j < AT_COLUMNS_BLOCK ? end - j : AT_COLUMNS_BLOCK;
        for (size_t from = 0; from < s->rows; from += AT_COLUMNS_PIECE) {
            size_t to = s->rows - from < AT_COLUMNS_PIECE ? s->rows : from + AT_COLUMNS_PIECE;
            memset(piece, 0, sizeof piece);
            for (size_t r = from; r < to; r++)
                K->map->acc(n, s->x + r * s->ld + j, piece);
            for (size_t i = 0; i < n; i++)
                total[i] += (double)piece[i];
        }
        for (size_t i = 0; i < n; i++)
            s->y[j + i] = (real)total[i];
    }
}

/* y[j] = sum over r of x[r, j], n columns, rows ld apart; in an order that depends on the number of rows only. */
static inline void at_sum_columns(size_t rows, size_t n, const real *x, size_t ld, real *y)
{
    at_for(n, AT_COLUMNS_BLOCK, at_columns_block, &(at_columns){x, ld, rows, n, y});
}

/* y = x or y += x; y may be NULL. */
static inline void at_give(bool fresh, size_t n, const real *x, real *y)
{
    if (y && fresh)
        memcpy(y, x, n * sizeof *x);
    else if (y)
        K->map->acc(n, x, y);
}

/*
 * Gradients of a cell's hidden side and biases from `rows` records ld apart, with h_prev [rows, H], rows ldh apart.
 * sums: room for at_cell_save H numbers.
 */
typedef struct at_cell_gradients {
    at_cell cell;
    size_t H, rows;
    const real *record;
    size_t ld;
    const real *h_prev;
    size_t ldh;
    real *weight, *bias_input, *bias_hidden; /* NULL: not wanted */
    bool fresh_weight, fresh_input, fresh_hidden;
    real *sums;
} at_cell_gradients;

static inline void at_cell_parameters(const at_cell_gradients *p)
{
    size_t H = p->H, G = at_cell_gates(p->cell), same = p->cell == AT_GRU ? 2 : G;
    real beta = p->fresh_weight ? 0 : 1;
    if (p->weight) {
        real_gemm(true, false, same * H, H, p->rows, 1, p->record, p->ld, p->h_prev, p->ldh, beta, p->weight, H);
        if (p->cell == AT_GRU)
            real_gemm(true, false, H, H, p->rows, 1, p->record + 3 * H, p->ld, p->h_prev, p->ldh, beta,
                      p->weight + 2 * H * H, H);
    }
    if (!p->bias_input && !p->bias_hidden)
        return;
    at_sum_columns(p->rows, (p->cell == AT_GRU ? 4 : G) * H, p->record, p->ld, p->sums);
    at_give(p->fresh_input, G * H, p->sums, p->bias_input);
    at_give(p->fresh_hidden, same * H, p->sums, p->bias_hidden);
    if (p->cell == AT_GRU && p->bias_hidden)
        at_give(p->fresh_hidden, H, p->sums + 3 * H, p->bias_hidden + 2 * H);
}

/* ---- rows of unequal length ---- */

/* Steps of a batch: row b has length[b] of them, numbers start[b] ... of all `steps`; `row` lists the longest first. */
typedef struct at_ragged {
    size_t B, T, steps;
    const int64_t *row, *length, *start;
} at_ragged;

/* Numbers that the plan of a batch takes. */
static inline size_t at_ragged_size(size_t B, size_t T) { return 3 * B + T + 2; }

/* Makes the plan in `room`. lengths NULL: all of T. False with *bad set: a length is outside 0 .. T. */
static inline bool at_ragged_plan(size_t B, size_t T, const int64_t *lengths, int64_t *room, size_t *steps, size_t *bad)
{
    int64_t *row = room, *length = room + B, *start = room + 2 * B, *place = room + 3 * B;
    int64_t n = 0;
    memset(place, 0, (T + 2) * sizeof *place);
    for (size_t b = 0; b < B; b++) {
        length[b] = lengths ? lengths[b] : (int64_t)T;
        *bad = b;
        if (length[b] < 0 || length[b] > (int64_t)T)
            return false;
        start[b] = n;
        n += length[b];
        place[(int64_t)T - length[b] + 1]++;
    }
    for (size_t k = 1; k <= T; k++)
        place[k] += place[k - 1];
    for (size_t b = 0; b < B; b++)
        row[place[(int64_t)T - length[b]]++] = (int64_t)b;
    *steps = (size_t)n;
    return true;
}

static inline at_ragged at_ragged_of(size_t B, size_t T, size_t steps, const int64_t *room)
{
    return (at_ragged){B, T, steps, room, room + B, room + 2 * B};
}

/* Rows still running at step s among the first n of a list that is sorted by length. */
static inline size_t at_ragged_running(const at_ragged *r, const int64_t *row, size_t n, size_t s)
{
    while (n > 0 && (size_t)r->length[row[n - 1]] <= s)
        n--;
    return n;
}

/* Copies of valid steps: [B, T, n] to [steps, n], or back with zeros (adding: without) beyond the lengths. */
typedef struct at_ragged_copy {
    const at_ragged *ragged;
    size_t n;
    const real *from;
    real *to;
    bool back, add;
} at_ragged_copy;

static inline void at_ragged_rows(size_t begin, size_t end, void *context)
{
    const at_ragged_copy *job = context;
    const at_ragged *r = job->ragged;
    for (size_t b = begin; b < end; b++) {
        size_t count = (size_t)r->length[b] * job->n, full = b * r->T * job->n, part = (size_t)r->start[b] * job->n;
        if (!job->back) {
            memcpy(job->to + part, job->from + full, count * sizeof(real));
        } else if (job->add) {
            K->map->acc(count, job->from + part, job->to + full);
        } else {
            memcpy(job->to + full, job->from + part, count * sizeof(real));
            memset(job->to + full + count, 0, (r->T * job->n - count) * sizeof(real));
        }
    }
}

static inline void at_ragged_gather(const at_ragged *r, size_t n, const real *from, real *to)
{
    at_for(r->B, 4, at_ragged_rows, &(at_ragged_copy){r, n, from, to, false, false});
}

static inline void at_ragged_scatter(const at_ragged *r, size_t n, const real *from, real *to, bool add)
{
    at_for(r->B, 4, at_ragged_rows, &(at_ragged_copy){r, n, from, to, true, add});
}

/* ---- scratch ---- */

/* Hands out pieces of at_call.work, aligned to 64 bytes; with no work it only counts. */
typedef struct at_carve {
    char *work;
    size_t bytes;
} at_carve;

static inline real *at_carve_take(at_carve *c, size_t count)
{
    real *p = c->work ? (real *)(void *)(c->work + c->bytes) : NULL;
    c->bytes += (count * sizeof(real) + 63) / 64 * 64;
    return p;
}

#endif
