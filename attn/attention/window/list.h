/* Windows, in the order scripts see them. */
AT_WINDOW_ENTRY(monotonic)
AT_WINDOW_ENTRY(predictive)
AT_WINDOW_ENTRY(band)
