/*
 * Element-wise rows: arithmetic with repeated operands, and functions with their derivatives.
 *
 * Loops that the compiler vectorises are left plain. Functions built on exp run a whole vector also for the last few
 * elements, so that an element's bits do not depend on its place in the row.
 */
#include "attn/kernel/map.h"
#include "attn/kernel/table.h"

/* The three loops let the compiler see the steps. */
#define ZIP(name, expression)                                                                                          \
    static void name(size_t n, const real *a, size_t sa, const real *b, size_t sb, real *y)                            \
    {                                                                                                                  \
        if (sa && sb)                                                                                                  \
            for (size_t i = 0; i < n; i++) {                                                                           \
                real p = a[i], q = b[i], old = y[i];                                                                   \
                (void)old;                                                                                             \
                y[i] = expression;                                                                                     \
            }                                                                                                          \
        else if (n > 0 && sa) {                                                                                        \
            const real q = *b;                                                                                         \
            for (size_t i = 0; i < n; i++) {                                                                           \
                real p = a[i], old = y[i];                                                                             \
                (void)old;                                                                                             \
                y[i] = expression;                                                                                     \
            }                                                                                                          \
        } else if (n > 0) {                                                                                            \
            const real p = *a;                                                                                         \
            for (size_t i = 0; i < n; i++) {                                                                           \
                real q = b[i * sb], old = y[i];                                                                        \
                (void)old;                                                                                             \
                y[i] = expression;                                                                                     \
            }                                                                                                          \
        }                                                                                                              \
    }

/* tables; the tool takes a * in them for a pointer's */
/* clang-format off */
ZIP(add, p + q)
ZIP(sub, p - q)
ZIP(mul, p * q)
ZIP(div_, p / q)
ZIP(maximum, p > q || p != p ? p : q)
ZIP(minimum, p < q || p != p ? p : q)
ZIP(muladd, old + p * q)
ZIP(divadd, old + p / q)
/* clang-format on */

static void acc(size_t n, const real *x, real *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void axpy(size_t n, real alpha, const real *x, real *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += alpha * x[i];
}

static void scale(size_t n, real alpha, const real *x, real *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = alpha * x[i];
}

static void fill(size_t n, real alpha, real *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = alpha;
}

static void negate(size_t n, const real *x, real *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = -x[i];
}

static void add_difference(size_t n, real alpha, const real *a, const real *b, real *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += alpha * (a[i] - b[i]);
}

/* y = f(x) by vectors; `value` is an expression in the vector x. */
#define MAP(name, value)                                                                                               \
    static void name(size_t n, const real *px, real *py)                                                               \
    {                                                                                                                  \
        size_t i = 0;                                                                                                  \
        for (; i + W <= n; i += W) {                                                                                   \
            vec x = load(px + i);                                                                                      \
            store(py + i, value);                                                                                      \
        }                                                                                                              \
        if (i < n) {                                                                                                   \
            vec x = load_some(px + i, n - i, 0);                                                                       \
            store_some(py + i, n - i, value);                                                                          \
        }                                                                                                              \
    }

/* dx += dy f'(v) by vectors; v is x or y, as `from` says. */
#define BACK(name, from, slope)                                                                                        \
    static void name##_back(size_t n, const real *px, const real *py, const real *pdy, real *pdx)                      \
    {                                                                                                                  \
        const real *pv = from;                                                                                         \
        size_t i = 0;                                                                                                  \
        (void)px, (void)py;                                                                                            \
        for (; i + W <= n; i += W) {                                                                                   \
            vec v = load(pv + i), dy = load(pdy + i);                                                                  \
            store(pdx + i, load(pdx + i) + dy * (slope));                                                              \
        }                                                                                                              \
        if (i < n) {                                                                                                   \
            vec v = load_some(pv + i, n - i, 0), dy = load_some(pdy + i, n - i, 0);                                    \
            store_some(pdx + i, n - i, load_some(pdx + i, n - i, 0) + dy * (slope));                                   \
        }                                                                                                              \
    }

INLINE vec elu_of(vec x)
{
    /* below -TANH_FULL exp(x) - 1 is -1 in both types but for its last bits in double */
    vec low = lesser(splat(0), x);
    return pick(x > 0, x, pick(low < -2 * TANH_FULL, splat(-1), expm1_of(pick(low < -2 * TANH_FULL, splat(0), low))));
}

INLINE vec gelu_of(vec x)
{
    vec bell, cdf = normal_cdf(x, &bell);
    /* -inf times the 0 of the tail */
    return pick(x == -INFINITY, splat(0), x * cdf);
}

INLINE vec gelu_slope(vec x)
{
    vec bell, cdf = normal_cdf(x, &bell);
    vec a = pick(magnitude(x) > 40, splat(0), x);
    return cdf + a * bell * (real)0.39894228040143267794;
}

INLINE vec silu_slope(vec x)
{
    vec s = sigmoid_of(x);
    return s * (1 + x * (1 - s));
}

INLINE vec ones(ivec mask) { return (vec)(mask & (ivec)splat(1)); }

/* expm1_of where it holds, exp(x) - 1 elsewhere */
INLINE vec any_expm1_of(vec x)
{
    ivec near = magnitude(x) < 2 * TANH_FULL;
    return pick(near, expm1_of(pick(near, x, splat(0))), exp_of(x) - 1);
}

/* Taylor's series where |x| < 1/2, so that small x keep their digits, 1 - erfc(|x|) elsewhere. */
INLINE vec erf_of(vec x)
{
#if AT_TYPE == 32
    enum { TERMS = 8 };
#else
    enum { TERMS = 13 };
#endif
    vec z = lesser(splat(10), magnitude(x)), square = x * x, p = splat(0);
    real factor = 1; /* (-1)^k / k! */

    for (int k = 1; k < TERMS; k++)
        factor /= -k;
    for (int k = TERMS - 1; k >= 0; k--) {
        p = p * square + factor / (2 * k + 1);
        factor *= -k;
    }
    vec far = 1 - erfc_of(z, exp_of(-z * z));
    return pick(magnitude(x) < (real)0.5, x * p * (real)1.12837916709551257390, pick(x < 0, -far, far));
}

/* clang-format off */
MAP(vexp, exp_of(x))
BACK(vexp, py, v)
MAP(vtanh, tanh_of(x))
BACK(vtanh, py, 1 - v * v)
MAP(vsigmoid, sigmoid_of(x))
BACK(vsigmoid, py, v * (1 - v))
MAP(vrelu, pick(x <= 0, splat(0), x))
MAP(vgelu, gelu_of(x))
BACK(vgelu, px, gelu_slope(v))
MAP(vsilu, x * sigmoid_of(x))
BACK(vsilu, px, silu_slope(v))
BACK(vsoftplus, px, sigmoid_of(v))
MAP(velu, elu_of(x))
BACK(velu, py, pick(v > 0, splat(1), v + 1))
MAP(vphi, pick(x < 0, exp_of(x), x + 1))
BACK(vphi, py, lesser(splat(1), v))
MAP(vabs, magnitude(x))
BACK(vabs, px, ones(v > 0) - ones(v < 0))
BACK(vlog, px, 1 / v)
BACK(vsqrt, py, (real)0.5 / v)
MAP(vsquare, x * x)
BACK(vsquare, px, 2 * v)
BACK(vrsqrt, py, (real)-0.5 * v * v * v)
BACK(vlog1p, px, 1 / (1 + v))
MAP(vexpm1, any_expm1_of(x))
BACK(vexpm1, py, v + 1)
BACK(vtan, py, 1 + v * v)
BACK(vatan, px, 1 / (1 + v * v))
MAP(verf, erf_of(x))
BACK(verf, px, (real)1.12837916709551257390 * exp_of(-v * v))
/* clang-format on */

/* Not through BACK: dy may be infinite or NaN where the function is flat, and must not come through as 0 * inf. */
static void vrelu_back(size_t n, const real *x, const real *y, const real *dy, real *dx)
{
    (void)y;
    for (size_t i = 0; i < n; i++)
        dx[i] += x[i] <= 0 ? 0 : dy[i];
}

static void leaky(size_t n, real slope, const real *x, real *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] > 0 ? x[i] : slope * x[i];
}

static void leaky_back(size_t n, real slope, const real *x, const real *dy, real *dx)
{
    for (size_t i = 0; i < n; i++)
        dx[i] += x[i] > 0 ? dy[i] : slope * dy[i];
}

#if AT_TYPE == 32
#define LIBM(name) name##f
#else
#define LIBM(name) name
#endif

/* y = f(x) one by one, or as the compiler can */
#define EVERY(name, value)                                                                                             \
    static void name(size_t n, const real *x, real *y)                                                                 \
    {                                                                                                                  \
        for (size_t i = 0; i < n; i++)                                                                                 \
            y[i] = value;                                                                                              \
    }

EVERY(vlog, LIBM(log)(x[i]))
EVERY(vsqrt, LIBM(sqrt)(x[i]))
EVERY(vrsqrt, 1 / LIBM(sqrt)(x[i]))
EVERY(vlog1p, LIBM(log1p)(x[i]))
EVERY(vtan, LIBM(tan)(x[i]))
EVERY(vatan, LIBM(atan)(x[i]))
EVERY(vfloor, LIBM(floor)(x[i]))
EVERY(vceil, LIBM(ceil)(x[i]))
EVERY(vround, LIBM(rint)(x[i]))
EVERY(vsin, LIBM(sin)(x[i]))
EVERY(vcos, LIBM(cos)(x[i]))

static void vsoftplus(size_t n, const real *x, real *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] > 0 ? x[i] : x[i] != x[i] ? x[i] : 0) + LIBM(log1p)(LIBM(exp)(-LIBM(fabs)(x[i])));
}

static void vsin_back(size_t n, const real *x, const real *y, const real *dy, real *dx)
{
    (void)y;
    for (size_t i = 0; i < n; i++)
        dx[i] += dy[i] * LIBM(cos)(x[i]);
}

static void vcos_back(size_t n, const real *x, const real *y, const real *dy, real *dx)
{
    (void)y;
    for (size_t i = 0; i < n; i++)
        dx[i] -= dy[i] * LIBM(sin)(x[i]);
}

#define BOTH(name) .name = name, .name##_back = name##_back
const AT_REAL(at_map_kernels) AT_KERNEL(at_map_kernels) = {
    .add = add,
    .sub = sub,
    .mul = mul,
    .div = div_,
    .maximum = maximum,
    .minimum = minimum,
    .muladd = muladd,
    .divadd = divadd,
    .acc = acc,
    .axpy = axpy,
    .scale = scale,
    .fill = fill,
    .negate = negate,
    .add_difference = add_difference,
    .vfloor = vfloor,
    .vceil = vceil,
    .vround = vround,
    BOTH(vexp),
    BOTH(vlog),
    BOTH(vsqrt),
    BOTH(vtanh),
    BOTH(vsigmoid),
    BOTH(vrelu),
    BOTH(leaky),
    BOTH(vgelu),
    BOTH(vsilu),
    BOTH(vsoftplus),
    BOTH(velu),
    BOTH(vphi),
    BOTH(vabs),
    BOTH(vsin),
    BOTH(vcos),
    BOTH(vsquare),
    BOTH(vrsqrt),
    BOTH(vlog1p),
    BOTH(vexpm1),
    BOTH(vtan),
    BOTH(vatan),
    BOTH(verf),
};
