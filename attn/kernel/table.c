/* The table of this type and level. Filled before main, from core/cpu.c, and constant afterwards. */
#include "attn/kernel/table.h"

const AT_REAL(at_kernels) * AT_KERNEL(at_kernels)(void);

const AT_REAL(at_kernels) * AT_KERNEL(at_kernels)(void)
{
    static AT_REAL(at_kernels) table;

    AT_KERNEL(at_fill_map)(&table);
    AT_KERNEL(at_fill_reduce)(&table);
    AT_KERNEL(at_fill_softmax)(&table);
    AT_KERNEL(at_fill_join)(&table);
    AT_KERNEL(at_fill_norm)(&table);
    AT_KERNEL(at_fill_gate)(&table);
    AT_KERNEL(at_fill_pair)(&table);
    AT_KERNEL(at_fill_pack)(&table);
    AT_KERNEL(at_fill_window)(&table);
    AT_KERNEL(at_fill_attend)(&table);
    AT_KERNEL(at_fill_step)(&table);
    AT_KERNEL(at_fill_channel)(&table);
    AT_KERNEL(at_fill_pool)(&table);
    AT_KERNEL(at_fill_sample)(&table);
    AT_KERNEL(at_fill_random)(&table);
    return &table;
}
