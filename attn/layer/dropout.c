/*
 * dropout: in training each element is 0 with probability p and x / (1 - p) otherwise; x itself after eval().
 */
#include "attn/layer/layer.h"

enum { P };

static const at_field fields[] = {
    [P] = {"p", AT_FIELD_NUMBER, .required = true, AT_PROBABILITY, .help = "probability that an element is dropped"},
    {0},
};

static bool dropout_layer_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0);
    if (!at_is_float(x))
        return at_refuse(g, "x is %s, expected float32 or float64 (x: %s)", at_dtype_name((at_dtype)x->dtype),
                         at_describe(x).text) != NULL;
    return at_return(p, at_tensor_value(at_dropout(g, x, l->set[P].number)));
}

static const at_method methods[] = {
    {"forward", {{"x", AT_TENSOR, false}}, NULL, dropout_layer_forward, "layer(x) -> y like x"},
    {0},
};

AT_LAYER(dropout, "layer.dropout", .fields = fields, .methods = methods,
         .help = "layer.dropout{p =} -> layer\n"
                 "In training each element is dropped with probability p and the rest scaled by 1 / (1 - p); x itself\n"
                 "after eval().");
