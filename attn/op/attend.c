/*
 * attend: softmax attention over products, tile by tile; nothing of size Tq x Tk is kept.
 *
 *   q     [B, Tq, H, D]           k [B, Tk, Hk, D], v [B, Tk, Hk, Dv]: query heads 1 .. H / Hk read the first key head, and so on
 *   bias  [B or 1, H or 1, Tq or 1, Tk] added; -inf leaves a key out        mask the shapes of bias, key_mask [B, Tk]: false leaves out
 *   span  core/attend.h: which keys a query may look at; tiles nobody may look at are not computed
 *   y     [B, Tq, H, Dv]          w [B, H, Tq, W], only if asked for: y has the same bits with and without
 *
 *   s_ij = scale q_i . k_j + bias_ij - m_h |i - j|    p = softmax_j s    y_i = sum_j drop(p_ij) v_j
 *
 * Kept for the backward pass: y and lse_i = log sum_j exp(s_ij), from which p is computed again (Dao et al. 2022):
 *
 *   dv_j += sum_i drop(p_ij) dy_i     dp_ij = drop(dy_i . v_j) + dw_ij     delta_i = sum_j p_ij dp_ij = y_i . dy_i + sum_j w_ij dw_ij
 *   ds_ij = p_ij (dp_ij - delta_i)    dq_i += scale sum_j ds_ij k_j        dk_j += scale sum_i ds_ij q_i        dbias += ds
 *
 * A tile is s' [keys, queries]: lanes run over queries. With q packed once per block of queries, k is read in place; p' is by itself
 * the packed form of the next product, y' = v' p'. So v (and k for dq) are turned once per head, and that is all the copying. Blocks
 * of queries go over the pool; the backward pass goes by key heads, whose dk and dv nobody else touches. A bias that many share gets
 * its gradient in a pass of its own, block by block of queries, so that its sum has one order.
 *
 * Keys left out must be finite, or 0 times NaN would spread: the caller sees to it (attention.c).
 */
#include <math.h>
#include <string.h>

#include "attn/core/attend.h"
#include "attn/core/parallel.h"
#include "attn/core/rows.h"
#include "attn/kernel/kernel.h"

enum { Q, KEY, V, BIAS, MASK, KEY_MASK, SPAN };
enum { SCALE, OFFSET, ALIBI, DROPOUT, WEIGHTS };
enum { LSE };
enum { KB = 128 };      /* keys of a tile: two tiles of 64 queries stay in the second cache beside their keys and values */

typedef struct sizes {
    size_t B, Tq, Tk, H, Hk, D, Dv, W;
} sizes;

static sizes sizes_of(const at_call *c)
{
    const at_tensor *q = c->in[Q], *k = c->in[KEY], *v = c->in[V];
    return (sizes){q->size[0], q->size[1], k->size[1], q->size[2], k->size[2], q->size[3], v->size[3],
                   at_span_width(c->in[SPAN], k->size[1])};
}

static size_t round_up(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

/* Queries of a block, and the width of its tiles. */
static size_t block(void) { return K->tile; }
static size_t blocks(size_t Tq) { return (Tq + block() - 1) / block(); }

/* Scratch of one slot: tiles, packed blocks and columns. */
typedef struct room {
    real *s, *dp, *packed_q, *packed_dy, *turned_q, *turned_dy, *out, *rows, *max, *sum, *factor, *lse, *delta;
} room;

static size_t room_bytes(const sizes *n)
{
    size_t w = block(), wide = n->D > n->Dv ? n->D : n->Dv, tile = K->packed_size(w, 1);
    size_t packed = K->packed_size(w, wide), turned = K->packed_size(wide, w);
    return round_up((2 * KB * tile + 2 * packed + 2 * turned + wide * tile + w * (wide > KB ? wide : KB) + 5 * tile + 64) *
                    sizeof(real) + 13 * 64);
}

static real *take(char **at, size_t count)
{
    real *p = (real *)(void *)*at;
    *at += round_up(count * sizeof(real));
    return p;
}

static room room_at(const sizes *n, char *at)
{
    size_t w = block(), wide = n->D > n->Dv ? n->D : n->Dv, tile = K->packed_size(w, 1);
    room r;
    r.s = take(&at, KB * tile);
    r.dp = take(&at, KB * tile);
    r.packed_q = take(&at, K->packed_size(w, wide));
    r.packed_dy = take(&at, K->packed_size(w, wide));
    r.turned_q = take(&at, K->packed_size(wide, w));
    r.turned_dy = take(&at, K->packed_size(wide, w));
    r.out = take(&at, wide * tile);
    r.rows = take(&at, w * (wide > KB ? wide : KB));
    r.max = take(&at, tile);
    r.sum = take(&at, tile);
    r.factor = take(&at, tile);
    r.lse = take(&at, tile);
    r.delta = take(&at, tile);
    return r;
}

/* Values (and keys) of all heads, turned: [B, Hk, D, Tk]. */
static size_t turned_bytes(const sizes *n, size_t width)
{
    return round_up(n->B * n->Hk * width * n->Tk * sizeof(real));
}

static bool fits(const at_tensor *t, const sizes *n)
{
    return t->ndim == 4 && (t->size[0] == 1 || t->size[0] == n->B) && (t->size[1] == 1 || t->size[1] == n->H) &&
           (t->size[2] == 1 || t->size[2] == n->Tq) && t->size[3] == n->Tk;
}

static bool shape(at_call *c)
{
    const at_tensor *q = c->in[Q], *k = c->in[KEY], *v = c->in[V];
    if (q->ndim != 4 || k->ndim != 4 || v->ndim != 4 || k->size[3] != q->size[3] || k->size[0] != q->size[0] ||
        v->size[0] != k->size[0] || v->size[1] != k->size[1] || v->size[2] != k->size[2] || k->size[2] == 0 ||
        q->size[2] % k->size[2] != 0)
        return at_fail(c, "query %s, key %s and value %s do not go together", at_describe(q).text, at_describe(k).text,
                       at_describe(v).text);
    sizes n = sizes_of(c);
    for (int m = BIAS; m <= MASK; m++)
        if (c->in[m] && !fits(c->in[m], &n))
            return at_fail(c, "%s has shape %s, expected [%zu, %zu, %zu, %zu]", m == BIAS ? "bias" : "mask",
                           at_describe_shape(c->in[m]->ndim, c->in[m]->size).text, n.B, n.H, n.Tq, n.Tk);
    if (!at_span_check(c, c->in[SPAN], n.B, n.Tq, n.Tk) || !at_out(c, 4, (size_t[]){n.B, n.Tq, n.H, n.Dv}))
        return false;
    if (c->arg[WEIGHTS].flag && !at_out(c, 4, (size_t[]){n.B, n.H, n.Tq, n.W}))
        return false;
    if (c->arg[DROPOUT].number > 0)
        c->random = at_random_reserve(n.B * n.H * blocks(n.Tq) * block() * ((n.Tk + KB - 1) / KB * KB));
    at_want_scratch(c, AT_SLOTS * room_bytes(&n) + turned_bytes(&n, n.Dv) + (at_recording(c) ? turned_bytes(&n, n.D) : 0));
    return at_save(c, at_call_dtype(c), n.B * n.H * n.Tq);
}

/* ---- a tile ---- */

/* One block of queries of one head: i0 .. i0 + n - 1. */
typedef struct job {
    const at_call *c;
    sizes n;
    size_t b, h, i0, rows, width;
    size_t lo, hi;              /* keys that any query of the block may look at */
    size_t full_lo, full_hi;    /* keys that every one may look at */
    room r;
} job;

static job job_of(const at_call *c, const sizes *n, size_t b, size_t h, size_t block_index, room r)
{
    job j = {.c = c, .n = *n, .b = b, .h = h, .i0 = block_index * block(), .hi = n->Tk, .full_hi = n->Tk, .r = r};
    j.rows = n->Tq - j.i0 < block() ? n->Tq - j.i0 : block();
    j.width = K->packed_size(j.rows, 1);
    if (c->in[SPAN]) {
        j.lo = n->Tk, j.hi = 0;
        for (size_t i = 0; i < j.rows; i++) {
            at_span s = at_span_of(c->in[SPAN], n->Tq, n->Tk, b, j.i0 + i);
            if (s.n > 0 && s.lo < j.lo)
                j.lo = s.lo;
            if (s.n > 0 && s.lo + s.n > j.hi)
                j.hi = s.lo + s.n;
            j.full_lo = s.lo > j.full_lo ? s.lo : j.full_lo;
            j.full_hi = s.lo + s.n < j.full_hi ? s.lo + s.n : j.full_hi;
        }
        if (j.lo > j.hi)
            j.lo = j.hi;
        j.lo = j.lo / KB * KB;      /* tiles have the same bounds for every block: dropout counts by them */
    }
    return j;
}

static const real *head_row(const at_tensor *t, size_t b, size_t i, size_t h)
{
    return (const real *)(const void *)t->data + ((b * t->size[1] + i) * t->size[2] + h) * t->size[3];
}

static size_t head_step(const at_tensor *t) { return t->size[2] * t->size[3]; }

/* Place of row i of a bias or mask that may be broadcast. */
static size_t shared_row(const at_tensor *t, size_t b, size_t h, size_t i)
{
    return (((t->size[0] > 1 ? b : 0) * t->size[1] + (t->size[1] > 1 ? h : 0)) * t->size[2] + (t->size[2] > 1 ? i : 0)) * t->size[3];
}

/* Adds bias and distances and takes out what may not be seen, keys j0 .. j0 + keys - 1. */
static void adjust(const job *j, size_t j0, size_t keys)
{
    const at_call *c = j->c;
    real *s = j->r.s;
    size_t w = j->width;
    if (c->in[BIAS]) {
        const at_tensor *bias = c->in[BIAS];
        const real *x = at_in(c, BIAS);
        for (size_t i = 0; i < j->rows; i++) {
            const real *row = x + shared_row(bias, j->b, j->h, j->i0 + i) + j0;
            for (size_t k = 0; k < keys; k++)
                s[k * w + i] += row[k];
        }
    }
    if (c->arg[ALIBI].integer > 0) {
        size_t heads = (size_t)c->arg[ALIBI].integer;
        real slope = (real)at_alibi_slope(j->h % heads, heads);
        real first = (real)(c->arg[OFFSET].integer + (int64_t)j->i0);
        for (size_t k = 0; k < keys; k++) {
            real place = (real)(j0 + k);
            for (size_t i = 0; i < j->rows; i++) {
                real d = first + (real)i - place;
                s[k * w + i] -= slope * (d < 0 ? -d : d);
            }
        }
    }
    if (c->in[SPAN] && (j0 < j->full_lo || j0 + keys > j->full_hi))
        for (size_t i = 0; i < j->rows; i++) {
            at_span span = at_span_of(c->in[SPAN], j->n.Tq, j->n.Tk, j->b, j->i0 + i);
            size_t from = span.lo > j0 ? span.lo - j0 : 0, to = span.lo + span.n > j0 ? span.lo + span.n - j0 : 0;
            from = from < keys ? from : keys;
            to = to < keys ? to : keys;
            for (size_t k = 0; k < from; k++)
                s[k * w + i] = -INFINITY;
            for (size_t k = to > from ? to : from; k < keys; k++)
                s[k * w + i] = -INFINITY;
        }
    if (c->in[KEY_MASK])
        for (size_t k = 0; k < keys; k++)
            if (!c->in[KEY_MASK]->data[j->b * j->n.Tk + j0 + k])
                for (size_t i = 0; i < j->width; i++)
                    s[k * w + i] = -INFINITY;
    if (c->in[MASK])
        for (size_t i = 0; i < j->rows; i++) {
            const char *row = c->in[MASK]->data + shared_row(c->in[MASK], j->b, j->h, j->i0 + i) + j0;
            for (size_t k = 0; k < keys; k++)
                if (!row[k])
                    s[k * w + i] = -INFINITY;
        }
}

/* r.packed_q = scale q of the block */
static void pack_queries(const job *j, bool turned)
{
    const at_tensor *q = j->c->in[Q];
    size_t D = j->n.D;
    real scale = (real)j->c->arg[SCALE].number;
    for (size_t i = 0; i < j->rows; i++)
        K->scale(D, scale, head_row(q, j->b, j->i0 + i, j->h), j->r.rows + i * D);
    K->pack(false, j->rows, D, j->r.rows, D, j->r.packed_q);
    if (turned)
        K->pack(true, D, j->rows, j->r.rows, D, j->r.turned_q);
}

/* r.s = scores of keys j0 .. j0 + keys - 1 against the block; lanes beyond the block are 0. */
static void scores(const job *j, size_t j0, size_t keys)
{
    size_t hk = j->h / (j->n.H / j->n.Hk);
    K->packed_gemm(keys, j->width, j->n.D, head_row(j->c->in[KEY], j->b, j0, hk), head_step(j->c->in[KEY]), j->r.packed_q, j->r.s,
                   j->width, false);
    adjust(j, j0, keys);
}

/* x with dropout's mask of this tile applied, into y (may be x). */
static void drop_tile(const job *j, size_t j0, size_t keys, const real *x, real *y)
{
    const at_call *c = j->c;
    double p = c->arg[DROPOUT].number;
    size_t tiles = (j->n.Tk + KB - 1) / KB * KB * block();
    size_t first = ((j->b * j->n.H + j->h) * blocks(j->n.Tq) + j->i0 / block()) * tiles + j0 * block();
    K->dropout(c->random.seed, c->random.counter, first, keys * j->width, at_random_threshold(1 - p), (real)(1 / (1 - p)), x, y, false);
}

static const real *turned_head(const sizes *n, const real *all, size_t width, size_t b, size_t hk)
{
    return all + (b * n->Hk + hk) * width * n->Tk;
}

/* ---- heads turned ---- */

typedef struct turn {
    const at_call *c;
    const sizes *n;
    int which;
    real *to;
} turn;

static void turn_heads(size_t begin, size_t end, void *context)
{
    const turn *t = context;
    const at_tensor *x = t->c->in[t->which];
    size_t width = x->size[3];
    for (size_t r = begin; r < end; r++)
        K->transpose(t->n->Tk, width, head_row(x, r / t->n->Hk, 0, r % t->n->Hk), head_step(x), t->to + r * width * t->n->Tk,
                     t->n->Tk);
}

/* ---- forward ---- */

typedef struct pass {
    const at_call *c;
    sizes n;
    const real *values, *keys;      /* turned */
    char *slots;
    size_t per_slot, tasks;
} pass;

static void write_weights(const job *j)
{
    const at_call *c = j->c;
    size_t W = j->n.W;
    real *w = at_outp(c, 1) + ((j->b * j->n.H + j->h) * j->n.Tq + j->i0) * W;
    memset(w, 0, j->rows * W * sizeof(real));
    for (size_t j0 = j->lo; j0 < j->hi; j0 += KB) {
        size_t keys = j->hi - j0 < KB ? j->hi - j0 : KB;
        scores(j, j0, keys);
        K->attend_weights(keys, j->width, j->r.lse, j->r.s);
        for (size_t i = 0; i < j->rows; i++) {
            at_span span = at_span_of(c->in[SPAN], j->n.Tq, j->n.Tk, j->b, j->i0 + i);
            for (size_t k = 0; k < keys; k++)
                if (j0 + k >= span.lo && j0 + k < span.lo + span.n)
                    w[i * W + j0 + k - span.lo] = j->r.s[k * j->width + i];
        }
    }
}

static void forward_block(const job *j, const real *values)
{
    const at_call *c = j->c;
    const room *r = &j->r;
    size_t Dv = j->n.Dv, w = j->width;
    bool drops = c->arg[DROPOUT].number > 0;
    for (size_t i = 0; i < w; i++) {
        r->max[i] = -INFINITY;
        r->sum[i] = 0;
    }
    memset(r->out, 0, Dv * w * sizeof(real));
    pack_queries(j, false);
    for (size_t j0 = j->lo; j0 < j->hi; j0 += KB) {
        size_t keys = j->hi - j0 < KB ? j->hi - j0 : KB;
        scores(j, j0, keys);
        K->attend_softmax(keys, w, r->s, r->max, r->sum, r->factor);
        if (drops)
            drop_tile(j, j0, keys, r->s, r->s);
        if (j0 > j->lo)
            K->attend_rescale(Dv, w, r->factor, r->out);
        K->packed_gemm(Dv, w, keys, values + j0, j->n.Tk, r->s, r->out, w, true);
    }
    real *saved = at_savedp(c, LSE) + (j->b * j->n.H + j->h) * j->n.Tq + j->i0;
    for (size_t i = 0; i < w; i++) {
        bool seen = r->sum[i] > 0 || isnan(r->sum[i]);
        r->factor[i] = seen ? 1 / r->sum[i] : 0;
        r->lse[i] = seen ? r->max[i] + log(r->sum[i]) : INFINITY;
        if (i < j->rows)
            saved[i] = r->lse[i];
    }
    K->attend_rescale(Dv, w, r->factor, r->out);
    real *y = at_outp(c, 0) + ((j->b * j->n.Tq + j->i0) * j->n.H + j->h) * Dv;
    K->transpose(Dv, j->rows, r->out, w, y, j->n.H * Dv);
    if (c->arg[WEIGHTS].flag)
        write_weights(j);
}

static void forward_tasks(size_t begin, size_t end, void *context)
{
    const pass *p = context;
    for (size_t slot = begin; slot < end; slot++) {
        room r = room_at(&p->n, p->slots + slot * p->per_slot);
        /* every AT_SLOTS-th block: with causal order late blocks are long, and neighbours share their keys anyway */
        for (size_t t = slot; t < p->tasks; t += AT_SLOTS) {
            size_t per_head = blocks(p->n.Tq), head = t / per_head;
            job j = job_of(p->c, &p->n, head / p->n.H, head % p->n.H, t % per_head, r);
            forward_block(&j, turned_head(&p->n, p->values, p->n.Dv, j.b, j.h / (p->n.H / p->n.Hk)));
        }
    }
}

static pass pass_of(const at_call *c)
{
    pass p = {.c = c, .n = sizes_of(c)};
    p.per_slot = room_bytes(&p.n);
    p.slots = c->work;
    p.values = (const real *)(const void *)(c->work + AT_SLOTS * p.per_slot);
    p.keys = (const real *)(const void *)(c->work + AT_SLOTS * p.per_slot + turned_bytes(&p.n, p.n.Dv));
    at_for(p.n.B * p.n.Hk, 1, turn_heads, &(turn){c, &p.n, V, (real *)(uintptr_t)p.values});
    return p;
}

static void forward(const at_call *c)
{
    pass p = pass_of(c);
    p.tasks = p.n.B * p.n.H * blocks(p.n.Tq);
    at_for(p.tasks < AT_SLOTS ? p.tasks : AT_SLOTS, 1, forward_tasks, &p);
}

/* ---- backward ---- */

/* Everything of a block that does not depend on the keys: lse, delta, packed q and dy. False if no gradient comes to it. */
static void open_block(job *j)
{
    const at_call *c = j->c;
    const room *r = &j->r;
    size_t Dv = j->n.Dv, first = (j->b * j->n.H + j->h) * j->n.Tq + j->i0;
    const real *lse = at_savedp(c, LSE) + first;
    const real *dy = at_dout(c, 0), *dw = c->n_out > 1 ? at_dout(c, 1) : NULL;
    for (size_t i = 0; i < j->width; i++) {
        r->lse[i] = i < j->rows ? lse[i] : INFINITY;
        r->delta[i] = 0;
    }
    for (size_t i = 0; i < j->rows; i++) {
        size_t row = ((j->b * j->n.Tq + j->i0 + i) * j->n.H + j->h) * Dv;
        if (dy) {
            memcpy(r->rows + i * Dv, dy + row, Dv * sizeof(real));
            r->delta[i] = (real)K->dot(Dv, at_outp(c, 0) + row, dy + row);
        }
        if (dw)
            r->delta[i] += (real)K->dot(j->n.W, at_outp(c, 1) + (first + i) * j->n.W, dw + (first + i) * j->n.W);
    }
    if (dy) {
        K->pack(false, j->rows, Dv, r->rows, Dv, r->packed_dy);
        K->pack(true, Dv, j->rows, r->rows, Dv, r->turned_dy);
    }
    pack_queries(j, true);
}

/* r.s = p and r.dp = ds (times `scale`) of one tile; adds to dv on the way if it is not NULL. */
static void back_tile(const job *j, size_t j0, size_t keys, real *dv)
{
    const at_call *c = j->c;
    const room *r = &j->r;
    size_t w = j->width, Dv = j->n.Dv, hk = j->h / (j->n.H / j->n.Hk);
    bool drops = c->arg[DROPOUT].number > 0;
    const real *dy = at_dout(c, 0), *dw = c->n_out > 1 ? at_dout(c, 1) : NULL;
    scores(j, j0, keys);
    K->attend_weights(keys, w, r->lse, r->s);
    if (dy) {
        if (dv && drops)
            drop_tile(j, j0, keys, r->s, r->dp);
        if (dv)
            K->packed_gemm(keys, Dv, j->rows, drops ? r->dp : r->s, w, r->turned_dy, dv + (j0 * j->n.Hk) * Dv, j->n.Hk * Dv, true);
        K->packed_gemm(keys, w, Dv, head_row(c->in[V], j->b, j0, hk), head_step(c->in[V]), r->packed_dy, r->dp, w, false);
        if (drops)
            drop_tile(j, j0, keys, r->dp, r->dp);
    } else {
        memset(r->dp, 0, keys * w * sizeof(real));
    }
    if (dw)
        for (size_t i = 0; i < j->rows; i++) {
            at_span span = at_span_of(c->in[SPAN], j->n.Tq, j->n.Tk, j->b, j->i0 + i);
            const real *row = dw + ((j->b * j->n.H + j->h) * j->n.Tq + j->i0 + i) * j->n.W;
            for (size_t k = 0; k < keys; k++)
                if (j0 + k >= span.lo && j0 + k < span.lo + span.n)
                    r->dp[k * w + i] += row[j0 + k - span.lo];
        }
    K->attend_back(keys, w, r->s, r->delta, 1, r->dp);
}

/* All queries that read one key head. */
static void backward_tasks(size_t begin, size_t end, void *context)
{
    const pass *p = context;
    const at_call *c = p->c;
    const sizes *n = &p->n;
    size_t group = n->H / n->Hk;
    real *dq = at_din(c, Q), *dk = at_din(c, KEY), *dv = at_din(c, V);
    for (size_t slot = begin; slot < end; slot++)
        for (size_t t = slot; t < p->tasks; t += AT_SLOTS) {
            room r = room_at(n, p->slots + slot * p->per_slot);
            size_t b = t / n->Hk, hk = t % n->Hk;
            const real *keys_turned = turned_head(n, p->keys, n->D, b, hk);
            real *dk_head = dk ? dk + (b * n->Tk * n->Hk + hk) * n->D : NULL;
            real *dv_head = dv ? dv + (b * n->Tk * n->Hk + hk) * n->Dv : NULL;
            for (size_t h = hk * group; h < (hk + 1) * group; h++)
                for (size_t i = 0; i < blocks(n->Tq); i++) {
                    job j = job_of(c, n, b, h, i, r);
                    if (j.lo >= j.hi)
                        continue;
                    open_block(&j);
                    memset(r.out, 0, n->D * j.width * sizeof(real));
                    for (size_t j0 = j.lo; j0 < j.hi; j0 += KB) {
                        size_t keys = j.hi - j0 < KB ? j.hi - j0 : KB;
                        back_tile(&j, j0, keys, dv_head);
                        if (dk)         /* the packed queries carry the scale */
                            K->packed_gemm(keys, n->D, j.rows, r.dp, j.width, r.turned_q, dk_head + j0 * n->Hk * n->D, n->Hk * n->D,
                                           true);
                        if (dq)
                            K->packed_gemm(n->D, j.width, keys, keys_turned + j0, n->Tk, r.dp, r.out, j.width, true);
                    }
                    if (!dq)
                        continue;
                    real scale = (real)c->arg[SCALE].number;
                    K->transpose(n->D, j.rows, r.out, j.width, r.rows, n->D);
                    for (size_t row = 0; row < j.rows; row++)
                        K->axpy(n->D, scale, r.rows + row * n->D, dq + ((b * n->Tq + j.i0 + row) * n->H + h) * n->D);
                }
        }
}

/* Gradient of the bias: a task is one row block of one part of the bias; the heads and rows that share it follow in order. */
static void bias_tasks(size_t begin, size_t end, void *context)
{
    const pass *p = context;
    const at_call *c = p->c;
    const sizes *n = &p->n;
    const at_tensor *bias = c->in[BIAS];
    real *db = at_din(c, BIAS);
    size_t per = bias->size[2] > 1 ? blocks(n->Tq) : 1;
    for (size_t slot = begin; slot < end; slot++)
        for (size_t t = slot; t < p->tasks; t += AT_SLOTS) {
            room r = room_at(n, p->slots + slot * p->per_slot);
            size_t part = t / per, bb = part / bias->size[1], hh = part % bias->size[1];
            for (size_t b = 0; b < n->B; b++)
                for (size_t h = 0; h < n->H; h++) {
                    if ((bias->size[0] > 1 && b != bb) || (bias->size[1] > 1 && h != hh))
                        continue;
                    for (size_t i = bias->size[2] > 1 ? t % per : 0; i < (bias->size[2] > 1 ? t % per + 1 : blocks(n->Tq)); i++) {
                        job j = job_of(c, n, b, h, i, r);
                        if (j.lo >= j.hi)
                            continue;
                        open_block(&j);
                        for (size_t j0 = j.lo; j0 < j.hi; j0 += KB) {
                            size_t keys = j.hi - j0 < KB ? j.hi - j0 : KB;
                            back_tile(&j, j0, keys, NULL);
                            for (size_t row = 0; row < j.rows; row++) {
                                real *to = db + shared_row(bias, b, h, j.i0 + row) + j0;
                                for (size_t k = 0; k < keys; k++)
                                    to[k] += r.dp[k * j.width + row];
                            }
                        }
                    }
                }
        }
}

static void backward(const at_call *c)
{
    pass p = pass_of(c);
    at_for(p.n.B * p.n.Hk, 1, turn_heads, &(turn){c, &p.n, KEY, (real *)(uintptr_t)p.keys});
    p.tasks = p.n.B * p.n.Hk;
    if (at_din(c, Q) || at_din(c, KEY) || at_din(c, V))
        at_for(p.tasks < AT_SLOTS ? p.tasks : AT_SLOTS, 1, backward_tasks, &p);
    if (c->in[BIAS] && at_din(c, BIAS)) {
        const at_tensor *bias = c->in[BIAS];
        p.tasks = bias->size[0] * bias->size[1] * (bias->size[2] > 1 ? blocks(p.n.Tq) : 1);
        at_for(p.tasks < AT_SLOTS ? p.tasks : AT_SLOTS, 1, bias_tasks, &p);
    }
}

AT_OP(attend,
    .args = {{"query", AT_FLOAT}, {"key", AT_FLOAT}, {"value", AT_FLOAT}, {"bias", AT_FLOAT, .optional = true},
             {"mask", AT_MASK, .optional = true}, {"key_mask", AT_MASK, .optional = true}, {"span", AT_IDS, .optional = true},
             {"scale", AT_NUMBER}, {"offset", AT_INTEGER}, {"alibi", AT_INTEGER}, {"dropout", AT_NUMBER}, {"weights", AT_FLAG}},
    .shape = shape, .forward = forward, .backward = backward, .outs = 2, .internal = true,
    .help = "attend(query, key, value, bias, mask, key_mask, span, scale, offset, alibi, dropout, weights) -> y, w\n"
            "Softmax attention over products, tile by tile.");
