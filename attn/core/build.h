/*
 * Code composed from operations: layers, attention, encoders, decoders.
 *
 * The builder's error is sticky: after the first failure every call returns NULL, and passing NULL on is harmless, so the caller
 * looks once, at the end. What calls return belongs to the builder; nothing is freed line by line.
 */
#ifndef AT_CORE_BUILD_H
#define AT_CORE_BUILD_H

#include "attn/core/op.h"
#include "attn/core/value.h"

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
    const char *where;          /* "attention": what messages start with */
    bool training;              /* of the layer that is running */
    at_tensor **own;
    size_t n, room;
    at_object **object;
    size_t objects, object_room;
    at_arena arena;             /* tables of results */
} at_build;

void at_build_end(at_build *g);

/* "<where>: <message>"; always NULL. */
at_tensor *at_refuse(at_build *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
static inline bool at_ok(const at_build *g) { return !g->error->failed; }

/* The builder takes over one reference; t may be NULL. Returns t, NULL if it could not be noted (it is then released). */
at_tensor *at_own(at_build *g, at_tensor *t);

/* The same for an object. */
at_object *at_own_object(at_build *g, at_object *o);

#define at_int(x) ((at_scalar_value){.integer = (x)})
#define at_num(x) ((at_scalar_value){.number = (x)})
#define at_flag(x) ((at_scalar_value){.flag = (x)})

/*
 * Runs operation `id` on n tensors. An input that should be there and is NULL after an earlier failure: NULL. Optional inputs
 * are NULL and must be named by their bit in `optional`. Scalars in the order of the record, n_arg of them given.
 * Results into out[0..n_out-1] (may be NULL if only the first is wanted); returns the first. Dimensions count as the user's: from 1.
 */
at_tensor *at_apply(at_build *g, int id, int n, at_tensor *const *in, uint32_t optional, int n_arg, const at_scalar_value *arg,
                    int n_out, at_tensor **out);
at_tensor *at_apply_sizes(at_build *g, int id, at_tensor *x, int n, const int64_t *sizes);

static inline at_tensor *at_unary(at_build *g, int id, at_tensor *x)
{
    return at_apply(g, id, 1, &x, 0, 0, NULL, 1, NULL);
}

static inline at_tensor *at_binary(at_build *g, int id, at_tensor *a, at_tensor *b)
{
    return at_apply(g, id, 2, (at_tensor *[]){a, b}, 0, 0, NULL, 1, NULL);
}

static inline at_tensor *at_add(at_build *g, at_tensor *a, at_tensor *b) { return at_binary(g, AT_ID_add, a, b); }
static inline at_tensor *at_sub(at_build *g, at_tensor *a, at_tensor *b) { return at_binary(g, AT_ID_sub, a, b); }
static inline at_tensor *at_mul(at_build *g, at_tensor *a, at_tensor *b) { return at_binary(g, AT_ID_mul, a, b); }
static inline at_tensor *at_matmul(at_build *g, at_tensor *a, at_tensor *b) { return at_binary(g, AT_ID_matmul, a, b); }
static inline at_tensor *at_tanh(at_build *g, at_tensor *x) { return at_unary(g, AT_ID_tanh, x); }

/* x times a number. */
at_tensor *at_scale(at_build *g, at_tensor *x, double factor);

/* x W' + b; bias may be NULL. */
static inline at_tensor *at_linear(at_build *g, at_tensor *x, at_tensor *weight, at_tensor *bias)
{
    return at_apply(g, AT_ID_linear, 3, (at_tensor *[]){x, weight, bias}, 4, 0, NULL, 1, NULL);
}

static inline at_tensor *at_softmax(at_build *g, at_tensor *x, int d)
{
    return at_apply(g, AT_ID_softmax, 1, &x, 0, 1, (at_scalar_value[]){at_int(d)}, 1, NULL);
}

static inline at_tensor *at_narrow(at_build *g, at_tensor *x, int d, int64_t start, int64_t length)
{
    return at_apply(g, AT_ID_narrow, 1, &x, 0, 3, (at_scalar_value[]){at_int(d), at_int(start), at_int(length)}, 1, NULL);
}

static inline at_tensor *at_select(at_build *g, at_tensor *x, int d, int64_t i)
{
    return at_apply(g, AT_ID_select, 1, &x, 0, 2, (at_scalar_value[]){at_int(d), at_int(i)}, 1, NULL);
}

static inline at_tensor *at_transpose(at_build *g, at_tensor *x, int d1, int d2)
{
    return at_apply(g, AT_ID_transpose, 1, &x, 0, 2, (at_scalar_value[]){at_int(d1), at_int(d2)}, 1, NULL);
}

static inline at_tensor *at_unsqueeze(at_build *g, at_tensor *x, int d)
{
    return at_apply(g, AT_ID_unsqueeze, 1, &x, 0, 1, (at_scalar_value[]){at_int(d)}, 1, NULL);
}

static inline at_tensor *at_sum(at_build *g, at_tensor *x, int d, bool keep)
{
    return at_apply(g, AT_ID_sum, 1, &x, 0, 2, (at_scalar_value[]){at_int(d), at_flag(keep)}, 1, NULL);
}

/* The tensors side by side along dimension d; NULL entries are left out. */
at_tensor *at_cat(at_build *g, int n, at_tensor *const *list, int d);

/* The same elements in another shape; one size may be -1. */
static inline at_tensor *at_reshape(at_build *g, at_tensor *x, int n, const int64_t *sizes)
{
    return at_apply_sizes(g, AT_ID_reshape, x, n, sizes);
}

/* x with elements dropped with probability p and the rest scaled up, in training; x itself otherwise. */
at_tensor *at_dropout(at_build *g, at_tensor *x, double p);

#endif
