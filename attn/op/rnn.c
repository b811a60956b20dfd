/*
 * rnn: one recurrent layer over a batch of sequences, in one direction or both.
 *
 *   gru    r = s(W_r x + U_r h + b), z likewise, m = tanh(W_n x + b + r (U_n h + b')), h' = (1 - z) m + z h
 *                                                                                    (Cho et al. 2014)
 *   lstm   i, f, o = s(...), g = tanh(...), c' = f c + i g, h' = o tanh(c')          (Hochreiter and Schmidhuber 1997)
 *   rnn    h' = tanh(W x + U h + b)
 *
 *   x        [B, T, inputs]          h0, c0, h_n, c_n   [directions, B, H]
 *   y        [B, T, directions H], zero beyond a row's length
 *   weights  per direction W_ih [G H, inputs], W_hh [G H, H], b_ih [G H], b_hh [G H]
 *
 * The input side of all steps is one product. The recurrent side runs in blocks of some rows, the longest together; a
 * block goes through all its steps without meeting another, so the pool is entered once for the layer. A row stops at
 * its length; the backward direction starts at the row's own last token. Of a single step both sides are products with the weights
 * where they stand: packing would take longer. The backward pass retraces the blocks, then
 * the weights' gradients are products over all steps. Arithmetic of a row depends on that row only, and sums over rows
 * on the sizes only.
 */
#include "attn/op/cell.h"
#include "attn/kernel/map.h"
#include "attn/kernel/pack.h"
#include "attn/op/product.h"

enum { X, LENGTHS, H0, C0, WEIGHTS };
enum { W_IH, W_HH, B_IH, B_HH, PER_DIRECTION };
enum { Y, H_N, C_N };
enum { PLAN, RECORDS };

/* What a pass works on. */
typedef struct layer {
    const at_call *call;
    at_cell cell;
    size_t directions, inputs, H, G;
    at_ragged ragged;
    bool record;
    real *records; /* [steps, directions, width] */
    size_t width, ld;
    const real *x;       /* [steps, inputs] */
    real *gathered, *dx; /* the same in scratch when rows have unequal lengths, and its gradient */
    real *packed[2], *bias[2], *sums;
    real *state[2];            /* of a single step, in place of packed: what the product gives for each row [B, G H] */
    char *work;                /* for products with weights kept for inference */
    real *h_prev;              /* [steps, directions, H]: for the gradient of W_hh */
    size_t rows, blocks, slot; /* of a block; of them; numbers of scratch for one */
    real *slots;
} layer;

static layer describe(const at_call *c, size_t steps, bool record)
{
    const at_tensor *x = c->in[X];
    layer l = {.call = c,
               .cell = (at_cell)c->arg[0].integer,
               .directions = (c->n_in - WEIGHTS) / PER_DIRECTION,
               .inputs = x->size[2],
               .H = c->in[WEIGHTS + W_HH]->size[1],
               .record = record};
    l.G = at_cell_gates(l.cell);
    l.ragged = at_ragged_of(x->size[0], x->size[1], steps, NULL);
    l.width = (record ? at_cell_save(l.cell) : l.G) * l.H;
    l.ld = l.directions * l.width;
    l.rows = at_cell_rows(l.ragged.B * l.directions);
    l.blocks = at_ratio(l.ragged.B, l.rows) * l.directions;
    return l;
}

static bool is_step(const layer *l) { return l->ragged.T == 1; }

/* Bytes for the products with weights kept for inference, one after the other: those of a sequence expand W_hh whole, to be packed. */
static size_t product_scratch(const layer *l)
{
    size_t most = 0;
    for (size_t d = 0; d < l->directions; d++) {
        at_tensor *const *w = l->call->in + WEIGHTS + d * PER_DIRECTION;
        size_t state = is_step(l)            ? at_product_scratch(l->ragged.B, w[W_HH])
                       : at_is_kept(w[W_HH]) ? at_numel(w[W_HH]) * sizeof(real)
                                             : 0;
        most = at_max_size(most, at_max_size(at_product_scratch(l->ragged.steps, w[W_IH]), state));
    }
    return most;
}

/* Scratch of a pass; without `work` only its size. */
static size_t carve(layer *l, char *work, bool backward)
{
    at_carve c = {work, 0};
    size_t steps = l->ragged.steps, slots = l->blocks < AT_CELL_SLOTS ? l->blocks : AT_CELL_SLOTS, H = l->H;
    bool unequal = steps != l->ragged.B * l->ragged.T;
    if (unequal)
        l->gathered = at_carve_take(&c, steps * l->inputs);
    if (unequal && backward)
        l->dx = at_carve_take(&c, steps * l->inputs);
    if (!backward && !l->record)
        l->records = at_carve_take(&c, steps * l->ld);
    if (backward)
        l->h_prev = at_carve_take(&c, steps * l->directions * H);
    for (size_t d = 0; d < l->directions; d++) {
        if (is_step(l) && !backward)
            l->state[d] = at_carve_take(&c, l->ragged.B * l->G * H);
        else
            l->packed[d] = at_carve_take(
                &c, backward ? K->product->packed_size(H, l->G * H) : K->product->packed_size(l->G * H, H));
        l->bias[d] = at_carve_take(&c, at_cell_bias_size(l->cell, H));
    }
    l->sums = at_carve_take(&c, at_cell_bias_size(l->cell, H));
    l->slot = l->rows * (l->G + 2) * H;
    l->slots = at_carve_take(&c, slots * l->slot);
    l->work = (char *)at_carve_take(&c, backward ? 0 : at_ratio(product_scratch(l), sizeof(real)));
    return c.bytes;
}

static bool check(at_call *c, size_t k, size_t ndim, const size_t *size, const char *name)
{
    const at_tensor *t = c->in[k];
    bool same = t->ndim == ndim;
    for (size_t d = 0; same && d < ndim; d++)
        same = t->size[d] == size[d];
    return same || at_fail(c, "%s has shape %s, expected %s", name, at_describe_shape(t->ndim, t->size).text,
                           at_describe_shape(ndim, size).text);
}

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[X], *lengths = c->in[LENGTHS];
    size_t steps, bad, weights = c->n_in - WEIGHTS;

    if (weights != PER_DIRECTION && weights != 2 * PER_DIRECTION)
        return at_fail(c, "%zu weights, expected 4 or 8", weights);
    if (x->ndim != 3 || c->in[WEIGHTS + W_HH]->ndim != 2)
        return at_fail(c, "x has %d dimensions, expected [B, T, inputs] (x: %s)", x->ndim, at_describe(x).text);
    size_t B = x->size[0], T = x->size[1], D = weights / PER_DIRECTION, H = c->in[WEIGHTS + W_HH]->size[1];
    at_cell cell = (at_cell)c->arg[0].integer;
    size_t G = at_cell_gates(cell);
    if ((c->in[H0] && !check(c, H0, 3, (size_t[]){D, B, H}, "h")) ||
        (c->in[C0] && !check(c, C0, 3, (size_t[]){D, B, H}, "c")) || (lengths && !check(c, LENGTHS, 1, &B, "lengths")))
        return false;
    for (size_t d = 0; d < D; d++) {
        size_t w = WEIGHTS + d * PER_DIRECTION, rows = G * H;
        if (!check(c, w + W_IH, 2, (size_t[]){rows, x->size[2]}, "weight_ih") ||
            !check(c, w + W_HH, 2, (size_t[]){rows, H}, "weight_hh") || !check(c, w + B_IH, 1, &rows, "bias_ih") ||
            !check(c, w + B_HH, 1, &rows, "bias_hh"))
            return false;
    }
    if (!at_out(c, 3, (size_t[]){B, T, D * H}) || !at_out(c, 3, (size_t[]){D, B, H}) ||
        (cell == AT_LSTM && !at_out(c, 3, (size_t[]){D, B, H})) || !at_save(c, AT_I64, at_ragged_size(B, T)))
        return false;
    if (!at_ragged_plan(B, T, lengths ? at_ids(lengths) : NULL, (int64_t *)(void *)c->saved[PLAN]->data, &steps, &bad))
        return at_fail(c, "lengths[%zu] is %lld, expected 0 to %zu", bad + 1, (long long)at_ids(lengths)[bad], T);
    bool record = at_recording(c);
    layer l = describe(c, steps, record);
    if (record && !at_save(c, at_call_dtype(c), steps * l.ld))
        return false;
    at_want_scratch(c, carve(&l, NULL, false));
    if (record)
        at_want_scratch(c, carve(&l, NULL, true));
    return true;
}

static layer begin(const at_call *c, bool backward)
{
    const int64_t *plan = (const int64_t *)(const void *)c->saved[PLAN]->data;
    size_t B = c->in[X]->size[0], steps = 0;
    for (size_t b = 0; b < B; b++)
        steps += (size_t)plan[B + b];
    layer l = describe(c, steps, c->n_saved > RECORDS);
    l.ragged = at_ragged_of(B, l.ragged.T, steps, plan);
    if (l.record)
        l.records = at_savedp(c, RECORDS);
    carve(&l, c->work, backward);
    l.x = at_in(c, X);
    if (l.gathered) {
        at_ragged_gather(&l.ragged, l.inputs, l.x, l.gathered);
        l.x = l.gathered;
    }
    return l;
}

/* Step s of row b is at this place in time: the backward direction counts from the row's last token. */
static size_t time_of(const layer *l, size_t direction, size_t b, size_t s)
{
    return direction == 0 ? s : (size_t)l->ragged.length[b] - 1 - s;
}

/* A state or its gradient: row b of [directions, B, H]; NULL stays NULL. */
static size_t state_at(const layer *l, size_t direction, size_t b) { return (direction * l->ragged.B + b) * l->H; }

static void zero(size_t n, real *x) { memset(x, 0, n * sizeof *x); }

static void copy(size_t n, const real *x, real *y) { memcpy(y, x, n * sizeof *y); }

static void load_state(size_t n, const real *from, size_t at, real *to)
{
    if (from)
        copy(n, from + at, to);
    else
        zero(n, to);
}

/* ---- forward ---- */

static void run_block(const layer *l, size_t block, real *slot)
{
    const at_call *call = l->call;
    size_t d = block % l->directions, first = block / l->directions * l->rows;
    size_t H = l->H, GH = l->G * H, T = l->ragged.T;
    size_t n = l->ragged.B - first < l->rows ? l->ragged.B - first : l->rows, rows = n;
    size_t wide = l->directions * H;
    const int64_t *row = l->ragged.row + first;
    const real *h0 = call->in[H0] ? at_in(call, H0) : NULL, *c0 = call->in[C0] ? at_in(call, C0) : NULL;
    real *hi = slot, *h = slot + l->rows * GH, *c = h + l->rows * H, *y = at_outp(call, Y) + d * H;

    for (size_t i = 0; i < rows; i++) {
        load_state(H, h0, state_at(l, d, (size_t)row[i]), h + i * H);
        load_state(H, c0, state_at(l, d, (size_t)row[i]), c + i * H);
    }
    for (size_t s = 0; (n = at_ragged_running(&l->ragged, row, n, s)) > 0; s++) {
        if (s == 0 && !h0)
            zero(n * GH, hi);
        else if (l->state[d])
            for (size_t i = 0; i < n; i++)
                copy(GH, l->state[d] + (size_t)row[i] * GH, hi + i * GH);
        else
            K->product->packed_gemm(n, GH, H, h, H, l->packed[d], hi, GH, false);
        for (size_t i = 0; i < n; i++) {
            size_t b = (size_t)row[i], t = time_of(l, d, b, s);
            real *record = l->records + ((size_t)l->ragged.start[b] + t) * l->ld + d * l->width;
            at_cell_forward(l->cell, H, record, hi + i * GH, l->bias[d], h + i * H, c + i * H, l->record);
            copy(H, h + i * H, y + (b * T + t) * wide);
        }
    }
    for (size_t i = 0; i < rows; i++) {
        size_t b = (size_t)row[i];
        copy(H, h + i * H, at_outp(call, H_N) + state_at(l, d, b));
        if (l->cell == AT_LSTM)
            copy(H, c + i * H, at_outp(call, C_N) + state_at(l, d, b));
        for (size_t t = (size_t)l->ragged.length[b]; t < T; t++)
            zero(H, y + (b * T + t) * wide);
    }
}

static void run_blocks(size_t from, size_t to, void *context)
{
    const layer *l = context;
    for (size_t k = from; k < to; k++)
        for (size_t block = k; block < l->blocks; block += AT_CELL_SLOTS)
            run_block(l, block, l->slots + k * l->slot);
}

static void pack_hidden(const layer *l, const at_tensor *w, real *packed)
{
    at_tensor wide = *w;

    if (at_is_kept(w)) {
        wide.data = l->work;
        at_expand(&wide, w);
    }
    real_pack(false, w->size[0], l->H, (const real *)(const void *)wide.data, l->H, packed);
}

static void rnn_forward(const at_call *c)
{
    layer l = begin(c, false);
    size_t H = l.H, GH = l.G * H, slots = l.blocks < AT_CELL_SLOTS ? l.blocks : AT_CELL_SLOTS;

    for (size_t d = 0; d < l.directions; d++) {
        int w = WEIGHTS + (int)d * PER_DIRECTION;
        at_product(l.ragged.steps, l.x, c->in[w + W_IH], NULL, l.records + d * l.width, l.ld, l.work);
        if (!l.state[d])
            pack_hidden(&l, c->in[w + W_HH], l.packed[d]);
        else if (c->in[H0])
            at_product(l.ragged.B, at_in(c, H0) + d * l.ragged.B * H, c->in[w + W_HH], NULL, l.state[d], GH, l.work);
        at_cell_bias(l.cell, H, at_in(c, w + B_IH), at_in(c, w + B_HH), l.bias[d]);
    }
    at_for(slots, 1, run_blocks, &l);
}

/* ---- backward ---- */

static void return_block(const layer *l, size_t block, real *slot)
{
    const at_call *call = l->call;
    size_t d = block % l->directions, first = block / l->directions * l->rows;
    size_t H = l->H, GH = l->G * H, T = l->ragged.T;
    size_t rows = l->ragged.B - first < l->rows ? l->ragged.B - first : l->rows, wide = l->directions * H;
    const int64_t *row = l->ragged.row + first;
    const real *h0 = call->in[H0] ? at_in(call, H0) : NULL, *c0 = call->in[C0] ? at_in(call, C0) : NULL;
    const real *y = at_outp(call, Y) + d * H, *dy = at_dout(call, Y);
    real *dhi = slot, *dh = slot + l->rows * GH, *dc = dh + l->rows * H;
    real *dh0 = at_din(call, H0), *dc0 = at_din(call, C0);

    for (size_t i = 0; i < rows; i++) {
        load_state(H, at_dout(call, H_N), state_at(l, d, (size_t)row[i]), dh + i * H);
        load_state(H, l->cell == AT_LSTM ? at_dout(call, C_N) : NULL, state_at(l, d, (size_t)row[i]), dc + i * H);
    }
    for (size_t s = rows ? (size_t)l->ragged.length[row[0]] : 0; s-- > 0;) {
        size_t n = at_ragged_running(&l->ragged, row, rows, s);
        for (size_t i = 0; i < n; i++) {
            size_t b = (size_t)row[i], t = time_of(l, d, b, s), step = (size_t)l->ragged.start[b] + t;
            ptrdiff_t back = d == 0 ? -1 : 1;
            real *record = l->records + step * l->ld + d * l->width, *h_prev = l->h_prev + step * wide + d * H;
            const real *h = y + (b * T + t) * wide, *c_prev = NULL;
            if (s > 0)
                copy(H, h + back * (ptrdiff_t)wide, h_prev);
            else
                load_state(H, h0, state_at(l, d, b), h_prev);
            if (l->cell == AT_LSTM && s > 0)
                c_prev = record + back * (ptrdiff_t)l->ld + 5 * H;
            else if (c0)
                c_prev = c0 + state_at(l, d, b);
            else if (l->cell == AT_LSTM)
                c_prev = l->bias[d]; /* zeros: no bias is needed here */
            if (dy)
                K->map->acc(H, dy + (b * T + t) * wide + d * H, dh + i * H);
            at_cell_backward(l->cell, H, record, h, h_prev, c_prev, dh + i * H, dc + i * H, dhi + i * GH);
        }
        if (s > 0 || dh0)
            K->product->packed_gemm(n, H, GH, dhi, GH, l->packed[d], dh, H, true);
    }
    for (size_t i = 0; i < rows; i++) {
        size_t at = state_at(l, d, (size_t)row[i]);
        if (dh0)
            at_give(at_is_fresh(call, H0), H, dh + i * H, dh0 + at);
        if (dc0)
            at_give(at_is_fresh(call, C0), H, dc + i * H, dc0 + at);
    }
}

static void return_blocks(size_t from, size_t to, void *context)
{
    const layer *l = context;
    for (size_t k = from; k < to; k++)
        for (size_t block = k; block < l->blocks; block += AT_CELL_SLOTS)
            return_block(l, block, l->slots + k * l->slot);
}

static void rnn_backward(const at_call *c)
{
    layer l = begin(c, true);
    size_t H = l.H, GH = l.G * H, N = l.ragged.steps, slots = l.blocks < AT_CELL_SLOTS ? l.blocks : AT_CELL_SLOTS;
    real *dx = at_din(c, X);
    bool into = dx && !l.dx; /* straight into the gradient of x */

    for (size_t d = 0; d < l.directions; d++) {
        real_pack(true, H, GH, at_in(c, WEIGHTS + (int)d * PER_DIRECTION + W_HH), H, l.packed[d]);
        zero(H, l.bias[d]);
    }
    at_for(slots, 1, return_blocks, &l);
    for (size_t d = 0; d < l.directions; d++) {
        int w = WEIGHTS + (int)d * PER_DIRECTION;
        const real *record = l.records + d * l.width;
        if (at_din(c, w + W_IH))
            real_gemm(true, false, GH, l.inputs, N, 1, record, l.ld, l.x, l.inputs, at_is_fresh(c, w + W_IH) ? 0 : 1,
                      at_din(c, w + W_IH), l.inputs);
        at_cell_parameters(&(at_cell_gradients){
            .cell = l.cell,
            .H = H,
            .rows = N,
            .record = record,
            .ld = l.ld,
            .h_prev = l.h_prev + d * H,
            .ldh = l.directions * H,
            .weight = at_din(c, w + W_HH),
            .fresh_weight = at_is_fresh(c, w + W_HH),
            .bias_input = at_din(c, w + B_IH),
            .fresh_input = at_is_fresh(c, w + B_IH),
            .bias_hidden = at_din(c, w + B_HH),
            .fresh_hidden = at_is_fresh(c, w + B_HH),
            .sums = l.sums});
        if (dx)
            real_gemm(false, false, N, l.inputs, GH, 1, record, l.ld, at_in(c, w + W_IH), l.inputs,
                      d == 0 && (!into || at_is_fresh(c, X)) ? 0 : 1, into ? dx : l.dx, l.inputs);
    }
    if (dx && !into)
        at_ragged_scatter(&l.ragged, l.inputs, l.dx, dx, !at_is_fresh(c, X));
}

/* Of the products. */
static double flops(const at_call *c, bool back)
{
    const at_tensor *x = c->in[X], *lengths = c->in[LENGTHS], *w = c->in[WEIGHTS + W_HH];
    double steps = (double)(x->size[0] * x->size[1]), inputs = (double)x->size[2], H = (double)w->size[1];

    if (lengths) {
        steps = 0;
        for (size_t b = 0; b < x->size[0]; b++)
            steps += (double)at_ids(lengths)[b];
    }
    steps *= (double)((c->n_in - WEIGHTS) / PER_DIRECTION);
    return 2 * steps * (double)w->size[0] *
           (back ? inputs * (1 + at_gradients_wanted(c, X, X + 1)) + 2 * H : inputs + H);
}

AT_OP(rnn,
      .args = {{"x", AT_FLOAT},
               {"lengths", AT_IDS, .optional = true},
               {"h", AT_FLOAT, .optional = true},
               {"c", AT_FLOAT, .optional = true},
               {"weights", AT_LIST},
               {"cell", AT_CHOICE, .choices = "gru|lstm|rnn"}},
      .shape = shape, .flops = flops, .forward = rnn_forward, .backward = rnn_backward, .outs = 3, .fresh = true,
      .internal = true, .reads_kept = true,
      .help = "rnn(x [B, T, inputs], lengths, h, c, weights, cell) -> y [B, T, directions * hidden], h, c\n"
              "A recurrent layer over whole sequences: encoder.rnn is made of these.");
