/*
 * matmul: c = a b, the last two dimensions as matrices, the others broadcast.
 *
 *   a    [..., m, k] or [k] (one row, dropped from the result)
 *   b    [..., k, n] or [k] (one column, dropped from the result)
 *   c    [..., m, n]
 *   da   dc b'        summed over the dimensions that a was broadcast over
 *   db   a' dc        the same for b
 *
 * A matrix may be transposed or have distant rows in memory: the product reads it where it stands. Only one whose
 * elements are apart in both directions is copied. When b is one matrix for all of a's batch, the batch is rows of one
 * product.
 */
#include <string.h>

#include "attn/core/gemm.h"
#include "attn/core/contiguous.h"
#include "attn/core/op.h"

/* One operand as a batch of stored matrices: op(stored) is [rows, cols]. */
typedef struct matrix {
    const real *data;
    size_t rows, cols;
    bool turned; /* stored as [cols, rows] */
    size_t ld;
    size_t ndim; /* of the batch */
    size_t size[AT_MAX_DIM];
    ptrdiff_t step[AT_MAX_DIM];
} matrix;

/* False if the elements of the matrices are side by side in neither direction. */
static bool look(const at_tensor *t, bool left, matrix *x)
{
    bool vector = t->ndim == 1;
    size_t d = t->ndim;
    ptrdiff_t down, right;

    *x = (matrix){.data = (const real *)(const void *)t->data};
    if (vector) {
        x->rows = left ? 1 : t->size[0];
        x->cols = left ? t->size[0] : 1;
        down = left ? 0 : t->step[0];
        right = left ? t->step[0] : 0;
    } else {
        x->rows = t->size[d - 2];
        x->cols = t->size[d - 1];
        down = t->step[d - 2];
        right = t->step[d - 1];
        x->ndim = d - 2;
        memcpy(x->size, t->size, x->ndim * sizeof *x->size);
        memcpy(x->step, t->step, x->ndim * sizeof *x->step);
    }
    /* a step along one element says nothing */
    bool row = x->rows <= 1, column = x->cols <= 1;
    if ((right == 1 || column) && (row || (down >= (ptrdiff_t)x->cols && down > 0))) {
        x->ld = row ? x->cols : (size_t)down;
    } else if ((down == 1 || row) && (column || (right >= (ptrdiff_t)x->rows && right > 0))) {
        x->turned = true;
        x->ld = column ? x->rows : (size_t)right;
    } else {
        x->ld = x->cols;
        if (x->rows * x->cols > 0)
            return false;
    }
    if (x->ld == 0)
        x->ld = 1;
    return true;
}

/* The gradient of an input, contiguous, as `look` sees it. */
static matrix gradient_of(const at_tensor *t, bool left)
{
    matrix x;
    at_tensor dense = *t;
    ptrdiff_t step = 1;

    for (size_t d = t->ndim; d-- > 0;) {
        dense.step[d] = step;
        step *= (ptrdiff_t)t->size[d];
    }
    dense.data = t->grad ? t->grad->data : NULL;
    look(&dense, left, &x);
    return x;
}

/* ---- the batch: dimensions of the result before the last two, and where each operand stands in it ---- */

typedef struct batch {
    size_t ndim, count;
    size_t size[AT_MAX_DIM];
} batch;

static ptrdiff_t step_in(const matrix *x, const batch *g, size_t d)
{
    size_t lead = g->ndim - x->ndim;
    return d < lead || x->size[d - lead] == 1 ? 0 : x->step[d - lead];
}

static batch batch_of(const matrix *a, const matrix *b)
{
    batch g = {.ndim = a->ndim > b->ndim ? a->ndim : b->ndim, .count = 1};
    for (size_t i = 0; i < g.ndim; i++) {
        size_t x = i < a->ndim ? a->size[a->ndim - 1 - i] : 1, y = i < b->ndim ? b->size[b->ndim - 1 - i] : 1;
        g.size[g.ndim - 1 - i] = x == 1 ? y : x;
        g.count *= x == 1 ? y : x;
    }
    return g;
}

/* The matrices of a batch as rows of one: every row lies ld behind the one before, across the batch too. */
static bool one_matrix(const matrix *a)
{
    ptrdiff_t reach = (ptrdiff_t)(a->rows * a->ld);

    if (a->turned)
        return false;
    for (size_t d = a->ndim; d-- > 0;) {
        if (a->size[d] == 1)
            continue;
        if (a->step[d] != reach)
            return false;
        reach *= (ptrdiff_t)a->size[d];
    }
    return true;
}

/*
 * c (+)= op(a) op(b) over a batch; c is written where `clear`. Where c has fewer matrices than the batch, those that
 * meet in one are added in order: the outer loop goes over the dimensions that c lacks, the list of products over the
 * others.
 */
static void products(const at_call *call, const batch *g, const matrix *a, bool ta, const matrix *b, bool tb,
                     const matrix *c, size_t m, size_t n, size_t k, bool clear)
{
    const real **pa = (const real **)(void *)call->work, **pb = pa + g->count;
    real **pc = (real **)(void *)(pb + g->count);
    size_t inner[AT_MAX_DIM], outer[AT_MAX_DIM], inners = 0, outers = 0, together = 1, turns = 1;

    for (size_t d = 0; d < g->ndim; d++) {
        bool in_c = g->ndim - c->ndim <= d && c->size[d - (g->ndim - c->ndim)] != 1;
        if (in_c) {
            inner[inners++] = d;
            together *= g->size[d];
        } else if (g->size[d] != 1) {
            outer[outers++] = d;
            turns *= g->size[d];
        }
    }
    for (size_t turn = 0; turn < turns; turn++) {
        ptrdiff_t oa = 0, ob = 0;
        size_t rest = turn;
        for (size_t o = outers; o-- > 0;) {
            ptrdiff_t i = (ptrdiff_t)(rest % g->size[outer[o]]);
            rest /= g->size[outer[o]];
            oa += i * step_in(a, g, outer[o]);
            ob += i * step_in(b, g, outer[o]);
        }
        for (size_t p = 0; p < together; p++) {
            ptrdiff_t xa = oa, xb = ob, xc = 0;
            rest = p;
            for (size_t o = inners; o-- > 0;) {
                ptrdiff_t i = (ptrdiff_t)(rest % g->size[inner[o]]);
                rest /= g->size[inner[o]];
                xa += i * step_in(a, g, inner[o]);
                xb += i * step_in(b, g, inner[o]);
                xc += i * step_in(c, g, inner[o]);
            }
            pa[p] = a->data + xa;
            pb[p] = b->data + xb;
            pc[p] = (real *)(void *)(uintptr_t)(c->data + xc);
        }
        real_gemm_list(together, ta, tb, m, n, k, 1, pa, a->ld, pb, b->ld, clear && turn == 0 ? 0 : 1, pc, c->ld);
    }
}

/* ---- the operation ---- */

static bool pack_if_needed(at_call *c, int k)
{
    matrix x;
    if (look(c->in[k], k == 0, &x))
        return true;
    /* elements apart in both directions: a dense copy. A dense matrix may still be an expanded one, which is not */
    at_tensor *dense = at_make_contiguous(c->in[k], c->error);
    if (!dense)
        return false;
    at_release(c->in[k]);
    c->in[k] = dense;
    return true;
}

static bool shape(at_call *c)
{
    const at_tensor *a = c->in[0], *b = c->in[1];
    size_t size[AT_MAX_DIM], ndim = 0;

    for (int k = 0; k < 2; k++)
        if (c->in[k]->ndim == 0)
            return at_fail(c, "%s is a scalar, expected at least 1 dimension (%s: %s)", k ? "b" : "a", k ? "b" : "a",
                           at_describe(c->in[k]).text);
    size_t ka = a->size[a->ndim - 1], kb = b->size[b->ndim == 1 ? 0 : b->ndim - 2];
    if (ka != kb)
        return at_fail(c, "b has %zu rows, expected %zu (a: %s, b: %s)", kb, ka, at_describe(a).text,
                       at_describe(b).text);
    if (!pack_if_needed(c, 0) || !pack_if_needed(c, 1))
        return false;
    a = c->in[0];
    b = c->in[1];
    matrix x, y;
    look(a, true, &x);
    look(b, false, &y);
    for (size_t i = 0; i < x.ndim && i < y.ndim; i++) {
        size_t p = x.size[x.ndim - 1 - i], q = y.size[y.ndim - 1 - i];
        if (p != q && p != 1 && q != 1)
            return at_fail(c, "the leading dimensions do not broadcast (a: %s, b: %s)", at_describe(a).text,
                           at_describe(b).text);
    }
    batch g = batch_of(&x, &y);
    memcpy(size, g.size, sizeof size);
    ndim = g.ndim;
    if (a->ndim > 1)
        size[ndim++] = x.rows;
    if (b->ndim > 1)
        size[ndim++] = y.cols;
    size_t count;
    if (!at_count_elements(g.ndim, g.size, &count))
        return at_fail(c, "the result is too large (a: %s, b: %s)", at_describe(a).text, at_describe(b).text);
    at_want_scratch(c, 3 * count * sizeof(void *));
    return at_out(c, ndim, size);
}

static matrix result_of(size_t m, size_t n, const batch *g, real *data)
{
    matrix y = {.data = data, .rows = m, .cols = n, .ld = n ? n : 1, .ndim = g->ndim};
    ptrdiff_t step = (ptrdiff_t)(m * n);

    for (size_t d = g->ndim; d-- > 0;) {
        y.size[d] = g->size[d];
        y.step[d] = step;
        step *= (ptrdiff_t)g->size[d];
    }
    return y;
}

static void matmul_forward(const at_call *c)
{
    matrix a, b;
    look(c->in[0], true, &a);
    look(c->in[1], false, &b);
    batch g = batch_of(&a, &b);

    if (g.count == 0)
        return;
    if (b.ndim == 0 && one_matrix(&a)) {
        real_gemm(false, b.turned, g.count * a.rows, b.cols, a.cols, 1, a.data, a.ld, b.data, b.ld, 0, at_outp(c, 0),
                  b.cols ? b.cols : 1);
        return;
    }
    matrix y = result_of(a.rows, b.cols, &g, at_outp(c, 0));
    products(c, &g, &a, a.turned, &b, b.turned, &y, a.rows, b.cols, a.cols, true);
}

static void zero_if_fresh(const at_call *c, int k)
{
    if (at_din(c, k) && at_is_fresh(c, k))
        memset(at_din(c, k), 0, at_numel(c->in[k]) * sizeof(real));
}

static void matmul_backward(const at_call *c)
{
    matrix a = {0}, b = {0}, da = gradient_of(c->in[0], true), db = gradient_of(c->in[1], false);
    size_t m = da.rows, n = db.cols, k = da.cols;
    batch g = batch_of(&da, &db);

    if (g.count == 0 || m * n == 0) {
        zero_if_fresh(c, 0);
        zero_if_fresh(c, 1);
        return;
    }
    look(c->in[0], true, &a);
    look(c->in[1], false, &b);
    matrix dy = result_of(m, n, &g, (real *)(void *)c->out[0]->grad->data);
    bool flat = b.ndim == 0 && one_matrix(&a);
    if (at_din(c, 0)) {
        real keep = at_is_fresh(c, 0) ? 0 : 1;
        if (b.ndim == 0)
            real_gemm(false, !b.turned, g.count * m, k, n, 1, dy.data, n, b.data, b.ld, keep, at_din(c, 0), k ? k : 1);
        else
            products(c, &g, &dy, false, &b, !b.turned, &da, m, k, n, keep == 0);
    }
    if (at_din(c, 1)) {
        real keep = at_is_fresh(c, 1) ? 0 : 1;
        if (flat)
            real_gemm(true, false, k, n, g.count * m, 1, a.data, a.ld, dy.data, n, keep, at_din(c, 1), n);
        else
            products(c, &g, &a, !a.turned, &dy, false, &db, k, n, m, keep == 0);
    }
}

static double flops(const at_call *c, bool back)
{
    const at_tensor *a = c->in[0];
    return 2.0 * (double)at_numel(c->out[0]) * (double)a->size[a->ndim - 1] * (back ? at_gradients_wanted(c, 0, 2) : 1);
}

AT_OP(matmul, .args = {{"a", AT_FLOAT}, {"b", AT_FLOAT}}, .shape = shape, .flops = flops, .forward = matmul_forward,
      .backward = matmul_backward, .strided = true, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP(1),
      .help = "matmul(a [..., m, k], b [..., k, n]) -> [..., m, n]\n"
              "Matrix products; dimensions before the last two broadcast. A vector [k] is one row on the left, one "
              "column on the right, and that dimension is dropped from the result.");
