/*
 * trilinear: e = w' [q; k; q o k]                                               (Seo et al. 2017, eq. 1)
 *
 *   weight_query [d]    weight_key [d]    weight_product [d]    d: width of query and key
 *
 * A product of vectors one feature longer: [w_product o q + w_key; w_query . q] and [k; 1].
 */
#include "attn/attention/part.h"

enum { WEIGHT_QUERY, WEIGHT_KEY, WEIGHT_PRODUCT };

static at_tensor *trilinear_key(at_build *g, const at_layer *l, at_tensor *k)
{
    if (!k)
        return NULL;
    at_tensor *one = at_own(g, at_tensor_new(l->dtype, 4, (size_t[]){k->size[0], k->size[1], k->size[2], 1}, g->error));
    if (!one)
        return NULL;
    at_fill(one, 1);
    return at_cat(g, 2, (at_tensor *[]){k, one}, 4);
}

static void trilinear_query(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    (void)first;
    at_tensor *by_key = at_add(g, at_mul(g, q, at_part_param_of(l, AT_PART_SCORE, WEIGHT_PRODUCT)),
                               at_part_param_of(l, AT_PART_SCORE, WEIGHT_KEY));
    at_tensor *alone = at_sum(g, at_mul(g, q, at_part_param_of(l, AT_PART_SCORE, WEIGHT_QUERY)), 4, true);
    pair->query = at_ok(g) ? at_cat(g, 2, (at_tensor *[]){by_key, alone}, 4) : NULL;
}

AT_SCORE(trilinear, .part.formula = "w' [q; k; q o k]", .part.source = "Seo et al. 2017", .pair = AT_PAIR_DOT,
         .act = AT_ACT_NONE, .same_width = true,
         .part.param = {[WEIGHT_QUERY] = {"weight_query", {AT_SIZE_QUERY}},
                        [WEIGHT_KEY] = {"weight_key", {AT_SIZE_QUERY}},
                        [WEIGHT_PRODUCT] = {"weight_product", {AT_SIZE_QUERY}}},
         .key = trilinear_key, .query = trilinear_query);
