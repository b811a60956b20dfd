/* The table of this type and level. */
#include "attn/kernel/table.h"

#define ENTRY(family) .family = &AT_KERNEL(at_##family##_kernels),
const AT_REAL(at_kernels) AT_KERNEL(at_kernels) = {
    AT_KERNEL_FAMILIES(ENTRY)
#if AT_TYPE == 32
        .bf16 = &AT_KERNEL(at_bf16_kernels),
    .kept = AT_KERNEL(at_kept_kernels),
#endif
    .product = &AT_KERNEL(at_pack_kernels)};
