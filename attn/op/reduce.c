/*
 * Reductions over dimension d, several dimensions, or everything: sum mean max min argmax argmin prod var std norm
 * logsumexp.
 *
 *   x    any shape; y without the dimensions d (of size 1 with keepdim); without d no dimensions
 *   mask bool, broadcasts to x: what it leaves out takes no part and has no gradient. Of a row with nothing left sum,
 *        mean, max and min are 0 (its place 0), logsumexp -inf
 *   sum, mean    dx = dy (/ n)
 *   max, min     dx = dy at the first place that has the value; with one d the places are the second result
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

#include "attn/op/masked.h"
#include "attn/op/rows.h"
#include "attn/op/sum.h"
#include "attn/kernel/map.h"
#include "attn/kernel/reduce.h"
#include "attn/kernel/softmax.h"

/* The dimensions that are gone, a set, once `begin` has made them neighbours. */
static bool all_gone(const at_call *c) { return !(c->given & 1); }
static bool is_gone(const at_call *c, size_t d) { return all_gone(c) || c->arg[0].integer >> d & 1; }
static bool one_gone(const at_call *c) { return !all_gone(c) && (c->arg[0].integer & (c->arg[0].integer - 1)) == 0; }

static at_axis axis_of(const at_call *c)
{
    const at_tensor *x = c->in[0];
    at_axis a = {.rows = 1, .n = 1, .step = 1};
    bool behind = false;

    if (all_gone(c))
        return (at_axis){.rows = 1, .n = at_numel(x), .step = 1};
    for (size_t d = 0; d < x->ndim; d++)
        if (is_gone(c, d)) {
            a.n *= x->size[d];
            behind = true;
        } else {
            a.rows *= x->size[d];
            a.step *= behind ? x->size[d] : 1;
        }
    if (a.step == 0)
        a.step = 1;
    return a;
}

/* Sizes of the result. */
typedef struct result {
    size_t ndim, size[AT_MAX_DIM];
} result;

static bool out_of(at_call *c, const result *y, at_dtype dtype) { return at_out_type(c, dtype, y->ndim, y->size); }

/* Dimensions that are gone and no neighbours go to the end: x in a copy, the mask in a view. */
static bool bring_together(at_call *c, int64_t set)
{
    int64_t order[AT_MAX_DIM], last = 0;
    int n = 0;

    for (int gone = 0; gone < 2; gone++)
        for (int d = 0; d < c->in[0]->ndim; d++)
            if ((int)(set >> d & 1) == gone) {
                last |= gone ? (int64_t)1 << n : 0;
                order[n++] = d + 1;
            }
    c->arg[0].integer = last;
    return at_reorder(c, n, order);
}

/* Before anything else: the sizes of y from the arguments as they came, then x as it is reduced. fill: the number that changes nothing. */
static bool begin(at_call *c, double fill, result *y)
{
    bool keep = c->arg[1].flag;
    int64_t set = c->arg[0].integer, low = set & -set;

    *y = (result){0};
    for (size_t d = 0; d < c->in[0]->ndim; d++)
        if (!is_gone(c, d) || keep)
            y->size[y->ndim++] = is_gone(c, d) ? 1 : c->in[0]->size[d];
    bool masked = at_is_masked(c);
    return (!masked || at_spread_mask(c)) && (all_gone(c) || ((set + low) & set) == 0 || bring_together(c, set)) &&
           (!masked || at_fill_masked(c, fill));
}

#define ARGS                                                                                                           \
    {                                                                                                                  \
        {"x", AT_FLOAT}, {"d", AT_DIMS, .optional = true}, { "keepdim", AT_FLAG, .optional = true }                    \
    }
#define MASKED_ARGS                                                                                                    \
    {                                                                                                                  \
        {"x", AT_FLOAT}, {"d", AT_DIMS, .optional = true}, {"keepdim", AT_FLAG, .optional = true},                     \
        {                                                                                                              \
            "mask", AT_MASK, .option = true                                                                            \
        }                                                                                                              \
    }
#define DIMS "d: a dimension or a table of them. "
#define MASK "What the mask (bool, broadcast to x) leaves out takes no part and has no gradient"

/* How many elements of each row the mask leaves, into saved[0]. */
static bool count_left(at_call *c)
{
    at_axis a = axis_of(c);
    at_tensor *left = at_masked_numbers(c, AT_REAL_DTYPE, 1, 0);
    bool ok = left && at_save(c, AT_REAL_DTYPE, a.rows);

    if (ok && a.rows > 0) {
        at_zero(at_savedp(c, 0), a.rows * sizeof(real));
        at_sum_into(at_savedp(c, 0), (const real *)(const void *)left->data, 3,
                    (size_t[]){a.rows / a.step, a.n, a.step}, (bool[]){false, true, false});
    }
    at_release(left);
    return ok && at_uninterrupted(c->error);
}

/* ---- sum ---- */

static bool sum_shape(at_call *c)
{
    result y;
    return begin(c, 0, &y) && out_of(c, &y, at_call_dtype(c));
}

static void sum_forward(const at_call *c)
{
    const at_tensor *x = c->in[0];
    bool reduced[AT_MAX_DIM];

    for (size_t d = 0; d < x->ndim; d++)
        reduced[d] = is_gone(c, d);
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

static void divide_rows(size_t begin, size_t end, void *context)
{
    const spread *s = context;
    for (size_t r = begin; r < end; r++)
        s->dx[r] = s->dy[r] / (s->dx[r] > 0 ? s->dx[r] : 1);
}

/* A slab: the `step` elements that share their place along the dimension; with step 1 a whole row. */
static void spread_rows(size_t begin, size_t end, void *context)
{
    const spread *s = context;
    at_axis a = s->axis;

    for (size_t r = begin; r < end; r++)
        if (a.step == 1) {
            real value = s->scale * s->dy[r], *dx = s->dx + r * a.n;
            AT_PIECES(i, stop, a.n)
            {
                if (s->write)
                    K->map->fill(stop - i, value, dx + i);
                else
                    K->map->add(stop - i, dx + i, 1, &value, 0, dx + i);
                i = stop;
            }
        } else if (s->write) {
            K->map->scale(a.step, s->scale, s->dy + r / a.n * a.step, s->dx + r * a.step);
        } else {
            K->map->axpy(a.step, s->scale, s->dy + r / a.n * a.step, s->dx + r * a.step);
        }
}

/* left: divisors of the rows, which the quotients take the place of; NULL: none. */
static void spread_gradient(const at_call *c, real *left, real scale)
{
    at_axis a = axis_of(c);
    spread s = {a, at_dout(c, 0), at_din(c, 0), scale, at_is_fresh(c, 0)};

    if (a.rows * a.n == 0)
        return;
    if (left) {
        at_for(a.rows, AT_GRAIN, divide_rows, &(spread){.axis = a, .dy = s.dy, .dx = left});
        s.dy = left;
    }
    if (a.step == 1)
        at_for(a.rows, at_grain_rows(a.n), spread_rows, &s);
    else
        at_for(a.rows / a.step * a.n, at_grain_rows(a.step), spread_rows, &s);
}

static void sum_backward(const at_call *c) { spread_gradient(c, NULL, 1); }
#endif

AT_OP(sum, .args = MASKED_ARGS, .shape = sum_shape, .forward = sum_forward, .backward = sum_backward, .fresh = true,
      .keeps = AT_KEEP_NOTHING,
      .help = "sum(x [, d, keepdim = false, {mask =}]) -> y\n"
              "The sum over dimension d, or of everything. int64 too; of a bool tensor the number of true elements "
              "(int64).\n" DIMS MASK "; of nothing the sum is 0.");

/* ---- max, min ---- */

typedef struct places {
    const at_call *c;
    at_axis axis;
    real *value;      /* NULL: places only */
    int64_t *id;      /* from 1; 0: the row has nothing */
    const real *left; /* elements that the mask leaves in each row; NULL: all */
    bool least;
} places;

enum { SHORT = 64 }; /* elements of rows that a plain loop is best for */

#if AT_IS_INTEGER
static bool is_nan(real x) { return (void)x, false; }
#else
static bool is_nan(real x) { return x != x; }
#endif

/* The place of the first extreme element; a NaN is more than any. Without branches: which is greater is not predictable. */
static inline size_t extreme(const real *x, size_t n, size_t step, bool least)
{
    size_t best = 0;
    real value = x[0];
    bool nan = is_nan(value);

    for (size_t j = 1; j < n; j++) {
        real v = x[j * step];
        value = (least ? v < value : v > value) ? v : value;
        nan |= is_nan(v);
    }
    if (nan) {
        while (!is_nan(x[best * step]))
            best++;
        return best;
    }
    for (size_t j = n; j-- > 0;)
        best = x[j * step] == value ? j : best;
    return best;
}

/* The same with vectors, of elements side by side. */
static size_t long_extreme(const real *x, size_t n, bool least)
{
#if AT_IS_INTEGER
    size_t best = 0;
    AT_PIECES(j, stop, n)
    for (; j < stop; j++)
        if (least ? x[j] < x[best] : x[j] > x[best])
            best = j;
    return best;
#else
    size_t best = 0;
    real value = least ? K->reduce->min(n, x) : K->reduce->max(n, x);

    if (isnan(value))
        while (!isnan(x[best]))
            best++;
    else
        while (x[best] != value)
            best++;
    return best;
#endif
}

/* Whether the mask leaves the element at this place of a contiguous x. */
static bool is_left(const at_tensor *mask, size_t place)
{
    ptrdiff_t at = 0;
    for (size_t d = mask->ndim; d-- > 0; place /= mask->size[d])
        at += (ptrdiff_t)(place % mask->size[d]) * mask->step[d];
    return mask->data[at] != 0;
}

/* start: place of the row's first element. */
static inline void note(const places *p, size_t r, size_t start, size_t best)
{
    size_t step = p->axis.step;
    const real *x = at_in(p->c, 0) + start;
    bool none = p->left && p->left[r] == 0;

    /* what was left out holds the least that there is, and so may the rest */
    if (p->left && !none && !is_left(p->c->in[1], start + best * step))
        for (best = 0; !is_left(p->c->in[1], start + best * step);)
            best++;
    if (p->value)
        p->value[r] = none ? 0 : x[best * step];
    p->id[r] = none ? 0 : (int64_t)best + 1;
}

/* One of the two conditions for all of a block of rows, and no division for each of them. */
static inline void short_run(const places *p, size_t begin, size_t end, size_t n, bool least)
{
    size_t step = p->axis.step, column = begin % step, start = at_row_start(p->axis, begin);

    for (size_t r = begin; r < end; r++) {
        note(p, r, start, extreme(at_in(p->c, 0) + start, n, step, least));
        start++;
        if (++column == step) {
            column = 0;
            start += step * (n - 1);
        }
    }
}

static void short_places(size_t begin, size_t end, void *context)
{
    const places *p = context;
    if (p->least)
        short_run(p, begin, end, p->axis.n, true);
    else if (p->axis.n == 2)
        short_run(p, begin, end, 2, false);
    else
        short_run(p, begin, end, p->axis.n, false);
}

static void place_row(const at_rows *job, size_t r, const real *const *in, real *out, char *own)
{
    const places *p = job->context;
    (void)out, (void)own;
    note(p, r, at_row_start(job->axis, r), long_extreme(in[0], job->axis.n, p->least));
}

static void find_places(const at_call *c, bool least, real *value, int64_t *id)
{
    at_axis a = axis_of(c);
    places p = {c, a, value, id, at_is_masked(c) ? at_savedp(c, 0) : NULL, least};
    if (a.n <= SHORT)
        at_for(a.rows, at_grain_rows(a.n), short_places, &p);
    else
        at_run_rows(&(at_rows){.axis = a, .in = {at_in(c, 0)}, .fn = place_row, .context = &p, .work = c->work});
}

static bool not_empty(at_call *c)
{
    at_axis a = axis_of(c);
    at_want_scratch(c, at_rows_scratch(a, 0));
    return a.n > 0 || at_fail(c, "x has no elements to choose from (x: %s)", at_describe(c->in[0]).text);
}

/* The places are the second result, or, behind the counts, saved for the backward pass. */
static bool extreme_shape(at_call *c, double fill)
{
    result y;
    bool single = one_gone(c);

    if (!not_empty(c) || !begin(c, fill, &y) || (at_is_masked(c) && !count_left(c)) || !out_of(c, &y, at_call_dtype(c)))
        return false;
    at_want_scratch(c, at_rows_scratch(axis_of(c), 0));
    return single ? out_of(c, &y, AT_I64) : at_save(c, AT_I64, axis_of(c).rows);
}

static bool max_shape(at_call *c) { return extreme_shape(c, -INFINITY); }
static bool min_shape(at_call *c) { return extreme_shape(c, INFINITY); }

static int64_t *found_at(const at_call *c)
{
    return (int64_t *)(void *)(c->n_out > 1 ? c->out[1] : c->saved[c->n_saved - 1])->data;
}

static void max_forward(const at_call *c) { find_places(c, false, at_outp(c, 0), found_at(c)); }
static void min_forward(const at_call *c) { find_places(c, true, at_outp(c, 0), found_at(c)); }

#if AT_IS_INTEGER
#define extreme_backward NULL
#else
static void extreme_rows_back(size_t begin, size_t end, void *context)
{
    const places *p = context;
    at_axis a = p->axis;

    for (size_t r = begin; r < end && !at_cut_short(); r++)
        if (p->id[r] > 0)
            at_din(p->c, 0)[at_row_start(a, r) + (size_t)(p->id[r] - 1) * a.step] += at_dout(p->c, 0)[r];
}

static void extreme_backward(const at_call *c)
{
    if (at_is_fresh(c, 0))
        at_zero(at_din(c, 0), at_numel(c->in[0]) * sizeof(real));
    if (at_dout(c, 0))
        at_for(axis_of(c).rows, AT_GRAIN, extreme_rows_back, &(places){.c = c, .axis = axis_of(c), .id = found_at(c)});
}
#endif

AT_OP(max, .args = MASKED_ARGS, .shape = max_shape, .forward = max_forward, .backward = extreme_backward, .outs = 2,
      .fresh = true, .keeps = AT_KEEP_OUT(1),
      .help =
          "max(x) -> y; max(x, d, keepdim = false, {mask =}) -> values, ids\n"
          "The greatest of all elements; or of each row along dimension d, with its place (int64, from 1, the first of "
          "equal ones). NaN if there is one. The gradient goes to that place. int64 too.\n"
          "Over a table of dimensions values only. " MASK "; of nothing the value is\n"
          "0, its place 0.");
AT_OP(min, .args = MASKED_ARGS, .shape = min_shape, .forward = min_forward, .backward = extreme_backward, .outs = 2,
      .fresh = true, .keeps = AT_KEEP_OUT(1),
      .help =
          "min(x) -> y; min(x, d, keepdim = false, {mask =}) -> values, ids\n"
          "The least of all elements; or of each row along dimension d, with its place (int64, from 1, the first of "
          "equal ones). NaN if there is one. The gradient goes to that place. int64 too.\n"
          "Over a table of dimensions values only. " MASK "; of nothing the value is\n"
          "0, its place 0.");

static bool place_shape(at_call *c)
{
    result y;
    if (!all_gone(c) && !one_gone(c))
        return at_fail(c, "d names several dimensions, expected one (x: %s)", at_describe(c->in[0]).text);
    return not_empty(c) && begin(c, 0, &y) && out_of(c, &y, AT_I64);
}
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

static bool mean_shape(at_call *c)
{
    result y;
    return begin(c, 0, &y) && (!at_is_masked(c) || count_left(c)) && out_of(c, &y, at_call_dtype(c));
}

static void mean_forward(const at_call *c)
{
    size_t n = axis_of(c).n, count = at_numel(c->out[0]);
    real *y = at_outp(c, 0);

    sum_forward(c);
    if (at_is_masked(c)) {
        const real *left = at_savedp(c, 0);
        AT_PIECES(r, end, count)
        for (; r < end; r++)
            y[r] /= left[r] > 0 ? left[r] : 1;
        return;
    }
    AT_PIECES(r, end, count)
    for (; r < end; r++)
        y[r] /= (real)n;
}

/* n of each row where there is a mask: what is left out gets the same, which the mask then drops. */
static void mean_backward(const at_call *c)
{
    if (c->n_saved == 0) {
        spread_gradient(c, NULL, 1 / (real)axis_of(c).n);
        return;
    }
    spread_gradient(c, at_savedp(c, 0), 1);
}

AT_OP(
    mean, .args = MASKED_ARGS, .shape = mean_shape, .forward = mean_forward, .backward = mean_backward, .fresh = true,
    .keeps = AT_KEEP_NOTHING,
    .help =
        "mean(x [, d, keepdim = false, {mask =}]) -> y\nThe arithmetic mean over dimension d, or of everything.\n" DIMS
            MASK "; of nothing left the mean is 0.");

/* ---- what works row by row: a number from a row, and the gradient of the row ---- */

typedef void row_fn(const at_rows *job, size_t r, const real *const *in, real *out, char *own);

static void reduce_forward(const at_call *c, row_fn *fn)
{
    at_run_rows(&(at_rows){.axis = axis_of(c), .in = {at_in(c, 0)}, .fn = fn, .context = c, .work = c->work});
}

static void reduce_backward(const at_call *c, row_fn *fn, size_t own_bytes)
{
    at_run_rows(&(at_rows){
        .axis = axis_of(c),
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
    result y;
    if (!begin(c, -INFINITY, &y))
        return false;
    at_want_scratch(c, at_rows_scratch(axis_of(c), 0));
    return out_of(c, &y, at_call_dtype(c));
}

/* With room for one more row in the backward pass. */
static bool roomy_shape(at_call *c)
{
    result y;
    if (!begin(c, -INFINITY, &y))
        return false;
    at_axis a = axis_of(c);
    at_want_scratch(c, at_rows_scratch(a, at_recording(c) ? a.n * sizeof(real) : 0));
    return out_of(c, &y, at_call_dtype(c));
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
static void prod_forward(const at_call *c) { reduce_forward(c, prod_row); }
static void prod_backward(const at_call *c) { reduce_backward(c, prod_row_back, axis_of(c).n * sizeof(real)); }

AT_OP(prod, .args = ARGS, .shape = roomy_shape, .forward = prod_forward, .backward = prod_backward, .fresh = true,
      .keeps = AT_KEEP(0),
      .help = "prod(x [, d, keepdim = false]) -> y\nThe product over dimension d, or of everything.");

/* sum_j x_j - mean, or of its square; four sums at once, as one would wait for each addition. */
static double deviation(size_t n, const real *x, double mean, bool squared)
{
    double a = 0, b = 0, c = 0, d = 0;

    AT_PIECES(j, stop, n)
    {
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
    double mean = K->reduce->sum(n, x) / (double)n;
    return mean + deviation(n, x, mean, false) / (double)n;
}

static double variance(size_t n, const real *x) { return deviation(n, x, row_mean(n, x), true) / ((double)n - 1); }

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
static void var_forward(const at_call *c) { reduce_forward(c, var_row); }
static void var_backward(const at_call *c) { reduce_backward(c, var_row_back, 0); }

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
static void std_forward(const at_call *c) { reduce_forward(c, std_row); }
static void std_backward(const at_call *c) { reduce_backward(c, std_row_back, 0); }

AT_OP(
    std, .args = ARGS, .shape = shape, .forward = std_forward, .backward = std_backward, .fresh = true,
    .keeps = AT_KEEP(0) | AT_KEEP_OUT(0),
    .help =
        "std(x [, d, keepdim = false]) -> y\n"
        "The standard deviation over dimension d, or of everything, with divisor n - 1; NaN for a single element. Its "
        "gradient is 0 where it is 0.");

static void norm_row(const at_rows *job, size_t r, const real *const *in, real *out, char *own)
{
    size_t n = job->axis.n;
    const real *x = in[0];
    double s = K->reduce->sumsq(n, x), y = sqrt(s);

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
static void norm_forward(const at_call *c) { reduce_forward(c, norm_row); }
static void norm_backward(const at_call *c) { reduce_backward(c, norm_row_back, 0); }

AT_OP(norm, .args = ARGS, .shape = shape, .forward = norm_forward, .backward = norm_backward, .fresh = true,
      .keeps = AT_KEEP(0) | AT_KEEP_OUT(0),
      .help = "norm(x [, d, keepdim = false]) -> y\n"
              "The 2-norm, sqrt(sum x^2), over dimension d or of everything; its gradient is 0 where it is 0.");

static void logsumexp_row(const at_rows *job, size_t r, const real *const *in, real *out, char *own)
{
    (void)out, (void)own;
    at_outp(job->context, 0)[r] = (real)K->softmax->logsumexp(job->axis.n, in[0], NULL);
}

static void logsumexp_row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    size_t n = job->axis.n;
    real y = at_outp(job->context, 0)[r], *weight = (real *)(void *)own;

    if (y == -INFINITY)
        return;
    K->map->sub(n, in[0], 1, &y, 0, weight);
    K->map->vexp(n, weight, weight);
    K->map->axpy(n, at_dout(job->context, 0)[r], weight, dx);
}
static void logsumexp_forward(const at_call *c) { reduce_forward(c, logsumexp_row); }
static void logsumexp_backward(const at_call *c)
{
    reduce_backward(c, logsumexp_row_back, axis_of(c).n * sizeof(real));
}

AT_OP(logsumexp, .args = MASKED_ARGS, .shape = roomy_shape, .forward = logsumexp_forward,
      .backward = logsumexp_backward, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP_OUT(0),
      .help = "logsumexp(x [, d, keepdim = false, {mask =}]) -> y\n"
              "log(sum(exp(x))) over dimension d, or of everything, without overflow; -inf for a row of -inf, with "
              "gradient 0.\n" DIMS MASK "; of nothing it is -inf.");

#endif
