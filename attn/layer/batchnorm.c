/*
 * batchnorm: y = (x - mean) / sqrt(var + eps) * weight + bias for each channel                  (Ioffe and Szegedy 2015)
 *
 *   x, y [..., channels, ...]; dim says which dimension    weight, bias [channels], from 1 and 0
 *   training     mean and var of this batch (var divides by n); the buffers running_mean, running_var [channels], from 0 and 1,
 *                become (1 - momentum) old + momentum new, the new var divided by n - 1, as PyTorch's
 *   evaluation   the buffers are mean and var, and stay
 */
#include "attn/layer/layer.h"

enum { CHANNELS, DIM, EPS, MOMENTUM };
enum { WEIGHT, BIAS, RUNNING_MEAN, RUNNING_VAR };

static const at_field fields[] = {
    [CHANNELS] = {"channels", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "size of dimension dim of x"},
    [DIM] = {"dim", AT_FIELD_INTEGER, .value = 2, .low = -AT_MAX_DIM, .high = AT_MAX_DIM,
             .help = "the dimension that is the channel: 2 for images, -1 for sequences"},
    [EPS] = {"eps", AT_FIELD_NUMBER, .value = 1e-5, .low = 0, .high = 1e300, .help = "added to the variance"},
    [MOMENTUM] = {"momentum", AT_FIELD_NUMBER, .value = 0.1, AT_PROBABILITY,
                  .help = "share of the new value in the running ones"},
    {0},
};

static bool setup(at_layer *l, at_error *e)
{
    size_t C = (size_t)l->set[CHANNELS].integer;
    if (l->set[DIM].integer == 0)
        return at_error_set(e, "batchnorm: dim is 0, expected 1.. or -1..");
    return at_param(l, "weight", 1, &C, AT_INIT_ONE, 0, e) && at_param(l, "bias", 1, &C, AT_INIT_ZERO, 0, e) &&
           at_buffer(l, "running_mean", 1, &C, AT_INIT_ZERO, 0, e) &&
           at_buffer(l, "running_var", 1, &C, AT_INIT_ONE, 0, e);
}

/* running = (1 - momentum) running + momentum factor value; the buffer may have any step. */
static void move(at_tensor *running, const at_tensor *value, double momentum, double factor)
{
    for (size_t i = 0; i < value->size[0]; i++) {
        ptrdiff_t at = (ptrdiff_t)i * running->step[0];
        if (running->dtype == AT_F32) {
            float *r = (float *)(void *)running->data + at;
            *r = (float)((1 - momentum) * (double)*r +
                         momentum * factor * (double)((const float *)(const void *)value->data)[i]);
        } else {
            double *r = (double *)(void *)running->data + at;
            *r = (1 - momentum) * *r + momentum * factor * ((const double *)(const void *)value->data)[i];
        }
    }
    running->storage->version++;
}

static bool batchnorm_layer_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0), *batch_mean = NULL, *batch_var = NULL;
    at_tensor *mean = at_weight(l, RUNNING_MEAN), *var = at_weight(l, RUNNING_VAR);
    int64_t dim = l->set[DIM].integer, C = l->set[CHANNELS].integer;
    double momentum = l->set[MOMENTUM].number;

    if (!at_expect(g, l, "x", x, 1, 0, 0))
        return false;
    if (dim > x->ndim || dim < -x->ndim)
        return at_refuse(g, "x has %d dimensions, expected dimension %lld to be the channel (x: %s)", x->ndim,
                         (long long)dim, at_describe(x).text) != NULL;
    size_t have = x->size[dim > 0 ? dim - 1 : dim + x->ndim];
    if (have != (size_t)C)
        return at_refuse(g, "x has %zu channels along dimension %lld, expected %lld (x: %s)", have, (long long)dim,
                         (long long)C, at_describe(x).text) != NULL;
    bool own = g->training; /* statistics of the batch */
    at_tensor *y = AT_APPLY(
        g, batchnorm, .in = {x, at_weight(l, WEIGHT), at_weight(l, BIAS), own ? NULL : mean, own ? NULL : var},
        .arg = {at_int(dim), at_num(l->set[EPS].number)}, .out = {own ? &batch_mean : NULL, own ? &batch_var : NULL});
    if (!y)
        return false;
    if (own) {
        double n = (double)at_numel(x) / (double)C;
        move(mean, batch_mean, momentum, 1);
        move(var, batch_var, momentum, n / (n - 1));
    }
    return at_return(p, at_tensor_value(y));
}

static const at_method methods[] = {
    {"forward", {{"x", AT_TENSOR, false}}, NULL, batchnorm_layer_forward, "layer(x) -> y like x"},
    {0},
};

AT_LAYER(batchnorm, "layer.batchnorm", .fields = fields, .setup = setup, .methods = methods,
         .help = "layer.batchnorm{channels =, dim = 2, eps = 1e-5, momentum = 0.1} -> layer\n"
                 "(x - mean) / sqrt(var + eps) * weight + bias for each channel; dim says which dimension of x is the "
                 "channel, -1 for\n"
                 "sequences. Parameters weight and bias, buffers running_mean and running_var (in state()), all "
                 "[channels]. Training:\n"
                 "mean and var are those of this batch, var divides by n, and the buffers become (1 - momentum) old + "
                 "momentum new,\n"
                 "with the var that divides by n - 1. After layer:eval() the buffers are mean and var.");
