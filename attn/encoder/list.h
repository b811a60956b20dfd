/* Encoders, by the name of their record. */
AT_LAYER_ENTRY(encoder_rnn)
AT_LAYER_ENTRY(encoder_transformer)
