/*
 * maxout: y_o = max over p of x_{o, p}, the pieces of an output side by side              (Goodfellow et al. 2013)
 *
 *   x    [..., n * pieces]      y    [..., n]
 *   dx   dy at the first of the largest pieces
 *
 * A NaN among the pieces is the result, and its own gradient.
 */
#include "attn/op/rows.h"

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    int64_t pieces = c->arg[0].integer;
    size_t size[AT_MAX_DIM];

    if (pieces < 1)
        return at_fail(c, "pieces is %lld, expected at least 1", (long long)pieces);
    if (x->ndim == 0 || x->size[x->ndim - 1] % (size_t)pieces)
        return at_fail(c, "x has a width that %lld does not divide (x: %s)", (long long)pieces, at_describe(x).text);
    memcpy(size, x->size, sizeof size);
    size[x->ndim - 1] /= (size_t)pieces;
    return at_out(c, x->ndim, size);
}

typedef struct job {
    const real *x, *dy;
    real *y, *dx;
    size_t pieces;
} job;

static bool above(real a, real b) { return a > b || (a != a && b == b); }

static void forward_part(size_t begin, size_t end, void *context)
{
    const job *j = context;

    if (j->pieces == 2) { /* the usual case, without a loop inside */
        for (size_t i = begin; i < end; i++) {
            real a = j->x[2 * i], b = j->x[2 * i + 1], most = a > b ? a : b; /* b if one is NaN; no branch */
            j->y[i] = a != a ? a : most;
        }
        return;
    }
    for (size_t i = begin; i < end; i++) {
        const real *x = j->x + i * j->pieces;
        real most = x[0];
        for (size_t p = 1; p < j->pieces; p++)
            if (above(x[p], most))
                most = x[p];
        j->y[i] = most;
    }
}

static void maxout_forward(const at_call *c)
{
    job j = {.x = at_in(c, 0), .y = at_outp(c, 0), .pieces = (size_t)c->arg[0].integer};
    at_for(at_numel(c->out[0]), AT_GRAIN / j.pieces + 1, forward_part, &j);
}

static void backward_part(size_t begin, size_t end, void *context)
{
    const job *j = context;

    if (j->pieces == 2) {
        for (size_t i = begin; i < end; i++) {
            real a = j->x[2 * i], b = j->x[2 * i + 1];
            size_t most = 2 * i + ((b > a) | ((b != b) & (a == a)));
            j->dx[most] += j->dy[i];
        }
        return;
    }
    for (size_t i = begin; i < end; i++) {
        const real *x = j->x + i * j->pieces;
        size_t most = 0;
        for (size_t p = 1; p < j->pieces; p++)
            if (above(x[p], x[most]))
                most = p;
        j->dx[i * j->pieces + most] += j->dy[i];
    }
}

static void maxout_backward(const at_call *c)
{
    if (!at_din(c, 0))
        return;
    job j = {.x = at_in(c, 0), .dy = at_dout(c, 0), .dx = at_din(c, 0), .pieces = (size_t)c->arg[0].integer};
    at_for(at_numel(c->out[0]), AT_GRAIN / j.pieces + 1, backward_part, &j);
}

AT_OP(maxout, .args = {{"x", AT_FLOAT}, {"pieces", AT_INTEGER}}, .shape = shape, .forward = maxout_forward,
      .backward = maxout_backward, .keeps = AT_KEEP(0), .internal = true,
      .help = "maxout(x [..., n * pieces], pieces) -> y [..., n]\n"
              "The largest of neighbouring pieces: behind the linear part of layer.maxout.");
