/*
 * Kernels of pack.c: y (+)= x W' for few rows against a matrix W [n, k] packed once into tiles of `tile` rows.
 * Row i of y has the same bits whatever m is. Columns from j (a multiple of tile) start at packed + j * k.
 * pack: alpha W from source [n, k] with ldw >= k, or if transposed [k, n] with ldw >= n. packed aligned to 64 bytes.
 * In the calling thread; over the pool: at_pack, at_packed_gemm in core/gemm.h.
 */
#ifndef AT_KERNEL_PACK_H
#define AT_KERNEL_PACK_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_pack_kernels) {
    size_t tile;
    size_t (*packed_size)(size_t n, size_t k); /* elements */
    void (*pack)(bool transposed, size_t n, size_t k, real alpha, const real *w, size_t ldw, real *packed);
    void (*packed_gemm)(size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *packed, real *y,
                        size_t ldy, bool accumulate);
    /* y = x W' + start, which is NULL (0), y itself, or with lds 0 one row for all */
    void (*packed_gemm_from)(size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *packed, real *y,
                             size_t ldy, const real *start, size_t lds);
    /* y (+)= x W' for very few rows against a matrix that is used once, in place: w [n, k], or if transposed [k, n] */
    void (*few_gemm)(bool transposed, size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *w,
                     size_t ldw, real *y, size_t ldy, bool accumulate);
    /* y [m, n] (+)= x w' with x' [k, m] in panels of `rows` rows: round_up(m, rows) * k elements */
    size_t rows;
    void (*pack_rows)(size_t m, size_t k, const real *x, size_t ldx, real *panels);
    void (*rows_gemm)(size_t m, size_t n, size_t k, const real *panels, const real *packed, real *y, size_t ldy,
                      bool accumulate);
    /* y [m, n] (+)= x b, all in place and in the first caches: x [m, k], or turned [k, m]; b [k, n] */
    void (*tile_gemm)(bool turned, size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *b, size_t ldb,
                      real *y, size_t ldy, bool accumulate);
    void (*transpose)(size_t m, size_t n, const real *a, size_t lda, real *b, size_t ldb); /* b [n, m] = a' */
} AT_REAL(at_pack_kernels);

#endif
