/*
 * unit_rows: y = x / |x| along the last dimension; a row of zeros stays zeros, without gradient.
 *
 *   dx     (dy - y <y, dy>) / |x|
 *
 * The length is taken of x / max |x|, so that squares neither overflow nor vanish.
 */
#include <math.h>
#include <string.h>

#include "attn/core/parallel.h"
#include "attn/op/rows.h"
#include "attn/kernel/map.h"
#include "attn/kernel/reduce.h"

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    if (x->ndim == 0)
        return at_fail(c, "x is a scalar, expected at least 1 dimension");
    size_t n = x->size[x->ndim - 1];
    return at_out(c, x->ndim, x->size) && at_save(c, at_call_dtype(c), n ? at_numel(x) / n : 0);
}

static void rows(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    size_t n = c->in[0]->size[c->in[0]->ndim - 1];
    for (size_t r = begin; r < end; r++) {
        const real *x = at_in(c, 0) + r * n;
        real *y = at_outp(c, 0) + r * n, big = 0;
        for (size_t i = 0; i < n; i++)
            if (!((real)fabs((double)x[i]) <= big))
                big = (real)fabs((double)x[i]);
        if (big == 0) {
            memset(y, 0, n * sizeof(real));
            at_savedp(c, 0)[r] = 0;
            continue;
        }
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] / big;
        double length = sqrt(K->reduce->sumsq(n, y));
        K->map->scale(n, (real)(1 / length), y, y);
        at_savedp(c, 0)[r] = (real)((double)big * length);
    }
}

static void unit_rows_forward(const at_call *c)
{
    size_t n = c->in[0]->size[c->in[0]->ndim - 1];
    if (n > 0)
        at_for(at_numel(c->in[0]) / n, at_grain_rows(n), rows, (void *)(uintptr_t)c);
}

static void back_rows(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    size_t n = c->out[0]->size[c->out[0]->ndim - 1];
    for (size_t r = begin; r < end; r++) {
        const real *y = at_outp(c, 0) + r * n, *dy = at_dout(c, 0) + r * n;
        real *dx = at_din(c, 0) + r * n, length = at_savedp(c, 0)[r];
        double dot = 0;
        bool none = true;
        for (size_t i = 0; i < n; i++)
            none = none && dy[i] == 0;
        if (length == 0 || none) /* none: a masked row may be NaN */
            continue;
        dot = K->reduce->dot(n, y, dy);
        for (size_t i = 0; i < n; i++)
            dx[i] += (real)(((double)dy[i] - dot * (double)y[i]) / (double)length);
    }
}

static void unit_rows_backward(const at_call *c)
{
    size_t n = c->out[0]->size[c->out[0]->ndim - 1];
    if (n > 0)
        at_for(at_numel(c->out[0]) / n, at_grain_rows(n), back_rows, (void *)(uintptr_t)c);
}

AT_OP(unit_rows, .args = {{"x", AT_FLOAT}}, .shape = shape, .forward = unit_rows_forward,
      .backward = unit_rows_backward, .internal = true, .keeps = AT_KEEP_OUT(0),
      .help = "unit_rows(x) -> like x\nRows of length 1 along the last dimension; zeros stay zeros.");
