/* Attention: one kind of layer whose parts are in score/, window/, position/ and row/. */
AT_LAYER_ENTRY(attention)
