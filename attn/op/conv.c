/*
 * conv1d over sequences [B, T, C], conv2d over images [B, C, H, W].
 *
 *   weight   [O, C, k] or [O, C, kh, kw];  bias [O], may be left out
 *   y        conv1d [B, T', O], conv2d [B, O, H', W'],  T' = (T + 2 padding - k) / stride + 1, rounded down
 *            y[t, o] = bias[o] + sum over c, j of weight[o, c, j] x[t stride + j - padding, c], zeros outside of x
 *   dx       the same sum turned round;  dweight = dy' columns;  dbias = sum of dy
 *
 * The patches of x are laid out as rows of a matrix ("columns", [P, C kh kw], one row for each place of y) and
 * multiplied by the weight as a matrix [O, C kh kw]; the backward pass lays them out again instead of keeping them.
 * Batches are taken together as long as the matrix has at most BATCH elements, so memory stays bounded. A sequence is
 * an image of height 1 whose channels are its innermost dimension.
 */
#include <string.h>

#include "attn/core/gemm.h"
#include "attn/op/rows.h"
#include "attn/op/sum.h"

enum { BATCH = 1 << 20 };

typedef struct plan {
    bool image;
    size_t B, C, H, W, O, kh, kw, Ho, Wo;
    size_t P, CK;               /* places of y in one image; numbers in a patch */
    ptrdiff_t stride, padding, padding_h;
    size_t at_b, at_c, at_h, at_w;      /* steps of x and dx */
    size_t together;            /* images in one product */
} plan;

static plan plan_of(const at_call *c)
{
    const at_tensor *x = c->in[0], *w = c->in[1];
    bool image = w->ndim == 4;
    plan p = {.image = image, .B = x->size[0], .O = w->size[0], .C = w->size[1], .stride = (ptrdiff_t)c->arg[0].integer,
              .padding = (ptrdiff_t)c->arg[1].integer, .kw = w->size[w->ndim - 1], .kh = image ? w->size[2] : 1,
              .H = image ? x->size[2] : 1, .W = image ? x->size[3] : x->size[1]};

    p.padding_h = image ? p.padding : 0;
    p.Ho = (p.H + 2 * (size_t)p.padding_h - p.kh) / (size_t)p.stride + 1;
    p.Wo = (p.W + 2 * (size_t)p.padding - p.kw) / (size_t)p.stride + 1;
    p.P = p.Ho * p.Wo;
    p.CK = p.C * p.kh * p.kw;
    p.at_b = p.C * p.H * p.W;
    p.at_c = image ? p.H * p.W : 1;
    p.at_h = p.W;
    p.at_w = image ? 1 : p.C;
    p.together = p.P * p.CK > 0 ? BATCH / (p.P * p.CK) : p.B;
    if (p.together < 1)
        p.together = 1;
    if (p.together > p.B)
        p.together = p.B;
    return p;
}

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0], *w = c->in[1], *b = c->n_in > 2 ? c->in[2] : NULL;
    bool image = strcmp(c->op->name, "conv2d") == 0;
    size_t ndim = image ? 4 : 3, count;
    int64_t stride = c->arg[0].integer, padding = c->arg[1].integer;

    if (x->ndim != ndim)
        return at_fail(c, "x has %d dimensions, expected %s (x: %s)", x->ndim, image ? "[B, C, H, W]" : "[B, T, C]",
                       at_describe(x).text);
    if (w->ndim != ndim)
        return at_fail(c, "weight has %d dimensions, expected %s (weight: %s)", w->ndim,
                       image ? "[O, C, kh, kw]" : "[O, C, k]", at_describe(w).text);
    size_t C = x->size[image ? 1 : 2];
    if (w->size[1] != C)
        return at_fail(c, "x has %zu channels, expected %zu (x: %s, weight: %s)", C, w->size[1], at_describe(x).text,
                       at_describe(w).text);
    if (b && (b->ndim != 1 || b->size[0] != w->size[0]))
        return at_fail(c, "bias has shape %s, expected [%zu] (weight: %s)", at_describe_shape(b->ndim, b->size).text,
                       w->size[0], at_describe(w).text);
    if (stride < 1 || stride > INT32_MAX)
        return at_fail(c, "stride is %lld, expected at least 1", (long long)stride);
    if (padding < 0 || padding > INT32_MAX)
        return at_fail(c, "padding is %lld, expected at least 0", (long long)padding);
    for (size_t d = image ? 2 : 1; d < (image ? 4u : 2u); d++) {
        size_t k = w->size[image ? d : 2], n = x->size[d] + 2 * (size_t)padding;
        if (k == 0)
            return at_fail(c, "the kernel is empty (weight: %s)", at_describe(w).text);
        if (n < k)
            return at_fail(
                c, "x has %zu places along dimension %zu with padding, expected at least the kernel's %zu (x: %s)", n,
                d + 1, k, at_describe(x).text);
    }
    plan p = plan_of(c);
    if (!at_count_elements(5, (size_t[]){p.Ho, p.Wo, p.C, p.kh, p.kw}, &count) ||
        !at_count_elements(3, (size_t[]){p.together, p.P, p.CK}, &count))
        return at_fail(c, "the patches are too large (x: %s, weight: %s)", at_describe(x).text, at_describe(w).text);
    at_want_scratch(c, count * sizeof(real));
    return image ? at_out(c, 4, (size_t[]){p.B, p.O, p.Ho, p.Wo}) : at_out(c, 3, (size_t[]){p.B, p.Wo, p.O});
}

typedef struct patches {
    plan p;
    const real *x;              /* the first image of the batch at hand */
    real *dx, *columns;
} patches;

/* Patches to rows: one row for each place, in the order channel, kernel row, kernel column, as the weight has it. */
static void lay_out(size_t begin, size_t end, void *context)
{
    const patches *s = context;
    plan p = s->p;

    for (size_t r = begin; r < end; r++) {
        size_t b = r / p.P, place = r % p.P;
        ptrdiff_t top = (ptrdiff_t)(place / p.Wo) * p.stride - p.padding_h,
                  left = (ptrdiff_t)(place % p.Wo) * p.stride - p.padding;
        const real *x = s->x + b * p.at_b;
        real *to = s->columns + r * p.CK;
        for (size_t c = 0; c < p.C; c++)
            for (size_t i = 0; i < p.kh; i++) {
                ptrdiff_t h = top + (ptrdiff_t)i;
                for (size_t j = 0; j < p.kw; j++) {
                    ptrdiff_t w = left + (ptrdiff_t)j;
                    bool inside = h >= 0 && h < (ptrdiff_t)p.H && w >= 0 && w < (ptrdiff_t)p.W;
                    *to++ = inside ? x[c * p.at_c + (size_t)h * p.at_h + (size_t)w * p.at_w] : 0;
                }
            }
    }
}

/* Rows back to patches: one image of dx per turn, its places in order. */
static void gather_up(size_t begin, size_t end, void *context)
{
    const patches *s = context;
    plan p = s->p;

    for (size_t unit = begin; unit < end; unit++) {
        /* one channel of one image: nobody else writes it */
        size_t b = unit / p.C, c = unit % p.C;
        real *dx = s->dx + b * p.at_b + c * p.at_c;
        for (size_t place = 0; place < p.P; place++) {
            const real *from = s->columns + (b * p.P + place) * p.CK + c * p.kh * p.kw;
            ptrdiff_t top = (ptrdiff_t)(place / p.Wo) * p.stride - p.padding_h;
            ptrdiff_t left = (ptrdiff_t)(place % p.Wo) * p.stride - p.padding;
            for (size_t i = 0; i < p.kh; i++) {
                ptrdiff_t h = top + (ptrdiff_t)i;
                for (size_t j = 0; j < p.kw; j++, from++) {
                    ptrdiff_t w = left + (ptrdiff_t)j;
                    if (h >= 0 && h < (ptrdiff_t)p.H && w >= 0 && w < (ptrdiff_t)p.W)
                        dx[(size_t)h * p.at_h + (size_t)w * p.at_w] += *from;
                }
            }
        }
    }
}

static void forward(const at_call *c)
{
    plan p = plan_of(c);
    const real *bias = c->n_in > 2 && c->in[2] ? at_in(c, 2) : NULL;
    real *y = at_outp(c, 0);

    if (at_numel(c->out[0]) == 0)
        return;
    for (size_t r = 0; bias && r < p.B * (p.image ? p.O : p.P); r++)
        if (p.image)
            K->fill(p.P, bias[r % p.O], y + r * p.P);
        else
            memcpy(y + r * p.O, bias, p.O * sizeof(real));
    for (size_t b = 0; b < p.B; b += p.together) {
        size_t n = p.B - b < p.together ? p.B - b : p.together;
        patches s = {p, at_in(c, 0) + b * p.at_b, NULL, (real *)(void *)c->work};
        size_t ck = p.CK ? p.CK : 1;
        at_for(n * p.P, at_grain_rows(p.CK), lay_out, &s);
        if (p.image)
            AT_REAL(at_gemm_batch)(n, false, true, p.O, p.P, p.CK, 1, at_in(c, 1), ck, 0, s.columns, ck, p.P * p.CK,
                                   bias ? 1 : 0, y + b * p.O * p.P, p.P, p.O * p.P);
        else
            AT_REAL(at_gemm)(false, true, n * p.P, p.O, p.CK, 1, s.columns, ck, at_in(c, 1), ck, bias ? 1 : 0,
                             y + b * p.P * p.O, p.O);
    }
}

static void clear_if_fresh(const at_call *c, int k)
{
    if (k < c->n_in && c->in[k] && at_din(c, k) && at_is_fresh(c, k))
        memset(at_din(c, k), 0, at_numel(c->in[k]) * sizeof(real));
}

static void backward(const at_call *c)
{
    plan p = plan_of(c);
    const real *dy = at_dout(c, 0);
    real *dx = at_din(c, 0), *dw = at_din(c, 1);

    for (int k = 0; k < 3; k++)
        clear_if_fresh(c, k);
    if (at_numel(c->out[0]) == 0)
        return;
    if (c->n_in > 2 && c->in[2] && at_din(c, 2)) {
        if (p.image)
            at_sum_into(at_din(c, 2), dy, 3, (size_t[]){p.B, p.O, p.P}, (bool[]){true, false, true});
        else
            at_sum_into(at_din(c, 2), dy, 2, (size_t[]){p.B * p.P, p.O}, (bool[]){true, false});
    }
    for (size_t b = 0; b < p.B && p.CK > 0; b += p.together) {
        size_t n = p.B - b < p.together ? p.B - b : p.together;
        patches s = {p, at_in(c, 0) + b * p.at_b, dx ? dx + b * p.at_b : NULL, (real *)(void *)c->work};
        const real *g = dy + b * p.O * p.P;
        if (dw) {
            at_for(n * p.P, at_grain_rows(p.CK), lay_out, &s);
            if (p.image)
                for (size_t i = 0; i < n; i++)
                    AT_REAL(at_gemm)(
                        false, false, p.O, p.CK, p.P, 1, g + i * p.O * p.P, p.P, s.columns + i * p.P * p.CK, p.CK, 1,
                        dw, p.CK);
            else
                AT_REAL(at_gemm)(true, false, p.O, p.CK, n * p.P, 1, g, p.O, s.columns, p.CK, 1, dw, p.CK);
        }
        if (dx) {
            if (p.image)
                AT_REAL(at_gemm_batch)(n, true, false, p.P, p.CK, p.O, 1, g, p.P, p.O * p.P, at_in(c, 1), p.CK, 0, 0,
                                       s.columns, p.CK, p.P * p.CK);
            else
                AT_REAL(at_gemm)(false, false, n * p.P, p.CK, p.O, 1, g, p.O, at_in(c, 1), p.CK, 0, s.columns, p.CK);
            at_for(n * p.C, at_grain_rows(p.P * p.kh * p.kw), gather_up, &s);
        }
    }
}

AT_OP(conv1d,
      .args = {{"x", AT_FLOAT},
               {"weight", AT_FLOAT},
               {"bias", AT_FLOAT, .optional = true},
               {"stride", AT_INTEGER, .optional = true, .value = 1},
               {"padding", AT_INTEGER, .optional = true}},
      .shape = shape, .forward = forward, .backward = backward, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP(1),
      .plain = true,
      .help = "conv1d(x [B, T, C], weight [O, C, k] [, bias [O], stride = 1, padding = 0]) -> [B, T', O]\n"
              "Windows of k steps times the weight, every `stride` steps, with `padding` zeros at both ends: "
              "T' = (T + 2 padding - k) / stride + 1, rounded down.");

AT_OP(conv2d,
      .args = {{"x", AT_FLOAT},
               {"weight", AT_FLOAT},
               {"bias", AT_FLOAT, .optional = true},
               {"stride", AT_INTEGER, .optional = true, .value = 1},
               {"padding", AT_INTEGER, .optional = true}},
      .shape = shape, .forward = forward, .backward = backward, .fresh = true, .keeps = AT_KEEP(0) | AT_KEEP(1),
      .plain = true,
      .help = "conv2d(x [B, C, H, W], weight [O, C, kh, kw] [, bias [O], stride = 1, padding = 0]) -> [B, O, H', W']\n"
              "Windows of kh x kw pixels times the weight, every `stride` pixels, with `padding` zeros on all sides: "
              "H' = (H + 2 padding - kh) / stride + 1, rounded down.");
