/*
 * general, biased_general, activated_general: a bilinear form of query and key, of any two widths.
 *
 *   general            e = q' W k              weight [query, key]               (Luong et al. 2015)
 *   biased_general     e = k' (W q + b)        weight [key, query], bias [key]   (Sordoni et al. 2016)
 *   activated_general  e = act(q' W k + b)     weight [query, key], bias [1]     (Ma et al. 2017)
 *
 * bias = false leaves the bias of biased_general, which would be general without it.
 *
 * The queries are taken into the space of the keys, so that keys go to the kernel (and into a cache) as they are. A
 * fused decoder prefers it the other way round: W k once per sentence.
 */
#include "attn/attention/part.h"

enum { WEIGHT, BIAS };
enum { ACTIVATION };

static const at_field activated_fields[] = {[ACTIVATION] = AT_FIELD_ACTIVATION, {0}};

static void turned_query(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    (void)first;
    pair->query = at_per_head(g, q, at_part_param_of(l, AT_PART_SCORE, WEIGHT), true, NULL);
}

static void biased_query(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    (void)first;
    pair->query =
        at_per_head(g, q, at_part_param_of(l, AT_PART_SCORE, WEIGHT), false, at_part_param_of(l, AT_PART_SCORE, BIAS));
}

static void activated_query(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    turned_query(g, l, q, first, pair);
    pair->act_bias = at_part_param_of(l, AT_PART_SCORE, BIAS);
}

static void choose_act(const at_layer *l, size_t d, at_pair *pair)
{
    (void)d;
    pair->act = at_activation(at_part_setting(l, AT_PART_SCORE, ACTIVATION));
}

static void plain_general(at_build *g, const at_layer *l, at_tensor *memory, at_plain_attention *out)
{
    out->pair = AT_PAIR_DOT;
    out->keys = at_linear(g, memory, at_part_param_of(l, AT_PART_SCORE, WEIGHT), NULL); /* [B, S, query] */
    out->scale = 1;
}

static void plain_biased(at_build *g, const at_layer *l, at_tensor *memory, at_plain_attention *out)
{
    (void)g;
    out->pair = AT_PAIR_DOT;
    out->keys = memory;
    out->weight_query = at_part_param_of(l, AT_PART_SCORE, WEIGHT);
    out->bias_query = at_part_param_of(l, AT_PART_SCORE, BIAS);
    out->scale = 1;
}

AT_SCORE(general, .part.formula = "q' W k", .part.source = "Luong et al. 2015", .pair = AT_PAIR_DOT, .act = AT_ACT_NONE,
         .part.param = {[WEIGHT] = {"weight", {AT_SIZE_QUERY, AT_SIZE_KEY}}}, .query = turned_query,
         .plain = plain_general);

AT_SCORE(biased_general, .part.formula = "k' (W q + b)", .part.source = "Sordoni et al. 2016", .pair = AT_PAIR_DOT,
         .act = AT_ACT_NONE,
         .part.param = {[WEIGHT] = {"weight", {AT_SIZE_KEY, AT_SIZE_QUERY}}, [BIAS] = {"bias", {AT_SIZE_KEY}}},
         .query = biased_query, .plain = plain_biased);

AT_SCORE(activated_general, .part.formula = "act(q' W k + b)", .part.source = "Ma et al. 2017", .pair = AT_PAIR_DOT,
         .act = AT_ACT_TANH,
         .part.param = {[WEIGHT] = {"weight", {AT_SIZE_QUERY, AT_SIZE_KEY}}, [BIAS] = {"bias", {1}, .bias = true}},
         .part.fields = activated_fields, .configure = choose_act, .query = activated_query);
