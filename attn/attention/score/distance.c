/*
 * distance: e = 1 / (1 + |q - k|)                                               (Yin et al. 2016, the attention matrix of ABCNN)
 *
 * Between 0 and 1, 1 for equal vectors, where the gradient is taken as 0.
 */
#include "attn/attention/part.h"

AT_SCORE(distance, .part.formula = "1 / (1 + |q - k|)", .part.source = "Yin et al. 2016", .pair = AT_PAIR_DISTANCE,
         .act = AT_ACT_INVERSE, .same_width = true);
