/*
 * decoder.transformer: blocks of causal self-attention, attention over a memory, and a feed-forward part (Vaswani et al. 2017,
 * section 3.1), teacher-forced or step by step over caches. The memory is projected once, at the first step.
 */
#include "attn/encoder/block.h"

enum { LENGTHS, MEMORY_LENGTHS, WEIGHTS };
enum { STEP_MEMORY_LENGTHS, STEP_WEIGHTS };

static const at_field fields[] = {AT_BLOCK_FIELD_LIST, {0}};

static const at_field options[] = {
    [LENGTHS] = {"lengths", AT_FIELD_IDS, .help = "valid tokens of y [B]"},
    [MEMORY_LENGTHS] = {"memory_lengths", AT_FIELD_IDS, .help = "valid entries of the memory [B]"},
    [WEIGHTS] = AT_BLOCK_WEIGHTS,
    {0},
};

static const at_field step_options[] = {
    [STEP_MEMORY_LENGTHS] = {"memory_lengths", AT_FIELD_IDS, .help = "valid entries of the memory [B]"},
    [STEP_WEIGHTS] = AT_BLOCK_WEIGHTS,
    {0},
};

static bool setup(at_layer *l, at_error *e) { return at_blocks_setup(l, true, e); }

static bool check_memory(at_build *g, const at_layer *l, const at_tensor *y, const at_tensor *memory)
{
    return at_expect(g, l, "memory", memory, 3, 3, l->set[AT_BLOCK_DIM].integer) &&
           (memory->size[0] == y->size[0] || at_refuse(g, "memory has %zu rows, expected %zu (memory: %s)",
                                                       memory->size[0], y->size[0], at_describe(memory).text));
}

static bool transformer_decoder_forward(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *y = at_arg_tensor(p, 0), *memory = at_arg_tensor(p, 1);
    at_blocks_weights weights;
    if (!at_expect(g, l, "y", y, 3, 3, l->set[AT_BLOCK_DIM].integer) || !check_memory(g, l, y, memory) ||
        !at_blocks_read_weights(g, l, p, WEIGHTS, &weights))
        return false;
    at_blocks_pass pass = {.self = {.lengths = at_option_tensor(p, LENGTHS), .causal = true},
                           .memory = memory,
                           .memory_lengths = at_option_tensor(p, MEMORY_LENGTHS),
                           .weights = &weights};
    at_tensor *out = at_blocks_run(g, l, y, &pass);
    return out && at_return(p, at_tensor_value(out)) && (!weights.part.want_weights || at_return(p, weights.found));
}

static bool step(at_build *g, at_layer *l, at_pass *p)
{
    at_tensor *y = at_arg_tensor(p, 0), *memory = at_arg_tensor(p, 1);
    at_object *caches[AT_MAX_CACHES];
    bool first;
    at_blocks_weights weights;
    if (!at_expect(g, l, "y", y, 2, 2, l->set[AT_BLOCK_DIM].integer) || !check_memory(g, l, y, memory) ||
        !at_blocks_read_weights(g, l, p, STEP_WEIGHTS, &weights) ||
        !at_blocks_open_state(g, l, true, p->arg[2], caches, &first))
        return false;
    at_blocks_pass pass = {
        .self = {.causal = true},
        .memory = memory,
        .memory_lengths = at_option_tensor(p, STEP_MEMORY_LENGTHS),
        .caches = caches,
        .memory_cached = !first,
        .weights = &weights};
    at_tensor *out = at_blocks_run(g, l, at_unsqueeze(g, y, 2), &pass);
    if (out)
        out = at_select(g, out, 2, 1);
    return out && at_return(p, at_tensor_value(out)) && at_return(p, at_blocks_close_state(g, l, true, caches)) &&
           (!weights.part.want_weights || at_return(p, weights.found)) && at_ok(g);
}

static const at_method methods[] = {
    {"forward",
     {{"y", AT_TENSOR, false}, {"memory", AT_TENSOR, false}},
     options,
     transformer_decoder_forward,
     "decoder(y [B, T, dim], memory [B, S, dim], {lengths =, memory_lengths =, weights = false})\n"
     "    -> [B, T, dim] [, weights [B, T, S]]"},
    {"step",
     {{"y", AT_TENSOR, false}, {"memory", AT_TENSOR, false}, {"state", AT_TABLE, true}},
     step_options,
     step,
     "decoder:step(y [B, dim], memory, state, {memory_lengths =, weights = false})\n"
     "    -> [B, dim], state [, weights [B, S]]; state is nil at the start.\n"
     "The memory is read at the first step; later it only has to be there, with the same rows."},
    {"reorder",
     {{"state", AT_TABLE, false}, {"rows", AT_TENSOR, false}},
     NULL,
     at_blocks_reorder,
     "decoder:reorder(state, rows int64 [M]) -> state with these rows"},
    {0},
};

AT_LAYER(decoder_transformer, "decoder.transformer", .fields = fields, .setup = setup, .methods = methods,
         .help = "decoder.transformer{dim =, heads = 1, layers = 1, ff = 4 dim, dropout = 0.1, norm = \"pre\", "
                 "activation = \"relu\",\n"
                 "  attention = {...}} -> layer\n"
                 "Blocks of causal self-attention (l1.self.*, with the fields of `attention`), attention over a memory "
                 "(l1.cross.*) and a\n"
                 "feed-forward part (Vaswani et al. 2017). norm1 belongs to self, norm2 to cross, norm3 to "
                 "ff.\n" AT_BLOCK_WEIGHTS_HELP("over the memory"));
