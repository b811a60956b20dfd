/*
 * softmax: a_j = exp(e_j) / sum_k exp(e_k)
 *
 * A row without keys has no softmax: its weights are 0, its gradient is 0. Row forward and backward: op/attend_rows.c.
 */
#include "attn/attention/score/score.h"

AT_DISTRIBUTION(softmax, .row = AT_ROW_SOFTMAX);
