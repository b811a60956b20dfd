/*
 * Kernels of expression.c: programs (kernel/code.h) over blocks of pairs. A register is a block of words as wide as the float type; where
 * it depends on less than the pair it is a row, a column or one word.
 *   run       count instructions
 */
#ifndef AT_KERNEL_EXPRESSION_H
#define AT_KERNEL_EXPRESSION_H

#include "attn/kernel/code.h"
#include "attn/kernel/kernel.h"

#define AT_SHIFTED ((size_t)-1)

/* Word (r, c) of a block stands at p[r row + c column]; steps 0 repeat. Rows that are AT_SHIFTED begin at p[shift[r]] of the block. */
typedef struct at_place {
    real *p;
    size_t row, column;
} at_place;

/* A captured tensor; sum: where its gradient is added up, NULL: not wanted. */
typedef struct at_array {
    const void *data;
    size_t n;
    double *sum;
} at_array;

/* Where a result goes: floats are written, with `add` added, with `keep` made -inf where the result, a truth, is false; or sums are added
 * to. Steps of sums may be 0. */
typedef struct at_target {
    real *p;
    double *sum; /* p is NULL then; both NULL: nowhere */
    size_t row, column;
} at_target;

/* A place beyond a captured tensor. */
typedef struct at_stray {
    bool found;
    int64_t array, dim, size, place;
} at_stray;

typedef struct at_block {
    size_t rows, columns;
    int64_t place[4]; /* batch and head; first query and key of the block: all from 1 */
    const at_place *reg;
    const size_t *shift;
    const at_target *result;
    bool add, keep;
    at_array *array;
    at_place
        gate; /* p NULL, or floats: where they are 0 results of gradients are 0, and nothing is scattered or out of bounds */
    at_stray *stray; /* NULL: places are not checked. Places beyond a tensor read what stands at its ends. */
} at_block;

typedef struct AT_REAL(at_expression_kernels) {
    void (*run)(const int64_t *code, size_t count, const at_block *b);
} AT_REAL(at_expression_kernels);

#endif
