/*
 * embedding: a learned vector for each id.
 *
 *   ids int64, any shape    weight [count, dim]    y [ids..., dim]
 *
 * Ids count from 1; 0 is padding: a zero vector without a gradient, so there is no row for it. The rows start as draws
 * from the normal distribution with deviation 1, as PyTorch's.
 */
#include "attn/layer/layer.h"

enum { COUNT, DIM };
enum { WEIGHT }; /* parameters */

static const at_field fields[] = {
    [COUNT] = {"count", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "largest id"},
    [DIM] = {"dim", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of the vectors"},
    {0},
};

static bool setup(at_layer *l, at_error *e)
{
    size_t count = (size_t)l->set[COUNT].integer, dim = (size_t)l->set[DIM].integer;
    return at_matrix(l, "weight", count, dim, AT_INIT_NORMAL, 1, e);
}

static bool embedding_layer_forward(at_build *g, at_layer *l, at_pass *p)
{
    return at_return(p, at_tensor_value(AT_APPLY(g, embedding, .in = {at_arg_tensor(p, 0), at_weight(l, WEIGHT)})));
}

static const at_method methods[] = {
    {"forward", {{"ids", AT_TENSOR, false}}, NULL, embedding_layer_forward, "layer(ids) -> y [ids..., dim]"},
    {0},
};

AT_LAYER(embedding, "layer.embedding", .fields = fields, .setup = setup, .methods = methods,
         .help = "layer.embedding{count =, dim =} -> layer\n"
                 "Row i of weight [count, dim] for id i; zeros for id 0, padding.");
