/* Decoders, by the name of their record. */
AT_LAYER_ENTRY(decoder_rnn)
AT_LAYER_ENTRY(decoder_transformer)
