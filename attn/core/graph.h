/*
 * The graph: backward passes over recorded calls. First order only. Everything is a loop: a chain may be 100,000 deep.
 */
#ifndef AT_CORE_GRAPH_H
#define AT_CORE_GRAPH_H

#include "attn/core/op.h"

/*
 * Adds d loss / d x into x->grad of every leaf x with requires_grad. gradient: d / d loss, of loss's shape and type; NULL is 1
 * and needs a loss of one element. Frees the graph. All gradients are allocated before the first is computed: on failure (memory,
 * a graph that was used up, a tensor changed in place) no gradient has changed, unless a custom node failed half-way: then
 * those that were there before may have been added to.
 *
 * A custom node may run another pass, over a graph that shares no node with this one (else: an error). What a pass gathers, and
 * what it was asked for, is its own until it ends: the inner one's sums are added to the leaves beside the outer one's.
 */
bool at_backward(at_tensor *loss, at_tensor *gradient, at_error *e);

/* Gradients with respect to `n` tensors only (leaves or results), into result[k]: NULL where loss does not depend on it. */
bool at_gradients(at_tensor *loss, at_tensor *gradient, size_t n, at_tensor *const *x, at_tensor **result, at_error *e);

#endif
