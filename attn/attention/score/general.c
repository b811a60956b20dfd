/*
 * general, biased_general, activated_general: a bilinear form of query and key, of any two widths.
 *
 *   general            e = q' W k              weight [query, key]               (Luong et al. 2015)
 *   biased_general     e = k' (W q + b)        weight [key, query], bias [key]   (Sordoni et al. 2016)
 *   activated_general  e = act(q' W k + b)     weight [query, key], bias [1]     (Ma et al. 2017)
 *
 * The queries are taken into the space of the keys, so that keys go to the kernel (and into a cache) as they are. A
 * fused decoder prefers it the other way round: W k once per sentence.
 */
#include "attn/attention/score/score.h"

enum { WEIGHT, BIAS };

static void turned_query(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    (void)first;
    pair->query = at_per_head(g, q, at_score_param(l, WEIGHT), true, NULL);
}

static void biased_query(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    (void)first;
    pair->query = at_per_head(g, q, at_score_param(l, WEIGHT), false, at_score_param(l, BIAS));
}

static void activated_query(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    turned_query(g, l, q, first, pair);
    pair->act_bias = at_score_param(l, BIAS);
}

static void choose_act(const at_layer *l, size_t d, at_pair *pair)
{
    static const at_score_act act[] = {AT_ACT_TANH, AT_ACT_RELU, AT_ACT_SIGMOID};
    (void)d;
    pair->act = act[at_attention_activation(l)];
}

static void plain_general(at_build *g, const at_layer *l, at_tensor *memory, at_plain_attention *out)
{
    out->pair = AT_PAIR_DOT;
    out->keys = at_linear(g, memory, at_score_param(l, WEIGHT), NULL);          /* [B, S, query] */
    out->scale = 1;
}

static void plain_biased(at_build *g, const at_layer *l, at_tensor *memory, at_plain_attention *out)
{
    (void)g;
    out->pair = AT_PAIR_DOT;
    out->keys = memory;
    out->weight_query = at_score_param(l, WEIGHT);
    out->bias_query = at_score_param(l, BIAS);
    out->scale = 1;
}

AT_SCORE(general, .pair = AT_PAIR_DOT, .act = AT_ACT_NONE,
    .param = {[WEIGHT] = {"weight", {AT_SIZE_QUERY, AT_SIZE_KEY}}},
    .query = turned_query, .plain = plain_general);

AT_SCORE(biased_general, .pair = AT_PAIR_DOT, .act = AT_ACT_NONE,
    .param = {[WEIGHT] = {"weight", {AT_SIZE_KEY, AT_SIZE_QUERY}}, [BIAS] = {"bias", {AT_SIZE_KEY}, .bias = true}},
    .query = biased_query, .plain = plain_biased);

AT_SCORE(activated_general, .pair = AT_PAIR_DOT, .act = AT_ACT_TANH,
    .param = {[WEIGHT] = {"weight", {AT_SIZE_QUERY, AT_SIZE_KEY}}, [BIAS] = {"bias", {AT_SIZE_ONE}, .bias = true}},
    .configure = choose_act, .query = activated_query);
