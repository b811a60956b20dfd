/*
 * Blocks of a Transformer: see block.h.
 *
 *   pre    x + drop(part(norm(x)))        and one norm more at the end
 *   post   norm(x + drop(part(x)))
 *
 * Parameters: l1.attention.* (l1.self.*, l1.cross.* in decoders), l1.norm1.*, l1.ff1.*, l1.ff2.*, ... norm.*
 */
#include "attn/encoder/block.h"

#include <stdio.h>
#include <string.h>

extern const at_layer_kind at_layer_linear, at_layer_layernorm;

enum { PRE };

/* ---- declaration ---- */

typedef struct maker {
    at_arena arena;
    at_error *error;
} maker;

static at_table *table(maker *m, int n, const char *const *key, const int64_t *value)
{
    at_table *t = at_table_new(&m->arena);
    for (int k = 0; t && k < n; k++)
        if (!at_table_add(&m->arena, t, key[k], 0, at_whole_value(value[k])))
            t = NULL;
    if (!t)
        at_error_memory(m->error, "a block", 0);
    return t;
}

static at_layer *make(maker *m, const at_layer_kind *kind, int n, const char *const *key, const int64_t *value)
{
    at_table *t = table(m, n, key, value);
    return t ? at_layer_new(kind, t, m->error) : NULL;
}

/* query = key = value = dim, projected, `heads` heads; what the configuration says comes on top. */
static at_layer *make_attention(maker *m, const at_layer *l, const at_table *more)
{
    static const char *const key[] = {"query"};
    at_table *t = table(m, 1, key, (int64_t[]){l->set[AT_BLOCK_DIM].integer});
    bool heads = at_table_get(more, "heads").type == AT_NIL;
    bool ok = t && at_table_add(&m->arena, t, "project", 0, at_truth_value(true)) &&
              (!heads || at_table_add(&m->arena, t, "heads", 0, at_whole_value(l->set[AT_BLOCK_HEADS].integer)));
    for (size_t i = 0; ok && more && i < more->n; i++) {
        const char *name = more->entry[i].key;
        if (name && (!strcmp(name, "query") || !strcmp(name, "key") || !strcmp(name, "value") || !strcmp(name, "out") ||
                     !strcmp(name, "project"))) {
            at_error_set(m->error, "%s: attention.%s is fixed by dim", at_layer_where(l->kind), name);
            return NULL;
        }
        ok = at_table_add(&m->arena, t, name, more->entry[i].index, more->entry[i].value);
    }
    if (!ok) {
        at_error_memory(m->error, "a block", 0);
        return NULL;
    }
    at_layer *made = at_layer_new(&at_layer_attention, t, m->error);
    if (!made || !at_attention_shape_of(made).samples)
        return made;
    /* it would never learn, and nobody would be told */
    at_error_set(m->error,
                 "%s: hard_sample learns through its log-probability, which blocks have no place for (attention and "
                 "decoder.rnn return it)",
                 at_layer_where(l->kind));
    at_object_release(&made->base);
    return NULL;
}

static at_layer *make_norm(maker *m, const at_layer *l)
{
    return make(m, &at_layer_layernorm, 1, (const char *[]){"dim"}, (int64_t[]){l->set[AT_BLOCK_DIM].integer});
}

static at_layer *make_linear(maker *m, int64_t inputs, int64_t outputs)
{
    return make(m, &at_layer_linear, 2, (const char *[]){"inputs", "outputs"}, (int64_t[]){inputs, outputs});
}

/* The layers of a block, in order of declaration; without a memory those of decoders are not there. */
enum { SELF, CROSS, NORM1, NORM2, NORM3, FF1, FF2, PARTS };

static bool has(bool cross, int part) { return cross || (part != CROSS && part != NORM3); }

static at_layer *make_part(maker *m, const at_layer *l, int part, const at_table *more)
{
    int64_t dim = l->set[AT_BLOCK_DIM].integer, ff = l->set[AT_BLOCK_FF].integer;
    switch (part) {
    case SELF: return make_attention(m, l, more);
    case CROSS: return make_attention(m, l, NULL);
    case FF1: return make_linear(m, dim, ff);
    case FF2: return make_linear(m, ff, dim);
    default: return make_norm(m, l);
    }
}

static bool declare(maker *m, at_layer *l, int block, bool cross, int part, const at_table *more)
{
    static const char *const names[PARTS] = {"self", "cross", "norm1", "norm2", "norm3", "ff1", "ff2"};
    char name[40];
    if (!has(cross, part))
        return true;
    snprintf(name, sizeof name, "l%d.%s", block, part == SELF && !cross ? "attention" : names[part]);
    at_layer *inner = make_part(m, l, part, more);
    return inner && at_inner(l, name, inner, m->error);
}

bool at_blocks_setup(at_layer *l, bool cross, at_error *e)
{
    maker m = {.error = e};
    if (!(l->given >> AT_BLOCK_FF & 1))
        l->set[AT_BLOCK_FF].integer = 4 * l->set[AT_BLOCK_DIM].integer;
    const at_table *more = l->given >> AT_BLOCK_ATTENTION & 1 ? l->set[AT_BLOCK_ATTENTION].value.table : NULL;
    bool ok = true;
    for (int k = 1; ok && k <= l->set[AT_BLOCK_LAYERS].integer; k++)
        for (int part = 0; ok && part < PARTS; part++)
            ok = declare(&m, l, k, cross, part, more);
    if (ok && l->set[AT_BLOCK_NORM].integer == PRE) {
        at_layer *norm = make_norm(&m, l);
        ok = norm && at_inner(l, "norm", norm, e);
    }
    at_arena_free(&m.arena);
    return ok;
}

/* ---- running ---- */

typedef struct block {
    at_layer *part[PARTS]; /* NULL: this kind of block has none */
} block;

static block block_of(const at_layer *l, bool cross, int k)
{
    block b = {{NULL}};
    int count = 0;
    for (int part = 0; part < PARTS; part++)
        count += has(cross, part);
    const at_member *m = l->member + (size_t)k * (size_t)count;
    for (int part = 0; part < PARTS; part++)
        if (has(cross, part))
            b.part[part] = (m++)->layer;
    return b;
}

static at_tensor *run_pass(at_build *g, at_layer *inner, at_tensor *x, at_pass p)
{
    p.arg[0] = at_tensor_value(x);
    return x && at_run_layer(g, inner, &p) ? p.result[0].tensor : NULL;
}

static at_tensor *run(at_build *g, at_layer *inner, at_tensor *x) { return run_pass(g, inner, x, (at_pass){0}); }

static at_tensor *feed_forward(at_build *g, const at_layer *l, const block *b, at_tensor *x)
{
    int activation = 1 + (int)l->set[AT_BLOCK_ACTIVATION].integer; /* the words are linear_act's */
    return run(g, b->part[FF2], run_pass(g, b->part[FF1], x, (at_pass){.activation = activation}));
}

/* One part around its residual: which part is told by the caller through `part` and `context`. */
typedef at_tensor *(*part)(at_build *g, at_tensor *x, void *context);

static at_tensor *residual(at_build *g, const at_layer *l, at_layer *norm, at_tensor *x, part f, void *context)
{
    bool pre = l->set[AT_BLOCK_NORM].integer == PRE;
    at_tensor *y = f(g, pre ? run(g, norm, x) : x, context);
    y = at_add(g, x, y ? at_dropout(g, y, l->set[AT_BLOCK_DROPOUT].number) : NULL);
    return pre ? y : run(g, norm, y);
}

typedef struct parts {
    const at_layer *l;
    block b;
    const at_blocks_pass *p;
    at_attend_options self, cross;
    at_attended found; /* by the attention that p->weights means, if it asks for this block's */
} parts;

static at_tensor *self_part(at_build *g, at_tensor *x, void *context)
{
    parts *c = context;
    return x ? at_attend(g, c->b.part[SELF], x, x, NULL, &c->self, c->self.want_weights ? &c->found : NULL) : NULL;
}

static at_tensor *cross_part(at_build *g, at_tensor *x, void *context)
{
    parts *c = context;
    at_tensor *memory = c->p->memory;
    if (x && c->p->memory_cached) /* nothing new: the projected memory is in the cache */
        memory = at_narrow(g, memory, 2, 1, 0);
    at_attended *found = c->cross.want_weights ? &c->found : NULL;
    return x && memory ? at_attend(g, c->b.part[CROSS], x, memory, NULL, &c->cross, found) : NULL;
}

static at_tensor *ff_part(at_build *g, at_tensor *x, void *context)
{
    parts *c = context;
    return x ? feed_forward(g, c->l, &c->b, x) : NULL;
}

/* ---- weights ---- */

bool at_blocks_read_weights(at_build *g, const at_layer *l, const at_pass *p, int k, at_blocks_weights *w)
{
    int64_t layers = l->set[AT_BLOCK_LAYERS].integer;
    *w = (at_blocks_weights){.layer = layers, .found = {.type = AT_NIL}};
    at_value v = p->given >> k & 1 ? p->option[k].value : (at_value){.type = AT_NIL};
    if (!at_attend_read_weights(g, v, true, &w->part))
        return false;
    const at_table *t = v.type == AT_TABLE ? v.table : NULL;
    w->heads = at_table_get(t, "heads").type != AT_NIL;
    at_value layer = at_table_get(t, "layer");
    if (layer.type == AT_NIL)
        return true;
    w->layer = layer.type == AT_WHOLE ? layer.whole < 0 ? layers + 1 + layer.whole : layer.whole : 0;
    bool all = layer.type == AT_TEXT && !strcmp(layer.text, "all");
    return all || (w->layer >= 1 && w->layer <= layers) ||
           at_refuse(g, "weights.layer is %s, expected 1 to %lld, -%lld to -1 or \"all\"",
                     at_describe_value(layer).text, (long long)layers, (long long)layers);
}

/* Whether the pass is to give the weights of block k, from 0. */
static bool wants_weights(const at_blocks_pass *p, int k)
{
    return p->weights && p->weights->part.want_weights && (p->weights->layer == 0 || p->weights->layer == k + 1);
}

/* The options of that attention with what is asked of its weights. */
static void ask_weights(at_attend_options *o, const at_blocks_weights *w)
{
    o->want_weights = true;
    o->heads = w->part.heads;
    memcpy(o->rows, w->part.rows, sizeof o->rows);
}

/* [B, T, S], or [B, H, T, S] where heads are asked for, of block k; a step is without T. */
static bool keep_weights(at_build *g, const at_blocks_pass *p, const at_layer *attend, int k, at_tensor *w)
{
    at_blocks_weights *want = p->weights;
    bool heads = at_attention_shape_of(attend).heads > 1;
    if (!w)
        return false;
    if (heads && !want->heads) {
        w = AT_APPLY(g, mean, .in = {w}, .arg = {at_int(at_dim_bit(2)), at_flag(false)});
        heads = false;
    }
    if (w && p->caches)
        w = at_select(g, w, heads ? 3 : 2, 1);
    if (!w)
        return false;
    if (want->layer > 0) {
        want->found = at_tensor_value(w);
        return true;
    }
    if (want->found.type == AT_NIL) {
        at_table *list = at_table_new(&g->arena);
        if (!list)
            return at_error_memory(g->error, g->where, sizeof *list);
        want->found = at_table_value(list);
    }
    return at_table_add(&g->arena, want->found.table, NULL, k + 1, at_tensor_value(w)) ||
           at_error_memory(g->error, g->where, sizeof(at_entry));
}

at_tensor *at_blocks_run(at_build *g, at_layer *l, at_tensor *x, const at_blocks_pass *p)
{
    bool cross = p->memory != NULL, training = g->training;
    g->training = l->training;
    int layers = (int)l->set[AT_BLOCK_LAYERS].integer;
    for (int k = 0; x && k < layers; k++) {
        parts c = {.l = l, .b = block_of(l, cross, k), .p = p, .self = p->self};
        c.cross.lengths = p->memory_lengths;
        if (p->caches) {
            c.self.cache = p->caches[cross ? 2 * k : k];
            c.cross.cache = cross ? p->caches[2 * k + 1] : NULL;
        }
        if (wants_weights(p, k))
            ask_weights(cross ? &c.cross : &c.self, p->weights);
        x = residual(g, l, c.b.part[NORM1], x, self_part, &c);
        if (cross)
            x = residual(g, l, c.b.part[NORM2], x, cross_part, &c);
        x = residual(g, l, c.b.part[cross ? NORM3 : NORM2], x, ff_part, &c);
        if (wants_weights(p, k) && !keep_weights(g, p, c.b.part[cross ? CROSS : SELF], k, c.found.weights))
            x = NULL;
    }
    if (l->set[AT_BLOCK_NORM].integer == PRE)
        x = run(g, at_inner_named(l, "norm"), x);
    g->training = training;
    return x;
}

/* ---- states ---- */

static int cache_count(const at_layer *l, bool cross) { return (int)l->set[AT_BLOCK_LAYERS].integer * (cross ? 2 : 1); }

/* "l1", "l2" ... and, for the caches of the memory, "m1", "m2" ...: the names live as long as the builder. */
static char *cache_name(at_build *g, bool cross, int k)
{
    char *name = at_arena_alloc(&g->arena, 16);
    if (name)
        snprintf(name, 16, "%c%d", cross && k % 2 ? 'm' : 'l', (cross ? k / 2 : k) + 1);
    else
        at_error_memory(g->error, g->where, 16);
    return name;
}

bool at_blocks_open_state(at_build *g, at_layer *l, bool cross, at_value state, at_object **caches, bool *first)
{
    *first = state.type == AT_NIL;
    for (int k = 0; k < cache_count(l, cross); k++) {
        at_object *cache = NULL;
        if (*first) {
            cache = at_cache_new(g->error);
        } else {
            char *name = cache_name(g, cross, k);
            at_value v = name ? at_table_get(state.table, name) : (at_value){.type = AT_NIL};
            if (name && (v.type != AT_OBJECT || v.object->class != &at_cache_class))
                return at_refuse(g, "state.%s is %s, expected a cache (state is nil or what step returned)", name,
                                 at_describe_value(v).text);
            cache = name ? at_cache_fork(v.object, g->error) : NULL;
        }
        if (!(caches[k] = at_own_object(g, cache)))
            return false;
    }
    return true;
}

at_value at_blocks_close_state(at_build *g, at_layer *l, bool cross, at_object *const *caches)
{
    at_table *t = at_table_new(&g->arena);
    bool ok = t && at_table_add(&g->arena, t, "decoder", 0, at_object_value(&l->base));
    for (int k = 0; ok && k < cache_count(l, cross); k++) {
        char *name = cache_name(g, cross, k);
        ok = name && at_table_add(&g->arena, t, name, 0, at_object_value(caches[k]));
    }
    if (!ok)
        at_error_memory(g->error, g->where, sizeof *t);
    return at_table_value(t);
}

bool at_blocks_reorder(at_build *g, at_layer *l, at_pass *p)
{
    at_table *state = p->arg[0].table, *out = at_table_new(&g->arena);
    at_tensor *rows = at_arg_tensor(p, 1);
    (void)l;
    if (!out)
        return at_error_memory(g->error, g->where, sizeof *out);
    for (size_t i = 0; i < state->n; i++) {
        at_entry entry = state->entry[i];
        if (entry.value.type == AT_OBJECT && entry.value.object->class == &at_cache_class) {
            at_object *cache = at_own_object(g, at_cache_reorder(g, entry.value.object, rows));
            if (!cache)
                return false;
            entry.value = at_object_value(cache);
        } else if (entry.value.type == AT_TENSOR) {
            at_tensor *picked = AT_APPLY(g, index_select, .in = {entry.value.tensor, rows}, .arg = {at_int(1)});
            if (!picked)
                return false;
            entry.value = at_tensor_value(picked);
        }
        if (!at_table_add(&g->arena, out, entry.key, entry.index, entry.value))
            return at_error_memory(g->error, g->where, sizeof *out);
    }
    return at_return(p, at_table_value(out));
}
