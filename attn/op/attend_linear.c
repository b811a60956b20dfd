/*
 * attend_linear: attention without a matrix of weights                          (Katharopoulos et al. 2020)
 *
 *   q      [B, Tq, H, D]    k  [B, Tk, Hk, D]    v  [B, Tk, Hk, E]    state  [B, Hk, D, E + 1] or none
 *   c      [B, Tq, H, E]    next  [B, Hk, D, E + 1]: state with the keys of this call
 *
 *   S = state + sum_j phi(k_j) [v_j; 1]',  phi = elu + 1      all keys, or those up to the query's own place
 *   [n_i; z_i] = S' phi(q_i)    c_i = n_i / z_i, 0 where z is 0 (no key)
 *
 * and backwards, with g_i = [dc_i / z_i; -<dc_i, c_i> / z_i]:
 *   dphi(q_i) = S_i g_i    R_j = dnext + sum_i phi(q_i) g_i' over queries that see key j    dphi(k_j) = R_j [v_j; 1]
 *   dv_j = first E of R_j' phi(k_j)    dstate = R over all queries
 *
 * Places are taken in chunks, so that all of it is products of matrices. With Q, K the features of a chunk and M what
 * causal order leaves of a square (query not before key):
 *   N = Q S + M(Q K') V    S += K' [V, 1]                                             up, forward
 *   dQ = G S' + M(G [V, 1]') K    S += K' [V, 1]                                      up
 *   dK = [V, 1] R' + M(G [V, 1]')' Q    dV = K R + M(Q K')' G    R += Q' G            down
 *
 * O((Tq + Tk) D E); S is computed again for the backward pass, a place keeps its z only and nothing is kept of chunks.
 * Key j (`offset` more in the whole sequence) takes part if it is below the row's length and not masked; the others are
 * not read. Keys and values that are not finite reach no query before them: 0 times NaN would, where M leaves zeros, so
 * a chunk with such keys is taken place by place. One key head of one row of the batch has one writer, so sums have one
 * order.
 */
#include <math.h>
#include <string.h>

#include "attn/op/attend.h"
#include "attn/core/parallel.h"
#include "attn/op/rows.h"
#include "attn/kernel/map.h"
#include "attn/kernel/pack.h"
#include "attn/kernel/reduce.h"

enum { Q, KEY, V, STATE, LENGTHS, KEY_MASK };
enum { CAUSAL, OFFSET };

enum {
    CHUNK = 64,        /* places */
    CAUSAL_CHUNK = 32, /* the same in causal order, where pairs cost: fastest of 32 .. 128 for D = 64 and 256 */
    STRIP = 16         /* places that M takes or leaves out together */
};

typedef struct job {
    const at_call *c;
    size_t B, Tq, Tk, H, Hk, D, E, group;
    bool causal;
    size_t L;            /* places of a chunk */
    size_t blocks, slot; /* of scratch; a slot in numbers */
} job;

/* Scratch of one slot. Turned is one place per column, rows L apart. */
typedef struct room {
    real *one;          /* [L] */
    real *fk, *v, *sum; /* phi(k) [L, D], v [L, E] if keys are masked, sums of both [D + E] */
    real *fq, *fqt;     /* phi(q) [L, D], turned [D, L] */
    real *a;            /* a query and a key each, turned [L, L] */
    real *z, *zs;       /* [L]; last column of S [D] */
    real *g, *gt;       /* g but for its last number [L, E]; turned [E + 1, L] */
    real *st, *rt, *r;  /* S' and R' [E + 1, D], R without its last column [D, E] */
    real *df, *dv;      /* dphi [L, D], dv [L, E] */
} room;

/* Numbers in a slot, laid out from `at` on if that is not NULL. */
static size_t lay_out(const job *s, bool back, real *at, room *r)
{
    size_t L = s->L, D = s->D, E = s->E, used = 0, attend_linear_forward = 9; /* parts */
    const struct {
        real **to;
        size_t n;
    } part[] = {{&r->one, L},          {&r->fk, L * D},  {&r->v, L * E},        {&r->sum, D + E},
                {&r->fq, L * D},       {&r->fqt, L * D}, {&r->a, L * L},        {&r->z, L},
                {&r->zs, D},           {&r->g, L * E},   {&r->gt, (E + 1) * L}, {&r->st, (E + 1) * D},
                {&r->rt, (E + 1) * D}, {&r->r, D * E},   {&r->df, L * D},       {&r->dv, L * E}};
    for (size_t i = 0; i < (back ? sizeof part / sizeof *part : attend_linear_forward); i++) {
        if (at)
            *part[i].to = at + used;
        used += (part[i].n + 15) / 16 * 16;
    }
    return used;
}

static job job_of(const at_call *c, bool back)
{
    const at_tensor *q = c->in[Q], *k = c->in[KEY], *v = c->in[V];
    job s = {.c = c,
             .B = q->size[0],
             .Tq = q->size[1],
             .H = q->size[2],
             .D = q->size[3],
             .Tk = k->size[1],
             .Hk = k->size[2],
             .E = v->size[3],
             .group = q->size[2] / k->size[2],
             .causal = c->arg[CAUSAL].flag};
    room none;
    size_t places = at_max_size(at_max_size(s.Tq, s.Tk), 1), chunk = s.causal ? CAUSAL_CHUNK : CHUNK;
    s.L = places < chunk ? (places + 15) / 16 * 16 : chunk;
    s.slot = lay_out(&s, back, NULL, &none);
    s.blocks = at_min_size(s.B * s.Hk, AT_SLOTS);
    return s;
}

static bool shape(at_call *c)
{
    const at_tensor *q = c->in[Q], *k = c->in[KEY], *v = c->in[V], *state = c->in[STATE];
    if (q->ndim != 4 || k->ndim != 4 || v->ndim != 4 || q->size[0] != k->size[0] || q->size[0] != v->size[0] ||
        k->size[1] != v->size[1] || q->size[3] != k->size[3] || k->size[2] != v->size[2] || k->size[2] == 0 ||
        q->size[2] % k->size[2] != 0)
        return at_fail(c, "q, k and v do not fit (q: %s, k: %s, v: %s)", at_describe(q).text, at_describe(k).text,
                       at_describe(v).text);
    size_t size[] = {q->size[0], k->size[2], q->size[3], v->size[3] + 1};
    if (state && (state->ndim != 4 || memcmp(state->size, size, sizeof size) != 0))
        return at_fail(c, "state is %s, expected %s", at_describe(state).text, at_describe_shape(4, size).text);
    if ((c->in[LENGTHS] && (c->in[LENGTHS]->ndim != 1 || c->in[LENGTHS]->size[0] != q->size[0])) ||
        (c->in[KEY_MASK] && (c->in[KEY_MASK]->ndim != 2 || c->in[KEY_MASK]->size[0] != q->size[0] ||
                             c->in[KEY_MASK]->size[1] != k->size[1])))
        return at_fail(c, "lengths or key_mask do not fit (k: %s)", at_describe(k).text);
    job s = job_of(c, at_recording(c));
    at_want_scratch(c, s.blocks * s.slot * sizeof(real));
    return at_out(c, 4, (size_t[]){q->size[0], q->size[1], q->size[2], v->size[3]}) && at_out(c, 4, size) &&
           (!at_recording(c) || at_save(c, at_call_dtype(c), q->size[0] * q->size[1] * q->size[2]));
}

static bool there(const job *s, size_t b, size_t j)
{
    const at_tensor *lengths = s->c->in[LENGTHS], *mask = s->c->in[KEY_MASK];
    return (!lengths || s->c->arg[OFFSET].integer + (int64_t)j < at_ids(lengths)[b]) &&
           (!mask || mask->data[b * s->Tk + j]);
}

static size_t query_at(const job *s, size_t b, size_t i, size_t h) { return (b * s->Tq + i) * s->H + h; }
static size_t key_at(const job *s, size_t b, size_t j, size_t hk) { return (b * s->Tk + j) * s->Hk + hk; }

/* ---- chunks ---- */

/* One key head of one row of the batch. */
typedef struct head {
    const job *s;
    size_t b, hk;
    real *S; /* forward: [D, E] in rows of E + 1 */
    room r;
} head;

/* Queries place .. place + queries - 1, and as many keys. */
typedef struct chunk {
    size_t place, queries, keys;
    const real *v; /* of its keys, rows ldv apart */
    size_t ldv;
    bool all; /* no key among them is masked */
    bool there[CHUNK];
} chunk;

/* Features of the keys and their sum; values where they stand, or a copy if some may not be read. */
static void open_keys(const head *h, chunk *c)
{
    const job *s = h->s;
    size_t D = s->D, E = s->E, last = 0, count = 0, at = key_at(s, h->b, c->place, h->hk);
    const real *k = at_in(s->c, KEY) + at * D, *v = at_in(s->c, V) + at * E;
    for (size_t j = 0; j < c->keys; j++) {
        c->there[j] = there(s, h->b, c->place + j);
        if (c->there[j])
            last = j + 1, count++;
    }
    c->keys = last;
    c->all = count == last;
    c->v = c->all ? v : h->r.v;
    c->ldv = c->all ? s->Hk * E : E;
    for (size_t j = 0; j < last; j++) {
        if (c->there[j])
            K->map->vphi(D, k + j * s->Hk * D, h->r.fk + j * D);
        else
            memset(h->r.fk + j * D, 0, D * sizeof(real));
        if (c->there[j] && !c->all)
            memcpy(h->r.v + j * E, v + j * s->Hk * E, E * sizeof(real));
        else if (!c->all)
            memset(h->r.v + j * E, 0, E * sizeof(real));
    }
    K->product->tile_gemm(false, 1, D, last, h->r.one, s->L, h->r.fk, D, h->r.sum, D, false);
}

/* Sums that overflow count as not finite, which costs time only. */
static bool finite_keys(const head *h, const chunk *c)
{
    size_t D = h->s->D, E = h->s->E;
    K->product->tile_gemm(false, 1, E, c->keys, h->r.one, h->s->L, c->v, c->ldv, h->r.sum + D, E, false);
    return isfinite(K->reduce->sum(D + E, h->r.sum));
}

typedef void visitor(const head *h, const chunk *c);

static void visit(const head *h, bool up, size_t place, size_t queries, size_t keys, visitor *fn)
{
    chunk c = {.place = place, .queries = queries, .keys = keys};
    size_t places = at_max_size(queries, keys);
    open_keys(h, &c);
    if (places == 1 || queries == 0 || c.keys == 0 || finite_keys(h, &c)) {
        fn(h, &c);
        return;
    }
    for (size_t n = 0; n < places; n++) {
        size_t i = up ? n : places - 1 - n;
        chunk one = {.place = place + i, .queries = i < queries, .keys = i < keys};
        open_keys(h, &one);
        fn(h, &one);
    }
}

/* Chunk after chunk, up or down. Without causal order those of keys come before (going up) those of queries. */
static void walk(const head *h, bool up, visitor *fn)
{
    size_t L = h->s->L, Tq = h->s->Tq, Tk = h->s->Tk;
    for (int half = h->s->causal; half < 2; half++) {
        bool queries = h->s->causal || (half == 1) == up, keys = h->s->causal || !queries;
        size_t end = at_max_size(queries ? Tq : 0, keys ? Tk : 0), chunks = at_ratio(end, L);
        for (size_t n = 0; n < chunks; n++) {
            size_t place = (up ? n : chunks - 1 - n) * L;
            visit(h, up, place, queries && place < Tq ? at_min_size(Tq - place, L) : 0,
                  keys && place < Tk ? at_min_size(Tk - place, L) : 0, fn);
        }
    }
}

/* a [keys, queries] (+)= x y where the query is not before the key, else 0; x [keys, n], y turned [n, queries] */
static void pairs(const head *h, const chunk *c, size_t n, const real *x, size_t ldx, const real *y, bool accumulate)
{
    size_t L = h->s->L;
    real *a = h->r.a;
    for (size_t j = 0; j < c->keys && j < c->queries; j += STRIP)
        K->product->tile_gemm(false, at_min_size(c->keys - j, STRIP), c->queries - j, n, x + j * ldx, ldx, y + j, L,
                              a + j * L + j, L, accumulate);
    for (size_t j = 1; j < c->keys; j++)
        memset(a + j * L, 0, at_min_size(j, c->queries) * sizeof(real));
}

/* y [queries, n] += a' x, x [keys, n] */
static void give_queries(const head *h, const chunk *c, size_t n, const real *x, size_t ldx, real *y, size_t ldy)
{
    for (size_t i = 0; i < c->queries; i += STRIP)
        K->product->tile_gemm(true, at_min_size(c->queries - i, STRIP), n, at_min_size(c->keys, i + STRIP), h->r.a + i,
                              h->s->L, x, ldx, y + i * ldy, ldy, true);
}

/* y [keys, n] += a x, x [queries, n] */
static void give_keys(const head *h, const chunk *c, size_t n, const real *x, size_t ldx, real *y, size_t ldy)
{
    for (size_t j = 0; j < c->keys && j < c->queries; j += STRIP)
        K->product->tile_gemm(false, at_min_size(c->keys - j, STRIP), n, c->queries - j, h->r.a + j * h->s->L + j,
                              h->s->L, x + j * ldx, ldx, y + j * ldy, ldy, true);
}

/* Features of the queries of head q (of those that read this key head); turned as well if asked for. */
static void open_queries(const head *h, const chunk *c, size_t first, bool turned)
{
    const job *s = h->s;
    size_t D = s->D;
    for (size_t i = 0; i < c->queries; i++)
        K->map->vphi(D, at_in(s->c, Q) + (first + i * s->H) * D, h->r.fq + i * D);
    if (turned)
        K->pack->transpose(c->queries, D, h->r.fq, D, h->r.fqt, s->L);
}

static void heads(size_t begin, size_t end, const job *s, bool back, void (*fn)(head *h, size_t p))
{
    size_t count = s->B * s->Hk;
    for (size_t block = begin; block < end; block++)
        for (size_t p = count * block / s->blocks; p < count * (block + 1) / s->blocks; p++) {
            head h = {.s = s, .b = p / s->Hk, .hk = p % s->Hk};
            lay_out(s, back, (real *)(void *)s->c->work + block * s->slot, &h.r);
            K->map->fill(s->L, 1, h.r.one);
            fn(&h, p);
        }
}

/* ---- forward ---- */

static void forward_chunk(const head *h, const chunk *c)
{
    const job *s = h->s;
    const room *r = &h->r;
    size_t D = s->D, E = s->E, L = s->L;
    for (size_t m = 0; m < s->group && c->queries > 0; m++) {
        size_t first = query_at(s, h->b, c->place, h->hk * s->group + m);
        real *y = at_outp(s->c, 0) + first * E;
        open_queries(h, c, first, true);
        K->product->tile_gemm(true, c->queries, E, D, r->fqt, L, h->S, E + 1, y, s->H * E, false);
        K->product->tile_gemm(false, 1, c->queries, D, r->zs, D, r->fqt, L, r->z, L, false);
        if (c->keys > 0) {
            pairs(h, c, D, r->fk, D, r->fqt, false);
            give_queries(h, c, E, c->v, c->ldv, y, s->H * E);
            K->product->tile_gemm(false, 1, c->queries, c->keys, r->one, L, r->a, L, r->z, L, true);
        }
        for (size_t i = 0; i < c->queries; i++, y += s->H * E) {
            if (s->c->n_saved)
                at_savedp(s->c, 0)[first + i * s->H] = r->z[i];
            if (r->z[i] == 0)
                memset(y, 0, E * sizeof(real));
            else
                K->map->scale(E, 1 / r->z[i], y, y);
        }
    }
    K->product->tile_gemm(true, D, E, c->keys, r->fk, D, c->v, c->ldv, h->S, E + 1, true);
    K->map->acc(D, r->sum, r->zs);
}

/* S grows where the next state stands; its last column, which would break every product's columns, aside. */
static void forward_head(head *h, size_t p)
{
    const at_call *c = h->s->c;
    size_t D = h->s->D, E = h->s->E, n = D * (E + 1);
    h->S = at_outp(c, 1) + p * n;
    if (c->in[STATE])
        memcpy(h->S, at_in(c, STATE) + p * n, n * sizeof(real));
    else
        memset(h->S, 0, n * sizeof(real));
    for (size_t d = 0; d < D; d++)
        h->r.zs[d] = h->S[d * (E + 1) + E];
    walk(h, true, forward_chunk);
    for (size_t d = 0; d < D; d++)
        h->S[d * (E + 1) + E] = h->r.zs[d];
}

static void forward_block(size_t begin, size_t end, void *context) { heads(begin, end, context, false, forward_head); }

static void attend_linear_forward(const at_call *c)
{
    job s = job_of(c, false);
    at_for(s.blocks, 1, forward_block, &s);
}

/* ---- backward ---- */

/* g of the queries, 0 for those without a key, whose z is 0. */
static void open_gradients(const head *h, const chunk *c, size_t first)
{
    const job *s = h->s;
    size_t E = s->E, L = s->L;
    real *last = h->r.gt + E * L;
    for (size_t i = 0; i < c->queries; i++) {
        size_t at = first + i * s->H;
        real *g = h->r.g + i * E, z = at_savedp(s->c, 0)[at];
        last[i] = 0;
        if (z == 0) {
            memset(g, 0, E * sizeof(real));
            continue;
        }
        K->map->scale(E, 1 / z, at_dout(s->c, 0) + at * E, g);
        last[i] = -(real)K->reduce->dot(E, g, at_outp(s->c, 0) + at * E);
    }
    K->pack->transpose(c->queries, E, h->r.g, E, h->r.gt, L);
}

/* a = [v; 1] g: what a feature of a key and one of a query give each other */
static void weigh_gradients(const head *h, const chunk *c)
{
    for (size_t j = 0; j < c->keys; j++)
        memcpy(h->r.a + j * h->s->L, h->r.gt + h->s->E * h->s->L, c->queries * sizeof(real));
    pairs(h, c, h->s->E, c->v, c->ldv, h->r.gt, true);
}

/* Up, S growing: dq. */
static void back_queries(const head *h, const chunk *c)
{
    const job *s = h->s;
    const room *r = &h->r;
    size_t D = s->D, E = s->E;
    for (size_t m = 0; m < s->group && c->queries > 0; m++) {
        size_t first = query_at(s, h->b, c->place, h->hk * s->group + m);
        open_queries(h, c, first, false);
        open_gradients(h, c, first);
        K->product->tile_gemm(true, c->queries, D, E + 1, r->gt, s->L, r->st, D, r->df, D, false);
        if (c->keys > 0) {
            weigh_gradients(h, c);
            give_queries(h, c, D, r->fk, D, r->df, D);
        }
        for (size_t i = 0; i < c->queries; i++)
            if (at_savedp(s->c, 0)[first + i * s->H] != 0)
                K->map->vphi_back(D, NULL, r->fq + i * D, r->df + i * D, at_din(s->c, Q) + (first + i * s->H) * D);
    }
    K->product->tile_gemm(true, E, D, c->keys, c->v, c->ldv, r->fk, D, r->st, D, true);
    K->map->acc(D, r->sum, r->st + E * D);
}

/* Down, R growing: dk, dv. */
static void back_keys(const head *h, const chunk *c)
{
    const job *s = h->s;
    const room *r = &h->r;
    size_t D = s->D, E = s->E, at = key_at(s, h->b, c->place, h->hk), lddv = c->all ? s->Hk * E : E;
    real *dk = at_din(s->c, KEY), *to = at_din(s->c, V), *dv = to && c->all ? to + at * E : r->dv;
    if (dk && c->keys > 0) {
        for (size_t j = 0; j < c->keys; j++)
            memcpy(r->df + j * D, r->rt + E * D, D * sizeof(real));
        K->product->tile_gemm(false, c->keys, D, E, c->v, c->ldv, r->rt, D, r->df, D, true);
    }
    if (to && c->keys > 0) {
        K->pack->transpose(E, D, r->rt, D, r->r, E);
        K->product->tile_gemm(false, c->keys, E, D, r->fk, D, r->r, E, dv, lddv, c->all);
    }
    for (size_t m = 0; m < s->group && c->queries > 0 && at_dout(s->c, 0); m++) {
        size_t first = query_at(s, h->b, c->place, h->hk * s->group + m);
        open_queries(h, c, first, to && c->keys > 0);
        open_gradients(h, c, first);
        if (to && c->keys > 0) {
            pairs(h, c, D, r->fk, D, r->fqt, false);
            give_keys(h, c, E, r->g, E, dv, lddv);
        }
        if (dk && c->keys > 0) {
            weigh_gradients(h, c);
            give_keys(h, c, D, r->fq, D, r->df, D);
        }
        K->product->tile_gemm(false, E + 1, D, c->queries, r->gt, s->L, r->fq, D, r->rt, D, true);
    }
    for (size_t j = 0; j < c->keys; j++) {
        if (c->there[j] && dk)
            K->map->vphi_back(D, NULL, r->fk + j * D, r->df + j * D, dk + (at + j * s->Hk) * D);
        if (c->there[j] && to && !c->all)
            K->map->acc(E, r->dv + j * E, to + (at + j * s->Hk) * E);
    }
}

static void turn_in(const head *h, size_t p, const real *x, real *turned)
{
    size_t D = h->s->D, E = h->s->E;
    if (x)
        K->pack->transpose(D, E + 1, x + p * D * (E + 1), E + 1, turned, D);
    else
        memset(turned, 0, D * (E + 1) * sizeof(real));
}

static void backward_head(head *h, size_t p)
{
    const at_call *c = h->s->c;
    size_t D = h->s->D, E = h->s->E, n = D * (E + 1);
    real *dstate = at_din(c, STATE);
    if (at_dout(c, 0) && at_din(c, Q)) {
        turn_in(h, p, c->in[STATE] ? at_in(c, STATE) : NULL, h->r.st);
        walk(h, true, back_queries);
    }
    if (!at_din(c, KEY) && !at_din(c, V) && !dstate)
        return;
    turn_in(h, p, at_dout(c, 1), h->r.rt);
    walk(h, false, back_keys);
    if (dstate) {
        K->pack->transpose(E + 1, D, h->r.rt, D, h->r.st, E + 1);
        K->map->acc(n, h->r.st, dstate + p * n);
    }
}

static void backward_block(size_t begin, size_t end, void *context) { heads(begin, end, context, true, backward_head); }

static void attend_linear_backward(const at_call *c)
{
    job s = job_of(c, true);
    at_for(s.blocks, 1, backward_block, &s);
}

/* Of the products with states. */
static double flops(const at_call *c, bool back)
{
    const at_tensor *q = c->in[Q], *k = c->in[KEY];
    double queries = (double)(q->size[0] * q->size[1] * q->size[2]),
           keys = (double)(k->size[0] * k->size[1] * k->size[2]);
    return 2.0 * (double)q->size[3] * (double)c->in[V]->size[3] * (back ? 2 * queries + 3 * keys : queries + keys);
}

AT_OP(attend_linear,
      .args = {{"q", AT_FLOAT},
               {"k", AT_FLOAT},
               {"v", AT_FLOAT},
               {"state", AT_FLOAT, .optional = true},
               {"lengths", AT_IDS, .optional = true},
               {"key_mask", AT_MASK, .optional = true},
               {"causal", AT_FLAG},
               {"offset", AT_INTEGER}},
      .shape = shape, .flops = flops, .forward = attend_linear_forward, .backward = attend_linear_backward, .outs = 2,
      .internal = true,
      .keeps = AT_KEEP(Q) | AT_KEEP(KEY) | AT_KEEP(V) | AT_KEEP(STATE) | AT_KEEP(LENGTHS) | AT_KEEP(KEY_MASK) |
               AT_KEEP_OUT(0),
      .help = "attend_linear(q [B, Tq, H, D], k, v [, state, lengths, key_mask], causal, offset) -> context, state\n"
              "Attention with weights phi(q) . phi(k) in linear time.");
