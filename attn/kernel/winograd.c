/*
 * Minimal filtering F(2 x 2, 3 x 3) (Winograd 1980; Lavin and Gray 2016): 2 x 2 results of 3 x 3 taps by 16 products, not 36.
 *
 *   y = A' [(G g G') * (B' d B)] A,     dg = G' [(A dy A') * (B' d B)] G,     d of 4 x 4 pixels, * element by element
 *
 *   B' = 1  0 -1  0      G = 1    0    0       A' = 1  1  1  0
 *        0  1  1  0          1/2  1/2  1/2          0  1 -1 -1
 *        0 -1  1  0          1/2 -1/2  1/2
 *        0  1  0 -1          0    0    1
 *
 * Channels lie side by side, so that all of it is whole vectors added.
 */
#include "attn/kernel/winograd.h"
#include "attn/kernel/table.h"

#define UNROLL _Pragma("GCC unroll 4")

/* G x */
INLINE void widen(vec a, vec b, vec c, vec y[4])
{
    vec half = (real)0.5 * (a + c);

    b = (real)0.5 * b;
    y[0] = a;
    y[1] = half + b;
    y[2] = half - b;
    y[3] = c;
}

static void weight(size_t n, const real *g, ptrdiff_t step, real *u, size_t plane)
{
    EACH(n, {
        vec t[3][4];
        for (ptrdiff_t c = 0; c < 3; c++)
            widen(get(g + c * step + i, len), get(g + (3 + c) * step + i, len), get(g + (6 + c) * step + i, len), t[c]);
        for (size_t r = 0; r < 4; r++) {
            vec y[4];
            widen(t[0][r], t[1][r], t[2][r], y);
            for (size_t c = 0; c < 4; c++)
                put(u + (4 * r + c) * plane + i, len, y[c]);
        }
    });
}

/* B' x */
INLINE void differ(const vec x[4], vec y[4])
{
    y[0] = x[0] - x[2];
    y[1] = x[1] + x[2];
    y[2] = x[2] - x[1];
    y[3] = x[1] - x[3];
}

/* B' d of one column of pixels */
INLINE void down(const real *x, size_t row, size_t len, vec y[4])
{
    vec d[4];

    UNROLL
    for (size_t r = 0; r < 4; r++)
        d[r] = get(x + r * row, len);
    differ(d, y);
}

/* Neighbours share two columns. */
INLINE void lines(size_t tiles, size_t n, const real *x, size_t row, real *v, size_t plane, size_t next, size_t len)
{
    vec t[4][4]; /* columns */

    down(x, row, len, t[0]);
    down(x + n, row, len, t[1]);
    for (size_t q = 0; q < tiles; q++, v += next) {
        x += 2 * n;
        down(x, row, len, t[2]);
        down(x + n, row, len, t[3]);
        UNROLL
        for (size_t r = 0; r < 4; r++) {
            vec d[4] = {t[0][r], t[1][r], t[2][r], t[3][r]};
            vec y[4];
            differ(d, y);
            UNROLL
            for (size_t c = 0; c < 4; c++)
                put(v + (4 * r + c) * plane, len, y[c]);
        }
        UNROLL
        for (size_t r = 0; r < 4; r++) {
            t[0][r] = t[2][r];
            t[1][r] = t[3][r];
        }
    }
}

static void input(size_t tiles, size_t n, const real *x, size_t row, real *v, size_t plane, size_t next)
{
    EACH(n, { lines(tiles, n, x + i, row, v + i, plane, next, len); });
}

/* A' x of the rows of one column of planes */
INLINE void gather(const real *m, size_t plane, size_t len, vec *top, vec *bottom)
{
    vec b = get(m + 4 * plane, len), c = get(m + 8 * plane, len);

    *top = get(m, len) + (b + c);
    *bottom = (b - c) - get(m + 12 * plane, len);
}

static bool output(size_t columns, bool two, size_t n, const real *m, size_t plane, size_t next, const real *bias,
                   real *y, size_t row)
{
    vec zero = {0};

    for (size_t q = 0; q < columns; q += 2, m += next, y += 2 * n) {
        bool right = q + 1 < columns;
        EACH(n, {
            vec s[2][4];
            UNROLL
            for (size_t c = 0; c < 4; c++)
                gather(m + c * plane + i, plane, len, &s[0][c], &s[1][c]);
            vec start = bias ? get(bias + i, len) : (vec){0};
            UNROLL
            for (size_t r = 0; r < 2; r++) {
                vec first = start + s[r][0] + (s[r][1] + s[r][2]);
                vec second = start + (s[r][1] - s[r][2]) - s[r][3];
                if (r == 1 && !two)
                    break;
                zero += 0 * first;
                put(y + r * row + i, len, first);
                if (right) {
                    zero += 0 * second;
                    put(y + r * row + n + i, len, second);
                }
            }
        });
    }
    return !any(zero != 0);
}

/* A x */
INLINE void double_up(vec a, vec b, vec y[4])
{
    y[0] = a;
    y[1] = a + b;
    y[2] = a - b;
    y[3] = -b;
}

static void spread(size_t tiles, size_t n, const real *dy, size_t row, real *d, size_t plane, size_t next)
{
    for (size_t q = 0; q < tiles; q++, dy += 2 * n, d += next)
        EACH(n, {
            vec s[2][4];
            double_up(get(dy + i, len), get(dy + row + i, len), s[0]);
            double_up(get(dy + n + i, len), get(dy + row + n + i, len), s[1]);
            UNROLL
            for (size_t r = 0; r < 4; r++) {
                vec y[4];
                double_up(s[0][r], s[1][r], y);
                UNROLL
                for (size_t c = 0; c < 4; c++)
                    put(d + (4 * r + c) * plane + i, len, y[c]);
            }
        });
}

/* G' x */
INLINE void narrow(const vec x[4], vec y[3])
{
    vec half = (real)0.5 * (x[1] + x[2]);

    y[0] = x[0] + half;
    y[1] = (real)0.5 * (x[1] - x[2]);
    y[2] = half + x[3];
}

static bool collect(size_t n, const real *u, size_t plane, real *g, size_t step)
{
    vec zero = {0};

    EACH(n, {
        vec t[4][3];
        for (size_t c = 0; c < 4; c++) {
            vec x[4];
            for (size_t r = 0; r < 4; r++)
                x[r] = get(u + (4 * r + c) * plane + i, len);
            narrow(x, t[c]);
        }
        for (size_t r = 0; r < 3; r++) {
            vec x[4] = {t[0][r], t[1][r], t[2][r], t[3][r]};
            vec y[3];
            narrow(x, y);
            for (size_t c = 0; c < 3; c++) {
                put(g + (3 * r + c) * step + i, len, y[c]);
                zero += 0 * y[c];
            }
        }
    });
    return !any(zero != 0);
}

const AT_REAL(at_winograd_kernels) AT_KERNEL(at_winograd_kernels) = {
    .weight = weight,
    .input = input,
    .output = output,
    .spread = spread,
    .collect = collect,
};
