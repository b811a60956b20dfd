/*
 * rope: neighbouring features of query and key turned by an angle that grows with the place     (Su et al. 2021)
 *
 * After the projections; the product of a query and a key then depends on the distance of their places. The first place
 * is 0.
 */
#include "attn/attention/part.h"

static at_tensor *turn(at_build *g, at_tensor *x, int64_t first)
{
    return AT_APPLY(g, rope, .in = {x}, .arg = {at_int(first)});
}

AT_POSITION(rope, .part.formula = "features (1, 2), (3, 4) ... of a head turned by place * 10000^(-2i/d)",
            .part.source = "Su et al. 2021", .needs_project = true, .needs_keys = true, .turn = turn);
