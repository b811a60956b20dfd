/* Copies in row order, which calls make of inputs that do not lie so. */
#ifndef AT_CORE_CONTIGUOUS_H
#define AT_CORE_CONTIGUOUS_H

#include "attn/core/op.h"

extern const at_op at_op_contiguous;

/* t itself retained if it is contiguous, else a contiguous copy, recorded. */
at_tensor *at_make_contiguous(at_tensor *t, at_error *e);

#endif
