/*
 * What every optimizer shares: see optim.h. Parameters without a gradient are passed over and their step count stays,
 * as in PyTorch. A parameter may be of any steps and may change its float type between updates (layer:to): what is not
 * contiguous is updated in a copy, and buffers follow the parameter's type.
 */
#include "attn/optim/optim.h"

#include "attn/core/alloc.h"
#include "attn/core/parallel.h"
#include "attn/core/profile.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GRAIN = 16384 }; /* elements of a block: some microseconds of work, against one for waking a thread */

#define AT_OPTIM_ENTRY(id) extern const at_optim_kind at_optim_##id##_f32, at_optim_##id##_f64;
#include "attn/optim/list.h"
#undef AT_OPTIM_ENTRY
#define AT_OPTIM_ENTRY(id) {{&at_optim_##id##_f32, &at_optim_##id##_f64}},
const at_optim_entry at_optims[] = {
#include "attn/optim/list.h"
    {{NULL, NULL}}};

/* ---- creation and end ---- */

static void destroy(at_object *object)
{
    at_optim *o = (at_optim *)(void *)object;
    for (size_t i = 0; i < o->n; i++) {
        at_release(o->slot[i].param);
        for (int k = 0; k < AT_OPTIM_STATE; k++)
            at_release(o->slot[i].state[k]);
    }
    at_free(o->slot, o->room * sizeof *o->slot);
    at_free(o->group, o->groups * sizeof *o->group);
    at_free(o, sizeof *o);
}

const at_class at_optim_class = {.name = "attn.optimizer", .destroy = destroy};

typedef struct place {
    at_tensor *t;
    size_t at;
} place;

static int by_tensor(const void *a, const void *b)
{
    const place *x = a, *y = b;
    uintptr_t s = (uintptr_t)x->t, t = (uintptr_t)y->t;
    return s != t ? (s > t) - (s < t) : (x->at > y->at) - (x->at < y->at);
}

static int by_place(const void *a, const void *b)
{
    const place *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* Leaves each tensor once, at its first place, in order; returns how many. */
static size_t distinct(size_t n, place *list)
{
    size_t kept = 0;
    qsort(list, n, sizeof *list, by_tensor);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || list[i].t != list[kept - 1].t)
            list[kept++] = list[i];
    qsort(list, kept, sizeof *list, by_place);
    return kept;
}

static bool refuse_kept(const char *name, size_t k, const at_tensor *t, at_error *e)
{
    return at_error_set(e,
                        "%s: params[%zu] is %s, kept for inference: model:to(\"float32\"), then model:load its float32 "
                        "weights",
                        name, k, at_describe(t).text);
}

static bool check_param(const char *name, size_t k, at_value v, at_error *e)
{
    if (v.type != AT_TENSOR)
        return at_error_set(e, "%s: params[%zu] is %s, expected a tensor", name, k, at_describe_value(v).text);
    if (!v.tensor->storage)
        return at_error_set(e, "%s: params[%zu]: tensor was freed", name, k);
    if (at_is_kept(v.tensor))
        return refuse_kept(name, k, v.tensor, e);
    if (!at_is_float(v.tensor))
        return at_error_set(e, "%s: params[%zu] is %s, expected float32 or float64", name, k,
                            at_describe(v.tensor).text);
    if (v.tensor->node)
        return at_error_set(e, "%s: params[%zu] is the result of an operation, expected a tensor of its own", name, k);
    return true;
}

/* The parameters of group g from its list; `where` starts messages. */
static bool take_params(at_optim *o, const char *where, size_t g, const at_table *t, at_error *e)
{
    if (t->n == 0)
        return at_error_set(e, "%s: params is empty", where);
    place *list = at_alloc_zero(t->n * sizeof *list);
    if (!list)
        return at_error_memory(e, where, t->n * sizeof *list);
    bool ok = true;
    for (size_t i = 0; ok && i < t->n; i++) {
        const at_entry *entry = &t->entry[i];
        if (entry->key)
            ok = at_error_set(e, "%s: params has a field '%.40s', expected a list of tensors", where, entry->key);
        else if (entry->index < 1 || (uint64_t)entry->index > t->n || list[entry->index - 1].t)
            ok = at_error_set(e, "%s: params has an entry %lld, expected a list of tensors", where,
                              (long long)entry->index);
        else if ((ok = check_param(where, (size_t)entry->index, entry->value, e)))
            list[entry->index - 1] = (place){entry->value.tensor, (size_t)entry->index};
    }
    size_t n = ok ? distinct(t->n, list) : 0;
    for (size_t i = 0; ok && i < n; i++)
        o->slot[o->n++] = (at_slot){.param = at_retain(list[i].t), .group = g};
    at_free(list, t->n * sizeof *list);
    return ok;
}

static bool once(const at_optim *o, at_error *e)
{
    place *list = at_alloc_zero(o->n * sizeof *list);
    if (!list)
        return at_error_memory(e, at_optim_name(o), o->n * sizeof *list);
    for (size_t i = 0; i < o->n; i++)
        list[i] = (place){o->slot[i].param, i};
    qsort(list, o->n, sizeof *list, by_tensor);
    bool ok = true;
    for (size_t i = 1; ok && i < o->n; i++)
        if (list[i].t == list[i - 1].t)
            ok = at_error_set(e, "%s: groups %zu and %zu have a parameter in common (%s)", at_optim_name(o),
                              o->slot[list[i - 1].at].group + 1, o->slot[list[i].at].group + 1,
                              at_describe(list[i].t).text);
    at_free(list, o->n * sizeof *list);
    return ok;
}

/* Group g from its configuration, complete. */
static bool take_group(at_optim *o, const char *where, size_t g, const at_table *config, at_error *e)
{
    const at_optim_kind *kind = o->entry->of[0];
    at_group *group = &o->group[g];
    uint32_t given;
    bool ok = at_read_fields(where, kind->fields, config, group->set, &given, e) &&
              (!kind->check || kind->check(o, group, e)) &&
              take_params(o, where, g, group->set[AT_OPTIM_PARAMS].value.table, e);
    for (int k = 0; ok && kind->fields[k].name; k++)
        if (kind->fields[k].kind == AT_FIELD_TABLE)
            group->set[k].value = (at_value){.type = AT_NIL};
    double lr = group->set[AT_OPTIM_LR].number;
    if (ok && lr != o->lr && o->lr == 0)
        return at_error_set(e, "%s: lr is a multiple of the optimizer's, which is 0", where);
    group->factor = ok && lr != o->lr ? lr / o->lr : 1;
    return ok;
}

/* What a group says, and of the optimizer's configuration what it does not say. */
static const at_table *merged(at_arena *a, const at_table *group, const at_table *config)
{
    at_table *t = at_table_new(a);
    bool ok = t;
    for (size_t i = 0; ok && i < group->n; i++)
        ok = at_table_add(a, t, group->entry[i].key, group->entry[i].index, group->entry[i].value);
    for (size_t i = 0; ok && i < config->n; i++) {
        const at_entry *entry = &config->entry[i];
        if (entry->key && strcmp(entry->key, "params") != 0 && at_table_get(group, entry->key).type == AT_NIL)
            ok = at_table_add(a, t, entry->key, 0, entry->value);
    }
    return ok ? t : NULL;
}

static bool take_groups(at_optim *o, const at_table *config, const at_table *params, at_error *e)
{
    const char *name = at_optim_name(o);
    at_arena arena = {0};
    bool ok = true;
    const at_table **list = at_alloc_zero(params->n * sizeof *list);
    if (!list)
        return at_error_memory(e, name, params->n * sizeof *list);
    for (size_t i = 0; ok && i < params->n; i++) {
        const at_entry *entry = &params->entry[i];
        if (entry->key || entry->index < 1 || (uint64_t)entry->index > params->n || entry->value.type != AT_TABLE)
            ok = at_error_set(e, "%s: params has groups among other entries, expected a list of tensors or of groups",
                              name);
        else
            list[entry->index - 1] = entry->value.table;
    }
    for (size_t g = 0; ok && g < params->n; g++) {
        char where[64];
        snprintf(where, sizeof where, "%s: group %zu", name, g + 1);
        const at_table *t = merged(&arena, list[g], config);
        ok = t ? take_group(o, where, g, t, e) : at_error_memory(e, name, sizeof *t);
    }
    at_arena_free(&arena);
    at_free(list, params->n * sizeof *list);
    return ok && once(o, e);
}

static bool is_group(const at_entry *entry) { return entry->value.type == AT_TABLE; }

/* Room for the groups and for all their parameters. */
static bool make_room(at_optim *o, const at_table *params, bool grouped, at_error *e)
{
    o->groups = grouped ? params->n : 1;
    o->room = grouped ? 0 : params->n;
    for (size_t i = 0; grouped && i < params->n; i++) {
        at_value list = is_group(&params->entry[i]) ? at_table_get(params->entry[i].value.table, "params")
                                                    : (at_value){.type = AT_NIL};
        o->room += list.type == AT_TABLE ? list.table->n : 0;
    }
    o->room += o->room == 0;
    if (!(o->group = at_alloc_zero(o->groups * sizeof *o->group)) ||
        !(o->slot = at_alloc_zero(o->room * sizeof *o->slot)))
        return at_error_memory(e, at_optim_name(o), o->room * sizeof *o->slot);
    return true;
}

at_optim *at_optim_new(const at_optim_entry *entry, const at_table *config, at_error *e)
{
    const at_optim_kind *kind = entry->of[0];
    at_optim *o = at_alloc_zero(sizeof *o);
    if (!o) {
        at_error_memory(e, kind->name, sizeof *o);
        return NULL;
    }
    o->base = (at_object){.class = &at_optim_class, .refs = 1};
    o->entry = entry;
    at_setting set[AT_MAX_FIELD];
    uint32_t given;
    bool ok = at_read_fields(kind->name, kind->fields, config, set, &given, e);
    if (ok) {
        const at_table *params = set[AT_OPTIM_PARAMS].value.table;
        bool grouped = false;
        for (size_t i = 0; i < params->n; i++)
            grouped = grouped || is_group(&params->entry[i]);
        o->lr = set[AT_OPTIM_LR].number;
        ok = make_room(o, params, grouped, e) &&
             (grouped ? take_groups(o, config, params, e) : take_group(o, kind->name, 0, config, e));
    }
    if (ok)
        return o;
    at_object_release(&o->base);
    return NULL;
}

bool at_optim_rates(const at_optim *o, at_group *g, int field, int n, const double *usual, at_error *e)
{
    const char *name = at_optim_name(o), *what = o->entry->of[0]->fields[field].name;
    const char *expected = n == 2 ? "two" : "three";
    const at_value v = g->set[field].value;
    int have = 0;
    g->owns = n;
    for (int i = 0; i < n; i++)
        g->own[i] = usual[i];
    if (v.type == AT_NIL)
        return true;
    for (size_t i = 0; i < v.table->n; i++) {
        const at_entry *entry = &v.table->entry[i];
        at_value x = entry->value;
        if (entry->key || entry->index < 1 || entry->index > n || (x.type != AT_WHOLE && x.type != AT_REAL_NUMBER))
            return at_error_set(e, "%s: %s is not a list of %s numbers", name, what, expected);
        double number = x.type == AT_WHOLE ? (double)x.whole : x.number;
        if (!(number >= 0 && number < 1))
            return at_error_set(e, "%s: %s[%d] is %.14g, expected 0 or more and below 1", name, what, (int)entry->index,
                                number);
        g->own[entry->index - 1] = number;
        have |= 1 << (entry->index - 1);
    }
    return have == (1 << n) - 1 || at_error_set(e, "%s: %s is not a list of %s numbers", name, what, expected);
}

bool at_optim_set_lr(at_optim *o, double lr, at_error *e)
{
    if (!(lr >= 0 && lr < INFINITY))
        return at_error_set(e, "%s: lr is %.14g, expected a number from 0 on", at_optim_name(o), lr);
    o->lr = lr;
    return true;
}

/* ---- one step ---- */

/* What a slot needs for one update beside itself: contiguous copies, and buffers that are not there yet. */
typedef struct work {
    at_tensor *p, *g, *state[AT_OPTIM_STATE];
} work;

static bool has_buffer(const at_optim *o, size_t slot, int k)
{
    const at_optim_kind *kind = o->entry->of[0];
    return kind->state[k] && (!kind->uses || kind->uses(&o->group[o->slot[slot].group], k));
}

static at_tensor *dense(at_tensor *t, at_error *e)
{
    if (at_contiguous(t))
        return at_retain(t);
    at_tensor *copy = at_tensor_new((at_dtype)t->dtype, t->ndim, t->size, e);
    if (copy)
        at_copy_elements(copy, t);
    return copy;
}

static bool prepare(const at_optim *o, const at_slot *s, size_t k, work *w, at_error *e)
{
    at_tensor *p = s->param, *g = p->grad;
    at_dtype dtype = (at_dtype)p->dtype;
    if (g->dtype != dtype || !at_same_shape(g, p)) {
        at_text is = at_describe(g), expected = at_describe(p);
        return at_error_set(e, "%s: the gradient of params[%zu] is %s, expected %s", at_optim_name(o), k + 1, is.text,
                            expected.text);
    }
    if (!(w->p = dense(p, e)) || !(w->g = dense(g, e)))
        return false;
    for (int b = 0; b < AT_OPTIM_STATE; b++) {
        at_tensor *old = s->state[b];
        if (!has_buffer(o, k, b))
            continue;
        if (old && old->dtype == dtype)
            w->state[b] = at_retain(old);
        else if (!(w->state[b] = at_tensor_zeros(dtype, p->ndim, p->size, e)))
            return false;
        else if (old)
            at_copy_elements(w->state[b], old);
    }
    return true;
}

typedef struct job {
    at_update update;
    const at_optim_kind *kind;
    double *partial; /* AT_OPTIM_SUMS of each block */
} job;

static void measure_block(size_t begin, size_t end, void *context)
{
    const job *j = context;
    double *sum = j->partial + begin / GRAIN * AT_OPTIM_SUMS;
    memset(sum, 0, AT_OPTIM_SUMS * sizeof *sum);
    j->kind->measure(&j->update, begin, end, sum);
}

/* Fixed blocks, added in order: the same for any number of threads. */
static void measure(job *j, size_t n)
{
    at_for(n, GRAIN, measure_block, j);
    for (size_t i = 0; i * GRAIN < n; i++)
        for (int k = 0; k < AT_OPTIM_SUMS; k++)
            j->update.sum[k] += j->partial[i * AT_OPTIM_SUMS + (size_t)k];
}

/* Bytes for the blocks of the largest parameter. */
static size_t partial_bytes(const at_optim *o)
{
    size_t blocks = 1;
    for (size_t i = 0; i < o->n; i++)
        if (at_numel(o->slot[i].param) / GRAIN + 1 > blocks)
            blocks = at_numel(o->slot[i].param) / GRAIN + 1;
    return o->entry->of[0]->measure ? blocks * AT_OPTIM_SUMS * sizeof(double) : 0;
}

static void update_block(size_t begin, size_t end, void *context)
{
    const job *j = context;
    j->kind->update(&j->update, begin, end);
}

/* Cannot fail. Everything in w that the slot does not take over is released by the caller. */
static void update(const at_optim *o, at_slot *s, work *w, double *partial)
{
    at_tensor *p = s->param;
    const at_group *group = &o->group[s->group];
    job j = {.kind = o->entry->of[p->dtype],
             .partial = partial,
             .update = {.group = group, .lr = o->lr * group->factor, .step = s->step + 1}};
    j.update.p = w->p->data;
    j.update.g = w->g->data;
    for (int b = 0; b < AT_OPTIM_STATE; b++)
        j.update.state[b] = w->state[b] ? w->state[b]->data : NULL;
    if (j.kind->measure)
        measure(&j, at_numel(p));
    at_for(at_numel(p), GRAIN, update_block, &j);
    if (w->p != p)
        at_copy_elements(p, w->p);
    p->storage->version++;
    s->step++;
    for (int b = 0; b < AT_OPTIM_STATE; b++) {
        at_tensor *old = s->state[b];
        s->state[b] = w->state[b];
        w->state[b] = old;
    }
}

static bool step(at_optim *o, at_error *e)
{
    work *list = at_alloc_zero(o->n * sizeof *list);
    if (!list)
        return at_error_memory(e, at_optim_name(o), o->n * sizeof *list);
    size_t bytes = partial_bytes(o);
    double *partial = bytes ? at_alloc(bytes) : NULL;
    bool ok = !bytes || partial || at_error_memory(e, at_optim_name(o), bytes);
    at_whole(true);
    for (size_t i = 0; ok && i < o->n; i++) {
        at_tensor *p = o->slot[i].param;
        ok = at_is_kept(p) ? refuse_kept(at_optim_name(o), i + 1, p, e)
                           : !p->grad || prepare(o, &o->slot[i], i, &list[i], e);
    }
    for (size_t i = 0; ok && i < o->n; i++)
        if (list[i].p)
            update(o, &o->slot[i], &list[i], partial);
    at_whole(false);
    at_free(partial, bytes);
    ok = ok && at_uninterrupted(e);
    for (size_t i = 0; i < o->n; i++) {
        at_release(list[i].p);
        at_release(list[i].g);
        for (int b = 0; b < AT_OPTIM_STATE; b++)
            at_release(list[i].state[b]);
    }
    at_free(list, o->n * sizeof *list);
    return ok;
}

/* Of what was updated: read are parameter, gradient and state, written parameter and state. */
static double bytes_moved(const at_optim *o)
{
    double bytes = 0;
    for (size_t i = 0; i < o->n; i++) {
        const at_slot *s = &o->slot[i];
        int tensors = 3;
        for (int k = 0; k < AT_OPTIM_STATE; k++)
            tensors += s->state[k] ? 2 : 0;
        if (s->param->grad)
            bytes += (double)tensors * (double)at_numel(s->param) * (double)at_dtype_bytes((at_dtype)s->param->dtype);
    }
    return bytes;
}

bool at_optim_step(at_optim *o, at_error *e)
{
    at_timing t;
    if (at_profiling)
        at_profile_begin(&t, NULL);
    bool ok = step(o, e);
    if (at_profiling)
        at_profile_end_named(&t, at_optim_name(o), AT_UPDATE, bytes_moved(o));
    return ok;
}

void at_optim_zero_grad(at_optim *o)
{
    for (size_t i = 0; i < o->n; i++) {
        at_tensor *p = o->slot[i].param;
        at_release(p->grad);
        p->grad = NULL;
    }
}

/* ---- state ---- */

at_table *at_optim_state(const at_optim *o, at_arena *a)
{
    const at_optim_kind *kind = o->entry->of[0];
    at_table *t = at_table_new(a), *params = at_table_new(a);
    bool ok = t && params && at_table_add(a, t, "kind", 0, at_text_value(kind->name)) &&
              at_table_add(a, t, "lr", 0, at_number_value(o->lr)) &&
              at_table_add(a, t, "params", 0, at_table_value(params));
    for (size_t i = 0; ok && i < o->n; i++) {
        const at_slot *s = &o->slot[i];
        at_table *one = at_table_new(a);
        ok = one && at_table_add(a, one, "step", 0, at_whole_value((int64_t)s->step));
        for (int b = 0; ok && b < AT_OPTIM_STATE; b++)
            if (s->state[b])
                ok = at_table_add(a, one, kind->state[b], 0, at_tensor_value(s->state[b]));
        ok = ok && at_table_add(a, params, NULL, (int64_t)i + 1, at_table_value(one));
    }
    return ok ? t : NULL;
}

/* Differences between a state and this optimizer; what no longer fits is counted. */
typedef struct report {
    char text[400];
    size_t length, more;
} report;

static void differ(report *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void differ(report *r, const char *format, ...)
{
    char one[200];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(one, sizeof one, format, args);
    va_end(args);
    if (n < 0 || r->length + (size_t)n + 3 > sizeof r->text || (size_t)n >= sizeof one) {
        r->more++;
        return;
    }
    r->length += (size_t)snprintf(r->text + r->length, sizeof r->text - r->length, r->length ? "; %s" : "%s", one);
}

/* Element i (from 1) of each list into a table of its own order; false if the table is no list of n. */
static bool as_list(const at_table *t, size_t n, const at_table **list)
{
    if (t->n != n)
        return false;
    for (size_t i = 0; i < n; i++) {
        const at_entry *entry = &t->entry[i];
        if (entry->key || entry->index < 1 || (uint64_t)entry->index > n || entry->value.type != AT_TABLE ||
            list[entry->index - 1])
            return false;
        list[entry->index - 1] = entry->value.table;
    }
    return true;
}

static void compare_slot(const at_optim *o, size_t i, const at_table *t, report *r)
{
    const at_optim_kind *kind = o->entry->of[0];
    at_value step = at_table_get(t, "step");
    bool counted = step.type == AT_WHOLE && step.whole >= 0 && step.whole <= (int64_t)1 << 53;
    if (!counted)
        differ(r, "params[%zu].step is %s, expected a count", i + 1, at_describe_value(step).text);
    for (size_t j = 0; j < t->n; j++) {
        const at_entry *entry = &t->entry[j];
        bool known = entry->key && strcmp(entry->key, "step") == 0;
        for (int b = 0; entry->key && b < AT_OPTIM_STATE; b++)
            known = known || (has_buffer(o, i, b) && strcmp(entry->key, kind->state[b]) == 0);
        if (!known && entry->key)
            differ(r, "params[%zu].%.40s is not known", i + 1, entry->key);
        else if (!known)
            differ(r, "params[%zu][%lld] is not known", i + 1, (long long)entry->index);
    }
    for (int b = 0; b < AT_OPTIM_STATE; b++) {
        if (!has_buffer(o, i, b))
            continue;
        at_value v = at_table_get(t, kind->state[b]);
        const at_tensor *p = o->slot[i].param;
        if (v.type == AT_NIL && counted && step.whole == 0)
            continue;
        if (v.type == AT_NIL)
            differ(r, "params[%zu].%s is missing", i + 1, kind->state[b]);
        else if (v.type != AT_TENSOR || !v.tensor->storage || !at_is_float(v.tensor) || !at_same_shape(v.tensor, p))
            differ(r, "params[%zu].%s is %s, expected %s", i + 1, kind->state[b],
                   v.type == AT_TENSOR && !v.tensor->storage ? "a freed tensor" : at_describe_value(v).text,
                   at_describe(p).text);
    }
}

static void compare(const at_optim *o, const at_table *state, const at_table **list, report *r)
{
    at_value kind = at_table_get(state, "kind"), lr = at_table_get(state, "lr"), params = at_table_get(state, "params");
    if (kind.type != AT_TEXT || strcmp(kind.text, at_optim_name(o)) != 0)
        differ(r, "kind is %s, expected '%s'", at_describe_value(kind).text, at_optim_name(o));
    double rate = lr.type == AT_REAL_NUMBER ? lr.number : lr.type == AT_WHOLE ? (double)lr.whole : NAN;
    if (!(rate >= 0 && rate < INFINITY))
        differ(r, "lr is %s, expected a number from 0 on", at_describe_value(lr).text);
    for (size_t j = 0; j < state->n; j++) {
        const char *key = state->entry[j].key;
        if (!key)
            differ(r, "entry %lld is not known", (long long)state->entry[j].index);
        else if (at_choice(key, "kind|lr|params") < 0)
            differ(r, "%.40s is not known", key);
    }
    if (params.type != AT_TABLE)
        differ(r, "params is %s, expected a list of %zu tables", at_describe_value(params).text, o->n);
    else if (params.table->n != o->n)
        differ(r, "params has %zu entries, expected %zu", params.table->n, o->n);
    else if (!as_list(params.table, o->n, list))
        differ(r, "params is not a list of tables");
    else
        for (size_t i = 0; i < o->n; i++)
            compare_slot(o, i, list[i], r);
}

/* Copies of the state's buffers for every slot, before anything is changed. */
static bool copy_state(const at_optim *o, const at_table *const *list, work *made, at_error *e)
{
    for (size_t i = 0; i < o->n; i++)
        for (int b = 0; b < AT_OPTIM_STATE; b++) {
            at_tensor *p = o->slot[i].param;
            at_value v = {.type = AT_NIL};
            if (has_buffer(o, i, b))
                v = at_table_get(list[i], o->entry->of[0]->state[b]);
            if (v.type == AT_NIL)
                continue;
            if (!(made[i].state[b] = at_tensor_new((at_dtype)p->dtype, p->ndim, p->size, e)))
                return false;
            at_copy_elements(made[i].state[b], v.tensor);
        }
    return at_uninterrupted(e);
}

bool at_optim_load(at_optim *o, const at_table *state, at_error *e)
{
    size_t list_bytes = o->n * sizeof(at_table *), made_bytes = o->n * sizeof(work);
    const at_table **list = at_alloc_zero(list_bytes);
    work *made = at_alloc_zero(made_bytes);
    report r = {.length = 0};
    bool ok = (list && made) || at_error_memory(e, at_optim_name(o), list_bytes + made_bytes);
    if (ok) {
        compare(o, state, list, &r);
        if (r.length && r.more)
            ok = at_error_set(e, "%s: the state does not fit: %s; and %zu more", at_optim_name(o), r.text, r.more);
        else if (r.length || r.more)
            ok = at_error_set(e, "%s: the state does not fit: %s", at_optim_name(o), r.text);
    }
    ok = ok && copy_state(o, list, made, e);
    for (size_t i = 0; ok && i < o->n; i++) {
        at_slot *s = &o->slot[i];
        s->step = (uint64_t)at_table_get(list[i], "step").whole;
        for (int b = 0; b < AT_OPTIM_STATE; b++) {
            at_tensor *old = s->state[b];
            s->state[b] = made[i].state[b];
            made[i].state[b] = old;
        }
    }
    if (ok) {
        at_value lr = at_table_get(state, "lr");
        o->lr = lr.type == AT_WHOLE ? (double)lr.whole : lr.number;
    }
    for (size_t i = 0; made && i < o->n; i++)
        for (int b = 0; b < AT_OPTIM_STATE; b++)
            at_release(made[i].state[b]);
    at_free(list, list_bytes);
    at_free(made, made_bytes);
    return ok;
}

void at_optim_summary(const at_optim *o, char *text, size_t room)
{
    const at_optim_kind *kind = o->entry->of[0];
    const at_group *g = &o->group[0];
    size_t at = (size_t)snprintf(text, room, "lr %.14g", o->lr);
    for (int k = AT_OPTIM_FIRST; kind->fields[k].name && at < room; k++) {
        const at_field *f = &kind->fields[k];
        if (f->kind == AT_FIELD_NUMBER)
            at += (size_t)snprintf(text + at, room - at, ", %s %.14g", f->name, g->set[k].number);
        else if (f->kind == AT_FIELD_FLAG)
            at += (size_t)snprintf(text + at, room - at, ", %s %s", f->name, g->set[k].flag ? "true" : "false");
        else
            for (int i = 0; i < g->owns && at < room; i++)
                at +=
                    (size_t)snprintf(text + at, room - at, i ? "%s %.14g" : ", %s %.14g", i ? "" : f->name, g->own[i]);
    }
    if (o->groups > 1 && at < room)
        snprintf(text + at, room - at, "; %zu groups", o->groups);
}

/* ---- clipping ---- */

/* The sum of squares of a gradient that is not contiguous: element by element. */
static double walk_sumsq(const at_tensor *g)
{
    double sum = 0;
    at_walk w = at_walk_of(1, &g);
    do {
        for (size_t i = 0; i < w.n; i++) {
            ptrdiff_t at = (ptrdiff_t)i * w.step[0];
            double x = g->dtype == AT_F32 ? ((const float *)(const void *)w.at[0])[at]
                                          : ((const double *)(const void *)w.at[0])[at];
            sum += x * x;
        }
    } while (at_walk_next(&w));
    return sum;
}

static void walk_scale(at_tensor *g, double factor)
{
    at_walk w = at_walk_of(1, (const at_tensor *[]){g});
    do {
        for (size_t i = 0; i < w.n; i++) {
            ptrdiff_t at = (ptrdiff_t)i * w.step[0];
            if (g->dtype == AT_F32)
                ((float *)(void *)w.at[0])[at] *= (float)factor;
            else
                ((double *)(void *)w.at[0])[at] *= factor;
        }
    } while (at_walk_next(&w));
}

static void scale(at_tensor *g, double factor)
{
    if (!at_contiguous(g))
        walk_scale(g, factor);
    else if (g->dtype == AT_F32)
        at_clip_scale_f32(at_numel(g), factor, g->data);
    else
        at_clip_scale_f64(at_numel(g), factor, g->data);
}

static void cut(at_tensor *g, double max)
{
    if (at_contiguous(g)) {
        (g->dtype == AT_F32 ? at_clip_cut_f32 : at_clip_cut_f64)(at_numel(g), max, g->data);
        return;
    }
    at_walk w = at_walk_of(1, (const at_tensor *[]){g});
    do {
        for (size_t i = 0; i < w.n; i++) {
            char *at =
                w.at[0] + (ptrdiff_t)i * w.step[0] * (ptrdiff_t)(g->dtype == AT_F32 ? sizeof(float) : sizeof(double));
            (g->dtype == AT_F32 ? at_clip_cut_f32 : at_clip_cut_f64)(1, max, at);
        }
    } while (at_walk_next(&w));
}

static bool clip(size_t n, const place *list, double max, double *norm, at_error *e)
{
    size_t blocks = 1;
    for (size_t i = 0; i < n; i++) {
        const at_tensor *g = list[i].t->grad;
        if (g && at_numel(g) / AT_CLIP_BLOCK + 1 > blocks)
            blocks = at_numel(g) / AT_CLIP_BLOCK + 1;
    }
    double sum = 0, *partial = at_alloc_zero(blocks * sizeof *partial);
    if (!partial)
        return at_error_memory(e, "clip_grad_norm", blocks * sizeof *partial);
    for (size_t i = 0; i < n; i++) {
        const at_tensor *g = list[i].t->grad;
        if (g && !at_contiguous(g))
            sum += walk_sumsq(g);
        else if (g)
            sum += g->dtype == AT_F32 ? at_clip_sumsq_f32(at_numel(g), g->data, partial)
                                      : at_clip_sumsq_f64(at_numel(g), g->data, partial);
    }
    at_free(partial, blocks * sizeof *partial);
    *norm = sqrt(sum);
    double factor = max / (*norm + 1e-6);
    for (size_t i = 0; i < n && !(factor >= 1); i++)
        if (list[i].t->grad)
            scale(list[i].t->grad, factor);
    return true;
}

/* The distinct tensors of a list that a clipping is asked for; NULL with the error set. */
static place *clipped(const char *name, size_t n, at_tensor *const *params, double max, size_t *kept, at_error *e)
{
    place *list = NULL;
    bool ok = max >= 0 || at_error_set(e, "%s: max is %.14g, expected a number from 0 on", name, max);
    size_t bytes = (n ? n : 1) * sizeof *list;
    if (ok && !(list = at_alloc(bytes)))
        ok = at_error_memory(e, name, bytes);
    for (size_t i = 0; ok && i < n; i++) {
        if (!at_is_float(params[i]))
            ok = at_error_set(e, "%s: params[%zu] is %s, expected float32 or float64", name, i + 1,
                              at_describe(params[i]).text);
        list[i] = (place){params[i], i};
    }
    *kept = ok ? distinct(n, list) : 0;
    if (ok)
        return list;
    if (list)
        at_free(list, bytes);
    return NULL;
}

static double bytes_of_gradients(size_t n, const place *list)
{
    double bytes = 0;
    for (size_t i = 0; i < n; i++)
        if (list[i].t->grad)
            bytes += (double)at_numel(list[i].t) * (double)at_dtype_bytes((at_dtype)list[i].t->dtype);
    return bytes;
}

bool at_clip_grad_norm(size_t n, at_tensor *const *params, double max, double *norm, at_error *e)
{
    size_t kept;
    place *list = clipped("clip_grad_norm", n, params, max, &kept, e);
    if (!list)
        return false;
    at_timing t;
    if (at_profiling)
        at_profile_begin(&t, NULL);
    bool ok = clip(kept, list, max, norm, e);
    if (at_profiling)
        at_profile_end_named(&t, "clip_grad_norm", AT_UPDATE, bytes_of_gradients(kept, list));
    at_free(list, (n ? n : 1) * sizeof *list);
    return ok && at_uninterrupted(e);
}

bool at_clip_grad_value(size_t n, at_tensor *const *params, double max, at_error *e)
{
    size_t kept;
    place *list = clipped("clip_grad_value", n, params, max, &kept, e);
    if (!list)
        return false;
    at_timing t;
    if (at_profiling)
        at_profile_begin(&t, NULL);
    for (size_t i = 0; i < kept; i++)
        if (list[i].t->grad)
            cut(list[i].t->grad, max);
    if (at_profiling)
        at_profile_end_named(&t, "clip_grad_value", AT_UPDATE, bytes_of_gradients(kept, list));
    at_free(list, (n ? n : 1) * sizeof *list);
    return at_uninterrupted(e);
}
