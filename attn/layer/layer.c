/*
 * Layers: see layer.h. What every kind shares: creation from a configuration, members and their dotted names, calls.
 *
 * A conversion to another dtype happens inside the tensors' records, so that optimizers, ties and handles of the script
 * go on meaning the same parameter. A graph recorded before is refused by the backward pass (graph.c compares versions
 * and dtypes).
 */
#include "attn/layer/layer.h"

#include "attn/core/alloc.h"
#include "attn/core/kept.h"
#include "attn/core/parallel.h"
#include "attn/core/profile.h"
#include "attn/core/random.h"

#include <stdio.h>
#include <string.h>

enum { MAX_NAME = 512 };

/* ---- creation and end ---- */

static void destroy(at_object *o)
{
    at_layer *l = (at_layer *)(void *)o;
    if (l->own && l->kind->dispose)
        l->kind->dispose(l);
    at_free(l->own, l->kind->own_bytes);
    for (size_t i = 0; i < l->members; i++) {
        at_member *m = &l->member[i];
        at_free(m->name, strlen(m->name) + 1);
        at_release(m->tensor);
        if (m->layer)
            at_object_release(&m->layer->base);
    }
    at_free(l->member, l->room * sizeof *l->member);
    at_free(l, sizeof *l);
}

const at_class at_layer_class = {.name = "attn.layer", .destroy = destroy};

const char *at_layer_where(const at_layer_kind *kind)
{
    return strncmp(kind->name, "layer.", 6) == 0 ? kind->name + 6 : kind->name;
}

/* The configuration outlives the script's table only in what it holds by value. */
static void drop_borrowed(at_layer *l)
{
    for (int k = 0; l->kind->fields && l->kind->fields[k].name; k++) {
        at_value *v = &l->set[k].value;
        if (l->kind->fields[k].kind >= AT_FIELD_TENSOR && v->type >= AT_TEXT)
            *v = (at_value){.type = AT_NIL};
    }
}

at_layer *at_layer_new(const at_layer_kind *kind, const at_table *config, at_error *e)
{
    static const at_field none[] = {{0}};
    at_layer *l = at_alloc_zero(sizeof *l);
    if (!l) {
        at_error_memory(e, "a layer", sizeof *l);
        return NULL;
    }
    l->base = (at_object){.class = &at_layer_class, .refs = 1};
    l->kind = kind;
    l->dtype = AT_F32;
    l->training = true;
    bool ok = at_read_fields(at_layer_where(kind), kind->fields ? kind->fields : none, config, l->set, &l->given, e);
    if (ok && kind->own_bytes && !(l->own = at_alloc_zero(kind->own_bytes)))
        ok = at_error_memory(e, "a layer", kind->own_bytes);
    if (ok && kind->setup)
        ok = kind->setup(l, e);
    drop_borrowed(l);
    if (ok)
        return l;
    at_object_release(&l->base);
    return NULL;
}

/* ---- members ---- */

/* Takes over tensor and layer, also when it fails. */
static bool add_member(at_layer *l, at_member m, at_error *e)
{
    size_t bytes = strlen(m.name) + 1;
    char *name = at_alloc(bytes);
    bool ok = name != NULL;
    if (ok && l->members == l->room) {
        size_t room = l->room ? 2 * l->room : 4;
        at_member *grown = at_realloc(l->member, l->room * sizeof *grown, room * sizeof *grown);
        ok = grown != NULL;
        if (grown) {
            l->member = grown;
            l->room = room;
        }
    }
    if (!ok) {
        at_free(name, bytes);
        at_release(m.tensor);
        if (m.layer)
            at_object_release(&m.layer->base);
        return at_error_memory(e, "a layer", bytes);
    }
    memcpy(name, m.name, bytes);
    m.name = name;
    l->member[l->members++] = m;
    return true;
}

static void fill(at_tensor *t, at_init init, double bound)
{
    float *x = (float *)(void *)t->data;
    size_t n = at_numel(t);
    switch (init) {
    case AT_INIT_UNIFORM:
        at_random_uniform_f32(at_random_reserve(n), n, x);
        AT_PIECES(i, end, n)
        for (; i < end; i++)
            x[i] = (2 * x[i] - 1) * (float)bound;
        break;
    case AT_INIT_NORMAL:
        at_random_normal_f32(at_random_reserve(n), n, x);
        AT_PIECES(i, end, n)
        for (; i < end; i++)
            x[i] *= (float)bound;
        break;
    default: at_fill(t, init == AT_INIT_ONE); break;
    }
}

static bool declare(at_layer *l, const char *name, size_t ndim, const size_t *size, at_init init, double bound,
                    bool buffer, at_error *e)
{
    at_tensor *t = at_tensor_new(AT_F32, ndim, size, e);
    if (!t)
        return at_error_place(e, at_layer_where(l->kind));
    fill(t, init, bound);
    if (!at_uninterrupted(e)) {
        at_release(t);
        return false;
    }
    t->requires_grad = !buffer;
    return add_member(l, (at_member){.name = (char *)(uintptr_t)name, .tensor = t, .buffer = buffer}, e);
}

bool at_param(at_layer *l, const char *name, size_t ndim, const size_t *size, at_init init, double bound, at_error *e)
{
    return declare(l, name, ndim, size, init, bound, false, e);
}

bool at_matrix(at_layer *l, const char *name, size_t rows, size_t columns, at_init init, double bound, at_error *e)
{
    if (!declare(l, name, 2, (size_t[]){rows, columns}, init, bound, false, e))
        return false;
    return l->member[l->members - 1].matrix = true;
}

bool at_buffer(at_layer *l, const char *name, size_t ndim, const size_t *size, at_init init, double bound, at_error *e)
{
    return declare(l, name, ndim, size, init, bound, true, e);
}

bool at_share(at_layer *l, const char *name, at_tensor *t, at_error *e)
{
    return add_member(
        l, (at_member){.name = (char *)(uintptr_t)name, .tensor = at_retain(t), .buffer = !t->requires_grad}, e);
}

bool at_inner(at_layer *l, const char *name, at_layer *inner, at_error *e)
{
    return inner && add_member(l, (at_member){.name = (char *)(uintptr_t)name, .layer = inner}, e);
}

at_tensor *at_weight(const at_layer *l, size_t k)
{
    for (size_t i = 0; i < l->members; i++)
        if (l->member[i].tensor && k-- == 0)
            return l->member[i].tensor;
    return NULL;
}

/* A member by its dotted name; names of members may hold dots themselves. */
static at_member *find(const at_layer *l, const char *name)
{
    for (size_t i = 0; i < l->members; i++) {
        at_member *m = &l->member[i];
        size_t n = strlen(m->name);
        if (strncmp(m->name, name, n) != 0)
            continue;
        if (name[n] == 0)
            return m;
        at_member *inside = name[n] == '.' && m->layer ? find(m->layer, name + n + 1) : NULL;
        if (inside)
            return inside;
    }
    return NULL;
}

at_tensor *at_weight_named(const at_layer *l, const char *name)
{
    const at_member *m = find(l, name);
    return m ? m->tensor : NULL;
}

at_layer *at_inner_named(const at_layer *l, const char *name)
{
    const at_member *m = find(l, name);
    return m ? m->layer : NULL;
}

static bool walk(at_layer *l, char *name, size_t length, at_visit fn, void *context)
{
    for (size_t i = 0; i < l->members; i++) {
        at_member *m = &l->member[i];
        int wrote = snprintf(name + length, MAX_NAME - length, "%s", m->name);
        size_t end = length + (size_t)wrote;
        if (end + 2 > MAX_NAME)
            end = MAX_NAME - 2;
        if (m->tensor) {
            if (!fn(context, name, m))
                return false;
        } else {
            name[end] = '.';
            if (!walk(m->layer, name, end + 1, fn, context))
                return false;
        }
    }
    return true;
}

bool at_layer_walk(at_layer *l, at_visit fn, void *context)
{
    char name[MAX_NAME];
    return walk(l, name, 0, fn, context);
}

void at_layer_train(at_layer *l, bool training)
{
    l->training = training;
    for (size_t i = 0; i < l->members; i++)
        if (l->member[i].layer)
            at_layer_train(l->member[i].layer, training);
}

/* ---- another dtype ---- */

typedef struct conversion {
    at_tensor *tensor, *converted;
} conversion;

typedef struct conversions {
    conversion *list;
    size_t n, room;
    at_dtype dtype;
    at_error *error;
} conversions;

static bool refuse_kept(const at_tensor *t, at_error *e)
{
    return at_error_set(e, "to: a weight is %s, kept for inference: first to(\"float32\")", at_describe(t).text);
}

static void copy(at_tensor *made, const at_tensor *t)
{
    if (at_is_kept(t))
        at_expand(made, t);
    else
        at_copy_elements(made, t);
}

static bool prepare(void *context, const char *name, at_member *m)
{
    conversions *c = context;
    (void)name;
    at_tensor *t = m->tensor;
    if ((!at_is_float(t) && !at_is_kept(t)) || t->dtype == c->dtype)
        return true;
    if (at_is_kept(t) && c->dtype != AT_F32)
        return refuse_kept(t, c->error);
    for (size_t i = 0; i < c->n; i++)
        if (c->list[i].tensor == t)
            return true;
    if (c->n == c->room) {
        size_t room = c->room ? 2 * c->room : 16;
        conversion *grown = at_realloc(c->list, c->room * sizeof *grown, room * sizeof *grown);
        if (!grown)
            return at_error_memory(c->error, "a conversion", room * sizeof *grown);
        c->list = grown;
        c->room = room;
    }
    at_tensor *made = at_tensor_new(c->dtype, t->ndim, t->size, c->error);
    if (!made)
        return false;
    copy(made, t);
    c->list[c->n++] = (conversion){t, made};
    return at_uninterrupted(c->error);
}

/* The new numbers move into the old record, the old ones leave with the record that brought the new. */
static void exchange(at_tensor *t, at_tensor *made)
{
    at_tensor old = *t;
    made->storage->version = old.storage->version + 1;
    t->storage = made->storage;
    t->data = made->data;
    t->dtype = made->dtype;
    memcpy(t->step, made->step, sizeof t->step);
    made->storage = old.storage;
    made->data = old.data;
    made->dtype = old.dtype;
    memcpy(made->step, old.step, sizeof old.step);
    at_release(t->grad);
    t->grad = NULL;
}

bool at_convert(at_tensor *t, at_dtype dtype, at_error *e)
{
    if ((!at_is_float(t) && !at_is_kept(t)) || t->dtype == dtype)
        return true;
    if (at_is_kept(t) && dtype != AT_F32)
        return refuse_kept(t, e);
    if (t->node)
        return at_error_set(e, "to: a tensor is the result of an operation, expected one of its own (t:detach())");
    at_tensor *made = at_tensor_new(dtype, t->ndim, t->size, e);
    if (!made)
        return false;
    copy(made, t);
    bool ok = at_uninterrupted(e);
    if (ok)
        exchange(t, made);
    at_release(made);
    return ok;
}

void at_rest(at_tensor *t, at_tensor *made)
{
    if (made)
        exchange(t, made);
    at_release(t->grad);
    t->grad = NULL;
    t->rests = t->rests || t->requires_grad;
    t->requires_grad = false;
}

void at_wake(at_tensor *t)
{
    if (at_is_kept(t))
        return;
    t->requires_grad = t->requires_grad || t->rests;
    t->rests = false;
}

static void set_dtype(at_layer *l, at_dtype dtype)
{
    l->dtype = dtype;
    for (size_t i = 0; i < l->members; i++)
        if (l->member[i].layer)
            set_dtype(l->member[i].layer, dtype);
}

bool at_layer_to(at_layer *l, at_dtype dtype, at_error *e)
{
    if (dtype != AT_F32 && dtype != AT_F64)
        return at_error_set(e, "%s: dtype is %s, expected float32 or float64", at_layer_where(l->kind),
                            at_dtype_name(dtype));
    conversions c = {.dtype = dtype, .error = e};
    bool ok = at_layer_walk(l, prepare, &c);
    for (size_t i = 0; i < c.n; i++) {
        if (ok)
            exchange(c.list[i].tensor, c.list[i].converted);
        at_release(c.list[i].converted);
    }
    at_free(c.list, c.room * sizeof *c.list);
    if (ok)
        set_dtype(l, dtype);
    return ok;
}

/* The names of the tensors inside, separated by '|'; as many as there is room for. */
typedef struct name_list {
    char text[2000];
    size_t n;
} name_list;

static bool add_name(void *context, const char *name, at_member *m)
{
    name_list *all = context;
    size_t room = sizeof all->text - all->n;
    int wrote = snprintf(all->text + all->n, room, all->n ? "|%s" : "%s", name);
    (void)m;
    if ((size_t)wrote >= room) {
        all->text[all->n] = 0;
        return false;
    }
    all->n += (size_t)wrote;
    return true;
}

static bool refuse_name(at_layer *l, const char *name, at_error *e)
{
    name_list all = {.n = 0};
    at_layer_walk(l, add_name, &all);
    return at_error_set(e, "%s: there is no parameter '%.80s'%s", at_layer_where(l->kind), name,
                        at_suggest(" (", name, all.text, ")").text);
}

bool at_layer_set(at_layer *l, const char *name, at_tensor *t, at_error *e)
{
    const char *where = at_layer_where(l->kind);
    at_member *m = find(l, name);
    if (!m || !m->tensor)
        return refuse_name(l, name, e);
    if (!t->storage)
        return at_error_set(e, "%s: %.80s: tensor was freed", where, name);
    if (t->dtype != m->tensor->dtype || !at_same_shape(t, m->tensor)) {
        at_text is = at_describe(t), expected = at_describe(m->tensor);
        return at_error_set(e, "%s: %.80s is %s, expected %s", where, name, is.text, expected.text);
    }
    if (t->node)
        return at_error_set(e, "%s: %.80s is the result of an operation, expected a tensor of its own (t:detach())",
                            where, name);
    at_retain(t);
    at_release(m->tensor);
    m->tensor = t;
    return true;
}

/* ---- calls ---- */

bool at_expect(at_build *g, const at_layer *l, const char *name, const at_tensor *x, size_t low, size_t high,
               int64_t width)
{
    const char *is = at_dtype_name((at_dtype)x->dtype), *own = at_dtype_name(l->dtype);
    at_text t = at_describe(x);
    if (!at_is_float(x))
        at_refuse(g, "%s is %s, expected %s (%s: %s)", name, is, own, name, t.text);
    else if (x->dtype != l->dtype)
        at_refuse(g, "%s is %s, but the layer is %s (%s: %s)", name, is, own, name, t.text);
    else if (x->ndim < low || (high && x->ndim > high))
        at_refuse(g, "%s has %d dimension%s, expected %s%zu (%s: %s)", name, x->ndim, x->ndim == 1 ? "" : "s",
                  high == low     ? ""
                  : x->ndim < low ? "at least "
                                  : "at most ",
                  x->ndim < low ? low : high, name, t.text);
    else if (width && x->size[x->ndim - 1] != (size_t)width)
        at_refuse(g, "%s has width %zu, expected %lld (%s: %s)", name, x->size[x->ndim - 1], (long long)width, name,
                  t.text);
    return at_ok(g);
}

const at_method *at_method_named(const at_layer_kind *kind, const char *name)
{
    for (const at_method *m = kind->methods; m && m->name; m++)
        if (strcmp(m->name, name) == 0)
            return m;
    return NULL;
}

/* "x, memory [, state]" */
static void argument_names(const at_method *m, char *text, size_t room)
{
    size_t at = 0;
    text[0] = 0;
    for (int k = 0; k < AT_CALL_ARGS && m->arg[k].name; k++) {
        int wrote = snprintf(text + at, room - at, at ? ", %s" : "%s", m->arg[k].name);
        at += (size_t)wrote;
        if (at >= room)
            return;
    }
}

static bool check_arguments(at_build *g, const at_method *m, const at_pass *p)
{
    int k = 0;
    for (; k < AT_CALL_ARGS && m->arg[k].name; k++) {
        const char *name = m->arg[k].name, *expected = m->arg[k].type == AT_TENSOR ? "a tensor" : "a table";
        at_value v = p->arg[k];
        if (v.type == AT_NIL) {
            if (!m->arg[k].optional)
                return at_refuse(g, "%s is missing, expected %s", name, expected) != NULL;
        } else if (v.type != m->arg[k].type) {
            return at_refuse(g, "%s is %s, expected %s%s", name, at_describe_value(v).text, expected,
                             v.type == AT_TABLE ? AT_MAKES_TENSOR : "") != NULL;
        } else if (v.type == AT_TENSOR && !v.tensor->storage) {
            return at_refuse(g, "%s: tensor was freed", name) != NULL;
        }
    }
    for (; k < AT_CALL_ARGS; k++)
        if (p->arg[k].type != AT_NIL) {
            char names[120];
            argument_names(m, names, sizeof names);
            return at_refuse(g, "argument %d is %s, expected nothing after (%s)", k + 1,
                             at_describe_value(p->arg[k]).text, names) != NULL;
        }
    return true;
}

/* What a layer is called in the one around it. */
static const char *name_in(const at_layer *outer, const at_layer *l)
{
    for (size_t i = 0; i < outer->members; i++)
        if (outer->member[i].layer == l)
            return outer->member[i].name;
    return at_layer_where(l->kind);
}

at_within at_layer_enter(at_build *g, const at_layer *l)
{
    at_within before = {.where = g->where, .training = g->training, .layer = g->layer};
    /* the outermost is the caller's to tell; what a layer calls of itself is no other module */
    before.profiled = at_profiling && g->layer && g->layer != l;
    if (before.profiled)
        before.scope = at_profile_enter(name_in(g->layer, l));
    g->where = at_layer_where(l->kind);
    g->training = l->training;
    g->layer = l;
    return before;
}

void at_layer_leave(at_build *g, const at_within *before)
{
    if (before->profiled)
        at_profile_leave(before->scope);
    g->where = before->where;
    g->training = before->training;
    g->layer = before->layer;
}

static bool run(at_build *g, at_layer *l, const at_method *m, at_pass *p)
{
    at_within before = at_layer_enter(g, l);
    bool ok = check_arguments(g, m, p) && m->run(g, l, p) && at_ok(g);
    if (!ok && !g->failed)
        g->failed = &l->base;
    at_layer_leave(g, &before);
    return ok;
}

bool at_layer_call(at_build *g, at_layer *l, const at_method *m, at_pass *p, const at_table *options)
{
    static const at_field none[] = {{0}};
    if (!at_read_fields(at_layer_where(l->kind), m->options ? m->options : none, options, p->option, &p->given,
                        g->error))
        return false;
    return run(g, l, m, p);
}

bool at_run_layer(at_build *g, at_layer *inner, at_pass *p)
{
    const at_method *m = &inner->kind->methods[0];
    at_setting standard[AT_OPTIONS];
    uint32_t given;
    if (!at_ok(g))
        return false;
    if (m->options) {
        if (!at_read_fields(at_layer_where(inner->kind), m->options, NULL, standard, &given, g->error))
            return false;
        for (int k = 0; m->options[k].name; k++)
            if (!(p->given >> k & 1))
                p->option[k] = standard[k];
    }
    return run(g, inner, m, p);
}
