/*
 * The contract of the parts of attention: scores, distributions, windows, positions. One constant record per part, one
 * file each, one line in the folder's list.h.
 *
 * attention.c does the rest once for all of them: projections, heads, biases, masks, dropout, weights, caches, errors.
 * A score prepares queries and keys with ordinary operations; a pair kernel makes the numbers. Parameters are declared
 * by symbolic sizes; with heads they get a leading dimension, and their widths are those of one head.
 */
#ifndef AT_ATTENTION_SCORE_H
#define AT_ATTENTION_SCORE_H

#include "attn/attention/attention.h"

typedef struct at_attention at_attention;

/* ---- parameters ---- */

typedef enum at_size {
    AT_SIZE_NONE,
    AT_SIZE_ONE, AT_SIZE_QUERY, AT_SIZE_KEY, AT_SIZE_BOTH,      /* BOTH: query + key */
    AT_SIZE_VALUE, AT_SIZE_DIM,                                 /* DIM: the score space */
    AT_SIZE_KEYS, AT_SIZE_QUERIES                               /* max_keys, max_queries */
} at_size;

typedef enum at_when { AT_ALWAYS, AT_SINGLE, AT_MULTI } at_when;

typedef struct at_param_spec {
    const char *name;
    at_size size[2];
    bool bias;                  /* dropped by bias = false */
    at_when when;               /* only with this kind of output */
    bool fixable;               /* trainable = false makes it a buffer */
} at_param_spec;

/* OUT, OUT_BIAS: where a score with a multi-dimensional form has its last layer. */
enum { AT_SCORE_OUT = 4, AT_SCORE_OUT_BIAS = 5, AT_SCORE_PARAMS = 6, AT_WINDOW_PARAMS = 2 };

/* ---- scores ---- */

/* A score ready to be computed. */
typedef struct at_pair {
    at_pair_kind kind;
    at_tensor *query, *key;     /* [B, Tq, H, D], [B, Tk, Hk, D] */
    at_tensor *v;               /* additive: [D] or [H, D] */
    at_tensor *table;           /* table: [B or 1, Tq, H, >= Tk] */
    double scale;
    at_score_act act;
    at_tensor *act_bias;        /* [1] or [H, 1] */
} at_pair;

typedef struct at_score {
    const char *name;
    at_pair_kind pair;
    at_score_act act;
    at_param_spec param[AT_SCORE_PARAMS];
    bool needs_dim, needs_keys, needs_queries;
    bool same_width;            /* query and key must be equally wide */
    bool keyless;               /* the keys' contents do not matter */
    bool multi;                 /* has a form for multi_dimensional output */
    bool direct;                /* never a matrix: op/attend_linear.c */
    /* Sets kind and act beyond the record's, and the scale; d: width of one head. NULL: scale 1. */
    void (*configure)(const at_layer *l, size_t d, at_pair *pair);
    /* Keys for the pair kernel, from [B, T, Hk, key]; NULL: as they are. What comes out is what a cache holds. */
    at_tensor *(*key)(at_build *g, const at_layer *l, at_tensor *k);
    /* Queries for the pair kernel, from [B, Tq, H, query] into pair->query, with what else the kernel needs; first: the
     * place of the first query, from 0. NULL: as they are. */
    void (*query)(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair);
    /* For a fused sequence, one head without projections; NULL: it cannot. */
    void (*plain)(at_build *g, const at_layer *l, at_tensor *memory, at_plain_attention *out);
} at_score;

#define AT_SCORE(id, ...) const at_score at_score_##id = {.name = #id, __VA_ARGS__}

/* ---- distributions ---- */

typedef struct at_distribution {
    const char *name;
    at_row_kind row;            /* op/attend_rows.c */
    at_row_kind row_eval;       /* with samples: in eval mode */
    bool samples;               /* always returns weights, log-probability and probabilities */
} at_distribution;

#define AT_DISTRIBUTION(id, ...) const at_distribution at_distribution_##id = {.name = #id, __VA_ARGS__}

/* ---- windows ---- */

/* Keys a query may look at, from 0, hi not included; already cut by length and causal order. */
typedef struct at_range { int64_t lo, hi; } at_range;

typedef struct at_window_setting {
    double radius;              /* monotonic, predictive */
    int64_t left, right;        /* band */
} at_window_setting;

typedef struct at_window {
    const char *name;
    const char *fields[3];      /* beside type, all of them needed: "radius" or "left", "right" */
    at_param_spec param[AT_WINDOW_PARAMS];
    bool learned;               /* has a place p per query, on the tape */
    /* False with a message for a setting without meaning. May be NULL. */
    bool (*check)(const at_window_setting *s, at_error *e);
    /* p [B, Tq] of unprojected queries [B, Tq, query]; valid [B]: number of valid keys of each row, in the layer's
     * type. */
    at_tensor *(*place)(at_build *g, const at_layer *l, at_tensor *query, at_tensor *valid);
    /* Cuts a range. i: place of the query from 0, step: its decoding step from 1, p: from `place`. */
    void (*cut)(const at_window_setting *s, int64_t i, int64_t step, double p, at_range *range);
} at_window;

#define AT_WINDOW(id, ...) const at_window at_window_##id = {.name = #id, __VA_ARGS__}

/* ---- positions ---- */

typedef struct at_position {
    const char *name;
    bool needs_project, needs_keys;     /* keys: means nothing to a score that does not read them */
    bool distance;                      /* subtracts a head's slope times the distance: op/attend_rows.c */
    /* Turns queries or keys [B, T, H, D], the first at place `first` (from 0); NULL: nothing is turned. */
    at_tensor *(*turn)(at_build *g, at_tensor *x, int64_t first);
} at_position;

#define AT_POSITION(id, ...) const at_position at_position_##id = {.name = #id, __VA_ARGS__}

/* ---- the layer's own ---- */

struct at_attention {
    const at_score *score;
    const at_distribution *distribution;
    const at_window *window;            /* NULL: global */
    const at_position *position;        /* NULL: none */
    at_window_setting setting;
    size_t query, key, value;           /* widths of the arguments */
    size_t heads, kv_heads;
    bool project, bias, multi;
    size_t dim, out;                    /* all heads together; width of the result */
    size_t head;                        /* with projections: width of one head */
    size_t q, k, v;                     /* widths the score sees, and of a head's values */
    size_t score_dim;
    double dropout;
    uint8_t projection[4], projection_bias[4]; /* query, key, value, out: places among the members, from 1; 0: none */
    uint8_t score_param[AT_SCORE_PARAMS], window_param[AT_WINDOW_PARAMS];
};

static inline const at_attention *at_attention_of(const at_layer *l) { return l->own; }

/* The k-th parameter of the score's (window's) record; NULL if the configuration drops it. */
static inline at_tensor *at_score_param(const at_layer *l, int k)
{
    uint8_t place = at_attention_of(l)->score_param[k];
    return place ? l->member[place - 1].tensor : NULL;
}

static inline at_tensor *at_window_param(const at_layer *l, int k)
{
    uint8_t place = at_attention_of(l)->window_param[k];
    return place ? l->member[place - 1].tensor : NULL;
}

/* Fields of the configuration that scores read. */
double at_attention_beta(const at_layer *l);
int64_t at_attention_kernel(const at_layer *l);         /* place among exponential|rbf|polynomial */
int64_t at_attention_activation(const at_layer *l);     /* place among tanh|relu|sigmoid */

/*
 * x W' + b for every head with its own matrix: x [B, T, H, in], weight [out, in] or [H, out, in] (turned: [in, out],
 * [H, in, out]), bias NULL, [out] or [H, out]; returns [B, T, H, out]. Fewer heads of x than of the weight are
 * repeated.
 */
at_tensor *at_per_head(at_build *g, at_tensor *x, at_tensor *weight, bool turned, at_tensor *bias);

#endif
