/*
 * additive: e = v' act(W q + U k + b)                                         (Bahdanau et al. 2015, A.1.2)
 *
 *   weight_query [dim, query]    weight_key [dim, key]    bias [dim]    v [dim]
 *   multi_dimensional: weight_out [value, dim], bias_out [value] in place of v: a score for each feature of the value
 *
 * act is tanh unless `activation` says otherwise. U k + b once per key, W q once per query; the pair kernel adds, takes tanh and
 * multiplies by v; the others are composed (op/pair_act.c).
 */
#include "attn/attention/part.h"

enum { WEIGHT_QUERY, WEIGHT_KEY, BIAS, V };
enum { ACTIVATION };

static const at_field fields[] = {[ACTIVATION] = AT_FIELD_ACTIVATION, {0}};

static at_tensor *key(at_build *g, const at_layer *l, at_tensor *k)
{
    return at_per_head(g, k, at_part_param_of(l, AT_PART_SCORE, WEIGHT_KEY), false,
                       at_part_param_of(l, AT_PART_SCORE, BIAS));
}

static void query(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    (void)first;
    pair->query = at_per_head(g, q, at_part_param_of(l, AT_PART_SCORE, WEIGHT_QUERY), false, NULL);
    pair->v = at_part_param_of(l, AT_PART_SCORE, V);
    pair->inner = at_activation(at_part_setting(l, AT_PART_SCORE, ACTIVATION));
}

static void plain(at_build *g, const at_layer *l, at_tensor *memory, at_plain_attention *out)
{
    if (at_activation(at_part_setting(l, AT_PART_SCORE, ACTIVATION)) != AT_ACT_TANH)
        return;
    out->pair = AT_PAIR_ADDITIVE;
    out->keys =
        at_linear(g, memory, at_part_param_of(l, AT_PART_SCORE, WEIGHT_KEY), at_part_param_of(l, AT_PART_SCORE, BIAS));
    out->weight_query = at_part_param_of(l, AT_PART_SCORE, WEIGHT_QUERY);
    out->v = at_part_param_of(l, AT_PART_SCORE, V);
}

AT_SCORE(additive, .part.formula = "v' act(W q + U k + b)", .part.source = "Bahdanau et al. 2015",
         .pair = AT_PAIR_ADDITIVE, .act = AT_ACT_NONE, .part.fields = fields, .multi = true,
         .part.param = {[WEIGHT_QUERY] = {"weight_query", {AT_SIZE_DIM, AT_SIZE_QUERY}},
                        [WEIGHT_KEY] = {"weight_key", {AT_SIZE_DIM, AT_SIZE_KEY}},
                        [BIAS] = {"bias", {AT_SIZE_DIM}, .bias = true},
                        [V] = {"v", {AT_SIZE_DIM}, .when = AT_SINGLE},
                        [AT_SCORE_OUT] = {"weight_out", {AT_SIZE_VALUE, AT_SIZE_DIM}, .when = AT_MULTI},
                        [AT_SCORE_OUT_BIAS] = {"bias_out", {AT_SIZE_VALUE}, .bias = true, .when = AT_MULTI}},
         .key = key, .query = query, .plain = plain);
