/*
 * Every kernel of every level this processor has, in one float type, against its definition in long double.
 *
 * Sizes from 0 to a few vectors, so that every tail is met; rows end where their memory ends.
 */
#include "check.h"

#include "attn/kernel/attend.h"
#include "attn/kernel/channel.h"
#include "attn/kernel/expression.h"
#include "attn/kernel/gate.h"
#include "attn/kernel/join.h"
#include "attn/kernel/map.h"
#include "attn/kernel/norm.h"
#include "attn/kernel/pack.h"
#include "attn/kernel/pair.h"
#include "attn/kernel/pool.h"
#include "attn/kernel/random.h"
#include "attn/kernel/reduce.h"
#include "attn/kernel/sample.h"
#include "attn/kernel/softmax.h"
#include "attn/kernel/step.h"
#include "attn/kernel/window.h"
#include "attn/kernel/winograd.h"

typedef long double wide;

static const AT_REAL(at_kernels) * k; /* the level under test */
static const char *level;

#define EPS (AT_TYPE == 32 ? 0x1p-23 : 0x1p-52) /* one unit in the last place of 1 */
#define TYPE (AT_TYPE == 32 ? "f32" : "f64")

static real *row(size_t n, double scale)
{
    real *x = room(n * sizeof *x);

    for (size_t i = 0; i < n; i++)
        x[i] = (real)(any_number() * scale);
    return x;
}

static real *copy(size_t n, const real *x)
{
    real *y = room(n * sizeof *y);

    if (n > 0)
        memcpy(y, x, n * sizeof *y);
    return y;
}

/* |got - want| against the sizes of the terms that made it. */
static bool near(wide got, wide want, wide size, double units)
{
    if (isnan(want))
        return isnan(got);
    if (isinf(want))
        return got == want;
    return fabsl(got - want) <= (fabsl(want) + size) * units * EPS;
}

/* ---- functions ---- */

static double slope_step(wide x)
{
    return 2e-7 * (1 + (double)fabsl(x)); /* 1e-6 misses the slope of log near 0 by more than a kernel does */
}

typedef struct function {
    const char *name;
    wide (*f)(wide);
    size_t forward, backward; /* places in the table */
    double low, high, units;
    bool from_y;
} function;

static wide f_exp(wide x) { return expl(x); }
static wide f_log(wide x) { return logl(x); }
static wide f_sqrt(wide x) { return sqrtl(x); }
static wide f_tanh(wide x) { return tanhl(x); }
static wide f_sigmoid(wide x) { return 1 / (1 + expl(-x)); }
static wide f_relu(wide x) { return x > 0 ? x : 0; }
static wide f_gelu(wide x) { return x * erfcl(-x / sqrtl(2)) / 2; }
static wide f_silu(wide x) { return x / (1 + expl(-x)); }
static wide f_softplus(wide x) { return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x)); }
static wide f_elu(wide x) { return x > 0 ? x : expm1l(x); }
static wide f_phi(wide x) { return x < 0 ? expl(x) : x + 1; }
static wide f_abs(wide x) { return fabsl(x); }
static wide f_sin(wide x) { return sinl(x); }
static wide f_cos(wide x) { return cosl(x); }
static wide f_square(wide x) { return x * x; }
static wide f_rsqrt(wide x) { return 1 / sqrtl(x); }
static wide f_log1p(wide x) { return log1pl(x); }
static wide f_expm1(wide x) { return expm1l(x); }
static wide f_tan(wide x) { return tanl(x); }
static wide f_atan(wide x) { return atanl(x); }
static wide f_erf(wide x) { return erfl(x); }

#define FUNCTION(id, low, high, units, from_y)                                                                         \
    {                                                                                                                  \
#id, f_##id, offsetof(AT_REAL(at_map_kernels), v##id), offsetof(AT_REAL(at_map_kernels), v##id##_back), low,   \
            high, units, from_y                                                                                        \
    }
static const function functions[] = {
    FUNCTION(exp, -80, 80, 2, true),    FUNCTION(log, 0.01, 50, 2, false),   FUNCTION(sqrt, 0.01, 50, 2, true),
    FUNCTION(tanh, -12, 12, 3, true),   FUNCTION(sigmoid, -80, 80, 3, true), FUNCTION(relu, -5, 5, 0, false),
    FUNCTION(gelu, -5, 5, 4, false),    FUNCTION(silu, -30, 30, 4, false),   FUNCTION(softplus, -30, 30, 2, false),
    FUNCTION(elu, -30, 5, 3, true),     FUNCTION(phi, -80, 5, 2, true),      FUNCTION(abs, -5, 5, 0, false),
    FUNCTION(sin, -5, 5, 2, false),     FUNCTION(cos, -5, 5, 2, false),      FUNCTION(square, -5, 5, 1, false),
    FUNCTION(rsqrt, 0.01, 50, 2, true), FUNCTION(log1p, -0.9, 50, 2, false), FUNCTION(expm1, -30, 50, 3, true),
    FUNCTION(tan, -1.5, 1.5, 2, true),  FUNCTION(atan, -20, 20, 2, false),   FUNCTION(erf, -5, 5, 3, false)};

typedef void (*map_fn)(size_t n, const real *x, real *y);
typedef void (*back_fn)(size_t n, const real *x, const real *y, const real *dy, real *dx);

static map_fn forward_of(const function *f)
{
    map_fn fn;
    memcpy(&fn, (const char *)k->map + f->forward, sizeof fn);
    return fn;
}

static back_fn backward_of(const function *f)
{
    back_fn fn;
    memcpy(&fn, (const char *)k->map + f->backward, sizeof fn);
    return fn;
}

static void test_function(const function *f)
{
    map_fn forward = forward_of(f);
    back_fn backward = backward_of(f);
    enum { N = 20011 };
    real *x = room(N * sizeof *x), *y = room(N * sizeof *y);
    double worst = 0, where = 0;

    for (size_t i = 0; i < N; i++)
        x[i] = (real)(f->low + (f->high - f->low) * (double)i / N);
    forward(N, x, y);
    for (size_t i = 0; i < N; i++) {
        wide want = f->f(x[i]);
        /* functions with a zero away from 0 are measured against their arguments */
        wide size = f->f == f_log || f->f == f_sin || f->f == f_cos ? 1 : f->f == f_gelu ? fabsl(x[i]) / 1024 : 0;
        double error = (double)(fabsl(y[i] - want) / ((fabsl(want) + size) * (wide)EPS));
        if (fabsl(want) >= (AT_TYPE == 32 ? 1.2e-38L : 2.3e-308L) && error > worst)
            worst = error, where = x[i];
    }
    /* an error in units of 1 / mantissa is at most one, at least half a unit in the last place */
    check(worst <= f->units, "%s %s %s: error %.2f units at %.9g", TYPE, level, f->name, worst, where);
    if (getenv("VERBOSE"))
        printf("%s %-8s %-9s %.2f units at %.6g\n", TYPE, level, f->name, worst, where);

    /* every length, in place and not, the same bits as in the long row */
    bool same = true;
    for (size_t n = 0; n < 70; n++) {
        real *a = copy(n, x + 7000), *b = room(n * sizeof *b);
        forward(n, a, b);
        forward(n, a, a);
        same = same && memcmp(b, y + 7000, n * sizeof *b) == 0 && memcmp(a, b, n * sizeof *b) == 0;
        free(a);
        free(b);
    }
    check(same, "%s %s %s: the same bits wherever the row is cut", TYPE, level, f->name);

    /* derivative by differences of the definition */
    bool right = true;
    for (size_t n = 0; n < 70; n++) {
        real *a = row(n, 1), *b = room(n * sizeof *b), *dy = row(n, 1), *dx = row(n, 1), *old = copy(n, dx);
        for (size_t i = 0; i < n; i++)
            a[i] = (real)(f->low + (f->high - f->low) * fabs((double)a[i]) * 0.9 + 0.0001);
        forward(n, a, b);
        backward(n, f->from_y ? NULL : a, f->from_y ? b : NULL, dy, dx);
        for (size_t i = 0; i < n; i++) {
            wide h = slope_step(a[i]), slope = (f->f(a[i] + h) - f->f(a[i] - h)) / (2 * h);
            wide want = old[i] + dy[i] * slope;
            if (fabsl(dx[i] - want) > (AT_TYPE == 32 ? 2e-5L : 1e-9L) * (1 + fabsl(slope))) {
                check(false, "%s %s %s backward at %g: %.9g, expected %.9Lg", TYPE, level, f->name, (double)a[i],
                      (double)dx[i], want);
                right = false;
            }
        }
        free(a);
        free(b);
        free(dy);
        free(dx);
        free(old);
    }
    check(right, "%s %s %s backward", TYPE, level, f->name);
    free(x);
    free(y);
}

static void test_special(void)
{
    const real inf = INFINITY, x[] = {inf, -inf, NAN, 0, -(real)0, 800, -800, (real)1e30, -(real)1e30};
    enum { N = sizeof x / sizeof *x };
    real y[N];

#define AT(name, i, condition) check(condition, "%s %s " name "(%g) is %g", TYPE, level, (double)x[i], (double)y[i])
    k->map->vexp(N, x, y);
    AT("exp", 0, y[0] == inf);
    AT("exp", 1, y[1] == 0);
    AT("exp", 2, isnan(y[2]));
    AT("exp", 3, y[3] == 1);
    AT("exp", 5, y[5] == inf);
    AT("exp", 6, y[6] == 0);
    AT("exp", 7, y[7] == inf);
    AT("exp", 8, y[8] == 0);
    k->map->vtanh(N, x, y);
    AT("tanh", 0, y[0] == 1);
    AT("tanh", 1, y[1] == -1);
    AT("tanh", 2, isnan(y[2]));
    AT("tanh", 3, y[3] == 0 && !signbit(y[3]));
    AT("tanh", 4, y[4] == 0 && signbit(y[4]));
    AT("tanh", 5, y[5] == 1);
    AT("tanh", 8, y[8] == -1);
    k->map->vsigmoid(N, x, y);
    AT("sigmoid", 0, y[0] == 1);
    AT("sigmoid", 1, y[1] == 0);
    AT("sigmoid", 2, isnan(y[2]));
    AT("sigmoid", 3, y[3] == (real)0.5);
    AT("sigmoid", 5, y[5] == 1);
    AT("sigmoid", 6, y[6] == 0);
    k->map->vgelu(N, x, y);
    AT("gelu", 0, y[0] == inf);
    AT("gelu", 1, y[1] == 0);
    AT("gelu", 2, isnan(y[2]));
    AT("gelu", 3, y[3] == 0);
    AT("gelu", 5, y[5] == 800);
    AT("gelu", 6, y[6] == 0);
    k->map->velu(N, x, y);
    AT("elu", 0, y[0] == inf);
    AT("elu", 1, y[1] == -1);
    AT("elu", 2, isnan(y[2]));
    AT("elu", 6, y[6] == -1);
    k->map->vrelu(N, x, y);
    AT("relu", 0, y[0] == inf);
    AT("relu", 1, y[1] == 0);
    AT("relu", 2, isnan(y[2]));
    k->map->vsoftplus(N, x, y);
    AT("softplus", 0, y[0] == inf);
    AT("softplus", 1, y[1] == 0);
    AT("softplus", 2, isnan(y[2]));
    AT("softplus", 5, y[5] == 800);
#undef AT
    const real one[] = {NAN, 1, NAN}, two[] = {1, NAN, NAN};
    k->map->maximum(3, one, 1, two, 1, y);
    check(isnan(y[0]) && isnan(y[1]) && isnan(y[2]), "%s %s maximum keeps NaN", TYPE, level);
    k->map->minimum(3, one, 1, two, 1, y);
    check(isnan(y[0]) && isnan(y[1]) && isnan(y[2]), "%s %s minimum keeps NaN", TYPE, level);
    check(k->reduce->max(0, x) == -inf && k->reduce->min(0, x) == inf, "%s %s max and min of nothing", TYPE, level);
    check(isnan(k->reduce->max(N, x)) && isnan(k->reduce->min(N, x)), "%s %s max and min keep NaN", TYPE, level);
}

/* ---- arithmetic and sums ---- */

static wide op_add(wide a, wide b, wide y)
{
    (void)y;
    return a + b;
}
static wide op_sub(wide a, wide b, wide y)
{
    (void)y;
    return a - b;
}
static wide op_mul(wide a, wide b, wide y)
{
    (void)y;
    return a * b;
}
static wide op_div(wide a, wide b, wide y)
{
    (void)y;
    return a / b;
}
static wide op_max(wide a, wide b, wide y)
{
    (void)y;
    return a > b ? a : b;
}
static wide op_min(wide a, wide b, wide y)
{
    (void)y;
    return a < b ? a : b;
}
static wide op_muladd(wide a, wide b, wide y) { return y + a * b; }
static wide op_divadd(wide a, wide b, wide y) { return y + a / b; }

static void test_arithmetic(void)
{
    static const struct {
        const char *name;
        size_t at;
        wide (*f)(wide, wide, wide);
    } zips[] = {
#define ZIP(id, f) {#id, offsetof(AT_REAL(at_map_kernels), id), f}
        ZIP(add, op_add),     ZIP(sub, op_sub),     ZIP(mul, op_mul),       ZIP(div, op_div),
        ZIP(maximum, op_max), ZIP(minimum, op_min), ZIP(muladd, op_muladd), ZIP(divadd, op_divadd)};
#undef ZIP

    for (size_t z = 0; z < sizeof zips / sizeof *zips; z++) {
        void (*fn)(size_t, const real *, size_t, const real *, size_t, real *);
        memcpy(&fn, (const char *)k->map + zips[z].at, sizeof fn);
        bool ok = true;
        for (size_t n = 0; n < 50; n++)
            for (size_t steps = 0; steps < 4; steps++) {
                size_t sa = steps & 1, sb = steps >> 1;
                real *a = row(sa ? n : 1, 1), *b = row(sb ? n : 1, 1), *y = row(n, 1), *old = copy(n, y);
                fn(n, a, sa, b, sb, y);
                for (size_t i = 0; i < n; i++)
                    ok = ok && near(y[i], zips[z].f(a[i * sa], b[i * sb], old[i]), fabsl((wide)old[i]), 1);
                free(a);
                free(b);
                free(y);
                free(old);
            }
        check(ok, "%s %s %s", TYPE, level, zips[z].name);
    }
    for (size_t n = 0; n < 50; n++) {
        real *x = row(n, 1), *y = row(n, 1), *old = copy(n, y), alpha = (real)1.25;
        bool ok = true;
        k->map->acc(n, x, y);
        for (size_t i = 0; i < n; i++)
            ok = ok && y[i] == old[i] + x[i];
        k->map->axpy(n, alpha, x, old);
        k->map->scale(n, alpha, x, y);
        for (size_t i = 0; i < n; i++)
            ok = ok && y[i] == alpha * x[i];
        k->map->negate(n, x, y);
        for (size_t i = 0; i < n; i++)
            ok = ok && y[i] == -x[i];
        k->map->fill(n, alpha, y);
        for (size_t i = 0; i < n; i++)
            ok = ok && y[i] == alpha;
        check(ok, "%s %s acc, scale, negate, fill of %zu", TYPE, level, n);
        free(x);
        free(y);
        free(old);
    }
}

static void test_reduce(void)
{
    static const size_t sizes[] = {0, 1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 257, 2047, 2048, 2049, 5000};

    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s];
        real *x = row(n, 3), *z = row(n, 3);
        wide sum = 0, size = 0, sumsq = 0, dot = 0, sumexp = 0, max = -INFINITY, min = INFINITY;
        for (size_t i = 0; i < n; i++) {
            sum += x[i];
            size += fabsl((wide)x[i]);
            sumsq += (wide)x[i] * x[i];
            dot += (wide)x[i] * z[i];
            max = x[i] > max ? x[i] : max;
            min = x[i] < min ? x[i] : min;
        }
        for (size_t i = 0; i < n; i++)
            sumexp += expl(x[i] - max);
        check(near((wide)k->reduce->sum(n, x), sum, size, 6), "%s %s sum of %zu", TYPE, level, n);
        check(near((wide)k->reduce->sumsq(n, x), sumsq, 0, 12), "%s %s sumsq of %zu", TYPE, level, n);
        check(near((wide)k->reduce->dot(n, x, z), dot, 4 * size, 12), "%s %s dot of %zu", TYPE, level, n);
        check(near((wide)k->reduce->sumexp(n, x, (real)max), sumexp, 0, 12), "%s %s sumexp of %zu", TYPE, level, n);
        check(k->reduce->max(n, x) == (real)max && k->reduce->min(n, x) == (real)min, "%s %s max, min of %zu", TYPE,
              level, n);
        free(x);
        free(z);
    }
    size_t n = 1000000;
    real *x = room(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (real)0.1;
    check(near((wide)k->reduce->sum(n, x), (wide)n * (real)0.1, 0, AT_TYPE == 32 ? 20 : 300),
          "%s %s a sum of a million keeps its digits", TYPE, level);
    free(x);
}

/* ---- softmax ---- */

static void test_softmax(void)
{
    for (size_t n = 0; n < 100; n += n < 40 ? 1 : 13)
        for (int masked = 0; masked < 3; masked++) {
            real *x = row(n, 10), *y = room(n * sizeof *y), *l = room(n * sizeof *l);
            uint8_t *mask = room(n);
            for (size_t i = 0; i < n; i++) {
                mask[i] = masked == 2 ? 0 : masked == 0 || any_number() > 0;
                if (!mask[i] && masked == 1)
                    x[i] = (real)NAN; /* not looked at */
                if (i == 3 && masked == 0)
                    x[i] = -INFINITY;
            }
            wide max = -INFINITY, sum = 0;
            for (size_t i = 0; i < n; i++)
                if (mask[i] && x[i] > max)
                    max = x[i];
            for (size_t i = 0; i < n; i++)
                sum += mask[i] ? expl(x[i] - max) : 0;
            k->softmax->softmax(n, x, masked ? mask : NULL, y);
            k->softmax->log_softmax(n, x, masked ? mask : NULL, l);
            bool ok = true, logs = true;
            for (size_t i = 0; i < n; i++) {
                wide want = mask[i] ? expl(x[i] - max) / sum : 0;
                ok = ok && near(y[i], want, 0, 12);
                logs = logs && near(l[i], mask[i] ? x[i] - max - logl(sum) : -INFINITY, 1, 40);
            }
            check(ok, "%s %s softmax of %zu, mask %d", TYPE, level, n, masked);
            check(logs, "%s %s log_softmax of %zu, mask %d", TYPE, level, n, masked);
            check(near((wide)k->softmax->logsumexp(n, x, masked ? mask : NULL), max + logl(sum), 1, 12),
                  "%s %s logsumexp of %zu, mask %d", TYPE, level, n, masked);

            real *dy = row(n, 1), *dx = row(n, 1), *old = copy(n, dx), *dl = copy(n, dx);
            k->softmax->softmax_back(n, y, dy, dx);
            k->softmax->log_softmax_back(n, l, dy, dl);
            wide dot = 0, total = 0;
            for (size_t i = 0; i < n; i++) {
                dot += (wide)y[i] * dy[i];
                total += l[i] == -INFINITY ? 0 : dy[i];
            }
            for (size_t i = 0; i < n; i++) {
                ok = ok && near(dx[i], old[i] + y[i] * (dy[i] - dot), 1, 20);
                logs = logs && near(dl[i], old[i] + (l[i] == -INFINITY ? 0 : dy[i] - expl(l[i]) * total), 1, 50);
            }
            check(ok, "%s %s softmax backward of %zu, mask %d", TYPE, level, n, masked);
            check(logs, "%s %s log_softmax backward of %zu, mask %d", TYPE, level, n, masked);
            free(x);
            free(y);
            free(l);
            free(mask);
            free(dy);
            free(dx);
            free(old);
            free(dl);
        }
    real x[] = {1, NAN, 2}, y[3];
    k->softmax->softmax(3, x, NULL, y);
    check(isnan(y[0]) && isnan(y[1]) && isnan(y[2]), "%s %s softmax of NaN is NaN", TYPE, level);
    x[1] = INFINITY;
    check(k->softmax->logsumexp(3, x, NULL) == INFINITY, "%s %s logsumexp of infinity", TYPE, level);
}

static void test_cross_entropy(void)
{
    for (size_t n = 1; n < 80; n += n < 20 ? 1 : 11)
        for (int smooth = 0; smooth < 2; smooth++) {
            real *x = row(n, 5), *dx = row(n, 1), *old = copy(n, dx), *in_place = copy(n, x), stat[2];
            size_t target = n / 3;
            double s = smooth ? 0.1 : 0;
            wide sum = 0, mean = 0;
            for (size_t i = 0; i < n; i++) {
                sum += expl(x[i]);
                mean += (wide)x[i] / n;
            }
            wide want = (1 - s) * (logl(sum) - x[target]) + s * (logl(sum) - mean);
            double loss = k->softmax->cross_entropy(n, x, target, (real)s, stat);
            check(near((wide)loss, want, 5, 10), "%s %s cross entropy of %zu: %g, expected %Lg", TYPE, level, n, loss,
                  want);
            k->softmax->cross_entropy_back(n, x, target, (real)s, stat, 2, dx, true);
            k->softmax->cross_entropy_back(n, in_place, target, (real)s, stat, 2, in_place, false);
            bool ok = true;
            for (size_t i = 0; i < n; i++) {
                wide g = 2 * (expl(x[i]) / sum - s / n - (i == target ? 1 - s : 0));
                ok = ok && near(dx[i], old[i] + g, 1, 10) && near(in_place[i], g, 1, 10);
            }
            check(ok, "%s %s cross entropy backward of %zu", TYPE, level, n);
            free(x);
            free(dx);
            free(old);
            free(in_place);
        }
}

/* ---- normalisation ---- */

/* sum of y[i] dy[i] as a function of x, for differences */
static wide norm_loss(bool rms, size_t n, const wide *x, const real *w, const real *b, const real *dy)
{
    wide mean = 0, var = 0, loss = 0;

    for (size_t i = 0; i < n && !rms; i++)
        mean += x[i] / n;
    for (size_t i = 0; i < n; i++)
        var += (x[i] - mean) * (x[i] - mean) / n;
    for (size_t i = 0; i < n; i++)
        loss += dy[i] * ((x[i] - mean) / sqrtl(var + 1e-5L) * (w ? w[i] : 1) + (b ? b[i] : 0));
    return loss;
}

static void test_norm(void)
{
    for (size_t n = 1; n < 70; n += n < 34 ? 1 : 9)
        for (int form = 0; form < 4; form++) {
            bool rms = form & 1, plain = form >> 1;
            real *x = row(n, 2), *weight = row(n, 1), *bias = row(n, 1), *y = room(n * sizeof *y), *dy = row(n, 1);
            real *dx = row(n, 1), *old = copy(n, dx), *dw = row(n, 1), *oldw = copy(n, dw), *db = copy(n, dw), stat[2];
            const real *w = plain ? NULL : weight, *b = plain || rms ? NULL : bias;
            wide *z = room(n * sizeof *z);
            /* away from rows of one value, where the differences below are not the derivative */
            for (size_t i = 0; i < n; i++)
                x[i] += i % 2 ? 3 : -3;
            if (rms) {
                k->norm->rmsnorm(n, x, w, (real)1e-5, y, stat);
                k->norm->rmsnorm_back(n, x, w, stat, dy, dx, plain ? NULL : dw);
            } else {
                k->norm->layernorm(n, x, w, b, (real)1e-5, y, stat);
                k->norm->layernorm_back(n, x, w, stat, dy, dx, plain ? NULL : dw, plain ? NULL : db);
            }
            wide got = 0;
            for (size_t i = 0; i < n; i++) {
                z[i] = x[i];
                got += (wide)y[i] * dy[i];
            }
            check(near(got, norm_loss(rms, n, z, w, b, dy), (wide)n, 40), "%s %s norm %d of %zu", TYPE, level, form, n);
            bool ok = true;
            for (size_t i = 0; i < n; i++) {
                wide h = 1e-6L, up, down;
                z[i] += h;
                up = norm_loss(rms, n, z, w, b, dy);
                z[i] -= 2 * h;
                down = norm_loss(rms, n, z, w, b, dy);
                z[i] += h;
                wide want = old[i] + (up - down) / (2 * h);
                ok = ok && fabsl(dx[i] - want) <= (AT_TYPE == 32 ? 3e-4L : 1e-8L) * (1 + fabsl(want));
                if (!plain) {
                    /* y is linear in weight: dweight = dy (y - bias) / weight */
                    wide u = (y[i] - (b ? b[i] : 0)) / (wide)w[i];
                    ok = ok && fabsl(dw[i] - (oldw[i] + dy[i] * u)) <= 400 * EPS * (1 + fabsl(1 / (wide)w[i]));
                    if (!rms)
                        ok = ok && near(db[i], (wide)oldw[i] + dy[i], 1, 2);
                }
            }
            check(ok, "%s %s norm %d backward of %zu", TYPE, level, form, n);
            free(x);
            free(weight);
            free(bias);
            free(y);
            free(dy);
            free(dx);
            free(old);
            free(dw);
            free(oldw);
            free(db);
            free(z);
        }
}

/* ---- recurrent cells ---- */

enum { UNITS = 37 };
enum { RNN, GRU, LSTM, CELLS };
static const char *const cells[] = {"rnn", "gru", "lstm"};

/* One unit of a cell, by definition: a[0..3] input side, b[0..3] recurrent side with its bias, s = h_prev or c_prev.
 * Returns h dh + c dc. */
static wide cell_loss(int cell, const wide *a, const wide *b, wide s, wide dh, wide dc)
{
    if (cell == RNN)
        return tanhl(a[0] + b[0]) * dh;
    if (cell == GRU) {
        wide r = f_sigmoid(a[0] + b[0]), z = f_sigmoid(a[1] + b[1]), m = tanhl(a[2] + r * b[2]);
        return ((1 - z) * m + z * s) * dh;
    }
    wide c = f_sigmoid(a[1] + b[1]) * s + f_sigmoid(a[0] + b[0]) * tanhl(a[2] + b[2]);
    return f_sigmoid(a[3] + b[3]) * tanhl(c) * dh + c * dc;
}

static void test_channel(void)
{
    for (size_t n = 0; n < 70; n += n < 34 ? 1 : 9)
        for (size_t step = 0; step < 2; step++) {
            real *x = row(n, 3), *dy = row(n, 1), *mean = row(n + 1, 1), *a = row(n + 1, 1), *b = row(n + 1, 1),
                 *c = row(n + 1, 1);
            real *y = room(n * sizeof *y), *dx = row(n, 1), *old = copy(n, dx), *s = row(n, 1), *q = copy(n, s),
                 *olds = copy(n, s);
            wide spread = 0, tilt = 0, plain = 0, size = 0;
            double sum;
            bool ok = true;
            for (size_t i = 0; i < n; i++) {
                wide d = (wide)x[i] - mean[0];
                spread += d * d;
                tilt += d * dy[i];
                plain += dy[i];
                size += fabsl(d * dy[i]) + fabsl((wide)dy[i]);
            }
            check(near((wide)k->channel->spread(n, x, mean[0]), spread, spread, 20), "%s %s spread of %zu", TYPE, level,
                  n);
            check(near((wide)k->channel->spread_back(n, x, mean[0], dy, &sum), tilt, size, 20) &&
                      near((wide)sum, plain, size, 20),
                  "%s %s spread_back of %zu", TYPE, level, n);
            k->channel->spreads(n, x, mean, q);
            for (size_t i = 0; i < n; i++)
                ok = ok && near(q[i], olds[i] + ((wide)x[i] - mean[i]) * ((wide)x[i] - mean[i]), 4, 20);
            memcpy(q, olds, n * sizeof *q);
            k->channel->spreads_back(n, x, mean, dy, s, q);
            for (size_t i = 0; i < n; i++)
                ok = ok && near(s[i], olds[i] + (wide)dy[i], 4, 4) &&
                     near(q[i], olds[i] + ((wide)x[i] - mean[i]) * dy[i], 4, 20);
            k->channel->centred(n, x, mean, a, b, step, y);
            for (size_t i = 0; i < n; i++)
                ok = ok && near(y[i], ((wide)x[i] - mean[i * step]) * a[i * step] + b[i * step], 4, 20);
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                memcpy(dx, old, n * sizeof *dx);
                k->channel->centred_back(n, x, mean, dy, a, b, c, step, dx, accumulate);
                for (size_t i = 0; i < n; i++)
                    ok = ok && near(dx[i],
                                    (accumulate ? (wide)old[i] : 0) + (wide)dy[i] * a[i * step] +
                                        ((wide)x[i] - mean[i * step]) * b[i * step] + c[i * step],
                                    8, 20);
            }
            check(ok, "%s %s maps around a mean of %zu, step %zu", TYPE, level, n, step);
            void *all[] = {x, dy, mean, a, b, c, y, dx, old, s, q, olds};
            for (size_t i = 0; i < sizeof all / sizeof *all; i++)
                free(all[i]);
        }
}

static void test_pool(void)
{
    for (size_t n = 0; n < 70; n += n < 34 ? 1 : 9)
        for (size_t step = 1; step < 4; step++)
            for (int same = 0; same < 2; same++) {
                size_t wide_n = n ? (n - 1) * step + 1 : 0, by = same ? 0 : step;
                real *x = row(wide_n, 1), *y = room(n * sizeof *y), *sum = row(n, 1), *old = copy(n, sum);
                real *dx = row(wide_n + 3 * step * (n + 1), 1), *dy = row(n, 1),
                     *was = copy(wide_n + 3 * step * (n + 1), dx);
                real *at = room(n * sizeof *at);
                bool ok = true;
                if (n > 1)
                    x[step] = (real)NAN;
                k->pool->start(n, 2, by, y, at);
                for (size_t i = 0; i < n; i++)
                    ok = ok && y[i] == -(real)INFINITY;
                k->pool->max(n, x, step, 2, by, y, at);
                real *before = copy(wide_n, x);
                for (size_t i = 0; i < n; i++)
                    x[i * step] += i % 2 ? 1 : -1;
                k->pool->max(n, x, step, 3, by, y, at);
                for (size_t i = 0; i < n; i++)
                    ok = ok && (i == 1 ? isnan(y[i]) : y[i] == (i % 2 ? x : before)[i * step]);
                k->pool->max_back(n, at, 0, dy, dx);
                for (size_t i = 0; i < n; i++)
                    was[(i % 2 ? 3 : 2) + i * by] += dy[i];
                ok = ok && memcmp(dx, was, (wide_n + 3 * step * (n + 1)) * sizeof *dx) == 0;
                k->pool->sum(n, x, step, sum);
                for (size_t i = 0; i < n; i++)
                    ok = ok && (i == 1 || sum[i] == old[i] + x[i * step]);
                k->pool->sum_back(n, dy, 2, step, dx);
                for (size_t i = 0; i < n; i++)
                    ok = ok && near(dx[i * step], (wide)was[i * step] + 2 * (wide)dy[i], 4, 2);
                check(ok, "%s %s pools of %zu, step %zu", TYPE, level, n, step);
                void *all[] = {x, y, sum, old, dx, dy, was, at, before};
                for (size_t i = 0; i < sizeof all / sizeof *all; i++)
                    free(all[i]);
            }
}

static void test_sample(void)
{
    enum { N = 5, PIXELS = 6 };
    static const ptrdiff_t at[4 * N] = {0, 1, 2, 3, 5, -1, -1, -1, -1, -1, -1, -1, 4, 4, -1, 4, 3, 2, 1, 0};
    for (size_t C = 0; C < 70; C += C < 34 ? 1 : 9) {
        real *x = row(PIXELS * C, 1), *weight = row((size_t)4 * N, 1), *y = room(N * C * sizeof *y),
             *dy = row(N * C, 1);
        real *dx = row(PIXELS * C, 1), *want = copy(PIXELS * C, dx), dweight[4 * N];
        bool ok = true;
        k->sample->sample(N, C, x, at, weight, y);
        k->sample->sample_back(N, C, x, at, weight, dy, dx, dweight);
        for (size_t p = 0; p < N; p++)
            for (size_t c = 0; c < C; c++) {
                wide sum = 0;
                for (size_t j = 4 * p; j < 4 * p + 4; j++)
                    if (at[j] >= 0) {
                        sum += (wide)weight[j] * x[(size_t)at[j] * C + c];
                        want[(size_t)at[j] * C + c] += weight[j] * dy[p * C + c];
                    }
                ok = ok && near(y[p * C + c], sum, 4, 4);
            }
        for (size_t i = 0; i < PIXELS * C; i++)
            ok = ok && near(dx[i], want[i], 8, 4);
        for (size_t j = 0; j < (size_t)4 * N; j++) {
            wide dot = 0;
            for (size_t c = 0; c < C && at[j] >= 0; c++)
                dot += (wide)x[(size_t)at[j] * C + c] * dy[j / 4 * C + c];
            ok = ok && near(dweight[j], dot, (wide)C, 4);
        }
        check(ok, "%s %s samples of %zu channels", TYPE, level, C);
        void *all[] = {x, weight, y, dy, dx, want};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            free(all[i]);
    }
}

static void test_cell(int cell, size_t n)
{
    static const size_t gates_of[] = {1, 3, 4};
    size_t gates = gates_of[cell];
    real *xi = row(gates * n, 2), *hi = row(gates * n, 2), *bias = row(gates * n, 1), *prev = row(n, 1);
    real *h = room(n * sizeof *h), *c = room(n * sizeof *c), *save = room(5 * n * sizeof *save);
    real *dh = row(n, 1), *dc = row(n, 1), *dxi = room(gates * n * sizeof *dxi), *dhi = room(gates * n * sizeof *dhi);
    real *dprev = room(n * sizeof *dprev);

    if (cell == RNN) {
        k->gate->rnn(n, xi, hi, bias, h);
        k->gate->rnn_back(n, h, dh, dxi);
    } else if (cell == GRU) {
        k->gate->gru(n, xi, hi, bias, prev, h, save);
        k->gate->gru_back(n, save, prev, dh, dxi, dhi, dprev);
    } else {
        k->gate->lstm(n, xi, hi, bias, prev, c, h, save);
        k->gate->lstm_back(n, save, prev, dh, dc, dxi, dprev);
    }
    bool forward = true, backward = true;
    double bound = AT_TYPE == 32 ? 1e-5 : 1e-9;
    for (size_t i = 0; i < n; i++) {
        wide a[4], b[4], step = 1e-6L, s = prev[i], e = cell == LSTM ? dc[i] : 0;
        for (size_t g = 0; g < gates; g++) {
            a[g] = xi[g * n + i];
            b[g] = (wide)hi[g * n + i] + bias[g * n + i];
        }
        forward = forward && near(h[i], cell_loss(cell, a, b, s, 1, 0), 1, 4);
        if (cell == LSTM)
            forward = forward && near(c[i], cell_loss(cell, a, b, s, 0, 1), 1, 4);
        for (size_t g = 0; g < gates; g++) {
            wide up, down;
            a[g] += step;
            up = cell_loss(cell, a, b, s, dh[i], e);
            a[g] -= 2 * step;
            down = cell_loss(cell, a, b, s, dh[i], e);
            a[g] += step;
            backward = backward && fabsl(dxi[g * n + i] - (up - down) / (2 * step)) < bound;
            if (cell == GRU) {
                b[g] += step;
                up = cell_loss(cell, a, b, s, dh[i], e);
                b[g] -= 2 * step;
                down = cell_loss(cell, a, b, s, dh[i], e);
                b[g] += step;
                backward = backward && fabsl(dhi[g * n + i] - (up - down) / (2 * step)) < bound;
            }
        }
        if (cell != RNN) {
            wide up = cell_loss(cell, a, b, s + step, dh[i], e), down = cell_loss(cell, a, b, s - step, dh[i], e);
            backward = backward && fabsl(dprev[i] - (up - down) / (2 * step)) < bound;
        }
    }
    check(forward, "%s %s %s of %zu units", TYPE, level, cells[cell], n);
    check(backward, "%s %s %s backward of %zu units", TYPE, level, cells[cell], n);

    /* in place, without bias and save */
    real *again = copy(n, prev), *state = copy(n, prev), *none = room(gates * n * sizeof *none);
    memset(none, 0, gates * n * sizeof *none);
    if (cell == RNN) {
        k->gate->rnn(n, xi, hi, none, h);
        k->gate->rnn(n, xi, hi, NULL, again);
    } else if (cell == GRU) {
        k->gate->gru(n, xi, hi, none, prev, h, NULL);
        k->gate->gru(n, xi, hi, NULL, again, again, NULL);
    } else {
        k->gate->lstm(n, xi, hi, none, prev, c, h, NULL);
        k->gate->lstm(n, xi, hi, NULL, state, state, again, NULL);
        check(memcmp(c, state, n * sizeof *c) == 0, "%s %s lstm in place", TYPE, level);
    }
    check(memcmp(h, again, n * sizeof *h) == 0, "%s %s %s without bias, in place", TYPE, level, cells[cell]);
    real *lists[] = {xi, hi, bias, prev, h, c, save, dh, dc, dxi, dhi, dprev, again, state, none};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        free(lists[i]);
}

/* ---- attention rows ---- */

static void test_pair(void)
{
    for (size_t D = 1; D < 150; D += D < 20 ? 3 : 17)
        for (size_t S = 0; S < 7; S += 2) {
            size_t ld = D + 3;
            real *q = row(D, 2), *key = row(S * ld, 2), *v = row(D, 1), *e = room(S * sizeof *e), *de = row(S, 1);
            real *dq = row(D, 1), *dk = row(S * ld, 1), *dv = row(D, 1), *c = row(D, 1), *da = room(S * sizeof *da);
            real *dq0 = copy(D, dq), *dk0 = copy(S * ld, dk), *dv0 = copy(D, dv);
            real *dm = copy(S * ld, dk), *c0 = copy(D, c);
            if (S > 1) {
                de[1] = 0; /* left out: its key may be NaN */
                for (size_t d = 0; d < D; d++)
                    key[ld + d] = (real)NAN;
            }
            k->pair->additive(S, D, q, key, ld, v, e);
            k->pair->additive_back(S, D, q, key, ld, v, de, dq, dk, ld, dv);
            k->pair->context(S, D, de, key, ld, c, true);
            k->pair->context_back(S, D, de, key, ld, q, da, dm, ld);
            bool forward = true, backward = true, context = true;
            for (size_t s = 0; s < S; s++) {
                wide want = 0, dot = 0;
                for (size_t d = 0; d < D; d++) {
                    wide t = tanhl(q[d] + key[s * ld + d]), g = de[s] == 0 ? 0 : de[s] * v[d] * (1 - t * t);
                    want += v[d] * t;
                    dot += (wide)q[d] * key[s * ld + d];
                    backward = backward && near(dk[s * ld + d], dk0[s * ld + d] + g, 1, 8);
                    context = context && near(dm[s * ld + d], (wide)dk0[s * ld + d] + (wide)de[s] * q[d], 1, 8);
                }
                for (size_t d = D; d < ld; d++)
                    backward = backward && dk[s * ld + d] == dk0[s * ld + d];
                forward = forward && near(e[s], want, (wide)D, 4);
                context = context && near(da[s], de[s] == 0 ? 0 : dot, (wide)D, 8);
            }
            for (size_t d = 0; d < D; d++) {
                wide sq = dq0[d], sv = dv0[d], sc = c0[d];
                for (size_t s = 0; s < S; s++)
                    if (de[s] != 0) {
                        wide t = tanhl(q[d] + key[s * ld + d]);
                        sq += de[s] * v[d] * (1 - t * t);
                        sv += de[s] * t;
                        sc += (wide)de[s] * key[s * ld + d];
                    }
                backward = backward && near(dq[d], sq, 4, 8) && near(dv[d], sv, 4, 8);
                context = context && near(c[d], sc, 8, 4);
            }
            check(forward, "%s %s additive, D %zu, S %zu", TYPE, level, D, S);
            check(backward, "%s %s additive backward, D %zu, S %zu", TYPE, level, D, S);
            check(context, "%s %s context, D %zu, S %zu", TYPE, level, D, S);
            k->pair->additive_back(S, D, q, key, ld, v, de, NULL, NULL, 0, NULL);
            k->pair->context_back(S, D, de, key, ld, q, da, NULL, 0);
            real *lists[] = {q, key, v, e, de, dq, dk, dv, c, da, dq0, dk0, dv0, dm, c0};
            for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
                free(lists[i]);
        }
}

/* ---- tiles of attention: a row per key, a column per query, one vector of columns ---- */

static void test_attend(size_t lanes)
{
    enum { KEYS = 9 };
    size_t ld = lanes + 3, all = KEYS * ld;
    real *lo = row(lanes, 1), *hi = row(lanes, 1), *max = row(lanes, 1), *sum = row(lanes, 1), *factor = row(lanes, 1);
    real *s = row(all, 4), *p = row(all, 1), *dp = row(all, 1), *old = copy(all, dp);
    for (size_t i = 4 * ld; i < all; i++) /* so that later maxima are new ones, or are not */
        s[i] *= 8;
    real *whole = copy(all, s);
    bool cut = true, softmax = true, weights = true, back = true;

    for (size_t c = 0; c < lanes; c++) {
        lo[c] = c == 0 ? KEYS : c % 4; /* the first query sees nothing */
        hi[c] = c % 3 ? KEYS : 5 + c % 2;
        max[c] = -INFINITY;
        sum[c] = 0;
    }
    k->attend->cut(0, KEYS, lo, hi, s, ld);
    for (size_t j = 0; j < KEYS; j++)
        for (size_t c = 0; c < lanes; c++) {
            bool in = j >= lo[c] && j < hi[c];
            cut = cut && s[j * ld + c] == (in ? whole[j * ld + c] : -INFINITY);
        }
    real *seen = copy(all, s), *lse = row(lanes, 1);
    for (size_t part = 0; part < KEYS; part += 4) { /* in parts, as tiles come */
        real *before = copy(lanes, max), *total = copy(lanes, sum);
        size_t n = KEYS - part < 4 ? KEYS - part : 4;
        k->attend->softmax(n, s + part * ld, ld, max, sum, factor);
        for (size_t c = 0; c < lanes; c++) {
            wide most = before[c], more = 0;
            for (size_t j = part; j < part + n; j++)
                most = fmaxl(most, seen[j * ld + c]);
            most = most > (wide)before[c] + 8 ? most : before[c];
            wide base = isinf(most) ? 0 : most, lost = expl((wide)before[c] - base);
            for (size_t j = part; j < part + n; j++) {
                wide e = expl((wide)seen[j * ld + c] - base);
                more += e;
                softmax = softmax && near(s[j * ld + c], e, 1, 8);
            }
            softmax = softmax && max[c] == (real)most && near(factor[c], lost, 1, 8) &&
                      near(sum[c], total[c] * lost + more, 1, 16);
        }
        free(before);
        free(total);
    }
    for (size_t c = 0; c < lanes; c++)
        lse[c] = sum[c] == 0 ? INFINITY : (real)(max[c] + logl(sum[c]));
    memcpy(s, seen, all * sizeof *s);
    k->attend->weights(KEYS, lse, s, ld);
    k->attend->back(KEYS, p, lo, (real)0.7, dp, ld);
    for (size_t j = 0; j < KEYS; j++)
        for (size_t c = 0; c < lanes; c++) {
            size_t at = j * ld + c;
            weights = weights && near(s[at], expl((wide)seen[at] - lse[c]), 1, 16);
            back = back && near(dp[at], (real)0.7 * (wide)p[at] * ((wide)old[at] - lo[c]), 8, 8);
        }
    for (size_t j = 0; j < KEYS; j++)
        for (size_t c = lanes; c < ld; c++) /* what is not of this vector stays */
            back = back && s[j * ld + c] == whole[j * ld + c] && dp[j * ld + c] == old[j * ld + c];
    check(cut, "%s %s attention: rows outside are cut", TYPE, level);
    check(softmax, "%s %s attention: running softmax", TYPE, level);
    check(weights, "%s %s attention: weights again", TYPE, level);
    check(back, "%s %s attention: backward", TYPE, level);
    real *lists[] = {lo, hi, max, sum, factor, s, whole, p, dp, old, seen, lse};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        free(lists[i]);
}

/* ---- packed products ---- */

static void test_packed(void)
{
    static const size_t ms[] = {1, 2, 3, 5, 6, 7, 16, 17}, ks[] = {0, 1, 5, 64, 70};
    static const size_t ns[] = {1, 7, 16, 31, 50, 63, 64, 65, 100, 130};

    for (size_t a = 0; a < sizeof ns / sizeof *ns; a++)
        for (size_t b = 0; b < sizeof ks / sizeof *ks; b++) {
            size_t n = ns[a], K_ = ks[b], ldw = K_ + 2, ldt = n + 1, M = 17;
            real *w = row(n * ldw, 1), *t = row(K_ * ldt, 1), *x = row(M * (K_ + 1), 1);
            real *packed = row(k->pack->packed_size(n, K_), 1), *other = row(k->pack->packed_size(n, K_), 1);
            real *first = row(M * (n + 3), 1), *xt = row(K_ * M, 1);
            for (size_t i = 0; i < M * K_; i++)
                xt[i % K_ * M + i / K_] = x[i / K_ * (K_ + 1) + i % K_];
            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < K_; j++)
                    t[j * ldt + i] = w[i * ldw + j];
            k->pack->pack(false, n, K_, 1, w, ldw, packed);
            k->pack->pack(true, n, K_, 1, t, ldt, other);
            check(memcmp(packed, other, k->pack->packed_size(n, K_) * sizeof *packed) == 0,
                  "%s %s pack of %zu x %zu both ways", TYPE, level, n, K_);
            for (size_t c = 0; c < sizeof ms / sizeof *ms; c++) {
                size_t m = ms[c];
                real *y = row(m * (n + 3), 1), *old = copy(m * (n + 3), y), *sum = copy(m * (n + 3), y);
                k->pack->packed_gemm(m, n, K_, x, K_ + 1, packed, y, n + 3, false);
                k->pack->packed_gemm(m, n, K_, x, K_ + 1, packed, sum, n + 3, true);
                real *few = copy(m * (n + 3), old), *turned = copy(m * (n + 3), old);
                k->pack->few_gemm(false, m, n, K_, x, K_ + 1, w, ldw, few, n + 3, false);
                k->pack->few_gemm(true, m, n, K_, x, K_ + 1, t, ldt, turned, n + 3, false);
                bool same = true;
                for (size_t i = 0; i < m * (n + 3); i++)
                    same = same && near(few[i], y[i], 2, 16) && near(turned[i], y[i], 2, 16);
                k->pack->few_gemm(false, m, n, K_, x, K_ + 1, w, ldw, few, n + 3, true);
                for (size_t i = 0; i < m * n; i++)
                    same = same && near(few[i / n * (n + 3) + i % n], 2 * (wide)y[i / n * (n + 3) + i % n], 4, 16);
                check(same, "%s %s product in place %zu x %zu x %zu", TYPE, level, m, n, K_);
                free(few);
                free(turned);
                for (int back = 0; back < 2; back++) { /* x as it stands, and turned */
                    real *tile = copy(m * (n + 3), old);
                    k->pack->tile_gemm(back, m, n, K_, back ? xt : x, back ? M : K_ + 1, t, ldt, tile, n + 3, false);
                    same = true;
                    for (size_t i = 0; i < m * (n + 3); i++)
                        same = same && near(tile[i], y[i], 2, 16);
                    k->pack->tile_gemm(back, m, n, K_, back ? xt : x, back ? M : K_ + 1, t, ldt, tile, n + 3, true);
                    for (size_t i = 0; i < m * (n + 3); i++)
                        same = same && near(tile[i], (i % (n + 3) < n ? 2 : 1) * (wide)y[i], 4, 16);
                    check(same, "%s %s product of tiles %zu x %zu x %zu, turned %d", TYPE, level, m, n, K_, back);
                    free(tile);
                }
                if (c == 0)
                    memcpy(first, y, n * sizeof *y);
                bool ok = memcmp(first, y, n * sizeof *y) == 0;
                for (size_t i = 0; i < m; i++) {
                    for (size_t j = 0; j < n; j++) {
                        wide want = 0;
                        for (size_t l = 0; l < K_; l++)
                            want += (wide)x[i * (K_ + 1) + l] * w[j * ldw + l];
                        ok = ok && near(y[i * (n + 3) + j], want, 4, 8);
                        ok = ok && near(sum[i * (n + 3) + j], old[i * (n + 3) + j] + want, 4, 8);
                    }
                    for (size_t j = n; j < n + 3; j++)
                        ok = ok && y[i * (n + 3) + j] == old[i * (n + 3) + j];
                }
                check(ok, "%s %s packed product %zu x %zu x %zu", TYPE, level, m, n, K_);
                real *from = copy(m * (n + 3), old), *turn = room((m * K_ + 1) * sizeof *turn);
                real *panels = row((m + k->pack->rows) * K_, 1), *by_rows = copy(m * (n + 3), old);
                k->pack->packed_gemm_from(m, n, K_, x, K_ + 1, packed, from, n + 3, old, 0); /* one row for all */
                k->pack->transpose(m, K_, x, K_ + 1, turn, m);
                k->pack->pack_rows(m, K_, turn, m, panels);
                k->pack->rows_gemm(m, n, K_, panels, packed, by_rows, n + 3, true);
                same = true;
                for (size_t i = 0; i < m * K_; i++)
                    same = same && turn[i % K_ * m + i / K_] == x[i / K_ * (K_ + 1) + i % K_];
                for (size_t i = 0; i < m * n; i++) {
                    size_t at = i / n * (n + 3) + i % n;
                    same = same && near(from[at], (wide)y[at] + old[i % n], 4, 16) &&
                           near(by_rows[at], (wide)y[at] + old[at], 4, 16);
                }
                check(same, "%s %s packed product of panels %zu x %zu x %zu", TYPE, level, m, n, K_);
                free(from);
                free(turn);
                free(panels);
                free(by_rows);
                free(y);
                free(old);
                free(sum);
            }
            real *lists[] = {w, t, x, xt, packed, other, first};
            for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
                free(lists[i]);
        }
}

/* ---- optimizers: two steps by the formulas ---- */

static void test_steps(void)
{
    enum { N = 21 };
    real *p = row(N, 1), *g = row(N, 1), *m = room(N * sizeof *m), *v = room(N * sizeof *v), *c = room(N * sizeof *c);
    wide q[N], wm[N], wv[N], wc[N];

    for (int form = 0; form < 12; form++) {
        bool ok = true;
        for (size_t i = 0; i < N; i++) {
            q[i] = p[i];
            m[i] = v[i] = c[i] = 0;
            wm[i] = wv[i] = wc[i] = 0;
        }
        for (int t = 1; t <= 3; t++) {
            wide lr = 0.05L, wd = form % 2 ? 0.1L : 0;
            switch (form / 2) {
            case 0:
            case 1:
                k->step->adam(N, p, g, m, v, 0.05, 0.9, 0.99, 1e-8, 1 - pow(0.9, t), 1 - pow(0.99, t), (double)wd,
                              form / 2);
                break;
            case 2: k->step->sgd(N, p, g, form % 2 ? m : NULL, 0.05, 0.9, 0.1, form == 5, (double)wd, t == 1); break;
            case 3: k->step->adagrad(N, p, g, v, 0.05, 1e-10, (double)wd); break;
            case 4: k->step->adadelta(N, p, g, v, m, 0.05, 0.9, 1e-6, (double)wd); break;
            default:
                k->step->rmsprop(N, p, g, v, form % 2 ? m : NULL, form % 2 ? c : NULL, 0.05, 0.9, 1e-8, 0.8,
                                 (double)wd);
            }
            for (size_t i = 0; i < N; i++) {
                wide d = g[i] + (form / 2 == 1 ? 0 : wd * q[i]);
                switch (form / 2) {
                case 0:
                case 1:
                    if (form / 2 == 1)
                        q[i] *= 1 - lr * wd;
                    wm[i] = 0.9L * wm[i] + 0.1L * d;
                    wv[i] = 0.99L * wv[i] + 0.01L * d * d;
                    q[i] -= lr * (wm[i] / (1 - powl(0.9L, t))) / (sqrtl(wv[i] / (1 - powl(0.99L, t))) + 1e-8L);
                    break;
                case 2:
                    wm[i] = t == 1 ? d : 0.9L * wm[i] + 0.9L * d;
                    q[i] -= lr * (form == 5 ? d + 0.9L * wm[i] : d);
                    break;
                case 3:
                    wv[i] += d * d;
                    q[i] -= lr * d / (sqrtl(wv[i]) + 1e-10L);
                    break;
                case 4: {
                    wv[i] = 0.9L * wv[i] + 0.1L * d * d;
                    wide step = sqrtl(wm[i] + 1e-6L) / sqrtl(wv[i] + 1e-6L) * d;
                    wm[i] = 0.9L * wm[i] + 0.1L * step * step;
                    q[i] -= lr * step;
                    break;
                }
                default:
                    wv[i] = 0.9L * wv[i] + 0.1L * d * d;
                    wm[i] = 0.9L * wm[i] + 0.1L * d;
                    wide step = d / (sqrtl(wv[i] - (form % 2 ? wm[i] * wm[i] : 0)) + 1e-8L);
                    wc[i] = form % 2 ? 0.8L * wc[i] + step : step;
                    q[i] -= lr * wc[i];
                }
                ok = ok && near(p[i], q[i], 1, form / 2 == 5 ? 200 : 20);
            }
        }
        check(ok, "%s %s optimizer form %d", TYPE, level, form);
    }
    free(p);
    free(g);
    free(m);
    free(v);
    free(c);
}

/* ---- minimal filtering: each channel with itself ---- */

static void test_winograd(void)
{
    enum { PLANES = 16, TILES = 3, WIDE = 2 * TILES + 2 };

    for (size_t n = 1; n < 40; n++)
        for (size_t cut = 0; cut < 4; cut++) { /* the last row, the last column */
            size_t columns = 2 * TILES - cut % 2, high = 2 - cut / 2, next = n + 1, plane = TILES * next + 2;
            real *g = row(9 * n, 1), *x = row(4 * WIDE * n, 1), *bias = row(n, 1), *u = row(PLANES * n, 1);
            real *v = row(PLANES * plane, 1), *m = room(PLANES * plane * sizeof *m), *y = row(2 * columns * n, 1);
            real *dy = row(4 * TILES * n, 1), *d = row(PLANES * plane, 1), *dg = row(9 * n, 1);
            bool ok = true;
            k->winograd->weight(n, g + 8 * n, -(ptrdiff_t)n, u, n); /* turned */
            k->winograd->input(TILES, n, x, WIDE * n, v, plane, next);
            for (size_t i = 0; i < PLANES * plane; i++)
                m[i] =
                    i % plane < TILES * next && i % plane % next < n ? u[i / plane * n + i % plane % next] * v[i] : 0;
            ok = ok && k->winograd->output(columns, high == 2, n, m, plane, next, bias, y, columns * n);
            for (size_t i = 0; i < high * columns * n; i++) {
                size_t c = i % n, at = i / n / columns * WIDE + i / n % columns;
                wide sum = bias[c];
                for (size_t t = 0; t < 9; t++)
                    sum += (wide)g[(8 - t) * n + c] * (wide)x[(at + t / 3 * WIDE + t % 3) * n + c];
                ok = ok && near(y[i], sum, 100, 2);
            }
            m[n / 2] = INFINITY;
            ok = ok && !k->winograd->output(columns, high == 2, n, m, plane, next, bias, y, columns * n);
            k->winograd->spread(TILES, n, dy, 2 * TILES * n, d, plane, next);
            for (size_t i = 0; i < PLANES * n; i++)
                for (size_t t = u[i] = 0; t < TILES; t++)
                    u[i] += d[i / n * plane + t * next + i % n] * v[i / n * plane + t * next + i % n];
            ok = ok && k->winograd->collect(n, u, n, dg, n);
            for (size_t i = 0; i < 9 * n; i++) {
                wide sum = 0;
                for (size_t q = 0; q < 4 * TILES; q++)
                    sum += (wide)dy[q * n + i % n] *
                           (wide)x[((q / (2 * TILES) + i / n / 3) * WIDE + q % (2 * TILES) + i / n % 3) * n + i % n];
                ok = ok && near(dg[i], sum, 1000, 2);
            }
            u[n - 1] = NAN;
            ok = ok && !k->winograd->collect(n, u, n, dg, n);
            check(ok, "%s %s minimal filtering of %zu channels, cut %zu", TYPE, level, n, cut);
            free(g), free(x), free(bias), free(u), free(v), free(m), free(y), free(dy), free(d), free(dg);
        }
}

/* ---- all levels ---- */

/* function pointers and numbers: nothing may have been left out */
static bool is_full(const void *table, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += sizeof(uintptr_t)) {
        uintptr_t entry;
        memcpy(&entry, (const char *)table + at, sizeof entry);
        if (entry == 0)
            return false;
    }
    return true;
}

static void test_table(void)
{
#define FULL(family)                                                                                                   \
    check(k->family &&is_full(k->family, sizeof *k->family), "%s %s: every entry of " #family " is filled", TYPE,      \
          level);
    AT_KERNEL_FAMILIES(FULL)
#undef FULL
}

int main(void)
{
    for (at_simd l = AT_SIMD_BASE; l <= at_cpu_simd_best(); l++) {
        k = AT_REAL(at_kernels_at)(l);
        level = at_simd_name(l);
        check(k != NULL, "%s %s: there is a table", TYPE, level);
        if (!k)
            continue;
        test_table();
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
            test_function(&functions[i]);
        test_special();
        test_arithmetic();
        test_reduce();
        test_softmax();
        test_cross_entropy();
        test_norm();
        test_channel();
        test_pool();
        test_sample();
        for (int cell = 0; cell < CELLS; cell++) {
            test_cell(cell, UNITS);
            test_cell(cell, 16);
            test_cell(cell, 1);
        }
        test_winograd();
        test_pair();
        test_attend(k->pack->packed_size(1, 1));
        test_packed();
        test_steps();
    }
    check(AT_REAL(at_kernels_at)(at_cpu_simd())->map == K->map, "%s the table in use is the level's", TYPE);
    return finish();
}
