/*
 * Kernels of winograd.c: minimal filtering F(2 x 2, 3 x 3), n channels side by side. A pixel is n numbers; tile t of a row of
 * tiles reads 4 x 4 pixels from column 2 t on, and makes 2 x 2. Its 16 numbers a channel stand in 16 planes, `plane` numbers apart,
 * and those of the next tile `next` numbers further on.
 * weight:  planes u [n] of 9 taps, tap t at g + t step
 * input:   planes v of rows of pixels, `row` numbers apart
 * output:  `columns` pixels of one or two rows of y of planes m; false: not all are finite. A last tile with one row or column
 *          does not use the planes 12 to 15, or 3, 7, 11, 15.
 * spread:  planes d of the gradient of y, two rows of 2 tiles pixels
 * collect: 9 taps of planes u [n]: the gradient of the weight where u sums d v over tiles; false as above
 */
#ifndef AT_KERNEL_WINOGRAD_H
#define AT_KERNEL_WINOGRAD_H

#include "attn/kernel/kernel.h"

typedef struct AT_REAL(at_winograd_kernels) {
    void (*weight)(size_t n, const real *g, ptrdiff_t step, real *u, size_t plane);
    void (*input)(size_t tiles, size_t n, const real *x, size_t row, real *v, size_t plane, size_t next);
    bool (*output)(size_t columns, bool two, size_t n, const real *m, size_t plane, size_t next, const real *bias,
                   real *y, size_t row);
    void (*spread)(size_t tiles, size_t n, const real *dy, size_t row, real *d, size_t plane, size_t next);
    bool (*collect)(size_t n, const real *u, size_t plane, real *g, size_t step);
} AT_REAL(at_winograd_kernels);

#endif
