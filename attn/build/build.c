/* Code composed from operations: see build.h. */
#include "attn/build/build.h"

#include "attn/core/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void at_build_end(at_build *g)
{
    while (g->n > 0)
        at_release(g->own[--g->n]);
    at_free(g->own, g->room * sizeof *g->own);
    while (g->objects > 0)
        at_object_release(g->object[--g->objects]);
    at_free(g->object, g->object_room * sizeof *g->object);
    g->own = NULL;
    g->object = NULL;
    g->room = g->object_room = 0;
    at_arena_free(&g->arena);
}

at_tensor *at_refuse(at_build *g, const char *format, ...)
{
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    at_error_set(g->error, "%s: %s", g->where, text);
    return NULL;
}

at_tensor *at_own(at_build *g, at_tensor *t)
{
    if (!t)
        return NULL;
    if (g->n == g->room) {
        size_t room = g->room ? 2 * g->room : 32;
        at_tensor **grown = at_realloc(g->own, g->room * sizeof *grown, room * sizeof *grown);
        if (!grown) {
            at_error_memory(g->error, g->where, room * sizeof *grown);
            at_release(t);
            return NULL;
        }
        g->own = grown;
        g->room = room;
    }
    return g->own[g->n++] = t;
}

at_object *at_own_object(at_build *g, at_object *o)
{
    if (!o)
        return NULL;
    if (g->objects == g->object_room) {
        size_t room = g->object_room ? 2 * g->object_room : 8;
        at_object **grown = at_realloc(g->object, g->object_room * sizeof *grown, room * sizeof *grown);
        if (!grown) {
            at_error_memory(g->error, g->where, room * sizeof *grown);
            at_object_release(o);
            return NULL;
        }
        g->object = grown;
        g->object_room = room;
    }
    return g->object[g->objects++] = o;
}

/* False after refusing: a tensor that the record wants is not there. */
static bool missing(at_build *g, const at_op *op, int k)
{
    at_refuse(g, "input %d of %s is missing", k + 1, op->name);
    return false;
}

/* How many tensors the call takes; -1 after an error. */
static int count_inputs(at_build *g, const at_op *op, const at_inputs *x)
{
    int n = 0;
    for (const at_arg *a = op->args; a->kind != AT_END; a++) {
        bool optional = a->optional || a->option;
        if (a->kind == AT_LIST || a->kind == AT_TENSORS) {
            for (int k = 0; k < x->count; k++)
                if (!x->list[k] && !optional && !missing(g, op, n + k))
                    return -1;
            return n + x->count;
        }
        if (a->kind >= AT_NUMBER)
            continue;
        if (!x->in[n] && !optional && !missing(g, op, n))
            return -1;
        n++;
    }
    return n;
}

at_tensor *at_apply(at_build *g, int id, const at_inputs *x)
{
    for (int k = 0; k < AT_MAX_OUT - 1 && x->out[k]; k++)
        *x->out[k] = NULL;
    if (!at_ok(g))
        return NULL;
    int n = count_inputs(g, at_any_op(&at_ops[id]), x);
    at_call *c = n >= 0 ? at_call_new(&at_ops[id], (size_t)n, g->error) : NULL;
    if (!c)
        return NULL;
    for (int k = 0; k < n; k++)
        c->in[k] = k < n - x->count ? x->in[k] : x->list[k - (n - x->count)];
    for (int k = 0; k < AT_MAX_SCALAR && x->arg[k].given; k++) {
        c->arg[k] = x->arg[k].value;
        c->given |= 1u << k;
    }
    c->n_sizes = x->n_sizes;
    for (int k = 0; k < x->n_sizes; k++)
        c->sizes[k] = x->sizes[k];
    bool ok = at_call_run(c, g->error);
    at_tensor *first = ok ? at_own(g, at_call_take(c, 0)) : NULL;
    for (int k = 0; k < AT_MAX_OUT - 1 && x->out[k]; k++)
        *x->out[k] = ok ? at_own(g, at_call_take(c, k + 1)) : NULL;
    at_call_end(c);
    return first;
}

at_tensor *at_cat(at_build *g, int n, at_tensor *const *list, int d)
{
    at_tensor *there[8];
    int count = 0;
    for (int k = 0; k < n; k++)
        if (list[k])
            there[count++] = list[k];
    return count == 1 ? there[0] : AT_APPLY(g, cat, .list = there, .count = count, .arg = {at_int(d)});
}

at_tensor *at_dropout(at_build *g, at_tensor *x, double p)
{
    if (!g->training || p == 0)
        return x;
    return AT_APPLY(g, dropout, .in = {x}, .arg = {at_num(p)});
}
