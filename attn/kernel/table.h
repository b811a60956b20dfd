/* The parts a level's table is filled from: one function per source file. */
#ifndef AT_KERNEL_TABLE_H
#define AT_KERNEL_TABLE_H

#include "attn/kernel/vec.h"

void AT_KERNEL(at_fill_map)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_reduce)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_softmax)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_join)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_norm)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_gate)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_pair)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_pack)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_window)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_attend)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_step)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_channel)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_pool)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_sample)(AT_REAL(at_kernels) * t);
void AT_KERNEL(at_fill_random)(AT_REAL(at_kernels) * t);

#endif
