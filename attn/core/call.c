/*
 * Calls: from the record of an operation to its outputs, and to a node of the graph (op.h).
 */
#include "attn/core/op.h"

#include "attn/core/alloc.h"
#include "attn/core/anomaly.h"
#include "attn/core/contiguous.h"
#include "attn/core/parallel.h"
#include "attn/core/profile.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool at_grad_enabled = true;
void (*at_free_extra)(void *extra);
void (*at_where)(const char **source, int *line);
char at_no_work[64];

/* ---- what shape calls ---- */

static const char *short_name(const at_call *c)
{
    const char *dot = strrchr(c->op->name, '.');
    return dot ? dot + 1 : c->op->name;
}

bool at_fail_at(at_call *c, const char *format, ...)
{
    at_error *e = c->error;
    if (e->failed)
        return false;
    char text[400];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return at_error_set(e, "%s: %s", short_name(c), text);
}

at_dtype at_call_dtype(const at_call *c) { return c->op->dtype < AT_DTYPES ? c->op->dtype : (at_dtype)c->in[0]->dtype; }

bool at_recording(const at_call *c)
{
    if (!at_grad_enabled || !(c->op->backward || c->op->view || c->op->custom))
        return false;
    for (int k = 0; k < c->n_in; k++)
        if (at_needs_grad(c->in[k]))
            return true;
    return false;
}

static bool add_out(at_call *c, at_tensor *t)
{
    if (!t)
        return at_error_place(c->error, short_name(c));
    t->index = c->n_out;
    c->out[c->n_out++] = t;
    return true;
}

bool at_out_type(at_call *c, at_dtype dtype, size_t ndim, const size_t *size)
{
    return add_out(c, at_tensor_new(dtype, ndim, size, c->error));
}

bool at_out(at_call *c, size_t ndim, const size_t *size) { return at_out_type(c, at_call_dtype(c), ndim, size); }

bool at_out_view(at_call *c, size_t ndim, const size_t *size, const ptrdiff_t *step, ptrdiff_t offset)
{
    if (!c->into)
        return add_out(c, at_view_of(c->in[0], ndim, size, step, offset, c->error));
    at_view_into(c->into, c->in[0], ndim, size, step, offset);
    return true;
}

bool at_save(at_call *c, at_dtype dtype, size_t count)
{
    at_tensor *t = at_tensor_new(dtype, 1, &count, c->error);
    if (!t)
        return at_error_place(c->error, short_name(c));
    c->saved[c->n_saved++] = t;
    return true;
}

void at_want_scratch(at_call *c, size_t bytes)
{
    if (bytes > c->scratch)
        c->scratch = bytes;
}

at_axis at_along(const at_tensor *t, int64_t d)
{
    at_axis a = {.rows = 1, .n = t->ndim ? t->size[d] : 1, .step = 1};
    for (size_t k = 0; k < t->ndim; k++)
        if ((int64_t)k != d)
            a.rows *= t->size[k];
    for (size_t k = (size_t)d + 1; k < t->ndim; k++)
        a.step *= t->size[k];
    if (a.step == 0)
        a.step = 1;
    return a;
}

bool at_broadcast(const at_tensor *a, const at_tensor *b, size_t *ndim, size_t *size)
{
    size_t n = a->ndim > b->ndim ? a->ndim : b->ndim;
    for (size_t i = 0; i < n; i++) {
        size_t x = i < a->ndim ? a->size[a->ndim - 1 - i] : 1;
        size_t y = i < b->ndim ? b->size[b->ndim - 1 - i] : 1;
        if (x != y && x != 1 && y != 1)
            return false;
        size[n - 1 - i] = x == 1 ? y : x;
    }
    *ndim = n;
    return true;
}

/* ---- the record ---- */

static size_t record_bytes(size_t n_in) { return sizeof(at_call) + n_in * (sizeof(at_tensor *) + sizeof(uint32_t)); }

const at_op *at_any_op(const at_op_entry *entry)
{
    for (int d = 0; d < AT_DTYPES; d++)
        if (entry->of[d])
            return entry->of[d];
    return NULL;
}

static bool is_scalar_kind(at_kind kind) { return kind >= AT_NUMBER && kind != AT_SIZES; }

at_call *at_call_new(const at_op_entry *entry, size_t n_in, at_error *e)
{
    at_call *c = n_in <= UINT16_MAX ? at_alloc(record_bytes(n_in)) : NULL;
    if (!c) {
        at_error_memory(e, "a call", record_bytes(n_in));
        return NULL;
    }
    memset(c, 0, sizeof *c);
    c->entry = entry;
    c->op = at_any_op(entry);
    c->refs = 1;
    c->done = true; /* nothing is held yet */
    c->n_in = (uint16_t)n_in;
    c->in = (at_tensor **)(void *)(c + 1);
    c->version = (uint32_t *)(void *)(c->in + n_in);
    memset(c->in, 0, n_in * sizeof *c->in);
    int k = 0;
    for (const at_arg *a = c->op->args; a->kind != AT_END; a++) {
        if (!is_scalar_kind(a->kind))
            continue;
        if (a->kind == AT_NUMBER)
            c->arg[k].number = a->value;
        else if (a->kind == AT_FLAG)
            c->arg[k].flag = a->value != 0;
        else if (a->kind == AT_COUNTS)
            c->arg[k].counts[0] = c->arg[k].counts[1] = (int32_t)a->value;
        else if (a->kind != AT_STRING)
            c->arg[k].integer = (int64_t)a->value;
        k++;
    }
    return c;
}

bool at_keeps_in(const at_op *op, int k) { return op->keeps == 0 || (op->keeps & AT_KEEP(k < 15 ? k : 15)); }

bool at_keeps_out(const at_op *op, int k) { return op->keeps == 0 || (op->keeps & AT_KEEP_OUT(k)); }

void at_node_finish(at_node *c)
{
    if (c->done)
        return;
    c->done = true;
    for (int k = 0; k < c->n_in; k++) {
        at_tensor *t = c->in[k];
        c->in[k] = NULL;
        if (!t)
            continue;
        if (!c->recorded || at_keeps_in(c->op, k))
            at_release(t);
        else
            at_unhold(t);
    }
    for (int k = 0; k < c->n_saved; k++) {
        at_release(c->saved[k]);
        c->saved[k] = NULL;
    }
    if (c->recorded)
        for (int k = 0; k < c->n_out; k++)
            if (at_keeps_out(c->op, k) && c->out[k] && --c->out[k]->uses == 0) {
                at_storage_release(c->out[k]->storage);
                c->out[k]->storage = NULL;
            }
    if (c->extra) {
        at_free_extra(c->extra);
        c->extra = NULL;
    }
}

/* The last reference is gone: whatever outputs are left here have no handle any more. */
static void destroy(at_call *c)
{
    at_node_finish(c);
    for (int k = 0; k < c->n_out; k++) {
        at_tensor *t = c->out[k];
        if (t && c->recorded)
            at_record_free(t);
        else
            at_release(t);
    }
    at_free(c, record_bytes(c->n_in));
}

void at_node_unref(at_node *c)
{
    if (--c->refs == 0)
        destroy(c);
}

void at_node_output_dropped(at_node *c, at_tensor *t)
{
    if (t->uses == 0) {
        at_storage_release(t->storage);
        t->storage = NULL;
    }
    at_node_unref(c);
}

at_tensor *at_call_take(at_call *c, int k)
{
    if (k >= c->n_out || c->taken >> k & 1)
        return NULL;
    c->taken |= (uint16_t)(1u << k);
    return c->out[k];
}

void at_call_end(at_call *c)
{
    if (!c)
        return;
    for (int k = 0; k < c->n_out; k++)
        if (!(c->taken >> k & 1)) {
            at_tensor *t = c->out[k];
            if (!c->recorded)
                c->out[k] = NULL;
            at_release(t);
        } else if (!c->recorded) {
            c->out[k] = NULL;
        }
    at_node_unref(c);
}

/* ---- checks before shape ---- */

static const char *float_names = "float32 or float64";

const char *at_input_name(const at_call *c, int k, char *buffer, size_t size)
{
    int at = 0;
    for (const at_arg *a = c->op->args; a->kind != AT_END; a++) {
        if (a->kind == AT_LIST || a->kind == AT_TENSORS) {
            snprintf(buffer, size, "tensor %d", k - at + 1);
            return buffer;
        }
        if (a->kind < AT_NUMBER && at++ == k)
            return a->name;
    }
    return "x";
}

static at_kind input_kind(const at_op *op, int k)
{
    int at = 0;
    for (const at_arg *a = op->args; a->kind != AT_END; a++) {
        if (a->kind == AT_LIST || a->kind == AT_TENSORS)
            return a->kind;
        if (a->kind < AT_NUMBER && at++ == k)
            return a->kind;
    }
    return AT_ANY;
}

/* The input whose dtype the operation has: the first that is no id or mask; a bool operand becomes what a float one is. */
static int leading(const at_call *c)
{
    int first = -1;
    for (int k = 0; k < c->n_in; k++) {
        at_kind kind = input_kind(c->op, k);
        if (!c->in[k] || kind == AT_IDS || kind == AT_MASK || (kind == AT_TENSORS && !at_is_float(c->in[k])) ||
            at_is_kept(c->in[k]))
            continue;
        if (first < 0)
            first = k;
        if (c->in[first]->dtype != AT_BOOL || kind != AT_OPERAND || c->op->dtype == AT_DTYPES)
            return first;
        if (at_is_float(c->in[k]))
            return k;
    }
    return first;
}

/* Whether an operation that has int64 takes this dtype by way of it. */
static bool widens(const at_call *c, int dtype) { return dtype == AT_BOOL || (dtype == AT_U8 && c->op->bytes); }

/* Whether the operation takes input k, a weight kept for inference; the others are as input `first`. */
static bool check_kept(at_call *c, int k, at_kind kind, int first)
{
    char buffer[32], other[32];
    const at_tensor *t = c->in[k];
    const char *name = at_input_name(c, k, buffer, sizeof buffer);
    if (kind != AT_WEIGHT && !(kind == AT_LIST && c->op->reads_kept))
        return at_fail(c, "%s is %s, " AT_KEPT_FOR " (%s: %s)", name, at_dtype_name((at_dtype)t->dtype), name,
                       at_describe(t).text);
    if (first >= 0 && c->in[first]->dtype != AT_F32)
        return at_fail(c, "%s is %s, expected float32 beside %s, which is %s (%s: %s)",
                       at_input_name(c, first, other, sizeof other), at_dtype_name((at_dtype)c->in[first]->dtype), name,
                       at_dtype_name((at_dtype)t->dtype), name, at_describe(t).text);
    if (at_recording(c))
        return at_fail(c,
                       "%s is %s, kept for inference, through which no gradient passes: attn.no_grad, or "
                       "model:to(\"float32\") and its float32 weights again (%s: %s)",
                       name, at_dtype_name((at_dtype)t->dtype), name, at_describe(t).text);
    return true;
}

/* Chooses the member of the entry that fits the tensors. */
static bool pick(at_call *c)
{
    char name[32], other[32];
    int first = leading(c);
    bool promote = false;
    if (c->n_in == 0)
        return at_fail(c, "%s is empty, expected at least 1 tensor",
                       c->op->args[0].kind == AT_LIST ? c->op->args[0].name : "the list");
    for (int k = 0; k < c->n_in; k++) {
        at_tensor *t = c->in[k];
        if (!t)
            continue;
        at_kind kind = input_kind(c->op, k);
        if (!t->storage)
            return at_fail(c, "%s: tensor was freed", at_input_name(c, k, name, sizeof name));
        if (at_is_kept(t)) {
            if (!check_kept(c, k, kind, first))
                return false;
            continue;
        }
        if (kind == AT_TENSORS && !at_is_float(t))
            continue;
        if (kind == AT_IDS) {
            if (t->dtype != AT_I64)
                return at_fail(c, "%s is %s, expected int64 (%s: %s)", at_input_name(c, k, name, sizeof name),
                               at_dtype_name(t->dtype), at_input_name(c, k, name, sizeof name), at_describe(t).text);
        } else if (kind == AT_MASK) {
            if (t->dtype != AT_BOOL)
                return at_fail(c, "%s is %s, expected bool (%s: %s)", at_input_name(c, k, name, sizeof name),
                               at_dtype_name(t->dtype), at_input_name(c, k, name, sizeof name), at_describe(t).text);
        } else if (k == first) {
            if (!c->entry->of[t->dtype]) {
                if (widens(c, t->dtype) && c->entry->of[AT_I64])
                    promote = true;
                else
                    return at_fail(c, "%s is %s, expected %s (%s: %s)", at_input_name(c, k, name, sizeof name),
                                   at_dtype_name(t->dtype),
                                   c->entry->of[AT_I64] && c->entry->of[AT_F32] ? "float32, float64 or int64"
                                   : c->entry->of[AT_I64]                       ? "int64"
                                                                                : float_names,
                                   at_input_name(c, k, name, sizeof name), at_describe(t).text);
            }
        } else if (t->dtype != c->in[first]->dtype && !c->op->custom) {
            bool number = kind == AT_OPERAND && c->op->dtype != AT_DTYPES;
            if (number && t->dtype == AT_BOOL && at_is_float(c->in[first]))
                continue;
            if ((widens(c, t->dtype) || t->dtype == AT_I64) && !at_is_float(c->in[first]) && c->entry->of[AT_I64] &&
                c->op->dtype != AT_DTYPES)
                promote = true;
            else
                return at_fail(c, "%s is %s, but %s is %s (%s: %s)", at_input_name(c, k, name, sizeof name),
                               at_dtype_name(t->dtype), at_input_name(c, first, other, sizeof other),
                               at_dtype_name(c->in[first]->dtype), at_input_name(c, k, name, sizeof name),
                               at_describe(t).text);
        }
    }
    if (first >= 0)
        c->op = c->entry->of[promote ? AT_I64 : c->in[first]->dtype];
    return true;
}

/* From what scripts write (at_dim_bit) to dimensions of x, from 0. */
static bool resolve_set(at_call *c, const at_arg *a, int64_t *set)
{
    const at_tensor *x = c->in[0];
    int64_t found = 0;
    if (*set && x->ndim == 0)
        return at_fail(c, "x is a scalar, expected at least 1 dimension (x: %s)", at_describe(x).text);
    for (int64_t d = -8; d <= 8; d++) {
        if (!(*set & at_dim_bit(d)))
            continue;
        if (d > x->ndim || d < -x->ndim)
            return at_fail(c, "%s is %lld, expected 1..%d or -%d..-1 (x: %s)", a->name, (long long)d, x->ndim, x->ndim,
                           at_describe(x).text);
        int64_t bit = (int64_t)1 << (d > 0 ? d - 1 : d + x->ndim);
        if (found & bit)
            return at_fail(c, "%s names dimension %lld twice (x: %s)", a->name,
                           (long long)(d > 0 ? d : d + x->ndim + 1), at_describe(x).text);
        found |= bit;
    }
    *set = found;
    return true;
}

static bool resolve_dims(at_call *c)
{
    int k = 0;
    for (const at_arg *a = c->op->args; a->kind != AT_END; a++) {
        if (!is_scalar_kind(a->kind))
            continue;
        bool given = !a->optional || c->given >> k & 1 || a->value != 0;
        if ((a->kind == AT_DIM || a->kind == AT_NEW_DIM) && given) {
            const at_tensor *t = c->in[0];
            int64_t ndim = t->ndim + (a->kind == AT_NEW_DIM), d = c->arg[k].integer;
            if (ndim == 0)
                return at_fail(c, "x is a scalar, expected at least 1 dimension (x: %s)", at_describe(t).text);
            if (d == 0 || d > ndim || d < -ndim)
                return at_fail(c, "%s is %lld, expected 1..%lld or -%lld..-1 (x: %s)", a->name, (long long)d,
                               (long long)ndim, (long long)ndim, at_describe(t).text);
            c->arg[k].integer = d > 0 ? d - 1 : d + ndim;
        }
        if (a->kind == AT_DIMS && !resolve_set(c, a, &c->arg[k].integer))
            return false;
        k++;
    }
    return true;
}

/* Bool and uint8 inputs of an operation on numbers become its numbers; inputs of an operation that reads rows become contiguous. */
static bool convert_inputs(at_call *c)
{
    for (int k = 0; k < c->n_in; k++) {
        at_tensor *t = c->in[k];
        if (!t)
            continue;
        at_kind kind = input_kind(c->op, k);
        bool narrow = t->dtype == AT_BOOL && kind == AT_OPERAND && c->op->dtype < AT_DTYPES;
        if ((c->op->dtype == AT_I64 && t->dtype != AT_I64 && kind != AT_MASK) || narrow) {
            at_tensor *wide = at_tensor_new(c->op->dtype, t->ndim, t->size, c->error);
            if (!wide)
                return at_error_place(c->error, short_name(c));
            at_copy_elements(wide, t);
            at_release(t);
            c->in[k] = wide;
            if (!at_uninterrupted(c->error))
                return false;
        } else if (!c->op->strided && !at_contiguous(t)) {
            at_tensor *packed = at_make_contiguous(t, c->error);
            if (!packed)
                return false;
            at_release(t);
            c->in[k] = packed;
        }
    }
    return true;
}

/* ---- running ---- */

static void record(at_call *c)
{
    const at_op *op = c->op;
    c->recorded = true;
    for (int k = 0; k < c->n_out; k++) {
        at_tensor *t = c->out[k];
        if (at_keeps_out(op, k)) {
            t->uses++;
            c->out_version[k] = t->storage->version;
        }
        t->node = c;
        c->refs++;
    }
    for (int k = 0; k < c->n_in; k++) {
        at_tensor *t = c->in[k];
        if (!t)
            continue;
        if (at_keeps_in(op, k)) {
            c->version[k] = t->storage->version;
        } else {
            c->version[k] = t->dtype; /* a layer may be converted in place before the backward pass */
            at_hold(t);
            at_release(t);
        }
    }
    if (at_where)
        at_where(&c->source, &c->line);
}

static bool compute(at_call *c, at_error *e)
{
    c->error = e;
    c->done = false;
    for (int k = 0; k < c->n_in; k++)
        at_retain(c->in[k]);
    if (!pick(c) || !resolve_dims(c) || !convert_inputs(c) || !c->op->shape(c)) {
        c->error = NULL;
        return false;
    }
    c->work = c->scratch ? at_alloc(c->scratch) : at_no_work;
    if (!c->work) {
        c->error = NULL;
        return at_error_memory(e, c->op->name, c->scratch);
    }
    if (c->op->forward)
        c->op->forward(c);
    if (c->scratch)
        at_free(c->work, c->scratch);
    c->work = NULL;
    c->error = NULL;
    return at_uninterrupted(e) && (!at_anomaly || at_anomaly_forward(c, e));
}

bool at_call_run(at_call *c, at_error *e)
{
    at_timing t;
    if (at_profiling)
        at_profile_begin(&t, NULL);
    bool ok = compute(c, e);
    if (at_profiling)
        at_profile_end(&t, ok ? c : NULL, AT_FORWARD);
    if (!ok)
        return false;
    if (at_recording(c))
        record(c);
    else
        at_node_finish(c);
    return true;
}
