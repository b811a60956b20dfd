/*
 * chain: y_j = p(z_j = 1), z binary, p(z) proportional to exp(sum_j x_j z_j + sum_j transition[z_j, z_{j+1}])
 *                                                                              (Kim et al. 2017, segmentation attention)
 *
 *   transition [2, 2]   rows z_j = 0, 1, columns z_{j+1}
 *   dx, dtransition     tangents of the marginals along dy: their derivative by the scores is symmetric (structured/chain.h)
 *
 * Keys that are left out are no part of the chain; the rest are neighbours in order. In double, whatever the scores are.
 */
#include <string.h>

#include "attn/row/row.h"
#include "attn/structured/chain.h"

enum { OWN = 32 }; /* doubles of scratch for each score: 17 n + 10 are needed */

typedef struct work {
    size_t *place; /* of the keys that are left */
    double *steps, *tsteps, *unary, *v, *m, *direction, *t, *tm;
    at_chain chain;
} work;

static work work_of(size_t n, const real *x, const uint8_t *left, void *own, const at_beside *b)
{
    work w = {.place = own, .chain.tags = 2};
    double *at = (double *)own + n;
    w.steps = at, w.tsteps = at + 4, w.unary = at + 8;
    w.m = w.unary + 2 * n, w.direction = w.m + 2 * n, w.tm = w.direction + 2 * n, w.v = w.tm + 2 * n;
    w.t = w.v + at_chain_room(n, 2);
    for (int k = 0; k < 4; k++)
        w.steps[k] = (double)b->param[0][k], w.tsteps[k] = 0;
    for (size_t j = 0; j < n; j++)
        if (at_left(left, j) && x[j] != -INFINITY) {
            w.unary[2 * w.chain.T] = 0;
            w.unary[2 * w.chain.T + 1] = (double)x[j];
            w.place[w.chain.T++] = j;
        }
    w.chain.unary = w.unary;
    w.chain.steps = w.steps;
    return w;
}

static void chain_row_forward(size_t n, const real *x, const uint8_t *left, real *y, void *own, const at_beside *b)
{
    memset(y, 0, n * sizeof *y);
    work w = work_of(n, x, left, own, b);
    if (w.chain.T == 0)
        return;
    at_chain_up(&w.chain, w.v);
    at_chain_down(&w.chain, w.v, 1, w.m, NULL);
    for (size_t k = 0; k < w.chain.T; k++)
        y[w.place[k]] = (real)w.m[2 * k + 1];
}

static void chain_row_backward(size_t n, const real *y, const real *dy, real *dx, void *own, const at_beside *b)
{
    (void)y;
    work w = work_of(n, b->x, b->left, own, b);
    if (w.chain.T == 0)
        return;
    for (size_t k = 0; k < w.chain.T; k++) {
        w.direction[2 * k] = 0;
        w.direction[2 * k + 1] = (double)dy[w.place[k]];
    }
    at_chain_up(&w.chain, w.v);
    at_chain_tangent(&w.chain, w.v, w.direction, w.t, w.m, w.tm, w.tsteps);
    for (size_t k = 0; dx && k < w.chain.T; k++)
        dx[w.place[k]] += (real)w.tm[2 * k + 1];
    for (int k = 0; b->dparam[0] && k < 4; k++)
        b->dparam[0][k] += (real)w.tsteps[k];
}

AT_ROW(chain, .is.part.formula = "p(z_j = 1) of a binary chain with scores e and transition",
       .is.part.source = "Kim et al. 2017", .is.part.param = {{"transition", {2, 2}}}, .is.rereads = true,
       .is.own_bytes = OWN * sizeof(double), .forward = chain_row_forward, .backward = chain_row_backward);
