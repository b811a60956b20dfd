/*
 * Layers: configuration fields, parameters, a forward pass built from operations. One record per kind; linear,
 * attention, encoders and decoders are all of this one type, and scripts reach them through one binding.
 */
#ifndef AT_LAYER_LAYER_H
#define AT_LAYER_LAYER_H

#include "attn/build/build.h"
#include "attn/core/profile.h"

typedef struct at_layer at_layer;
typedef struct at_layer_kind at_layer_kind;

/* A parameter, a buffer (in state() only), or a layer inside this one. In order of declaration. */
typedef struct at_member {
    char *name;
    at_tensor *tensor; /* or */
    at_layer *layer;
    bool buffer;
    bool matrix; /* at_matrix */
} at_member;

struct at_layer {
    at_object base;
    const at_layer_kind *kind;
    at_dtype dtype;
    bool training;
    uint32_t given;               /* bit per field of the configuration */
    at_setting set[AT_MAX_FIELD]; /* the configuration, by the kind's enumeration; tables are gone after setup */
    at_member *member;
    size_t members, room;
    void *own; /* kind->own_bytes, zeroed */
};

/* A call of a layer's method: positional arguments, options, results. */
enum { AT_CALL_ARGS = 6, AT_RESULTS = 5, AT_OPTIONS = 16 };
typedef struct at_pass {
    at_value arg[AT_CALL_ARGS];    /* AT_NIL where absent; checked against the method's list */
    at_setting option[AT_OPTIONS]; /* by the method's options */
    uint32_t given;
    int results;
    at_value result[AT_RESULTS]; /* all belong to the builder, until at_build_end */
    int activation; /* of layer.linear, from other layers: 1 + which one of linear_act's is taken of y as it is made */
} at_pass;

typedef struct at_method {
    const char *name; /* "forward" is also the call of the layer itself */
    struct {
        const char *name;
        at_type type;
        bool optional;
    } arg[AT_CALL_ARGS];     /* type: AT_TENSOR or AT_TABLE */
    const at_field *options; /* NULL: takes none */
    bool (*run)(at_build *g, at_layer *l, at_pass *p);
    const char *help;
} at_method;

struct at_layer_kind {
    const char *name; /* path under attn: "layer.linear", "attention", "encoder.rnn" */
    const at_field *fields;
    /* Declares parameters and inner layers from l->set; the only step that fails besides run. */
    bool (*setup)(at_layer *l, at_error *e);
    void (*dispose)(at_layer *l); /* frees what `own` holds; may be NULL */
    size_t own_bytes;
    const at_method *methods; /* ended by a NULL name; the first is "forward" */
    /* One line for tostring: "additive, softmax, global, single"; NULL prints the configuration. */
    void (*summary)(const at_layer *l, char *text, size_t room);
    const char *help;
};

#define AT_LAYER(id, text, ...) const at_layer_kind at_layer_##id = {.name = text, __VA_ARGS__}

extern const at_class at_layer_class;

/* A new layer of a kind; float32, in training mode, initialised from the random stream. NULL with the error set. */
at_layer *at_layer_new(const at_layer_kind *kind, const at_table *config, at_error *e);

/* The name in messages: the part of kind->name behind the last dot, or the whole of "encoder.rnn". */
const char *at_layer_where(const at_layer_kind *kind);

/* ---- in setup ---- */

typedef enum at_init {
    AT_INIT_ZERO,
    AT_INIT_ONE,
    AT_INIT_UNIFORM, /* in +-bound */
    AT_INIT_NORMAL   /* standard deviation bound */
} at_init;

/* Declares a parameter. The name is copied. */
bool at_param(at_layer *l, const char *name, size_t ndim, const size_t *size, at_init init, double bound, at_error *e);
/* A parameter of two dimensions that only operations read which take a weight kept for inference (AT_WEIGHT, op.h). */
bool at_matrix(at_layer *l, const char *name, size_t rows, size_t columns, at_init init, double bound, at_error *e);
/* A tensor in state() but not among the parameters. */
bool at_buffer(at_layer *l, const char *name, size_t ndim, const size_t *size, at_init init, double bound, at_error *e);
/* Shares a tensor of the script's: a parameter if it requires a gradient, else a buffer. */
bool at_share(at_layer *l, const char *name, at_tensor *t, at_error *e);
/* A layer inside; takes over the caller's reference even when it fails. NULL inner is a failure reported before. */
bool at_inner(at_layer *l, const char *name, at_layer *inner, at_error *e);

/* ---- in run ---- */

/* The k-th tensor among the members, counted over own members only (inner layers are skipped). */
at_tensor *at_weight(const at_layer *l, size_t k);
/* By name, NULL if there is none: "weight", "attention.score.v". */
at_tensor *at_weight_named(const at_layer *l, const char *name);
at_layer *at_inner_named(const at_layer *l, const char *name);

/* The builder's words for messages, mode and place in a profile are those of l until at_layer_leave. */
typedef struct at_within {
    const char *where;
    const at_layer *layer;
    at_profile_scope scope;
    bool training, profiled;
} at_within;
at_within at_layer_enter(at_build *g, const at_layer *l);
void at_layer_leave(at_build *g, const at_within *before);

/* Runs the forward method of an inner layer under the same builder. */
bool at_run_layer(at_build *g, at_layer *inner, at_pass *p);

/*
 * Checks that x is a float tensor of the layer's type with low to high dimensions (high 0: any number) and `width`
 * elements in the last; false with "linear: x has width 7, expected 8 (x: float32 [2, 7])". A width of 0 is any.
 */
bool at_expect(at_build *g, const at_layer *l, const char *name, const at_tensor *x, size_t low, size_t high,
               int64_t width);

/* arg[k] as a tensor (NULL if nil) with checks done by the caller of run; and results. */
static inline at_tensor *at_arg_tensor(const at_pass *p, int k)
{
    return p->arg[k].type == AT_TENSOR ? p->arg[k].tensor : NULL;
}
static inline at_tensor *at_option_tensor(const at_pass *p, int k)
{
    return p->given >> k & 1 ? p->option[k].value.tensor : NULL;
}
static inline bool at_return(at_pass *p, at_value v)
{
    p->result[p->results++] = v;
    return true;
}

/* ---- from outside ---- */

/* Finds a method; NULL if there is none. */
const at_method *at_method_named(const at_layer_kind *kind, const char *name);

/* Checks the positional arguments and reads the options table, then runs. Results stay with the builder. */
bool at_layer_call(at_build *g, at_layer *l, const at_method *m, at_pass *p, const at_table *options);

/* Calls fn for every tensor with its dotted name, in order, inner layers included; stops if fn returns false. */
typedef bool (*at_visit)(void *context, const char *name, at_member *member);
bool at_layer_walk(at_layer *l, at_visit fn, void *context);

void at_layer_train(at_layer *l, bool training);
/*
 * Converts every float tensor inside its record, so that ties, optimizers and handles go on meaning it; a gradient of
 * another type is dropped, and a graph recorded before is refused by the backward pass. On failure nothing has changed.
 */
bool at_layer_to(at_layer *l, at_dtype dtype, at_error *e);
/* The same for one tensor; one that is the result of an operation is an error, one that is no float is left alone. */
bool at_convert(at_tensor *t, at_dtype dtype, at_error *e);
/*
 * Takes a tensor for inference: it gathers no gradient from now on, and its record takes over the numbers of `made` (NULL: keeps its
 * own), so that ties and handles go on meaning it; made is left with the old ones.
 */
void at_rest(at_tensor *t, at_tensor *made);
/* The end of that for gradients: one that would gather them does so again. */
void at_wake(at_tensor *t);
/* Replaces a tensor (ties it): same shape and dtype. */
bool at_layer_set(at_layer *l, const char *name, at_tensor *t, at_error *e);

#endif
