/*
 * tree: y_ij = p(j is the head of i) over projective trees with one root; x_ii scores that i is the root, y_ii is its
 * probability, so every row sums to 1                      (Kim et al. 2017, syntactic attention; Eisner 1996)
 *
 *   dx     tangents of the marginals along dy: their derivative by the scores is symmetric (structured/tree.h)
 *
 * All rows of a head at once. In double, whatever the scores are.
 */
#include "attn/row/row.h"
#include "attn/structured/tree.h"

enum { OWN = 32 }; /* doubles of scratch for each score: 23 n n + 4 n + 4 are needed, 31 for one word */

typedef struct work {
    double *arcs, *tangent, *m;
    at_chart chart;
} work;

static work work_of(size_t n, const real *x, const uint8_t *left, void *own)
{
    size_t cells = n * n, room = at_projective_trees.room(n);
    work w = {.arcs = own};
    w.tangent = w.arcs + cells;
    w.m = w.tangent + cells;
    w.chart = (at_chart){w.m + cells, w.m + cells + room, w.m + cells + 2 * room, w.m + cells + 3 * room};
    for (size_t k = 0; k < cells; k++)
        w.arcs[k] = at_left(left, k) ? (double)x[k] : -INFINITY;
    return w;
}

static void tree_row_forward(size_t n, const real *x, const uint8_t *left, real *y, void *own, const at_beside *b)
{
    (void)b;
    if (n == 0)
        return;
    work w = work_of(n, x, left, own);
    w.chart.t = w.chart.h = NULL;
    at_projective_trees.up(n, w.arcs, NULL, &w.chart);
    at_projective_trees.down(n, w.arcs, NULL, &w.chart, w.m);
    for (size_t k = 0; k < n * n; k++)
        y[k] = (real)w.m[k];
}

static void tree_row_backward(size_t n, const real *y, const real *dy, real *dx, void *own, const at_beside *b)
{
    (void)y;
    if (n == 0 || !dx)
        return;
    work w = work_of(n, b->x, b->left, own);
    for (size_t k = 0; k < n * n; k++)
        w.tangent[k] = (double)dy[k];
    at_projective_trees.up(n, w.arcs, NULL, &(at_chart){.v = w.chart.v}); /* the tangents need the values */
    at_projective_trees.up(n, w.arcs, w.tangent, &w.chart);
    at_projective_trees.down(n, w.arcs, w.tangent, &w.chart, w.m);
    for (size_t k = 0; k < n * n; k++)
        dx[k] += (real)w.m[k];
}

AT_ROW(tree, .is.part.formula = "p(j is the head of i) over projective trees with one root",
       .is.part.source = "Kim et al. 2017, Eisner 1996", .is.square = true, .is.rereads = true,
       .is.own_bytes = OWN * sizeof(double), .forward = tree_row_forward, .backward = tree_row_backward);
