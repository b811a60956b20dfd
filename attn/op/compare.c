/*
 * Numbers to truth, element by element: eq, ne, lt, le, gt, ge of two tensors, with NumPy's broadcasting; isnan, isinf,
 * isfinite of one.
 *
 * Comparisons with NaN are false, ne is true. No gradient. bool and uint8 tensors are compared as integers; integers are finite.
 */
#include <math.h>

#include "attn/op/rows.h"

typedef enum kind { EQ, NE, LT, LE, GT, GE, ISNAN, ISINF, ISFINITE } kind;

static bool shape(at_call *c)
{
    size_t size[AT_MAX_DIM], ndim;

    if (!at_broadcast(c->in[0], c->in[1], &ndim, size))
        return at_fail(c, "the shapes do not broadcast (a: %s, b: %s)", at_describe(c->in[0]).text,
                       at_describe(c->in[1]).text);
    return at_out_type(c, AT_BOOL, ndim, size);
}

#define EACH(op)                                                                                                       \
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)                                                                       \
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

static void compare_forward(const at_call *c, kind op)
{
    const at_tensor *t[] = {c->out[0], c->in[0], c->in[1]};
    at_walk w = at_walk_broadcast(3, t, t[0]->ndim, t[0]->size);
    at_run_each(&w, t, row, &op);
}

#define IS(what)                                                                                                       \
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++) {                                                                     \
        double value = (double)x[i * step[1]];                                                                         \
        y[i * step[0]] = what;                                                                                         \
    }

static void look_row(size_t n, char *const *at, const ptrdiff_t *step, void *context)
{
    uint8_t *y = (uint8_t *)at[0];
    const real *x = (const real *)(const void *)at[1];

    switch (*(const kind *)context) {
    case ISNAN: IS(value != value); break;
    case ISINF: IS(fabs(value) == (double)INFINITY); break;
    default: IS(fabs(value) < (double)INFINITY); break;
    }
}

static bool look_shape(at_call *c) { return at_out_type(c, AT_BOOL, c->in[0]->ndim, c->in[0]->size); }

static void look(const at_call *c, kind op)
{
    const at_tensor *t[] = {c->out[0], c->in[0]};
    at_walk w = at_walk_of(2, t);
    at_run_each(&w, t, look_row, &op);
}

static void isnan_forward(const at_call *c) { look(c, ISNAN); }
static void isinf_forward(const at_call *c) { look(c, ISINF); }
static void isfinite_forward(const at_call *c) { look(c, ISFINITE); }

static void eq_forward(const at_call *c) { compare_forward(c, EQ); }
static void ne_forward(const at_call *c) { compare_forward(c, NE); }
static void lt_forward(const at_call *c) { compare_forward(c, LT); }
static void le_forward(const at_call *c) { compare_forward(c, LE); }
static void gt_forward(const at_call *c) { compare_forward(c, GT); }
static void ge_forward(const at_call *c) { compare_forward(c, GE); }

#define HELP(name, meaning)                                                                                            \
    name "(a, b) -> bool tensor\nTrue where " meaning "; shapes broadcast, a or b may be a number. "                   \
         "With NaN false, but ne is true. int64, bool and uint8 too."

AT_OP(eq, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = eq_forward, .strided = true,
      .bytes = true, .gradient = AT_NO_GRADIENT, .help = HELP("eq", "a equals b"));
AT_OP(ne, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = ne_forward, .strided = true,
      .bytes = true, .gradient = AT_NO_GRADIENT, .help = HELP("ne", "a differs from b"));
AT_OP(lt, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = lt_forward, .strided = true,
      .bytes = true, .gradient = AT_NO_GRADIENT, .help = HELP("lt", "a is less than b"));
AT_OP(le, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = le_forward, .strided = true,
      .bytes = true, .gradient = AT_NO_GRADIENT, .help = HELP("le", "a is at most b"));
AT_OP(gt, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = gt_forward, .strided = true,
      .bytes = true, .gradient = AT_NO_GRADIENT, .help = HELP("gt", "a is greater than b"));
AT_OP(ge, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = ge_forward, .strided = true,
      .bytes = true, .gradient = AT_NO_GRADIENT, .help = HELP("ge", "a is at least b"));

#define LOOK(name, text)                                                                                               \
    AT_OP(name, .args = {{"x", AT_FLOAT}}, .shape = look_shape, .forward = name##_forward, .strided = true,            \
          .gradient = AT_NO_GRADIENT, .help = #name "(x) -> bool tensor like x\n" text)

LOOK(isnan, "True where x is NaN. int64 too (never).");
LOOK(isinf, "True where x is plus or minus infinity. int64 too (never).");
LOOK(isfinite, "True where x is neither infinite nor NaN. int64 too (always).");
