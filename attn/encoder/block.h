/*
 * A block of a Transformer: self-attention, in decoders attention over a memory, and a feed-forward part, each with a residual
 * connection and a layer norm before it (pre) or after the sum (post) (Vaswani et al. 2017; Xiong et al. 2020 on pre and post).
 */
#ifndef AT_ENCODER_BLOCK_H
#define AT_ENCODER_BLOCK_H

#include "attn/attention/attention.h"

/* Fields that encoder.transformer and decoder.transformer share, in this order at the start of their lists. */
enum { AT_BLOCK_DIM, AT_BLOCK_HEADS, AT_BLOCK_LAYERS, AT_BLOCK_FF, AT_BLOCK_DROPOUT, AT_BLOCK_NORM, AT_BLOCK_ACTIVATION,
       AT_BLOCK_ATTENTION, AT_BLOCK_FIELDS };

#define AT_BLOCK_FIELD_LIST                                                                                                     \
    [AT_BLOCK_DIM] = {"dim", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "width of x and of every block"},         \
    [AT_BLOCK_HEADS] = {"heads", AT_FIELD_INTEGER, .value = 1, AT_POSITIVE, .help = "attention heads"},                         \
    [AT_BLOCK_LAYERS] = {"layers", AT_FIELD_INTEGER, .value = 1, .low = 1, .high = 256, .help = "blocks"},                      \
    [AT_BLOCK_FF] = {"ff", AT_FIELD_INTEGER, .value = 0, AT_POSITIVE, .help = "width inside the feed-forward part; 4 dim"},     \
    [AT_BLOCK_DROPOUT] = {"dropout", AT_FIELD_NUMBER, .value = 0.1, AT_PROBABILITY,                                             \
                          .help = "on the output of each part, before the residual sum, in training"},                          \
    [AT_BLOCK_NORM] = {"norm", AT_FIELD_CHOICE, .value = 0, .choices = "pre|post", .help = "where the layer norms stand"},      \
    [AT_BLOCK_ACTIVATION] = {"activation", AT_FIELD_CHOICE, .value = 0, .choices = "relu|gelu|silu",                            \
                             .help = "of the feed-forward part"},                                                               \
    [AT_BLOCK_ATTENTION] = {"attention", AT_FIELD_TABLE, .help = "fields of the self-attention, as of attn.attention"}

/* Declares l1, l2 ... and, with pre, the final norm, in an encoder or decoder whose fields start with the list above. */
bool at_blocks_setup(at_layer *l, bool cross, at_error *e);

/* What one pass over the blocks reads; NULL and 0 where absent. */
typedef struct at_blocks_pass {
    at_attend_options self;         /* its cache is set block by block, from `caches` */
    at_tensor *memory, *memory_lengths;
    at_object **caches;             /* per block the self-attention's, then (with cross) the memory's; NULL: none */
    bool memory_cached;             /* the memory stands in the caches already */
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
