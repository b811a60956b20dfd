/*
 * where: a where the condition holds, b elsewhere; masked_fill: a number where the mask holds, x elsewhere. Any dtype.
 *
 *   cond, a, b   shapes that broadcast (NumPy); of masked_fill the mask broadcasts to x
 *   da, db       dy where it came from there, summed over the dimensions that a or b was broadcast over
 *
 * Elements are moved as words of 1, 4 or 8 bytes, and chosen without a branch: conditions are rarely predictable.
 */
#include <math.h>
#include <string.h>

#include "attn/core/op.h"
#include "attn/core/walk.h"

typedef uint32_t __attribute__((may_alias)) word4;
typedef uint64_t __attribute__((may_alias)) word8;

#define CHOOSE(word)                                                                                                   \
    do {                                                                                                               \
        const word *a = (const word *)(const void *)at[2], *b = (const word *)(const void *)at[3];                     \
        word *y = (word *)(void *)at[0];                                                                               \
        for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {                                                                 \
            word p = a[i * step[2]], q = b[i * step[3]];                                                               \
            y[i * step[0]] = q ^ ((p ^ q) & (word) - (word)(cond[i * step[1]] != 0));                                  \
        }                                                                                                              \
    } while (0)

/* at: y, condition, a, b */
static void choose(size_t n, char *const *at, const ptrdiff_t *step, void *context)
{
    const uint8_t *cond = (const uint8_t *)at[1];

    switch (*(const size_t *)context) {
    case 1: CHOOSE(uint8_t); break;
    case 4: CHOOSE(word4); break;
    default: CHOOSE(word8); break;
    }
}

static void run(const at_tensor *y, const at_tensor *cond, const at_tensor *a, const at_tensor *b)
{
    const at_tensor *t[] = {y, cond, a, b};
    size_t bytes = at_dtype_bytes((at_dtype)y->dtype);
    at_walk w = at_walk_broadcast(4, t, y->ndim, y->size);
    at_run_each(&w, t, choose, &bytes);
}

typedef struct side {
    at_dtype dtype;
    uint8_t when;
} side;

#define ADD(type)                                                                                                      \
    do {                                                                                                               \
        type *dx = (type *)(void *)at[0];                                                                              \
        const type *dy = (const type *)(const void *)at[2];                                                            \
        for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)                                                                   \
            if (!cond[i * step[1]] == !s->when)                                                                        \
                dx[i * step[0]] += dy[i * step[2]];                                                                    \
    } while (0)

/* at: dx, condition, dy */
static void add(size_t n, char *const *at, const ptrdiff_t *step, void *context)
{
    const side *s = context;
    const uint8_t *cond = (const uint8_t *)at[1];

    if (s->dtype == AT_F32)
        ADD(float);
    else
        ADD(double);
}

/* Adds dy to dx where the condition is `when`. */
static void run_back(at_tensor *dx, const at_tensor *cond, const at_tensor *dy, bool when)
{
    const at_tensor *t[] = {dx, cond, dy};
    side s = {(at_dtype)dy->dtype, when};
    at_walk w = at_walk_broadcast(3, t, dy->ndim, dy->size);

    if (at_same_shape(dx, dy)) {
        at_run_each(&w, t, add, &s);
    } else {
        /* several elements of dy meet in one of dx: in order, in one thread */
        at_run_in_order(&w, t, add, &s);
    }
}

static bool where_shape(at_call *c)
{
    const at_tensor *cond = c->in[0], *a = c->in[1], *b = c->in[2];
    size_t ndim;
    at_tensor both = {.dtype = AT_BOOL};

    if (!at_broadcast(a, b, &ndim, both.size))
        return at_fail(c, "the shapes do not broadcast (a: %s, b: %s)", at_describe(a).text, at_describe(b).text);
    both.ndim = (uint8_t)ndim;
    size_t size[AT_MAX_DIM];
    if (!at_broadcast(cond, &both, &ndim, size))
        return at_fail(c, "the condition does not broadcast with a and b (cond: %s, a: %s, b: %s)",
                       at_describe(cond).text, at_describe(a).text, at_describe(b).text);
    return at_out_type(c, (at_dtype)a->dtype, ndim, size);
}

static void where_forward(const at_call *c) { run(c->out[0], c->in[0], c->in[1], c->in[2]); }

static void where_backward(const at_call *c)
{
    for (int k = 1; k < 3; k++)
        if (c->in[k]->grad)
            run_back(c->in[k]->grad, c->in[0], c->out[0]->grad, k == 1);
}

AT_MOVE_OP(where, .args = {{"cond", AT_MASK}, {"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = where_shape,
           .forward = where_forward, .backward = where_backward, .strided = true, .keeps = AT_KEEP(0), .plain = true,
           .help = "where(cond (bool), a, b) -> y\n"
                   "a where the condition is true, b elsewhere; shapes broadcast, a or b may be a number. Any dtype.");

static bool fill_shape(at_call *c)
{
    const at_tensor *x = c->in[0], *mask = c->in[1];
    size_t size[AT_MAX_DIM], ndim;
    double v = c->arg[0].number;

    if (!at_broadcast(x, mask, &ndim, size) || ndim != x->ndim || memcmp(size, x->size, ndim * sizeof *size) != 0)
        return at_fail(c, "the mask does not broadcast to x (x: %s, mask: %s)", at_describe(x).text,
                       at_describe(mask).text);
    if (x->dtype == AT_I64 && (v != floor(v) || fabs(v) > 9e15))
        return at_fail(c, "value is %.14g, expected an integer (x: %s)", v, at_describe(x).text);
    if (x->dtype == AT_U8 && v != at_to_uint8(v))
        return at_fail(c, "value is %.14g, expected an integer from 0 to 255 (x: %s)", v, at_describe(x).text);
    return at_out_type(c, (at_dtype)x->dtype, x->ndim, x->size);
}

static void fill_forward(const at_call *c)
{
    /* the number as a tensor without dimensions */
    uint64_t word = 0;
    at_tensor value = {.dtype = c->in[0]->dtype, .data = (char *)&word};

    at_fill(&value, c->arg[0].number);
    run(c->out[0], c->in[1], &value, c->in[0]);
}

static void fill_backward(const at_call *c) { run_back(c->in[0]->grad, c->in[1], c->out[0]->grad, false); }

AT_MOVE_OP(masked_fill, .args = {{"x", AT_ANY}, {"mask", AT_MASK}, {"value", AT_NUMBER}}, .shape = fill_shape,
           .forward = fill_forward, .backward = fill_backward, .strided = true, .keeps = AT_KEEP(1),
           .help = "masked_fill(x, mask (bool), value) -> y like x\n"
                   "The value where the mask, broadcast to x, is true; x elsewhere. Any dtype.");
