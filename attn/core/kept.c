/*
 * Weights kept for inference: see kept.h.
 *
 * Few rows take their product in place, over the pool by blocks of rows of W. For many, and wherever inputs are rounded
 * (core/precision.h), a block of W at a time is expanded to float32 and goes the way of all products.
 */
#include "attn/core/kept.h"

#if AT_TYPE == 32

#include "attn/core/gemm.h"
#include "attn/core/walk.h"
#include "attn/kernel/bf16.h"
#include "attn/kernel/kept.h"

enum {
    FEW =
        48, /* rows: as for weights of float32 (gemm.c), with short dot products less, whose lanes have to be added up */
    FEW_BYTES = 1 << 17, /* of W in a block of work: some microseconds */
    BLOCK = 1 << 17,     /* numbers of W expanded at a time, for the second cache */
    COLUMNS = 64         /* whose multiples products like */
};

static const at_kept_kernels *kernels(const at_tensor *w)
{
    return &K->kept[w->dtype == AT_BF16 ? AT_KEPT_BF16 : AT_KEPT_INT8];
}

static char *row_of(const at_tensor *w, size_t i) { return w->data + i * w->size[1] * at_dtype_bytes(w->dtype); }

static const float *scales(const at_tensor *w, size_t i) { return w->dtype == AT_I8 ? at_scales(w) + i : NULL; }

/* ---- from and to float32 ---- */

typedef struct keeping {
    at_tensor *kept;
    const at_tensor *x;
    float *rows; /* one for each thread, where those of x have steps */
} keeping;

static bool has_steps(const at_tensor *x) { return x->size[1] > 1 && x->step[1] != 1; }

size_t at_keep_scratch(const at_tensor *x)
{
    return has_steps(x) ? (size_t)at_threads() * x->size[1] * sizeof(float) : 0;
}

static void keep_rows(size_t begin, size_t end, void *context)
{
    const keeping *job = context;
    size_t k = job->x->size[1];

    for (size_t i = begin; i < end && !at_cut_short(); i++) {
        const float *x = (const float *)(const void *)job->x->data + (ptrdiff_t)i * job->x->step[0];
        if (has_steps(job->x)) {
            float *row = job->rows + (size_t)at_worker() * k;
            for (size_t j = 0; j < k; j++)
                row[j] = x[(ptrdiff_t)j * job->x->step[1]];
            x = row;
        }
        float scale = kernels(job->kept)->keep(k, x, row_of(job->kept, i));
        if (job->kept->dtype == AT_I8)
            at_scales(job->kept)[i] = scale;
    }
}

void at_keep(at_tensor *kept, const at_tensor *x, char *work)
{
    at_for(x->size[0], at_grain_rows(x->size[1]), keep_rows, &(keeping){kept, x, (float *)(void *)work});
}

void at_expand_row(const at_tensor *kept, size_t row, float *x)
{
    const float *scale = scales(kept, row);
    kernels(kept)->expand(kept->size[1], row_of(kept, row), scale ? *scale : 1, x);
}

typedef struct expansion {
    const at_tensor *kept;
    float *x;
    size_t first; /* the row of kept that goes to x */
} expansion;

static void expand_rows(size_t begin, size_t end, void *context)
{
    const expansion *job = context;

    for (size_t i = begin; i < end && !at_cut_short(); i++)
        at_expand_row(job->kept, job->first + i, job->x + i * job->kept->size[1]);
}

void at_expand(at_tensor *x, const at_tensor *kept)
{
    at_for(kept->size[0], at_grain_rows(kept->size[1]), expand_rows, &(expansion){kept, (float *)(void *)x->data, 0});
}

/* ---- products ---- */

typedef struct product {
    size_t m, n, k, columns; /* rows of W in a block of work */
    const float *x;
    const at_tensor *w;
    const float *bias;
    float *y;
    size_t ldy;
    float *work;
} product;

static bool in_place(size_t m, size_t k) { return m <= at_min_size(FEW, 4 + k / 16) && !at_rounds(); }

/* A multiple of COLUMNS. */
static size_t columns_of(size_t m, const at_tensor *w)
{
    size_t k = w->size[1] + 1;
    size_t most = in_place(m, w->size[1]) ? FEW_BYTES / (k * at_dtype_bytes(w->dtype)) : BLOCK / k;
    return at_min_size(at_round_up(w->size[0], COLUMNS), at_max_size(most / COLUMNS, 1) * COLUMNS);
}

size_t at_kept_scratch(size_t m, const at_tensor *w)
{
    size_t k = w->size[1];
    return sizeof(float) *
           (in_place(m, k) ? m * kernels(w)->room(k) : (size_t)at_threads() * at_round_up(columns_of(m, w) * k, 16));
}

static void few_block(size_t begin, size_t end, void *context)
{
    const product *p = context;

    kernels(p->w)->few(p->m, end - begin, p->k, p->work, row_of(p->w, begin), scales(p->w, begin),
                       p->bias ? p->bias + begin : NULL, p->y + begin, p->ldy);
}

static void many_block(size_t begin, size_t end, void *context)
{
    const product *p = context;
    float *w = p->work + (size_t)at_worker() * at_round_up(p->columns * p->k, 16);

    expand_rows(0, end - begin, &(expansion){p->w, w, begin});
    size_t ld = at_max_size(p->k, 1);
    at_gemm_bias_f32(false, true, p->m, end - begin, p->k, p->x, ld, w, ld, p->bias ? p->bias + begin : NULL,
                     p->y + begin, p->ldy, NULL);
}

void at_kept_gemm(size_t m, const float *x, const at_tensor *w, const float *bias, float *y, size_t ldy, char *work)
{
    product p = {m, w->size[0], w->size[1], columns_of(m, w), x, w, bias, y, ldy, (float *)(void *)work};

    for (size_t i = 0; in_place(m, p.k) && i < m; i++)
        kernels(w)->arrange(p.k, x + i * p.k, p.work + i * kernels(w)->room(p.k));
    at_for(p.n, p.columns, in_place(m, p.k) ? few_block : many_block, &p);
}

#endif
