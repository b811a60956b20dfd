/*
 * add, sub, mul, div, idiv, mod, pow, minimum, maximum, logaddexp of two tensors with NumPy's broadcasting; neg of one.
 *
 *   a, b   shapes that broadcast; a number is a tensor without dimensions
 *   y      a op b
 *   da     add, sub: dy    mul: dy b    div: dy / b    pow: dy b a^(b-1), 0 where b = 0
 *   db     add: dy    sub: -dy    mul: dy a    div: -dy y / b    pow: dy y log(a), 0 where a = 0 and b >= 0
 *          minimum, maximum: dy to the smaller (greater) one, half each where they are equal
 *          logaddexp: dy exp(a - y), dy exp(b - y), 0 where both are -inf
 *          idiv: 0, 0    mod: dy, -dy floor(a / b)
 *
 * A gradient is summed over the dimensions its operand was broadcast over: its terms are written in the shape of y
 * first, then added up in an order that depends on the sizes only. Steps are free, so a transposed operand costs no
 * copy. add, sub, mul, idiv, mod, minimum, maximum and neg take int64 too, where overflow wraps around as in Lua and a
 * division by 0 is an error; minimum and maximum of NaN are NaN. idiv and mod are Lua's // and %: the quotient is rounded
 * down, the rest has the sign of b. bool beside a float tensor counts as its 0 and 1.
 */
#include <tgmath.h>

#include "attn/op/rows.h"
#include "attn/op/sum.h"
#include "attn/kernel/map.h"

typedef enum kind { ADD, SUB, MUL, DIV, POW, MINIMUM, MAXIMUM, LOGADDEXP, MOD, IDIV } kind;

#if AT_IS_INTEGER
static real plus(real a, real b) { return (real)((uint64_t)a + (uint64_t)b); }
static real minus(real a, real b) { return (real)((uint64_t)a - (uint64_t)b); }
static real times(real a, real b) { return (real)((uint64_t)a * (uint64_t)b); }
static real lower(real a, real b) { return a < b ? a : b; }
static real upper(real a, real b) { return a > b ? a : b; }

static real floored(real a, real b)
{
    if (b == -1)
        return minus(0, a); /* the machine's division would trap for the smallest a */
    return a / b - ((a ^ b) < 0 && a % b != 0);
}

static real rest(real a, real b)
{
    real r = b == -1 ? 0 : a % b;
    return r != 0 && (r ^ b) < 0 ? r + b : r;
}
#else
static real plus(real a, real b) { return a + b; }
static real minus(real a, real b) { return a - b; }
static real times(real a, real b) { return a * b; }
static real lower(real a, real b) { return a < b || isnan(a) ? a : b; }
static real upper(real a, real b) { return a > b || isnan(a) ? a : b; }
static real floored(real a, real b) { return floor(a / b); }

static real rest(real a, real b)
{
    real r = fmod(a, b);
    return r * b < 0 ? r + b : r;
}

static real log_sum(real a, real b)
{
    if (a == b)
        return a + (real)0.69314718055994530942; /* infinities too */
    return (a > b ? a : b) + log1p(exp(-fabs(a - b)));
}
#endif

static bool shape(at_call *c)
{
    const at_tensor *a = c->in[0], *b = c->in[1];
    size_t size[AT_MAX_DIM], ndim;

    if (!at_broadcast(a, b, &ndim, size))
        return at_fail(c, "the shapes do not broadcast (a: %s, b: %s)", at_describe(a).text, at_describe(b).text);
    if (!at_out(c, ndim, size))
        return false;
    if (at_recording(c))
        for (int k = 0; k < 2; k++)
            if (at_needs_grad(c->in[k]) && !at_same_shape(c->in[k], c->out[0]))
                at_want_scratch(c, at_numel(c->out[0]) * sizeof(real));
    return true;
}

/* Lua's // and % of integers refuse a divisor of 0. */
static bool divide_shape(at_call *c)
{
#if AT_IS_INTEGER
    const at_tensor *b = c->in[1];
    at_walk w = at_walk_of(1, &b);
    do
        AT_PIECES(i, end, w.n)
    for (; i < end; i++)
        if (((const real *)(const void *)w.at[0])[(ptrdiff_t)i * w.step[0]] == 0)
            return at_fail(c, "b is 0%s, expected other divisors of int64 (b: %s)", b->ndim ? " somewhere" : "",
                           at_describe(b).text);
    while (at_walk_next(&w) && !at_cut_short())
        ;
    if (!at_uninterrupted(c->error))
        return false;
#endif
    return shape(c);
}

#define EACH(f)                                                                                                        \
    for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)                                                                       \
    y[i] = f(a[i * sa], b[i * sb])

#if !AT_IS_INTEGER
static real quotient(real a, real b) { return a / b; }
static real power(real a, real b) { return b == 2 ? a * a : pow(a, b); }

/* A row by a kernel, where elements are side by side or one is repeated. */
static bool by_kernel(kind op, size_t n, const real *a, ptrdiff_t sa, const real *b, ptrdiff_t sb, real *y)
{
    if ((sa | sb) & ~(ptrdiff_t)1 || op == POW || op > MAXIMUM)
        return false;
    switch (op) {
    case ADD: K->map->add(n, a, (size_t)sa, b, (size_t)sb, y); break;
    case SUB: K->map->sub(n, a, (size_t)sa, b, (size_t)sb, y); break;
    case MUL: K->map->mul(n, a, (size_t)sa, b, (size_t)sb, y); break;
    case DIV: K->map->div(n, a, (size_t)sa, b, (size_t)sb, y); break;
    case MINIMUM: K->map->minimum(n, a, (size_t)sa, b, (size_t)sb, y); break;
    default: K->map->maximum(n, a, (size_t)sa, b, (size_t)sb, y); break;
    }
    return true;
}
#endif

static void row(kind op, size_t n, const real *a, ptrdiff_t sa, const real *b, ptrdiff_t sb, real *y)
{
#if !AT_IS_INTEGER
    if (by_kernel(op, n, a, sa, b, sb, y))
        return;
    if (op == DIV) {
        EACH(quotient);
        return;
    }
    if (op == POW) {
        EACH(power);
        return;
    }
    if (op == LOGADDEXP) {
        EACH(log_sum);
        return;
    }
#endif
    switch (op) {
    case ADD: EACH(plus); break;
    case SUB: EACH(minus); break;
    case MUL: EACH(times); break;
    case MINIMUM: EACH(lower); break;
    case MAXIMUM: EACH(upper); break;
    case MOD: EACH(rest); break;
    default: EACH(floored); break;
    }
}

/* ---- forward ---- */

typedef struct zip {
    kind op;
    const real *a, *b;
    ptrdiff_t sa, sb;
    real *y;
} zip;

static void zip_block(size_t begin, size_t end, void *context)
{
    const zip *z = context;
    row(z->op, end - begin, z->a + (ptrdiff_t)begin * z->sa, z->sa, z->b + (ptrdiff_t)begin * z->sb, z->sb,
        z->y + begin);
}

static void zip_row(size_t n, char *const *at, const ptrdiff_t *step, void *context)
{
    row(*(const kind *)context, n, (const real *)(const void *)at[1], step[1], (const real *)(const void *)at[2],
        step[2], (real *)(void *)at[0]);
}

static void binary_forward(const at_call *c, kind op)
{
    const at_tensor *y = c->out[0], *a = c->in[0], *b = c->in[1];
    bool one_a = a->ndim == 0, one_b = b->ndim == 0;

    if ((one_a || (at_same_shape(a, y) && at_contiguous(a))) && (one_b || (at_same_shape(b, y) && at_contiguous(b)))) {
        zip z = {op, at_in(c, 0), at_in(c, 1), !one_a, !one_b, at_outp(c, 0)};
        size_t n = at_numel(y);
        if (n <= AT_GRAIN)
            zip_block(0, n, &z);
        else
            at_for(n, AT_GRAIN, zip_block, &z);
        return;
    }
    const at_tensor *t[] = {y, a, b};
    at_walk w = at_walk_broadcast(3, t, y->ndim, y->size);
    at_run_each(&w, t, zip_row, &op);
}

/* ---- backward ---- */

#if !AT_IS_INTEGER
typedef struct slope {
    kind op;
    int k; /* of which operand */
    const real *dy, *y;
    real *to;
    bool write; /* to = rather than to += */
} slope;

static real share(kind op, real own, real other)
{
    if (own == other)
        return (real)0.5;
    return (op == MAXIMUM ? own > other : own < other) || isnan(own) ? 1 : 0;
}

static real power_slope(int k, real a, real b, real y)
{
    if (k == 0)
        return b == 0 ? 0 : b == 2 ? 2 * a : b * pow(a, b - 1);
    return a == 0 && b >= 0 ? 0 : y * log(a);
}

/* exp(own - y) without y: what own has of the sum. */
static real log_share(real own, real other)
{
    if (own == other)
        return own == -(real)INFINITY ? 0 : (real)0.5;
    return 1 / (1 + exp(other - own));
}

#define PUT(term)                                                                                                      \
    do {                                                                                                               \
        if (s->write)                                                                                                  \
            for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)                                                               \
                to[i] = term;                                                                                          \
        else                                                                                                           \
            for (ptrdiff_t i = 0; i < (ptrdiff_t)n; i++)                                                               \
                to[i] += term;                                                                                         \
    } while (0)

static void slope_row(size_t n, char *const *at, const ptrdiff_t *step, void *context)
{
    const slope *s = context;
    const real *dy = (const real *)(const void *)at[0], *a = (const real *)(const void *)at[1],
               *b = (const real *)(const void *)at[2];
    ptrdiff_t sa = step[1], sb = step[2], from = dy - s->dy;
    const real *y = s->y ? s->y + from : NULL, *other = s->k == 0 ? b : a;
    real *to = s->to + from;
    ptrdiff_t so = s->k == 0 ? sb : sa;

    switch (s->op) {
    case ADD:
        if (s->write)
            memcpy(to, dy, n * sizeof(real));
        else
            K->map->acc(n, dy, to);
        break;
    case SUB:
        if (!s->write)
            K->map->axpy(n, s->k ? -1 : 1, dy, to);
        else if (s->k)
            K->map->negate(n, dy, to);
        else
            memcpy(to, dy, n * sizeof(real));
        break;
    case MUL:
        if (so & ~(ptrdiff_t)1)
            PUT(dy[i] * other[i * so]);
        else
            (s->write ? K->map->mul : K->map->muladd)(n, dy, 1, other, (size_t)so, to);
        break;
    case DIV:
        if (s->k)
            PUT(-dy[i] * y[i] / b[i * sb]);
        else if (sb & ~(ptrdiff_t)1)
            PUT(dy[i] / b[i * sb]);
        else
            (s->write ? K->map->div : K->map->divadd)(n, dy, 1, b, (size_t)sb, to);
        break;
    case POW: PUT(dy[i] * power_slope(s->k, a[i * sa], b[i * sb], y[i])); break;
    case LOGADDEXP:
        if (s->k == 0)
            PUT(dy[i] * log_share(a[i * sa], b[i * sb]));
        else
            PUT(dy[i] * log_share(b[i * sb], a[i * sa]));
        break;
    case MOD:
        if (s->k == 0)
            PUT(dy[i]);
        else
            PUT(-dy[i] * floor(a[i * sa] / b[i * sb]));
        break;
    case IDIV: PUT(0); break;
    default:
        if (s->k == 0)
            PUT(dy[i] * share(s->op, a[i * sa], b[i * sb]));
        else
            PUT(dy[i] * share(s->op, b[i * sb], a[i * sa]));
        break;
    }
}

static void binary_backward(const at_call *c, kind op)
{
    const at_tensor *y = c->out[0];

    for (int k = 0; k < 2; k++) {
        real *dx = at_din(c, k);
        bool reduced[AT_MAX_DIM], sums, fresh = at_is_fresh(c, k);
        if (!dx)
            continue;
        sums = at_broadcast_over(c->in[k], y->ndim, y->size, reduced);
        if (sums && fresh)
            memset(dx, 0, at_numel(c->in[k]) * sizeof(real));
        if (sums && op == ADD) {
            at_sum_into(dx, at_dout(c, 0), y->ndim, y->size, reduced);
            continue;
        }
        slope s = {
            .op = op, .k = k, .dy = at_dout(c, 0), .to = sums ? (real *)(void *)c->work : dx, .write = sums || fresh};
        if (op == POW || (op == DIV && k == 1))
            s.y = at_outp(c, 0);
        /* an operand that is not read may be gone: dy stands in its place */
        bool reads_a = op >= POW || (op == MUL && k == 1), reads_b = op >= DIV || (op == MUL && k == 0);
        const at_tensor *t[] = {y->grad, reads_a ? c->in[0] : y->grad, reads_b ? c->in[1] : y->grad};
        at_walk w = at_walk_broadcast(3, t, y->ndim, y->size);
        at_run_each(&w, t, slope_row, &s);
        if (sums)
            at_sum_into(dx, s.to, y->ndim, y->size, reduced);
    }
}
#endif

/* ---- records ---- */

#define NUMERIC_HELP(text) text " Shapes broadcast; numbers may stand on either side. int64 too."

static void add_forward(const at_call *c) { binary_forward(c, ADD); }
static void sub_forward(const at_call *c) { binary_forward(c, SUB); }
static void mul_forward(const at_call *c) { binary_forward(c, MUL); }
static void minimum_forward(const at_call *c) { binary_forward(c, MINIMUM); }
static void maximum_forward(const at_call *c) { binary_forward(c, MAXIMUM); }
static void mod_forward(const at_call *c) { binary_forward(c, MOD); }
static void idiv_forward(const at_call *c) { binary_forward(c, IDIV); }

#if AT_IS_INTEGER
#define add_backward NULL
#define sub_backward NULL
#define mul_backward NULL
#define minimum_backward NULL
#define maximum_backward NULL
#define neg_backward NULL
#define mod_backward NULL
#define idiv_backward NULL

static void neg_forward(const at_call *c)
{
    const real *x = at_in(c, 0);
    real *y = at_outp(c, 0);
    size_t n = at_numel(c->out[0]);

    for (size_t i = 0; i < n; i++)
        y[i] = minus(0, x[i]);
}
#else
static void add_backward(const at_call *c) { binary_backward(c, ADD); }
static void sub_backward(const at_call *c) { binary_backward(c, SUB); }
static void mul_backward(const at_call *c) { binary_backward(c, MUL); }
static void minimum_backward(const at_call *c) { binary_backward(c, MINIMUM); }
static void maximum_backward(const at_call *c) { binary_backward(c, MAXIMUM); }
static void mod_backward(const at_call *c) { binary_backward(c, MOD); }
static void idiv_backward(const at_call *c) { binary_backward(c, IDIV); }

static void neg_block(const at_map *m, size_t at, size_t n) { K->map->negate(n, m->a + at, m->y + at); }
static void neg_forward(const at_call *c)
{
    at_run_map(&(at_map){.a = at_in(c, 0), .y = at_outp(c, 0), .n = at_numel(c->out[0]), .fn = neg_block});
}

static void neg_block_back(const at_map *m, size_t at, size_t n) { K->map->axpy(n, -1, m->a + at, m->y + at); }
static void neg_backward(const at_call *c)
{
    at_run_map(&(at_map){.a = at_dout(c, 0),
                         .y = at_din(c, 0),
                         .n = at_numel(c->out[0]),
                         .fresh = at_is_fresh(c, 0),
                         .fn = neg_block_back});
}
#endif

static bool neg_shape(at_call *c) { return at_out(c, c->in[0]->ndim, c->in[0]->size); }

AT_OP(add, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = add_forward,
      .backward = add_backward, .strided = true, .fresh = true, .keeps = AT_KEEP_NOTHING,
      .help = NUMERIC_HELP("add(a, b) -> y, also a + b\nThe sum, element by element."));

AT_OP(sub, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = sub_forward,
      .backward = sub_backward, .strided = true, .fresh = true, .keeps = AT_KEEP_NOTHING,
      .help = NUMERIC_HELP("sub(a, b) -> y, also a - b\nThe difference, element by element."));

AT_OP(mul, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = mul_forward,
      .backward = mul_backward, .strided = true, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP(1),
      .help = NUMERIC_HELP("mul(a, b) -> y, also a * b\nThe product, element by element (matrices: matmul)."));

AT_OP(idiv, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = divide_shape, .forward = idiv_forward,
      .backward = idiv_backward, .strided = true, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP(1),
      .help = NUMERIC_HELP(
          "idiv(a, b) -> y, also a // b\nThe quotient rounded down, as Lua's //; of int64 a divisor of 0 is"
          " an error. The gradient is 0."));

AT_OP(mod, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = divide_shape, .forward = mod_forward,
      .backward = mod_backward, .strided = true, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP(1),
      .help = NUMERIC_HELP(
          "mod(a, b) -> y, also a % b\nThe rest a - (a // b) b, with the sign of b, as Lua's %; of int64 a"
          " divisor of 0 is an error."));

AT_OP(minimum, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = minimum_forward,
      .backward = minimum_backward, .strided = true, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP(1),
      .help = NUMERIC_HELP("minimum(a, b) -> y\nThe smaller of two, element by element; NaN if either is."
                           " The gradient goes to the smaller one, half to each where they are equal."));

AT_OP(maximum, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = maximum_forward,
      .backward = maximum_backward, .strided = true, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP(1),
      .help = NUMERIC_HELP("maximum(a, b) -> y\nThe greater of two, element by element; NaN if either is."
                           " The gradient goes to the greater one, half to each where they are equal."));

AT_OP(neg, .args = {{"x", AT_FLOAT}}, .shape = neg_shape, .forward = neg_forward, .backward = neg_backward,
      .fresh = true, .keeps = AT_KEEP_NOTHING,
      .help = "neg(x) -> y like x, also -x\nThe negative of every element. int64 too.");

#if !AT_IS_INTEGER
static void div_forward(const at_call *c) { binary_forward(c, DIV); }
static void div_backward(const at_call *c) { binary_backward(c, DIV); }
static void pow_forward(const at_call *c) { binary_forward(c, POW); }
static void pow_backward(const at_call *c) { binary_backward(c, POW); }

AT_OP(div, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = div_forward,
      .backward = div_backward, .strided = true, .fresh = true, .keeps = AT_KEEP(1) | AT_KEEP_OUT(0),
      .help = "div(a, b) -> y, also a / b\nThe quotient, element by element. Shapes broadcast; numbers may stand on "
              "either side.");

AT_OP(pow, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = pow_forward,
      .backward = pow_backward, .strided = true, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP(1) | AT_KEEP_OUT(0),
      .help = "pow(a, b) -> y, also a ^ b\n"
              "a to the power b, element by element; NaN for a negative a and a fraction b. Shapes broadcast; numbers "
              "may stand on either side.");

static void logaddexp_forward(const at_call *c) { binary_forward(c, LOGADDEXP); }
static void logaddexp_backward(const at_call *c) { binary_backward(c, LOGADDEXP); }

AT_OP(logaddexp, .args = {{"a", AT_OPERAND}, {"b", AT_OPERAND}}, .shape = shape, .forward = logaddexp_forward,
      .backward = logaddexp_backward, .strided = true, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP(1),
      .help = "logaddexp(a, b) -> y\n"
              "log(exp(a) + exp(b)), element by element, without overflow; -inf, with gradient 0, where both are -inf. "
              "Shapes broadcast; numbers may stand on either side.");
#endif
