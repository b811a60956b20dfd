/*
 * Which way the numbers are made: composed, tiled or linear; decided in one place, at_attend_heads.
 *
 * In order: projections, rotary positions, the score's own preparation, cache; scores by span (op/attend.h); activation; the script's
 * score_mod; biases, distances, masks and distribution; the window's factor; dropout; the weighted sum. With heads, queries are [B, Tq,
 * H, D] and everything runs per head; features of multi-dimensional attention are heads of width 1.
 */
#include "attn/attention/call.h"
#include "attn/core/parallel.h"

#include <stdatomic.h>

/* ---- preparation ---- */

at_tensor *at_attend_project(const at_attend_call *c, at_tensor *x, int k)
{
    const at_attention *a = c->a;
    if (!a->project)
        return x;
    return at_linear(c->g, x, c->l->member[a->projection[k] - 1].tensor,
                     a->projection_bias[k] ? c->l->member[a->projection_bias[k] - 1].tensor : NULL);
}

/* Projection k of x, as heads. */
static at_tensor *split(const at_attend_call *c, at_tensor *x, int k, size_t heads, size_t width)
{
    if (!x)
        return NULL;
    int64_t size[] = {(int64_t)x->size[0], (int64_t)x->size[1], (int64_t)heads, (int64_t)width};
    return at_reshape(c->g, at_attend_project(c, x, k), 4, size);
}

static bool prepare(at_attend_call *c)
{
    const at_attention *a = c->a;
    at_build *g = c->g;
    size_t Hk = a->kv_heads, H = a->heads;

    c->q = split(c, c->query, AT_PROJECT_QUERY, H, a->q);
    c->k = a->score->keyless ? NULL : split(c, c->key, AT_PROJECT_KEY, Hk, a->k);
    c->v = split(c, c->value, AT_PROJECT_VALUE, Hk, a->v);
    if (a->position && a->position->turn) {
        c->q = a->position->turn(g, c->q, c->offset);
        c->k = a->position->turn(g, c->k, c->offset);
    }
    if (a->score->key)
        c->k = a->score->key(g, c->l, c->k);
    c->pair = (at_pair){.kind = a->score->pair, .act = a->score->act, .scale = 1, .query = c->q};
    if (a->score->configure)
        a->score->configure(c->l, a->q, &c->pair);
    if (a->score->query && at_ok(g))
        a->score->query(g, c->l, c->q, c->offset, &c->pair);
    if (!at_ok(g))
        return false;
    size_t most = c->pair.table ? c->pair.table->size[3] : c->Tk;
    if (c->Tk > most)
        return at_refuse(g, "there are %zu keys, but max_keys is %zu (key: %s)", c->Tk, most,
                         at_describe(c->key).text) != NULL;
    if (c->o.cache && !a->score->direct) {
        if (c->k)
            c->k = at_cache_append(g, c->o.cache, AT_CACHE_KEYS, c->k, &c->growth);
        c->v = at_cache_append(g, c->o.cache, AT_CACHE_VALUES, c->v, &c->growth);
    }
    c->pair.key = c->k;
    return at_ok(g);
}

/* ---- paths ---- */

/* [B, T, H, D] as one head. */
static at_tensor *side_by_side(at_build *g, at_tensor *x)
{
    return x ? at_reshape(g, x, 4,
                          (int64_t[]){(int64_t)x->size[0], (int64_t)x->size[1], 1, (int64_t)(x->size[2] * x->size[3])})
             : NULL;
}

/* Additive scores with another activation than tanh: the heads' vectors side by side, then v' of each. */
static at_tensor *activated(at_attend_call *c)
{
    at_build *g = c->g;
    const at_pair *p = &c->pair;
    at_tensor *h = AT_APPLY(
        g, pair_act, .in = {side_by_side(g, p->query), side_by_side(g, p->key), c->span}, .arg = {at_int(p->inner)});
    if (!h)
        return NULL;
    int64_t size[] = {(int64_t)c->B, (int64_t)c->Tq, (int64_t)h->size[2], (int64_t)p->query->size[2],
                      (int64_t)p->query->size[3]};
    at_tensor *e = at_sum(g, at_mul(g, at_reshape(g, h, 5, size), p->v), 5, false); /* [B, Tq, W, H] */
    return at_unary(g, AT_ID_contiguous, at_transpose(g, at_transpose(g, e, 2, 4), 3, 4));
}

/* Scores with their activation: [B, H, Tq, W]; features are heads in multi-dimensional attention. */
static at_tensor *score(at_attend_call *c)
{
    at_build *g = c->g;
    const at_pair *p = &c->pair;
    at_tensor *e;

    if (p->kind == AT_PAIR_ADDITIVE && !c->a->multi && p->inner != AT_ACT_TANH)
        return activated(c);
    if (c->a->multi) {
        at_tensor *h = AT_APPLY(g, pair_act, .in = {p->query, p->key, c->span}, .arg = {at_int(p->inner)});
        e = at_linear(g, h, at_part_param_of(c->l, AT_PART_SCORE, AT_SCORE_OUT),
                      at_part_param_of(c->l, AT_PART_SCORE, AT_SCORE_OUT_BIAS)); /* [B, Tq, W, value] */
        return at_unary(g, AT_ID_contiguous, at_transpose(g, at_transpose(g, e, 2, 4), 3, 4));
    }
    if (p->kind == AT_PAIR_TABLE)
        e = AT_APPLY(g, pair_table, .in = {p->table, c->span}, .arg = {at_int((int64_t)c->B), at_int((int64_t)c->Tk)});
    else
        e = AT_APPLY(g, pair_scores, .in = {p->query, p->key, p->v, c->span},
                     .arg = {at_int(p->kind), at_num(p->scale)});
    if (p->act == AT_ACT_NONE)
        return e;
    return AT_APPLY(g, score_act, .in = {e, p->act_bias}, .arg = {at_int(p->act)});
}

/* Weights from scores by rows of one kind. */
static at_tensor *distribute(at_attend_call *c, at_tensor *e, int row)
{
    const at_part *part = &at_row_kinds[row]->part;
    at_tensor *params[AT_ROW_PARAMS];
    double set[AT_ROW_FIELDS] = {0};
    int count = 0;
    for (; count < AT_ROW_PARAMS && at_part_param_of(c->l, AT_PART_DISTRIBUTION, count); count++)
        params[count] = at_part_param_of(c->l, AT_PART_DISTRIBUTION, count);
    for (int k = 0; k < AT_ROW_FIELDS && part->fields && part->fields[k].name; k++)
        set[k] = at_field_number(&part->fields[k], at_part_setting(c->l, AT_PART_DISTRIBUTION, k));
    int64_t slopes = c->a->position && c->a->position->distance ? (int64_t)c->a->heads : 0;
    return AT_APPLY(
        c->g, attend_rows, .in = {e, c->bias, c->mask, c->o.key_mask, c->span}, .list = params, .count = count,
        .arg = {at_int(row), at_int((int64_t)c->Tk), at_int(c->offset), at_int(slopes), at_flag(c->g->training),
                at_num(set[0]), at_num(set[1])},
        .out = {&c->logp, &c->p});
}

/* Captured tensors of the script's functions, as the end of an operation's inputs. */
static at_tensor *const *captured(const at_attend_call *c, at_tensor **list)
{
    for (size_t k = 0; k < c->a->captured; k++)
        list[k] = c->l->member[c->a->first_captured + k].tensor;
    return list;
}

/* The script's functions where nothing else takes them: a mask of all pairs, then scores from scores. */
static at_tensor *modify(at_attend_call *c, at_tensor *e)
{
    at_build *g = c->g;
    const at_attention *a = c->a;
    at_tensor *list[AT_MAX_CAPTURED];
    int count = (int)a->captured;
    if (a->mask_mod) {
        at_tensor *m = AT_APPLY(g, mask_mod, .in = {a->mask_mod, c->span, c->mask, c->o.key_mask},
                                .list = captured(c, list), .count = count,
                                .arg = {at_int((int64_t)c->B), at_int((int64_t)a->heads), at_int((int64_t)c->Tq),
                                        at_int((int64_t)c->Tk), at_int(c->offset)});
        c->mask = c->mask ? AT_APPLY(g, logical_and, .in = {c->mask, m}) : m;
    }
    if (!a->score_mod)
        return e;
    return AT_APPLY(g, score_mod, .in = {e, c->span, c->mask, c->o.key_mask, a->score_mod, a->score_back},
                    .list = captured(c, list), .count = count, .arg = {at_int((int64_t)c->Tk), at_int(c->offset)});
}

/* Every combination: scores, weights and context one after the other, each by its own operation. */
static at_tensor *composed(at_attend_call *c)
{
    at_build *g = c->g;
    at_tensor *w = distribute(c, modify(c, score(c)), c->a->row);
    if (c->place)
        w = AT_APPLY(g, attend_gauss, .in = {w, c->place, c->span},
                     .arg = {at_int((int64_t)c->Tk), at_num(c->a->window->sigma(c->a->chosen[AT_PART_WINDOW].set))});
    c->weights = w;
    at_tensor *v = c->v;
    if (c->a->multi && v)
        v = at_reshape(g, v, 4, (int64_t[]){(int64_t)c->B, (int64_t)c->Tk, (int64_t)c->a->v, 1});
    return AT_APPLY(g, attend_context, .in = {at_dropout(g, w, c->a->dropout), v, c->span});
}

/* Linear attention: O(Tq + Tk); weights beside it if they are asked for. */
static at_tensor *linear(at_attend_call *c)
{
    at_build *g = c->g;
    at_tensor *more, *mask = c->o.key_mask, *state = c->o.cache ? at_cache_state(c->o.cache) : NULL;
    if (mask && c->offset > 0)
        mask = at_narrow(g, mask, 2, c->offset + 1, (int64_t)c->fresh);
    if (c->offset > 0 && !state)
        return at_refuse(g, "cache holds what another kind of attention put there");
    at_tensor *y = AT_APPLY(g, attend_linear, .in = {c->q, c->k, c->v, state, c->o.lengths, mask},
                            .arg = {at_flag(c->o.causal), at_int(c->offset)}, .out = {&more});
    if (c->o.cache) {
        c->growth.whole[AT_CACHE_KEYS] = more;
        c->growth.length = c->offset + (int64_t)c->fresh;
    }
    if (!c->o.want_weights || !at_ok(g))
        return y;
    at_tensor *one = at_own(g, at_scalar(c->l->dtype, 1, g->error));
    at_tensor *fq = at_add(g, at_unary(g, AT_ID_elu, c->q), one), *fk = at_add(g, at_unary(g, AT_ID_elu, c->k), one);
    at_tensor *e = AT_APPLY(g, pair_scores, .in = {fq, fk, NULL, c->span}, .arg = {at_int(AT_PAIR_DOT), at_num(1)});
    c->weights = distribute(c, e, AT_ROW_proportional);
    return y;
}

enum { FEWEST_QUERIES = 16 }; /* below, a tile is mostly empty lanes */

/* Whether the tiled kernel serves this call: products with softmax, whatever the masks. */
static bool tileable(const at_attend_call *c)
{
    const at_attention *a = c->a;
    return c->o.path == AT_PATH_AUTO && !a->multi && c->pair.kind == AT_PAIR_DOT && c->pair.act == AT_ACT_NONE &&
           c->pair.key && a->row == AT_ROW_softmax && !c->place && c->v && c->Tq >= FEWEST_QUERIES;
}

enum { FINITE_GRAIN = 1 << 16 };

typedef struct zeros {
    const at_tensor *t;
    atomic_bool finite;
} zeros;

/* 0 times a number is 0 unless it is NaN or infinite. Eight sums, so that none waits for another. */
#define SUM_ZEROS(type)                                                                                                \
    do {                                                                                                               \
        const type *x = (const type *)(const void *)z->t->data;                                                        \
        type sum[8] = {0};                                                                                             \
        size_t i = begin;                                                                                              \
        for (; i + 8 <= end; i += 8)                                                                                   \
            for (int k = 0; k < 8; k++)                                                                                \
                sum[k] += 0 * x[i + (size_t)k];                                                                        \
        for (; i < end; i++)                                                                                           \
            sum[0] += 0 * x[i];                                                                                        \
        if (sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7] != 0)                                \
            atomic_store(&z->finite, false);                                                                           \
    } while (0)

static void sum_zeros(size_t begin, size_t end, void *context)
{
    zeros *z = context;
    if (z->t->dtype == AT_F32)
        SUM_ZEROS(float);
    else
        SUM_ZEROS(double);
}

/* A tile multiplies the weight 0 of a key left out by its value: with NaN or infinity there the composed path is taken, which
 * does not read it. */
static bool all_finite(const at_tensor *t)
{
    zeros z = {.t = t, .finite = true};
    if (!at_contiguous(t))
        return false;
    at_for(at_numel(t), FINITE_GRAIN, sum_zeros, &z);
    return z.finite;
}

static at_tensor *tiled(at_attend_call *c)
{
    at_build *g = c->g;
    int64_t slopes = c->a->position && c->a->position->distance ? (int64_t)c->a->heads : 0;
    double p = g->training ? c->a->dropout : 0;
    at_tensor *list[1 + AT_MAX_CAPTURED] = {c->a->score_back};
    captured(c, list + 1);
    return AT_APPLY(
        g, attend,
        .in = {c->pair.query, c->pair.key, c->v, c->bias, c->mask, c->o.key_mask, c->span, c->a->score_mod,
               c->a->mask_mod},
        .list = list, .count = 1 + (int)c->a->captured,
        .arg = {at_num(c->pair.scale), at_int(c->offset), at_int(slopes), at_num(p), at_flag(c->o.want_weights)},
        .out = {&c->weights});
}

/* The one place that chooses how the context is computed: [B, Tq, H, D], and c->weights, c->logp where they are asked for. What the
 * fused paths do not serve, or c->o.path forbids them, is composed. */
at_tensor *at_attend_heads(at_attend_call *c)
{
    if (!prepare(c))
        return NULL;
    if (c->a->score->direct)
        return linear(c);
    bool masked = c->span || c->mask || c->o.key_mask || c->bias || c->a->mask_mod || c->a->score_mod;
    if (tileable(c) && (!masked || (all_finite(c->pair.key) && all_finite(c->v))))
        return tiled(c);
    return composed(c);
}
