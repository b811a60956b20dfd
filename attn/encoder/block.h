/*
 * A block of a Transformer: self-attention, in decoders attention over a memory, and a feed-forward part, each with a residual
 * connection and a layer norm before it (pre) or after the sum (post) (Vaswani et al. 2017; Xiong et al. 2020 on pre and post).
 */
#ifndef AT_ENCODER_BLOCK_H
#define AT_ENCODER_BLOCK_H

#include "attn/attention/attention.h"

/* Fields that encoder.transformer and decoder.transformer share, in this order at the start of their lists. */
enum {
    AT_BLOCK_DIM,
    AT_BLOCK_HEADS,
    AT_BLOCK_LAYERS,
    AT_BLOCK_FF,
    AT_BLOCK_DROPOUT,
    AT_BLOCK_NORM,
    AT_BLOCK_ACTIVATION,
    AT_BLOCK_ATTENTION,
    AT_BLOCK_FIELDS
};

#define AT_BLOCK_FIELD_LIST                                                                                            \
    [AT_BLOCK_DIM] = {"dim", AT_FIELD_INTEGER, .required = true, AT_POSITIVE,                                          \
                      .help = "width of x and of every block"},                                                        \
    [AT_BLOCK_HEADS] = {"heads", AT_FIELD_INTEGER, .value = 1, AT_POSITIVE, .help = "attention heads"},                \
    [AT_BLOCK_LAYERS] = {"layers", AT_FIELD_INTEGER, .value = 1, .low = 1, .high = 256, .help = "blocks"},             \
    [AT_BLOCK_FF] = {"ff", AT_FIELD_INTEGER, .value = 0, AT_POSITIVE,                                                  \
                     .help = "width inside the feed-forward part; 4 dim"},                                             \
    [AT_BLOCK_DROPOUT] = {"dropout", AT_FIELD_NUMBER, .value = 0.1, AT_PROBABILITY,                                    \
                          .help = "on the output of each part, before the residual sum, in training"},                 \
    [AT_BLOCK_NORM] = {"norm", AT_FIELD_CHOICE, .value = 0, .choices = "pre|post",                                     \
                       .help = "where the layer norms stand"},                                                         \
    [AT_BLOCK_ACTIVATION] = {"activation", AT_FIELD_CHOICE, .value = 0, .choices = "relu|gelu|silu",                   \
                             .help = "of the feed-forward part"},                                                      \
    [AT_BLOCK_ATTENTION] = {"attention", AT_FIELD_TABLE, .help = "fields of the self-attention, as of attn.attention"}

/* Declares l1, l2 ... and, with pre, the final norm, in an encoder or decoder whose fields start with the list above. */
bool at_blocks_setup(at_layer *l, bool cross, at_error *e);

/*
 * Weights of attention that a pass gives beside its output: those over the memory in decoders, else those of the
 * self-attention. One matrix [B, T, S] by default, the mean over the heads of the last block, since that is what
 * searches and alignments are made of; each head's [B, H, T, S] and other blocks by name. The last: of words spelled
 * alike in both languages it finds most (the Transformer of scripts/self_attention after 832 steps: 59, 67 and 70 % by
 * blocks 1, 2, 3); in deeper models the last but one may be better (Garg et al. 2019).
 */
typedef struct at_blocks_weights {
    at_attend_options part; /* want_weights, rows, heads */
    bool heads;             /* each head's, not their mean */
    int64_t layer;          /* from 1; 0: a list of all */
    at_value found;         /* after the pass: a tensor or a list of them; without T where it was a step */
} at_blocks_weights;

#define AT_BLOCK_WEIGHTS                                                                                               \
    {                                                                                                                  \
        "weights", AT_FIELD_VALUE,                                                                                     \
            .help = "true, or {layer = k | \"all\", heads = true | {...}, rows = {first, last}}"                       \
    }

/* What the help of these layers says about the option; which: "over the memory". */
#define AT_BLOCK_WEIGHTS_HELP(which)                                                                                   \
    "weights = true gives the weights of the attention " which " too, those before dropout: the mean over the\n"       \
    "heads of the last layer, one row for each token, which is what alignments, attn.search and attn.show take.\n"     \
    "{layer = k} takes another layer (-1 is the last), {layer = \"all\"} a list of all; {heads = true} or\n"           \
    "{heads = {1, 3}} keeps the heads apart, as attn.attention does; {rows = {first, last}} takes some of the\n"       \
    "tokens. The output is the same, bit for bit, and gradients pass through the weights."

/* Reads such an option; k is its place among the options of p. w->part.want_weights tells whether any are asked for. */
bool at_blocks_read_weights(at_build *g, const at_layer *l, const at_pass *p, int k, at_blocks_weights *w);

/* What one pass over the blocks reads; NULL and 0 where absent. */
typedef struct at_blocks_pass {
    at_attend_options self; /* its cache is set block by block, from `caches` */
    at_tensor *memory, *memory_lengths;
    at_object **caches;         /* per block the self-attention's, then (with cross) the memory's; NULL: none */
    bool memory_cached;         /* the memory stands in the caches already */
    at_blocks_weights *weights; /* NULL: none */
} at_blocks_pass;

/* x [B, T, dim] through all blocks and the final norm. */
at_tensor *at_blocks_run(at_build *g, at_layer *l, at_tensor *x, const at_blocks_pass *p);

/*
 * Step by step: the state is {decoder = l, l1 = cache, ...}. Forks the caches of `state` (nil: empty ones) into caches[0..n-1],
 * which belong to the builder; *first tells that the state was nil. False with the error set.
 */
bool at_blocks_open_state(at_build *g, at_layer *l, bool cross, at_value state, at_object **caches, bool *first);

/* The table for the next step. */
at_value at_blocks_close_state(at_build *g, at_layer *l, bool cross, at_object *const *caches);

/* A state with its rows picked, repeated or dropped (int64 [M], from 1). */
bool at_blocks_reorder(at_build *g, at_layer *l, at_pass *p);

enum { AT_MAX_CACHES = 512 };

#endif
