/*
 * What a call of attention is asked to do: arguments, masks, lengths and windows as spans, keys that nobody may see.
 *
 * Lengths, causal order and windows become spans before anything is computed, so that work and memory go with the
 * window. A key that nobody may see is set to zero before a product with parameters only when it is not finite: zero
 * times NaN would reach the parameters' gradients.
 */
#include "attn/attention/call.h"

#include <math.h>

static bool no(const at_attend_call *c, at_tensor *nothing)
{
    (void)c;
    return nothing != NULL;
}

#define REFUSE(c, ...) no(c, at_refuse((c)->g, __VA_ARGS__))

static bool check_arguments(at_attend_call *c)
{
    const at_attention *a = c->a;
    at_build *g = c->g;
    if (!at_expect(g, c->l, "query", c->query, 2, 3, (int64_t)a->query) ||
        !at_expect(g, c->l, "key", c->key, 3, 3, (int64_t)a->key))
        return false;
    if (!c->value && a->value != a->key)
        return REFUSE(c, "value is missing: it is %zu wide and the key %zu, so the key cannot stand for it", a->value,
                      a->key);
    c->value = c->value ? c->value : c->key;
    if (!at_expect(g, c->l, "value", c->value, 3, 3, (int64_t)a->value))
        return false;
    c->step = c->query->ndim == 2;
    if (c->step && !(c->query = at_unsqueeze(g, c->query, 2)))
        return false;
    c->B = c->query->size[0];
    c->Tq = c->query->size[1];
    c->fresh = c->key->size[1];
    if (c->key->size[0] != c->B)
        return REFUSE(c, "key has %zu rows, expected %zu as the query (key: %s, query: %s)", c->key->size[0], c->B,
                      at_describe(c->key).text, at_describe(c->query).text);
    if (c->value->size[0] != c->B || c->value->size[1] != c->fresh)
        return REFUSE(c, "value has shape %s, expected [%zu, %zu, %zu] as the key (key: %s)",
                      at_describe_shape(3, c->value->size).text, c->B, c->fresh, a->value, at_describe(c->key).text);
    c->offset = c->o.cache ? at_cache_length(c->o.cache) : 0;
    c->Tk = (size_t)c->offset + c->fresh;
    c->position = c->o.position ? c->o.position : c->offset + 1;
    return true;
}

/* A mask or bias as [B or 1, H or 1, Tq or 1, Tk]. */
static bool spread(at_attend_call *c, const char *name, at_tensor *t, at_tensor **out)
{
    at_build *g = c->g;
    if (!t)
        return true;
    size_t H = c->a->heads, full[4] = {c->B, c->a->heads, c->Tq, c->Tk};
    bool fits = false;
    at_tensor *x = NULL;
    if (t->ndim == 2) {
        fits = t->size[0] == c->Tq && t->size[1] == c->Tk;
        if (fits) {
            x = at_unsqueeze(g, at_unsqueeze(g, t, 1), 1);
        } else if (c->Tq == 1 && t->size[0] == c->B && t->size[1] == c->Tk) {
            fits = true;
            x = at_unsqueeze(g, at_unsqueeze(g, t, 2), 2);
        }
    } else if (t->ndim == 3) {
        fits = (t->size[0] == c->B || t->size[0] == 1) && t->size[1] == c->Tq && t->size[2] == c->Tk;
        x = fits ? at_unsqueeze(g, t, 2) : NULL;
    } else if (t->ndim == 4) {
        fits = true;
        for (int d = 0; d < 4; d++)
            fits = fits && (t->size[d] == full[d] || (t->size[d] == 1 && d < 2));
        x = t;
    }
    if (!fits)
        return REFUSE(c, "%s has shape %s, expected [%zu, %zu], [%zu, %zu, %zu] or [%zu, %zu, %zu, %zu] (%s: %s)", name,
                      at_describe_shape(t->ndim, t->size).text, c->Tq, c->Tk, c->B, c->Tq, c->Tk, c->B, H, c->Tq, c->Tk,
                      name, at_describe(t).text);
    *out = x;
    return x != NULL;
}

/* A distribution over all rows at once: queries and keys are one sequence, of which lengths only may take away. */
static bool check_square(at_attend_call *c)
{
    const at_attend_options *o = &c->o;
    const at_row_kind *d = c->a->distribution;
    const char *what = o->mask ? "mask" : o->key_mask ? "key_mask" : o->causal ? "causal" : o->cache ? "cache" : NULL;
    if (!d->square)
        return true;
    if (what)
        return REFUSE(
            c, "\"%s\" is a distribution over all rows at once, which leaves nothing for %s to cut (lengths are fine)",
            d->part.name, what);
    if (c->Tq != c->Tk)
        return REFUSE(c, "\"%s\" needs a key for every query, but there are %zu queries and %zu keys", d->part.name,
                      c->Tq, c->Tk);
    return true;
}

static bool check_options(at_attend_call *c)
{
    const at_attend_options *o = &c->o;
    if (o->lengths) {
        if (o->lengths->ndim != 1 || o->lengths->size[0] != c->B)
            return REFUSE(c, "lengths has shape %s, expected [%zu]",
                          at_describe_shape(o->lengths->ndim, o->lengths->size).text, c->B);
        for (size_t b = 0; b < c->B; b++) {
            int64_t n = at_ids(o->lengths)[(ptrdiff_t)b * o->lengths->step[0]];
            if (n < 0 || n > (int64_t)c->Tk)
                return REFUSE(c, "lengths[%zu] is %lld, expected 0 to %zu", b + 1, (long long)n, c->Tk);
        }
    }
    if (o->key_mask && (o->key_mask->ndim != 2 || o->key_mask->size[0] != c->B || o->key_mask->size[1] != c->Tk))
        return REFUSE(c, "key_mask has shape %s, expected [%zu, %zu]",
                      at_describe_shape(o->key_mask->ndim, o->key_mask->size).text, c->B, c->Tk);
    if (o->bias && o->bias->dtype != c->l->dtype)
        return REFUSE(c, "bias is %s, but the layer is %s (bias: %s)", at_dtype_name((at_dtype)o->bias->dtype),
                      at_dtype_name(c->l->dtype), at_describe(o->bias).text);
    if (c->a->score->direct && (o->mask || o->bias))
        return REFUSE(c,
                      "linear attention never forms the pair of a query and a key, so it takes no %s (lengths, "
                      "key_mask and causal are fine)",
                      o->mask ? "mask" : "bias");
    if (c->a->score->direct && o->want_weights && c->offset > 0)
        return REFUSE(c, "weights of keys in the cache are gone: linear attention keeps their sum only");
    if (!check_square(c))
        return false;
    if (o->rows[0] && (o->rows[0] < 1 || o->rows[1] < o->rows[0] || o->rows[1] > (int64_t)c->Tq))
        return REFUSE(c, "weights.rows is {%lld, %lld}, expected a range within 1 to %zu", (long long)o->rows[0],
                      (long long)o->rows[1], c->Tq);
    return spread(c, "mask", o->mask, &c->mask) && spread(c, "bias", o->bias, &c->bias);
}

static int64_t length_of(const at_attend_call *c, size_t b)
{
    return c->o.lengths ? at_ids(c->o.lengths)[(ptrdiff_t)b * c->o.lengths->step[0]] : (int64_t)c->Tk;
}

/* ---- spans ---- */

static bool find_place(at_attend_call *c)
{
    at_tensor *valid = at_own(c->g, at_tensor_new(c->l->dtype, 1, &c->B, c->g->error));
    if (!valid)
        return false;
    for (size_t b = 0; b < c->B; b++)
        if (c->l->dtype == AT_F32)
            ((float *)(void *)valid->data)[b] = (float)length_of(c, b);
        else
            ((double *)(void *)valid->data)[b] = (double)length_of(c, b);
    c->place = c->a->window->place(c->g, c->l, c->query, valid);
    return c->place != NULL;
}

/* Lengths, causal order and window as the range of keys of every query; NULL if all keys are in reach of all. */
static bool find_span(at_attend_call *c)
{
    const at_window *w = c->a->window;
    if (w && w->place && !find_place(c))
        return false;
    if (!c->o.lengths && !c->o.causal && !w)
        return true;
    c->span = at_own(c->g, at_tensor_new(AT_I64, 3, (size_t[]){c->B, c->Tq, 2}, c->g->error));
    if (!c->span)
        return false;
    int64_t *s = (int64_t *)(void *)c->span->data;
    for (size_t b = 0; b < c->B; b++)
        for (size_t i = 0; i < c->Tq; i++, s += 2) {
            at_range range = {0, length_of(c, b)};
            int64_t place = c->offset + (int64_t)i;
            if (c->o.causal && place + 1 < range.hi)
                range.hi = place + 1;
            if (w)
                w->cut(c->a->chosen[AT_PART_WINDOW].set, place, c->position + (int64_t)i,
                       c->place ? at_element(c->place, (ptrdiff_t)(b * c->Tq + i)) : 0, &range);
            s[0] = range.hi > range.lo ? range.lo : 0;
            s[1] = range.hi > range.lo ? range.hi - range.lo : 0;
        }
    return true;
}

/* ---- keys that nobody sees ---- */

static bool finite_row(const at_tensor *t, size_t b, size_t j)
{
    ptrdiff_t at = (ptrdiff_t)b * t->step[0] + (ptrdiff_t)j * t->step[1];
    bool finite = true;
    for (size_t d = 0; d < t->size[2]; d++, at += t->step[2])
        finite = finite && (t->dtype == AT_F32 ? isfinite(((const float *)(const void *)t->data)[at])
                                               : isfinite(((const double *)(const void *)t->data)[at]));
    return finite;
}

static bool in_key_mask(const at_attend_call *c, size_t b, size_t j)
{
    const at_tensor *m = c->o.key_mask;
    return !m || m->data[(ptrdiff_t)b * m->step[0] + (ptrdiff_t)j * m->step[1]];
}

/* Whether the mask lets any query of any head see key j, counted from 0 in the whole sequence. */
static bool seen(const at_attend_call *c, size_t b, size_t j)
{
    const at_tensor *m = c->mask;
    const char *row = m->data + (m->size[0] > 1 ? (ptrdiff_t)b * m->step[0] : 0) + (ptrdiff_t)j * m->step[3];
    for (size_t i = 0; i < c->Tq; i++) {
        at_span s = at_span_of(c->span, c->Tq, c->Tk, b, i);
        for (size_t h = 0; j >= s.lo && j < s.lo + s.n && h < m->size[1]; h++)
            if (row[(ptrdiff_t)h * m->step[1] + (m->size[2] > 1 ? (ptrdiff_t)i * m->step[2] : 0)])
                return true;
    }
    return false;
}

/* Keys and values that are not finite and that nobody sees become zeros, where a zero gradient would be multiplied by
 * them. */
static bool clear_unseen(at_attend_call *c)
{
    at_build *g = c->g;
    bool own = c->value != c->key;
    bool met = c->a->project || c->a->score->key || (c->a->score->direct && c->o.want_weights);
    if (!at_grad_enabled || !met || !(c->span || c->mask || c->o.key_mask))
        return true;
    at_tensor *gone = NULL;
    for (size_t b = 0; b < c->B; b++) {
        size_t lo = c->Tk, hi = 0; /* keys within a span of this row */
        for (size_t i = 0; i < c->Tq; i++) {
            at_span s = at_span_of(c->span, c->Tq, c->Tk, b, i);
            lo = s.n && s.lo < lo ? s.lo : lo;
            hi = s.n && s.lo + s.n > hi ? s.lo + s.n : hi;
        }
        for (size_t k = 0; k < c->fresh; k++) {
            size_t j = (size_t)c->offset + k;
            bool out = j < lo || j >= hi || !in_key_mask(c, b, j);
            if ((!out && !c->mask) || (finite_row(c->key, b, k) && (!own || finite_row(c->value, b, k))) ||
                (!out && seen(c, b, j)))
                continue;
            if (!gone && !(gone = at_own(g, at_tensor_zeros(AT_BOOL, 3, (size_t[]){c->B, c->fresh, 1}, g->error))))
                return false;
            gone->data[b * c->fresh + k] = 1;
        }
    }
    if (!gone)
        return true;
    at_tensor *key = c->key, *value = c->value;
    c->key = AT_APPLY(g, masked_fill, .in = {key, gone}, .arg = {at_num(0)});
    c->value = own ? AT_APPLY(g, masked_fill, .in = {value, gone}, .arg = {at_num(0)}) : c->key;
    return at_ok(g);
}

/* ---- all of it ---- */

bool at_attend_check(at_attend_call *c)
{
    return check_arguments(c) && check_options(c) && find_span(c) && clear_unseen(c);
}
