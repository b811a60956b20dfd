/*
 * layernorm: y = (x - mean) / sqrt(var + eps) * weight + bias over the last dimension              (Ba et al. 2016)
 *
 *   x, y           [..., D]; var divides by D
 *   weight, bias   [D], may be left out (1 and 0)
 *   dx             (g - mean(g) - h mean(g h)) / sqrt(var + eps),  h = (x - mean) / sqrt(var + eps),  g = dy weight
 *   dweight        sum over the rows of dy h;  dbias the sum of dy
 *
 * Two numbers per row are kept, the mean and the factor. The sums over the rows are taken in blocks of rows that depend
 * on the sizes only, and over the blocks in order.
 */
#include <string.h>

#include "attn/core/rows.h"
#include "attn/kernel/kernel.h"

enum { WEIGHT = 1, BIAS, STATS = 2 };

static size_t width(const at_tensor *x) { return x->size[x->ndim - 1]; }
static size_t rows_of(const at_tensor *x) { return width(x) ? at_numel(x) / width(x) : 0; }
static bool has(const at_call *c, int k) { return k < c->n_in && c->in[k]; }
static const real *row_of(const at_call *c, int k) { return has(c, k) ? at_in(c, k) : NULL; }
static real *gradient_of(const at_call *c, int k) { return has(c, k) ? at_din(c, k) : NULL; }

/* The backward pass goes over blocks of rows; each gathers dweight and dbias in a slot of its own. */
static size_t blocks_of(size_t rows, size_t D)
{
    size_t blocks = rows / at_grain_rows(D) + 1;
    return blocks < AT_SLOTS ? blocks : AT_SLOTS;
}

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0];

    if (x->ndim == 0 || width(x) == 0)
        return at_fail(c, "x has no last dimension to normalise (x: %s)", at_describe(x).text);
    for (int k = WEIGHT; k < c->n_in; k++)
        if (has(c, k) && (c->in[k]->ndim != 1 || c->in[k]->size[0] != width(x)))
            return at_fail(c, "%s has shape %s, expected [%zu] (x: %s)", k == WEIGHT ? "weight" : "bias",
                           at_describe_shape(c->in[k]->ndim, c->in[k]->size).text, width(x), at_describe(x).text);
    if (at_recording(c))
        at_want_scratch(c, blocks_of(rows_of(x), width(x)) * 2 * width(x) * sizeof(real));
    return at_save(c, AT_REAL_DTYPE, STATS * rows_of(x)) && at_out(c, x->ndim, x->size);
}

static void block(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    size_t D = width(c->in[0]);

    for (size_t r = begin; r < end; r++)
        K->layernorm(D, at_in(c, 0) + r * D, row_of(c, WEIGHT), row_of(c, BIAS), (real)c->arg[0].number,
                     at_outp(c, 0) + r * D, at_savedp(c, 0) + STATS * r);
}

static void forward(const at_call *c)
{
    at_for(rows_of(c->in[0]), at_grain_rows(width(c->in[0])), block, (void *)(uintptr_t)c);
}

static void block_back(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    size_t D = width(c->in[0]), rows = rows_of(c->in[0]), blocks = blocks_of(rows, D);
    real *dx = at_din(c, 0);

    for (size_t b = begin; b < end; b++) {
        real *dw = (real *)(void *)c->work + b * 2 * D, *db = dw + D;
        memset(dw, 0, 2 * D * sizeof(real));
        for (size_t r = rows * b / blocks; r < rows * (b + 1) / blocks; r++) {
            if (dx && at_is_fresh(c, 0))
                memset(dx + r * D, 0, D * sizeof(real));
            K->layernorm_back(D, at_in(c, 0) + r * D, row_of(c, WEIGHT), at_savedp(c, 0) + STATS * r,
                              at_dout(c, 0) + r * D, dx ? dx + r * D : NULL, gradient_of(c, WEIGHT) ? dw : NULL,
                              gradient_of(c, BIAS) ? db : NULL);
        }
    }
}

static void backward(const at_call *c)
{
    size_t D = width(c->in[0]), blocks = blocks_of(rows_of(c->in[0]), D);

    at_for(blocks, 1, block_back, (void *)(uintptr_t)c);
    for (int k = WEIGHT; k <= BIAS; k++) {
        real *d = gradient_of(c, k);
        if (d && at_is_fresh(c, k))
            memset(d, 0, D * sizeof(real));
        for (size_t b = 0; d && b < blocks; b++)
            K->acc(D, (const real *)(const void *)c->work + (2 * b + (k == BIAS)) * D, d);
    }
}

AT_OP(layernorm,
      .args = {{"x", AT_FLOAT},
               {"weight", AT_FLOAT, .optional = true},
               {"bias", AT_FLOAT, .optional = true},
               {"eps", AT_NUMBER, .optional = true, .value = 1e-5}},
      .shape = shape, .forward = forward, .backward = backward, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP(1),
      .plain = true,
      .help = "layernorm(x [..., D] [, weight [D], bias [D], eps = 1e-5]) -> y like x\n"
              "(x - mean) / sqrt(var + eps) * weight + bias over the last dimension; var divides by D.");
