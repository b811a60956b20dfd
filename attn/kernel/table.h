/* The tables that a level's is made of: one for each family, at the end of its source file. */
#ifndef AT_KERNEL_TABLE_H
#define AT_KERNEL_TABLE_H

#include "attn/kernel/kept.h"
#include "attn/kernel/vec.h"

#define AT_TABLE(family) extern const struct AT_REAL(at_##family##_kernels) AT_KERNEL(at_##family##_kernels);
AT_KERNEL_FAMILIES(AT_TABLE)
#undef AT_TABLE
#if AT_TYPE == 32
extern const struct at_bf16_kernels AT_KERNEL(at_bf16_kernels);
extern const struct at_kept_kernels AT_KERNEL(at_kept_kernels)[];
#endif

extern const AT_REAL(at_kernels) AT_KERNEL(at_kernels);

#endif
