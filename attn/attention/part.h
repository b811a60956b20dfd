/*
 * The contract of the parts of attention: scores, windows, positions; distributions are rows (row/row.h). One constant
 * record per part, one file each, one line in the folder's list.h. What every part says of itself (name, formula,
 * source, fields, parameters) is core/part.h; parts.c reads it, and nobody else includes the lists.
 *
 * attention.c does the rest once for all of them: projections, heads, biases, masks, dropout, weights, caches, errors.
 * A score prepares queries and keys with ordinary operations; a pair kernel makes the numbers. Parameters are declared
 * by symbolic sizes; with heads they get a leading dimension, and their widths are those of one head.
 */
#ifndef AT_ATTENTION_PART_H
#define AT_ATTENTION_PART_H

#include "attn/attention/attention.h"
#include "attn/core/part.h"
#include "attn/row/row.h"

typedef struct at_attention at_attention;

typedef enum at_part_kind {
    AT_PART_SCORE,
    AT_PART_DISTRIBUTION,
    AT_PART_WINDOW,
    AT_PART_POSITION,
    AT_PART_KINDS
} at_part_kind;

/* Sizes of parameters, beside plain numbers. DIM: the score space; for windows dim, and QUERY the query as it comes. */
enum {
    AT_SIZE_QUERY = -1,
    AT_SIZE_KEY = -2,
    AT_SIZE_BOTH = -3,
    AT_SIZE_VALUE = -4,
    AT_SIZE_DIM = -5,
    AT_SIZE_FIELDS = -16
};
#define AT_SIZE_FIELD(k) (AT_SIZE_FIELDS - (k)) /* what the part's own field k says; BOTH: query + key */

/* Fields that several scores have. */
#define AT_FIELD_MAX_KEYS                                                                                              \
    {                                                                                                                  \
        "max_keys", AT_FIELD_INTEGER, .required = true, AT_POSITIVE, .help = "the most keys a call may have"           \
    }
#define AT_FIELD_ACTIVATION                                                                                            \
    {                                                                                                                  \
        "activation", AT_FIELD_CHOICE, .choices = "tanh|relu|sigmoid|none", .help = "act"                              \
    }

static inline at_score_act at_activation(const at_setting *activation)
{
    static const at_score_act act[] = {AT_ACT_TANH, AT_ACT_RELU, AT_ACT_SIGMOID, AT_ACT_NONE};
    return act[activation->integer];
}

/* ---- scores ---- */

/* Places of the last layer of a score with a multi-dimensional form. */
enum { AT_SCORE_OUT = 4, AT_SCORE_OUT_BIAS = 5 };

/* A score ready to be computed. */
typedef struct at_pair {
    at_pair_kind kind;
    at_tensor *query, *key; /* [B, Tq, H, D], [B, Tk, Hk, D] */
    at_tensor *v;           /* additive: [D] or [H, D] */
    at_score_act inner;     /* additive: what is done to q + k */
    at_tensor *table;       /* table: [B or 1, Tq, H, >= Tk] */
    double scale;
    at_score_act act;
    at_tensor *act_bias; /* [1] or [H, 1] */
} at_pair;

typedef struct at_score {
    at_part part;
    at_pair_kind pair;
    at_score_act act;
    bool same_width; /* query and key must be equally wide */
    bool keyless;    /* the keys' contents do not matter */
    bool multi;      /* has a form for multi_dimensional output */
    bool direct;     /* never a matrix: op/attend_linear.c */
    /* Sets kind and act beyond the record's, and the scale; d: width of one head. NULL: scale 1. */
    void (*configure)(const at_layer *l, size_t d, at_pair *pair);
    /* Keys for the pair kernel, from [B, T, Hk, key]; NULL: as they are. What comes out is what a cache holds. */
    at_tensor *(*key)(at_build *g, const at_layer *l, at_tensor *k);
    /* Queries for the pair kernel, from [B, Tq, H, query] into pair->query, with what else the kernel needs; first: the
     * place of the first query, from 0. NULL: as they are. */
    void (*query)(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair);
    /* For a fused sequence, one head without projections; NULL, or no keys made: it cannot. */
    void (*plain)(at_build *g, const at_layer *l, at_tensor *memory, at_plain_attention *out);
} at_score;

#define AT_SCORE(id, ...) const at_score at_score_##id = {.part.name = #id, __VA_ARGS__}

/* ---- windows ---- */

/* Keys a query may look at, from 0, hi not included; already cut by length and causal order. */
typedef struct at_range {
    int64_t lo, hi;
} at_range;

/* `set`: the window's fields, in its order. */
typedef struct at_window {
    at_part part;
    /* False with a message for a setting without meaning. May be NULL. */
    bool (*check)(const at_setting *set, at_error *e);
    /* p [B, Tq] of unprojected queries [B, Tq, query], on the tape; valid [B]: number of valid keys of each row, in the layer's
     * type. NULL: the window is where the step is. With a place go weights times exp(-(j - p)^2 / (2 sigma^2)). */
    at_tensor *(*place)(at_build *g, const at_layer *l, at_tensor *query, at_tensor *valid);
    double (*sigma)(const at_setting *set);
    /* Cuts a range. i: place of the query from 0, step: its decoding step from 1, p: from `place`. */
    void (*cut)(const at_setting *set, int64_t i, int64_t step, double p, at_range *range);
} at_window;

#define AT_WINDOW(id, ...) const at_window at_window_##id = {.part.name = #id, __VA_ARGS__}

/* ---- positions ---- */

typedef struct at_position {
    at_part part;
    bool needs_project, needs_keys; /* keys: means nothing to a score that does not read them */
    bool distance;                  /* subtracts a head's slope times the distance: op/rows.c */
    /* Turns queries or keys [B, T, H, D], the first at place `first` (from 0); NULL: nothing is turned. */
    at_tensor *(*turn)(at_build *g, at_tensor *x, int64_t first);
} at_position;

#define AT_POSITION(id, ...) const at_position at_position_##id = {.part.name = #id, __VA_ARGS__}

/* ---- the layer's own ---- */

/* What the configuration says to a part, and where its parameters are among the members (from 1; 0: dropped). */
typedef struct at_chosen {
    at_setting set[AT_PART_FIELDS];
    uint8_t param[AT_PART_PARAMS];
} at_chosen;

enum { AT_MAX_CAPTURED = 16 }; /* tensors that the script's functions read */

struct at_attention {
    const at_score *score;
    const at_row_kind *distribution;
    int row;                     /* its id */
    const at_window *window;     /* NULL: global */
    const at_position *position; /* NULL: none */
    at_chosen chosen[AT_PART_KINDS];
    size_t query, key, value; /* widths of the arguments */
    size_t heads, kv_heads;
    bool project, bias, multi;
    size_t dim, out; /* all heads together; width of the result */
    size_t head;     /* with projections: width of one head */
    size_t q, k, v;  /* widths the score sees, and of a head's values */
    size_t score_dim;
    double dropout;
    at_tensor *score_mod, *score_back, *mask_mod; /* programs of the script's functions; NULL: none */
    size_t captured, first_captured;              /* tensors that they read: so many members from that place on */
    uint8_t projection[4], projection_bias[4]; /* query, key, value, out: places among the members, from 1; 0: none */
};

static inline const at_attention *at_attention_of(const at_layer *l) { return l->own; }

/* Field k of a part's record, as configured. */
static inline const at_setting *at_part_setting(const at_layer *l, at_part_kind kind, int k)
{
    return &at_attention_of(l)->chosen[kind].set[k];
}

/* Parameter k of a part's record; NULL if the configuration drops it. */
static inline at_tensor *at_part_param_of(const at_layer *l, at_part_kind kind, int k)
{
    uint8_t place = at_attention_of(l)->chosen[kind].param[k];
    return place ? l->member[place - 1].tensor : NULL;
}

/* ---- parts.c ---- */

/* The part of a kind that the layer has; NULL: none. */
const at_part *at_part_of(const at_attention *a, at_part_kind kind);

/* Words for a field that chooses among the parts of a kind: "dot|scaled_dot|..."; and the place of one among them. */
const char *at_part_choices(at_part_kind kind);
double at_part_place(at_part_kind kind, const char *name);

/* Adds the fields of all parts to a list of at most AT_MAX_FIELD that has n, each once. */
void at_part_fields(at_field *list, int n);

/* "  name: formula  (source)" of all parts of a kind, a line each, appended to text. */
void at_part_help(char *text, size_t room, at_part_kind kind);

/* Sets the layer's parts from l->set, where the choices stand at `at`, with the fields of each; a field of a part that is not
 * there is an error. */
bool at_part_read(at_layer *l, const int at[AT_PART_KINDS], at_error *e);

/* ---- helpers of scores (attention.c) ---- */

/*
 * x W' + b for every head with its own matrix: x [B, T, H, in], weight [out, in] or [H, out, in] (turned: [in, out],
 * [H, in, out]), bias NULL, [out] or [H, out]; returns [B, T, H, out]. Fewer heads of x than of the weight are
 * repeated.
 */
at_tensor *at_per_head(at_build *g, at_tensor *x, at_tensor *weight, bool turned, at_tensor *bias);

#endif
