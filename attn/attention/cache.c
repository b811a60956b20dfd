/*
 * Key and value caches for decoding step by step.
 *
 * Without gradients the past stands on shelves, buffers [B, room, H, D] that double when they are full. Forks share a
 * shelf: `used` says how far anybody has written, and only a cache that ends there may go on in place. With gradients
 * the past is a recorded tensor, joined anew each step, so that backward passes run through all steps. Linear attention
 * keeps a state of fixed size.
 */
#include "attn/attention/cache.h"

#include "attn/core/alloc.h"
#include "attn/core/parallel.h"

#include <string.h>

typedef struct at_shelf {
    uint32_t refs;
    at_tensor *buffer;
    size_t used;
} at_shelf;

typedef struct at_cache {
    at_object base;
    int64_t length;
    at_shelf *shelf[AT_CACHE_SLOTS];
    at_tensor *whole[AT_CACHE_SLOTS]; /* in place of a shelf */
} at_cache;

static at_cache *cache_of(const at_object *o) { return (at_cache *)(uintptr_t)o; }

static void release_shelf(at_shelf *s)
{
    if (!s || --s->refs > 0)
        return;
    at_release(s->buffer);
    at_free(s, sizeof *s);
}

static void destroy(at_object *o)
{
    at_cache *c = cache_of(o);
    for (int k = 0; k < AT_CACHE_SLOTS; k++) {
        release_shelf(c->shelf[k]);
        at_release(c->whole[k]);
    }
    at_free(c, sizeof *c);
}

const at_class at_cache_class = {.name = "attn.cache", .destroy = destroy};

at_object *at_cache_new(at_error *e)
{
    at_cache *c = at_alloc_zero(sizeof *c);
    if (!c) {
        at_error_memory(e, "a cache", sizeof *c);
        return NULL;
    }
    c->base = (at_object){.class = &at_cache_class, .refs = 1};
    return &c->base;
}

int64_t at_cache_length(const at_object *cache) { return cache_of(cache)->length; }

at_object *at_cache_fork(const at_object *cache, at_error *e)
{
    at_object *o = at_cache_new(e);
    if (!o)
        return NULL;
    at_cache *to = cache_of(o), *from = cache_of(cache);
    to->length = from->length;
    for (int k = 0; k < AT_CACHE_SLOTS; k++) {
        to->shelf[k] = from->shelf[k];
        if (to->shelf[k])
            to->shelf[k]->refs++;
        to->whole[k] = at_retain(from->whole[k]);
    }
    return o;
}

/* ---- shelves ---- */

static at_shelf *shelf_new(const at_tensor *like, size_t B, size_t room, at_error *e)
{
    at_shelf *s = at_alloc_zero(sizeof *s);
    if (!s) {
        at_error_memory(e, "a cache", sizeof *s);
        return NULL;
    }
    s->refs = 1;
    s->buffer = at_tensor_new((at_dtype)like->dtype, 4, (size_t[]){B, room, like->size[2], like->size[3]}, e);
    if (s->buffer)
        return s;
    at_free(s, sizeof *s);
    return NULL;
}

/* Places from .. from + n - 1 of a buffer (or of another [B, T, H, D]). */
static at_tensor *places(const at_tensor *buffer, size_t from, size_t n, at_error *e)
{
    size_t size[] = {buffer->size[0], n, buffer->size[2], buffer->size[3]};
    return at_view_of(buffer, 4, size, buffer->step, (ptrdiff_t)from * buffer->step[1], e);
}

static bool copy_places(at_tensor *to, size_t at, const at_tensor *x, at_error *e)
{
    at_tensor *view = places(to, at, x->size[1], e);
    if (!view)
        return false;
    at_copy_elements(view, x);
    at_release(view);
    return at_uninterrupted(e);
}

/* The past as one tensor with a reference of its own; NULL if there is none (or with the error set). */
static at_tensor *past(const at_cache *c, int slot, at_error *e)
{
    if (c->whole[slot])
        return at_retain(c->whole[slot]);
    return c->shelf[slot] ? places(c->shelf[slot]->buffer, 0, (size_t)c->length, e) : NULL;
}

/* ---- growing ---- */

static at_tensor *grow_recorded(at_build *g, const at_cache *c, int slot, at_tensor *x, at_cache_growth *growth)
{
    at_tensor *before = at_own(g, past(c, slot, g->error));
    return growth->whole[slot] = at_cat(g, 2, (at_tensor *[]){before, x}, 2);
}

static at_tensor *grow_shelf(at_build *g, const at_cache *c, int slot, at_tensor *x, at_cache_growth *growth)
{
    at_error *e = g->error;
    at_shelf *s = c->shelf[slot];
    size_t length = (size_t)c->length, n = length + x->size[1];

    if (s && s->used == length && n <= s->buffer->size[1]) {
        s->refs++;
    } else {
        at_tensor *before = past(c, slot, e);
        s = at_ok(g) ? shelf_new(x, x->size[0], n < 8 ? 16 : 2 * n, e) : NULL;
        bool ok = s && (!before || copy_places(s->buffer, 0, before, e));
        at_release(before);
        if (!ok) {
            release_shelf(s);
            return NULL;
        }
    }
    growth->shelf[slot] = s;
    if (!copy_places(s->buffer, length, x, e))
        return NULL;
    s->used = n;
    return at_own(g, places(s->buffer, 0, n, e));
}

at_tensor *at_cache_append(at_build *g, at_object *cache, int slot, at_tensor *x, at_cache_growth *growth)
{
    at_cache *c = cache_of(cache);
    if (!x || !at_ok(g))
        return NULL;
    const at_tensor *held = c->whole[slot] ? c->whole[slot] : c->shelf[slot] ? c->shelf[slot]->buffer : NULL;
    if (held && !held->storage)
        return at_refuse(g, "cache: its tensors were freed");
    if (c->length > 0 && (!held || held->ndim != 4))
        return at_refuse(g, "cache holds what another kind of attention put there");
    if (held && (held->dtype != x->dtype || held->size[0] != x->size[0] ||
                 memcmp(&held->size[2], &x->size[2], 2 * sizeof(size_t)) != 0)) {
        at_text is = at_describe_shape(4, (size_t[]){held->size[0], (size_t)c->length, held->size[2], held->size[3]});
        return at_refuse(g, "cache holds %s %s, which %s does not go on", at_dtype_name((at_dtype)held->dtype), is.text,
                         at_describe(x).text);
    }
    growth->length = c->length + (int64_t)x->size[1];
    if (at_grad_enabled && (at_needs_grad(x) || at_needs_grad(c->whole[slot])))
        return grow_recorded(g, c, slot, x, growth);
    return grow_shelf(g, c, slot, x, growth);
}

at_tensor *at_cache_state(const at_object *cache) { return cache_of(cache)->whole[AT_CACHE_KEYS]; }

void at_cache_commit(at_object *cache, at_cache_growth *growth)
{
    at_cache *c = cache_of(cache);
    for (int k = 0; k < AT_CACHE_SLOTS; k++) {
        if (!growth->whole[k] && !growth->shelf[k])
            continue;
        at_retain(growth->whole[k]);
        at_release(c->whole[k]);
        c->whole[k] = growth->whole[k];
        release_shelf(c->shelf[k]);
        c->shelf[k] = growth->shelf[k];
        growth->shelf[k] = NULL;
    }
    c->length = growth->length;
}

void at_cache_abandon(at_cache_growth *growth)
{
    for (int k = 0; k < AT_CACHE_SLOTS; k++) {
        release_shelf(growth->shelf[k]);
        growth->shelf[k] = NULL;
    }
}

/* ---- rows ---- */

static bool reorder_slot(at_build *g, const at_cache *from, at_cache *to, int slot, at_tensor *rows)
{
    at_error *e = g->error;
    at_tensor *before = at_own(g, past(from, slot, e));
    if (!before)
        return at_ok(g);
    for (size_t m = 0; m < rows->size[0]; m++) {
        int64_t r = at_ids(rows)[(ptrdiff_t)m * rows->step[0]];
        if (r < 1 || r > (int64_t)before->size[0])
            return at_refuse(g, "row %zu is %lld, expected 1 to %zu", m + 1, (long long)r, before->size[0]) != NULL;
    }
    if (from->whole[slot]) {
        at_tensor *x = AT_APPLY(g, index_select, .in = {before, rows}, .arg = {at_int(1)});
        to->whole[slot] = at_retain(x);
        return x != NULL;
    }
    at_shelf *s = shelf_new(before, rows->size[0], from->shelf[slot]->buffer->size[1], e);
    to->shelf[slot] = s;
    for (size_t m = 0; s && m < rows->size[0]; m++) {
        ptrdiff_t r = (ptrdiff_t)at_ids(rows)[(ptrdiff_t)m * rows->step[0]] - 1;
        at_tensor *x = at_view_of(before, 3, &before->size[1], &before->step[1], r * before->step[0], e);
        at_tensor *y =
            x ? at_view_of(s->buffer, 3, &before->size[1], &s->buffer->step[1], (ptrdiff_t)m * s->buffer->step[0], e)
              : NULL;
        if (y)
            at_copy_elements(y, x);
        at_release(x);
        at_release(y);
    }
    if (s)
        s->used = (size_t)from->length;
    return at_uninterrupted(e) && at_ok(g);
}

at_object *at_cache_reorder(at_build *g, const at_object *cache, at_tensor *rows)
{
    if (!rows || !at_ok(g))
        return NULL;
    if (rows->dtype != AT_I64 || rows->ndim != 1) {
        at_refuse(g, "rows is %s, expected int64 [M]", at_describe(rows).text);
        return NULL;
    }
    at_object *o = at_cache_new(g->error);
    if (!o)
        return NULL;
    cache_of(o)->length = at_cache_length(cache);
    bool ok = true;
    for (int k = 0; ok && k < AT_CACHE_SLOTS; k++)
        ok = reorder_slot(g, cache_of(cache), cache_of(o), k, rows);
    if (ok)
        return o;
    at_object_release(o);
    return NULL;
}
