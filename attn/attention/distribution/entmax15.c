/*
 * entmax15: a = max(e / 2 - tau, 0)^2, between softmax and sparsemax            (Peters et al. 2019, alpha = 1.5)
 *
 * Row forward and backward: op/attend_rows.c.
 */
#include "attn/attention/score/score.h"

AT_DISTRIBUTION(entmax15, .row = AT_ROW_ENTMAX15);
