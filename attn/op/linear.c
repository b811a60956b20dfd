/*
 * linear: y = x W' + b.
 *
 *   x        [..., inputs]      any number of leading dimensions, taken as rows of one product
 *   weight   [outputs, inputs], also kept for inference (core/kept.h)
 *   bias     [outputs], may be left out
 *   dx       dy W
 *   dW       dy' x
 *   db       sum of dy over the rows, in an order that depends on the sizes only
 *
 * linear_act: y = f(z), z = x W' + b. f is taken of blocks of z while they are in the caches. z is kept and becomes dz = dy f'(z).
 */
#include "attn/op/product.h"
#include "attn/op/sum.h"

static size_t rows_of(const at_tensor *x)
{
    size_t n = 1;
    for (size_t d = 0; d + 1 < x->ndim; d++)
        n *= x->size[d];
    return n;
}

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0], *w = c->in[1], *b = c->n_in > 2 ? c->in[2] : NULL;
    size_t size[AT_MAX_DIM];

    if (w->ndim != 2)
        return at_fail(c, "weight has %d dimensions, expected [outputs, inputs] (weight: %s)", w->ndim,
                       at_describe(w).text);
    if (x->ndim == 0 || x->size[x->ndim - 1] != w->size[1])
        return at_fail(c, "x has width %zu, expected %zu (x: %s, weight: %s)", x->ndim ? x->size[x->ndim - 1] : 0,
                       w->size[1], at_describe(x).text, at_describe(w).text);
    if (b && (b->ndim != 1 || b->size[0] != w->size[0]))
        return at_fail(c, "bias has shape %s, expected [%zu] (weight: %s)", at_describe_shape(b->ndim, b->size).text,
                       w->size[0], at_describe(w).text);
    memcpy(size, x->size, sizeof size);
    size[x->ndim - 1] = w->size[0];
    at_want_scratch(c, at_product_scratch(rows_of(x), w));
    return at_out(c, x->ndim, size);
}

static void product(const at_call *c, real *y, const at_gemm_end *end)
{
    const at_tensor *w = c->in[1];

    if (at_numel(c->out[0]) > 0)
        at_product_then(rows_of(c->in[0]), at_in(c, 0), w, c->n_in > 2 && c->in[2] ? at_in(c, 2) : NULL, y, w->size[0],
                        c->work, end);
}

static void linear_forward(const at_call *c) { product(c, at_outp(c, 0), NULL); }

static void product_back(const at_call *c, const real *dy)
{
    size_t m = rows_of(c->out[0]), k = c->in[1]->size[1], n = c->in[1]->size[0];

    /* a product over nothing still gives zeros; one without result elements has nothing to do */
    if (at_din(c, 0) && m * k > 0)
        real_gemm(false, false, m, k, n, 1, dy, n ? n : 1, at_in(c, 1), k, at_is_fresh(c, 0) ? 0 : 1, at_din(c, 0), k);
    if (at_din(c, 1) && n * k > 0)
        real_gemm(true, false, n, k, m, 1, dy, n, at_in(c, 0), k, at_is_fresh(c, 1) ? 0 : 1, at_din(c, 1), k);
    if (c->n_in > 2 && c->in[2] && at_din(c, 2)) {
        if (at_is_fresh(c, 2))
            memset(at_din(c, 2), 0, n * sizeof(real));
        at_sum_into(at_din(c, 2), dy, 2, (size_t[]){m, n}, (bool[]){true, false});
    }
}

static void linear_backward(const at_call *c) { product_back(c, at_dout(c, 0)); }

static double flops(const at_call *c, bool back)
{
    return 2.0 * (double)at_numel(c->out[0]) * (double)c->in[1]->size[1] * (back ? at_gradients_wanted(c, 0, 2) : 1);
}

AT_OP(linear, .args = {{"x", AT_FLOAT}, {"weight", AT_WEIGHT}, {"bias", AT_FLOAT, .optional = true}}, .shape = shape,
      .flops = flops, .forward = linear_forward, .backward = linear_backward, .fresh = true,
      .keeps = AT_KEEP(0) | AT_KEEP(1), .plain = true,
      .help = "linear(x [..., inputs], weight [outputs, inputs] [, bias [outputs]]) -> [..., outputs]\n"
              "x W' + b for every row of x. weight may be kept in bfloat16 or int8 (tensor:to): no gradient then.");

/* ---- linear_act ---- */

enum { RELU, GELU, SILU };

static bool linear_act_shape(at_call *c)
{
    return shape(c) && (!at_recording(c) || at_save(c, AT_REAL_DTYPE, at_numel(c->out[0])));
}

static real *z_of(const at_call *c) { return c->n_saved > 0 ? at_savedp(c, 0) : at_outp(c, 0); }

static void activate(const void *context, size_t i, size_t m, size_t j, size_t n)
{
    const at_call *c = context;
    size_t ld = c->in[1]->size[0];
    int64_t f = c->arg[0].integer;

    for (size_t at = i * ld + j; m > 0; m--, at += ld)
        (f == RELU ? K->map->vrelu : f == GELU ? K->map->vgelu : K->map->vsilu)(n, z_of(c) + at, at_outp(c, 0) + at);
}

static void linear_act_forward(const at_call *c) { product(c, z_of(c), &(at_gemm_end){activate, c}); }

static void activate_back(size_t begin, size_t end, void *context)
{
    enum { PART = 512 };
    const at_call *c = context;
    int64_t f = c->arg[0].integer;
    real *z = at_savedp(c, 0), dz[PART];

    for (size_t i = begin, n; i < end; i += n) {
        n = at_min_size(end - i, PART);
        memset(dz, 0, n * sizeof *dz);
        (f == RELU   ? K->map->vrelu_back
         : f == GELU ? K->map->vgelu_back
                     : K->map->vsilu_back)(n, z + i, NULL, at_dout(c, 0) + i, dz);
        memcpy(z + i, dz, n * sizeof *dz);
    }
}

static void linear_act_backward(const at_call *c)
{
    at_for(at_numel(c->out[0]), AT_GRAIN, activate_back, (void *)(uintptr_t)c);
    product_back(c, at_savedp(c, 0));
}

AT_OP(linear_act,
      .args = {{"x", AT_FLOAT},
               {"weight", AT_WEIGHT},
               {"bias", AT_FLOAT, .optional = true},
               {"activation", AT_CHOICE, .choices = "relu|gelu|silu"}},
      .shape = linear_act_shape, .flops = flops, .forward = linear_act_forward, .backward = linear_act_backward,
      .internal = true, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP(1), .plain = true,
      .help = "linear_act(x [..., inputs], weight [outputs, inputs], bias [outputs], activation) -> [..., outputs]\n"
              "An activation of x W' + b for every row of x.");
