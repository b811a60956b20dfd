/*
 * decode: a recurrent decoder with attention over a whole target sequence, each step fed with the truth.
 *
 *   e_tj = <v, tanh(keys_j + W_a q_t)>  or  scale <keys_j, W_a q_t>
 *   a_t = softmax over the memory's length      c_t = sum_j a_tj m_j
 *
 *   bahdanau   q_t = s_{t-1};  s_t = cell([y_t; c_t], s_{t-1})                      (Bahdanau et al. 2015, A.2)
 *   luong      s_t = cell([y_t; h~_{t-1}], s_{t-1});  q_t = s_t;  h~_t = tanh(W_c [c_t; s_t])
 *                                                                                   (Luong et al. 2015, 3.3)
 *
 *   y          [B, T, E]                 features   bahdanau [B, T, H + E + M]: s, y, c; luong [B, T, H]: h~
 *   memory     [B, S, M]                 weights    [B, T, S], zero beyond the memory's length
 *   keys       [B, S, D], prepared       h_n, c_n   [1, B, H]: s_T and the lstm's cell
 *   h0, c0     [1, B, H]    fed [B, H]: h~_0
 *
 * What depends on the state runs in blocks of some rows, each block through all its steps alone: the pool is entered
 * once. y's half of the cell's product is one product before, the parameters' gradients are products over all steps
 * after. The tanh of the pairs is taken again on the way back; a row's keys and memory belong to one block, so their
 * gradients add up in place.
 */
#include "attn/op/cell.h"
#include "attn/kernel/gate.h"
#include "attn/kernel/map.h"
#include "attn/kernel/pack.h"
#include "attn/kernel/pair.h"
#include "attn/kernel/softmax.h"

enum { Y, MEMORY, KEYS, MEMORY_LENGTHS, W_IH, W_HH, B_IH, B_HH, H0, C0, FED, W_QUERY, B_QUERY, V, COMBINE, INPUTS };
enum { FEATURES, WEIGHTS, H_N, C_N };
enum { RECORDS, QUERIES, MIXED };

/* What a pass works on. N = B T steps; rows of steps are numbered b T + t. */
typedef struct decoder {
    const at_call *call;
    at_cell cell;
    bool luong, record;
    real scale;
    size_t B, T, S, E, M, D, H, G, N;
    size_t extra;  /* width of what the cell gets besides y: M, or H for luong */
    size_t wide;   /* of features */
    size_t width;  /* of a record */
    real *records; /* [N, width] */
    real *queries; /* [N, D]; backward: their gradients in place. NULL: the state itself is the query */
    real *mixed;   /* luong: [N, M + H], c and s */
    /* packed weights: forward from left to right, backward turned */
    real *hidden, *input, *query, *combine;
    real *bias, *zeros, *sums;            /* zeros: [H], backward */
    real *h_prev, *fed_prev, *d_combined; /* backward: [N, H] each */
    real *dv;                             /* [slots, D] */
    real *slots;
    size_t rows, blocks, slot; /* of a block; of them; numbers of scratch for one */
} decoder;

static decoder describe(const at_call *c, bool record)
{
    decoder m = {
        .call = c,
        .cell = (at_cell)c->arg[0].integer,
        .luong = c->arg[1].integer == 1,
        .scale = (real)c->arg[2].number,
        .record = record,
        .B = c->in[Y]->size[0],
        .T = c->in[Y]->size[1],
        .E = c->in[Y]->size[2],
        .S = c->in[MEMORY]->size[1],
        .M = c->in[MEMORY]->size[2],
        .D = c->in[KEYS]->size[2],
        .H = c->in[W_HH]->size[1]};
    m.G = at_cell_gates(m.cell);
    m.N = m.B * m.T;
    m.extra = m.luong ? m.H : m.M;
    m.wide = m.luong ? m.H : m.H + m.E + m.M;
    m.width = (record ? at_cell_save(m.cell) : m.G) * m.H;
    m.rows = at_cell_rows(m.B);
    m.blocks = at_ratio(m.B, m.rows);
    return m;
}

static size_t count_slots(const decoder *m) { return m->blocks < AT_CELL_SLOTS ? m->blocks : AT_CELL_SLOTS; }

/* Scratch of a pass; without `work` only its size. */
static size_t carve(decoder *m, char *work, bool backward)
{
    at_carve c = {work, 0};
    size_t GH = m->G * m->H, H = m->H, mixed = m->M + H, slots = count_slots(m);
    bool query = m->call->in[W_QUERY] != NULL;
    if (backward) {
        m->hidden = at_carve_take(&c, K->product->packed_size(H, GH));
        m->input = at_carve_take(&c, K->product->packed_size(m->extra, GH));
        m->query = query ? at_carve_take(&c, K->product->packed_size(H, m->D)) : NULL;
        m->combine = m->luong ? at_carve_take(&c, K->product->packed_size(mixed, H)) : NULL;
        m->h_prev = at_carve_take(&c, m->N * H);
        m->fed_prev = m->luong ? at_carve_take(&c, m->N * H) : NULL;
        m->d_combined = m->luong ? at_carve_take(&c, m->N * H) : NULL;
        m->dv = at_carve_take(&c, slots * m->D);
        m->zeros = at_carve_take(&c, H);
        m->slot = m->rows * (2 * GH + 5 * H + m->M + m->D) + 3 * m->S;
    } else {
        if (!m->record)
            m->records = at_carve_take(&c, m->N * m->width);
        m->hidden = at_carve_take(&c, K->product->packed_size(GH, H));
        m->input = at_carve_take(&c, K->product->packed_size(GH, m->extra));
        m->query = query ? at_carve_take(&c, K->product->packed_size(m->D, H)) : NULL;
        m->combine = m->luong ? at_carve_take(&c, K->product->packed_size(H, mixed)) : NULL;
        m->slot = m->rows * (GH + mixed + 2 * H + m->D) + m->S;
    }
    m->bias = at_carve_take(&c, at_cell_bias_size(m->cell, H));
    m->sums = at_carve_take(&c, at_cell_bias_size(m->cell, H) + m->D);
    m->slots = at_carve_take(&c, slots * m->slot);
    return c.bytes;
}

static bool check(at_call *c, int k, bool needed, size_t ndim, const size_t *size, const char *name)
{
    const at_tensor *t = c->in[k];
    if (!t)
        return !needed || at_fail(c, "%s is missing", name);
    bool same = t->ndim == ndim;
    for (size_t d = 0; same && d < ndim; d++)
        same = t->size[d] == size[d];
    return same || at_fail(c, "%s has shape %s, expected %s", name, at_describe_shape(t->ndim, t->size).text,
                           at_describe_shape(ndim, size).text);
}

static bool check_inputs(at_call *c)
{
    static const int dims[] = {[Y] = 3, [MEMORY] = 3, [KEYS] = 3, [W_HH] = 2};
    static const int needed[] = {Y, MEMORY, KEYS, W_HH};
    if (c->n_in != INPUTS)
        return at_fail(c, "%d inputs, expected %d", c->n_in, INPUTS);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!c->in[needed[i]] || c->in[needed[i]]->ndim != dims[needed[i]])
            return at_fail(c, "tensor %d has not %d dimensions", needed[i] + 1, dims[needed[i]]);
    decoder m = describe(c, false);
    size_t GH = m.G * m.H;
    if (!check(c, MEMORY, true, 3, (size_t[]){m.B, m.S, m.M}, "memory") ||
        !check(c, KEYS, true, 3, (size_t[]){m.B, m.S, m.D}, "keys") ||
        !check(c, MEMORY_LENGTHS, false, 1, &m.B, "memory_lengths") ||
        !check(c, W_IH, true, 2, (size_t[]){GH, m.E + m.extra}, "weight_ih") ||
        !check(c, W_HH, true, 2, (size_t[]){GH, m.H}, "weight_hh") || !check(c, B_IH, true, 1, &GH, "bias_ih") ||
        !check(c, B_HH, true, 1, &GH, "bias_hh") || !check(c, H0, false, 3, (size_t[]){1, m.B, m.H}, "h") ||
        !check(c, C0, false, 3, (size_t[]){1, m.B, m.H}, "c") ||
        !check(c, FED, false, 2, (size_t[]){m.B, m.H}, "fed") ||
        !check(c, W_QUERY, m.D != m.H, 2, (size_t[]){m.D, m.H}, "weight_query") ||
        !check(c, B_QUERY, false, 1, &m.D, "bias_query") || !check(c, V, false, 1, &m.D, "v") ||
        !check(c, COMBINE, m.luong, 2, (size_t[]){m.H, m.M + m.H}, "combine"))
        return false;
    const at_tensor *lengths = c->in[MEMORY_LENGTHS];
    for (size_t b = 0; lengths && b < m.B; b++)
        if (at_ids(lengths)[b] < 0 || at_ids(lengths)[b] > (int64_t)m.S)
            return at_fail(c, "memory_lengths[%zu] is %lld, expected 0 to %zu", b + 1, (long long)at_ids(lengths)[b],
                           m.S);
    return !c->in[B_QUERY] || c->in[W_QUERY] || at_fail(c, "a bias of the query without its weight");
}

static bool shape(at_call *c)
{
    if (!check_inputs(c))
        return false;
    decoder m = describe(c, at_recording(c));
    at_dtype dtype = at_call_dtype(c);
    if (!at_out(c, 3, (size_t[]){m.B, m.T, m.wide}) || !at_out(c, 3, (size_t[]){m.B, m.T, m.S}) ||
        !at_out(c, 3, (size_t[]){1, m.B, m.H}) || (m.cell == AT_LSTM && !at_out(c, 3, (size_t[]){1, m.B, m.H})))
        return false;
    at_want_scratch(c, carve(&m, NULL, false));
    if (!m.record)
        return true;
    at_want_scratch(c, carve(&m, NULL, true));
    return at_save(c, dtype, m.N * m.width) && at_save(c, dtype, c->in[W_QUERY] ? m.N * m.D : 0) &&
           at_save(c, dtype, m.luong ? m.N * (m.M + m.H) : 0);
}

static decoder begin(const at_call *c, bool backward)
{
    decoder m = describe(c, c->n_saved > 0);
    carve(&m, c->work, backward);
    if (m.record) {
        m.records = at_savedp(c, RECORDS);
        m.queries = c->in[W_QUERY] ? at_savedp(c, QUERIES) : NULL;
        m.mixed = m.luong ? at_savedp(c, MIXED) : NULL;
    }
    return m;
}

static size_t memory_length(const decoder *m, size_t b)
{
    return m->call->in[MEMORY_LENGTHS] ? (size_t)at_ids(m->call->in[MEMORY_LENGTHS])[b] : m->S;
}

static void zero(size_t n, real *x) { memset(x, 0, n * sizeof *x); }

static void copy(size_t n, const real *x, real *y) { memcpy(y, x, n * sizeof *y); }

/* n numbers of input k from `at`, or zeros if there is none. */
static void load_state(const at_call *c, int k, size_t n, size_t at, real *to)
{
    if (c->in[k])
        copy(n, at_in(c, k) + at, to);
    else
        zero(n, to);
}

/* ---- forward ---- */

/* Weights of row b at step t and its context, from the row's query. ones: S numbers. */
static void attend(const decoder *m, size_t b, size_t t, const real *query, const real *ones, real *context)
{
    const at_call *c = m->call;
    size_t S = memory_length(m, b);
    const real *keys = at_in(c, KEYS) + b * m->S * m->D;
    real *a = at_outp(c, WEIGHTS) + (b * m->T + t) * m->S;

    if (c->in[V]) {
        K->pair->additive(S, m->D, query, keys, m->D, at_in(c, V), a);
    } else {
        K->pair->context_back(S, m->D, ones, keys, m->D, query, a, NULL, 0);
        K->map->scale(S, m->scale, a, a);
    }
    K->softmax->softmax(S, a, NULL, a);
    zero(m->S - S, a + S);
    K->pair->context(S, m->M, a, at_in(c, MEMORY) + b * m->S * m->M, m->M, context, false);
}

/* The queries of a block's rows [n, D] from their states. */
static const real *make_queries(const decoder *m, size_t n, const real *s, size_t lds, real *room, size_t *ldq)
{
    const at_call *c = m->call;
    *ldq = m->query ? m->D : lds;
    if (!m->query)
        return s;
    if (c->in[B_QUERY])
        for (size_t i = 0; i < n; i++)
            copy(m->D, at_in(c, B_QUERY), room + i * m->D);
    K->product->packed_gemm(n, m->D, m->H, s, lds, m->query, room, m->D, c->in[B_QUERY] != NULL);
    return room;
}

/* Rows first .. first + n - 1 on their way through the steps. */
typedef struct block {
    size_t first, n, mixed_width;
    real *hi, *mixed, *s, *cells, *fed, *room, *ones; /* mixed: c and s of each row side by side; s points into it */
} block;

static void run_cell(const decoder *m, const block *k, size_t t)
{
    size_t GH = m->G * m->H, next = m->T * m->width; /* from row to row of the records */
    real *records = m->records + (k->first * m->T + t) * m->width;

    if (m->luong)
        K->product->packed_gemm(k->n, GH, m->H, k->fed, m->H, m->input, records, next, true);
    else
        K->product->packed_gemm(k->n, GH, m->M, k->mixed, k->mixed_width, m->input, records, next, true);
    K->product->packed_gemm(k->n, GH, m->H, k->s, k->mixed_width, m->hidden, k->hi, GH, false);
    for (size_t i = 0; i < k->n; i++)
        at_cell_forward(m->cell, m->H, records + i * next, k->hi + i * GH, m->bias, k->s + i * k->mixed_width,
                        k->cells + i * m->H, m->record);
}

static void run_attention(const decoder *m, const block *k, size_t t)
{
    size_t ldq;
    const real *query = make_queries(m, k->n, k->s, k->mixed_width, k->room, &ldq);

    for (size_t i = 0; i < k->n; i++) {
        attend(m, k->first + i, t, query + i * ldq, k->ones, k->mixed + i * k->mixed_width);
        if (m->queries)
            copy(m->D, query + i * ldq, m->queries + ((k->first + i) * m->T + t) * m->D);
    }
}

/* What the step gives to the outside: s, y, c of bahdanau, h~ of luong. */
static void run_features(const decoder *m, const block *k, size_t t)
{
    size_t H = m->H, width = k->mixed_width;

    if (m->luong)
        K->product->packed_gemm(k->n, H, width, k->mixed, width, m->combine, k->fed, H, false);
    for (size_t i = 0; i < k->n; i++) {
        size_t step = (k->first + i) * m->T + t;
        real *to = at_outp(m->call, FEATURES) + step * m->wide, *mixed = k->mixed + i * width;
        if (m->luong) {
            K->map->vtanh(H, k->fed + i * H, k->fed + i * H);
            copy(H, k->fed + i * H, to);
            if (m->mixed)
                copy(width, mixed, m->mixed + step * width);
        } else {
            copy(H, mixed + m->M, to);
            copy(m->E, at_in(m->call, Y) + step * m->E, to + H);
            copy(m->M, mixed, to + H + m->E);
        }
    }
}

static void run_block(const decoder *m, size_t index, real *slot)
{
    const at_call *c = m->call;
    size_t H = m->H, first = index * m->rows, left = m->B - first;
    block k = {.first = first, .n = left < m->rows ? left : m->rows, .mixed_width = m->M + H, .hi = slot};

    k.mixed = k.hi + m->rows * m->G * H;
    k.s = k.mixed + m->M;
    k.cells = k.mixed + m->rows * k.mixed_width;
    k.fed = k.cells + m->rows * H;
    k.room = k.fed + m->rows * H;
    k.ones = k.room + m->rows * m->D;
    K->map->fill(m->S, 1, k.ones);
    for (size_t i = 0; i < k.n; i++) {
        load_state(c, H0, H, (first + i) * H, k.s + i * k.mixed_width);
        load_state(c, C0, H, (first + i) * H, k.cells + i * H);
        load_state(c, FED, H, (first + i) * H, k.fed + i * H);
    }
    for (size_t t = 0; t < m->T; t++) {
        if (m->luong) {
            run_cell(m, &k, t);
            run_attention(m, &k, t);
        } else {
            run_attention(m, &k, t);
            run_cell(m, &k, t);
        }
        run_features(m, &k, t);
    }
    for (size_t i = 0; i < k.n; i++) {
        copy(H, k.s + i * k.mixed_width, at_outp(c, H_N) + (first + i) * H);
        if (m->cell == AT_LSTM)
            copy(H, k.cells + i * H, at_outp(c, C_N) + (first + i) * H);
    }
}

static void run_blocks(size_t from, size_t to, void *context)
{
    const decoder *m = context;
    for (size_t k = from; k < to; k++)
        for (size_t i = k; i < m->blocks; i += AT_CELL_SLOTS)
            run_block(m, i, m->slots + k * m->slot);
}

static void decode_forward(const at_call *c)
{
    decoder m = begin(c, false);
    size_t GH = m.G * m.H, ldw = m.E + m.extra;

    real_gemm(false, true, m.N, GH, m.E, 1, at_in(c, Y), m.E, at_in(c, W_IH), ldw, 0, m.records, m.width);
    real_pack(false, GH, m.H, at_in(c, W_HH), m.H, m.hidden);
    real_pack(false, GH, m.extra, at_in(c, W_IH) + m.E, ldw, m.input);
    if (m.query)
        real_pack(false, m.D, m.H, at_in(c, W_QUERY), m.H, m.query);
    if (m.combine)
        real_pack(false, m.H, m.M + m.H, at_in(c, COMBINE), m.M + m.H, m.combine);
    at_cell_bias(m.cell, m.H, at_in(c, B_IH), at_in(c, B_HH), m.bias);
    at_for(count_slots(&m), 1, run_blocks, &m);
}

/* ---- backward ---- */

/* Of one row at one step: adds to the gradients of memory, keys, v, and writes that of the query. room: 3 S numbers. */
static void attend_back(const decoder *m, size_t b, size_t t, const real *query, const real *dc, real *dq, real *dv,
                        real *room)
{
    const at_call *c = m->call;
    size_t S = memory_length(m, b), step = b * m->T + t, D = m->D, M = m->M;
    const real *keys = at_in(c, KEYS) + b * m->S * D, *a = at_outp(c, WEIGHTS) + step * m->S;
    real *dm = at_din(c, MEMORY), *dk = at_din(c, KEYS), *da = room, *de = room + m->S, *unused = room + 2 * m->S;

    K->pair->context_back(S, M, a, at_in(c, MEMORY) + b * m->S * M, M, dc, da, dm ? dm + b * m->S * M : NULL, M);
    if (at_dout(c, WEIGHTS))
        K->map->acc(S, at_dout(c, WEIGHTS) + step * m->S, da);
    zero(S, de);
    K->softmax->softmax_back(S, a, da, de);
    if (dk)
        dk += b * m->S * D;
    if (c->in[V]) {
        zero(D, dq);
        K->pair->additive_back(S, D, query, keys, D, at_in(c, V), de, dq, dk, D, dv);
    } else {
        K->map->scale(S, m->scale, de, de);
        K->pair->context(S, D, de, keys, D, dq, false);
        if (dk)
            K->pair->context_back(S, D, de, keys, D, query, unused, dk, D);
    }
}

/* Rows of a gradient [B, H] that may be absent. */
static void give_states(const decoder *m, size_t first, size_t n, const real *from, real *to)
{
    if (from)
        copy(n * m->H, from + first * m->H, to);
    else
        zero(n * m->H, to);
}

/* A block on its way back. ds, dcells, dfed: gradients of the states between steps; dmixed: of c and s; dq: of q. */
typedef struct way_back {
    size_t first, n, mixed_width;
    real *dhi, *dxi, *ds, *dcells, *dfed, *dout, *dmixed, *dq, *room, *dv;
} way_back;

/* s after step t of row b; t = -1: before the first. */
static const real *state_after(const decoder *m, size_t b, ptrdiff_t t)
{
    size_t step = b * m->T + (size_t)t;
    if (t < 0)
        return m->call->in[H0] ? at_in(m->call, H0) + b * m->H : m->zeros;
    return m->luong ? m->mixed + step * (m->M + m->H) + m->M : at_outp(m->call, FEATURES) + step * m->wide;
}

static void return_features(const decoder *m, const way_back *k, size_t t)
{
    size_t H = m->H, M = m->M, width = k->mixed_width;
    const real *dfeatures = at_dout(m->call, FEATURES), *features = at_outp(m->call, FEATURES);

    for (size_t i = 0; i < k->n; i++) {
        size_t step = (k->first + i) * m->T + t;
        const real *d = dfeatures ? dfeatures + step * m->wide : NULL;
        if (m->luong) {
            if (d)
                K->map->acc(H, d, k->dfed + i * H);
            K->gate->rnn_back(H, features + step * H, k->dfed + i * H, k->dout + i * H);
            copy(H, k->dout + i * H, m->d_combined + step * H);
        } else if (d) {
            K->map->acc(H, d, k->ds + i * H);
            copy(M, d + H + m->E, k->dmixed + i * width);
        } else {
            zero(M, k->dmixed + i * width);
        }
    }
    if (!m->luong)
        return;
    K->product->packed_gemm(k->n, width, H, k->dout, H, m->combine, k->dmixed, width, false);
    for (size_t i = 0; i < k->n; i++)
        K->map->acc(H, k->dmixed + i * width + M, k->ds + i * H);
}

static void return_cell(const decoder *m, const way_back *k, size_t t)
{
    const at_call *c = m->call;
    size_t H = m->H, GH = m->G * H;
    bool gru = m->cell == AT_GRU;
    const real *dxi = gru ? k->dxi : k->dhi;

    for (size_t i = 0; i < k->n; i++) {
        size_t b = k->first + i, step = b * m->T + t;
        real *record = m->records + step * m->width, *h_prev = m->h_prev + step * H;
        const real *c_prev = NULL;
        copy(H, state_after(m, b, (ptrdiff_t)t - 1), h_prev);
        if (m->cell == AT_LSTM)
            c_prev = t > 0 ? record - m->width + 5 * H : c->in[C0] ? at_in(c, C0) + b * H : m->zeros;
        at_cell_backward(m->cell, H, record, state_after(m, b, (ptrdiff_t)t), h_prev, c_prev, k->ds + i * H,
                         k->dcells + i * H, k->dhi + i * GH);
        if (gru)
            copy(GH, record, k->dxi + i * GH);
        if (m->luong && t > 0)
            copy(H, at_outp(c, FEATURES) + (step - 1) * H, m->fed_prev + step * H);
        else if (m->luong)
            load_state(c, FED, H, b * H, m->fed_prev + step * H);
    }
    if (m->luong)
        K->product->packed_gemm(k->n, H, GH, dxi, GH, m->input, k->dfed, H, false);
    else
        K->product->packed_gemm(k->n, m->M, GH, dxi, GH, m->input, k->dmixed, k->mixed_width, true);
    K->product->packed_gemm(k->n, H, GH, k->dhi, GH, m->hidden, k->ds, H, true);
}

static void return_attention(const decoder *m, const way_back *k, size_t t)
{
    size_t H = m->H, D = m->D;

    for (size_t i = 0; i < k->n; i++) {
        size_t b = k->first + i;
        real *query = m->queries ? m->queries + (b * m->T + t) * D : NULL, *dq = k->dq + i * D;
        const real *s = state_after(m, b, (ptrdiff_t)t - !m->luong);
        attend_back(m, b, t, query ? query : s, k->dmixed + i * k->mixed_width, dq, k->dv, k->room);
        if (query)
            copy(D, dq, query);
        else
            K->map->acc(H, dq, k->ds + i * H);
    }
    if (m->query)
        K->product->packed_gemm(k->n, H, D, k->dq, D, m->query, k->ds, H, true);
}

static void return_block(const decoder *m, size_t index, real *slot, real *dv)
{
    const at_call *c = m->call;
    size_t H = m->H, first = index * m->rows, left = m->B - first;
    way_back k = {.first = first, .n = left < m->rows ? left : m->rows, .mixed_width = m->M + H, .dhi = slot, .dv = dv};

    k.dxi = k.dhi + m->rows * m->G * H;
    k.ds = k.dxi + m->rows * m->G * H;
    k.dcells = k.ds + m->rows * H;
    k.dfed = k.dcells + m->rows * H;
    k.dout = k.dfed + m->rows * H;
    k.dmixed = k.dout + m->rows * H;
    k.dq = k.dmixed + m->rows * k.mixed_width;
    k.room = k.dq + m->rows * m->D;
    give_states(m, first, k.n, at_dout(c, H_N), k.ds);
    give_states(m, first, k.n, m->cell == AT_LSTM ? at_dout(c, C_N) : NULL, k.dcells);
    zero(k.n * H, k.dfed);
    if (at_din(c, KEYS) && at_is_fresh(c, KEYS))
        zero(k.n * m->S * m->D, at_din(c, KEYS) + first * m->S * m->D);
    if (at_din(c, MEMORY) && at_is_fresh(c, MEMORY))
        zero(k.n * m->S * m->M, at_din(c, MEMORY) + first * m->S * m->M);
    for (size_t t = m->T; t-- > 0;) {
        return_features(m, &k, t);
        if (m->luong) {
            return_attention(m, &k, t);
            return_cell(m, &k, t);
        } else {
            return_cell(m, &k, t);
            return_attention(m, &k, t);
        }
    }
    if (at_din(c, H0))
        at_give(at_is_fresh(c, H0), k.n * H, k.ds, at_din(c, H0) + first * H);
    if (at_din(c, C0))
        at_give(at_is_fresh(c, C0), k.n * H, k.dcells, at_din(c, C0) + first * H);
    if (at_din(c, FED))
        at_give(at_is_fresh(c, FED), k.n * H, k.dfed, at_din(c, FED) + first * H);
}

static void return_blocks(size_t from, size_t to, void *context)
{
    const decoder *m = context;
    for (size_t k = from; k < to; k++) {
        zero(m->D, m->dv + k * m->D);
        for (size_t i = k; i < m->blocks; i += AT_CELL_SLOTS)
            return_block(m, i, m->slots + k * m->slot, m->dv + k * m->D);
    }
}

/* d weight (+)= left' right over all steps; left [N, rows], right [N, columns]. */
static void weight_gradient(const decoder *m, int k, size_t at, size_t ldw, size_t rows, size_t columns,
                            const real *left, size_t ldl, const real *right, size_t ldr)
{
    const at_call *c = m->call;
    if (at_din(c, k))
        real_gemm(true, false, rows, columns, m->N, 1, left, ldl, right, ldr, at_is_fresh(c, k) ? 0 : 1,
                  at_din(c, k) + at, ldw);
}

typedef struct middle {
    const decoder *m;
    const real *from;
    real *to;
    bool fresh;
} middle;

/* The gradient that y has from its place in the features. */
static void take_middle(size_t begin, size_t end, void *context)
{
    const middle *j = context;
    for (size_t r = begin; r < end; r++)
        at_give(j->fresh, j->m->E, j->from + r * j->m->wide + j->m->H, j->to + r * j->m->E);
}

static void decode_backward(const at_call *c)
{
    decoder m = begin(c, true);
    size_t H = m.H, M = m.M, E = m.E, D = m.D, GH = m.G * H, ldw = E + m.extra, slots = count_slots(&m);

    real_pack(true, H, GH, at_in(c, W_HH), H, m.hidden);
    real_pack(true, m.extra, GH, at_in(c, W_IH) + E, ldw, m.input);
    if (m.query)
        real_pack(true, H, D, at_in(c, W_QUERY), H, m.query);
    if (m.combine)
        real_pack(true, M + H, H, at_in(c, COMBINE), M + H, m.combine);
    zero(H, m.zeros);
    at_for(slots, 1, return_blocks, &m);

    const real *features = at_outp(c, FEATURES), *states = m.luong ? m.mixed + M : m.h_prev;
    size_t lds = m.luong ? M + H : H;
    weight_gradient(&m, W_IH, 0, ldw, GH, E, m.records, m.width, at_in(c, Y), E);
    if (m.luong)
        weight_gradient(&m, W_IH, E, ldw, GH, H, m.records, m.width, m.fed_prev, H);
    else
        weight_gradient(&m, W_IH, E, ldw, GH, M, m.records, m.width, features + H + E, m.wide);
    at_cell_parameters(&(at_cell_gradients){
        .cell = m.cell,
        .H = H,
        .rows = m.N,
        .record = m.records,
        .ld = m.width,
        .h_prev = m.h_prev,
        .ldh = H,
        .weight = at_din(c, W_HH),
        .fresh_weight = at_is_fresh(c, W_HH),
        .bias_input = at_din(c, B_IH),
        .fresh_input = at_is_fresh(c, B_IH),
        .bias_hidden = at_din(c, B_HH),
        .fresh_hidden = at_is_fresh(c, B_HH),
        .sums = m.sums});
    if (m.queries)
        weight_gradient(&m, W_QUERY, 0, H, D, H, m.queries, D, states, lds);
    if (at_din(c, B_QUERY)) {
        at_sum_columns(m.N, D, m.queries, D, m.sums);
        at_give(at_is_fresh(c, B_QUERY), D, m.sums, at_din(c, B_QUERY));
    }
    if (at_din(c, V)) {
        at_sum_columns(slots, D, m.dv, D, m.sums);
        at_give(at_is_fresh(c, V), D, m.sums, at_din(c, V));
    }
    if (m.luong)
        weight_gradient(&m, COMBINE, 0, M + H, H, M + H, m.d_combined, H, m.mixed, M + H);
    real *dy = at_din(c, Y);
    if (dy) {
        bool fresh = at_is_fresh(c, Y);
        if (!m.luong && at_dout(c, FEATURES)) {
            at_for(m.N, 64, take_middle, &(middle){&m, at_dout(c, FEATURES), dy, fresh});
            fresh = false;
        }
        real_gemm(false, false, m.N, E, GH, 1, m.records, m.width, at_in(c, W_IH), ldw, fresh ? 0 : 1, dy, E);
    }
}

/* Of the products. */
static double flops(const at_call *c, bool back)
{
    decoder m = describe(c, false);
    size_t products = m.G * m.H * (m.E + m.extra + m.H) + (c->in[W_QUERY] ? m.D * m.H : 0) + m.S * (m.D + m.M) +
                      (m.luong ? m.H * (m.M + m.H) : 0);
    return (back ? 4.0 : 2.0) * (double)m.N * (double)products;
}

AT_OP(
    decode,
    .args = {{"y", AT_FLOAT},
             {"memory", AT_FLOAT},
             {"keys", AT_FLOAT},
             {"memory_lengths", AT_IDS, .optional = true},
             {"weights", AT_LIST, .optional = true},
             {"cell", AT_CHOICE, .choices = "gru|lstm|rnn"},
             {"style", AT_CHOICE, .choices = "bahdanau|luong"},
             {"scale", AT_NUMBER}},
    .shape = shape, .flops = flops, .forward = decode_forward, .backward = decode_backward, .outs = 4, .fresh = true,
    .internal = true,
    .help = "decode(y [B, T, inputs], memory [B, S, M], keys [B, S, D], memory_lengths, weights, cell, style, scale)\n"
            "    -> features, weights, h, c\n"
            "A recurrent decoder with attention over whole sequences: what decoder.rnn runs on where it can.");
