/*
 * attention: c_i = sum_j g(f(q_i, k_j)) v_j, each part of the sentence a field of its own.
 *
 *   query  [B, Tq, query]    key  [B, Tk, key]    value  [B, Tk, value]    context  [B, Tq, value]
 *
 * Set-up, call and methods; what a call is asked to do is call.c, which way the numbers are made path.c, and what there
 * is to choose from parts.c. Weights that are returned are those before dropout.
 */
#include "attn/attention/call.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- fields ---- */

enum {
    QUERY,
    KEY,
    VALUE,
    DIM,
    SCORE,
    DISTRIBUTION,
    WINDOW,
    HEADS,
    KV_HEADS,
    PROJECT,
    OUT,
    SCORE_DIM,
    BIAS,
    POSITION,
    OUTPUT,
    DROPOUT,
    SCORE_MOD,
    MASK_MOD,
    TENSORS,
    OWN_FIELDS /* behind them those of the parts */
};
enum { LENGTHS, KEY_MASK, MASK, CALL_BIAS, CAUSAL, PLACE, WEIGHTS, CACHE, PATH };

static at_field fields[AT_MAX_FIELD] = {
    [QUERY] = {"query", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of the queries"},
    [KEY] = {"key", AT_FIELD_INTEGER, AT_POSITIVE, .help = "width of the keys; default: query"},
    [VALUE] = {"value", AT_FIELD_INTEGER, AT_POSITIVE, .help = "width of the values; default: key"},
    [DIM] = {"dim", AT_FIELD_INTEGER, AT_POSITIVE,
             .help = "width of the projections, all heads together (default: query); without "
                     "projections of the score space (additive, concat, synthesizer_dense, predictive)"},
    [SCORE] = {"score", AT_FIELD_CHOICE, .help = "e(q, k)"},
    [DISTRIBUTION] = {"distribution", AT_FIELD_CHOICE, .help = "from scores to weights"},
    [WINDOW] = {"window", AT_FIELD_TABLE, .help = "{type =, and the fields of that window}; default: all keys"},
    [HEADS] = {"heads", AT_FIELD_INTEGER, .value = 1, AT_POSITIVE, .help = "more than one implies project"},
    [KV_HEADS] = {"kv_heads", AT_FIELD_INTEGER, AT_POSITIVE,
                  .help = "heads of keys and values, shared by groups of queries; "
                          "default: heads"},
    [PROJECT] = {"project", AT_FIELD_FLAG, .help = "learned projections of query, key, value and result"},
    [OUT] = {"out", AT_FIELD_INTEGER, AT_POSITIVE, .help = "width of the projected result; default: query"},
    [SCORE_DIM] = {"score_dim", AT_FIELD_INTEGER, AT_POSITIVE,
                   .help = "with projections: width of the score space of one head; "
                           "default: dim / heads"},
    [BIAS] = {"bias", AT_FIELD_FLAG, .value = true,
              .help = "false drops every bias, of the projections and of the score"},
    [POSITION] = {"position", AT_FIELD_CHOICE, .help = "positions of queries and keys"},
    [OUTPUT] = {"output", AT_FIELD_CHOICE, .choices = "single|multi_dimensional",
                .help = "one weight per key, or one per feature "
                        "of the value"},
    [DROPOUT] = {"dropout", AT_FIELD_NUMBER, AT_PROBABILITY, .help = "on the weights, in training"},
    [SCORE_MOD] = {"score_mod", AT_FIELD_VALUE,
                   .help = "function(s, at): the score in place of s, from s and its places"},
    [MASK_MOD] = {"mask_mod", AT_FIELD_VALUE, .help = "function(at): which pairs may attend, a bool of their places"},
    [TENSORS] = {"tensors", AT_FIELD_VALUE, .help = "by name, those that score_mod and mask_mod read as at.NAME"},
};

static const at_field options[] = {
    [LENGTHS] = {"lengths", AT_FIELD_IDS, .help = "valid keys of each row [B]"},
    [KEY_MASK] = {"key_mask", AT_FIELD_MASK, .help = "keys that may be attended to [B, Tk]"},
    [MASK] = {"mask", AT_FIELD_MASK, .help = "pairs that may attend [Tq, Tk], [B, Tq, Tk] or [B, H, Tq, Tk]"},
    [CALL_BIAS] = {"bias", AT_FIELD_TENSOR, .help = "added to the scores, the shapes of mask"},
    [CAUSAL] = {"causal", AT_FIELD_FLAG, .help = "query i sees keys 1 to i"},
    [PLACE] = {"position", AT_FIELD_INTEGER, AT_POSITIVE,
               .help = "decoding step of the first query, for monotonic windows"},
    [WEIGHTS] = {"weights", AT_FIELD_VALUE,
                 .help = "true, or {rows = {first, last}, heads = {...}} for a part of them"},
    [CACHE] = {"cache", AT_FIELD_VALUE, .help = "of attend:cache(): keys and values so far, to which these are added"},
    [PATH] = {"path", AT_FIELD_CHOICE, .choices = "auto|composed",
              .help = "composed: without fused kernels, to compare with"},
    {0},
};

static bool was_given(const at_layer *l, int field) { return l->given >> field & 1; }

/* ---- which axes combine ---- */

static bool refuse(at_error *e, const char *what) { return at_error_set(e, "attention: %s", what); }

static bool spans_dim(const at_part *p)
{
    for (int k = 0; p && k < AT_PART_PARAMS; k++)
        if (p->param[k].size[0] == AT_SIZE_DIM || p->param[k].size[1] == AT_SIZE_DIM)
            return true;
    return false;
}

/* Fields that only some axes read. */
static bool check_fields(const at_layer *l, at_error *e)
{
    const at_attention *a = l->own;
    for (int f = OUT; f <= SCORE_DIM; f++)
        if (was_given(l, f) && !a->project)
            return at_error_set(e, "attention: %s belongs to projections, but project is false", fields[f].name);
    if (spans_dim(at_part_of(a, AT_PART_SCORE)) && !was_given(l, DIM) && !a->project)
        return at_error_set(e, "attention: score \"%s\" needs dim, the width of its score space", a->score->part.name);
    if (spans_dim(at_part_of(a, AT_PART_WINDOW)) && !was_given(l, DIM) && !a->project)
        return at_error_set(e, "attention: window \"%s\" needs dim, the width of the space it predicts in",
                            a->window->part.name);
    return true;
}

static bool check_axes(const at_layer *l, at_error *e)
{
    const at_attention *a = l->own;
    const char *score = a->score->part.name;

    if (a->score->same_width && a->q != a->k)
        return at_error_set(
            e,
            "attention: score \"%s\" multiplies query and key, whose widths differ (%zu and %zu); general, additive "
            "and concat take any two, or project = true",
            score, a->q, a->k);
    if (a->multi && !a->score->multi)
        return at_error_set(
            e,
            "attention: output = \"multi_dimensional\" needs a score for each feature of the value, and \"%s\" is "
            "one number per key (additive has such a form)",
            score);
    if (a->multi && a->heads > 1)
        return refuse(e, "output = \"multi_dimensional\" weighs every feature for itself, which leaves nothing for "
                         "heads to tell apart");
    if (a->multi && a->distribution->samples)
        return refuse(e,
                      "hard_sample draws one key for a query, but output = \"multi_dimensional\" has weights for each "
                      "feature");
    if (a->score->direct && a->row != AT_ROW_softmax)
        return at_error_set(e,
                            "attention: linear attention has no scores that \"%s\" could act on: its weights are "
                            "phi(q) . phi(k) over their sum",
                            a->distribution->part.name);
    if (a->score->direct && a->window)
        return at_error_set(
            e,
            "attention: linear attention sums over all keys at once, which leaves no row of weights for a \"%s\" "
            "window to cut",
            a->window->part.name);
    if (a->score->direct && a->position && a->position->distance)
        return refuse(e, "linear attention has no scores that alibi could add to");
    if (a->score->direct && a->dropout > 0)
        return refuse(e, "linear attention forms no weights that dropout could act on");
    if (a->dropout > 0 && a->distribution->one_key)
        return at_error_set(e, "attention: \"%s\" keeps one key; dropout would leave none", a->distribution->part.name);
    if (a->distribution->square && a->window)
        return at_error_set(
            e,
            "attention: \"%s\" is a distribution over all rows at once, which leaves nothing for a \"%s\" window "
            "to cut",
            a->distribution->part.name, a->window->part.name);
    if (a->position && a->position->needs_project && !a->project)
        return at_error_set(e, "attention: position \"%s\" turns projected queries and keys; it needs project = true",
                            a->position->part.name);
    if (a->position && a->position->needs_keys && a->score->keyless)
        return at_error_set(
            e, "attention: position \"%s\" turns queries and keys, but score \"%s\" does not read the keys",
            a->position->part.name, score);
    if (a->position && a->position->turn && a->head % 2 != 0)
        return at_error_set(e, "attention: position \"%s\" turns pairs of features, but a head has %zu",
                            a->position->part.name, a->head);
    return true;
}

/* ---- functions of the script, as stdlib/expression.lua hands them over: programs, and a list of {name =, tensor =} ---- */

static bool read_program(const at_layer *l, int field, int count, at_tensor **to, at_error *e)
{
    at_value v = l->set[field].value;
    if (!was_given(l, field))
        return true;
    if (v.type != AT_TABLE || v.table->n < (size_t)count)
        return at_error_set(e, "attention: %s is %s, expected a function", fields[field].name,
                            at_describe_value(v).text);
    for (int k = 0; k < count; k++) {
        at_value x = v.table->entry[k].value;
        if (x.type != AT_TENSOR || x.tensor->dtype != AT_I64 || !at_contiguous(x.tensor))
            return at_error_set(e, "attention: %s is a table, expected a function", fields[field].name);
        to[k] = at_retain(x.tensor);
    }
    return true;
}

static bool read_functions(at_layer *l, at_error *e)
{
    at_attention *a = l->own;
    at_tensor *score[2] = {NULL};
    bool ok = read_program(l, SCORE_MOD, 2, score, e);
    a->score_mod = score[0];
    a->score_back = score[1];
    if (!ok || !read_program(l, MASK_MOD, 1, &a->mask_mod, e))
        return false;
    const char *name = a->score_mod ? "score_mod" : "mask_mod";
    if (!a->score_mod && !a->mask_mod)
        return !was_given(l, TENSORS) || refuse(e, "tensors belong to score_mod and mask_mod, and neither is given");
    if (a->score->direct)
        return at_error_set(
            e, "attention: linear attention never forms the pair of a query and a key, so it takes no %s", name);
    if (a->multi)
        return at_error_set(
            e, "attention: output = \"multi_dimensional\" has a score for each feature, and %s is of one", name);
    if (a->distribution->square && a->mask_mod)
        return at_error_set(
            e, "attention: \"%s\" is a distribution over all rows at once, which leaves nothing for mask_mod to cut",
            a->distribution->part.name);
    const at_table *list =
        was_given(l, TENSORS) && l->set[TENSORS].value.type == AT_TABLE ? l->set[TENSORS].value.table : NULL;
    a->first_captured = l->members;
    if (list && list->n > AT_MAX_CAPTURED)
        return at_error_set(e, "attention: there are %zu tensors, expected at most %d", list->n, AT_MAX_CAPTURED);
    for (size_t k = 0; list && k < list->n; k++) {
        at_value v = list->entry[k].value, key, x;
        char member[64];
        if (v.type != AT_TABLE || (key = at_table_get(v.table, "name")).type != AT_TEXT ||
            (x = at_table_get(v.table, "tensor")).type != AT_TENSOR)
            return refuse(e, "tensors are no list of names and tensors");
        snprintf(member, sizeof member, "tensors.%s", key.text);
        if (!at_share(l, member, x.tensor, e))
            return false;
        a->captured++;
    }
    return true;
}

static void dispose(at_layer *l)
{
    at_attention *a = l->own;
    at_release(a->score_mod);
    at_release(a->score_back);
    at_release(a->mask_mod);
}

/* ---- parameters ---- */

static size_t size_of(const at_layer *l, at_part_kind kind, at_size size)
{
    const at_attention *a = l->own;
    bool window = kind == AT_PART_WINDOW; /* it predicts from the query as it comes, in a space as wide as dim */
    if (size <= AT_SIZE_FIELDS)
        return (size_t)a->chosen[kind].set[AT_SIZE_FIELDS - size].integer;
    switch (size) {
    case AT_SIZE_QUERY: return window ? a->query : a->q;
    case AT_SIZE_KEY: return a->k;
    case AT_SIZE_BOTH: return a->q + a->k;
    case AT_SIZE_VALUE: return a->v;
    case AT_SIZE_DIM: return window ? a->dim : a->score_dim;
    default: return (size_t)size;
    }
}

/* Declares a tensor uniform in +-1 / sqrt(fan), zeros for a fan of 0, and notes its place among the members. */
static bool declare(at_layer *l, uint8_t *place, const char *name, size_t ndim, const size_t *size, size_t fan,
                    bool buffer, at_error *e)
{
    double bound = fan ? 1 / sqrt((double)fan) : 0;
    if (!(buffer ? at_buffer : at_param)(l, name, ndim, size, fan ? AT_INIT_UNIFORM : AT_INIT_ZERO, bound, e))
        return false;
    *place = (uint8_t)l->members;
    return true;
}

/* What the configuration says to a field of the part; NULL: no such field. */
static const at_setting *setting_of(const at_attention *a, at_part_kind kind, const char *name)
{
    const at_field *f = at_part_of(a, kind)->fields;
    for (int k = 0; name && f && f[k].name; k++)
        if (strcmp(f[k].name, name) == 0)
            return &a->chosen[kind].set[k];
    return NULL;
}

static bool declare_part(at_layer *l, at_part_kind kind, at_error *e)
{
    static const char *const prefix[AT_PART_KINDS] = {"score", "distribution", "window", "position"};
    at_attention *a = l->own;
    const at_part *part = at_part_of(a, kind);
    for (int k = 0; part && k < AT_PART_PARAMS; k++) {
        const at_part_param *p = &part->param[k];
        const at_setting *fixed = setting_of(a, kind, p->fixed_by), *instead = setting_of(a, kind, p->unless);
        if (!p->name || (p->bias && !a->bias) || (instead && instead->number != 0) ||
            p->when == (a->multi ? AT_SINGLE : AT_MULTI))
            continue;
        char name[64];
        size_t size[3], ndim = 0;
        snprintf(name, sizeof name, "%s.%s", prefix[kind], p->name);
        if (a->heads > 1 && kind != AT_PART_WINDOW)
            size[ndim++] = a->heads;
        for (int d = 0; d < 2 && p->size[d] != 0; d++)
            size[ndim++] = size_of(l, kind, p->size[d]);
        if (!declare(l, &a->chosen[kind].param[k], name, ndim, size, p->zero ? 0 : size[ndim - 1],
                     fixed && !fixed->flag, e))
            return false;
    }
    return true;
}

static bool declare_projections(at_layer *l, at_error *e)
{
    at_attention *a = l->own;
    static const char *const names[] = {"query", "key", "value", "out"};
    size_t kv = a->head * a->kv_heads;
    size_t to[] = {a->dim, kv, kv, a->out}, from[] = {a->query, a->key, a->value, a->dim};

    for (int k = 0; k < 4; k++) {
        char name[32];
        snprintf(name, sizeof name, "%s.weight", names[k]);
        if (!at_matrix(l, name, to[k], from[k], AT_INIT_UNIFORM, 1 / sqrt((double)from[k]), e))
            return false;
        a->projection[k] = (uint8_t)l->members;
        snprintf(name, sizeof name, "%s.bias", names[k]);
        if (a->bias && !declare(l, &a->projection_bias[k], name, 1, &to[k], from[k], false, e))
            return false;
    }
    return true;
}

static bool read_widths(at_layer *l, at_error *e)
{
    at_attention *a = l->own;
    a->query = (size_t)l->set[QUERY].integer;
    a->key = was_given(l, KEY) ? (size_t)l->set[KEY].integer : a->query;
    a->value = was_given(l, VALUE) ? (size_t)l->set[VALUE].integer : a->key;
    a->heads = (size_t)l->set[HEADS].integer;
    a->kv_heads = was_given(l, KV_HEADS) ? (size_t)l->set[KV_HEADS].integer : a->heads;
    a->project = a->heads > 1 || l->set[PROJECT].flag;
    a->bias = l->set[BIAS].flag;
    a->multi = l->set[OUTPUT].integer == 1;
    a->dropout = l->set[DROPOUT].number;
    a->dim = was_given(l, DIM) ? (size_t)l->set[DIM].integer : a->query;
    if (a->heads > 1 && was_given(l, PROJECT) && !l->set[PROJECT].flag)
        return refuse(e, "project is false, but heads are projections of query, key and value");
    if (a->heads % a->kv_heads != 0)
        return at_error_set(e, "attention: kv_heads is %zu, which does not divide heads (%zu)", a->kv_heads, a->heads);
    if (a->project && a->dim % a->heads != 0)
        return at_error_set(e, "attention: dim is %zu, which does not fall into %zu heads", a->dim, a->heads);
    a->head = a->dim / a->heads;
    a->out = !a->project ? a->value : was_given(l, OUT) ? (size_t)l->set[OUT].integer : a->query;
    a->q = a->project ? a->head : a->query;
    a->k = a->project ? a->head : a->key;
    a->v = a->project ? a->head : a->value;
    a->score_dim = was_given(l, SCORE_DIM) ? (size_t)l->set[SCORE_DIM].integer : a->project ? a->head : a->dim;
    return true;
}

static bool setup(at_layer *l, at_error *e)
{
    static const int choices[AT_PART_KINDS] = {
        [AT_PART_SCORE] = SCORE,
        [AT_PART_DISTRIBUTION] = DISTRIBUTION,
        [AT_PART_WINDOW] = WINDOW,
        [AT_PART_POSITION] = POSITION};
    at_attention *a = l->own;
    if (!at_part_read(l, choices, e))
        return false;
    if (!read_widths(l, e) || !check_fields(l, e) || !check_axes(l, e) || (a->project && !declare_projections(l, e)))
        return false;
    /* what a script reads from the layer is what holds, not what was left out */
    l->set[KEY].integer = (int64_t)a->key;
    l->set[VALUE].integer = (int64_t)a->value;
    l->set[DIM].integer = (int64_t)a->dim;
    l->set[KV_HEADS].integer = (int64_t)a->kv_heads;
    l->set[PROJECT].flag = a->project;
    l->set[OUT].integer = (int64_t)a->out;
    l->set[SCORE_DIM].integer = (int64_t)a->score_dim;
    for (at_part_kind kind = 0; kind < AT_PART_KINDS; kind++)
        if (!declare_part(l, kind, e))
            return false;
    return read_functions(l, e);
}

static void summary(const at_layer *l, char *text, size_t room)
{
    const at_attention *a = l->own;
    int n = snprintf(text, room, "%s, %s, %s, %s", a->score->part.name, a->distribution->part.name,
                     a->window ? a->window->part.name : "global", a->multi ? "multi_dimensional" : "single");
    if (a->heads > 1 && n > 0 && (size_t)n < room)
        n += snprintf(text + n, room - (size_t)n, ", %zu heads", a->heads);
    if (a->kv_heads < a->heads && n > 0 && (size_t)n < room)
        n += snprintf(text + n, room - (size_t)n, " (%zu of keys)", a->kv_heads);
    if (a->position && n > 0 && (size_t)n < room)
        n += snprintf(text + n, room - (size_t)n, ", %s", a->position->part.name);
    if ((a->score_mod || a->mask_mod) && n > 0 && (size_t)n < room)
        snprintf(text + n, room - (size_t)n, "%s%s", a->score_mod ? ", score_mod" : "",
                 a->mask_mod ? ", mask_mod" : "");
}

at_attention_shape at_attention_shape_of(const at_layer *attend)
{
    const at_attention *a = attend->own;
    return (at_attention_shape){
        .query = (int64_t)a->query,
        .key = (int64_t)a->key,
        .value = (int64_t)a->value,
        .output = (int64_t)a->out,
        .heads = (int64_t)a->heads,
        .projected = a->project,
        .samples = a->distribution->samples};
}

/* ---- helpers of scores ---- */

/* [B, T, Hx, D] with every head repeated until there are H. */
static at_tensor *repeat_heads(at_build *g, at_tensor *x, size_t H)
{
    if (!x || x->size[2] == H)
        return x;
    int64_t B = (int64_t)x->size[0], T = (int64_t)x->size[1], few = (int64_t)x->size[2], D = (int64_t)x->size[3],
            all = (int64_t)H;
    at_tensor *wide =
        AT_APPLY(g, expand, .in = {at_unsqueeze(g, x, 4)}, .sizes = (int64_t[]){B, T, few, all / few, D}, .n_sizes = 5);
    return at_reshape(g, wide, 4, (int64_t[]){B, T, all, D});
}

at_tensor *at_per_head(at_build *g, at_tensor *x, at_tensor *weight, bool turned, at_tensor *bias)
{
    if (!x || !weight || !at_ok(g))
        return NULL;
    if (weight->ndim == 2) {
        if (!turned)
            return at_linear(g, x, weight, bias);
        at_tensor *y = at_matmul(g, x, weight);
        return bias ? at_add(g, y, bias) : y;
    }
    size_t H = weight->size[0];
    int64_t B = (int64_t)x->size[0], T = (int64_t)x->size[1], in = (int64_t)x->size[3];
    int64_t out = (int64_t)weight->size[turned ? 2 : 1];
    at_tensor *rows = at_reshape(g, repeat_heads(g, x, H), 3, (int64_t[]){B * T, (int64_t)H, in});
    at_tensor *y =
        at_matmul(g, at_transpose(g, rows, 1, 2), turned ? weight : at_transpose(g, weight, 2, 3)); /* [H, BT, out] */
    if (bias)
        y = at_add(g, y, at_unsqueeze(g, bias, 2));
    return at_reshape(g, at_transpose(g, y, 1, 2), 4, (int64_t[]){B, T, (int64_t)H, out});
}

/* ---- results ---- */

static at_tensor *drop(at_build *g, at_tensor *x, int d, bool really)
{
    return x && really ? at_select(g, x, d, 1) : x;
}

/* The context of all heads side by side, projected. */
static at_tensor *finish_context(at_attend_call *c, at_tensor *y)
{
    const at_attention *a = c->a;
    if (!y)
        return NULL;
    y = at_reshape(c->g, y, 3, (int64_t[]){(int64_t)c->B, (int64_t)c->Tq, (int64_t)(a->v * a->heads)});
    return drop(c->g, at_attend_project(c, y, AT_PROJECT_OUT), 2, c->step);
}

static at_tensor *pick_heads(at_attend_call *c, at_tensor *w)
{
    at_build *g = c->g;
    const at_table *list = c->o.heads;
    at_tensor *ids = at_own(g, at_tensor_new(AT_I64, 1, &list->n, g->error));
    for (size_t i = 0; ids && i < list->n; i++) {
        at_value v = list->entry[i].value;
        int64_t at = list->entry[i].key ? 0 : list->entry[i].index;
        if (v.type != AT_WHOLE || v.whole < 1 || v.whole > (int64_t)c->a->heads || at < 1 || at > (int64_t)list->n)
            return at_refuse(g, "weights.heads holds %s, expected numbers from 1 to %zu", at_describe_value(v).text,
                             c->a->heads);
        ((int64_t *)(void *)ids->data)[at - 1] = v.whole;
    }
    return AT_APPLY(g, index_select, .in = {w, ids}, .arg = {at_int(2)});
}

/* Weights in the places of their keys, [B, Tq, Tk] or [B, H, Tq, Tk], or the part that was asked for. */
static at_tensor *finish_weights(at_attend_call *c, at_tensor *w)
{
    at_build *g = c->g;
    if (w && c->span && (w->size[3] != c->Tk || !at_span_aligned(c->span)))
        w = AT_APPLY(g, attend_expand, .in = {w, c->span}, .arg = {at_int((int64_t)c->Tk)});
    if (w && c->o.heads)
        w = pick_heads(c, w);
    if (w && c->o.rows[0])
        w = at_narrow(g, w, 3, c->o.rows[0], c->o.rows[1] - c->o.rows[0] + 1);
    if (c->a->multi) {
        w = at_transpose(g, at_transpose(g, w, 2, 3), 3, 4); /* [B, Tq, Tk, value] */
        return drop(g, w, 2, c->step);
    }
    w = drop(g, w, 3, c->step);
    return drop(g, w, 2, c->a->heads == 1);
}

at_tensor *at_attend(at_build *g, at_layer *attend, at_tensor *query, at_tensor *key, at_tensor *value,
                     const at_attend_options *o, at_attended *more)
{
    at_attend_call c = {.g = g, .l = attend, .a = attend->own, .query = query, .key = key, .value = value};
    at_tensor *y = NULL;

    if (more)
        *more = (at_attended){0};
    if (!at_ok(g) || !query || !key)
        return NULL;
    if (o)
        c.o = *o;
    c.o.want_weights = c.o.want_weights || c.a->distribution->samples;
    at_within before = at_layer_enter(g, attend);
    if (at_attend_check(&c))
        y = finish_context(&c, at_attend_heads(&c));
    if (y && more && c.o.want_weights)
        more->weights = finish_weights(&c, c.weights);
    if (y && more && c.logp) {
        more->logp = drop(g, drop(g, c.logp, 3, c.step), 2, c.a->heads == 1);
        more->probabilities = finish_weights(&c, c.p);
    }
    if (at_ok(g) && c.o.cache)
        at_cache_commit(c.o.cache, &c.growth);
    at_cache_abandon(&c.growth);
    if (!at_ok(g) && !g->failed)
        g->failed = &attend->base;
    at_layer_leave(g, &before);
    return at_ok(g) ? y : NULL;
}

bool at_attention_plain(at_build *g, at_layer *attend, at_tensor *memory, at_plain_attention *out)
{
    const at_attention *a = attend->own;
    *out = (at_plain_attention){.scale = 1};
    if (!a->score->plain || a->row != AT_ROW_softmax || a->window || a->position || a->project || a->multi ||
        a->score_mod || a->mask_mod || (a->dropout > 0 && attend->training) || a->key != a->value)
        return false;
    if (!at_ok(g) || !memory || !at_expect(g, attend, "memory", memory, 3, 3, (int64_t)a->key))
        return false;
    a->score->plain(g, attend, memory, out);
    return at_ok(g) && out->keys;
}

/* ---- methods ---- */

bool at_attend_read_weights(at_build *g, at_value v, bool layers, at_attend_options *o)
{
    if (v.type == AT_NIL)
        return true;
    if (v.type == AT_TRUTH) {
        o->want_weights = v.truth;
        return true;
    }
    if (v.type != AT_TABLE)
        return at_refuse(g, "weights is %s, expected true or {%srows = {first, last}, heads = {...}}",
                         at_describe_value(v).text, layers ? "layer =, " : "") != NULL;
    o->want_weights = true;
    for (size_t i = 0; i < v.table->n; i++) {
        const at_entry *entry = &v.table->entry[i];
        at_value x = entry->value;
        const char *name = entry->key ? entry->key : "1";
        if (layers && (strcmp(name, "layer") == 0 || (strcmp(name, "heads") == 0 && x.type == AT_TRUTH && x.truth)))
            continue;
        if (strcmp(name, "rows") != 0 && strcmp(name, "heads") != 0)
            return at_refuse(g, "weights has an unknown field '%.40s' (known: %srows, heads)", name,
                             layers ? "layer, " : "") != NULL;
        if (x.type != AT_TABLE)
            return at_refuse(g, "weights.%s is %s, expected a table", name, at_describe_value(x).text) != NULL;
        if (strcmp(name, "heads") == 0) {
            if (x.table->n == 0)
                return at_refuse(g, "weights.heads is empty, expected numbers of heads") != NULL;
            o->heads = x.table;
            continue;
        }
        for (size_t k = 0; k < x.table->n; k++)
            if (!x.table->entry[k].key && x.table->entry[k].value.type == AT_WHOLE &&
                (x.table->entry[k].index == 1 || x.table->entry[k].index == 2))
                o->rows[x.table->entry[k].index - 1] = x.table->entry[k].value.whole;
        if (x.table->n != 2 || o->rows[0] == 0 || o->rows[1] == 0)
            return at_refuse(g, "weights.rows is no pair of numbers, expected {first, last}") != NULL;
    }
    return true;
}

static bool attention_forward(at_build *g, at_layer *l, at_pass *p)
{
    const at_attention *a = l->own;
    at_attend_options o = {
        .lengths = at_option_tensor(p, LENGTHS),
        .key_mask = at_option_tensor(p, KEY_MASK),
        .mask = at_option_tensor(p, MASK),
        .bias = at_option_tensor(p, CALL_BIAS),
        .causal = p->option[CAUSAL].flag,
        .position = p->given >> PLACE & 1 ? p->option[PLACE].integer : 0,
        .path = (at_attend_path)p->option[PATH].integer,
    };
    if (p->given >> WEIGHTS & 1 && !at_attend_read_weights(g, p->option[WEIGHTS].value, false, &o))
        return false;
    if (p->given >> CACHE & 1) {
        at_value v = p->option[CACHE].value;
        if (v.type != AT_OBJECT || v.object->class != &at_cache_class)
            return at_refuse(g, "cache is %s, expected one made by attend:cache()", at_describe_value(v).text) != NULL;
        o.cache = v.object;
    }
    at_attended more;
    at_tensor *y = at_attend(g, l, at_arg_tensor(p, 0), at_arg_tensor(p, 1), at_arg_tensor(p, 2), &o, &more);
    if (!y)
        return false;
    at_return(p, at_tensor_value(y));
    if (o.want_weights || a->distribution->samples)
        at_return(p, at_tensor_value(more.weights));
    if (a->distribution->samples) {
        at_return(p, at_tensor_value(more.logp));
        at_return(p, at_tensor_value(more.probabilities));
    }
    return true;
}

static bool make_cache(at_build *g, at_layer *l, at_pass *p)
{
    (void)l;
    at_object *cache = at_own_object(g, at_cache_new(g->error));
    return cache && at_return(p, at_object_value(cache));
}

static const at_method methods[] = {
    {"forward",
     {{"query", AT_TENSOR, false}, {"key", AT_TENSOR, false}, {"value", AT_TENSOR, true}},
     options,
     attention_forward,
     "attend(query [B, Tq, query], key [B, Tk, key] [, value [B, Tk, value]], {options}) -> context [B, Tq, value] [, "
     "weights "
     "[B, Tq, Tk]] [, log-probability [B, Tq], probabilities [B, Tq, Tk]]; query [B, query] is one step"},
    {"cache",
     {{0}},
     NULL,
     make_cache,
     "attend:cache() -> an empty cache; attend(q, k, v, {cache = c}) appends to it and attends to all so far"},
    {0},
};

/* ---- the record: what it says of the parts is read from theirs ---- */

static char help[8192];

static void describe(at_part_kind kind, const char *title)
{
    size_t at = strlen(help);
    snprintf(help + at, sizeof help - at, "\n%s:\n", title);
    at_part_help(help, sizeof help, kind);
}

static const char before[] =
    "attention{query =, key = query, value = key, score = \"scaled_dot\", distribution = \"softmax\", heads = 1, ...}\n"
    "Scores e = f(query, key), weights a = g(e), context c = sum_j a_j value_j: each part is a field, and they\n"
    "combine freely.\n";

static const char after[] =
    "\noutput: single, or multi_dimensional, a weight for each feature of the value (additive; Shen et al. 2018)\n"
    "\nscore_mod = function(s, at) and mask_mod = function(at) are called once, with symbols: s the score, at.batch,\n"
    "at.head, at.query, at.key places from 1, at.NAME the captured tensors of tensors = {NAME = t}, indexed by "
    "places:\n"
    "    score_mod = function(s, at) return s - at.slope[at.head] * (at.query - at.key):abs() end,\n"
    "    mask_mod = function(at) return at.query:ge(at.key) & (at.query - at.key):lt(256) end,\n"
    "Operators, comparisons by method (an if on a symbol is an error), & | ~, element-wise functions and attn.where "
    "make\n"
    "what runs for every pair, before biases and masks; captured tensors that require a gradient are parameters. "
    "Tiles\n"
    "that mask_mod rules out are skipped. They go with every score but linear, heads, lengths, dropout and masks.\n"
    "\nTiled, so that nothing of size Tq x Tk stands in memory (16 queries or more): softmax of dot, scaled_dot,\n"
    "cosine, general, biased_general and the exponential kernel, with any mask, bias, position, dropout and heads,\n"
    "and any window but predictive. The other combinations take the composed path, whose memory goes with the window.\n"
    "\nCall options: lengths [B], key_mask [B, Tk], mask and bias [Tq, Tk], [B, Tq, Tk] or [B, H, Tq, Tk], causal,\n"
    "position, weights (true or {rows = {first, last}, heads = {...}}; those before dropout), cache, path =\n"
    "\"composed\" (without fused kernels, to compare with). A query that may attend to nothing gets a zero context. "
    "hard_sample\n"
    "always returns context, weights, log-probability [B, Tq] (through which the scores learn) and the probabilities "
    "it drew from\n"
    "(like the weights, differentiable: for their entropy). After attend:eval() it takes the most likely key.";

__attribute__((constructor)) static void compose(void)
{
    fields[SCORE].choices = at_part_choices(AT_PART_SCORE);
    fields[SCORE].value = at_part_place(AT_PART_SCORE, "scaled_dot");
    fields[DISTRIBUTION].choices = at_part_choices(AT_PART_DISTRIBUTION);
    fields[DISTRIBUTION].value = at_part_place(AT_PART_DISTRIBUTION, "softmax");
    fields[WINDOW].choices = at_part_choices(AT_PART_WINDOW);
    fields[POSITION].choices = at_part_choices(AT_PART_POSITION);
    at_part_fields(fields, OWN_FIELDS);
    snprintf(help, sizeof help, "%s", before);
    describe(AT_PART_SCORE, "score");
    describe(AT_PART_DISTRIBUTION, "distribution");
    describe(AT_PART_WINDOW, "window (default: all keys)");
    describe(AT_PART_POSITION, "position");
    size_t at = strlen(help);
    snprintf(help + at, sizeof help - at, "%s", after);
}

AT_LAYER(attention, "attention", .fields = fields, .setup = setup, .dispose = dispose,
         .own_bytes = sizeof(at_attention), .methods = methods, .summary = summary, .help = help);
