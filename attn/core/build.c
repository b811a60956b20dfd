/* Code composed from operations: see build.h. */
#include "attn/core/build.h"

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

static at_tensor *run(at_build *g, at_call *c, int n_out, at_tensor **out)
{
    at_tensor *first = NULL;
    bool ok = at_call_run(c, g->error);
    for (int k = 0; k < n_out; k++) {
        at_tensor *t = ok ? at_own(g, at_call_take(c, k)) : NULL;
        if (out)
            out[k] = t;
        if (k == 0)
            first = t;
    }
    at_call_end(c);
    return first;
}

at_tensor *at_apply(at_build *g, int id, int n, at_tensor *const *in, uint32_t optional, int n_arg, const at_scalar_value *arg,
                    int n_out, at_tensor **out)
{
    for (int k = 0; out && k < n_out; k++)
        out[k] = NULL;
    if (!at_ok(g))
        return NULL;
    for (int k = 0; k < n; k++)
        if (!in[k] && !(optional >> k & 1))
            return at_refuse(g, "input %d of %s is missing", k + 1, at_any_op(&at_ops[id])->name);
    at_call *c = at_call_new(&at_ops[id], (size_t)n, g->error);
    if (!c)
        return NULL;
    memcpy(c->in, in, (size_t)n * sizeof *in);
    for (int k = 0; k < n_arg; k++) {
        c->arg[k] = arg[k];
        c->given |= 1u << k;
    }
    return run(g, c, n_out, out);
}

at_tensor *at_apply_sizes(at_build *g, int id, at_tensor *x, int n, const int64_t *sizes)
{
    if (!at_ok(g) || !x)
        return NULL;
    at_call *c = at_call_new(&at_ops[id], 1, g->error);
    if (!c)
        return NULL;
    c->in[0] = x;
    c->n_sizes = n;
    memcpy(c->sizes, sizes, (size_t)n * sizeof *sizes);
    return run(g, c, 1, NULL);
}

at_tensor *at_scale(at_build *g, at_tensor *x, double factor)
{
    if (!x || factor == 1)
        return x;
    return at_mul(g, x, at_own(g, at_scalar((at_dtype)x->dtype, factor, g->error)));
}

at_tensor *at_cat(at_build *g, int n, at_tensor *const *list, int d)
{
    at_tensor *there[8];
    int count = 0;
    for (int k = 0; k < n; k++)
        if (list[k])
            there[count++] = list[k];
    return count == 1 ? there[0] : at_apply(g, AT_ID_cat, count, there, 0, 1, (at_scalar_value[]){at_int(d)}, 1, NULL);
}

at_tensor *at_dropout(at_build *g, at_tensor *x, double p)
{
    if (!g->training || p == 0)
        return x;
    return at_apply(g, AT_ID_dropout, 1, &x, 0, 1, (at_scalar_value[]){at_num(p)}, 1, NULL);
}
