/*
 * Kernels: rows of numbers. For each family (a source file and its header) a table of functions per float type, one
 * instance per SIMD level.
 *
 * The sources in kernel/ are plain; the Makefile compiles each once per type (-DAT_TYPE=32, 64) and level
 * (-DAT_LEVEL=base, avx2, avx512 with the -m flags that go with it). The table in use is chosen before main
 * (core/kernels.c). A typed file includes the families it uses and writes
 *
 *     K->map->vtanh(n, x, y);
 *
 * Unary functions carry a v in front because <tgmath.h> makes macros of tanh, exp ... that would eat the call.
 *
 * Rules for all: n may be 0. Rows are contiguous unless a step is named. No alignment is asked for except of packed
 * matrices (64 bytes). y may be the same row as an argument, not a shifted one. Element-wise results do not depend on
 * where a row is cut; a sum over a row is taken in one order that depends on n (and the level) only. Gradients are
 * added (dx += ...). Nothing allocates, fails, or starts threads.
 *
 * Errors: vexp, vtanh, vsigmoid <= 3 ulp (float32), <= 2e-15 relative (float64), also inside every kernel that uses
 * them; vgelu <= 4 ulp of max(|y|, |x| / 2^10) where its erf is near -1. Infinities, NaN and overflow as libm; results
 * below the smallest normal number may be 0.
 */
#ifndef AT_KERNEL_KERNEL_H
#define AT_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attn/core/cpu.h"
#include "attn/core/real.h"

/* X(family), for each */
/* clang-format off */
#define AT_KERNEL_FAMILIES(X)                                                                                  \
    X(map) X(reduce) X(softmax) X(join) X(norm) X(channel) X(pool) X(sample) X(gate) X(pair) X(pack) X(window) \
    X(winograd) X(attend) X(step) X(random) X(expression)
/* clang-format on */

#define AT_KERNEL_FAMILY(family) const struct AT_REAL(at_##family##_kernels) * family;
typedef struct AT_REAL(at_kernels) {
    AT_KERNEL_FAMILIES(AT_KERNEL_FAMILY)
    const struct at_bf16_kernels *bf16;              /* NULL for float64 */
    const struct at_kept_kernels *kept;              /* by format (kept.h); NULL for float64 */
    const struct AT_REAL(at_pack_kernels) * product; /* pack, or of float32 those of bf16: what at_set_precision says */
} AT_REAL(at_kernels);
#undef AT_KERNEL_FAMILY

extern AT_REAL(at_kernels) AT_REAL(at_kernel); /* filled before main; later only `product` changes */
#define K (&AT_REAL(at_kernel))

/* The table of a level, NULL when this processor or build has none: for tests. */
const AT_REAL(at_kernels) * AT_REAL(at_kernels_at)(at_simd level);

#endif
