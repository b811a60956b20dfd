/*
 * multinomial: ids drawn with probabilities proportional to p. No gradient.
 *
 *   p     [..., N], at least 0; every row has a sum above 0
 *   ids   [..., count], int64 from 1
 *
 * With replacement a draw is the first place where the sum of p so far exceeds u times the whole. Without, the ids are the
 * places with the least log(-log u) - log p, least first (Efraimidis and Spirakis 2006): the same as drawing one after the
 * other from those that are left. Every u is a function of its number in the stream that shape reserves.
 */
#include <math.h>

#include "attn/core/random.h"
#include "attn/op/rows.h"

enum { COUNT, REPLACEMENT };

static size_t row_length(const at_call *c) { return c->in[0]->size[c->in[0]->ndim - 1]; }

static bool replaces(const at_call *c) { return c->arg[REPLACEMENT].flag; }

/* Rows can be drawn from: no NaN, infinity or negative number, enough that are above 0. */
static bool check_rows(at_call *c)
{
    const at_tensor *p = c->in[0];
    size_t n = row_length(c), rows = n ? at_numel(p) / n : 0;
    int64_t count = c->arg[COUNT].integer, least = replaces(c) ? count > 0 : count;
    const real *x = at_in(c, 0);

    for (size_t r = 0; r < rows; r++, x += n) {
        int64_t present = 0;
        double sum = 0;
        AT_PIECES(i, end, n)
        for (; i < end; i++) {
            if (!(x[i] >= 0 && x[i] < (real)INFINITY))
                return at_fail(c, "p holds %g, expected finite numbers of at least 0 (p: %s)", (double)x[i],
                               at_describe(p).text);
            present += x[i] > 0;
            sum += x[i];
        }
        if (!at_uninterrupted(c->error))
            return false;
        if (present < least)
            return at_fail(c, "row %zu of p has %lld numbers above 0, expected at least %lld (p: %s)", r + 1,
                           (long long)present, (long long)least, at_describe(p).text);
        if (!(sum < (double)INFINITY))
            return at_fail(c, "row %zu of p has an infinite sum (p: %s)", r + 1, at_describe(p).text);
    }
    return true;
}

static bool shape(at_call *c)
{
    const at_tensor *p = c->in[0];
    size_t size[AT_MAX_DIM], n, rows = 1;
    int64_t count = c->arg[COUNT].integer;

    if (p->ndim == 0)
        return at_fail(c, "p is a scalar, expected at least 1 dimension (p: %s)", at_describe(p).text);
    if (count < 0)
        return at_fail(c, "count is %lld, expected at least 0", (long long)count);
    n = row_length(c);
    for (size_t d = 0; d + 1 < p->ndim; d++)
        rows *= size[d] = p->size[d];
    if (rows > 0 && (n == 0 || (!replaces(c) && (uint64_t)count > n)) && count > 0)
        return at_fail(c, "count is %lld, but p has rows of %zu (p: %s)", (long long)count, n, at_describe(p).text);
    if (!check_rows(c))
        return false;
    size[p->ndim - 1] = (size_t)count;
    if (!at_out_type(c, AT_I64, p->ndim, size))
        return false;
    at_want_scratch(c, at_rows_scratch(at_along(p, p->ndim - 1), 2 * n * sizeof(double)));
    /* two words of the stream for each u */
    c->random = at_random_reserve(2 * (replaces(c) ? rows * (size_t)count : rows * n));
    return true;
}

/* in [0, 1) */
static double uniform(const at_call *c, size_t i)
{
    uint64_t low = at_random_bits(c->random, 2 * i), high = at_random_bits(c->random, 2 * i + 1);
    return (double)((high << 32 | low) >> 11) * 0x1p-53;
}

static void again_row(const at_rows *job, size_t r, const real *const *in, real *out, char *own)
{
    const at_call *c = job->context;
    size_t n = job->axis.n, count = (size_t)c->arg[COUNT].integer, last = 0;
    int64_t *ids = (int64_t *)(void *)c->out[0]->data + r * count;
    double *sum = (double *)(void *)own, total = 0;

    (void)out;
    AT_PIECES(i, end, n)
    for (; i < end; i++) {
        sum[i] = total += in[0][i];
        if (in[0][i] > 0)
            last = i;
    }
    AT_PIECES(k, end, count)
    for (; k < end; k++) {
        double at = uniform(c, r * count + k) * total;
        size_t low = 0, high = last; /* the first place whose sum exceeds `at` is among them */
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (sum[middle] > at)
                high = middle;
            else
                low = middle + 1;
        }
        ids[k] = (int64_t)low + 1;
    }
}

/* ---- a heap with the least key on top ---- */

typedef struct entry {
    double key;
    size_t place;
} entry;

static bool before(entry a, entry b) { return a.key < b.key || (a.key == b.key && a.place < b.place); }

static void sink(entry *heap, size_t n, size_t at)
{
    entry e = heap[at];

    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        child += child + 1 < n && before(heap[child + 1], heap[child]);
        if (!before(heap[child], e))
            break;
        heap[at] = heap[child];
    }
    heap[at] = e;
}

static void once_row(const at_rows *job, size_t r, const real *const *in, real *out, char *own)
{
    const at_call *c = job->context;
    size_t n = job->axis.n, count = (size_t)c->arg[COUNT].integer, left = 0;
    int64_t *ids = (int64_t *)(void *)c->out[0]->data + r * count;
    entry *heap = (entry *)(void *)own;

    (void)out;
    AT_PIECES(i, end, n)
    for (; i < end; i++)
        if (in[0][i] > 0)
            heap[left++] = (entry){log(-log(uniform(c, r * n + i) + 0x1p-53)) - log((double)in[0][i]), i};
    AT_PIECES(i, end, left / 2)
    for (; i < end; i++)
        sink(heap, left, left / 2 - 1 - i);
    AT_PIECES(k, end, count)
    for (; k < end && left > 0; k++) {
        ids[k] = (int64_t)heap[0].place + 1;
        heap[0] = heap[--left];
        sink(heap, left, 0);
    }
}

static void multinomial_forward(const at_call *c)
{
    size_t n = row_length(c);

    if (at_numel(c->out[0]) > 0)
        at_run_rows(&(at_rows){.axis = at_along(c->in[0], c->in[0]->ndim - 1),
                               .in = {at_in(c, 0)},
                               .context = c,
                               .fn = replaces(c) ? again_row : once_row,
                               .own_bytes = 2 * n * sizeof(double),
                               .work = c->work});
}

AT_OP(multinomial,
      .args = {{"p", AT_FLOAT},
               {"count", AT_INTEGER},
               {"replacement", AT_FLAG, .optional = true, .option = true, .value = 1}},
      .shape = shape, .forward = multinomial_forward, .gradient = AT_NO_GRADIENT,
      .help = "multinomial(p [..., N], count, {replacement = true}) -> ids [..., count] (int64)\n"
              "Places 1..N drawn with probabilities proportional to p; without replacement each at most once, in the "
              "order drawn. "
              "Follows attn.seed, whatever the number of threads.");
