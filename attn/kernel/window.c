/*
 * Products with windows that are not laid out: entry j of the window of place q is x[at[j] + q], whatever the dimensions of the
 * convolution, its step and its dilation (op/conv.c lays x out so that this holds).
 *
 * Both inner loops hold a tile of results in registers: windows_gemm rows of the weight times vectors of places, windows_dot rows of
 * dy times entries of the window, whose vectors run along the places and are added up at the end. AVX-512: 8 x 3 and 4 x 6 of its
 * 32 registers; otherwise 6 x 2 and 4 x 3 of 16.
 */
#include "attn/kernel/window.h"
#include "attn/kernel/table.h"

#ifdef __AVX512F__
enum { ROWS = 8, NV = 3, DOTS = 6 };
#else
enum { ROWS = 6, NV = 2, DOTS = 3 };
#endif
enum { DOT_ROWS = 4 };

/* else the sums live in memory, as the last loop over them is left a loop */
#define UNROLL _Pragma("GCC unroll 8")

INLINE void tile(const int rows, const int nv, size_t k, const real *w, const real *x, const size_t *at,
                 const real *start, real *y, size_t ldy, size_t last)
{
    vec sum[ROWS][NV];

    UNROLL
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < nv; v++)
            sum[r][v] = start ? splat(start[r]) : (vec){0};
    for (size_t j = 0; j < k; j++, w += rows) {
        const real *from = x + at[j];
        vec b[NV];
        UNROLL
        for (int v = 0; v < nv; v++)
            b[v] = get(from + (size_t)v * W, v == nv - 1 ? last : W);
        UNROLL
        for (int r = 0; r < rows; r++) {
            UNROLL
            for (int v = 0; v < nv; v++)
                sum[r][v] += w[r] * b[v];
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int v = 0; v < nv; v++)
            put(y + (size_t)r * ldy + (size_t)v * W, v == nv - 1 ? last : W, sum[r][v]);
    }
}

INLINE void strip(const int rows, size_t n, size_t k, const real *w, const real *x, const size_t *at, const real *start,
                  real *y, size_t ldy)
{
    for (; n >= NV * W; n -= NV * W, x += NV * W, y += NV * W)
        tile(rows, NV, k, w, x, at, start, y, ldy, W);
#ifdef __AVX512F__
    if (n >= 2 * W) {
        tile(rows, 2, k, w, x, at, start, y, ldy, W);
        n -= 2 * W, x += 2 * W, y += 2 * W;
    }
#endif
    if (n >= W) {
        tile(rows, 1, k, w, x, at, start, y, ldy, W);
        n -= W, x += W, y += W;
    }
    if (n > 0)
        tile(rows, 1, k, w, x, at, start, y, ldy, n);
}

static void windows_gemm(size_t m, size_t n, size_t k, const real *w, const real *x, const size_t *at,
                         const real *start, real *y, size_t ldy)
{
#define STRIP(r)                                                                                                       \
    case r: strip(r, n, k, w, x, at, start, y, ldy); break
    switch (m) {
        STRIP(1);
        STRIP(2);
        STRIP(3);
        STRIP(4);
        STRIP(5);
        STRIP(6);
#ifdef __AVX512F__
        STRIP(7);
        STRIP(8);
#endif
    }
#undef STRIP
}

INLINE void dots(const int rows, const int count, size_t n, const real *dy, size_t ldy, const real *x, const size_t *at,
                 real *dw, size_t ldw)
{
    vec sum[DOT_ROWS][DOTS];
    const real *from[DOTS];

    UNROLL
    for (int r = 0; r < rows; r++)
        for (int s = 0; s < count; s++)
            sum[r][s] = (vec){0};
    for (int s = 0; s < count; s++)
        from[s] = x + at[s];
    for (size_t q = 0; q < n; q += W) {
        vec a[DOT_ROWS];
        UNROLL
        for (int r = 0; r < rows; r++)
            a[r] = load(dy + (size_t)r * ldy + q);
        UNROLL
        for (int s = 0; s < count; s++) {
            vec b = load(from[s] + q);
            UNROLL
            for (int r = 0; r < rows; r++)
                sum[r][s] += a[r] * b;
        }
    }
    UNROLL
    for (int r = 0; r < rows; r++) {
        UNROLL
        for (int s = 0; s < count; s++)
            dw[(size_t)r * ldw + (size_t)s] += across(sum[r][s]);
    }
}

INLINE void dot_strip(const int rows, size_t k, size_t n, const real *dy, size_t ldy, const real *x, const size_t *at,
                      real *dw, size_t ldw)
{
    for (; k >= DOTS; k -= DOTS, at += DOTS, dw += DOTS)
        dots(rows, DOTS, n, dy, ldy, x, at, dw, ldw);
    switch (k) {
    case 1: dots(rows, 1, n, dy, ldy, x, at, dw, ldw); break;
    case 2: dots(rows, 2, n, dy, ldy, x, at, dw, ldw); break;
#ifdef __AVX512F__
    case 3: dots(rows, 3, n, dy, ldy, x, at, dw, ldw); break;
    case 4: dots(rows, 4, n, dy, ldy, x, at, dw, ldw); break;
    case 5: dots(rows, 5, n, dy, ldy, x, at, dw, ldw); break;
#endif
    }
}

static void windows_dot(size_t m, size_t k, size_t n, const real *dy, size_t ldy, const real *x, const size_t *at,
                        real *dw, size_t ldw)
{
    for (; m >= DOT_ROWS; m -= DOT_ROWS, dy += DOT_ROWS * ldy, dw += DOT_ROWS * ldw)
        dot_strip(DOT_ROWS, k, n, dy, ldy, x, at, dw, ldw);
    switch (m) {
    case 1: dot_strip(1, k, n, dy, ldy, x, at, dw, ldw); break;
    case 2: dot_strip(2, k, n, dy, ldy, x, at, dw, ldw); break;
    case 3: dot_strip(3, k, n, dy, ldy, x, at, dw, ldw); break;
    }
}

static void block(size_t m, size_t n, const real *x, size_t ldx, real *y, size_t ldy, bool add)
{
    if (n < W) {
        for (; m > 0; m--, x += ldx, y += ldy)
            store_some(y, n, add ? load_some(y, n, 0) + load_some(x, n, 0) : load_some(x, n, 0));
        return;
    }
    for (; m > 0; m--, x += ldx, y += ldy) {
        size_t i = 0;
        for (; i + W <= n; i += W)
            store(y + i, add ? load(y + i) + load(x + i) : load(x + i));
        if (i < n)
            store_some(y + i, n - i,
                       add ? load_some(y + i, n - i, 0) + load_some(x + i, n - i, 0) : load_some(x + i, n - i, 0));
    }
}

const AT_REAL(at_window_kernels) AT_KERNEL(at_window_kernels) = {
    .rows = ROWS,
    .gemm = windows_gemm,
    .dot = windows_dot,
    .block = block,
};
