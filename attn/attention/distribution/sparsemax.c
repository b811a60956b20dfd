/*
 * sparsemax: the point of the simplex nearest to e, a = max(e - tau, 0)         (Martins, Astudillo 2016)
 *
 * Most weights are exactly 0; only the support gets a gradient. Row forward and backward: op/attend_rows.c.
 */
#include "attn/attention/score/score.h"

AT_DISTRIBUTION(sparsemax, .row = AT_ROW_SPARSEMAX);
