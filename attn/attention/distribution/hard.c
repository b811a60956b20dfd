/*
 * hard_sample: one key, drawn from softmax(e)                                   (Xu et al. 2015, section 4.1)
 * hard_max: the key with the greatest score, the first of equals
 *
 * A choice has no derivative: the value alone gets a gradient through it. hard_sample returns the draw's
 * log-probability too, through which the scores learn by REINFORCE (Williams 1992), and the probabilities it drew from,
 * for terms like their entropy. In eval mode nothing is drawn: the most likely key is taken. Row forward and backward:
 * op/attend_rows.c.
 */
#include "attn/attention/score/score.h"

AT_DISTRIBUTION(hard_sample, .row = AT_ROW_HARD_SAMPLE, .row_eval = AT_ROW_HARD_LIKELY, .samples = true);
AT_DISTRIBUTION(hard_max, .row = AT_ROW_HARD_MAX);
