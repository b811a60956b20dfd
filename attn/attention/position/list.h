/* Positions, in the order scripts see them. */
AT_POSITION_ENTRY(rope)
AT_POSITION_ENTRY(alibi)
