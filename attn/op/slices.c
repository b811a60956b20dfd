/*
 * flip, roll, pad: the slices of x along dimension d in another order, some more than once or not at all. Any dtype.
 *
 *   y[..., j, ...] = x[..., from(j), ...], or the value of pad where there is none
 *   dx             dy added up at the places it came from, in the order of y
 *
 * from(j) is piecewise j + c, c - j or c: a piece is a stretch of slices with one step, which is copied as one.
 */
#include <math.h>
#include <string.h>

#include "attn/core/op.h"
#include "attn/core/walk.h"

/* CONSTANT .. CIRCULAR are the choices of pad's mode */
enum { CONSTANT, REPLICATE, REFLECT, CIRCULAR, FLIP, ROLL };
enum { BEFORE = 1, AFTER, MODE, VALUE };

typedef struct order {
    int mode;
    int64_t n, start;      /* what is left of x: n slices from number start on */
    int64_t before, total; /* slices put in front; slices of y */
} order;

typedef struct piece {
    int64_t from, step, count; /* from < 0: the value */
} piece;

/* The piece that begins with slice j of y. */
static piece piece_at(const order *o, int64_t j)
{
    int64_t n = o->n, at = j - o->before, p;
    piece s = {.step = 1, .count = o->total - j};

    if (o->mode == FLIP)
        return (piece){n - 1 - j, -1, n - j};
    if (at >= 0 && at < n && o->mode != CIRCULAR && (o->mode != REFLECT || n == 1)) { /* one alone mirrors nothing */
        s.from = at;
        s.count = n - at;
    } else if (o->mode <= REPLICATE) {
        s.from = o->mode == CONSTANT ? -1 : at < 0 ? 0 : n - 1;
        s.step = 0;
        if (at < 0)
            s.count = -at;
    } else if (o->mode == REFLECT) {
        int64_t period = 2 * (n - 1);
        p = (at % period + period) % period;
        s = p < n - 1 ? (piece){p, 1, n - 1 - p} : (piece){period - p, -1, period - p};
    } else {
        p = (at % n + n) % n;
        s.from = p;
        s.count = n - p;
    }
    if (s.count > o->total - j)
        s.count = o->total - j;
    if (s.from >= 0)
        s.from += o->start;
    return s;
}

static size_t dim_of(const at_call *c) { return (size_t)c->arg[c->op->args[1].kind == AT_DIM ? 0 : 1].integer; }

static order order_of(const at_call *c)
{
    int64_t n = (int64_t)c->in[0]->size[dim_of(c)];
    order o = {.n = n, .total = n};

    if (c->op->args[2].kind == AT_END) {
        o.mode = FLIP;
    } else if (c->op->args[2].kind == AT_DIM) {
        o.mode = ROLL;
        o.before = n > 0 ? c->arg[0].integer % n : 0;
    } else {
        int64_t before = c->arg[BEFORE].integer, after = c->arg[AFTER].integer;
        o.mode = (int)c->arg[MODE].integer;
        o.start = before < 0 ? -before : 0;
        o.n = n - o.start + (after < 0 ? after : 0);
        o.before = before > 0 ? before : 0;
        o.total = n + before + after;
    }
    return o;
}

typedef struct job {
    order o;
    size_t n_x, n_y, run; /* slices; elements of a slice */
    at_dtype dtype;
    const char *from;
    char *to, value[8];
} job;

#define MOVE(type)                                                                                                     \
    do {                                                                                                               \
        const type *x = (const type *)(const void *)from;                                                              \
        type *y = (type *)(void *)to;                                                                                  \
        AT_PIECES(i, stop, (size_t)s.count)                                                                            \
        for (; i < stop; i++)                                                                                          \
            y[i] = x[(ptrdiff_t)i * s.step];                                                                           \
    } while (0)

/* One piece: from is its first slice of x, to of y. */
static void move(const job *m, piece s, const char *from, char *to)
{
    size_t bytes = at_dtype_bytes(m->dtype), slice = m->run * bytes;

    if (s.from >= 0 && s.step == 1) {
        at_copy_bytes(to, from, (size_t)s.count * slice);
    } else if (m->run == 1) {
        if (bytes == 1)
            MOVE(uint8_t);
        else if (bytes == 4)
            MOVE(uint32_t __attribute__((may_alias)));
        else
            MOVE(uint64_t __attribute__((may_alias)));
    } else {
        for (int64_t i = 0; i < s.count && !at_cut_short(); i++)
            at_copy_bytes(to + (size_t)i * slice, from + (ptrdiff_t)slice * i * s.step, slice);
    }
}

static void forward_block(size_t begin, size_t end, void *context)
{
    const job *m = context;
    size_t slice = m->run * at_dtype_bytes(m->dtype);

    for (size_t o = begin; o < end; o++) {
        piece s;
        for (int64_t j = 0; j < m->o.total && !at_cut_short(); j += s.count) {
            s = piece_at(&m->o, j);
            char *to = m->to + (o * m->n_y + (size_t)j) * slice;
            if (s.from >= 0) {
                move(m, s, m->from + (o * m->n_x + (size_t)s.from) * slice, to);
            } else {
                at_tensor part = {
                    .dtype = (uint8_t)m->dtype, .data = to, .ndim = 1, .step = {1}, .size = {(size_t)s.count * m->run}};
                at_tensor value = {
                    .dtype = (uint8_t)m->dtype, .data = (char *)m->value, .ndim = 1, .size = {part.size[0]}};
                at_copy_elements(&part, &value);
            }
        }
    }
}

#define ADD(type)                                                                                                      \
    do {                                                                                                               \
        const type *dy = (const type *)(const void *)from;                                                             \
        type *dx = (type *)(void *)to;                                                                                 \
        AT_PIECES(k, stop, (size_t)s.count)                                                                            \
        for (; k < stop; k++)                                                                                          \
            for (size_t i = 0; i < m->run; i++)                                                                        \
                dx[(ptrdiff_t)k * s.step * (ptrdiff_t)m->run + (ptrdiff_t)i] += dy[k * m->run + i];                    \
    } while (0)

static void backward_block(size_t begin, size_t end, void *context)
{
    const job *m = context;
    size_t slice = m->run * at_dtype_bytes(m->dtype);

    for (size_t o = begin; o < end; o++) {
        piece s;
        for (int64_t j = 0; j < m->o.total && !at_cut_short(); j += s.count) {
            s = piece_at(&m->o, j);
            if (s.from < 0)
                continue;
            const char *from = m->from + (o * m->n_y + (size_t)j) * slice;
            char *to = m->to + (o * m->n_x + (size_t)s.from) * slice;
            if (m->dtype == AT_F32)
                ADD(float);
            else
                ADD(double);
        }
    }
}

static void run(const at_call *c, job m, void (*fn)(size_t, size_t, void *))
{
    const at_tensor *x = c->in[0], *y = c->out[0];
    size_t d = dim_of(c), outer = 1;

    m.o = order_of(c);
    m.dtype = (at_dtype)y->dtype;
    m.n_x = x->size[d];
    m.n_y = y->size[d];
    m.run = 1;
    for (size_t k = 0; k < d; k++)
        outer *= x->size[k];
    for (size_t k = d + 1; k < x->ndim; k++)
        m.run *= x->size[k];
    if (at_numel(y) > 0)
        at_for(outer, at_grain_rows(m.n_y * m.run), fn, &m);
}

static void slices_forward(const at_call *c)
{
    run(c, (job){.from = c->in[0]->data, .to = c->out[0]->data}, forward_block);
}

static void slices_backward(const at_call *c)
{
    run(c, (job){.from = c->out[0]->grad->data, .to = c->in[0]->grad->data}, backward_block);
}

static bool same_shape(at_call *c) { return at_out_type(c, (at_dtype)c->in[0]->dtype, c->in[0]->ndim, c->in[0]->size); }

AT_MOVE_OP(flip, .args = {{"x", AT_ANY}, {"d", AT_DIM}}, .shape = same_shape, .forward = slices_forward,
           .backward = slices_backward, .keeps = AT_KEEP_NOTHING,
           .help = "flip(x, d) -> y like x\nThe entries of dimension d in reverse order. Any dtype.");

AT_MOVE_OP(
    roll, .args = {{"x", AT_ANY}, {"shift", AT_INTEGER}, {"d", AT_DIM}}, .shape = same_shape, .forward = slices_forward,
    .backward = slices_backward, .keeps = AT_KEEP_NOTHING,
    .help = "roll(x, shift, d) -> y like x\n"
            "Entry i of dimension d goes to i + shift; what leaves at one end comes in at the other. Any dtype.");

/* ---- pad ---- */

static bool pad_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t d = dim_of(c), size[AT_MAX_DIM];
    int64_t n = (int64_t)x->size[d];
    double v = c->arg[VALUE].number;

    for (int k = BEFORE; k <= AFTER; k++)
        if (c->arg[k].integer > (int64_t)1 << 40 || c->arg[k].integer < -n)
            return at_fail(c, "%s is %lld, expected %lld..2^40 (x: %s)", c->op->args[k + 1].name,
                           (long long)c->arg[k].integer, (long long)-n, at_describe(x).text);
    order o = order_of(c);
    if (o.n < 0)
        return at_fail(c, "%lld and %lld cut more than the %lld entries of dimension %zu (x: %s)",
                       (long long)c->arg[BEFORE].integer, (long long)c->arg[AFTER].integer, (long long)n, d + 1,
                       at_describe(x).text);
    int64_t least = o.mode == REFLECT ? 2 : o.mode == CONSTANT ? 0 : 1;
    if (o.n < least && o.total > o.n)
        return at_fail(c, "%lld entries are left of dimension %zu, expected at least %lld to continue (x: %s)",
                       (long long)o.n, d + 1, (long long)least, at_describe(x).text);
    if (o.mode == CONSTANT && x->dtype == AT_I64 && (v != floor(v) || fabs(v) > 9e15))
        return at_fail(c, "value is %.14g, expected an integer (x: %s)", v, at_describe(x).text);
    if (o.mode == CONSTANT && x->dtype == AT_U8 && v != at_to_uint8(v))
        return at_fail(c, "value is %.14g, expected an integer from 0 to 255 (x: %s)", v, at_describe(x).text);
    memcpy(size, x->size, sizeof size);
    size[d] = (size_t)o.total;
    return at_out_type(c, (at_dtype)x->dtype, x->ndim, size);
}

static void pad_forward(const at_call *c)
{
    job m = {.from = c->in[0]->data, .to = c->out[0]->data};
    at_tensor value = {.dtype = c->in[0]->dtype, .data = m.value};

    at_fill(&value, c->arg[VALUE].number);
    run(c, m, forward_block);
}

AT_MOVE_OP(
    pad,
    .args = {{"x", AT_ANY},
             {"d", AT_DIM},
             {"before", AT_INTEGER},
             {"after", AT_INTEGER},
             {"mode", AT_CHOICE, .optional = true, .option = true, .choices = "constant|replicate|reflect|circular"},
             {"value", AT_NUMBER, .optional = true, .option = true}},
    .shape = pad_shape, .forward = pad_forward, .backward = slices_backward, .keeps = AT_KEEP_NOTHING,
    .help = "pad(x, d, before, after, {mode = \"constant\", value = 0}) -> y\n"
            "Entries put before and after those of dimension d; negative numbers cut, and what is left is continued: "
            "constant (the "
            "value), replicate (the last entry), reflect (mirrored at the last entry, which is not repeated) or "
            "circular. Any dtype.");
