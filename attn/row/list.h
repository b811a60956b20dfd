/* Distributions, in the order scripts see them. */
AT_ROW_ENTRY(softmax)
AT_ROW_ENTRY(sparsemax)
AT_ROW_ENTRY(entmax15)
AT_ROW_ENTRY(sigmoid)
AT_ROW_ENTRY(mean)
AT_ROW_ENTRY(hard_sample)
AT_ROW_ENTRY(hard_max)
AT_ROW_ENTRY(proportional)
