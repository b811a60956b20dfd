/*
 * Along dimension d, each element from those up to it: cumsum, cumprod, logcumsumexp; and back again: diff.
 *
 *   cumsum         y_j = x_1 + ... + x_j            dx_j = dy_j + ... + dy_n
 *   cumprod        y_j = x_1 ... x_j                dx_j = y_(j-1) s_j, s_j = dy_j + x_(j+1) s_(j+1)
 *   logcumsumexp   y_j = log(e^x_1 + ... + e^x_j)   dx_j = exp(x_j - y_j) s_j, s_j = dy_j + exp(y_j - y_(j+1)) s_(j+1)
 *   diff           y_j = x_(j+1) - x_j              dx_j = dy_(j-1) - dy_j
 *
 * Sums run in double (int64 wraps around), from the first element on. The gradient of cumprod divides by nothing, so zeros
 * are nothing special to it; no exponent of logcumsumexp is above 0, and where y is -inf there is no gradient, but that
 * y_1 is x_1 itself.
 */
#include <tgmath.h>

#include "attn/op/rows.h"
#include "attn/kernel/map.h"

#if AT_IS_INTEGER
typedef uint64_t total;
#else
typedef double total;
#endif

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    at_want_scratch(c, at_rows_scratch(at_along(x, c->arg[0].integer), 0));
    return at_out(c, x->ndim, x->size);
}

typedef void row_fn(const at_rows *job, size_t r, const real *const *in, real *out, char *own);

static void cumulative_forward(const at_call *c, row_fn *row)
{
    at_run_rows(&(at_rows){.axis = at_along(c->in[0], c->arg[0].integer),
                           .in = {at_in(c, 0)},
                           .out = at_outp(c, 0),
                           .mode = AT_ROW_WRITE,
                           .fn = row,
                           .work = c->work});
}

static void sum_row(const at_rows *job, size_t r, const real *const *in, real *y, char *own)
{
    total sum = 0;

    (void)r, (void)own;
    AT_PIECES(j, stop, job->axis.n)
    for (; j < stop; j++)
        y[j] = (real)(sum += (total)in[0][j]);
}

static void product_row(const at_rows *job, size_t r, const real *const *in, real *y, char *own)
{
    total product = 1;

    (void)r, (void)own;
    AT_PIECES(j, stop, job->axis.n)
    for (; j < stop; j++)
        y[j] = (real)(product *= (total)in[0][j]);
}

static void cumsum_forward(const at_call *c) { cumulative_forward(c, sum_row); }
static void cumprod_forward(const at_call *c) { cumulative_forward(c, product_row); }

/* ---- diff: a row of whole slices ---- */

static bool diff_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t size[AT_MAX_DIM], d = (size_t)c->arg[0].integer;

    memcpy(size, x->size, sizeof size);
    size[d] -= size[d] > 0;
    return at_out(c, x->ndim, size);
}

typedef struct slices {
    const real *x, *dy;
    real *y, *dx;
    size_t n, step; /* elements of y that follow one another; x has a slice of `step` more */
} slices;

static void diff_block(size_t begin, size_t end, void *context)
{
    const slices *s = context;

    for (size_t o = begin; o < end; o++)
        AT_PIECES(i, stop, s->n)
        {
            const real *x = s->x + o * (s->n + s->step);
            real *y = s->y + o * s->n;
#if AT_IS_INTEGER
            for (; i < stop; i++)
                y[i] = (real)((total)x[i + s->step] - (total)x[i]);
#else
            K->map->sub(stop - i, x + i + s->step, 1, x + i, 1, y + i);
            i = stop;
#endif
        }
}

/* Over the places of the dimensions before d. */
static void each_outer(const at_call *c, slices s, void (*fn)(size_t, size_t, void *))
{
    const at_tensor *y = c->out[0];
    at_axis a = at_along(y, c->arg[0].integer);

    s.n = a.n * a.step;
    s.step = a.step;
    if (at_numel(y) > 0)
        at_for(a.rows / a.step, at_grain_rows(s.n), fn, &s);
}

static void diff_forward(const at_call *c)
{
    each_outer(c, (slices){.x = at_in(c, 0), .y = at_outp(c, 0)}, diff_block);
}

#if AT_IS_INTEGER
#define cumsum_backward NULL
#define cumprod_backward NULL
#define diff_backward NULL
#else
static void sum_row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    total sum = 0;

    (void)r, (void)own;
    AT_PIECES(i, stop, job->axis.n)
    for (; i < stop; i++) {
        size_t j = job->axis.n - 1 - i;
        dx[j] += (real)(sum += in[0][j]);
    }
}

/* in: dy, x, y */
static void product_row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    size_t n = job->axis.n;
    const real *dy = in[0], *x = in[1], *y = in[2];
    total s = 0;

    (void)r, (void)own;
    AT_PIECES(i, stop, n)
    for (; i < stop; i++) {
        size_t j = n - 1 - i;
        s = dy[j] + (i > 0 ? x[j + 1] * s : 0);
        dx[j] += (real)((j > 0 ? (total)y[j - 1] : 1) * s);
    }
}

/* in: dy, and what the row asks for; y may be gone */
static void cumulative_backward(const at_call *c, bool all, row_fn *row)
{
    at_run_rows(&(at_rows){.axis = at_along(c->in[0], c->arg[0].integer),
                           .in = {at_dout(c, 0), all ? at_in(c, 0) : NULL, all ? at_outp(c, 0) : NULL},
                           .out = at_din(c, 0),
                           .mode = at_is_fresh(c, 0) ? AT_ROW_FRESH : AT_ROW_ADD,
                           .fn = row,
                           .work = c->work});
}

static void cumsum_backward(const at_call *c) { cumulative_backward(c, false, sum_row_back); }
static void cumprod_backward(const at_call *c) { cumulative_backward(c, true, product_row_back); }

static void diff_block_back(size_t begin, size_t end, void *context)
{
    const slices *s = context;

    for (size_t o = begin; o < end; o++)
        AT_PIECES(i, stop, s->n)
        {
            const real *dy = s->dy + o * s->n;
            real *dx = s->dx + o * (s->n + s->step);
            K->map->axpy(stop - i, -1, dy + i, dx + i);
            K->map->acc(stop - i, dy + i, dx + i + s->step);
            i = stop;
        }
}

static void diff_backward(const at_call *c)
{
    if (at_is_fresh(c, 0))
        at_zero(at_din(c, 0), at_numel(c->in[0]) * sizeof(real));
    each_outer(c, (slices){.dy = at_dout(c, 0), .dx = at_din(c, 0)}, diff_block_back);
}

/* sum: of exp(x - max) so far, 0 before the first finite element */
static void log_row(const at_rows *job, size_t r, const real *const *in, real *y, char *own)
{
    double max = -INFINITY, sum = 0;

    (void)r, (void)own;
    AT_PIECES(j, stop, job->axis.n)
    for (; j < stop; j++) {
        double x = in[0][j];
        if (x > max) {
            sum = (sum == 0 ? 0 : sum * exp(max - x)) + 1;
            max = x;
        } else if (x == max) {
            sum += max != -INFINITY;
        } else {
            sum += exp(x - max);
        }
        y[j] = (real)(sum == 0 ? -INFINITY : max + log(sum));
    }
}

/* 1 where both are infinite */
static double ratio(double below, double above) { return below == above ? 1 : exp(below - above); }

static void log_row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    size_t n = job->axis.n;
    const real *dy = in[0], *x = in[1], *y = in[2];
    double s = 0;

    (void)r, (void)own;
    AT_PIECES(i, stop, n)
    for (; i < stop; i++) {
        size_t j = n - 1 - i;
        if (y[j] == -(real)INFINITY) {
            dx[0] += dy[0]; /* all before is -inf too, and the first y is x itself */
            return;
        }
        s = dy[j] + (i > 0 ? s * ratio(y[j], y[j + 1]) : 0);
        dx[j] += (real)(s * ratio(x[j], y[j]));
    }
}

static void logcumsumexp_forward(const at_call *c) { cumulative_forward(c, log_row); }
static void logcumsumexp_backward(const at_call *c) { cumulative_backward(c, true, log_row_back); }

AT_OP(logcumsumexp, .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}}, .shape = shape,
      .forward = logcumsumexp_forward, .backward = logcumsumexp_backward, .fresh = true,
      .keeps = AT_KEEP(0) | AT_KEEP_OUT(0),
      .help = "logcumsumexp(x, d = -1) -> y like x\n"
              "log of the sum of exp(x) up to each element along dimension d, without overflow; -inf, with gradient 0, "
              "until the "
              "first finite element (the first of all is x itself, and hands on its own gradient).");
#endif

AT_OP(cumsum, .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}}, .shape = shape,
      .forward = cumsum_forward, .backward = cumsum_backward, .fresh = true, .keeps = AT_KEEP_NOTHING,
      .help = "cumsum(x, d = -1) -> y like x\nSums of the elements up to each along dimension d. int64 too.");

AT_OP(cumprod, .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}}, .shape = shape,
      .forward = cumprod_forward, .backward = cumprod_backward, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP_OUT(0),
      .help = "cumprod(x, d = -1) -> y like x\n"
              "Products of the elements up to each along dimension d; the gradient is right where there are zeros too. "
              "int64 too.");

AT_OP(diff, .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}}, .shape = diff_shape,
      .forward = diff_forward, .backward = diff_backward, .fresh = true, .keeps = AT_KEEP_NOTHING,
      .help = "diff(x, d = -1) -> y, one entry less along dimension d\nEach element's successor minus the element. "
              "int64 too.");
