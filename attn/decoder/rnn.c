/*
 * decoder.rnn: a recurrent decoder with attention.
 *
 *   bahdanau   c_t from s_{t-1};  s_t = cell([y_{t-1}; c_t], s_{t-1});  logits from [s_t; y_{t-1}; c_t]
 *                                                                                   (Bahdanau et al. 2015)
 *   luong      s_t = cell([y_{t-1}; h~_{t-1}], s_{t-1});  c_t from s_t;  h~_t = tanh(W_c [c_t; s_t]);  logits from h~_t
 *                                                                                   (Luong et al. 2015)
 *   none       s_t = cell(y_{t-1}, s_{t-1});  logits from [s_t; y_{t-1}], or from s_t in luong style
 *
 *   y [B, T, inputs]    memory [B, S, memory]    logits [B, T, outputs]    weights [B, T, S]
 *   hard_sample also: log-probability [B, T], probabilities [B, T, S]
 *
 * Without attention, and in luong style without feeding, the recurrence does not see the memory: it is a recurrent
 * layer, and the attention runs once for all queries. Otherwise an attention that is plain (attention.h) runs fused with
 * the recurrence (op/decode.c) and any other one step by step, composed of operations. A step is the same with T = 1.
 *
 * A state, besides h and c, carries: decoder, this layer; step, the number of steps so far; fed, h~ of the last; keys,
 * what a plain attention prepared of the memory.
 */
#include "attn/attention/attention.h"
#include "attn/layer/recurrent.h"

#include <math.h>
#include <string.h>

enum { N_INPUTS, HIDDEN, MEMORY, CELL, ATTENTION, STYLE, FEEDING, OUTPUTS, READOUT, DROPOUT };
enum { BAHDANAU, LUONG };
enum { LINEAR, MAXOUT };
enum { LENGTHS, MEMORY_LENGTHS, STATE };
enum { STEP_MEMORY_LENGTHS };

static const at_field fields[] = {
    [N_INPUTS] = {"inputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of y"},
    [HIDDEN] = {"hidden", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "units of the cell"},
    [MEMORY] = {"memory", AT_FIELD_INTEGER, AT_POSITIVE, .help = "width of the memory; needed with an attention"},
    [CELL] = {"cell", AT_FIELD_CHOICE, .value = AT_CELL_GRU, .choices = AT_CELLS, .help = "the recurrent cell"},
    [ATTENTION] = {"attention", AT_FIELD_VALUE,
                   .help = "fields of an attention, an attention layer, a module with its call, or nil for none"},
    [STYLE] = {"style", AT_FIELD_CHOICE, .value = BAHDANAU, .choices = "bahdanau|luong",
               .help = "attends before or after the cell"},
    [FEEDING] = {"input_feeding", AT_FIELD_FLAG, .value = true, .help = "luong: h~ of a step goes into the next"},
    [OUTPUTS] = {"outputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "size of the vocabulary"},
    [READOUT] = {"readout", AT_FIELD_CHOICE, .value = LINEAR, .choices = "linear|maxout",
                 .help = "what gives the logits"},
    [DROPOUT] = {"dropout", AT_FIELD_NUMBER, .value = 0, AT_PROBABILITY, .help = "on the readout's input, in training"},
    {0},
};

static const at_field options[] = {
    [LENGTHS] = {"lengths", AT_FIELD_IDS, .help = "valid steps of each row of y [B]; logits beyond are not specified"},
    [MEMORY_LENGTHS] = {"memory_lengths", AT_FIELD_IDS, .help = "valid rows of each memory [B]"},
    [STATE] = {"state", AT_FIELD_TABLE, .help = "{h =, c =} [1, B, hidden], or what step returned; zeros if absent"},
    {0},
};

static const at_field step_options[] = {
    [STEP_MEMORY_LENGTHS] = {"memory_lengths", AT_FIELD_IDS, .help = "valid rows of each memory [B]"},
    {0},
};

/* The cell's parameters come first: at_weight counts them so. The others go by name. */
enum { W_IH, W_HH, B_IH, B_HH };

typedef struct own {
    bool feeding;   /* luong with attention and feeding */
    size_t context; /* width of what the attention returns */
} own;

static at_layer *attention_of(const at_layer *l) { return at_inner_named(l, "attention"); }

/* ---- setup ---- */

static bool fail(at_error *e, const char *text) { return at_error_set(e, "decoder.rnn: %s", text); }

/* The attention that the configuration names: one reference; NULL after a failure. */
static at_layer *make_attention(const at_layer *l, at_error *e)
{
    static const char *const names[] = {"query", "key", "value"};
    at_value v = l->set[ATTENTION].value;
    int64_t hidden = l->set[HIDDEN].integer, memory = l->set[MEMORY].integer;
    if (!(l->given >> MEMORY & 1)) {
        fail(e, "memory is missing, expected its width (an attention needs it)");
        return NULL;
    }
    if (v.type == AT_OBJECT) {
        at_layer *a = (at_layer *)(void *)v.object;
        if (v.object->class != &at_layer_class || a->kind != &at_layer_attention) {
            at_error_set(e,
                         "decoder.rnn: attention is %s, expected a table of its fields, an attention layer or a module",
                         v.object->class != &at_layer_class ? at_describe_value(v).text : a->kind->name);
            return NULL;
        }
        return (at_layer *)(void *)at_object_retain(v.object);
    }
    if (v.type != AT_TABLE) {
        at_error_set(e, "decoder.rnn: attention is %s, expected a table of its fields, an attention layer or a module",
                     at_describe_value(v).text);
        return NULL;
    }
    at_arena arena = {0};
    at_table *config = at_table_new(&arena);
    bool ok = config != NULL;
    for (size_t i = 0; ok && i < v.table->n; i++)
        ok = at_table_add(&arena, config, v.table->entry[i].key, v.table->entry[i].index, v.table->entry[i].value);
    for (int k = 0; ok && k < 3; k++)
        if (at_table_get(config, names[k]).type == AT_NIL)
            ok = at_table_add(&arena, config, names[k], 0, at_whole_value(k == 0 ? hidden : memory));
    at_layer *made = ok ? at_layer_new(&at_layer_attention, config, e) : NULL;
    if (!ok)
        at_error_memory(e, "decoder.rnn", sizeof *config);
    at_arena_free(&arena);
    return made;
}

static bool check_attention(const at_layer *l, const at_layer *attend, at_error *e)
{
    at_attention_shape s = at_attention_shape_of(attend);
    int64_t hidden = l->set[HIDDEN].integer, memory = l->set[MEMORY].integer;
    if (s.query != hidden)
        return at_error_set(e, "decoder.rnn: attention.query is %lld, expected %lld (hidden)", (long long)s.query,
                            (long long)hidden);
    if (s.key != memory || s.value != memory)
        return at_error_set(e, "decoder.rnn: attention.%s is %lld, expected %lld (memory)",
                            s.key != memory ? "key" : "value", (long long)(s.key != memory ? s.key : s.value),
                            (long long)memory);
    return true;
}

static bool setup(at_layer *l, at_error *e)
{
    own *o = l->own;
    size_t inputs = (size_t)l->set[N_INPUTS].integer, H = (size_t)l->set[HIDDEN].integer;
    size_t outputs = (size_t)l->set[OUTPUTS].integer;
    bool luong = l->set[STYLE].integer == LUONG;
    at_layer *attend = NULL;

    if (l->set[ATTENTION].value.type != AT_NIL) {
        attend = make_attention(l, e);
        if (!attend)
            return false;
        if (!check_attention(l, attend, e)) {
            at_object_release(&attend->base);
            return false;
        }
        o->context = (size_t)at_attention_shape_of(attend).output;
        o->feeding = luong && l->set[FEEDING].flag;
    }
    size_t extra = !attend ? 0 : !luong ? o->context : o->feeding ? H : 0;
    bool combine = attend && luong;
    size_t width = luong ? H : H + inputs + o->context;
    if (!at_cell_params(l, "cell.", "", l->set[CELL].integer, inputs + extra, H, false, e)) {
        if (attend)
            at_object_release(&attend->base);
        return false;
    }
    if (attend && !at_inner(l, "attention", attend, e))
        return false;
    if (combine && !at_param(l, "combine.weight", 2, (size_t[]){H, o->context + H}, AT_INIT_UNIFORM,
                             1 / sqrt((double)(o->context + H)), e))
        return false;
    if (l->set[READOUT].integer == MAXOUT) {
        size_t rows = 2 * H;
        double bound = 1 / sqrt((double)width);
        if (!at_matrix(l, "readout.maxout.weight", rows, width, AT_INIT_UNIFORM, bound, e) ||
            !at_param(l, "readout.maxout.bias", 1, &rows, AT_INIT_UNIFORM, bound, e))
            return false;
        width = H;
    }
    double bound = 1 / sqrt((double)width);
    return at_matrix(l, "readout.out.weight", outputs, width, AT_INIT_UNIFORM, bound, e) &&
           at_param(l, "readout.out.bias", 1, &outputs, AT_INIT_UNIFORM, bound, e);
}

/* ---- the recurrence ---- */

/* A state and what comes of a run. */
typedef struct run {
    at_tensor *y, *memory, *memory_lengths;
    at_tensor *h, *c, *fed, *keys; /* in and out; NULL: zeros, or not yet prepared */
    int64_t step;                  /* steps before this run */
    bool keep;                     /* step: the keys are wanted in the state */
    at_tensor *features;
    at_attended found; /* of all steps */
} run;

/* x [B, T, width] through the cell; the state in r goes on. */
static at_tensor *recur(at_build *g, at_layer *l, run *r, at_tensor *x)
{
    at_tensor *cell_weights[] = {at_weight(l, W_IH), at_weight(l, W_HH), at_weight(l, B_IH), at_weight(l, B_HH)};
    return AT_APPLY(g, rnn, .in = {x, NULL, r->h, r->c}, .list = cell_weights, .count = 4,
                    .arg = {at_int(l->set[CELL].integer)}, .out = {&r->h, &r->c});
}

/* tanh(W_c [c; s]) */
static at_tensor *combine(at_build *g, at_layer *l, at_tensor *context, at_tensor *s)
{
    return at_tanh(
        g, at_linear(g, at_cat(g, 2, (at_tensor *[]){context, s}, -1), at_weight_named(l, "combine.weight"), NULL));
}

static at_tensor *attend(at_build *g, at_layer *l, const run *r, at_tensor *query, int64_t step, at_attended *found)
{
    at_attend_options o = {.lengths = r->memory_lengths, .position = step, .want_weights = true};
    return at_ok(g) && query ? at_attend(g, attention_of(l), query, r->memory, NULL, &o, found) : NULL;
}

/* T steps side by side in time, which is dimension d. */
static at_tensor *join(at_build *g, int64_t T, at_tensor **steps, int d)
{
    return T == 1 ? steps[0] : AT_APPLY(g, cat, .list = steps, .count = (int)T, .arg = {at_int(d)});
}

/* Dimension of what attention gives that is time: [B, T, S] or, with heads, [B, heads, T, S]. */
static int time_of_weights(const at_layer *l) { return at_attention_shape_of(attention_of(l)).heads > 1 ? 3 : 2; }

static bool composed(at_build *g, at_layer *l, run *r)
{
    const own *o = l->own;
    bool luong = l->set[STYLE].integer == LUONG;
    int64_t B = (int64_t)r->y->size[0], T = (int64_t)r->y->size[1], H = l->set[HIDDEN].integer;
    at_tensor **features = at_arena_alloc(&g->arena, (size_t)T * sizeof *features);
    at_tensor **weights = at_arena_alloc(&g->arena, (size_t)T * sizeof *weights);
    at_tensor **logp = at_arena_alloc(&g->arena, (size_t)T * sizeof *logp);
    at_tensor **p = at_arena_alloc(&g->arena, (size_t)T * sizeof *p);

    if (!features || !weights || !logp || !p)
        return at_error_memory(g->error, g->where, (size_t)T * sizeof *features);
    if (!r->h)
        r->h = at_own(g, at_tensor_zeros(l->dtype, 3, (size_t[]){1, (size_t)B, (size_t)H}, g->error));
    if (luong && !r->fed)
        r->fed = at_own(g, at_tensor_zeros(l->dtype, 2, (size_t[]){(size_t)B, (size_t)H}, g->error));
    at_tensor *s = at_transpose(g, r->h, 1, 2), *fed = luong ? at_unsqueeze(g, r->fed, 2) : NULL; /* [B, 1, H] */
    for (int64_t t = 0; t < T && at_ok(g); t++) {
        at_tensor *y = T == 1 ? r->y : at_narrow(g, r->y, 2, t + 1, 1);
        at_attended a = {0};
        if (luong) {
            s = recur(g, l, r, at_cat(g, 2, (at_tensor *[]){y, fed}, 3));
            at_tensor *c = attend(g, l, r, s, r->step + t + 1, &a);
            features[t] = fed = combine(g, l, c, s);
        } else {
            at_tensor *c = attend(g, l, r, s, r->step + t + 1, &a);
            s = recur(g, l, r, at_cat(g, 2, (at_tensor *[]){y, c}, 3));
            features[t] = at_cat(g, 3, (at_tensor *[]){s, y, c}, 3);
        }
        weights[t] = a.weights;
        logp[t] = a.logp;
        p[t] = a.probabilities;
    }
    if (!at_ok(g))
        return false;
    if (o->feeding)
        r->fed = at_select(g, fed, 2, 1);
    r->features = join(g, T, features, 2);
    int d = time_of_weights(l);
    r->found.weights = join(g, T, weights, d);
    if (at_attention_shape_of(attention_of(l)).samples) {
        r->found.logp = join(g, T, logp, d);
        r->found.probabilities = join(g, T, p, d);
    }
    return at_ok(g);
}

static bool fused(at_build *g, at_layer *l, run *r, const at_plain_attention *p)
{
    bool luong = l->set[STYLE].integer == LUONG;
    at_tensor *weights[] = {
        /* the order of op/decode.c */
        at_weight(l, W_IH),
        at_weight(l, W_HH),
        at_weight(l, B_IH),
        at_weight(l, B_HH),
        r->h,
        r->c,
        luong ? r->fed : NULL,
        p->weight_query,
        p->bias_query,
        p->v,
        luong ? at_weight_named(l, "combine.weight") : NULL};
    if (r->keys && r->keys->size[2] != p->keys->size[2])
        return at_refuse(g, "state.keys has width %zu, expected %zu (state.keys: %s)", r->keys->size[2],
                         p->keys->size[2], at_describe(r->keys).text) != NULL;
    r->features = AT_APPLY(g, decode, .in = {r->y, r->memory, r->keys ? r->keys : p->keys, r->memory_lengths},
                           .list = weights, .count = sizeof weights / sizeof *weights,
                           .arg = {at_int(l->set[CELL].integer), at_int(l->set[STYLE].integer), at_num(p->scale)},
                           .out = {&r->found.weights, &r->h, &r->c});
    if (!at_ok(g))
        return false;
    if (luong && r->keep)
        r->fed = at_select(g, r->features, 2, -1);
    if (r->keep && !r->keys)
        r->keys = p->keys;
    return at_ok(g);
}

static bool recurrence(at_build *g, at_layer *l, run *r)
{
    const own *o = l->own;
    bool luong = l->set[STYLE].integer == LUONG;
    at_layer *inner = attention_of(l);

    if (!inner) {
        at_tensor *s = recur(g, l, r, r->y);
        r->features = luong ? s : at_cat(g, 2, (at_tensor *[]){s, r->y}, 3);
        return at_ok(g);
    }
    if (luong && !o->feeding) {
        at_tensor *s = recur(g, l, r, r->y);
        r->features = combine(g, l, attend(g, l, r, s, r->step + 1, &r->found), s);
        return at_ok(g);
    }
    /* with keys prepared before, one row of the memory shows what else the attention is made of */
    at_tensor *shown = r->memory;
    if (r->keys && shown->size[0] > 0 && shown->size[1] > 0)
        shown = at_narrow(g, at_narrow(g, shown, 1, 1, 1), 2, 1, 1);
    at_plain_attention plain;
    if (shown && at_attention_plain(g, inner, shown, &plain))
        return fused(g, l, r, &plain);
    return at_ok(g) && composed(g, l, r);
}

static at_tensor *readout(at_build *g, at_layer *l, at_tensor *x)
{
    x = at_dropout(g, x, l->set[DROPOUT].number);
    if (x && l->set[READOUT].integer == MAXOUT) {
        x = at_linear(g, x, at_weight_named(l, "readout.maxout.weight"), at_weight_named(l, "readout.maxout.bias"));
        x = AT_APPLY(g, maxout, .in = {x}, .arg = {at_int(2)});
    }
    return at_linear(g, x, at_weight_named(l, "readout.out.weight"), at_weight_named(l, "readout.out.bias"));
}

/* ---- methods ---- */

/* A tensor field of a state that step made: its rows must be those of the batch; the rest is checked later. */
static bool read_own(at_build *g, const at_layer *l, const at_table *state, const char *field, const char *name,
                     size_t ndim, size_t B, size_t width, at_tensor **t)
{
    at_value v = at_table_get(state, field);
    if (v.type == AT_NIL)
        return true;
    if (v.type != AT_TENSOR)
        return at_refuse(g, "%s is %s, expected a tensor", name, at_describe_value(v).text) != NULL;
    if (!v.tensor->storage)
        return at_refuse(g, "%s: tensor was freed", name) != NULL;
    if (!at_expect(g, l, name, v.tensor, ndim, ndim, (int64_t)width))
        return false;
    if (v.tensor->size[0] != B)
        return at_refuse(g, "%s has %zu rows, expected %zu (%s: %s)", name, v.tensor->size[0], B, name,
                         at_describe(v.tensor).text) != NULL;
    *t = v.tensor;
    return true;
}

/* Everything but y. */
static bool begin(at_build *g, at_layer *l, run *r, at_value memory, at_value state, at_tensor *memory_lengths)
{
    const own *o = l->own;
    size_t B = r->y->size[0], H = (size_t)l->set[HIDDEN].integer;
    if (!at_read_state(g, l, state, l->set[CELL].integer, 1, B, H, &r->h, &r->c))
        return false;
    const at_table *table = state.type == AT_TABLE ? state.table : NULL;
    at_value step = at_table_get(table, "step");
    if (step.type != AT_NIL && (step.type != AT_WHOLE || step.whole < 0 || step.whole > INT32_MAX))
        return at_refuse(g, "state.step is %s, expected a number of steps", at_describe_value(step).text) != NULL;
    r->step = step.type == AT_WHOLE ? step.whole : 0;
    if (!attention_of(l))
        return true;
    if (memory.type == AT_NIL)
        return at_refuse(g, "memory is missing, expected a tensor") != NULL;
    r->memory = memory.tensor;
    if (!at_expect(g, l, "memory", r->memory, 3, 3, l->set[MEMORY].integer))
        return false;
    if (r->memory->size[0] != B)
        return at_refuse(g, "memory has %zu rows, but y has %zu (memory: %s)", r->memory->size[0], B,
                         at_describe(r->memory).text) != NULL;
    r->memory_lengths = memory_lengths;
    if (!at_check_lengths(g, "memory_lengths", memory_lengths, B, r->memory->size[1]))
        return false;
    if (o->feeding && !read_own(g, l, table, "fed", "state.fed", 2, B, H, &r->fed))
        return false;
    if (!read_own(g, l, table, "keys", "state.keys", 3, B, 0, &r->keys))
        return false;
    return !r->keys || r->keys->size[1] == r->memory->size[1] ||
           at_refuse(g, "state.keys are of %zu places, but memory has %zu (memory: %s)", r->keys->size[1],
                     r->memory->size[1], at_describe(r->memory).text) != NULL;
}

/* weights [, log-probability, probabilities] */
static bool return_found(at_pass *p, const at_attended *found)
{
    if (found->weights)
        at_return(p, at_tensor_value(found->weights));
    if (found->logp) {
        at_return(p, at_tensor_value(found->logp));
        at_return(p, at_tensor_value(found->probabilities));
    }
    return true;
}

static bool rnn_decoder_forward(at_build *g, at_layer *l, at_pass *p)
{
    run r = {.y = at_arg_tensor(p, 0)};
    at_tensor *lengths = at_option_tensor(p, LENGTHS);
    if (!at_expect(g, l, "y", r.y, 3, 3, l->set[N_INPUTS].integer) ||
        !at_check_lengths(g, "lengths", lengths, r.y->size[0], r.y->size[1]) ||
        !begin(g, l, &r, p->arg[1], p->given >> STATE & 1 ? p->option[STATE].value : (at_value){0},
               at_option_tensor(p, MEMORY_LENGTHS)))
        return false;
    if (r.y->size[1] == 0)
        return at_refuse(g, "y has no steps, expected at least 1 (y: %s)", at_describe(r.y).text) != NULL;
    if (!recurrence(g, l, &r))
        return false;
    at_return(p, at_tensor_value(readout(g, l, r.features)));
    return return_found(p, &r.found);
}

static bool put(at_build *g, at_table *t, const char *key, at_value v)
{
    return v.type == AT_NIL || at_table_add(&g->arena, t, key, 0, v) || at_error_memory(g->error, g->where, sizeof v);
}

static bool step(at_build *g, at_layer *l, at_pass *p)
{
    run r = {.y = at_arg_tensor(p, 0), .keep = true};
    if (!at_expect(g, l, "y", r.y, 2, 2, l->set[N_INPUTS].integer) ||
        !begin(g, l, &r, p->arg[1], p->arg[2], at_option_tensor(p, STEP_MEMORY_LENGTHS)))
        return false;
    r.y = at_unsqueeze(g, r.y, 2);
    if (!r.y || !recurrence(g, l, &r))
        return false;
    at_tensor *logits = at_select(g, readout(g, l, r.features), 2, 1);
    at_tensor **found[] = {&r.found.weights, &r.found.logp, &r.found.probabilities};
    for (int k = 0; k < 3; k++)
        if (*found[k])
            *found[k] = at_select(g, *found[k], time_of_weights(l), 1);
    at_table *state = at_table_new(&g->arena);
    if (!state)
        return at_error_memory(g->error, g->where, sizeof *state);
    if (!at_ok(g) || !put(g, state, "h", at_tensor_value(r.h)) || !put(g, state, "c", at_tensor_value(r.c)) ||
        !put(g, state, "fed", at_tensor_value(r.fed)) || !put(g, state, "keys", at_tensor_value(r.keys)) ||
        !put(g, state, "step", at_whole_value(r.step + 1)) || !put(g, state, "decoder", at_object_value(&l->base)))
        return false;
    at_return(p, at_tensor_value(logits));
    at_return(p, at_table_value(state));
    return return_found(p, &r.found);
}

/* True if rows are 1, 2 ... of n: nothing is to be copied. */
static bool is_identity(const at_tensor *rows, size_t n)
{
    if (rows->size[0] != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (at_ids(rows)[(ptrdiff_t)i * rows->step[0]] != (int64_t)i + 1)
            return false;
    return true;
}

static bool reorder(at_build *g, at_layer *l, at_pass *p)
{
    const at_table *state = p->arg[0].table;
    at_tensor *rows = p->arg[1].tensor;
    at_table *out = at_table_new(&g->arena);
    (void)l;
    if (!out)
        return at_error_memory(g->error, g->where, sizeof *out);
    if (rows->dtype != AT_I64 || rows->ndim != 1)
        return at_refuse(g, "rows is %s, expected int64 [M]", at_describe(rows).text) != NULL;
    for (size_t i = 0; i < state->n; i++) {
        const at_entry *entry = &state->entry[i];
        at_value v = entry->value;
        bool wide = entry->key && (strcmp(entry->key, "h") == 0 || strcmp(entry->key, "c") == 0); /* [1, B, hidden] */
        if (v.type == AT_TENSOR && !v.tensor->storage)
            return at_refuse(g, "state.%s: tensor was freed", entry->key ? entry->key : "?") != NULL;
        if (v.type == AT_TENSOR && v.tensor->ndim > wide && !is_identity(rows, v.tensor->size[wide]))
            v.tensor = AT_APPLY(g, index_select, .in = {v.tensor, rows}, .arg = {at_int(wide ? 2 : 1)});
        if (!at_ok(g))
            return false;
        if (!at_table_add(&g->arena, out, entry->key, entry->index, v))
            return at_error_memory(g->error, g->where, sizeof v);
    }
    return at_return(p, at_table_value(out));
}

static const at_method methods[] = {
    {"forward",
     {{"y", AT_TENSOR, false}, {"memory", AT_TENSOR, true}},
     options,
     rnn_decoder_forward,
     "decoder(y [B, T, inputs], memory [B, S, memory], {lengths =, memory_lengths =, state =})\n"
     "    -> logits [B, T, outputs], weights [B, T, S] [, log-probability [B, T], probabilities [B, T, S]: "
     "hard_sample]"},
    {"step",
     {{"y", AT_TENSOR, false}, {"memory", AT_TENSOR, true}, {"state", AT_TABLE, true}},
     step_options,
     step,
     "decoder:step(y [B, inputs], memory, state, {memory_lengths =}) -> logits [B, outputs], state, weights [B, S]\n"
     "    [, log-probability [B], probabilities [B, S]: hard_sample]"},
    {"reorder",
     {{"state", AT_TABLE, false}, {"rows", AT_TENSOR, false}},
     NULL,
     reorder,
     "decoder:reorder(state, rows int64 [M]) -> state with those rows: picked, repeated or dropped"},
    {0},
};

AT_LAYER(
    decoder_rnn, "decoder.rnn", .fields = fields, .setup = setup, .own_bytes = sizeof(own), .methods = methods,
    .help =
        "decoder.rnn{inputs =, hidden =, memory =, cell = \"gru\", attention = {...} | layer | module | nil,\n"
        "    style = \"bahdanau\" | \"luong\", input_feeding = true, outputs =, readout = \"linear\" | \"maxout\",\n"
        "    dropout = 0} -> layer\n"
        "logits, weights = decoder(y [B, T, inputs], memory [B, S, memory], {memory_lengths =, state =}) with the true "
        "y;\n"
        "logits, state, weights = decoder:step(y [B, inputs], memory, state, {memory_lengths =}) one step;\n"
        "decoder:reorder(state, rows) picks rows of a state.\n"
        "With attention = {distribution = \"hard_sample\", ...} both give behind the weights the log-probability of "
        "the draws\n"
        "([B, T], a step [B]), through which alone the attention learns (REINFORCE), and the probabilities drawn from "
        "(like the\n"
        "weights, for their entropy); after decoder:eval() the most likely place is taken.\n"
        "bahdanau: c from s_{t-1}, s_t = cell([y; c], s_{t-1}), logits from [s_t; y; c]. luong: s_t = cell([y; "
        "h~_{t-1}],\n"
        "s_{t-1}), c from s_t, h~_t = tanh(W_c [c; s_t]), logits from h~_t; without input_feeding s_t = cell(y, "
        "s_{t-1}).\n"
        "A module of attn.module as attention is called once a step, as attn.attention with a query [B, hidden]:\n"
        "context, weights [B, S] [, tensors of the step ...] [, own] = attention(query, memory, nil, {lengths =,\n"
        "position = step, weights = true, state = own}). The context is memory wide, or attention.out wide where that "
        "is a number.\n"
        "Tensors of the step come back behind the weights. own is a table, absent at the first step: what the module "
        "keeps of its\n"
        "past, [B, ...] each, such as the sum of the weights so far (coverage); it travels in state.attention.\n"
        "Without attention the memory is ignored. The attention's query is hidden wide, key and value are the memory.\n"
        "state is nil (zeros), {h = [1, B, hidden], c =} or what step returned. Parameters: cell.weight_ih ...,\n"
        "attention.*, combine.weight [hidden, memory + hidden], readout.*.");
