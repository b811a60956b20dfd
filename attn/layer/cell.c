/*
 * layer.cell: one step of a recurrent cell, for loops of a script's own.
 *
 *   x [B, inputs]    h, c [B, hidden]
 *
 * The step is op/rnn.c's over one time step: parameters and gate orders are those of encoder.rnn without its layer numbers.
 */
#include "attn/layer/recurrent.h"

enum { INPUTS, HIDDEN, TYPE };

static const at_field fields[] = {
    [INPUTS] = {"inputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of x"},
    [HIDDEN] = {"hidden", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "units"},
    [TYPE] = {"type", AT_FIELD_CHOICE, .value = AT_CELL_GRU, .choices = AT_CELLS, .help = "rnn is tanh(W x + U h + b)"},
    {0},
};

static bool setup(at_layer *l, at_error *e)
{
    return at_cell_params(l, "", "", l->set[TYPE].integer, (size_t)l->set[INPUTS].integer,
                          (size_t)l->set[HIDDEN].integer, true, e);
}

/* [B, hidden] as the operation has it, [1, B, hidden]; NULL stays NULL. False with the error set. */
static bool state(at_build *g, const at_layer *l, const char *name, size_t B, at_tensor **t)
{
    if (!*t)
        return true;
    if (!at_expect(g, l, name, *t, 2, 2, l->set[HIDDEN].integer))
        return false;
    if ((*t)->size[0] != B)
        return at_refuse(g, "%s has %zu rows, but x has %zu (%s: %s)", name, (*t)->size[0], B, name,
                         at_describe(*t).text) != NULL;
    *t = at_unsqueeze(g, *t, 1);
    return *t != NULL;
}

static bool cell_layer_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0), *h = at_arg_tensor(p, 1), *c = at_arg_tensor(p, 2);
    int64_t type = l->set[TYPE].integer;

    if (!at_expect(g, l, "x", x, 2, 2, l->set[INPUTS].integer))
        return false;
    if (c && type != AT_CELL_LSTM)
        return at_refuse(g, "c is given, which only type lstm has") != NULL;
    if (!state(g, l, "h", x->size[0], &h) || !state(g, l, "c", x->size[0], &c))
        return false;
    at_tensor *weights[] = {at_weight(l, 0), at_weight(l, 1), at_weight(l, 2), at_weight(l, 3)};
    AT_APPLY(g, rnn, .in = {at_unsqueeze(g, x, 2), NULL, h, c}, .list = weights, .count = 4, .arg = {at_int(type)},
             .out = {&h, &c});
    if (!at_ok(g))
        return false;
    at_return(p, at_tensor_value(at_select(g, h, 1, 1)));
    return type != AT_CELL_LSTM || at_return(p, at_tensor_value(at_select(g, c, 1, 1)));
}

static const at_method methods[] = {
    {"forward",
     {{"x", AT_TENSOR, false}, {"h", AT_TENSOR, true}, {"c", AT_TENSOR, true}},
     NULL,
     cell_layer_forward,
     "cell(x [B, inputs], h [B, hidden], c) -> h [, c: lstm]"},
    {0},
};

AT_LAYER(
    cell, "layer.cell", .fields = fields, .setup = setup, .methods = methods,
    .help = "layer.cell{inputs =, hidden =, type = \"gru\" | \"lstm\" | \"rnn\"} -> layer\n"
            "h = cell(x [B, inputs], h [B, hidden]), of an lstm h, c = cell(x, h, c): one step; zeros where no state "
            "is given.\n"
            "A table of states, {h = h, c = c}, goes through search.reorder as it is. Parameters as PyTorch's cells:\n"
            "weight_ih [G hidden, inputs], weight_hh [G hidden, hidden], bias_ih, bias_hh; gates of a gru r, z, n, of "
            "an lstm i, f, g, o.");
