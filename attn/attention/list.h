/* Attention: one kind of layer whose axes are in score/, distribution/, window/ and position/. */
AT_LAYER_ENTRY(attention)
