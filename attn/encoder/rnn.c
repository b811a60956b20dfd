/*
 * encoder.rnn: recurrent layers over a batch of sequences, in one direction or both.
 *
 *   x [B, T, inputs]    outputs [B, T, hidden * directions]    state.h, state.c [layers * directions, B, hidden]
 *
 * Each layer is one operation (op/rnn.c). States are in PyTorch's order: layer by layer, forward before backward.
 * Dropout stands between layers, not behind the last.
 */
#include "attn/layer/recurrent.h"

#include <stdio.h>

enum { INPUTS, HIDDEN, CELL, LAYERS, BIDIRECTIONAL, DROPOUT };
enum { LENGTHS, STATE };
enum { MAX_LAYERS = 64 };

static const at_field fields[] = {
    [INPUTS] = {"inputs", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of x"},
    [HIDDEN] = {"hidden", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "units of a layer, per direction"},
    [CELL] = {"cell", AT_FIELD_CHOICE, .value = AT_CELL_GRU, .choices = AT_CELLS, .help = "rnn is tanh(W x + U h + b)"},
    [LAYERS] = {"layers", AT_FIELD_INTEGER, .value = 1, .low = 1, .high = MAX_LAYERS,
                .help = "layers, one on the other"},
    [BIDIRECTIONAL] = {"bidirectional", AT_FIELD_FLAG, .value = false,
                       .help = "a second pass from the last token to the first"},
    [DROPOUT] = {"dropout", AT_FIELD_NUMBER, .value = 0, AT_PROBABILITY, .help = "between layers, in training"},
    {0},
};

static const at_field options[] = {
    [LENGTHS] = {"lengths", AT_FIELD_IDS, .help = "valid steps of each row [B]"},
    [STATE] = {"state", AT_FIELD_TABLE,
               .help = "{h =, c =} to start from, [layers * directions, B, hidden]; zeros if absent"},
    {0},
};

static size_t directions(const at_layer *l) { return l->set[BIDIRECTIONAL].flag ? 2 : 1; }

static bool setup(at_layer *l, at_error *e)
{
    size_t D = directions(l), hidden = (size_t)l->set[HIDDEN].integer;
    for (int64_t k = 1; k <= l->set[LAYERS].integer; k++)
        for (size_t d = 0; d < D; d++) {
            char suffix[32];
            snprintf(suffix, sizeof suffix, "_l%d%s", (int)k, d ? "_reverse" : "");
            if (!at_cell_params(l, "", suffix, l->set[CELL].integer,
                                k == 1 ? (size_t)l->set[INPUTS].integer : D * hidden, hidden, true, e))
                return false;
        }
    return true;
}

/* The states of all layers, one behind the other. */
static at_tensor *stack(at_build *g, int layers, at_tensor *const *list)
{
    return layers == 1 ? list[0] : AT_APPLY(g, cat, .list = list, .count = layers, .arg = {at_int(1)});
}

/* All layers over x [B, T, inputs], from a state (AT_NIL: zeros): the outputs, NULL after a failure, and *last, the state behind them. */
static at_tensor *run(at_build *g, at_layer *l, at_tensor *x, at_tensor *lengths, at_value from, at_value *last)
{
    at_tensor *last_h[MAX_LAYERS], *last_c[MAX_LAYERS], *h, *c;
    int64_t layers = l->set[LAYERS].integer, cell = l->set[CELL].integer;
    size_t D = directions(l), hidden = (size_t)l->set[HIDDEN].integer;

    if (!x || !at_read_state(g, l, from, cell, (size_t)layers * D, x->size[0], hidden, &h, &c))
        return NULL;
    for (int64_t k = 0; k < layers; k++) {
        int64_t first = k * (int64_t)D + 1;
        at_tensor *weights[8];
        for (size_t i = 0; i < 4 * D; i++)
            weights[i] = at_weight(l, 4 * D * (size_t)k + i);
        x = AT_APPLY(g, rnn,
                     .in = {x, lengths, h && layers > 1 ? at_narrow(g, h, 1, first, (int64_t)D) : h,
                            c && layers > 1 ? at_narrow(g, c, 1, first, (int64_t)D) : c},
                     .list = weights, .count = 4 * (int)D, .arg = {at_int(cell)}, .out = {&last_h[k], &last_c[k]});
        if (k + 1 < layers)
            x = at_dropout(g, x, l->set[DROPOUT].number);
        if (!x)
            return NULL;
    }
    at_table *state = at_table_new(&g->arena);
    if (state)
        state->batch = 2;
    h = stack(g, (int)layers, last_h);
    c = cell == AT_CELL_LSTM ? stack(g, (int)layers, last_c) : NULL;
    if (!state || !at_table_add(&g->arena, state, "h", 0, at_tensor_value(h)) ||
        (c && !at_table_add(&g->arena, state, "c", 0, at_tensor_value(c)))) {
        if (at_ok(g))
            at_error_memory(g->error, g->where, sizeof *state);
        return NULL;
    }
    *last = at_table_value(state);
    return x;
}

static bool rnn_encoder_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0), *lengths = at_option_tensor(p, LENGTHS), *y;
    at_value from = p->given >> STATE & 1 ? p->option[STATE].value : (at_value){0}, last;

    return at_expect(g, l, "x", x, 3, 3, l->set[INPUTS].integer) &&
           at_check_lengths(g, "lengths", lengths, x->size[0], x->size[1]) &&
           (y = run(g, l, x, lengths, from, &last)) && at_return(p, at_tensor_value(y)) && at_return(p, last);
}

/* One step: a sequence of length 1. */
static bool step(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0), *y;
    at_value last;

    if (l->set[BIDIRECTIONAL].flag)
        return at_refuse(g, "step needs an encoder of one direction: the backward direction starts at the end of the "
                            "whole sequence") != NULL;
    return at_expect(g, l, "x", x, 2, 2, l->set[INPUTS].integer) &&
           (y = run(g, l, at_unsqueeze(g, x, 2), NULL, p->arg[1], &last)) && (y = at_select(g, y, 2, 1)) &&
           at_return(p, at_tensor_value(y)) && at_return(p, last);
}

static const at_method methods[] = {
    {"forward",
     {{"x", AT_TENSOR, false}},
     options,
     rnn_encoder_forward,
     "encoder(x [B, T, inputs], {lengths =, state =}) -> outputs [B, T, hidden * directions], state {h =, c =}"},
    {"step",
     {{"x", AT_TENSOR, false}, {"state", AT_TABLE, true}},
     NULL,
     step,
     "encoder:step(x [B, inputs] [, state]) -> output [B, hidden], state {h =, c =}\n"
     "One step of an encoder of one direction, for cells inside a script's own loop; without a state it starts from "
     "zeros."},
    {0},
};

AT_LAYER(
    encoder_rnn, "encoder.rnn", .fields = fields, .setup = setup, .methods = methods,
    .help =
        "encoder.rnn{inputs =, hidden =, cell = \"gru\", layers = 1, bidirectional = false, dropout = 0} -> layer\n"
        "Recurrent layers; cell gru, lstm or rnn. outputs, state = encoder(x [B, T, inputs], {lengths =, state =}):\n"
        "outputs are zero beyond a row's length, the backward direction starts at the row's own last token, state is\n"
        "{h = [layers * directions, B, hidden], c = ...}. Parameters per layer and direction, as in PyTorch:\n"
        "weight_ih_l1 [G * hidden, inputs], weight_hh_l1, bias_ih_l1, bias_hh_l1, and the same with _reverse; gate\n"
        "order gru r, z, n; lstm i, f, g, o. The state says that its batch is dimension 2 (its metatable has batch = "
        "2), so\n"
        "that attn.search.reorder picks sentences, not layers; a state of your own says it with setmetatable(s, {batch "
        "= 2}).\n"
        "output, state = encoder:step(x [B, inputs], state) is one step of an encoder of one direction.");
