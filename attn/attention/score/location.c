/*
 * location: e_j = (W q + b)_j                                                  (Luong et al. 2015, eq. 8)
 *
 *   weight [max_keys, query]    bias [max_keys]
 *
 * A table: what stands at place j does not matter, only the place. The first Tk of max_keys rows are used.
 */
#include "attn/attention/score/score.h"

enum { WEIGHT, BIAS };

static void query(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    (void)first;
    pair->table =
        at_per_head(g, q, at_score_param(l, WEIGHT), false, at_score_param(l, BIAS)); /* [B, Tq, H, max_keys] */
}

AT_SCORE(location, .pair = AT_PAIR_TABLE, .act = AT_ACT_NONE, .needs_keys = true, .keyless = true,
    .param = {[WEIGHT] = {"weight", {AT_SIZE_KEYS, AT_SIZE_QUERY}}, [BIAS] = {"bias", {AT_SIZE_KEYS}, .bias = true}},
    .query = query);
