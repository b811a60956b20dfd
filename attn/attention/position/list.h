/* Positions: name, what is done, source. */
AT_POSITION_ENTRY(rope, "features (1, 2), (3, 4) ... of a head turned by place * 10000^(-2i/d)", "Su et al. 2021")
AT_POSITION_ENTRY(alibi, "-m_h |i - j| added to the score, m_h = 2^(-8 h / heads)", "Press et al. 2022")
