/*
 * concat: e = v' act(W [q; k] + b)                                            (Luong et al. 2015, eq. 7)
 *
 *   weight [dim, query + key]    bias [dim]    v [dim]
 *
 * The same family as additive: W falls apart into the columns of q and those of k, so that [q; k] is never formed for a
 * pair.
 */
#include "attn/attention/part.h"

enum { WEIGHT, BIAS, V };
enum { ACTIVATION };

static const at_field fields[] = {[ACTIVATION] = AT_FIELD_ACTIVATION, {0}};

static at_tensor *columns(at_build *g, const at_layer *l, bool of_key)
{
    const at_attention *a = at_attention_of(l);
    return at_narrow(g, at_part_param_of(l, AT_PART_SCORE, WEIGHT), -1, of_key ? (int64_t)a->q + 1 : 1,
                     (int64_t)(of_key ? a->k : a->q));
}

static at_tensor *key(at_build *g, const at_layer *l, at_tensor *k)
{
    return at_per_head(g, k, columns(g, l, true), false, at_part_param_of(l, AT_PART_SCORE, BIAS));
}

static void query(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    (void)first;
    pair->query = at_per_head(g, q, columns(g, l, false), false, NULL);
    pair->v = at_part_param_of(l, AT_PART_SCORE, V);
    pair->inner = at_activation(at_part_setting(l, AT_PART_SCORE, ACTIVATION));
}

static void plain(at_build *g, const at_layer *l, at_tensor *memory, at_plain_attention *out)
{
    if (at_activation(at_part_setting(l, AT_PART_SCORE, ACTIVATION)) != AT_ACT_TANH)
        return;
    out->pair = AT_PAIR_ADDITIVE;
    out->keys = at_linear(g, memory, columns(g, l, true), at_part_param_of(l, AT_PART_SCORE, BIAS));
    out->weight_query = columns(g, l, false);
    out->v = at_part_param_of(l, AT_PART_SCORE, V);
}

AT_SCORE(concat, .part.formula = "v' act(W [q; k] + b)", .part.source = "Luong et al. 2015", .pair = AT_PAIR_ADDITIVE,
         .act = AT_ACT_NONE, .part.fields = fields,
         .part.param = {[WEIGHT] = {"weight", {AT_SIZE_DIM, AT_SIZE_BOTH}},
                        [BIAS] = {"bias", {AT_SIZE_DIM}, .bias = true},
                        [V] = {"v", {AT_SIZE_DIM}}},
         .key = key, .query = query, .plain = plain);
