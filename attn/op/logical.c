/*
 * bool tensors: logical_and, logical_or, logical_xor of two, with NumPy's broadcasting, logical_not of one; any and all over
 * dimensions or over everything. Lua's & | ~ are the same. No gradient.
 *
 * Of nothing any is false and all is true. A bool element is the byte 0 or 1.
 */
#include <string.h>

#include "attn/core/op.h"
#include "attn/core/walk.h"

typedef enum kind { AND, OR, XOR, NOT } kind;

static bool both_shape(at_call *c)
{
    size_t size[AT_MAX_DIM], ndim;

    if (!at_broadcast(c->in[0], c->in[1], &ndim, size))
        return at_fail(c, "the shapes do not broadcast (a: %s, b: %s)", at_describe(c->in[0]).text,
                       at_describe(c->in[1]).text);
    return at_out_type(c, AT_BOOL, ndim, size);
}

static bool not_shape(at_call *c) { return at_out_type(c, AT_BOOL, c->in[0]->ndim, c->in[0]->size); }

/* Steps of 1 are said in so many words, for the compiler to see. */
#define EACH(value)                                                                                                    \
    do {                                                                                                               \
        if (sa == 1 && sb == 1 && step[0] == 1)                                                                        \
            for (size_t i = 0; i < n; i++) {                                                                           \
                uint8_t p = a[i], q = b[i];                                                                            \
                y[i] = value;                                                                                          \
            }                                                                                                          \
        else                                                                                                           \
            for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {                                                             \
                uint8_t p = a[i * sa], q = b[i * sb];                                                                  \
                y[i * step[0]] = value;                                                                                \
            }                                                                                                          \
    } while (0)

static void row(size_t n, char *const *at, const ptrdiff_t *step, void *context)
{
    uint8_t *y = (uint8_t *)at[0];
    const uint8_t *a = (const uint8_t *)at[1], *b = (const uint8_t *)at[2];
    ptrdiff_t sa = step[1], sb = step[2];

    switch (*(const kind *)context) {
    case AND: EACH(p & q); break;
    case OR: EACH(p | q); break;
    case XOR: EACH(p ^ q); break;
    default: EACH(!(p | q)); break;
    }
}

static void logical_forward(const at_call *c, kind op)
{
    const at_tensor *t[] = {c->out[0], c->in[0], c->in[op == NOT ? 0 : 1]};
    at_walk w = at_walk_broadcast(3, t, t[0]->ndim, t[0]->size);
    at_run_each(&w, t, row, &op);
}

static void and_forward(const at_call *c) { logical_forward(c, AND); }
static void or_forward(const at_call *c) { logical_forward(c, OR); }
static void xor_forward(const at_call *c) { logical_forward(c, XOR); }
static void not_forward(const at_call *c) { logical_forward(c, NOT); }

#define PAIR(id, fn, sign, text)                                                                                       \
    AT_MOVE_OP(id, .args = {{"a", AT_MASK}, {"b", AT_MASK}}, .shape = both_shape, .forward = fn, .strided = true,      \
               .gradient = AT_NO_GRADIENT,                                                                             \
               .help = #id "(a (bool), b (bool)) -> bool tensor, also a " sign " b\n" text " Shapes broadcast.")

PAIR(logical_and, and_forward, "&", "True where both are.");
PAIR(logical_or, or_forward, "|", "True where one is, or both are.");
PAIR(logical_xor, xor_forward, "~", "True where one is and the other is not.");

AT_MOVE_OP(logical_not, .args = {{"a", AT_MASK}}, .shape = not_shape, .forward = not_forward, .strided = true,
           .gradient = AT_NO_GRADIENT,
           .help = "logical_not(a (bool)) -> bool tensor like a, also ~a\nTrue where a is false.");

/* ---- any, all ---- */

static bool gone(const at_call *c, size_t d) { return c->arg[0].integer == 0 || c->arg[0].integer >> d & 1; }

static bool some_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t size[AT_MAX_DIM], ndim = 0;

    for (size_t d = 0; d < x->ndim; d++)
        if (!gone(c, d) || c->arg[1].flag)
            size[ndim++] = gone(c, d) ? 1 : x->size[d];
    return at_out_type(c, AT_BOOL, ndim, size);
}

/* at: y, x. What decides is `found`: true for any, false for all. */
static void look(size_t n, char *const *at, const ptrdiff_t *step, void *context)
{
    uint8_t *y = (uint8_t *)at[0], found = *(const uint8_t *)context;
    const uint8_t *x = (const uint8_t *)at[1];

    if (step[0] != 0) {
        for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {
            uint8_t *to = y + i * step[0];
            *to = found ? *to | x[i * step[1]] : *to & x[i * step[1]];
        }
    } else if (step[1] == 1) {
        if (memchr(x, found, n))
            *y = found;
    } else {
        for (ptrdiff_t i = 0; i < (ptrdiff_t)n && *y != found; i++)
            *y = x[i * step[1]];
    }
}

static void find(const at_call *c, uint8_t found)
{
    const at_tensor *x = c->in[0];
    at_tensor y = *c->out[0];
    ptrdiff_t step = 1;

    at_fill(c->out[0], !found);
    y.ndim = x->ndim;
    for (size_t d = x->ndim; d-- > 0;) {
        y.size[d] = gone(c, d) ? 1 : x->size[d];
        y.step[d] = step;
        step *= (ptrdiff_t)y.size[d];
    }
    const at_tensor *t[] = {&y, x};
    at_walk w = at_walk_broadcast(2, t, x->ndim, x->size);
    if (at_numel(x) > 0)
        at_run_in_order(&w, t, look, &found);
}

static void any_forward(const at_call *c) { find(c, true); }
static void all_forward(const at_call *c) { find(c, false); }

#define SOME(id, text)                                                                                                 \
    AT_MOVE_OP(id, .args = {{"x", AT_MASK}, {"d", AT_DIMS, .optional = true}, {"keepdim", AT_FLAG, .optional = true}}, \
               .shape = some_shape, .forward = id##_forward, .strided = true, .gradient = AT_NO_GRADIENT,              \
               .help = #id "(x (bool) [, d, keepdim = false]) -> bool tensor\n" text                                   \
                           " along dimension d (a table: several), or anywhere; keepdim leaves a size of 1.")

SOME(any, "Whether there is a true element; of nothing false:");
SOME(all, "Whether every element is true; of nothing true:");
