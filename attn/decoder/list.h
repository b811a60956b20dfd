/* Decoders, by the name of their record. */
