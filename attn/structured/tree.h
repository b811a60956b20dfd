/*
 * Distributions over dependency trees of n words with exactly one root.
 *
 * arcs [n, n], side by side: arcs[i, j] scores the arc from head j to i, arcs[i, i] that i is the root; -inf forbids. The score of a
 * tree is the sum over its words. Two families: projective trees (projective.c) and all trees (all_trees.c). Both count in charts
 * (chart.h) of `room` doubles.
 */
#ifndef AT_STRUCTURED_TREE_H
#define AT_STRUCTURED_TREE_H

#include <stddef.h>
#include <stdint.h>

/* Values, tangents, shares and their tangents: `room` doubles each. */
typedef struct at_chart {
    double *v, *t, *g, *h;
} at_chart;

typedef struct at_trees {
    size_t (*room)(size_t n);
    /* The log partition, -inf if no tree is possible; with tangents of c and of the arcs its tangent, 0 then. n > 0. */
    double (*up)(size_t n, const double *arcs, const double *tangent, const at_chart *c);
    /* After up: m [n, n] = the probability of every arc, or its tangent; 0 where no tree is possible. Fills g (and h). */
    void (*down)(size_t n, const double *arcs, const double *tangent, const at_chart *c, double *m);
    /* Bytes of `work` for best. */
    size_t (*best_room)(size_t n);
    /* The best tree: heads from 1, the root has its own place. Returns its score; heads 0 and -inf if none is possible, heads 0 and NaN
     * for NaN in the arcs. */
    double (*best)(size_t n, const double *arcs, int64_t *heads, char *work);
} at_trees;

extern const at_trees at_projective_trees, at_all_trees;

#endif
