/*
 * encoder.transformer: blocks of self-attention (Vaswani et al. 2017, section 3.1). With causal = true it is a language model, and
 * step runs it one token at a time over caches.
 */
#include "attn/encoder/block.h"

enum { LENGTHS, MASK, CAUSAL, WEIGHTS };
enum { STEP_WEIGHTS };

static const at_field fields[] = {AT_BLOCK_FIELD_LIST, {0}};

static const at_field options[] = {
    [LENGTHS] = {"lengths", AT_FIELD_IDS, .help = "valid tokens of each row [B]"},
    [MASK] = {"mask", AT_FIELD_MASK, .help = "[T, T], [B, T, T] or [B, H, T, T]: true may be attended to"},
    [CAUSAL] = {"causal", AT_FIELD_FLAG, .value = false, .help = "token i sees tokens 1..i"},
    [WEIGHTS] = AT_BLOCK_WEIGHTS,
    {0},
};

static const at_field step_options[] = {[STEP_WEIGHTS] = AT_BLOCK_WEIGHTS, {0}};

static bool setup(at_layer *l, at_error *e) { return at_blocks_setup(l, false, e); }

static bool transformer_encoder_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0);
    at_blocks_weights weights;
    at_blocks_pass pass = {.self = {.lengths = at_option_tensor(p, LENGTHS),
                                    .mask = at_option_tensor(p, MASK),
                                    .causal = p->option[CAUSAL].flag},
                           .weights = &weights};
    if (!at_expect(g, l, "x", x, 3, 3, l->set[AT_BLOCK_DIM].integer) ||
        !at_blocks_read_weights(g, l, p, WEIGHTS, &weights))
        return false;
    at_tensor *y = at_blocks_run(g, l, x, &pass);
    return y && at_return(p, at_tensor_value(y)) && (!weights.part.want_weights || at_return(p, weights.found));
}

static bool step(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *x = at_arg_tensor(p, 0);
    at_object *caches[AT_MAX_CACHES];
    bool first;
    at_blocks_weights weights;
    if (!at_expect(g, l, "x", x, 2, 2, l->set[AT_BLOCK_DIM].integer) ||
        !at_blocks_read_weights(g, l, p, STEP_WEIGHTS, &weights) ||
        !at_blocks_open_state(g, l, false, p->arg[1], caches, &first))
        return false;
    at_blocks_pass pass = {.self = {.causal = true}, .caches = caches, .weights = &weights};
    at_tensor *y = at_blocks_run(g, l, at_unsqueeze(g, x, 2), &pass);
    if (y)
        y = at_select(g, y, 2, 1);
    return y && at_return(p, at_tensor_value(y)) && at_return(p, at_blocks_close_state(g, l, false, caches)) &&
           (!weights.part.want_weights || at_return(p, weights.found)) && at_ok(g);
}

static const at_method methods[] = {
    {"forward",
     {{"x", AT_TENSOR, false}},
     options,
     transformer_encoder_forward,
     "encoder(x [B, T, dim], {lengths =, mask =, causal = false, weights = false})\n"
     "    -> y [B, T, dim] [, weights [B, T, T]]; unspecified beyond the lengths"},
    {"step",
     {{"x", AT_TENSOR, false}, {"state", AT_TABLE, true}},
     step_options,
     step,
     "encoder:step(x [B, dim], state, {weights = false}) -> y [B, dim], state [, weights [B, tokens so far]]:\n"
     "the causal pass, one token at a time; state is nil at the start"},
    {"reorder",
     {{"state", AT_TABLE, false}, {"rows", AT_TENSOR, false}},
     NULL,
     at_blocks_reorder,
     "encoder:reorder(state, rows int64 [M]) -> state with these rows"},
    {0},
};

AT_LAYER(encoder_transformer, "encoder.transformer", .fields = fields, .setup = setup, .methods = methods,
         .help = "encoder.transformer{dim =, heads = 1, layers = 1, ff = 4 dim, dropout = 0.1, norm = \"pre\", "
                 "activation = \"relu\",\n"
                 "  attention = {...}} -> layer\n"
                 "Blocks of self-attention and a feed-forward part with residual connections (Vaswani et al. 2017). "
                 "Parameters l1.attention.*,\n"
                 "l1.norm1.*, l1.ff1.*, l1.ff2.*, l1.norm2.*; norm.* at the end when pre. attention takes the fields "
                 "of attn.attention.\n" AT_BLOCK_WEIGHTS_HELP("over the tokens"));
