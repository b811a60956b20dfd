/*
 * Charts: the cells of a dynamic program in log space, each a join of others (kernel/join.c).
 *
 * `v` holds the values. Going up fills them; going down from a cell whose share is 1 gives every cell its share g, the gradient of the
 * result by that cell: a probability. With tangents t of the values, the same two ways give the tangents h of the shares: the shares of
 * a log partition are its gradient, so h is its Hessian times the direction, and a backward pass through marginals is a pass forward
 * through both ways. All four have one layout; t, h NULL: no tangents. For the files of this folder, which are compiled for double.
 */
#ifndef AT_STRUCTURED_CHART_H
#define AT_STRUCTURED_CHART_H

#include <math.h>

#include "attn/kernel/join.h"
#include "attn/structured/tree.h"

static inline at_join_f64 at_cells(double *x, size_t a, size_t b, size_t y)
{
    return (at_join_f64){x + a, x + b, x + y};
}

/* q.width cells from y on are joins of those from a and from b. */
static inline void at_chart_up(const at_chart *c, at_joins q, size_t a, size_t b, size_t y)
{
    at_join_f64 v = at_cells(c->v, a, b, y);
    if (!c->t) {
        K->join->join(&q, &v);
        return;
    }
    at_join_f64 t = at_cells(c->t, a, b, y);
    K->join->join_tangent(&q, &v, &t);
}

static inline void at_chart_down(const at_chart *c, at_joins q, size_t a, size_t b, size_t y)
{
    at_join_f64 v = at_cells(c->v, a, b, y), g = at_cells(c->g, a, b, y);
    if (!c->t) {
        K->join->join_back(&q, &v, &g);
        return;
    }
    at_join_f64 t = at_cells(c->t, a, b, y), h = at_cells(c->h, a, b, y);
    K->join->join_back_tangent(&q, &v, &t, &g, &h);
}

#endif
