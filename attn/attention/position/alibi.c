/*
 * alibi: a penalty that grows with the distance, -m_h |i - j|                   (Press et al. 2022)
 *
 * m_h = 2^(-8 h / heads); between powers of two the slopes of the lower power and every other one of the next. Added to
 * the scores in op/rows.c, so that no matrix of distances exists.
 */
#include "attn/attention/part.h"

AT_POSITION(alibi, .part.formula = "-m_h |i - j| added to the score, m_h = 2^(-8 h / heads)",
            .part.source = "Press et al. 2022", .distance = true);
