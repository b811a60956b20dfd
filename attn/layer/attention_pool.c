/*
 * attention_pool: a sequence summed with weights that it gives itself         (Yang et al. 2016; hops: Lin et al. 2017)
 *
 *   u_t = tanh(W x_t + b)    a_h = softmax over t of <context_h, u_t>    y_h = sum_t a_ht x_t
 *
 *   x [B, T, inputs]    weight [dim, inputs]    bias [dim]    context [hops, dim]
 *   y [B, inputs], a [B, T] for one hop, else y [B, hops, inputs], a [B, hops, T]
 *
 * Steps beyond a row's length have weight 0; a row of length 0 pools to zeros. All three parameters start uniform, with
 * a bound of one over the square root of the width they sum over.
 */
#include "attn/layer/layer.h"

#include <math.h>

enum { INPUTS, DIM, HOPS, BIAS };
enum { LENGTHS };

static const at_field fields[] = {
    [INPUTS] = {"inputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of x"},
    [DIM] = {"dim", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of the hidden layer"},
    [HOPS] = {"hops", AT_FIELD_INTEGER, .value = 1, AT_POSITIVE, .help = "number of weighted sums"},
    [BIAS] = {"bias", AT_FIELD_FLAG, .value = true, .help = "adds a learned vector before tanh"},
    {0},
};

static const at_field options[] = {
    [LENGTHS] = {"lengths", AT_FIELD_IDS, .help = "valid steps of each row [B]"},
    {0},
};

static bool setup(at_layer *l, at_error *e)
{
    size_t inputs = (size_t)l->set[INPUTS].integer, dim = (size_t)l->set[DIM].integer;
    double bound = 1 / sqrt((double)inputs);
    return at_matrix(l, "weight", dim, inputs, AT_INIT_UNIFORM, bound, e) &&
           (!l->set[BIAS].flag || at_param(l, "bias", 1, &dim, AT_INIT_UNIFORM, bound, e)) &&
           at_param(l, "context", 2, (size_t[]){(size_t)l->set[HOPS].integer, dim}, AT_INIT_UNIFORM,
                    1 / sqrt((double)dim), e);
}

/* [B, 1, T], true beyond the length of a row. */
static at_tensor *beyond(at_build *g, const at_tensor *lengths, size_t B, size_t T)
{
    if (lengths->ndim != 1 || lengths->size[0] != B)
        return at_refuse(g, "lengths has shape %s, expected [%zu]",
                         at_describe_shape(lengths->ndim, lengths->size).text, B);
    at_tensor *mask = at_own(g, at_tensor_new(AT_BOOL, 3, (size_t[]){B, 1, T}, g->error));
    if (!mask)
        return NULL;
    for (size_t b = 0; b < B; b++) {
        int64_t n = at_ids(lengths)[(ptrdiff_t)b * lengths->step[0]];
        if (n < 0 || n > (int64_t)T)
            return at_refuse(g, "lengths[%zu] is %lld, expected 0 to %zu", b + 1, (long long)n, T);
        for (size_t t = 0; t < T; t++)
            mask->data[b * T + t] = t >= (size_t)n;
    }
    return mask;
}

static bool attention_pool_layer_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0), *lengths = at_option_tensor(p, LENGTHS);
    if (!at_expect(g, l, "x", x, 3, 3, l->set[INPUTS].integer))
        return false;
    at_tensor *u =
        at_tanh(g, at_linear(g, x, at_weight_named(l, "weight"), at_weight_named(l, "bias")));       /* [B, T, dim] */
    at_tensor *scores = at_transpose(g, at_linear(g, u, at_weight_named(l, "context"), NULL), 2, 3); /* [B, hops, T] */
    if (lengths) {
        at_tensor *mask = beyond(g, lengths, x->size[0], x->size[1]);
        scores = AT_APPLY(g, masked_fill, .in = {scores, mask}, .arg = {at_num(-INFINITY)});
    }
    at_tensor *weights = at_softmax(g, scores, 3), *y = at_matmul(g, weights, x);
    if (l->set[HOPS].integer == 1) {
        y = at_select(g, y, 2, 1);
        weights = at_select(g, weights, 2, 1);
    }
    at_return(p, at_tensor_value(y));
    return at_return(p, at_tensor_value(weights));
}

static const at_method methods[] = {
    {"forward",
     {{"x", AT_TENSOR, false}},
     options,
     attention_pool_layer_forward,
     "layer(x [B, T, inputs], {lengths =}) -> pooled [B, inputs], weights [B, T]; with hops > 1 [B, hops, ...]"},
    {0},
};

AT_LAYER(attention_pool, "layer.attention_pool", .fields = fields, .setup = setup, .methods = methods,
         .help = "layer.attention_pool{inputs =, dim =, hops = 1, bias = true} -> layer\n"
                 "Sums a sequence with weights softmax(context tanh(W x + b)); weight [dim, inputs], bias [dim],\n"
                 "context [hops, dim].");
