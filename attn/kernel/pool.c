/*
 * Pooling: one place of many windows at a time. x goes on by `step` from window to window: the stride of the windows along
 * a row of an image, 1 where the windows are those of neighbouring channels. Loops the compiler makes vectors of.
 */
#include "attn/kernel/pool.h"
#include "attn/kernel/table.h"

static void pool_start(size_t n, size_t first, size_t by, real *y, void *at)
{
    word *place = at;
    for (size_t i = 0; i < n; i++) {
        y[i] = -INFINITY;
        place[i] = (word)(first + i * by);
    }
}

INLINE void larger(size_t n, const real *restrict x, size_t step, word first, word by, real *restrict y,
                   word *restrict at)
{
    for (size_t i = 0; i < n; i++) {
        real v = x[i * step], old = y[i];
        bool take = (v > old) | (v != v);
        y[i] = take ? v : old;
        at[i] = take ? first + (word)i * by : at[i];
    }
}

static void pool_max(size_t n, const real *x, size_t step, size_t first, size_t by, real *y, void *at)
{
    if (step == 1 && by == 0)
        larger(n, x, 1, (word)first, 0, y, at);
    else if (step == 1 && by == 1)
        larger(n, x, 1, (word)first, 1, y, at);
    else if (step == 2 && by == 2)
        larger(n, x, 2, (word)first, 2, y, at);
    else
        larger(n, x, step, (word)first, (word)by, y, at);
}

static void pool_max_back(size_t n, const void *at, size_t step, const real *dy, real *dx)
{
    const word *place = at;
    for (size_t i = 0; i < n; i++)
        dx[(size_t)place[i] + i * step] += dy[i];
}

INLINE void gather(size_t n, const real *restrict x, size_t step, real *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i * step];
}

static void pool_sum(size_t n, const real *x, size_t step, real *y)
{
    if (step == 1)
        gather(n, x, 1, y);
    else if (step == 2)
        gather(n, x, 2, y);
    else
        gather(n, x, step, y);
}

static void pool_sum_back(size_t n, const real *dy, real scale, size_t step, real *dx)
{
    for (size_t i = 0; i < n; i++)
        dx[i * step] += scale * dy[i];
}

const AT_REAL(at_pool_kernels) AT_KERNEL(at_pool_kernels) = {
    .start = pool_start,
    .max = pool_max,
    .max_back = pool_max_back,
    .sum = pool_sum,
    .sum_back = pool_sum_back,
};
