/*
 * positional: x plus an encoding of the place in the sequence.
 *
 *   x [..., T, dim]    y like x
 *   sinusoidal    feature 2i + 1 is sin(t / 10000^(2i / dim)), feature 2i + 2 the cosine; t and i from 0
 *                                                                                               (Vaswani et al. 2017)
 *   learned       row t + 1 of weight [max_length, dim], which starts as an embedding does
 *
 * The option `position` is the 1-based place of the first step of x, for decoding step by step. The table of sinusoids
 * is kept between calls and grows by doubling; places far out are computed for the call.
 */
#include "attn/layer/layer.h"

#include <math.h>

enum { DIM, TYPE, MAX_LENGTH };
enum { SINUSOIDAL, LEARNED };
enum { POSITION };
enum { WEIGHT };         /* parameters */
enum { MOST = 1 << 16 }; /* places in the table at most */

typedef struct own {
    at_tensor *table; /* [rows, dim], float64 or float32 as the layer was when it was made */
} own;

static const at_field fields[] = {
    [DIM] = {"dim", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of x"},
    [TYPE] = {"type", AT_FIELD_CHOICE, .value = SINUSOIDAL, .choices = "sinusoidal|learned", .help = "encoding"},
    [MAX_LENGTH] = {"max_length", AT_FIELD_INTEGER, AT_POSITIVE, .help = "longest sequence; needed if learned"},
    {0},
};

static const at_field options[] = {
    [POSITION] = {"position", AT_FIELD_INTEGER, .value = 1, AT_POSITIVE, .help = "place of the first step of x"},
    {0},
};

static bool setup(at_layer *l, at_error *e)
{
    if (l->set[TYPE].integer == SINUSOIDAL)
        return true;
    if (!(l->given >> MAX_LENGTH & 1))
        return at_error_set(e, "positional: field 'max_length' is missing (type 'learned' has a row for each place)");
    size_t size[] = {(size_t)l->set[MAX_LENGTH].integer, (size_t)l->set[DIM].integer};
    return at_param(l, "weight", 2, size, AT_INIT_NORMAL, 1, e);
}

static void dispose(at_layer *l) { at_release(((own *)l->own)->table); }

/* [rows, dim]: the sinusoids of places `from`, from + 1, ... counted from 0; NULL with the error set. */
static at_tensor *sinusoids(at_build *g, const at_layer *l, size_t from, size_t rows)
{
    size_t dim = (size_t)l->set[DIM].integer;
    at_tensor *t = at_tensor_new(l->dtype, 2, (size_t[]){rows, dim}, g->error);
    if (!t)
        return NULL;
    for (size_t k = 0; k < dim; k++) {
        double period = pow(10000, 2 * (double)(k / 2) / (double)dim);
        for (size_t r = 0; r < rows; r++) {
            double angle = (double)(from + r) / period, x = k % 2 == 0 ? sin(angle) : cos(angle);
            if (l->dtype == AT_F32)
                ((float *)(void *)t->data)[r * dim + k] = (float)x;
            else
                ((double *)(void *)t->data)[r * dim + k] = x;
        }
    }
    return t;
}

/* The encoding of T places from `first` on, counted from 1. */
static at_tensor *encoding(at_build *g, at_layer *l, int64_t first, int64_t T)
{
    own *o = l->own;
    if (l->set[TYPE].integer == LEARNED)
        return at_narrow(g, at_weight(l, WEIGHT), 1, first, T);
    if (first + T > MOST)
        return at_own(g, sinusoids(g, l, (size_t)first - 1, (size_t)T));
    if (!o->table || (int64_t)o->table->size[0] < first + T - 1 || o->table->dtype != l->dtype) {
        size_t rows = 64;
        while ((int64_t)rows < first + T - 1)
            rows *= 2;
        at_tensor *grown = sinusoids(g, l, 0, rows);
        if (!grown)
            return NULL;
        at_release(o->table); /* a graph that reads it holds its own reference */
        o->table = grown;
    }
    return at_narrow(g, o->table, 1, first, T);
}

static bool positional_layer_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0);
    if (!at_expect(g, l, "x", x, 2, 0, l->set[DIM].integer))
        return false;
    int64_t T = (int64_t)x->size[x->ndim - 2], first = p->option[POSITION].integer;
    if (l->given >> MAX_LENGTH & 1 && T > l->set[MAX_LENGTH].integer - first + 1)
        return at_refuse(g, "x reaches position %lld, expected at most %lld (x: %s)", (long long)(first + T - 1),
                         (long long)l->set[MAX_LENGTH].integer, at_describe(x).text) != NULL;
    return at_return(p, at_tensor_value(at_add(g, x, encoding(g, l, first, T))));
}

static const at_method methods[] = {
    {"forward",
     {{"x", AT_TENSOR, false}},
     options,
     positional_layer_forward,
     "layer(x [..., T, dim], {position = 1}) -> y like x"},
    {0},
};

AT_LAYER(
    positional, "layer.positional", .fields = fields, .setup = setup, .dispose = dispose, .own_bytes = sizeof(own),
    .methods = methods,
    .help = "layer.positional{dim =, type = 'sinusoidal' | 'learned', max_length =} -> layer\n"
            "Adds an encoding of the place of each step; learned has weight [max_length, dim]. The option position is\n"
            "the place of the first step, 1 unless given.");
