/*
 * Linear chains: T places, `tags` tags each (a conditional random field).
 *
 * The score of a tagging is the sum of unary[t, tag] and of the steps between neighbours; -inf forbids. steps[j, k] is from tag j to tag
 * k, `apart` numbers from one pair of places to the next, 0 where all pairs have the same. T > 0, tags > 0. Numbers are double, whatever
 * the tensors hold.
 */
#ifndef AT_STRUCTURED_CHAIN_H
#define AT_STRUCTURED_CHAIN_H

#include <stddef.h>
#include <stdint.h>

typedef struct at_chain {
    size_t T, tags, apart;
    const double *unary, *steps;
} at_chain;

/* Doubles of the values, and of the tangents. */
static inline size_t at_chain_room(size_t T, size_t tags) { return 2 * T * tags + 1; }

/* Fills v; returns the log partition, -inf if no tagging is possible. */
double at_chain_up(const at_chain *q, double *v);

/* m [T, tags] = share times the probability of each tag at each place; dsteps (laid out as steps; may be NULL) += share times that of each
 * step. Zeros and nothing where no tagging is possible. */
void at_chain_down(const at_chain *q, const double *v, double share, double *m, double *dsteps);

/* The tangents of these (share 1) when unary moves along `direction`: tm [T, tags], and added to tsteps (may be NULL). m: T tags numbers of
 * scratch, t: at_chain_room. */
void at_chain_tangent(const at_chain *q, const double *v, const double *direction, double *t, double *m, double *tm,
                      double *tsteps);

/* The best tagging, tags from 1; returns its score: -inf, or NaN, with tags 0. back: T tags int32, a, b: tags. */
double at_chain_best(const at_chain *q, int64_t *tags, int32_t *back, double *a, double *b);

/* Draws a tagging with the T numbers u in 0..1; tags 0 where none is possible. */
void at_chain_draw(const at_chain *q, const double *v, const double *u, int64_t *tags);

#endif
