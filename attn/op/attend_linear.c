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
 * O((Tq + Tk) D E); S is computed again for the backward pass, a place keeps its z only. Key j (`offset` more in the
 * whole sequence) takes part if it is below the row's length and not masked; the others are not read. One key head
 * of one row of the batch has one writer, so sums have one order.
 */
#include <string.h>

#include "attn/core/parallel.h"
#include "attn/core/rows.h"
#include "attn/kernel/kernel.h"

enum { Q, KEY, V, STATE, LENGTHS, KEY_MASK };
enum { CAUSAL, OFFSET };

typedef struct job {
    const at_call *c;
    size_t B, Tq, Tk, H, Hk, D, E, group;
    bool causal;
    size_t blocks, slot;        /* of scratch; a slot in numbers */
} job;

static size_t slot_of(size_t D, size_t E) { return 2 * D * (E + 1) + 2 * D + 2 * (E + 1) + 16; }

static job job_of(const at_call *c)
{
    const at_tensor *q = c->in[Q], *k = c->in[KEY], *v = c->in[V];
    job s = {.c = c, .B = q->size[0], .Tq = q->size[1], .H = q->size[2], .D = q->size[3], .Tk = k->size[1],
             .Hk = k->size[2], .E = v->size[3], .group = q->size[2] / k->size[2], .causal = c->arg[CAUSAL].flag};
    s.slot = slot_of(s.D, s.E);
    s.blocks = s.B * s.Hk < AT_SLOTS ? s.B * s.Hk : AT_SLOTS;
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
    at_want_scratch(c, AT_SLOTS * slot_of(q->size[3], v->size[3]) * sizeof(real));
    return at_out(c, 4, (size_t[]){q->size[0], q->size[1], q->size[2], v->size[3]}) && at_out(c, 4, size) &&
           (!at_recording(c) || at_save(c, at_call_dtype(c), q->size[0] * q->size[1] * q->size[2]));
}

static bool there(const job *s, size_t b, size_t j)
{
    const at_tensor *lengths = s->c->in[LENGTHS], *mask = s->c->in[KEY_MASK];
    return (!lengths || s->c->arg[OFFSET].integer + (int64_t)j < at_ids(lengths)[b]) &&
           (!mask || mask->data[b * s->Tk + j]);
}

/* elu(x) + 1 = exp(x) or x + 1; and dx += dy phi'(x), phi' = phi or 1. */
static void phi(size_t n, const real *x, real *y)
{
    K->vexp(n, x, y);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] < 0 ? y[i] : x[i] + 1;
}

static void phi_back(size_t n, const real *x, const real *y, const real *dy, real *dx)
{
    for (size_t i = 0; i < n; i++)
        dx[i] += x[i] < 0 ? dy[i] * y[i] : dy[i];
}

static size_t query_at(const job *s, size_t b, size_t i, size_t h) { return (b * s->Tq + i) * s->H + h; }
static size_t key_at(const job *s, size_t b, size_t j, size_t hk) { return (b * s->Tk + j) * s->Hk + hk; }

/* S += phi(k_j) [v_j; 1]' */
static void add_key(const job *s, size_t b, size_t j, size_t hk, real *S, real *p)
{
    const real *v = at_in(s->c, V) + key_at(s, b, j, hk) * s->E;
    if (!there(s, b, j))
        return;
    phi(s->D, at_in(s->c, KEY) + key_at(s, b, j, hk) * s->D, p);
    for (size_t d = 0; d < s->D; d++) {
        real *row = S + d * (s->E + 1);
        if (p[d] == 0)
            continue;
        K->axpy(s->E, p[d], v, row);
        row[s->E] += p[d];
    }
}

static void begin_state(const job *s, size_t p, real *S)
{
    size_t n = s->D * (s->E + 1);
    if (s->c->in[STATE])
        memcpy(S, at_in(s->c, STATE) + p * n, n * sizeof(real));
    else
        memset(S, 0, n * sizeof(real));
}

/* [n; z] = S' phi(q) */
static void read_state(const job *s, const real *S, const real *p, real *out)
{
    memset(out, 0, (s->E + 1) * sizeof(real));
    for (size_t d = 0; d < s->D; d++)
        K->axpy(s->E + 1, p[d], S + d * (s->E + 1), out);
}

static void forward_head(const job *s, size_t p, real *S)
{
    size_t b = p / s->Hk, hk = p % s->Hk, n = s->D * (s->E + 1), seen = 0;
    real *f = S + 2 * n, *out = f + 2 * s->D;

    begin_state(s, p, S);
    for (size_t i = 0; i < s->Tq; i++) {
        size_t until = s->causal && i + 1 < s->Tk ? i + 1 : s->Tk;
        while (seen < until)
            add_key(s, b, seen++, hk, S, f);
        for (size_t r = 0; r < s->group; r++) {
            size_t at = query_at(s, b, i, hk * s->group + r);
            phi(s->D, at_in(s->c, Q) + at * s->D, f);
            read_state(s, S, f, out);
            real *c = at_outp(s->c, 0) + at * s->E, z = out[s->E];
            if (s->c->n_saved)
                at_savedp(s->c, 0)[at] = z;
            if (z == 0)
                memset(c, 0, s->E * sizeof(real));
            else
                K->scale(s->E, 1 / z, out, c);
        }
    }
    while (seen < s->Tk)
        add_key(s, b, seen++, hk, S, f);
    memcpy(at_outp(s->c, 1) + p * n, S, n * sizeof(real));
}

static void heads(size_t begin, size_t end, const job *s, void (*fn)(const job *s, size_t p, real *S))
{
    size_t count = s->B * s->Hk;
    for (size_t block = begin; block < end; block++)
        for (size_t p = count * block / s->blocks; p < count * (block + 1) / s->blocks; p++)
            fn(s, p, (real *)(void *)s->c->work + block * s->slot);
}

static void forward_block(size_t begin, size_t end, void *context) { heads(begin, end, context, forward_head); }

static void forward(const at_call *c)
{
    job s = job_of(c);
    at_for(s.blocks, 1, forward_block, &s);
}

/* ---- backward ---- */

/* What a query gives back: dq from S (NULL: not now), and its share of R (NULL: not now). */
static void query_back(const job *s, size_t at, const real *S, real *R, real *work)
{
    const at_call *c = s->c;
    real *f = work, *df = f + s->D, *g = df + s->D, z = at_savedp(c, 0)[at];
    const real *q = at_in(c, Q) + at * s->D, *dc = at_dout(c, 0) + at * s->E;
    if (z == 0)
        return;
    phi(s->D, q, f);
    K->scale(s->E, 1 / z, dc, g);
    g[s->E] = -(real)K->dot(s->E, g, at_outp(c, 0) + at * s->E);
    if (S && at_din(c, Q)) {
        for (size_t d = 0; d < s->D; d++)
            df[d] = (real)K->dot(s->E + 1, S + d * (s->E + 1), g);
        phi_back(s->D, q, f, df, at_din(c, Q) + at * s->D);
    }
    for (size_t d = 0; R && d < s->D; d++)
        K->axpy(s->E + 1, f[d], g, R + d * (s->E + 1));
}

static void key_back(const job *s, size_t b, size_t j, size_t hk, const real *R, real *work)
{
    const at_call *c = s->c;
    real *f = work, *df = f + s->D, *out = df + s->D;
    size_t at = key_at(s, b, j, hk);
    const real *k = at_in(c, KEY) + at * s->D, *v = at_in(c, V) + at * s->E;
    if (!there(s, b, j))
        return;
    phi(s->D, k, f);
    if (at_din(c, KEY)) {
        for (size_t d = 0; d < s->D; d++)
            df[d] = (real)K->dot(s->E, R + d * (s->E + 1), v) + R[d * (s->E + 1) + s->E];
        phi_back(s->D, k, f, df, at_din(c, KEY) + at * s->D);
    }
    if (at_din(c, V)) {
        read_state(s, R, f, out);
        K->acc(s->E, out, at_din(c, V) + at * s->E);
    }
}

static void backward_head(const job *s, size_t p, real *S)
{
    const at_call *c = s->c;
    size_t b = p / s->Hk, hk = p % s->Hk, n = s->D * (s->E + 1), seen = 0, after = s->Tk;
    real *R = S + n, *work = R + n;

    if (at_dout(c, 1))
        memcpy(R, at_dout(c, 1) + p * n, n * sizeof(real));
    else
        memset(R, 0, n * sizeof(real));
    if (at_dout(c, 0)) {
        /* the queries in order, S growing with them */
        begin_state(s, p, S);
        for (size_t i = 0; i < s->Tq; i++) {
            for (size_t until = s->causal && i + 1 < s->Tk ? i + 1 : s->Tk; seen < until; seen++)
                add_key(s, b, seen, hk, S, work);
            for (size_t r = 0; r < s->group; r++)
                query_back(s, query_at(s, b, i, hk * s->group + r), S, s->causal ? NULL : R, work);
        }
    }
    if (at_dout(c, 0) && s->causal) {
        /* and backwards, R growing: first the keys that no query sees */
        for (; after > s->Tq; after--)
            key_back(s, b, after - 1, hk, R, work);
        for (size_t i = s->Tq; i-- > 0;) {
            for (size_t r = 0; r < s->group; r++)
                query_back(s, query_at(s, b, i, hk * s->group + r), NULL, R, work);
            if (i < after)
                key_back(s, b, i, hk, R, work);
        }
        after = 0;
    }
    for (; after > 0; after--)
        key_back(s, b, after - 1, hk, R, work);
    if (c->in[STATE] && at_din(c, STATE))
        K->acc(n, R, at_din(c, STATE) + p * n);
}

static void backward_block(size_t begin, size_t end, void *context) { heads(begin, end, context, backward_head); }

static void backward(const at_call *c)
{
    job s = job_of(c);
    at_for(s.blocks, 1, backward_block, &s);
}

AT_OP(attend_linear,
    .args = {{"q", AT_FLOAT}, {"k", AT_FLOAT}, {"v", AT_FLOAT}, {"state", AT_FLOAT, .optional = true},
             {"lengths", AT_IDS, .optional = true}, {"key_mask", AT_MASK, .optional = true},
             {"causal", AT_FLAG}, {"offset", AT_INTEGER}},
    .shape = shape, .forward = forward, .backward = backward, .outs = 2, .internal = true,
    .keeps = AT_KEEP(Q) | AT_KEEP(KEY) | AT_KEEP(V) | AT_KEEP(STATE) | AT_KEEP(LENGTHS) | AT_KEEP(KEY_MASK) |
             AT_KEEP_OUT(0),
    .help = "attend_linear(q [B, Tq, H, D], k, v [, state, lengths, key_mask], causal, offset) -> context, state\n"
            "Attention with weights phi(q) . phi(k) in linear time.");
