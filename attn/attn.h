/*
 * The library: tensors with automatic differentiation, operations, layers, optimizers, files. Plain C; the executable in vm/
 * includes this header and no other of attn/.
 */
#ifndef AT_ATTN_H
#define AT_ATTN_H

#define AT_VERSION "0.1"

#include "attn/attention/attention.h"
#include "attn/core/alloc.h"
#include "attn/core/anomaly.h"
#include "attn/build/build.h"
#include "attn/core/cpu.h"
#include "attn/core/error.h"
#include "attn/core/graph.h"
#include "attn/core/later.h"
#include "attn/core/op.h"
#include "attn/core/parallel.h"
#include "attn/core/precision.h"
#include "attn/core/profile.h"
#include "attn/core/random.h"
#include "attn/core/tensor.h"
#include "attn/build/value.h"
#include "attn/io/io.h"
#include "attn/kernel/code.h"
#include "attn/layer/layer.h"
#include "attn/optim/optim.h"

/* Every kind of layer, encoder, decoder and attention, ended by NULL. Operations are at_ops (build.h), optimizers at_optims. */
extern const at_layer_kind *const at_layers[];

/* "OpenBLAS (Cooperlake)": the library that large products go to and its core (gemm.c). */
const char *at_blas_name(void);
/* False, with a message, when $ATTN_GEMM is set and none of its words; it is passed over then. */
bool at_gemm_check(at_error *e);

#endif
