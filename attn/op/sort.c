/*
 * sort: the elements along dimension d in order; topk: the k greatest of them.
 *
 *   y      values; ids the places they came from, from 1
 *   dx     dy put back at those places
 *
 * Both are stable: equal elements stay in the order of their places. NaN comes last, whichever the direction. sort
 * merges; topk keeps a heap of the k best so far, whose worst is on top, so most elements cost one comparison. int64
 * too.
 */
#include <string.h>

#include "attn/op/rows.h"

#define ARGS_KEEP .fresh = true, .outs = 2, .keeps = AT_KEEP_OUT(1)

#if AT_IS_INTEGER
static bool is_nan(real x) { return (void)x, false; }
#else
static bool is_nan(real x) { return x != x; }
#endif

typedef struct order {
    const real *x;
    bool descending;
} order;

/* Whether element i comes before element j: a total order. */
static bool before(const order *o, int64_t i, int64_t j)
{
    real a = o->x[i], b = o->x[j];

    if (a == b)
        return i < j;
    if (is_nan(a) || is_nan(b))
        return is_nan(a) && is_nan(b) ? i < j : is_nan(b);
    return o->descending ? a > b : a < b;
}

/* ---- sort ---- */

static size_t room(size_t n) { return 2 * n * sizeof(int64_t); }

static bool sort_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    at_axis a = at_along(x, c->arg[0].integer);
    at_want_scratch(c, at_rows_scratch(a, room(a.n)));
    return at_out(c, x->ndim, x->size) && at_out_type(c, AT_I64, x->ndim, x->size);
}

static int64_t *ids_of(const at_call *c) { return (int64_t *)(void *)c->out[1]->data; }

/* Bottom-up merging of runs, between two lists of places. */
static const int64_t *merge_sort(const order *o, size_t n, int64_t *a, int64_t *b)
{
    AT_PIECES(i, stop, n)
    for (; i < stop; i++)
        a[i] = (int64_t)i;
    for (size_t run = 1; run < n && !at_cut_short(); run *= 2) {
        size_t i = 0, middle = 0, j = 0, end = 0;
        AT_PIECES(k, stop, n)
        for (; k < stop; k++) {
            if (k == end) { /* the next two runs */
                i = k;
                j = middle = n - k < run ? n : k + run;
                end = n - middle < run ? n : middle + run;
            }
            b[k] = i < middle && (j >= end || before(o, a[i], a[j])) ? a[i++] : a[j++];
        }
        int64_t *other = a;
        a = b;
        b = other;
    }
    return a;
}

static void sort_row(const at_rows *job, size_t r, const real *const *in, real *y, char *own)
{
    const at_call *c = job->context;
    at_axis a = job->axis;
    int64_t *list = (int64_t *)(void *)own, *id = ids_of(c) + at_row_start(a, r);
    const int64_t *place = merge_sort(&(order){in[0], c->arg[1].flag}, a.n, list, list + a.n);

    /* a list that was left half made has places of any kind */
    if (at_cut_short())
        return;
    AT_PIECES(j, stop, a.n)
    for (; j < stop; j++) {
        y[j] = in[0][place[j]];
        id[j * a.step] = place[j] + 1;
    }
}

static void sort_forward(const at_call *c)
{
    at_axis a = at_along(c->in[0], c->arg[0].integer);
    at_run_rows(&(at_rows){
        .axis = a,
        .in = {at_in(c, 0)},
        .out = at_outp(c, 0),
        .mode = AT_ROW_WRITE,
        .fn = sort_row,
        .own_bytes = room(a.n),
        .context = c,
        .work = c->work});
}

/* ---- topk ---- */

static int64_t dimension(const at_call *c) { return c->arg[1].integer; }

static bool topk_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    int64_t k = c->arg[0].integer;
    size_t size[AT_MAX_DIM], d = (size_t)dimension(c);

    if (k < 0 || k > (int64_t)x->size[d])
        return at_fail(c, "k is %lld, expected 0..%zu (x: %s)", (long long)k, x->size[d], at_describe(x).text);
    memcpy(size, x->size, sizeof size);
    size[d] = (size_t)k;
    at_want_scratch(c, at_rows_scratch(at_along(x, dimension(c)), (size_t)k * sizeof(int64_t)));
    return at_out(c, x->ndim, size) && at_out_type(c, AT_I64, x->ndim, size);
}

/* The list is a heap: no element comes after the one above it. */
static void sink(const order *o, int64_t *heap, size_t i, size_t n)
{
    int64_t value = heap[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && before(o, heap[child], heap[child + 1]))
            child++;
        if (!before(o, value, heap[child]))
            break;
        heap[i] = heap[child];
    }
    heap[i] = value;
}

static void topk_row(const at_rows *job, size_t r, const real *const *in, real *out, char *own)
{
    const at_call *c = job->context;
    at_axis a = at_along(c->out[0], dimension(c));
    order o = {in[0], true};
    int64_t *heap = (int64_t *)(void *)own;
    size_t k = a.n, start = at_row_start(a, r);

    (void)out;
    for (size_t i = 0; i < k; i++)
        heap[i] = (int64_t)i;
    AT_PIECES(i, stop, k / 2)
    for (; i < stop; i++)
        sink(&o, heap, k / 2 - 1 - i, k);
    AT_PIECES(i, stop, job->axis.n - k)
    for (; i < stop; i++)
        if (before(&o, (int64_t)(k + i), heap[0])) {
            heap[0] = (int64_t)(k + i);
            sink(&o, heap, 0, k);
        }
    /* the worst goes last */
    AT_PIECES(i, stop, k)
    for (; i < stop; i++) {
        size_t j = k - 1 - i;
        int64_t place = heap[0];
        heap[0] = heap[j];
        sink(&o, heap, 0, j);
        at_outp(c, 0)[start + j * a.step] = in[0][place];
        ids_of(c)[start + j * a.step] = place + 1;
    }
}

static void topk_forward(const at_call *c)
{
    if (at_numel(c->out[0]) > 0)
        at_run_rows(&(at_rows){.axis = at_along(c->in[0], dimension(c)),
                               .in = {at_in(c, 0)},
                               .fn = topk_row,
                               .own_bytes = (size_t)c->arg[0].integer * sizeof(int64_t),
                               .context = c,
                               .work = c->work});
}

/* ---- backward of both ---- */

#if AT_IS_INTEGER
#define sort_backward NULL
#define topk_backward NULL
#else
typedef struct back {
    const at_call *c;
    at_axis out;
} back;

static void row_back(const at_rows *job, size_t r, const real *const *in, real *dx, char *own)
{
    const back *b = job->context;
    size_t start = at_row_start(b->out, r);

    (void)in, (void)own;
    AT_PIECES(j, stop, b->out.n)
    for (; j < stop; j++)
        dx[ids_of(b->c)[start + j * b->out.step] - 1] += at_dout(b->c, 0)[start + j * b->out.step];
}

static void both_backward(const at_call *c, int64_t d)
{
    back b = {c, at_along(c->out[0], d)};

    /* only the ids were used, or there are none */
    if (!at_dout(c, 0) || at_numel(c->out[0]) == 0) {
        if (at_is_fresh(c, 0))
            at_zero(at_din(c, 0), at_numel(c->in[0]) * sizeof(real));
        return;
    }
    at_run_rows(&(at_rows){.axis = at_along(c->in[0], d),
                           .out = at_din(c, 0),
                           .fn = row_back,
                           .context = &b,
                           .work = c->work,
                           .mode = at_is_fresh(c, 0) ? AT_ROW_FRESH : AT_ROW_ADD});
}

static void sort_backward(const at_call *c) { both_backward(c, c->arg[0].integer); }
static void topk_backward(const at_call *c) { both_backward(c, dimension(c)); }
#endif

AT_OP(sort,
      .args = {{"x", AT_FLOAT}, {"d", AT_DIM, .optional = true, .value = -1}, {"descending", AT_FLAG, .optional = true}},
      .shape = sort_shape, .forward = sort_forward, .backward = sort_backward, ARGS_KEEP,
      .help = "sort(x, d = -1, descending = false) -> values, ids (int64)\n"
              "The elements along dimension d in order, and the places they came from, from 1. Equal ones stay in "
              "order, NaN comes last. int64 too.");

AT_OP(topk, .args = {{"x", AT_FLOAT}, {"k", AT_INTEGER}, {"d", AT_DIM, .optional = true, .value = -1}},
      .shape = topk_shape, .forward = topk_forward, .backward = topk_backward, ARGS_KEEP,
      .help = "topk(x, k, d = -1) -> values, ids (int64)\n"
              "The k greatest elements along dimension d, greatest first, and their places, from 1. Among equal ones "
              "the first come first; NaN counts as least. int64 too.");
