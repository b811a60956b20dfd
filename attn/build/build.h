/*
 * Code composed from operations: layers, attention, encoders, decoders.
 *
 * The builder's error is sticky: after the first failure every call returns NULL, and passing NULL on is harmless, so the caller
 * looks once, at the end. What calls return belongs to the builder; nothing is freed line by line.
 */
#ifndef AT_BUILD_BUILD_H
#define AT_BUILD_BUILD_H

#include "attn/core/op.h"
#include "attn/build/value.h"

/* Ids of all operations: AT_ID_softmax, ... in the order of op/list.h. */
#define AT_TYPED(id) AT_ID_##id,
#define AT_NUMERIC(id) AT_ID_##id,
#define AT_MOVED(id) AT_ID_##id,
enum {
#include "attn/op/list.h"
    AT_OPS
};
#undef AT_TYPED
#undef AT_NUMERIC
#undef AT_MOVED

extern const at_op_entry at_ops[AT_OPS];

typedef struct at_build {
    at_error *error;
    const char *where;            /* "attention": what messages start with */
    bool training;                /* of the layer that is running */
    const struct at_layer *layer; /* that one; NULL: none */
    at_object *failed;            /* the innermost layer whose call failed */
    at_tensor **own;
    size_t n, room;
    at_object **object;
    size_t objects, object_room;
    at_arena arena; /* tables of results */
} at_build;

void at_build_end(at_build *g);

/* "<where>: <message>"; always NULL. */
at_tensor *at_refuse(at_build *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool at_ok(const at_build *g) { return !g->error->failed; }

/* The builder takes over one reference; t may be NULL. Returns t, NULL if it could not be noted (it is then released). */
at_tensor *at_own(at_build *g, at_tensor *t);

/* The same for an object. */
at_object *at_own_object(at_build *g, at_object *o);

/* A number for an operation, told from one that is left to the record's default. */
typedef struct at_given {
    at_scalar_value value;
    bool given;
} at_given;
#define at_int(x) ((at_given){{.integer = (x)}, true})
#define at_num(x) ((at_given){{.number = (x)}, true})
#define at_flag(x) ((at_given){{.flag = (x)}, true})
#define at_both(a, b) ((at_given){{.counts = {(a), (b)}}, true})

/* What an operation gets. All is borrowed. */
enum { AT_MAX_IN = 12 };
typedef struct at_inputs {
    at_tensor *in[AT_MAX_IN]; /* its tensors in order; NULL where the record says optional and nothing is there */
    at_tensor *const *list;   /* members of its list, and how many */
    int count;
    at_given
        arg[AT_MAX_SCALAR]; /* its numbers, dimensions, flags ... in order, as many as are given; dimensions from 1 */
    const int64_t *sizes;
    int n_sizes;
    at_tensor **out[AT_MAX_OUT - 1]; /* where results behind the first go; NULL goes there if there is none */
} at_inputs;

/*
 * Runs an operation and returns its first result: AT_APPLY(g, conv2d, .in = {x, weight, bias}, .arg = {at_int(stride)}). The record
 * says which tensors may be missing; another one that is NULL is an error, or the trace of an earlier one.
 */
#define AT_APPLY(g, op, ...) at_apply(g, AT_ID_##op, &(at_inputs){__VA_ARGS__})
at_tensor *at_apply(at_build *g, int id, const at_inputs *x);

static inline at_tensor *at_unary(at_build *g, int id, at_tensor *x)
{
    return at_apply(g, id, &(at_inputs){.in = {x}});
}

static inline at_tensor *at_add(at_build *g, at_tensor *a, at_tensor *b) { return AT_APPLY(g, add, .in = {a, b}); }
static inline at_tensor *at_mul(at_build *g, at_tensor *a, at_tensor *b) { return AT_APPLY(g, mul, .in = {a, b}); }
static inline at_tensor *at_matmul(at_build *g, at_tensor *a, at_tensor *b)
{
    return AT_APPLY(g, matmul, .in = {a, b});
}
static inline at_tensor *at_tanh(at_build *g, at_tensor *x) { return at_unary(g, AT_ID_tanh, x); }

/* x W' + b; bias may be NULL. */
static inline at_tensor *at_linear(at_build *g, at_tensor *x, at_tensor *weight, at_tensor *bias)
{
    return AT_APPLY(g, linear, .in = {x, weight, bias});
}

static inline at_tensor *at_softmax(at_build *g, at_tensor *x, int d)
{
    return AT_APPLY(g, softmax, .in = {x}, .arg = {at_int(d)});
}

static inline at_tensor *at_narrow(at_build *g, at_tensor *x, int d, int64_t start, int64_t length)
{
    return AT_APPLY(g, narrow, .in = {x}, .arg = {at_int(d), at_int(start), at_int(length)});
}

static inline at_tensor *at_select(at_build *g, at_tensor *x, int d, int64_t i)
{
    return AT_APPLY(g, select, .in = {x}, .arg = {at_int(d), at_int(i)});
}

static inline at_tensor *at_transpose(at_build *g, at_tensor *x, int d1, int d2)
{
    return AT_APPLY(g, transpose, .in = {x}, .arg = {at_int(d1), at_int(d2)});
}

static inline at_tensor *at_unsqueeze(at_build *g, at_tensor *x, int d)
{
    return AT_APPLY(g, unsqueeze, .in = {x}, .arg = {at_int(d)});
}

static inline at_tensor *at_sum(at_build *g, at_tensor *x, int d, bool keep)
{
    return AT_APPLY(g, sum, .in = {x}, .arg = {at_int(at_dim_bit(d)), at_flag(keep)});
}

/* The tensors side by side along dimension d; NULL entries are left out. */
at_tensor *at_cat(at_build *g, int n, at_tensor *const *list, int d);

/* The same elements in another shape; one size may be -1. */
static inline at_tensor *at_reshape(at_build *g, at_tensor *x, int n, const int64_t *sizes)
{
    return x ? AT_APPLY(g, reshape, .in = {x}, .sizes = sizes, .n_sizes = n) : NULL;
}

/* x with elements dropped with probability p and the rest scaled up, in training; x itself otherwise. */
at_tensor *at_dropout(at_build *g, at_tensor *x, double p);

#endif
