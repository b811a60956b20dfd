/*
 * Reductions over dimension d, or over everything: sum mean max min argmax argmin prod var std norm logsumexp.
 *
 *   x    any shape; y without dimension d (of size 1 with keepdim); without d no dimensions
 *   sum, mean    dx = dy (/ n)
 *   max, min     dx = dy at the first place that has the value; with d the places are the second result
 *   prod         dx_j = dy times the product of the others
 *   var, std     sum (x - mean)^2 / (n - 1);  dx = dy 2 (x - mean) / (n - 1),  dy (x - mean) / ((n - 1) y)
 *   norm         sqrt(sum x^2);  dx = dy x / y
 *   logsumexp    log sum exp x;  dx = dy exp(x - y)
 *
 * max and min of numbers with a NaN among them are NaN, at its place. Where y = 0 has no derivative (std, norm) dx is
 * 0. Of nothing: sum 0, prod 1, norm 0, logsumexp -inf, mean and var NaN, max and min an error. sum, max, min and their
 * places take int64 too, sum counts the true elements of a bool tensor.
 */
#include <tgmath.h>

#include "attn/op/rows.h"
#include "attn/op/sum.h"

static bool along_one(const at_call *c) { return c->given & 1; }

static at_axis axis_of(const at_call *c)
{
    const at_tensor *x = c->in[0];
    if (along_one(c))
        return at_along(x, c->arg[0].integer);
    return (at_axis){.rows = 1, .n = at_numel(x), .step = 1};
}

static bool out_of(at_call *c, at_dtype dtype)
{
    const at_tensor *x = c->in[0];
    bool keep = c->arg[1].flag;
    size_t size[AT_MAX_DIM], ndim = 0;

    for (size_t d = 0; d < x->ndim; d++) {
        bool gone = !along_one(c) || (int64_t)d == c->arg[0].integer;
        if (!gone || keep)
            size[ndim++] = gone ? 1 : x->size[d];
    }
    return at_out_type(c, dtype, ndim, size);
}

#define ARGS {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true}, {"keepdim", AT_FLAG, .optional = true}}

/* ---- sum ---- */

static bool sum_shape(at_call *c) { return out_of(c, at_call_dtype(c)); }

static void sum_forward(const at_call *c)
{
    const at_tensor *x = c->in[0];
    bool reduced[AT_MAX_DIM];

    for (size_t d = 0; d < x->ndim; d++)
        reduced[d] = !along_one(c) || (int64_t)d == c->arg[0].integer;
    at_zero(at_outp(c, 0), at_numel(c->out[0]) * sizeof(real));
    at_sum_into(at_outp(c, 0), at_in(c, 0), x->ndim, x->size, reduced);
}

#if AT_IS_INTEGER
#define sum_backward NULL
#else
typedef struct spread {
    at_axis axis;
    const real *dy;
    real *dx, scale;
    bool write;
} spread;

/* A slab: the `step` elements that share their place along the dimension; with step 1 a whole row. */
static void spread_rows(size_t begin, size_t end, void *context)
{
    const spread *s = context;
    at_axis a = s->axis;

    for (size_t r = begin; r < end; r++)
        if (a.step == 1) {
            real value = s->scale * s->dy[r], *dx = s->dx + r * a.n;
            AT_PIECES(i, stop, a.n) {
                if (s->write)
                    K->fill(stop - i, value, dx + i);
                else
                    K->add(stop - i, dx + i, 1, &value, 0, dx + i);
                i = stop;
            }
        } else if (s->write) {
            K->scale(a.step, s->scale, s->dy + r / a.n * a.step, s->dx + r * a.step);
        } else {
            K->axpy(a.step, s->scale, s->dy + r / a.n * a.step, s->dx + r * a.step);
        }
}

static void spread_gradient(const at_call *c, real scale)
{
    at_axis a = axis_of(c);
    spread s = {a, at_dout(c, 0), at_din(c, 0), scale, at_is_fresh(c, 0)};

    if (a.rows * a.n == 0)
        return;
    if (a.step == 1)
        at_for(a.rows, at_grain_rows(a.n), spread_rows, &s);
    else
        at_for(a.rows / a.step * a.n, at_grain_rows(a.step), spread_rows, &s);
}

static void sum_backward(const at_call *c) { spread_gradient(c, 1); }
#endif

AT_OP(sum,
    .args = ARGS, .shape = sum_shape, .forward = sum_forward, .backward = sum_backward, .fresh = true,
    .keeps = AT_KEEP_NOTHING,
    .help =
        "sum(x [, d, keepdim = false]) -> y\n"
        "The sum over dimension d, or of everything. int64 too; of a bool tensor the number of true elements (int64).");

/* ---- max, min ---- */

typedef struct places {
    real *value;                /* NULL: places only */
    int64_t *id;                /* from 1 */
    bool least;
} places;

static void place_row(const at_rows *job, size_t r, const real *const *in, real *out, char *own)
{
    const places *p = job->context;
    const real *x = in[0];
    size_t n = job->axis.n, best = 0;

    (void)out, (void)own;
#if AT_IS_INTEGER
    AT_PIECES(j, stop, n)
        for (; j < stop; j++)
            if (p->least ? x[j] < x[best] : x[j] > x[best])
                best = j;
#else
    real value = p->least ? K->min(n, x) : K->max(n, x);
    if (isnan(value))
        while (!isnan(x[best]))
            best++;
    else
        while (x[best] != value)
            best++;
#endif
    if (p->value)
        p->value[r] = x[best];
    p->id[r] = (int64_t)best + 1;
}

static void find_places(const at_call *c, bool least, real *value, int64_t *id)
{
    at_run_rows(&(at_rows){.axis = axis_of(c), .in = {at_in(c, 0)}, .fn = place_row,
                           .context = &(places){value, id, least}, .work = c->work});
}

static bool not_empty(at_call *c)
{
    at_axis a = axis_of(c);
    at_want_scratch(c, at_rows_scratch(a, 0));
    return a.n > 0 || at_fail(c, "x has no elements to choose from (x: %s)", at_describe(c->in[0]).text);
}

static bool extreme_shape(at_call *c)
{
    if (!not_empty(c) || !out_of(c, at_call_dtype(c)))
        return false;
    return along_one(c) ? out_of(c, AT_I64) : at_save(c, AT_I64, 1);
}

static int64_t *found_at(const at_call *c)
{
    return (int64_t *)(void *)(along_one(c) ? c->out[1] : c->saved[0])->data;
}

static void max_forward(const at_call *c) { find_places(c, false, at_outp(c, 0), found_at(c)); }
static void min_forward(const at_call *c) { find_places(c, true, at_outp(c, 0), found_at(c)); }

#if AT_IS_INTEGER
#define extreme_backward NULL
#else
static void extreme_row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    const at_call *c = job->context;
    (void)in, (void)own;
    dx[found_at(c)[r] - 1] += at_dout(c, 0)[r];
}

static void extreme_backward(const at_call *c)
{
    if (!at_dout(c, 0)) {
        if (at_is_fresh(c, 0))
            at_zero(at_din(c, 0), at_numel(c->in[0]) * sizeof(real));
        return;
    }
    at_run_rows(&(at_rows){.axis = axis_of(c),
                           .out = at_din(c, 0),
                           .fn = extreme_row_back,
                           .context = c,
                           .work = c->work,
                           .mode = at_is_fresh(c, 0) ? AT_ROW_FRESH : AT_ROW_ADD});
}
#endif

AT_OP(max, .args = ARGS, .shape = extreme_shape, .forward = max_forward, .backward = extreme_backward, .outs = 2,
      .fresh = true, .keeps = AT_KEEP_OUT(1),
      .help =
          "max(x) -> y; max(x, d, keepdim = false) -> values, ids\n"
          "The greatest of all elements; or of each row along dimension d, with its place (int64, from 1, the first of "
          "equal ones). NaN if there is one. The gradient goes to that place. int64 too.");
AT_OP(min, .args = ARGS, .shape = extreme_shape, .forward = min_forward, .backward = extreme_backward, .outs = 2,
    .fresh = true, .keeps = AT_KEEP_OUT(1),
    .help = "min(x) -> y; min(x, d, keepdim = false) -> values, ids\n"
            "The least of all elements; or of each row along dimension d, with its place (int64, from 1, the first of "
            "equal ones). NaN if there is one. The gradient goes to that place. int64 too.");

static bool place_shape(at_call *c) { return not_empty(c) && out_of(c, AT_I64); }
static void argmax_forward(const at_call *c) { find_places(c, false, NULL, (int64_t *)(void *)c->out[0]->data); }
static void argmin_forward(const at_call *c) { find_places(c, true, NULL, (int64_t *)(void *)c->out[0]->data); }

AT_OP(argmax, .args = ARGS, .shape = place_shape, .forward = argmax_forward, .gradient = AT_NO_GRADIENT,
      .help = "argmax(x [, d, keepdim = false]) -> ids (int64)\n"
              "The place of the greatest element along dimension d, or in row order of all, from 1: the first of equal "
              "ones; the first NaN if there is one. int64 too.");
AT_OP(argmin, .args = ARGS, .shape = place_shape, .forward = argmin_forward, .gradient = AT_NO_GRADIENT,
      .help = "argmin(x [, d, keepdim = false]) -> ids (int64)\n"
              "The place of the least element along dimension d, or in row order of all, from 1: the first of equal "
              "ones; the first NaN if there is one. int64 too.");

#if !AT_IS_INTEGER

/* ---- mean ---- */

static void mean_forward(const at_call *c)
{
    size_t n = axis_of(c).n, count = at_numel(c->out[0]);
    real *y = at_outp(c, 0);

    sum_forward(c);
    AT_PIECES(r, end, count)
        for (; r < end; r++)
            y[r] /= (real)n;
}

static void mean_backward(const at_call *c) { spread_gradient(c, 1 / (real)axis_of(c).n); }

AT_OP(mean, .args = ARGS, .shape = sum_shape, .forward = mean_forward, .backward = mean_backward, .fresh = true,
    .keeps = AT_KEEP_NOTHING,
    .help = "mean(x [, d, keepdim = false]) -> y\nThe arithmetic mean over dimension d, or of everything.");

/* ---- what works row by row: a number from a row, and the gradient of the row ---- */

typedef void row_fn(const at_rows *job, size_t r, const real *const *in, real *out, char *own);

static void forward(const at_call *c, row_fn *fn)
{
    at_run_rows(&(at_rows){.axis = axis_of(c), .in = {at_in(c, 0)}, .fn = fn, .context = c, .work = c->work});
}

static void backward(const at_call *c, row_fn *fn, size_t own_bytes)
{
    at_run_rows(&(at_rows){.axis = axis_of(c),
                           .in = {at_in(c, 0)},
                           .out = at_din(c, 0),
                           .fn = fn,
                           .own_bytes = own_bytes,
                           .context = c,
                           .work = c->work,
                           .mode = at_is_fresh(c, 0) ? AT_ROW_FRESH : AT_ROW_ADD});
}

static bool shape(at_call *c)
{
    at_want_scratch(c, at_rows_scratch(axis_of(c), 0));
    return out_of(c, at_call_dtype(c));
}

/* With room for one more row in the backward pass. */
static bool roomy_shape(at_call *c)
{
    at_axis a = axis_of(c);
    at_want_scratch(c, at_rows_scratch(a, at_recording(c) ? a.n * sizeof(real) : 0));
    return out_of(c, at_call_dtype(c));
}

static void prod_row(const at_rows *job, size_t r, const real *const *in, real *out, char *own)
{
    double y = 1;
    (void)out, (void)own;
    AT_PIECES(j, stop, job->axis.n)
        for (; j < stop; j++)
            y *= in[0][j];
    at_outp(job->context, 0)[r] = (real)y;
}

/* Products of what stands before and behind: no division, so zeros are nothing special. */
static void prod_row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    size_t n = job->axis.n;
    real *behind = (real *)(void *)own, before = at_dout(job->context, 0)[r], product = 1;
    const real *x = in[0];

    AT_PIECES(i, stop, n)
        for (; i < stop; product *= x[n - 1 - i++])
            behind[n - 1 - i] = product;
    AT_PIECES(j, stop, n)
        for (; j < stop; before *= x[j++])
            dx[j] += before * behind[j];
}
static void prod_forward(const at_call *c) { forward(c, prod_row); }
static void prod_backward(const at_call *c) { backward(c, prod_row_back, axis_of(c).n * sizeof(real)); }

AT_OP(prod, .args = ARGS, .shape = roomy_shape, .forward = prod_forward, .backward = prod_backward, .fresh = true,
    .keeps = AT_KEEP(0),
    .help = "prod(x [, d, keepdim = false]) -> y\nThe product over dimension d, or of everything.");

/* sum_j x_j - mean, or of its square; four sums at once, as one would wait for each addition. */
static double deviation(size_t n, const real *x, double mean, bool squared)
{
    double a = 0, b = 0, c = 0, d = 0;

    AT_PIECES(j, stop, n) {
        for (; j + 4 <= stop; j += 4) {
            double p = x[j] - mean, q = x[j + 1] - mean, r = x[j + 2] - mean, s = x[j + 3] - mean;
            a += squared ? p * p : p;
            b += squared ? q * q : q;
            c += squared ? r * r : r;
            d += squared ? s * s : s;
        }
        for (; j < stop; j++)
            a += squared ? (x[j] - mean) * (x[j] - mean) : x[j] - mean;
    }
    return a + b + (c + d);
}

/* Corrected by the mean of what it leaves: of equal numbers it is that number exactly, so that they do not deviate. */
static double row_mean(size_t n, const real *x)
{
    double mean = K->sum(n, x) / (double)n;
    return mean + deviation(n, x, mean, false) / (double)n;
}

static double variance(size_t n, const real *x)
{
    return deviation(n, x, row_mean(n, x), true) / ((double)n - 1);
}

static void var_row(const at_rows *job, size_t r, const real *const *in, real *out, char *own)
{
    (void)out, (void)own;
    at_outp(job->context, 0)[r] = (real)(job->axis.n ? variance(job->axis.n, in[0]) : NAN);
}

static void add_deviation(size_t n, const real *x, double scale, real *dx)
{
    double mean = row_mean(n, x);
    AT_PIECES(j, stop, n)
        for (; j < stop; j++)
            dx[j] += (real)(scale * (x[j] - mean));
}

static void var_row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    size_t n = job->axis.n;
    (void)own;
    add_deviation(n, in[0], 2 * (double)at_dout(job->context, 0)[r] / ((double)n - 1), dx);
}
static void var_forward(const at_call *c) { forward(c, var_row); }
static void var_backward(const at_call *c) { backward(c, var_row_back, 0); }

AT_OP(var, .args = ARGS, .shape = shape, .forward = var_forward, .backward = var_backward, .fresh = true,
      .keeps = AT_KEEP(0),
      .help = "var(x [, d, keepdim = false]) -> y\n"
              "The variance over dimension d, or of everything, with divisor n - 1; NaN for a single element.");

static void std_row(const at_rows *job, size_t r, const real *const *in, real *out, char *own)
{
    (void)out, (void)own;
    at_outp(job->context, 0)[r] = (real)(job->axis.n ? sqrt(variance(job->axis.n, in[0])) : NAN);
}

static void std_row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    double y = at_outp(job->context, 0)[r];
    (void)own;
    if (y != 0)
        add_deviation(job->axis.n, in[0], at_dout(job->context, 0)[r] / (((double)job->axis.n - 1) * y), dx);
}
static void std_forward(const at_call *c) { forward(c, std_row); }
static void std_backward(const at_call *c) { backward(c, std_row_back, 0); }

AT_OP(std,
    .args = ARGS, .shape = shape, .forward = std_forward, .backward = std_backward, .fresh = true,
    .keeps = AT_KEEP(0) | AT_KEEP_OUT(0),
    .help =
        "std(x [, d, keepdim = false]) -> y\n"
        "The standard deviation over dimension d, or of everything, with divisor n - 1; NaN for a single element. Its "
        "gradient is 0 where it is 0.");

static void norm_row(const at_rows *job, size_t r, const real *const *in, real *out, char *own)
{
    size_t n = job->axis.n;
    const real *x = in[0];
    double s = K->sumsq(n, x), y = sqrt(s);

    (void)out, (void)own;
    /* squares that are too large or too small for the type: divide by the largest first */
    if (!isfinite(s) || s < 1e-30) {
        double most = 0, sum = 0;
        bool nan = false;
        AT_PIECES(j, stop, n)
            for (; j < stop; j++) {
                nan = nan || isnan(x[j]);
                most = fabs((double)x[j]) > most ? fabs((double)x[j]) : most;
            }
        if (nan || most == 0 || isinf(most)) {
            y = nan ? NAN : most;
        } else {
            AT_PIECES(j, stop, n)
                for (; j < stop; j++)
                    sum += x[j] / most * (x[j] / most);
            y = most * sqrt(sum);
        }
    }
    at_outp(job->context, 0)[r] = (real)y;
}

static void norm_row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    real y = at_outp(job->context, 0)[r], dy = at_dout(job->context, 0)[r];
    (void)own;
    if (y != 0)
        AT_PIECES(j, stop, job->axis.n)
            for (; j < stop; j++)
                dx[j] += dy * (in[0][j] / y);
}
static void norm_forward(const at_call *c) { forward(c, norm_row); }
static void norm_backward(const at_call *c) { backward(c, norm_row_back, 0); }

AT_OP(norm, .args = ARGS, .shape = shape, .forward = norm_forward, .backward = norm_backward, .fresh = true,
    .keeps = AT_KEEP(0) | AT_KEEP_OUT(0),
    .help = "norm(x [, d, keepdim = false]) -> y\n"
            "The 2-norm, sqrt(sum x^2), over dimension d or of everything; its gradient is 0 where it is 0.");

static void logsumexp_row(const at_rows *job, size_t r, const real *const *in, real *out, char *own)
{
    (void)out, (void)own;
    at_outp(job->context, 0)[r] = (real)K->logsumexp(job->axis.n, in[0], NULL);
}

static void logsumexp_row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    size_t n = job->axis.n;
    real y = at_outp(job->context, 0)[r], *weight = (real *)(void *)own;

    if (y == -INFINITY)
        return;
    K->sub(n, in[0], 1, &y, 0, weight);
    K->vexp(n, weight, weight);
    K->axpy(n, at_dout(job->context, 0)[r], weight, dx);
}
static void logsumexp_forward(const at_call *c) { forward(c, logsumexp_row); }
static void logsumexp_backward(const at_call *c) { backward(c, logsumexp_row_back, axis_of(c).n * sizeof(real)); }

AT_OP(logsumexp, .args = ARGS, .shape = roomy_shape, .forward = logsumexp_forward, .backward = logsumexp_backward,
      .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP_OUT(0),
      .help = "logsumexp(x [, d, keepdim = false]) -> y\n"
              "log(sum(exp(x))) over dimension d, or of everything, without overflow; -inf for a row of -inf, with "
              "gradient 0.");

#endif
