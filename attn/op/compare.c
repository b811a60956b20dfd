/*
 * eq, ne, lt, le, gt, ge: a bool tensor, element by element, with NumPy's broadcasting.
 *
 * Comparisons with NaN are false, ne is true. No gradient. bool tensors are compared as the integers 0 and 1.
 */
#include "attn/op/rows.h"

typedef enum kind { EQ, NE, LT, LE, GT, GE } kind;

static bool shape(at_call *c)
{
    size_t size[AT_MAX_DIM], ndim;

    if (!at_broadcast(c->in[0], c->in[1], &ndim, size))
        return at_fail(c, "the shapes do not broadcast (a: %s, b: %s)", at_describe(c->in[0]).text,
                       at_describe(c->in[1]).text);
    return at_out_type(c, AT_BOOL, ndim, size);
}

#define EACH(op)                                                \
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)                \
        y[i * step[0]] = a[i * step[1]] op b[i * step[2]]

static void row(size_t n, char *const *at, const ptrdiff_t *step, void *context)
{
    uint8_t *y = (uint8_t *)at[0];
    const real *a = (const real *)(const void *)at[1], *b = (const real *)(const void *)at[2];

    switch (*(const kind *)context) {
    case EQ: EACH(==); break;
    case NE: EACH(!=); break;
    case LT: EACH(<); break;
    case LE: EACH(<=); break;
    case GT: EACH(>); break;
    default: EACH(>=); break;
    }
}

static void forward(const at_call *c, kind op)
{
    const at_tensor *t[] = {c->out[0], c->in[0], c->in[1]};
    at_walk w = at_walk_broadcast(3, t, t[0]->ndim, t[0]->size);
    at_run_each(&w, t, row, &op);
}

static void eq_forward(const at_call *c) { forward(c, EQ); }
static void ne_forward(const at_call *c) { forward(c, NE); }
static void lt_forward(const at_call *c) { forward(c, LT); }
static void le_forward(const at_call *c) { forward(c, LE); }
static void gt_forward(const at_call *c) { forward(c, GT); }
static void ge_forward(const at_call *c) { forward(c, GE); }

#define HELP(name, meaning)                                                                         \
    name "(a, b) -> bool tensor\nTrue where " meaning "; shapes broadcast, a or b may be a number. "   \
    "With NaN false, but ne is true. int64 and bool too."

AT_OP(eq, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = eq_forward, .strided = true,
    .gradient = AT_NO_GRADIENT, .help = HELP("eq", "a equals b"));
AT_OP(ne, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = ne_forward, .strided = true,
    .gradient = AT_NO_GRADIENT, .help = HELP("ne", "a differs from b"));
AT_OP(lt, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = lt_forward, .strided = true,
    .gradient = AT_NO_GRADIENT, .help = HELP("lt", "a is less than b"));
AT_OP(le, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = le_forward, .strided = true,
    .gradient = AT_NO_GRADIENT, .help = HELP("le", "a is at most b"));
AT_OP(gt, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = gt_forward, .strided = true,
    .gradient = AT_NO_GRADIENT, .help = HELP("gt", "a is greater than b"));
AT_OP(ge, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = ge_forward, .strided = true,
    .gradient = AT_NO_GRADIENT, .help = HELP("ge", "a is at least b"));
