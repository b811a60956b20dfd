/*
 * Element-wise functions of one tensor: exp log sqrt abs sign sin cos tanh sigmoid relu gelu silu elu softplus clamp
 * floor ceil round square rsqrt log1p expm1 tan atan erf leaky_relu.
 *
 *   x, y   any shape
 *   dx     dy f'(x), from y where f' is cheaper in terms of y (then x is not kept)
 *
 * The numbers are made by rows in kernel/map.c. At a kink the gradient is 0 (abs, relu at 0; of leaky_relu the slope); clamp passes it
 * on at both bounds.
 */
#include <tgmath.h>

#include "attn/op/rows.h"
#include "attn/kernel/map.h"

static bool shape(at_call *c) { return at_out(c, c->in[0]->ndim, c->in[0]->size); }

static void unary_forward(const at_call *c, void (*fn)(const at_map *, size_t, size_t))
{
    at_run_map(&(at_map){.a = at_in(c, 0), .y = at_outp(c, 0), .n = at_numel(c->out[0]), .fn = fn, .context = c});
}

/* x or y may be gone: what backward does not read is not kept. */
static void unary_backward(const at_call *c, void (*fn)(const at_map *, size_t, size_t))
{
    const at_tensor *x = c->in[0], *y = c->out[0];
    at_run_map(&(at_map){
        .a = x->storage ? at_in(c, 0) : NULL,
        .b = y->storage ? at_outp(c, 0) : NULL,
        .c = at_dout(c, 0),
        .y = at_din(c, 0),
        .n = at_numel(y),
        .fresh = at_is_fresh(c, 0),
        .fn = fn,
        .context = c});
}

/* The functions of a kernel: block, and block of the gradient, which reads x or y. */
#define BY_KERNEL(name, of_x, of_y)                                                                                    \
    static void name##_block(const at_map *m, size_t at, size_t n) { K->map->v##name(n, m->a + at, m->y + at); }       \
    static void name##_block_back(const at_map *m, size_t at, size_t n)                                                \
    {                                                                                                                  \
        K->map->v##name##_back(n, of_x, of_y, m->c + at, m->y + at);                                                   \
    }                                                                                                                  \
    static void name##_forward(const at_call *c) { unary_forward(c, name##_block); }                                   \
    static void name##_backward(const at_call *c) { unary_backward(c, name##_block_back); }
#define BY_X(name) BY_KERNEL(name, m->a + at, NULL)
#define BY_Y(name) BY_KERNEL(name, NULL, m->b + at)

BY_Y(exp)
BY_X(log)
BY_Y(sqrt)
BY_X(abs)
BY_X(sin)
BY_X(cos)
BY_Y(tanh)
BY_Y(sigmoid)
BY_X(relu)
BY_X(gelu)
BY_X(silu)
BY_Y(elu)
BY_X(softplus)
BY_X(square)
BY_Y(rsqrt)
BY_X(log1p)
BY_Y(expm1)
BY_Y(tan)
BY_X(atan)
BY_X(erf)

static void sign_block(const at_map *m, size_t at, size_t n)
{
    const real *x = m->a + at;
    real *y = m->y + at;

    for (size_t i = 0; i < n; i++)
        y[i] = x[i] > 0 ? 1 : x[i] < 0 ? -1 : x[i];
}
static void sign_forward(const at_call *c) { unary_forward(c, sign_block); }
/* of what is flat wherever it has a slope */
static void flat_block_back(const at_map *m, size_t at, size_t n) { (void)m, (void)at, (void)n; }
static void flat_backward(const at_call *c) { unary_backward(c, flat_block_back); }
#define sign_backward flat_backward

#define FLAT(name)                                                                                                     \
    static void name##_block(const at_map *m, size_t at, size_t n) { K->map->v##name(n, m->a + at, m->y + at); }       \
    static void name##_forward(const at_call *c) { unary_forward(c, name##_block); }
FLAT(floor)
FLAT(ceil)
FLAT(round)
#define floor_backward flat_backward
#define ceil_backward flat_backward
#define round_backward flat_backward

static bool clamp_shape(at_call *c)
{
    double low = c->arg[0].number, high = c->arg[1].number;

    if (!(low <= high))
        return at_fail(c, "low is %.14g, expected at most high, %.14g", low, high);
    return shape(c);
}

static void clamp_block(const at_map *m, size_t at, size_t n)
{
    const at_call *c = m->context;
    real low = (real)c->arg[0].number, high = (real)c->arg[1].number, *y = m->y + at;
    const real *x = m->a + at;

    for (size_t i = 0; i < n; i++)
        y[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}
static void clamp_forward(const at_call *c) { unary_forward(c, clamp_block); }

static void clamp_block_back(const at_map *m, size_t at, size_t n)
{
    const at_call *c = m->context;
    real low = (real)c->arg[0].number, high = (real)c->arg[1].number, *dx = m->y + at;
    const real *x = m->a + at, *dy = m->c + at;

    for (size_t i = 0; i < n; i++)
        dx[i] += x[i] >= low && x[i] <= high ? dy[i] : 0;
}
static void clamp_backward(const at_call *c) { unary_backward(c, clamp_block_back); }

static void leaky_block(const at_map *m, size_t at, size_t n)
{
    K->map->leaky(n, (real)((const at_call *)m->context)->arg[0].number, m->a + at, m->y + at);
}
static void leaky_forward(const at_call *c) { unary_forward(c, leaky_block); }

static void leaky_block_back(const at_map *m, size_t at, size_t n)
{
    K->map->leaky_back(n, (real)((const at_call *)m->context)->arg[0].number, m->a + at, m->c + at, m->y + at);
}
static void leaky_backward(const at_call *c) { unary_backward(c, leaky_block_back); }

#define UNARY(name, reads, text)                                                                                       \
    AT_OP(name, .args = {{"x", AT_FLOAT}}, .shape = shape, .forward = name##_forward, .backward = name##_backward,     \
          .fresh = true, .keeps = reads, .help = #name "(x) -> y like x\n" text)

UNARY(exp, AT_KEEP_OUT(0), "e to the power x, element by element.");
UNARY(log, AT_KEEP(0), "Natural logarithm, element by element; -inf at 0, NaN below.");
UNARY(sqrt, AT_KEEP_OUT(0), "Square root, element by element; NaN below 0.");
UNARY(abs, AT_KEEP(0), "Absolute value, element by element; the gradient at 0 is 0.");
UNARY(sign, AT_KEEP_NOTHING, "-1, 0 or 1, element by element; NaN stays NaN. The gradient is 0.");
UNARY(sin, AT_KEEP(0), "Sine of x in radians, element by element.");
UNARY(cos, AT_KEEP(0), "Cosine of x in radians, element by element.");
UNARY(tanh, AT_KEEP_OUT(0), "Hyperbolic tangent, element by element.");
UNARY(sigmoid, AT_KEEP_OUT(0), "1 / (1 + exp(-x)), element by element.");
UNARY(relu, AT_KEEP(0), "max(x, 0), element by element; the gradient at 0 is 0.");
UNARY(gelu, AT_KEEP(0), "x Phi(x), Phi the distribution function of the normal distribution (exact, by erf).");
UNARY(silu, AT_KEEP(0), "x sigmoid(x), element by element.");
UNARY(elu, AT_KEEP_OUT(0), "x where x > 0, exp(x) - 1 elsewhere.");
UNARY(softplus, AT_KEEP(0), "log(1 + exp(x)), element by element; does not overflow.");

UNARY(floor, AT_KEEP_NOTHING, "The greatest integer that is not above x, element by element. The gradient is 0.");
UNARY(ceil, AT_KEEP_NOTHING, "The least integer that is not below x, element by element. The gradient is 0.");
UNARY(round, AT_KEEP_NOTHING,
      "The nearest integer, of two the even one (2.5 gives 2), element by element. The gradient is 0.");
UNARY(square, AT_KEEP(0), "x times x, element by element.");
UNARY(rsqrt, AT_KEEP_OUT(0), "1 / sqrt(x), element by element; inf at 0, NaN below.");
UNARY(log1p, AT_KEEP(0), "log(1 + x), element by element, with all digits where x is small.");
UNARY(expm1, AT_KEEP_OUT(0), "exp(x) - 1, element by element, with all digits where x is small.");
UNARY(tan, AT_KEEP_OUT(0), "Tangent of x in radians, element by element.");
UNARY(atan, AT_KEEP(0), "Arc tangent, element by element, in radians.");
UNARY(erf, AT_KEEP(0),
      "The error function 2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x, element by element.");

AT_OP(leaky_relu, .args = {{"x", AT_FLOAT}, {"slope", AT_NUMBER, .optional = true, .option = true, .value = 0.01}},
      .shape = shape, .forward = leaky_forward, .backward = leaky_backward, .fresh = true, .keeps = AT_KEEP(0),
      .help = "leaky_relu(x, {slope = 0.01}) -> y like x\n"
              "x where x > 0, slope x elsewhere; the gradient at 0 is the slope.");

AT_OP(clamp,
      .args = {{"x", AT_FLOAT},
               {"low", AT_NUMBER, .optional = true, .value = -INFINITY},
               {"high", AT_NUMBER, .optional = true, .value = INFINITY}},
      .shape = clamp_shape, .forward = clamp_forward, .backward = clamp_backward, .fresh = true, .keeps = AT_KEEP(0),
      .help = "clamp(x, low = -inf, high = inf) -> y like x\n"
              "x limited to low .. high; NaN stays NaN. The gradient passes where low <= x <= high.");
