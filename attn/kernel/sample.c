/* Sampling of images laid out pixel by pixel, [pixels, C]: each result is the weighted sum of up to four pixels. */
#include "attn/kernel/sample.h"
#include "attn/kernel/table.h"

static void sample(size_t n, size_t C, const real *x, const ptrdiff_t *at, const real *weight, real *y)
{
    for (size_t p = 0; p < n; p++, at += 4, weight += 4, y += C) {
        if (at[0] >= 0 && at[1] >= 0 && at[2] >= 0 && at[3] >= 0) {
            const real *a = x + at[0] * (ptrdiff_t)C, *b = x + at[1] * (ptrdiff_t)C, *c = x + at[2] * (ptrdiff_t)C,
                       *d = x + at[3] * (ptrdiff_t)C;
            EACH(C, {
                put(y + i, len,
                    get(a + i, len) * weight[0] + get(b + i, len) * weight[1] + get(c + i, len) * weight[2] +
                        get(d + i, len) * weight[3]);
            });
            continue;
        }
        EACH(C, { put(y + i, len, (vec){0}); });
        for (int k = 0; k < 4; k++)
            if (at[k] >= 0) {
                const real *a = x + at[k] * (ptrdiff_t)C;
                EACH(C, { put(y + i, len, get(y + i, len) + get(a + i, len) * weight[k]); });
            }
    }
}

static void sample_back(size_t n, size_t C, const real *x, const ptrdiff_t *at, const real *weight, const real *dy,
                        real *dx, real *dweight)
{
    for (size_t p = 0; p < n; p++, at += 4, weight += 4, dy += C)
        for (int k = 0; k < 4; k++) {
            vec s = {0};
            if (at[k] >= 0 && dx) {
                real *a = dx + at[k] * (ptrdiff_t)C;
                EACH(C, { put(a + i, len, get(a + i, len) + get(dy + i, len) * weight[k]); });
            }
            if (!dweight)
                continue;
            if (at[k] >= 0) {
                const real *a = x + at[k] * (ptrdiff_t)C;
                EACH(C, { s += get(a + i, len) * get(dy + i, len); });
            }
            dweight[4 * p + (size_t)k] = across(s);
        }
}

const AT_REAL(at_sample_kernels) AT_KERNEL(at_sample_kernels) = {
    .sample = sample,
    .sample_back = sample_back,
};
