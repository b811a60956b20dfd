/* What recurrent encoders and decoders check alike. */
#ifndef AT_LAYER_RECURRENT_H
#define AT_LAYER_RECURRENT_H

#include "attn/layer/layer.h"

#define AT_CELLS "gru|lstm|rnn" /* the order of at_cell in op/cell.h */
enum { AT_CELL_GRU, AT_CELL_LSTM, AT_CELL_RNN };

/* Declares prefix + weight_ih, weight_hh, bias_ih, bias_hh + suffix, uniform in +-1 / sqrt(hidden) as PyTorch's; keeps:
 * the weights may be kept for inference (at_matrix). */
bool at_cell_params(at_layer *l, const char *prefix, const char *suffix, int64_t cell, size_t inputs, size_t hidden,
                    bool keeps, at_error *e);

/* lengths (NULL: none) is int64 [B] with values 0 .. T. */
bool at_check_lengths(at_build *g, const char *name, const at_tensor *lengths, size_t B, size_t T);

/*
 * The fields h and c of a state, each [layers, B, hidden]; NULL where absent. A state without h, one with c for a cell
 * that has none, and other shapes and types are errors. state AT_NIL: both NULL.
 */
bool at_read_state(at_build *g, const at_layer *l, at_value state, int64_t cell, size_t layers, size_t B, size_t hidden,
                   at_tensor **h, at_tensor **c);

#endif
