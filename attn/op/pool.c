/*
 * max_pool1d, avg_pool1d over sequences [B, T, C]; max_pool2d, avg_pool2d over images [B, C, H, W].
 *
 *   y        the greatest, or the mean, of each window of `kernel` places, every `stride` places (default: kernel);
 *            T' = (T + 2 padding - kernel) / stride + 1, rounded down
 *   padding  never the greatest; counts as zeros in a mean. At most half the kernel: no window is padding only
 *   lengths  (sequences) each row is pooled as if it ended there; a window with nothing valid gives 0, without gradient.
 *            A mean divides by the places of the window up to length + padding
 *   dx       of a maximum to the first of equals, row by row: its place is kept; of a mean the same to all places
 *
 * The kernels take one place of all windows side by side: of the channels of a sequence, of a row of windows of an image.
 */
#include <string.h>

#include "attn/op/rows.h"
#include "attn/kernel/map.h"
#include "attn/kernel/pool.h"

enum { KERNEL, STRIDE, PADDING };
enum { LENGTHS = 1 };

typedef struct plan {
    bool image, mean;
    size_t B, C, H, W, Ho, Wo; /* a sequence has its time in H, its channels in W */
    size_t kh, kw, sh, sw, ph, pw;
    const int64_t *lengths;
} plan;

static plan plan_of(const at_call *c)
{
    const at_tensor *x = c->in[0];
    const at_scalar_value *a = c->arg;
    bool strided = c->given >> STRIDE & 1;
    plan p = {.image = strstr(c->op->name, "2d"),
              .mean = c->op->name[0] == 'a',
              .B = x->size[0],
              .kh = (size_t)a[KERNEL].counts[0],
              .kw = 1,
              .sh = (size_t)a[strided ? STRIDE : KERNEL].counts[0],
              .sw = 1,
              .ph = (size_t)a[PADDING].counts[0]};
    if (p.image) {
        p.C = x->size[1];
        p.H = x->size[2];
        p.W = x->size[3];
        p.kw = (size_t)a[KERNEL].counts[1];
        p.sw = (size_t)a[strided ? STRIDE : KERNEL].counts[1];
        p.pw = (size_t)a[PADDING].counts[1];
    } else {
        p.C = 1;
        p.H = x->size[1];
        p.W = x->size[2];
        p.lengths = c->n_in > LENGTHS && c->in[LENGTHS] ? at_ids(c->in[LENGTHS]) : NULL;
    }
    p.Ho = (p.H + 2 * p.ph - p.kh) / p.sh + 1;
    p.Wo = p.image ? (p.W + 2 * p.pw - p.kw) / p.sw + 1 : p.W;
    return p;
}

static bool check_counts(at_call *c, bool image)
{
    const at_tensor *x = c->in[0];
    bool strided = c->given >> STRIDE & 1;
    for (int i = 0; i < (image ? 2 : 1); i++) {
        int32_t k = c->arg[KERNEL].counts[i], stride = c->arg[strided ? STRIDE : KERNEL].counts[i],
                pad = c->arg[PADDING].counts[i];
        size_t d = image ? 2 + (size_t)i : 1;
        if (k < 1)
            return at_fail(c, "kernel is %d, expected at least 1", k);
        if (stride < 1)
            return at_fail(c, "stride is %d, expected at least 1", stride);
        if (pad < 0 || pad > k / 2)
            return at_fail(c, "padding is %d, expected 0 to %d, half the kernel", pad, k / 2);
        if (x->size[d] + 2 * (size_t)pad < (size_t)k)
            return at_fail(
                c, "x has %zu places along dimension %zu with padding, expected at least the kernel's %d (x: %s)",
                x->size[d] + 2 * (size_t)pad, d + 1, k, at_describe(x).text);
    }
    if (!image && c->arg[KERNEL].counts[0] != c->arg[KERNEL].counts[1])
        return at_fail(c, "kernel is a table of two, expected a number");
    if (!image && (c->given >> STRIDE & 1) && c->arg[STRIDE].counts[0] != c->arg[STRIDE].counts[1])
        return at_fail(c, "stride is a table of two, expected a number");
    if (!image && c->arg[PADDING].counts[0] != c->arg[PADDING].counts[1])
        return at_fail(c, "padding is a table of two, expected a number");
    return true;
}

static bool check_lengths(at_call *c)
{
    const at_tensor *x = c->in[0], *lengths = c->n_in > LENGTHS ? c->in[LENGTHS] : NULL;
    if (!lengths)
        return true;
    if (lengths->ndim != 1 || lengths->size[0] != x->size[0])
        return at_fail(c, "lengths has shape %s, expected [%zu] (x: %s)",
                       at_describe_shape(lengths->ndim, lengths->size).text, x->size[0], at_describe(x).text);
    for (size_t b = 0; b < x->size[0]; b++)
        if (at_ids(lengths)[b] < 0 || at_ids(lengths)[b] > (int64_t)x->size[1])
            return at_fail(c, "lengths[%zu] is %lld, expected 0 to %zu", b + 1, (long long)at_ids(lengths)[b],
                           x->size[1]);
    return true;
}

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    bool image = strstr(c->op->name, "2d");
    if (x->ndim != (image ? 4 : 3))
        return at_fail(c, "x has %d dimensions, expected %s (x: %s)", x->ndim, image ? "[B, C, H, W]" : "[B, T, C]",
                       at_describe(x).text);
    if (!check_counts(c, image) || !check_lengths(c))
        return false;
    plan p = plan_of(c);
    if (!p.mean && p.H > 0 && p.W > INT32_MAX / p.H)
        return at_fail(c, "x has planes of more than 2^31 - 1 numbers (x: %s)", at_describe(x).text);
    if (!(image ? at_out(c, 4, (size_t[]){p.B, p.C, p.Ho, p.Wo}) : at_out(c, 3, (size_t[]){p.B, p.Ho, p.Wo})))
        return false;
    if (p.mean)
        return true;
    size_t n = at_numel(c->out[0]);
    if (at_recording(c))
        return at_save(c, AT_REAL_DTYPE, n);
    at_want_scratch(c, n * sizeof(real));
    return true;
}

/* The valid places of windows: rows from top to below `bottom`; the places a mean divides by. */
typedef struct window {
    size_t top, bottom, places;
} window;

static window rows_of(const plan *p, size_t plane, size_t row)
{
    /* start and end count from the first place of the padding */
    size_t start = row * p->sh, end = start + p->kh, size = p->lengths ? (size_t)p->lengths[plane] : p->H;
    window w = {start > p->ph ? start - p->ph : 0, end > p->ph ? end - p->ph : 0, p->kh};
    if (w.bottom > size)
        w.bottom = size;
    if (w.top > w.bottom)
        w.top = w.bottom;
    if (end > size + 2 * p->ph)
        w.places = size + 2 * p->ph > start ? size + 2 * p->ph - start : 1;
    return w;
}

/* For place j of a window, the windows of a row that have it inside: from `first` to below the result. */
static size_t columns_of(const plan *p, size_t j, size_t *first)
{
    if (!p->image) {
        *first = 0;
        return p->Wo;
    }
    *first = j < p->pw ? (p->pw - j + p->sw - 1) / p->sw : 0;
    size_t last =
        p->W + p->pw > j ? (p->W + p->pw - j - 1) / p->sw + 1 : 0; /* windows whose place j is left of the end */
    last = last < p->Wo ? last : p->Wo;
    *first = *first < last ? *first : last;
    return last;
}

typedef struct job {
    const at_call *c;
    plan p;
    const real *x, *dy;
    real *y, *at, *dx;
    bool fresh;
} job;

static void max_row(const job *s, size_t plane, size_t row)
{
    const plan *p = &s->p;
    window w = rows_of(p, plane, row);
    const real *x = s->x + plane * p->H * p->W;
    real *y = s->y + (plane * p->Ho + row) * p->Wo, *at = s->at + (plane * p->Ho + row) * p->Wo;
    size_t by = p->image ? p->sw : 0;

    if (w.top == w.bottom || p->W == 0) {
        memset(y, 0, p->Wo * sizeof *y);
        memset(at, -1, p->Wo * sizeof *at);
        return;
    }
    /* the first place that is inside, until something greater comes: of windows that begin in the padding, column 0 */
    size_t padded = at_ratio(p->pw, p->sw);
    padded = padded < p->Wo ? padded : p->Wo;
    K->pool->start(padded, w.top * p->W, 0, y, at);
    K->pool->start(p->Wo - padded, w.top * p->W + padded * p->sw - p->pw, by, y + padded, at + padded);
    for (size_t h = w.top; h < w.bottom && !at_cut_short(); h++)
        for (size_t j = 0; j < p->kw; j++) {
            size_t first, end = columns_of(p, j, &first), from = h * p->W + (p->image ? first * p->sw + j - p->pw : 0);
            K->pool->max(end - first, x + from, p->sw, from, by, y + first, at + first);
        }
}

static void mean_row(const job *s, size_t plane, size_t row)
{
    const plan *p = &s->p;
    window w = rows_of(p, plane, row);
    const real *x = s->x + plane * p->H * p->W;
    real *y = s->y + (plane * p->Ho + row) * p->Wo;

    memset(y, 0, p->Wo * sizeof *y);
    for (size_t h = w.top; h < w.bottom && !at_cut_short(); h++)
        for (size_t j = 0; j < p->kw; j++) {
            size_t first, end = columns_of(p, j, &first);
            K->pool->sum(end - first, x + h * p->W + (p->image ? first * p->sw + j - p->pw : 0), p->sw, y + first);
        }
    K->map->scale(p->Wo, 1 / ((real)w.places * (real)p->kw), y, y);
}

static void rows(size_t begin, size_t end, void *context)
{
    const job *s = context;
    for (size_t r = begin; r < end; r++)
        (s->p.mean ? mean_row : max_row)(s, r / s->p.Ho, r % s->p.Ho);
}

static void pool_forward(const at_call *c)
{
    job s = {.c = c, .p = plan_of(c), .x = at_in(c, 0), .y = at_outp(c, 0)};
    if (!s.p.mean)
        s.at = c->n_saved ? at_savedp(c, 0) : (real *)(void *)c->work;
    at_for(s.p.B * s.p.C * s.p.Ho, at_grain_rows(s.p.Wo * s.p.kh * s.p.kw), rows, &s);
}

static void mean_back(const job *s, size_t plane)
{
    const plan *p = &s->p;
    real *dx = s->dx + plane * p->H * p->W;
    for (size_t row = 0; row < p->Ho && !at_cut_short(); row++) {
        window w = rows_of(p, plane, row);
        const real *dy = s->dy + (plane * p->Ho + row) * p->Wo;
        real scale = 1 / ((real)w.places * (real)p->kw);
        for (size_t h = w.top; h < w.bottom; h++)
            for (size_t j = 0; j < p->kw; j++) {
                size_t first, end = columns_of(p, j, &first);
                K->pool->sum_back(end - first, dy + first, scale, p->sw,
                                  dx + h * p->W + (p->image ? first * p->sw + j - p->pw : 0));
            }
    }
}

static void max_back(const job *s, size_t plane)
{
    const plan *p = &s->p;
    real *dx = s->dx + plane * p->H * p->W;
    size_t n = p->Ho * p->Wo;
    if (p->image) {
        K->pool->max_back(n, s->at + plane * n, 0, s->dy + plane * n, dx);
        return;
    }
    for (size_t row = 0; row < p->Ho && !at_cut_short(); row++) {
        window w = rows_of(p, plane, row);
        if (w.top < w.bottom)
            K->pool->max_back(p->Wo, s->at + plane * n + row * p->Wo, 1, s->dy + plane * n + row * p->Wo, dx);
    }
}

static void planes(size_t begin, size_t end, void *context)
{
    const job *s = context;
    size_t n = s->p.H * s->p.W;
    for (size_t plane = begin; plane < end; plane++) {
        if (s->fresh)
            memset(s->dx + plane * n, 0, n * sizeof(real));
        (s->p.mean ? mean_back : max_back)(s, plane);
    }
}

static void pool_backward(const at_call *c)
{
    job s = {.c = c, .p = plan_of(c), .dy = at_dout(c, 0), .dx = at_din(c, 0), .fresh = at_is_fresh(c, 0)};
    if (!s.p.mean)
        s.at = at_savedp(c, 0);
    if (s.dx)
        at_for(s.p.B * s.p.C, at_grain_rows(s.p.H * s.p.W), planes, &s);
}

#define OPTIONS                                                                                                        \
    {"stride", AT_COUNTS, .optional = true, .option = true}, { "padding", AT_COUNTS, .optional = true, .option = true }

AT_OP(max_pool1d, .args = {{"x", AT_FLOAT}, {"kernel", AT_COUNTS}, OPTIONS, {"lengths", AT_IDS, .option = true}},
      .shape = shape, .forward = pool_forward, .backward = pool_backward, .fresh = true, .keeps = AT_KEEP(1),
      .help = "max_pool1d(x [B, T, C], kernel, {stride = kernel, padding = 0, lengths =}) -> [B, T', C]\n"
              "The greatest of each window of `kernel` steps, every `stride` steps: T' = (T + 2 padding - kernel) / "
              "stride + 1,\n"
              "rounded down. Padding never is the greatest. With lengths [B] each row is pooled as if it ended there; "
              "a window\n"
              "with nothing valid gives 0, without gradient.");

AT_OP(
    avg_pool1d, .args = {{"x", AT_FLOAT}, {"kernel", AT_COUNTS}, OPTIONS, {"lengths", AT_IDS, .option = true}},
    .shape = shape, .forward = pool_forward, .backward = pool_backward, .fresh = true, .keeps = AT_KEEP(1),
    .help =
        "avg_pool1d(x [B, T, C], kernel, {stride = kernel, padding = 0, lengths =}) -> [B, T', C]\n"
        "The mean of each window of `kernel` steps, every `stride` steps: T' = (T + 2 padding - kernel) / stride + 1,\n"
        "rounded down. Padding counts as zeros. With lengths [B] each row is pooled as if it ended there (and "
        "`padding`\n"
        "zeros followed); a window with nothing valid gives 0, without gradient.");

AT_OP(max_pool2d, .args = {{"x", AT_FLOAT}, {"kernel", AT_COUNTS}, OPTIONS}, .shape = shape, .forward = pool_forward,
      .backward = pool_backward, .fresh = true, .keeps = AT_KEEP_NOTHING,
      .help = "max_pool2d(x [B, C, H, W], kernel, {stride = kernel, padding = 0}) -> [B, C, H', W']\n"
              "The greatest of each window; kernel, stride and padding are a number or {height, width}:\n"
              "H' = (H + 2 padding - kernel) / stride + 1, rounded down. Padding never is the greatest; the gradient "
              "goes to the\n"
              "first of equals, row by row.");

AT_OP(avg_pool2d, .args = {{"x", AT_FLOAT}, {"kernel", AT_COUNTS}, OPTIONS}, .shape = shape, .forward = pool_forward,
      .backward = pool_backward, .fresh = true, .keeps = AT_KEEP_NOTHING,
      .help = "avg_pool2d(x [B, C, H, W], kernel, {stride = kernel, padding = 0}) -> [B, C, H', W']\n"
              "The mean of each window; kernel, stride and padding are a number or {height, width}:\n"
              "H' = (H + 2 padding - kernel) / stride + 1, rounded down. Padding counts as zeros.");
