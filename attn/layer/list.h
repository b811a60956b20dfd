/* Layers, by the name of their record. */
AT_LAYER_ENTRY(linear)
AT_LAYER_ENTRY(embedding)
AT_LAYER_ENTRY(dropout)
AT_LAYER_ENTRY(positional)
AT_LAYER_ENTRY(maxout)
AT_LAYER_ENTRY(attention_pool)
