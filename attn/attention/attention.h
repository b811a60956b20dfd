/*
 * Attention for code that is composed of it: encoders, decoders. The layer itself, its axes and the choice of path:
 * attention.c.
 *
 * at_attend is one call of an attention layer without Lua around it; options are those of the script's call.
 */
#ifndef AT_ATTENTION_ATTENTION_H
#define AT_ATTENTION_ATTENTION_H

#include "attn/op/attend.h"
#include "attn/layer/layer.h"

extern const at_layer_kind at_layer_attention;

typedef enum at_attend_path { AT_PATH_AUTO, AT_PATH_COMPOSED } at_attend_path;

/* Zero is the default of every field. Tensors are borrowed. */
typedef struct at_attend_options {
    at_tensor *lengths;  /* int64 [B], 0..Tk */
    at_tensor *key_mask; /* bool [B, Tk] */
    at_tensor *mask;     /* bool [Tq, Tk], [B, Tq, Tk], [B, H, Tq, Tk]; [B, Tk] if Tq is 1 */
    at_tensor *bias;     /* float, the shapes of mask */
    bool causal;
    int64_t position; /* step of the first query, from 1; 0: 1, with a cache the place behind what it holds */
    at_object *cache; /* of at_cache_new or attend:cache(); Tk then counts what it holds too */
    bool want_weights;
    int64_t rows[2];       /* with want_weights: only these queries (first, last), 0: all */
    const at_table *heads; /* with want_weights: only these heads, a list of numbers from 1; NULL: all */
    at_attend_path path;   /* for tests that compare paths */
} at_attend_options;

/* What a call gives besides the context; NULL where it does not. */
typedef struct at_attended {
    at_tensor *weights;       /* [B, Tq, Tk], [B, H, Tq, Tk] with heads, without Tq for one step; if asked for */
    at_tensor *logp;          /* hard_sample only: log-probability of the keys taken [B, Tq] or [B, H, Tq] */
    at_tensor *probabilities; /* hard_sample only: what the keys were drawn from, like weights */
} at_attended;

/*
 * Runs an attention layer. query [B, Tq, query] or [B, query] (one step), key [B, Tk, key], value [B, Tk, value] or
 * NULL (the key); o may be NULL. Returns the context [B, Tq, value] ([B, value] for one step); NULL after a failure.
 * more may be NULL.
 */
at_tensor *at_attend(at_build *g, at_layer *attend, at_tensor *query, at_tensor *key, at_tensor *value,
                     const at_attend_options *o, at_attended *more);

/*
 * Reads a call's option `weights` into o: nil, true, false or {rows = {first, last}, heads = {...}}. layers: the
 * attention is one of several, and `layer` and heads = true are left to the caller.
 */
bool at_attend_read_weights(at_build *g, at_value v, bool layers, at_attend_options *o);

/*
 * Attention that a fused sequence can run itself: one head, softmax over all keys (lengths are the caller's to apply),
 * nothing projected, nothing dropped at the moment. keys are prepared here, once per memory, on the tape:
 *
 *   AT_PAIR_DOT        e_j = scale <keys_j, x>            x = W q (+ b), or q itself where weight_query is NULL
 *   AT_PAIR_ADDITIVE   e_j = <v, tanh(keys_j + x)>
 *
 * The context is sum_j a_j memory_j.
 */
typedef struct at_plain_attention {
    at_pair_kind pair;       /* AT_PAIR_DOT or AT_PAIR_ADDITIVE */
    at_tensor *keys;         /* [B, S, D] */
    at_tensor *weight_query; /* [D, query] or NULL */
    at_tensor *bias_query;   /* [D] or NULL: only biased_general has one */
    at_tensor *v;            /* [D], additive only */
    double scale;            /* dot only */
} at_plain_attention;

/* True and *out filled if the layer is such an attention with the memory as key and value. False without an error if it
 * is not; a failure is in g->error. */
bool at_attention_plain(at_build *g, at_layer *attend, at_tensor *memory, at_plain_attention *out);

/* Widths a layer was made for, for those who hold one. */
typedef struct at_attention_shape {
    int64_t query, key, value, output, heads;
    bool projected, samples; /* samples: hard_sample, which always gives all of at_attended */
} at_attention_shape;
at_attention_shape at_attention_shape_of(const at_layer *attend);

/* ---- key and value caches ---- */

extern const at_class at_cache_class;

/* An empty cache, one reference for the caller. */
at_object *at_cache_new(at_error *e);

/* Number of keys so far. */
int64_t at_cache_length(const at_object *cache);

/* Another cache with the same past, which the old one keeps: both may go on. Costs nothing until they differ. */
at_object *at_cache_fork(const at_object *cache, at_error *e);

/* A cache with row rows[m] (int64 [M], from 1) of the old one as its row m: rows may be picked, repeated, dropped. */
at_object *at_cache_reorder(at_build *g, const at_object *cache, at_tensor *rows);

#endif
