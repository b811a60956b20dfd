/* Anomaly mode: the first NaN, or infinity made from finite numbers, is an error. */
#ifndef AT_CORE_ANOMALY_H
#define AT_CORE_ANOMALY_H

#include "attn/core/op.h"

extern bool at_anomaly;

/* Whether all elements are finite; *nan turns true at a NaN. */
bool at_anomaly_scan(const at_tensor *t, bool *nan);

/* The error: input k holds (its gradient held) NaN before anything was computed. */
bool at_anomaly_given(const at_call *c, int k, bool gradient, at_error *e);

/* After a forward pass; after a backward pass, where finite and nan are of the gradients that came in. */
bool at_anomaly_forward(at_call *c, at_error *e);
bool at_anomaly_backward(const at_node *node, bool finite, bool nan, at_error *e);

#endif
