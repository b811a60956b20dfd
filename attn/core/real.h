/*
 * The element type of this compilation.
 *
 * Files in row/, op/, kernel/ and optim/ are compiled once per type with -DAT_TYPE=32, 64 (float, double) and, where ids need
 * arithmetic, -DAT_TYPE=1 (int64). Bodies say `real`, and AT_REAL(name) is name_f32, name_f64 or name_i64.
 */
#ifndef AT_CORE_REAL_H
#define AT_CORE_REAL_H

#include <stdint.h>

#if AT_TYPE == 32
typedef float real;
#define AT_REAL(name) name##_f32
#define AT_REAL_DTYPE AT_F32
#define AT_IS_INTEGER 0
#elif AT_TYPE == 64
typedef double real;
#define AT_REAL(name) name##_f64
#define AT_REAL_DTYPE AT_F64
#define AT_IS_INTEGER 0
#elif AT_TYPE == 1
typedef int64_t real;
#define AT_REAL(name) name##_i64
#define AT_REAL_DTYPE AT_I64
#define AT_IS_INTEGER 1
#else
#error "compile with -DAT_TYPE=32, 64 or 1"
#endif

/* Typed functions of core/gemm.h that typed code calls, under names that read like a function's. */
#define real_gemm AT_REAL(at_gemm)
#define real_gemm_batch AT_REAL(at_gemm_batch)
#define real_gemm_bias AT_REAL(at_gemm_bias)
#define real_gemm_list AT_REAL(at_gemm_list)
#define real_pack AT_REAL(at_pack)
#define real_packed_gemm AT_REAL(at_packed_gemm)

#endif
