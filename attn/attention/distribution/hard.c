/*
 * hard_sample: one key, drawn from softmax(e)                                   (Xu et al. 2015, section 4.1)
 * hard_max: the key with the greatest score, the first of equals
 *
 * A choice has no derivative: the value alone gets a gradient through it. hard_sample returns the draw's
 * log-probability too, through which the scores learn by REINFORCE (Williams 1992). Row forward and backward:
 * op/attend_rows.c.
 */
#include "attn/attention/score/score.h"

AT_DISTRIBUTION(hard_sample, .row = AT_ROW_HARD_SAMPLE, .samples = true);
AT_DISTRIBUTION(hard_max, .row = AT_ROW_HARD_MAX);
