/*
 * location: e_j = (W q + b)_j                                                  (Luong et al. 2015, eq. 8)
 *
 *   weight [max_keys, query]    bias [max_keys]
 *
 * A table: what stands at place j does not matter, only the place. The first Tk of max_keys rows are used.
 */
#include "attn/attention/part.h"

enum { WEIGHT, BIAS };
enum { MAX_KEYS };

static const at_field fields[] = {[MAX_KEYS] = AT_FIELD_MAX_KEYS, {0}};

static void query(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    (void)first;
    pair->table = at_per_head(g, q, at_part_param_of(l, AT_PART_SCORE, WEIGHT), false,
                              at_part_param_of(l, AT_PART_SCORE, BIAS)); /* [B, Tq, H, max_keys] */
}

AT_SCORE(location, .part.formula = "(W q + b)_j", .part.source = "Luong et al. 2015", .pair = AT_PAIR_TABLE,
         .act = AT_ACT_NONE, .part.fields = fields, .keyless = true,
         .part.param = {[WEIGHT] = {"weight", {AT_SIZE_FIELD(MAX_KEYS), AT_SIZE_QUERY}},
                        [BIAS] = {"bias", {AT_SIZE_FIELD(MAX_KEYS)}, .bias = true}},
         .query = query);
