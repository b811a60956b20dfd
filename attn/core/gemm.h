/*
 * Matrix products: C = alpha op(A) op(B) + beta C, row-major, op(X) = X or X'.
 *
 * Products are cut into blocks that depend on the sizes only and run over the pool (core/parallel.h); called from
 * inside at_for they run in that thread. OpenBLAS always runs on one thread, a block at a time. beta = 0 overwrites C,
 * NaN included; k = 0 gives beta C; alpha = 0 is not special (0 * NaN is NaN). A row of the result does not depend on
 * the number of rows beyond rounding. The fallback of a failed allocation is a slower path, so nothing here fails.
 */
#ifndef AT_CORE_GEMM_H
#define AT_CORE_GEMM_H

#include <stdbool.h>
#include <stddef.h>

#include "attn/core/error.h"
#include "attn/core/real.h"

/* op(A) is [m, k], op(B) is [k, n], C is [m, n]. ta: A is stored [k, m]; tb: B is stored [n, k] (as the weight of a
 * linear layer is). lda, ldb, ldc: elements from one stored row to the next. C overlaps neither A nor B. */
void AT_REAL(at_gemm)(bool ta, bool tb, size_t m, size_t n, size_t k, real alpha, const real *a, size_t lda,
                      const real *b, size_t ldb, real beta, real *c, size_t ldc);

/* What becomes of C: called for finished blocks of rows from i and columns from j, while they are in the caches, from any thread and
 * once for every element. */
typedef struct at_gemm_end {
    void (*fn)(const void *context, size_t i, size_t m, size_t j, size_t n);
    const void *context;
} at_gemm_end;

/* C = op(A) op(B) + bias [n] in every row (NULL: none), then `end` (NULL: nothing more) */
void AT_REAL(at_gemm_bias)(bool ta, bool tb, size_t m, size_t n, size_t k, const real *a, size_t lda, const real *b,
                           size_t ldb, const real *bias, real *c, size_t ldc, const at_gemm_end *end);

/* count products of one shape; product i reads a + i * step_a, b + i * step_b and writes c + i * step_c, which must not
 * overlap for different i (step_c != 0). Steps of a and b may be 0. */
void AT_REAL(at_gemm_batch)(size_t count, bool ta, bool tb, size_t m, size_t n, size_t k, real alpha, const real *a,
                            size_t lda, size_t step_a, const real *b, size_t ldb, size_t step_b, real beta, real *c,
                            size_t ldc, size_t step_c);

/* The same with arrays of count pointers (heads of a broadcast batch, strided in two dimensions). */
void AT_REAL(at_gemm_list)(size_t count, bool ta, bool tb, size_t m, size_t n, size_t k, real alpha,
                           const real *const *a, size_t lda, const real *const *b, size_t ldb, real beta,
                           real *const *c, size_t ldc);

/* kernel/pack over the pool: W for K->pack->packed_gemm, from [n, k] (ldw >= k), or with `transposed` from [k, n] (ldw >= n).
 * packed: K->pack->packed_size(n, k) elements, aligned to 64 bytes. */
void AT_REAL(at_pack)(bool transposed, size_t n, size_t k, const real *w, size_t ldw, real *packed);

/* Rows over the pool in blocks of 16: y (+)= x W', [m, n] from x [m, k] and packed W [n, k]. */
void AT_REAL(at_packed_gemm)(size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *packed, real *y,
                             size_t ldy, bool accumulate);

/* Who multiplies: for each product the faster (gemm.c has the table), or always the same where it can. $ATTN_GEMM = own | openblas
 * at start. Sets it unless way is NULL, and returns what it was; for tests and the benchmark, while nothing is multiplied. */
typedef enum at_gemm_way { AT_GEMM_FASTER, AT_GEMM_OWN, AT_GEMM_OPENBLAS } at_gemm_way;
at_gemm_way at_gemm_use(const at_gemm_way *way);
/* False, with a message, when $ATTN_GEMM is set and neither of the two words; it is passed over then. */
bool at_gemm_check(at_error *e);

const char *at_blas_name(void); /* "OpenBLAS (Cooperlake)" and what $ATTN_GEMM chose: for attn --version */

#endif
