/*
 * sigmoid: a_j = 1 / (1 + exp(-e_j)), each key for itself                       (Kim et al. 2017)
 *
 * The weights do not sum to 1: the context grows with the number of keys that matter. Row forward and backward:
 * op/attend_rows.c.
 */
#include "attn/attention/score/score.h"

AT_DISTRIBUTION(sigmoid, .row = AT_ROW_SIGMOID);
