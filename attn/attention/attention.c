/*
 * attention: c_i = sum_j g(f(q_i, k_j)) v_j, each part of the sentence a field of its own.
 *
 *   query  [B, Tq, query]    key  [B, Tk, key]    value  [B, Tk, value]    context  [B, Tq, value]
 *
 * In order: projections, rotary positions, the score's own preparation, cache; scores by span (core/attend.h);
 * activation; biases, distances, masks and distribution; the window's factor; dropout; the weighted sum; the output
 * projection. With heads, queries are [B, Tq, H, D] and everything runs per head; features of multi-dimensional
 * attention are heads of width 1.
 *
 * Lengths, causal order and windows become spans before anything is computed, so that work and memory go with the
 * window. Weights that are returned are those before dropout. A key that nobody may see is set to zero before a product
 * with parameters only when it is not finite: zero times NaN would reach the parameters' gradients.
 *
 * Which way the numbers are made is decided in one place, `attend_heads`.
 */
#include "attn/attention/attention.h"

#include "attn/attention/cache.h"
#include "attn/attention/score/score.h"
#include "attn/core/parallel.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* ---- the parts ---- */

#define AT_SCORE_ENTRY(id, formula, source) extern const at_score at_score_##id;
#include "attn/attention/score/list.h"
#undef AT_SCORE_ENTRY
#define AT_DISTRIBUTION_ENTRY(id, formula, source) extern const at_distribution at_distribution_##id;
#include "attn/attention/distribution/list.h"
#undef AT_DISTRIBUTION_ENTRY
#define AT_WINDOW_ENTRY(id, formula, source) extern const at_window at_window_##id;
#include "attn/attention/window/list.h"
#undef AT_WINDOW_ENTRY
#define AT_POSITION_ENTRY(id, formula, source) extern const at_position at_position_##id;
#include "attn/attention/position/list.h"
#undef AT_POSITION_ENTRY

#define AT_SCORE_ENTRY(id, formula, source) &at_score_##id,
static const at_score *const scores[] = {
#include "attn/attention/score/list.h"
};
#undef AT_SCORE_ENTRY
#define AT_DISTRIBUTION_ENTRY(id, formula, source) &at_distribution_##id,
static const at_distribution *const distributions[] = {
#include "attn/attention/distribution/list.h"
};
#undef AT_DISTRIBUTION_ENTRY
#define AT_WINDOW_ENTRY(id, formula, source) &at_window_##id,
static const at_window *const windows[] = {
#include "attn/attention/window/list.h"
};
#undef AT_WINDOW_ENTRY
#define AT_POSITION_ENTRY(id, formula, source) &at_position_##id,
static const at_position *const positions[] = {
#include "attn/attention/position/list.h"
};
#undef AT_POSITION_ENTRY

/* ---- fields ---- */

enum {
    QUERY, KEY, VALUE, DIM, SCORE, DISTRIBUTION, WINDOW, HEADS, KV_HEADS, PROJECT, OUT, SCORE_DIM, BIAS, POSITION,
    OUTPUT, DROPOUT, ACTIVATION, KERNEL, BETA, MAX_KEYS, MAX_QUERIES, TRAINABLE
};
enum { LENGTHS, KEY_MASK, MASK, CALL_BIAS, CAUSAL, PLACE, WEIGHTS, CACHE, PATH };

#define AT_SCORE_ENTRY(id, formula, source) "|" #id
#define AT_DISTRIBUTION_ENTRY(id, formula, source) "|" #id
#define AT_POSITION_ENTRY(id, formula, source) "|" #id
#define AT_WINDOW_ENTRY(id, formula, source) "|" #id
static const char score_names[] =
#include "attn/attention/score/list.h"
    ;
static const char distribution_names[] =
#include "attn/attention/distribution/list.h"
    ;
static const char window_names[] =
#include "attn/attention/window/list.h"
    ;
static const char position_names[] = "none"
#include "attn/attention/position/list.h"
    ;
#undef AT_SCORE_ENTRY
#undef AT_DISTRIBUTION_ENTRY
#undef AT_POSITION_ENTRY
#undef AT_WINDOW_ENTRY

enum { SCALED_DOT = 1 };        /* its place in score/list.h */

static const at_field fields[] = {
    [QUERY] = {"query", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of the queries"},
    [KEY] = {"key", AT_FIELD_INTEGER, AT_POSITIVE, .help = "width of the keys; default: query"},
    [VALUE] = {"value", AT_FIELD_INTEGER, AT_POSITIVE, .help = "width of the values; default: key"},
    [DIM] = {"dim", AT_FIELD_INTEGER, AT_POSITIVE,
             .help = "width of the projections, all heads together (default: query); without "
                     "projections of the score space (additive, concat, synthesizer_dense, predictive)"},
    [SCORE] = {"score", AT_FIELD_CHOICE, .value = SCALED_DOT, .choices = score_names + 1, .help = "e(q, k)"},
    [DISTRIBUTION] = {"distribution", AT_FIELD_CHOICE, .choices = distribution_names + 1,
                      .help = "from scores to weights"},
    [WINDOW] = {"window", AT_FIELD_TABLE, .choices = window_names + 1,
                .help = "{type = \"monotonic\" | \"predictive\", radius =} or {type = \"band\", left =, "
                        "right =}; default: all keys"},
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
    [POSITION] = {"position", AT_FIELD_CHOICE, .choices = position_names, .help = "positions of queries and keys"},
    [OUTPUT] = {"output", AT_FIELD_CHOICE, .choices = "single|multi_dimensional",
                .help = "one weight per key, or one per feature "
                        "of the value"},
    [DROPOUT] = {"dropout", AT_FIELD_NUMBER, AT_PROBABILITY, .help = "on the weights, in training"},
    [ACTIVATION] = {"activation", AT_FIELD_CHOICE, .choices = "tanh|relu|sigmoid", .help = "of activated_general"},
    [KERNEL] = {"kernel", AT_FIELD_CHOICE, .choices = "exponential|rbf|polynomial", .help = "of the kernel score"},
    [BETA] = {"beta", AT_FIELD_NUMBER, .value = 1, .help = "sharpness of cosine"},
    [MAX_KEYS] = {"max_keys", AT_FIELD_INTEGER, AT_POSITIVE, .help = "most keys of location and the synthesizers"},
    [MAX_QUERIES] = {"max_queries", AT_FIELD_INTEGER, AT_POSITIVE, .help = "most queries of synthesizer_random"},
    [TRAINABLE] = {"trainable", AT_FIELD_FLAG, .value = true, .help = "of synthesizer_random"},
    {0}
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
    {0}
};

double at_attention_beta(const at_layer *l) { return l->set[BETA].number; }
int64_t at_attention_kernel(const at_layer *l) { return l->set[KERNEL].integer; }
int64_t at_attention_activation(const at_layer *l) { return l->set[ACTIVATION].integer; }

static bool was_given(const at_layer *l, int field) { return l->given >> field & 1; }

/* ---- which axes combine ---- */

static bool refuse(at_error *e, const char *what) { return at_error_set(e, "attention: %s", what); }

/* Fields that only some scores read. */
static bool check_fields(const at_layer *l, at_error *e)
{
    static const struct { int field; const char *score; } own[] = {
        {ACTIVATION, "activated_general"}, {KERNEL, "kernel"}, {BETA, "cosine"}, {TRAINABLE, "synthesizer_random"},
    };
    const at_attention *a = l->own;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (was_given(l, own[i].field) && strcmp(a->score->name, own[i].score) != 0)
            return at_error_set(e, "attention: %s belongs to score = \"%s\", but score is \"%s\"",
                                fields[own[i].field].name, own[i].score, a->score->name);
    for (int f = OUT; f <= SCORE_DIM; f++)
        if (was_given(l, f) && !a->project)
            return at_error_set(e, "attention: %s belongs to projections, but project is false", fields[f].name);
    if (a->score->needs_keys && !was_given(l, MAX_KEYS))
        return at_error_set(e, "attention: score \"%s\" needs max_keys, the most keys a call may have", a->score->name);
    if (a->score->needs_queries && !was_given(l, MAX_QUERIES))
        return at_error_set(e, "attention: score \"%s\" needs max_queries, the most queries a call may have",
                            a->score->name);
    if (a->score->needs_dim && !was_given(l, DIM) && !a->project)
        return at_error_set(e, "attention: score \"%s\" needs dim, the width of its score space", a->score->name);
    if (a->window && a->window->learned && !was_given(l, DIM) && !a->project)
        return at_error_set(e, "attention: window \"%s\" needs dim, the width of the space it predicts in",
                            a->window->name);
    return true;
}

static bool check_axes(const at_layer *l, at_error *e)
{
    const at_attention *a = l->own;
    const char *score = a->score->name;

    if (a->score->same_width && a->q != a->k)
        return at_error_set(
            e, "attention: score \"%s\" multiplies query and key, whose widths differ (%zu and %zu); general, additive "
            "and concat take any two, or project = true",
            score, a->q, a->k);
    if (a->multi && !a->score->multi)
        return at_error_set(
            e, "attention: output = \"multi_dimensional\" needs a score for each feature of the value, and \"%s\" is "
               "one number per key (additive has such a form)",
            score);
    if (a->multi && a->heads > 1)
        return refuse(e, "output = \"multi_dimensional\" weighs every feature for itself, which leaves nothing for "
                         "heads to tell apart");
    if (a->multi && a->distribution->samples)
        return refuse(
            e, "hard_sample draws one key for a query, but output = \"multi_dimensional\" has weights for each "
               "feature");
    if (a->score->direct && a->distribution->row != AT_ROW_SOFTMAX)
        return at_error_set(e, "attention: linear attention has no scores that \"%s\" could act on: its weights are "
                            "phi(q) . phi(k) over their sum", a->distribution->name);
    if (a->score->direct && a->window)
        return at_error_set(
            e, "attention: linear attention sums over all keys at once, which leaves no row of weights for a \"%s\" "
            "window to cut",
            a->window->name);
    if (a->score->direct && a->position && a->position->distance)
        return refuse(e, "linear attention has no scores that alibi could add to");
    if (a->score->direct && a->dropout > 0)
        return refuse(e, "linear attention forms no weights that dropout could act on");
    if (a->dropout > 0 && (a->distribution->row == AT_ROW_HARD_SAMPLE || a->distribution->row == AT_ROW_HARD_MAX))
        return at_error_set(e, "attention: \"%s\" keeps one key; dropout would leave none", a->distribution->name);
    if (a->position && a->position->needs_project && !a->project)
        return at_error_set(e, "attention: position \"%s\" turns projected queries and keys; it needs project = true",
                            a->position->name);
    if (a->position && a->position->needs_keys && a->score->keyless)
        return at_error_set(
            e, "attention: position \"%s\" turns queries and keys, but score \"%s\" does not read the keys",
            a->position->name, score);
    if (a->position && a->position->turn && a->head % 2 != 0)
        return at_error_set(e, "attention: position \"%s\" turns pairs of features, but a head has %zu",
                            a->position->name, a->head);
    return true;
}

/* {type =, radius =} or {type =, left =, right =} */
static bool read_window(at_attention *a, const at_table *t, at_error *e)
{
    at_value type = at_table_get(t, "type");
    for (size_t i = 0; type.type == AT_TEXT && i < sizeof windows / sizeof *windows; i++)
        if (strcmp(windows[i]->name, type.text) == 0)
            a->window = windows[i];
    if (!a->window)
        return at_error_set(e, "attention: window.type is %s, expected 'monotonic', 'predictive' or 'band'",
                            at_describe_value(type).text);
    double number[3] = {0};
    for (size_t i = 0; i < t->n; i++) {
        const char *name = t->entry[i].key;
        bool known = name && strcmp(name, "type") == 0;
        for (int k = 0; name && k < 3 && a->window->fields[k]; k++)
            known = known || strcmp(name, a->window->fields[k]) == 0;
        if (!known)
            return at_error_set(e, "attention: window has an unknown field '%.40s' (known to \"%s\": type, %s%s%s)",
                                name ? name : "1", a->window->name, a->window->fields[0],
                                a->window->fields[1] ? ", " : "", a->window->fields[1] ? a->window->fields[1] : "");
    }
    for (int k = 0; k < 3 && a->window->fields[k]; k++) {
        at_value v = at_table_get(t, a->window->fields[k]);
        number[k] = v.type == AT_WHOLE ? (double)v.whole : v.type == AT_REAL_NUMBER ? v.number : -1;
        if (!(number[k] >= 0 && number[k] < 9e15))
            return at_error_set(e, "attention: window.%s is %s, expected a number from 0", a->window->fields[k],
                                at_describe_value(v).text);
        if (a->window->fields[1] && number[k] != floor(number[k]))
            return at_error_set(e, "attention: window.%s is %.14g, expected an integer", a->window->fields[k],
                                number[k]);
    }
    a->setting.radius = number[0];
    a->setting.left = (int64_t)number[0];
    a->setting.right = (int64_t)number[1];
    return !a->window->check || a->window->check(&a->setting, e);
}

/* ---- parameters ---- */

static size_t size_of(const at_layer *l, at_size size)
{
    const at_attention *a = l->own;
    switch (size) {
    case AT_SIZE_ONE: return 1;
    case AT_SIZE_QUERY: return a->q;
    case AT_SIZE_KEY: return a->k;
    case AT_SIZE_BOTH: return a->q + a->k;
    case AT_SIZE_VALUE: return a->v;
    case AT_SIZE_DIM: return a->score_dim;
    case AT_SIZE_KEYS: return (size_t)l->set[MAX_KEYS].integer;
    case AT_SIZE_QUERIES: return (size_t)l->set[MAX_QUERIES].integer;
    default: return 0;
    }
}

/* Declares a tensor uniform in +-1 / sqrt(fan) and notes its place among the members. */
static bool declare(at_layer *l, uint8_t *place, const char *name, size_t ndim, const size_t *size, size_t fan,
                    bool buffer, at_error *e)
{
    double bound = 1 / sqrt((double)fan);
    if (!(buffer ? at_buffer : at_param)(l, name, ndim, size, AT_INIT_UNIFORM, bound, e))
        return false;
    *place = (uint8_t)l->members;
    return true;
}

static bool declare_spec(at_layer *l, uint8_t *place, const char *prefix, const at_param_spec *p, bool heads,
                         at_error *e)
{
    const at_attention *a = l->own;
    if (!p->name || (p->bias && !a->bias) || p->when == (a->multi ? AT_SINGLE : AT_MULTI))
        return true;
    char name[64];
    size_t size[3], ndim = 0;
    snprintf(name, sizeof name, "%s.%s", prefix, p->name);
    if (heads)
        size[ndim++] = a->heads;
    for (int k = 0; k < 2 && p->size[k] != AT_SIZE_NONE; k++)
        size[ndim++] = size_of(l, p->size[k]);
    return declare(l, place, name, ndim, size, size[ndim - 1], p->fixable && !l->set[TRAINABLE].flag, e);
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
        if (!declare(l, &a->projection[k], name, 2, (size_t[]){to[k], from[k]}, from[k], false, e))
            return false;
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
    at_attention *a = l->own;
    a->score = scores[l->set[SCORE].integer];
    a->distribution = distributions[l->set[DISTRIBUTION].integer];
    a->position = l->set[POSITION].integer ? positions[l->set[POSITION].integer - 1] : NULL;
    if (was_given(l, WINDOW) && !read_window(a, l->set[WINDOW].value.table, e))
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
    for (int k = 0; k < AT_SCORE_PARAMS; k++)
        if (!declare_spec(l, &a->score_param[k], "score", &a->score->param[k], a->heads > 1, e))
            return false;
    if (!a->window)
        return true;
    /* the window predicts from the query as it comes, in a space as wide as dim */
    size_t q = a->q, d = a->score_dim;
    a->q = a->query;
    a->score_dim = a->dim;
    bool ok = true;
    for (int k = 0; ok && k < AT_WINDOW_PARAMS; k++)
        ok = declare_spec(l, &a->window_param[k], "window", &a->window->param[k], false, e);
    a->q = q;
    a->score_dim = d;
    return ok;
}

static void summary(const at_layer *l, char *text, size_t room)
{
    const at_attention *a = l->own;
    int n = snprintf(text, room, "%s, %s, %s, %s", a->score->name, a->distribution->name,
                     a->window ? a->window->name : "global", a->multi ? "multi_dimensional" : "single");
    if (a->heads > 1 && n > 0 && (size_t)n < room)
        n += snprintf(text + n, room - (size_t)n, ", %zu heads", a->heads);
    if (a->kv_heads < a->heads && n > 0 && (size_t)n < room)
        n += snprintf(text + n, room - (size_t)n, " (%zu of keys)", a->kv_heads);
    if (a->position && n > 0 && (size_t)n < room)
        snprintf(text + n, room - (size_t)n, ", %s", a->position->name);
}

at_attention_shape at_attention_shape_of(const at_layer *attend)
{
    const at_attention *a = attend->own;
    return (at_attention_shape){.query = (int64_t)a->query, .key = (int64_t)a->key, .value = (int64_t)a->value,
                                .output = (int64_t)a->out, .heads = (int64_t)a->heads, .projected = a->project,
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
    at_tensor *wide = AT_APPLY(g, expand, .in = {at_unsqueeze(g, x, 4)}, .sizes = (int64_t[]){B, T, few, all / few, D}, .n_sizes = 5);
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

/* ---- a call ---- */

typedef struct call {
    at_build *g;
    at_layer *l;
    const at_attention *a;
    at_attend_options o;
    bool step;                              /* query [B, query] */
    size_t B, Tq, Tk, fresh;                /* Tk: with what the cache holds; fresh: keys of this call */
    int64_t offset, position;               /* place of the first query from 0; its decoding step from 1 */
    at_tensor *query, *key, *value;         /* as they come, three-dimensional */
    at_tensor *mask, *bias;                 /* [B or 1, H or 1, Tq or 1, Tk] */
    at_tensor *place;                       /* [B, Tq] of a predictive window */
    at_tensor *span;
    at_tensor *q, *k, *v;                   /* [B, T, heads, width], prepared */
    at_pair pair;
    at_cache_growth growth;
    at_tensor *weights, *logp, *p;          /* [B, H, Tq, W], [B, H, Tq], as weights */
} call;

static bool no(const call *c, at_tensor *nothing)
{
    (void)c;
    return nothing != NULL;
}

#define REFUSE(c, ...) no(c, at_refuse((c)->g, __VA_ARGS__))

static bool check_arguments(call *c)
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
    if (a->score->needs_keys && (int64_t)c->Tk > c->l->set[MAX_KEYS].integer)
        return REFUSE(c, "there are %zu keys, but max_keys is %lld (key: %s)", c->Tk,
                      (long long)c->l->set[MAX_KEYS].integer, at_describe(c->key).text);
    return true;
}

/* A mask or bias as [B or 1, H or 1, Tq or 1, Tk]. */
static bool spread(call *c, const char *name, at_tensor *t, at_tensor **out)
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

static bool check_options(call *c)
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
    if (o->rows[0] && (o->rows[0] < 1 || o->rows[1] < o->rows[0] || o->rows[1] > (int64_t)c->Tq))
        return REFUSE(c, "weights.rows is {%lld, %lld}, expected a range within 1 to %zu", (long long)o->rows[0],
                      (long long)o->rows[1], c->Tq);
    return spread(c, "mask", o->mask, &c->mask) && spread(c, "bias", o->bias, &c->bias);
}

static int64_t length_of(const call *c, size_t b)
{
    return c->o.lengths ? at_ids(c->o.lengths)[(ptrdiff_t)b * c->o.lengths->step[0]] : (int64_t)c->Tk;
}

/* ---- spans ---- */

static bool find_place(call *c)
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
static bool find_span(call *c)
{
    const at_window *w = c->a->window;
    if (w && w->learned && !find_place(c))
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
                w->cut(&c->a->setting, place, c->position + (int64_t)i,
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
        finite = finite && (t->dtype == AT_F32 ? isfinite(((const float *)(const void *)t->data)[at]) :
                                                 isfinite(((const double *)(const void *)t->data)[at]));
    return finite;
}

static bool in_key_mask(const call *c, size_t b, size_t j)
{
    const at_tensor *m = c->o.key_mask;
    return !m || m->data[(ptrdiff_t)b * m->step[0] + (ptrdiff_t)j * m->step[1]];
}

/* Whether the mask lets any query of any head see key j, counted from 0 in the whole sequence. */
static bool seen(const call *c, size_t b, size_t j)
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
static bool clear_unseen(call *c)
{
    at_build *g = c->g;
    bool own = c->value != c->key;
    bool met = c->a->project || c->a->score->key || (c->a->score->direct && c->o.want_weights);
    if (!at_grad_enabled || !met || !(c->span || c->mask || c->o.key_mask))
        return true;
    at_tensor *gone = NULL;
    for (size_t b = 0; b < c->B; b++) {
        size_t lo = c->Tk, hi = 0;              /* keys within a span of this row */
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

/* ---- preparation ---- */

/* Projection k of x, as heads. */
static at_tensor *split(call *c, at_tensor *x, int k, size_t heads, size_t width)
{
    const at_attention *a = c->a;
    if (!x)
        return NULL;
    int64_t size[] = {(int64_t)x->size[0], (int64_t)x->size[1], (int64_t)heads, (int64_t)width};
    if (a->project)
        x = at_linear(c->g, x, c->l->member[a->projection[k] - 1].tensor,
                      a->projection_bias[k] ? c->l->member[a->projection_bias[k] - 1].tensor : NULL);
    return at_reshape(c->g, x, 4, size);
}

static bool prepare(call *c)
{
    const at_attention *a = c->a;
    at_build *g = c->g;
    size_t Hk = a->kv_heads, H = a->heads;

    if (!clear_unseen(c))
        return false;
    c->q = split(c, c->query, 0, H, a->q);
    c->k = a->score->keyless ? NULL : split(c, c->key, 1, Hk, a->k);
    c->v = split(c, c->value, 2, Hk, a->v);
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
    if (c->o.cache && !a->score->direct) {
        if (c->k)
            c->k = at_cache_append(g, c->o.cache, AT_CACHE_KEYS, c->k, &c->growth);
        c->v = at_cache_append(g, c->o.cache, AT_CACHE_VALUES, c->v, &c->growth);
    }
    c->pair.key = c->k;
    return at_ok(g);
}

/* ---- paths ---- */

/* Scores with their activation: [B, H, Tq, W]; features are heads in multi-dimensional attention. */
static at_tensor *score(call *c)
{
    at_build *g = c->g;
    const at_pair *p = &c->pair;
    at_tensor *e;

    if (c->a->multi) {
        at_tensor *h = AT_APPLY(g, pair_tanh, .in = {p->query, p->key, c->span});
        e = at_linear(g, h, at_score_param(c->l, AT_SCORE_OUT),
                      at_score_param(c->l, AT_SCORE_OUT_BIAS)); /* [B, Tq, W, value] */
        return at_unary(g, AT_ID_contiguous, at_transpose(g, at_transpose(g, e, 2, 4), 3, 4));
    }
    if (p->kind == AT_PAIR_TABLE)
        e = AT_APPLY(g, pair_table, .in = {p->table, c->span}, .arg = {at_int((int64_t)c->B), at_int((int64_t)c->Tk)});
    else
        e = AT_APPLY(g, pair_scores, .in = {p->query, p->key, p->v, c->span}, .arg = {at_int(p->kind), at_num(p->scale)});
    if (p->act == AT_ACT_NONE)
        return e;
    return AT_APPLY(g, score_act, .in = {e, p->act_bias}, .arg = {at_int(p->act)});
}

/* Weights from scores by rows of one kind. */
static at_tensor *distribute(call *c, at_tensor *e, at_row_kind kind)
{
    int64_t slopes = c->a->position && c->a->position->distance ? (int64_t)c->a->heads : 0;
    return AT_APPLY(c->g, attend_rows, .in = {e, c->bias, c->mask, c->o.key_mask, c->span},
                    .arg = {at_int(kind), at_int((int64_t)c->Tk), at_int(c->offset), at_int(slopes)}, .out = {&c->logp, &c->p});
}

/* Every combination: scores, weights and context one after the other, each by its own operation. */
static at_tensor *composed(call *c)
{
    at_build *g = c->g;
    const at_distribution *d = c->a->distribution;
    at_tensor *w = distribute(c, score(c), d->samples && !g->training ? d->row_eval : d->row);
    if (c->place)
        w = AT_APPLY(g, attend_gauss, .in = {w, c->place, c->span},
                     .arg = {at_int((int64_t)c->Tk), at_num(c->a->setting.radius / 2)});
    c->weights = w;
    at_tensor *v = c->v;
    if (c->a->multi && v)
        v = at_reshape(g, v, 4, (int64_t[]){(int64_t)c->B, (int64_t)c->Tk, (int64_t)c->a->v, 1});
    return AT_APPLY(g, attend_context, .in = {at_dropout(g, w, c->a->dropout), v, c->span});
}

/* Linear attention: O(Tq + Tk); weights beside it if they are asked for. */
static at_tensor *linear(call *c)
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
    c->weights = distribute(c, e, AT_ROW_PROPORTIONAL);
    return y;
}

enum { FEWEST_QUERIES = 16 };       /* below, a tile is mostly empty lanes */

/* Whether the tiled kernel serves this call: products with softmax, whatever the masks. */
static bool tileable(const call *c)
{
    const at_attention *a = c->a;
    return c->o.path == AT_PATH_AUTO && !a->multi && c->pair.kind == AT_PAIR_DOT && c->pair.act == AT_ACT_NONE && c->pair.key &&
           a->distribution->row == AT_ROW_SOFTMAX && !c->place && c->v && c->Tq >= FEWEST_QUERIES;
}

enum { FINITE_GRAIN = 1 << 16 };

typedef struct zeros {
    const at_tensor *t;
    atomic_bool finite;
} zeros;

/* 0 times a number is 0 unless it is NaN or infinite. Eight sums, so that none waits for another. */
#define SUM_ZEROS(type)                                                                     \
    do {                                                                                    \
        const type *x = (const type *)(const void *)z->t->data;                             \
        type sum[8] = {0};                                                                  \
        size_t i = begin;                                                                   \
        for (; i + 8 <= end; i += 8)                                                        \
            for (int k = 0; k < 8; k++)                                                     \
                sum[k] += 0 * x[i + (size_t)k];                                             \
        for (; i < end; i++)                                                                \
            sum[0] += 0 * x[i];                                                             \
        if (sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7] != 0)     \
            atomic_store(&z->finite, false);                                                \
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

static at_tensor *tiled(call *c)
{
    at_build *g = c->g;
    int64_t slopes = c->a->position && c->a->position->distance ? (int64_t)c->a->heads : 0;
    double p = g->training ? c->a->dropout : 0;
    return AT_APPLY(g, attend, .in = {c->pair.query, c->pair.key, c->v, c->bias, c->mask, c->o.key_mask, c->span},
                    .arg = {at_num(c->pair.scale), at_int(c->offset), at_int(slopes), at_num(p), at_flag(c->o.want_weights)},
                    .out = {&c->weights});
}

/* The one place that chooses how the context is computed: [B, Tq, H, D], and c->weights, c->logp where they are asked for. What the
 * fused paths do not serve, or c->o.path forbids them, is composed. */
static at_tensor *attend_heads(call *c)
{
    if (c->a->score->direct)
        return linear(c);
    bool masked = c->span || c->mask || c->o.key_mask || c->bias;
    if (tileable(c) && (!masked || (all_finite(c->pair.key) && all_finite(c->v))))
        return tiled(c);
    return composed(c);
}

/* ---- results ---- */

static at_tensor *drop(at_build *g, at_tensor *x, int d, bool really)
{
    return x && really ? at_select(g, x, d, 1) : x;
}

/* The context of all heads side by side, projected. */
static at_tensor *finish_context(call *c, at_tensor *y)
{
    const at_attention *a = c->a;
    if (!y)
        return NULL;
    y = at_reshape(c->g, y, 3, (int64_t[]){(int64_t)c->B, (int64_t)c->Tq, (int64_t)(a->v * a->heads)});
    if (a->project)
        y = at_linear(c->g, y, c->l->member[a->projection[3] - 1].tensor,
                      a->projection_bias[3] ? c->l->member[a->projection_bias[3] - 1].tensor : NULL);
    return drop(c->g, y, 2, c->step);
}

static at_tensor *pick_heads(call *c, at_tensor *w)
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
static at_tensor *finish_weights(call *c, at_tensor *w)
{
    at_build *g = c->g;
    if (w && c->span && (w->size[3] != c->Tk || !at_span_aligned(c->span)))
        w = AT_APPLY(g, attend_expand, .in = {w, c->span}, .arg = {at_int((int64_t)c->Tk)});
    if (w && c->o.heads)
        w = pick_heads(c, w);
    if (w && c->o.rows[0])
        w = at_narrow(g, w, 3, c->o.rows[0], c->o.rows[1] - c->o.rows[0] + 1);
    if (c->a->multi) {
        w = at_transpose(g, at_transpose(g, w, 2, 3), 3, 4);            /* [B, Tq, Tk, value] */
        return drop(g, w, 2, c->step);
    }
    w = drop(g, w, 3, c->step);
    return drop(g, w, 2, c->a->heads == 1);
}

at_tensor *at_attend(at_build *g, at_layer *attend, at_tensor *query, at_tensor *key, at_tensor *value,
                     const at_attend_options *o, at_attended *more)
{
    const char *where = g->where;
    bool training = g->training;
    call c = {.g = g, .l = attend, .a = attend->own, .query = query, .key = key, .value = value};
    at_tensor *y = NULL;

    if (more)
        *more = (at_attended){0};
    if (!at_ok(g) || !query || !key)
        return NULL;
    if (o)
        c.o = *o;
    c.o.want_weights = c.o.want_weights || c.a->distribution->samples;
    g->where = at_layer_where(attend->kind);
    g->training = attend->training;
    if (check_arguments(&c) && check_options(&c) && find_span(&c) && prepare(&c))
        y = finish_context(&c, attend_heads(&c));
    if (y && more && c.o.want_weights)
        more->weights = finish_weights(&c, c.weights);
    if (y && more && c.logp) {
        more->logp = drop(g, drop(g, c.logp, 3, c.step), 2, c.a->heads == 1);
        more->probabilities = finish_weights(&c, c.p);
    }
    if (at_ok(g) && c.o.cache)
        at_cache_commit(c.o.cache, &c.growth);
    at_cache_abandon(&c.growth);
    g->where = where;
    g->training = training;
    return at_ok(g) ? y : NULL;
}

bool at_attention_plain(at_build *g, at_layer *attend, at_tensor *memory, at_plain_attention *out)
{
    const at_attention *a = attend->own;
    *out = (at_plain_attention){.scale = 1};
    if (!a->score->plain || a->distribution->row != AT_ROW_SOFTMAX || a->window || a->position || a->project ||
        a->multi || (a->dropout > 0 && attend->training) || a->key != a->value)
        return false;
    if (!at_ok(g) || !memory || !at_expect(g, attend, "memory", memory, 3, 3, (int64_t)a->key))
        return false;
    a->score->plain(g, attend, memory, out);
    return at_ok(g);
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

static bool forward(at_build *g, at_layer *l, at_pass *p)
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
    {"forward", {{"query", AT_TENSOR, false}, {"key", AT_TENSOR, false}, {"value", AT_TENSOR, true}}, options, forward,
     "attend(query [B, Tq, query], key [B, Tk, key] [, value [B, Tk, value]], {options}) -> context [B, Tq, value] [, "
     "weights "
     "[B, Tq, Tk]] [, log-probability [B, Tq], probabilities [B, Tq, Tk]]; query [B, query] is one step"},
    {"cache", {{0}}, NULL, make_cache,
     "attend:cache() -> an empty cache; attend(q, k, v, {cache = c}) appends to it and attends to all so far"},
    {0}
};

#define AT_SCORE_ENTRY(id, formula, source) "  " #id ": " formula "  (" source ")\n"
#define AT_DISTRIBUTION_ENTRY(id, formula, source) "  " #id ": " formula "  (" source ")\n"
#define AT_WINDOW_ENTRY(id, formula, source) "  {type = \"" #id "\", ...}: " formula "  (" source ")\n"
#define AT_POSITION_ENTRY(id, formula, source) "  " #id ": " formula "  (" source ")\n"

static const char help[] =
    "attention{query =, key = query, value = key, score = \"scaled_dot\", distribution = \"softmax\", heads = 1, ...}\n"
    "Scores e = f(query, key), weights a = g(e), context c = sum_j a_j value_j: each part is a field, and they\n"
    "combine freely.\n"
    "\nscore:\n"
#include "attn/attention/score/list.h"
    "\ndistribution:\n"
#include "attn/attention/distribution/list.h"
    "\nwindow (default: all keys):\n"
#include "attn/attention/window/list.h"
    "\nposition:\n"
#include "attn/attention/position/list.h"
    "\noutput: single, or multi_dimensional, a weight for each feature of the value (additive; Shen et al. 2018)\n"
    "\nTiled, so that nothing of size Tq x Tk stands in memory (16 queries or more): softmax of dot, scaled_dot,\n"
    "cosine, general, biased_general and the exponential kernel, with any mask, bias, position, dropout and heads,\n"
    "and any window but predictive. The other combinations take the composed path, whose memory goes with the window.\n"
    "\nCall options: lengths [B], key_mask [B, Tk], mask and bias [Tq, Tk], [B, Tq, Tk] or [B, H, Tq, Tk], causal,\n"
    "position, weights (true or {rows = {first, last}, heads = {...}}; those before dropout), cache, path =\n"
    "\"composed\" (without fused kernels, to compare with). A query that may attend to nothing gets a zero context. hard_sample\n"
    "always returns context, weights, log-probability [B, Tq] (through which the scores learn) and the probabilities it drew from\n"
    "(like the weights, differentiable: for their entropy). After attend:eval() it takes the most likely key.";

AT_LAYER(attention, "attention", .fields = fields, .setup = setup, .own_bytes = sizeof(at_attention),
         .methods = methods, .summary = summary, .help = help);
