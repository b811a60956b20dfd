/*
 * conv1d over sequences [B, T, C], conv2d over images [B, C, H, W].
 *
 *   weight   [O, C / groups, k] or [O, C / groups, kh, kw];  bias [O], may be left out
 *   y        conv1d [B, T', O], conv2d [B, O, H', W'],  T' = (T + before + after - dilation (k - 1) - 1) / stride + 1, rounded down
 *            y[t, o] = bias[o] + sum over c, j of weight[o, c, j] x[t stride + j dilation - before, c], zeros outside of x
 *   dx       the same sum turned round;  dweight = dy' windows;  dbias = sum of dy
 *
 * No window is ever laid out. A part of x is copied into a grid with its zeros, one plane for each place a tap can have within a
 * stride, so that entry j of the window of place q is grid[at[j] + q] for all q: what kernel/window.c multiplies with. Images stand
 * side by side in the rows of a grid and share the zeros between them; the few places q that are no place of y are thrown away. Small
 * images would be mostly edges and short rows: of them LANES stand in each place of a grid, so that a vector is one pixel of all.
 *
 * Taps of 3 x 3 between enough channels take fewer products: winograd.c. Not with inputs rounded to bfloat16 (kernel/bf16.h): these
 * are the pixels and the weight themselves, as they are laid out, and the sums those of float32.
 *
 * dx is such a convolution too: of dy with the turned weight, one for each place within a stride. A sequence is an image of height 1
 * whose channels are its innermost dimension.
 */
#include <string.h>

#include "attn/op/rooms.h"
#include "attn/op/sum.h"
#include "attn/op/winograd.h"
#include "attn/kernel/bf16.h"
#include "attn/kernel/pack.h"
#include "attn/kernel/window.h"

enum {
    GRID = 1 << 16,    /* numbers of x in a grid: a part of the second-level cache */
    PARTS = 8,         /* a batch is cut into as many at least, for the threads */
    BAND = 8,          /* but not into fewer rows than this */
    PLACES = 2048,     /* in a grid of the weight's gradient: four rows of dy about fill the first-level cache */
    CHANNELS = 64,     /* and of these as many of x and of y */
    PARTIAL = 1 << 20, /* numbers in partial gradients of the weight */
    NARROW = 16,       /* images not wider nor higher have lanes */
    LANES = 64 / sizeof(real)
};

/* One dimension: tap t of result v reads place v stride + t step - front of x. */
typedef struct axis {
    size_t in, out, stride, step, taps;
    ptrdiff_t front;
    ptrdiff_t tap, next; /* tap t is number tap + t next of the weight */
    size_t start, every; /* result v goes to place start + v every of y */
    size_t phases;       /* different places of taps within a stride */
    size_t reach;        /* strides from the first tap to the last */
} axis;

/* Elements from one image, channel, row and column to the next. */
typedef struct steps {
    size_t b, c, h, w;
} steps;

/* y (+)= weight * x */
typedef struct job {
    axis h, w;
    size_t B, G, C, O; /* channels of one group */
    const real *x, *weight, *bias;
    real *y;
    steps of_x, of_y;
    size_t w_o, w_c, kw; /* of the weight: elements from one channel of y to the next, one of x to the next, one row */
    bool add, rounds;
    /* the plan, by the sizes only */
    size_t k, rows, columns, images;    /* entries of a window; a grid holds so much of y */
    size_t high, wide, blocks;          /* grids: of one image, of the batch */
    size_t slot, pitch, plane, channel; /* from one image to the next, one row, one phase, one channel */
    size_t places;                      /* in a grid, at most */
    bool in_place;                      /* x is its own grid */
    size_t lanes;                       /* images in one place: 1 or LANES */
    /* memory */
    size_t *at;
    real *panels;
    at_rooms rooms;
} job;

static size_t common(size_t a, size_t b)
{
    while (b) {
        size_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* a / b rounded up, at least 0 */
static size_t places_below(ptrdiff_t a, size_t b) { return a <= 0 ? 0 : at_ratio((size_t)a, b); }

/* Leaves out the taps that only ever see zeros, so that no dilation or padding makes a grid larger than x and y. */
static void settle(axis *a)
{
    ptrdiff_t last = (ptrdiff_t)((a->out ? a->out - 1 : 0) * a->stride);
    size_t first = places_below(a->front - last, a->step), end = places_below((ptrdiff_t)a->in + a->front, a->step);

    end = at_min_size(end, a->taps);
    a->taps = first < end && a->in > 0 ? end - first : 0;
    a->front -= (ptrdiff_t)(first * a->step);
    a->tap += (ptrdiff_t)first * a->next;
    a->phases = at_min_size(a->taps, a->stride / common(a->stride, a->step));
    a->reach = a->taps ? (a->taps - 1) * a->step / a->stride : 0;
}

/* Remainder of phase f */
static size_t rest(const axis *a, size_t f) { return f * a->step % a->stride; }

/* How far apart images can stand in a row: each sees zeros on both sides. */
static size_t slot_of(const axis *a)
{
    ptrdiff_t lead = a->front > 0 ? a->front : 0,
              end = (ptrdiff_t)((a->out - 1) * a->stride + (a->taps ? (a->taps - 1) * a->step : 0));
    size_t own = places_below(a->front + (ptrdiff_t)a->in, a->stride), seen = places_below(end + 1 - lead, a->stride);

    return at_max_size(a->out, at_max_size(own, seen));
}

static void set_grid(job *j, size_t plane)
{
    j->plane = at_round_up(plane, LANES);
    if (j->plane * sizeof(real) % 4096 == 0) /* channels in the same sets of the caches */
        j->plane += LANES;
    j->channel = j->h.phases * j->w.phases * j->plane;
}

/* Images of narrow rows, LANES of them in each place, if the batch has as many and a grid holds them whole. */
static bool plan_lanes(job *j, size_t channels, size_t places)
{
    const axis *h = &j->h, *w = &j->w;
    size_t slot = slot_of(w), high = h->out + h->reach, blocks = at_ratio(j->B, LANES);

    j->lanes = 1;
    if (j->of_x.w != 1 || j->of_y.w != 1 || w->out > NARROW || h->out > NARROW || blocks * LANES * 8 > j->B * 9 ||
        h->phases * w->phases > 4 || h->out * slot * LANES > places ||
        channels * h->phases * w->phases * high * slot * LANES > 2 * GRID)
        return false;
    j->lanes = j->images = LANES;
    j->rows = h->out;
    j->columns = w->out;
    j->high = j->wide = 1;
    j->blocks = blocks;
    j->slot = slot;
    j->pitch = slot * LANES;
    j->places = h->out * w->out * LANES;
    j->in_place = false;
    set_grid(j, high * j->pitch + w->reach * LANES);
    return true;
}

/* Grids of `channels` channels and about `places` places of y; in_place: x may be read where it stands. */
static void plan(job *j, size_t channels, size_t places, bool in_place)
{
    const axis *h = &j->h, *w = &j->w;
    size_t each = at_max_size(channels * h->phases * w->phases, 1);

    j->k = j->C * h->taps * w->taps;
    if (plan_lanes(j, channels, places))
        return;
    j->columns = w->out;
    j->slot = slot_of(w);
    j->images = 1;
    places = at_min_size(places, at_max_size(GRID / each, LANES));
    if ((1 + h->reach) * j->slot > places) {
        size_t room = places / (1 + h->reach);
        j->columns = at_min_size(w->out, at_max_size(room > w->reach ? room - w->reach : 0, 4 * LANES));
    }
    if (j->columns < w->out)
        j->slot = j->columns + w->reach;
    size_t lines = places / j->slot;
    j->rows = lines > h->reach ? at_min_size(lines - h->reach, h->out) : 1;
    j->wide = at_ratio(w->out, j->columns);
    if (j->wide * at_ratio(h->out, j->rows) * j->B * j->G < PARTS)
        j->rows = at_min_size(j->rows, at_max_size(at_ratio(h->out, at_ratio(PARTS, j->wide * j->B * j->G)), BAND));
    j->high = at_ratio(h->out, j->rows);
    j->rows = at_ratio(h->out, j->high);
    if (j->high * j->wide == 1)
        j->images = at_max_size(1, at_min_size(lines / (h->out + h->reach), j->B / PARTS));
    j->in_place = in_place && !j->rounds && h->taps * w->taps == 1 && h->stride * w->stride == 1 && h->front == 0 &&
                  w->front == 0 && h->in == h->out && w->in == w->out && j->columns == w->out && j->of_x.w == 1;
    j->images = j->in_place ? 1 : j->images;
    j->blocks = at_ratio(j->B, j->images) * j->high * j->wide;
    j->pitch = j->images * j->slot;
    j->places = j->rows * j->pitch;
    set_grid(j, (j->rows + h->reach) * j->pitch + w->reach + LANES);
}

/* A grid is at hand: x of these images, this band. */
typedef struct part {
    size_t image, images, row, rows, column, columns;
    size_t places; /* of the grid that are in use */
} part;

static part part_of(const job *j, size_t block)
{
    size_t band = block % (j->high * j->wide);
    part p = {.image = block / (j->high * j->wide) * j->images,
              .row = band / j->wide * j->rows,
              .column = band % j->wide * j->columns};

    p.images = at_min_size(j->images, j->B - p.image);
    p.rows = at_min_size(j->rows, j->h.out - p.row);
    p.columns = at_min_size(j->columns, j->w.out - p.column);
    p.places = j->lanes > 1 ? j->places : (p.rows - 1) * j->pitch + (p.images - 1) * j->slot + p.columns;
    return p;
}

/* Which places i of a phase are places of x: [*begin, *end), place i being first + i stride. */
static ptrdiff_t clip(const axis *a, size_t phase, size_t from, size_t room, size_t *begin, size_t *end)
{
    ptrdiff_t first = (ptrdiff_t)(rest(a, phase) + from * a->stride) - a->front;

    *begin = places_below(-first, a->stride);
    *end = at_min_size(room, places_below((ptrdiff_t)a->in - first, a->stride));
    return first;
}

/* Numbers that images with lanes pass through: of one channel of x or y, and of all channels of a panel. */
static size_t passage(const job *j)
{
    size_t of_x = j->h.in * j->w.in, of_y = j->h.out * j->w.out;
    return j->lanes > 1 ? at_max_size(of_x, of_y) * LANES : 0;
}

/* x into a grid of LANES images to a place, by way of `pixels`, which holds all of one channel. */
static void lay_lanes(const job *j, const part *p, size_t channel, size_t channels, real *grid, real *pixels)
{
    steps s = j->of_x;
    const real *x = j->x + p->image * s.b + channel * s.c;

    memset(grid, 0, channels * j->channel * sizeof *grid);
    if (p->images < LANES)
        memset(pixels, 0, passage(j) * sizeof *pixels);
    for (size_t c = 0; c < channels; c++, x += s.c, grid += j->channel) {
        K->pack->transpose(p->images, j->h.in * j->w.in, x, s.b, pixels, LANES);
        for (size_t f = 0; f < j->h.phases * j->w.phases; f++) {
            size_t top, bottom, left, right;
            ptrdiff_t row = clip(&j->h, f / j->w.phases, 0, p->rows + j->h.reach, &top, &bottom);
            ptrdiff_t column = clip(&j->w, f % j->w.phases, 0, j->slot, &left, &right);
            for (size_t i = top; i < bottom && left < right; i++) {
                const real *from = pixels + ((row + (ptrdiff_t)(i * j->h.stride)) * (ptrdiff_t)j->w.in + column +
                                             (ptrdiff_t)(left * j->w.stride)) *
                                                LANES;
                real *to = grid + f * j->plane + i * j->pitch + left * LANES;
                if (j->w.stride == 1) {
                    memcpy(to, from, (right - left) * LANES * sizeof *to);
                    continue;
                }
                for (size_t v = 0; v < right - left; v++)
                    memcpy(to + v * LANES, from + v * j->w.stride * LANES, LANES * sizeof *to);
            }
        }
    }
}

/* x into a grid, from channel `channel` of x on. */
static void lay_out(const job *j, const part *p, size_t channel, size_t channels, real *grid, real *pixels)
{
    steps s = j->of_x;
    size_t width = j->columns < j->w.out ? p->columns + j->w.reach : j->slot;

    if (j->lanes > 1) {
        lay_lanes(j, p, channel, channels, grid, pixels);
        return;
    }
    memset(grid, 0, channels * j->channel * sizeof *grid);
    for (size_t f = 0; f < j->h.phases * j->w.phases; f++) {
        size_t top, bottom, left, right, across = j->w.stride * s.w, down = j->h.stride * s.h;
        ptrdiff_t row = clip(&j->h, f / j->w.phases, p->row, p->rows + j->h.reach, &top, &bottom);
        ptrdiff_t column = clip(&j->w, f % j->w.phases, p->column, width, &left, &right);
        if (top >= bottom || left >= right)
            continue;
        ptrdiff_t corner = (row + (ptrdiff_t)(top * j->h.stride)) * (ptrdiff_t)s.h +
                           (column + (ptrdiff_t)(left * j->w.stride)) * (ptrdiff_t)s.w;
        for (size_t b = 0; b < p->images; b++) {
            const real *x = j->x + (p->image + b) * s.b + channel * s.c + corner;
            real *to = grid + f * j->plane + top * j->pitch + b * j->slot + left;
            if (s.w != 1 && s.c == 1) {
                for (size_t i = 0; i < bottom - top; i++)
                    K->pack->transpose(right - left, channels, x + i * down, across, to + i * j->pitch, j->channel);
                continue;
            }
            for (size_t c = 0; c < channels; c++, x += s.c, to += j->channel) {
                if (across == 1) {
                    K->window->block(bottom - top, right - left, x, down, to, j->pitch, false);
                    continue;
                }
                for (size_t i = 0; i < bottom - top; i++)
                    for (size_t v = 0; v < right - left; v++)
                        to[i * j->pitch + v] = x[i * down + v * across];
            }
        }
    }
}

/* The same, rounded if products take rounded inputs */
static void lay_input(const job *j, const part *p, size_t channel, size_t channels, real *grid, real *pixels)
{
    lay_out(j, p, channel, channels, grid, pixels);
    if (j->rounds)
        at_round(channels * j->channel, grid);
}

/* One channel of one image, its rows `pitch` apart, to where it belongs. */
static void hand_image(const job *j, const part *p, const real *q, size_t pitch, real *y)
{
    size_t across = j->w.every * j->of_y.w, down = j->h.every * j->of_y.h;

    if (across == 1) {
        K->window->block(p->rows, p->columns, q, pitch, y, down, j->add);
        return;
    }
    for (size_t i = 0; i < p->rows; i++)
        for (size_t v = 0; v < p->columns; v++) {
            real *to = y + i * down + v * across;
            *to = (j->add ? *to : 0) + q[i * pitch + v];
        }
}

/* The place of the first result of image b of a part. */
static real *place_of(const job *j, const part *p, size_t b, size_t channel)
{
    steps s = j->of_y;
    return j->y + (p->image + b) * s.b + channel * s.c + (j->h.start + p->row * j->h.every) * s.h +
           (j->w.start + p->column * j->w.every) * s.w;
}

/* m channels of results, [m, places] in rows ld apart, LANES images to a place, to where they belong, by way of `pixels`. */
static void hand_lanes(const job *j, const part *p, size_t channel, size_t m, const real *from, size_t ld, real *pixels)
{
    steps s = j->of_y;
    size_t n = p->rows * p->columns;
    bool whole = !j->add && j->w.every == 1 && j->h.every == 1 && s.h == p->columns;

    for (size_t r = 0; r < m; r++, from += ld) {
        real *y = place_of(j, p, 0, channel + r);
        if (whole) {
            K->pack->transpose(n, p->images, from, LANES, y, s.b);
            continue;
        }
        K->pack->transpose(n, p->images, from, LANES, pixels, n);
        for (size_t b = 0; b < p->images; b++)
            hand_image(j, p, pixels + b * n, p->columns, y + b * s.b);
    }
}

/* m channels of results, [m, places] in rows ld apart, to where they belong. */
static void hand_out(const job *j, const part *p, size_t channel, size_t m, const real *from, size_t ld, real *pixels)
{
    steps s = j->of_y;

    if (j->lanes > 1) {
        hand_lanes(j, p, channel, m, from, ld, pixels);
        return;
    }
    for (size_t b = 0; b < p->images; b++) {
        real *y = place_of(j, p, b, channel);
        const real *q = from + b * j->slot;
        if (s.w != 1 && s.c == 1 && !j->add) {
            for (size_t i = 0; i < p->rows; i++)
                K->pack->transpose(m, p->columns, q + i * j->pitch, ld, y + i * j->h.every * s.h, j->w.every * s.w);
            continue;
        }
        for (size_t r = 0; r < m; r++, q += ld, y += s.c)
            hand_image(j, p, q, j->pitch, y);
    }
}

static size_t panels_of(size_t O) { return at_ratio(O, K->window->rows); }

/* The weight in panels of about as many rows each, as K->window->gemm reads them. */
static void pack(size_t begin, size_t end, void *context)
{
    const job *j = context;
    size_t panels = panels_of(j->O), group = at_max_size(j->w_o * j->O, j->w_c * j->C);

    for (size_t unit = begin; unit < end; unit++) {
        size_t g = unit / panels, n = unit % panels, first = j->O * n / panels, m = j->O * (n + 1) / panels - first;
        real *to = j->panels + (g * j->O + first) * j->k;
        for (size_t i = 0; i < j->h.taps; i++)
            for (size_t c = 0; c < j->C; c++)
                for (size_t k = 0; k < j->w.taps; k++) {
                    ptrdiff_t tap =
                        (j->h.tap + (ptrdiff_t)i * j->h.next) * (ptrdiff_t)j->kw + j->w.tap + (ptrdiff_t)k * j->w.next;
                    const real *w = j->weight + g * group + first * j->w_o + c * j->w_c + tap;
                    for (size_t r = 0; r < m; r++)
                        *to++ = w[r * j->w_o];
                }
        if (j->rounds)
            at_round(m * j->k, to - m * j->k);
    }
}

/* Entries of a window in the order kernel row, channel, kernel column: a row of y leaves out the kernel rows that see zeros only. */
static void place_taps(const job *j, size_t channels)
{
    size_t *at = j->at;

    for (size_t i = 0; i < j->h.taps; i++)
        for (size_t c = 0; c < channels; c++)
            for (size_t k = 0; k < j->w.taps; k++)
                *at++ = j->in_place
                            ? c * j->of_x.c
                            : c * j->channel + (i % j->h.phases * j->w.phases + k % j->w.phases) * j->plane +
                                  i * j->h.step / j->h.stride * j->pitch + k * j->w.step / j->w.stride * j->lanes;
}

/* [*begin, *end) of the taps that see a place of x from result v */
static void seen(const axis *a, size_t v, size_t *begin, size_t *end)
{
    ptrdiff_t first = (ptrdiff_t)(v * a->stride) - a->front;

    *begin = places_below(-first, a->step);
    *end = at_min_size(a->taps, places_below((ptrdiff_t)a->in - first, a->step));
    *begin = at_min_size(*begin, *end);
}

/* m rows of the weight times the windows of a part: rows with the same kernel rows together, or each row of each image by itself, to
 * where it belongs. */
static void multiply(const job *j, const part *p, size_t m, const real *w, const real *x, const real *bias, real *y,
                     size_t ld, bool straight)
{
    size_t each = j->C * j->w.taps, row_of_y = straight ? j->of_y.h : j->lanes > 1 ? p->columns * LANES : j->pitch;
    size_t last = straight ? p->columns : j->lanes > 1 ? row_of_y : p->places - (p->rows - 1) * row_of_y;

    for (size_t row = 0, next; row < p->rows; row = next) {
        size_t begin, end, b, e;
        seen(&j->h, p->row + row, &begin, &end);
        for (next = row + 1; next < p->rows && j->lanes == 1 && row_of_y == j->pitch; next++) {
            seen(&j->h, p->row + next, &b, &e);
            if (b != begin || e != end)
                break;
        }
        for (size_t image = 0; image < (straight ? p->images : 1); image++)
            K->window->gemm(m, (next - row - 1) * j->pitch + last, (end - begin) * each, w + begin * each * m,
                            x + row * j->pitch + image * j->slot, j->at + begin * each, bias,
                            y + row * row_of_y + image * j->of_y.b, ld);
    }
}

/* One group of a part of the batch */
static void convolve(const void *context, size_t unit, real *room)
{
    const job *j = context;
    size_t g = unit % j->G, panels = panels_of(j->O), ld = at_round_up(j->places, LANES);
    part p = part_of(j, unit / j->G);
    steps s = j->of_y;
    const real *x = room;
    real *y = room + (j->in_place ? 0 : j->C * j->channel), *pixels = y + at_min_size(K->window->rows, j->O) * ld;
    /* rows that stand in the grid as in y, or are whole vectors */
    bool straight = s.w == 1 && j->lanes == 1 && !j->add && j->h.every * j->w.every == 1 &&
                    ((s.h == j->pitch && p.images == 1) || p.columns % (2 * LANES) == 0);

    if (j->in_place)
        x = j->x + p.image * j->of_x.b + g * j->C * j->of_x.c + p.row * j->of_x.h;
    else
        lay_input(j, &p, g * j->C, j->C, room, pixels);
    if (straight)
        y = place_of(j, &p, 0, 0);
    for (size_t n = 0; n < panels && !at_cut_short(); n++) {
        size_t first = j->O * n / panels, m = j->O * (n + 1) / panels - first, channel = g * j->O + first;
        multiply(j, &p, m, j->panels + channel * j->k, x, j->bias ? j->bias + channel : NULL,
                 straight ? y + channel * s.c : y, straight ? s.c : ld, straight);
        if (!straight)
            hand_out(j, &p, channel, m, y, ld, pixels);
    }
}

/* Memory of a job, within `work` of `bytes`; without work it says how much that is. */
static size_t furnish(job *j, char *work, size_t bytes)
{
    size_t used = 0;

    j->at = at_take(work, &used, j->k, sizeof(size_t));
    j->panels = at_take(work, &used, j->G * j->O * j->k, sizeof(real));
    return at_take_rooms(&j->rooms,
                         (j->in_place ? 0 : j->C * j->channel) +
                             at_min_size(K->window->rows, j->O) * at_round_up(j->places, LANES) + passage(j),
                         work, used, bytes);
}

/* Whether kernel/winograd.c has matrices for it, and it pays. */
static bool minimal(const job *j, AT_REAL(at_filter) * f)
{
    const axis *h = &j->h, *w = &j->w;

    if (j->rounds || j->of_x.w != 1 || h->taps != 3 || w->taps != 3 || h->stride * w->stride * h->step * w->step != 1 ||
        h->every * w->every != 1 || h->start + w->start != 0 || j->kw != 3 || (h->next < 0 ? j->w_o : j->w_c) != 9)
        return false;
    *f = (AT_REAL(at_filter)){
        .B = j->B,
        .G = j->G,
        .C = j->C,
        .O = j->O,
        .H = h->in,
        .W = w->in,
        .rows = h->out,
        .columns = w->out,
        .top = h->front,
        .left = w->front,
        .w_o = j->w_o,
        .w_c = j->w_c,
        .turned = h->next < 0,
        .add = j->add,
        .x = j->x,
        .weight = j->weight,
        .bias = j->bias,
        .y = j->y};
    return AT_REAL(at_winograd_pays)(f);
}

static void run(job *j, char *work, size_t bytes)
{
    AT_REAL(at_filter) f;

    if (minimal(j, &f)) {
        AT_REAL(at_winograd)(&f, work, bytes);
        return;
    }
    plan(j, j->C, SIZE_MAX, true);
    furnish(j, work, bytes);
    place_taps(j, j->C);
    at_for(j->G * panels_of(j->O), at_ratio(AT_GRAIN, j->O * j->k + 1), pack, j);
    at_take_turns(&j->rooms, j->blocks * j->G, convolve, j);
}

/* ---- the gradient of x: phase f of each dimension ---- */

/* dx at places U stride + rest - front takes dy at U - e, with e = (t step - rest) / stride, for every phases-th tap t from f on. */
static bool turned(const axis *a, size_t f, axis *to)
{
    size_t each = a->stride / common(a->stride, a->step), r = rest(a, f), count = (a->taps - f - 1) / each + 1;
    size_t nearest = (f * a->step - r) / a->stride, every = each * a->step / a->stride,
           farthest = nearest + (count - 1) * every;
    ptrdiff_t lead = a->front - (ptrdiff_t)r;
    size_t first = places_below(lead, a->stride), end = places_below(lead + (ptrdiff_t)a->in, a->stride);

    if (first >= end)
        return false;
    *to = (axis){
        .in = a->out,
        .out = end - first,
        .stride = 1,
        .step = every,
        .taps = count,
        .front = (ptrdiff_t)farthest - (ptrdiff_t)first,
        .tap = a->tap + (ptrdiff_t)(f + (count - 1) * each) * a->next,
        .next = -(ptrdiff_t)each * a->next,
        .start = (size_t)((ptrdiff_t)(first * a->stride) - lead),
        .every = a->stride};
    settle(to);
    return true;
}

static bool turn_round(const job *j, size_t f, job *to)
{
    *to = (job){
        .B = j->B,
        .G = j->G,
        .C = j->O,
        .O = j->C,
        .of_x = j->of_y,
        .of_y = j->of_x,
        .w_o = j->w_c,
        .w_c = j->w_o,
        .kw = j->kw,
        .weight = j->weight,
        .rounds = j->rounds};
    return turned(&j->h, f / j->w.phases, &to->h) && turned(&j->w, f % j->w.phases, &to->w);
}

/* ---- the gradient of the weight ---- */

typedef struct gradient {
    job j;
    const real *dy;
    real *dw, *partial;
    size_t pieces, inner, outer; /* the batch in so many; channels of x and of y at a time */
} gradient;

static void plan_gradient(gradient *d)
{
    job *j = &d->j;

    d->inner = at_min_size(at_max_size(j->C, 1), CHANNELS);
    d->outer = at_min_size(j->O, CHANNELS);
    plan(j, d->inner, PLACES, false);
    d->pieces =
        at_min_size(j->blocks, at_max_size(1, at_min_size(2 * PARTS, PARTIAL / at_max_size(j->G * j->O * j->k, 1))));
}

static size_t furnish_gradient(gradient *d, char *work, size_t bytes)
{
    job *j = &d->j;
    size_t used = 0, taps = j->h.taps * j->w.taps;

    j->at = at_take(work, &used, d->inner * taps, sizeof(size_t));
    d->partial = at_take(work, &used, d->pieces * j->G * j->O * j->k, sizeof(real));
    return at_take_rooms(&j->rooms, d->inner * j->channel + d->outer * j->plane + passage(j), work, used, bytes);
}

/* Some channels of x and of y of one group, over a part of the batch */
static void weigh(const void *context, size_t unit, real *room)
{
    const gradient *d = context;
    const job *j = &d->j;
    size_t wide = at_ratio(j->C, d->inner), high = at_ratio(j->O, d->outer), taps = j->w.taps;
    size_t c = unit % wide * d->inner, o = unit / wide % high * d->outer, g = unit / (wide * high) % j->G;
    size_t piece = unit / (wide * high * j->G), channels = at_min_size(d->inner, j->C - c),
           m = at_min_size(d->outer, j->O - o);
    real *dw = d->partial + ((piece * j->G + g) * j->O + o) * j->k, *dy = room + d->inner * j->channel;
    real *pixels = dy + d->outer * j->plane;
    /* dy in a grid of the same places, zeros where they are none of y */
    job of_dy = *j;
    of_dy.x = d->dy;
    of_dy.of_x = j->of_y;
    of_dy.channel = j->plane;
    of_dy.h = (axis){.in = j->h.out, .out = j->h.out, .stride = 1, .step = 1, .taps = 1, .phases = 1};
    of_dy.w = (axis){.in = j->w.out, .out = j->w.out, .stride = 1, .step = 1, .taps = 1, .phases = 1};

    for (size_t r = 0; r < m; r++)
        for (size_t i = 0; i < j->h.taps; i++)
            memset(dw + r * j->k + (i * j->C + c) * taps, 0, channels * taps * sizeof *dw);
    for (size_t block = j->blocks * piece / d->pieces; block < j->blocks * (piece + 1) / d->pieces && !at_cut_short();
         block++) {
        part p = part_of(j, block);
        lay_input(j, &p, g * j->C + c, channels, room, pixels);
        lay_input(&of_dy, &p, g * j->O + o, m, dy, pixels);
        for (size_t i = 0; i < j->h.taps; i++) { /* the rows of y to which kernel row i is not all zeros */
            ptrdiff_t first = (ptrdiff_t)(i * j->h.step) - j->h.front;
            size_t from = at_max_size(p.row, places_below(-first, j->h.stride));
            size_t to = at_min_size(p.row + p.rows, places_below((ptrdiff_t)j->h.in - first, j->h.stride)),
                   at = (from - p.row) * j->pitch;
            if (from < to)
                K->window->dot(m, channels * taps, at_round_up((to - from) * j->pitch, LANES), dy + at, j->plane,
                               room + at, j->at + i * d->inner * taps, dw + (i * j->C + c) * taps, j->k);
        }
    }
}

/* The parts of the sum in their order */
static void gather(size_t begin, size_t end, void *context)
{
    const gradient *d = context;
    const job *j = &d->j;

    for (size_t o = begin; o < end; o++)
        for (size_t n = 0; n < j->k; n++) {
            size_t i = n / (j->C * j->w.taps), c = n / j->w.taps % j->C, k = n % j->w.taps;
            const real *from = d->partial + o * j->k + n;
            real *to = d->dw + o * j->w_o + c * j->w_c + ((size_t)j->h.tap + i) * j->kw + (size_t)j->w.tap + k,
                 sum = *from;
            for (size_t piece = 1; piece < d->pieces; piece++)
                sum += from[piece * j->G * j->O * j->k];
            *to += sum;
        }
}

static void run_gradient(gradient *d, char *work, size_t bytes)
{
    job *j = &d->j;
    AT_REAL(at_filter) f;

    if (minimal(j, &f)) {
        AT_REAL(at_winograd_gradient)(&f, d->dy, d->dw, work, bytes);
        return;
    }
    plan_gradient(d);
    furnish_gradient(d, work, bytes);
    place_taps(j, d->inner);
    at_take_turns(&j->rooms, d->pieces * j->G * at_ratio(j->O, d->outer) * at_ratio(j->C, d->inner), weigh, d);
    at_for(j->G * j->O, at_ratio(AT_GRAIN, j->k * d->pieces + 1), gather, d);
}

/* ---- the operation ---- */

enum { STRIDE, PADDING, DILATION, GROUPS };
enum { SAME, CAUSAL };

static axis axis_of(size_t in, size_t taps, int32_t stride, int32_t dilation, int64_t before, size_t out)
{
    axis a = {.in = in,
              .out = out,
              .taps = taps,
              .stride = (size_t)stride,
              .step = (size_t)dilation,
              .front = (ptrdiff_t)before,
              .next = 1,
              .every = 1};

    settle(&a);
    return a;
}

/* Zeros before and after x along one dimension: d counts from 0, over the dimensions of the kernel. */
static void padding_of(const at_call *c, size_t d, int64_t reach, int64_t *before, int64_t *after)
{
    const int32_t *n = c->arg[PADDING].counts;
    bool image = c->in[1]->ndim == 4;

    if (n[0] != AT_WORD) {
        *before = image ? n[d] : n[0];
        *after = image ? n[d] : n[1];
    } else {
        *before = n[1] == CAUSAL ? reach : reach / 2;
        *after = reach - *before;
    }
}

static job job_of(const at_call *c)
{
    const at_tensor *x = c->in[0], *w = c->in[1], *y = c->out[0];
    bool image = w->ndim == 4;
    size_t H = image ? x->size[2] : 1, W = x->size[image ? 3 : 1], Ho = image ? y->size[2] : 1,
           Wo = y->size[image ? 3 : 1];
    size_t kh = image ? w->size[2] : 1, kw = w->size[w->ndim - 1], G = (size_t)c->arg[GROUPS].integer;
    int32_t stride[2] = {image ? c->arg[STRIDE].counts[0] : 1, c->arg[STRIDE].counts[1]};
    int32_t dilation[2] = {image ? c->arg[DILATION].counts[0] : 1, c->arg[DILATION].counts[1]};
    int64_t top = 0, left, after;

    if (image)
        padding_of(c, 0, (int64_t)(kh - 1) * dilation[0], &top, &after);
    padding_of(c, image, (int64_t)(kw - 1) * dilation[1], &left, &after);
    job j = {.B = x->size[0],
             .G = G,
             .C = w->size[1],
             .O = w->size[0] / G,
             .kw = kw,
             .w_c = kh * kw,
             .w_o = w->size[1] * kh * kw,
             .h = axis_of(H, kh, stride[0], dilation[0], top, Ho),
             .w = axis_of(W, kw, stride[1], dilation[1], left, Wo)};
    if (j.C * j.h.taps * j.w.taps == 0) /* nothing but zeros */
        j.C = j.h.taps = j.w.taps = j.h.phases = j.w.phases = j.h.reach = j.w.reach = 0;
    size_t C = G * w->size[1], O = G * j.O;
    j.of_x = image ? (steps){C * H * W, H * W, W, 1} : (steps){C * W, 1, C * W, C};
    j.of_y = image ? (steps){O * Ho * Wo, Ho * Wo, Wo, 1} : (steps){O * Wo, 1, O * Wo, O};
    return j;
}

/* One dimension of y; 0: refused. */
static size_t places_of(at_call *c, size_t d, bool image)
{
    const at_tensor *x = c->in[0], *w = c->in[1];
    size_t k = w->size[2 + d], of_x = (image ? 2 : 1) + d, which = image ? d : 1;
    int64_t stride = c->arg[STRIDE].counts[which], reach, before, after, length;

    if (k == 0) {
        at_fail(c, "the kernel is empty (weight: %s)", at_describe(w).text);
        return 0;
    }
    if (__builtin_mul_overflow((int64_t)k - 1, (int64_t)c->arg[DILATION].counts[which], &reach) ||
        reach > INT64_MAX / 4) {
        at_fail(c, "dilation is %d, which is too large (weight: %s)", c->arg[DILATION].counts[which],
                at_describe(w).text);
        return 0;
    }
    padding_of(c, d, reach, &before, &after);
    if (__builtin_add_overflow((int64_t)x->size[of_x], before + after, &length))
        length = INT64_MAX;
    if (length <= reach) {
        at_fail(c, "x has %lld places along dimension %zu with padding, expected at least the kernel's %lld (x: %s)",
                (long long)length, of_x + 1, (long long)reach + 1, at_describe(x).text);
        return 0;
    }
    return (size_t)((length - reach - 1) / stride + 1);
}

static bool counts_fit(at_call *c, int k, const char *name, int32_t low, bool image)
{
    const int32_t *n = c->arg[k].counts;

    if (n[0] == AT_WORD)
        return true;
    if (n[0] < low || n[1] < low)
        return at_fail(c, "%s is %d, expected at least %d", name, n[0] < low ? n[0] : n[1], low);
    if (!image && k != PADDING && n[0] != n[1])
        return at_fail(c, "%s is {%d, %d}, expected a number: a sequence has one dimension", name, n[0], n[1]);
    return true;
}

static bool groups_fit(at_call *c, size_t channels)
{
    const at_tensor *x = c->in[0], *w = c->in[1];
    int64_t groups = c->arg[GROUPS].integer;

    if (groups < 1)
        return at_fail(c, "groups is %lld, expected at least 1", (long long)groups);
    if (w->size[0] % (size_t)groups != 0)
        return at_fail(c, "weight has %zu outputs, expected a multiple of groups = %lld (weight: %s)", w->size[0],
                       (long long)groups, at_describe(w).text);
    if (groups == 1 && channels != w->size[1])
        return at_fail(c, "x has %zu channels, expected %zu (x: %s, weight: %s)", channels, w->size[1],
                       at_describe(x).text, at_describe(w).text);
    if (channels % (size_t)groups != 0 || channels / (size_t)groups != w->size[1])
        return at_fail(c, "x has %zu channels, expected groups = %lld times %zu (x: %s, weight: %s)", channels,
                       (long long)groups, w->size[1], at_describe(x).text, at_describe(w).text);
    return true;
}

static bool want_room(at_call *c, size_t bytes, const job *j)
{
    size_t all;

    if (!at_count_elements(3, (size_t[]){j->G * j->O, j->k, sizeof(size_t)}, &all) ||
        !at_count_elements(4, (size_t[]){j->rooms.count, j->C + 1, j->channel + j->plane + j->places, sizeof(size_t)},
                           &all))
        return at_fail(c, "x and weight are too large (x: %s, weight: %s)", at_describe(c->in[0]).text,
                       at_describe(c->in[1]).text);
    at_want_scratch(c, bytes);
    return true;
}

/* Scratch of run and of run_gradient */
static bool want_run(at_call *c, job *j)
{
    AT_REAL(at_filter) f;

    if (minimal(j, &f)) {
        at_want_scratch(c, AT_REAL(at_winograd_room)(&f));
        return true;
    }
    plan(j, j->C, SIZE_MAX, true);
    return want_room(c, furnish(j, NULL, 0), j);
}

static bool want_gradient(at_call *c, const job *j)
{
    AT_REAL(at_filter) f;
    gradient d = {.j = *j};

    if (minimal(j, &f)) {
        at_want_scratch(c, AT_REAL(at_winograd_gradient_room)(&f));
        return true;
    }
    plan_gradient(&d);
    return want_room(c, furnish_gradient(&d, NULL, 0), &d.j);
}

/* Scratch of the passes; whether they round is known when they run. */
static bool want_all(at_call *c, job j)
{
    job forward = j;
    if (!want_run(c, &forward))
        return false;
    if (!at_recording(c))
        return true;
    for (size_t f = 0; f < j.h.phases * j.w.phases; f++) {
        job back;
        if (turn_round(&j, f, &back) && !want_run(c, &back))
            return false;
    }
    return want_gradient(c, &j);
}

static job rounding(job j)
{
    j.rounds = true;
    return j;
}

static bool shape(at_call *c)
{
    const at_tensor *x = c->in[0], *w = c->in[1], *b = c->in[2];
    bool image = strcmp(c->op->name, "conv2d") == 0;
    size_t ndim = image ? 4 : 3, places[2] = {0, 0};

    if (x->ndim != ndim)
        return at_fail(c, "x has %d dimensions, expected %s (x: %s)", x->ndim, image ? "[B, C, H, W]" : "[B, T, C]",
                       at_describe(x).text);
    if (w->ndim != ndim)
        return at_fail(c, "weight has %d dimensions, expected %s (weight: %s)", w->ndim,
                       image ? "[O, C / groups, kh, kw]" : "[O, C / groups, k]", at_describe(w).text);
    if (!counts_fit(c, STRIDE, "stride", 1, image) || !counts_fit(c, PADDING, "padding", 0, image) ||
        !counts_fit(c, DILATION, "dilation", 1, image) || !groups_fit(c, x->size[image ? 1 : 2]))
        return false;
    if (b && (b->ndim != 1 || b->size[0] != w->size[0]))
        return at_fail(c, "bias has shape %s, expected [%zu] (weight: %s)", at_describe_shape(b->ndim, b->size).text,
                       w->size[0], at_describe(w).text);
    if (c->arg[PADDING].counts[0] == AT_WORD && c->arg[PADDING].counts[1] == SAME &&
        (c->arg[STRIDE].counts[0] != 1 || c->arg[STRIDE].counts[1] != 1))
        return at_fail(c, "stride is not 1, which padding 'same' expects");
    for (size_t d = 0; d < (image ? 2 : 1); d++)
        if ((places[d] = places_of(c, d, image)) == 0)
            return false;
    if (!(image ? at_out(c, 4, (size_t[]){x->size[0], w->size[0], places[0], places[1]})
                : at_out(c, 3, (size_t[]){x->size[0], places[0], w->size[0]})))
        return false;
    if (at_numel(c->out[0]) == 0)
        return true;
    return want_all(c, job_of(c)) && (AT_TYPE == 64 || want_all(c, rounding(job_of(c))));
}

static void conv_forward(const at_call *c)
{
    if (at_numel(c->out[0]) == 0)
        return;
    job j = job_of(c);
    j.rounds = at_rounds();
    j.x = at_in(c, 0);
    j.weight = at_in(c, 1);
    j.bias = c->in[2] ? at_in(c, 2) : NULL;
    j.y = at_outp(c, 0);
    run(&j, c->work, c->scratch);
}

static void clear_if_fresh(const at_call *c, int k)
{
    if (c->in[k] && at_din(c, k) && at_is_fresh(c, k))
        at_zero(at_din(c, k), at_numel(c->in[k]) * sizeof(real));
}

static void conv_backward(const at_call *c)
{
    const real *dy = at_dout(c, 0);
    real *dx = at_din(c, 0), *dw = at_din(c, 1);

    clear_if_fresh(c, 1);
    clear_if_fresh(c, 2);
    if (at_numel(c->out[0]) == 0) {
        clear_if_fresh(c, 0);
        return;
    }
    job j = job_of(c);
    j.rounds = at_rounds();
    size_t O = j.G * j.O, P = j.h.out * j.w.out;
    if (c->in[2] && at_din(c, 2)) {
        if (c->in[1]->ndim == 4)
            at_sum_into(at_din(c, 2), dy, 3, (size_t[]){j.B, O, P}, (bool[]){true, false, true});
        else
            at_sum_into(at_din(c, 2), dy, 2, (size_t[]){j.B * P, O}, (bool[]){true, false});
    }
    j.weight = at_in(c, 1);
    if (dx) {
        /* each place is written once if every place within a stride has a tap and none lies before the first window */
        bool all = j.h.phases == j.h.stride && j.w.phases == j.w.stride && j.h.front >= 0 && j.w.front >= 0;
        if (!all)
            clear_if_fresh(c, 0);
        for (size_t f = 0; f < j.h.phases * j.w.phases; f++) {
            job back;
            if (!turn_round(&j, f, &back))
                continue;
            back.x = dy;
            back.y = dx;
            back.add = !at_is_fresh(c, 0);
            run(&back, c->work, c->scratch);
        }
    }
    if (dw && j.C > 0) {
        gradient d = {.j = j, .dy = dy, .dw = dw};
        d.j.x = at_in(c, 0);
        run_gradient(&d, c->work, c->scratch);
    }
}

static double flops(const at_call *c, bool back)
{
    const at_tensor *w = c->in[1];
    double taps = w->size[0] ? (double)at_numel(w) / (double)w->size[0] : 0;
    return 2 * (double)at_numel(c->out[0]) * taps * (back ? at_gradients_wanted(c, 0, 2) : 1);
}

AT_OP(conv1d,
      .args = {{"x", AT_FLOAT},
               {"weight", AT_FLOAT},
               {"bias", AT_FLOAT, .optional = true},
               {"stride", AT_COUNTS, .optional = true, .named = true, .value = 1},
               {"padding", AT_COUNTS, .optional = true, .named = true, .choices = "same|causal"},
               {"dilation", AT_COUNTS, .option = true, .value = 1},
               {"groups", AT_INTEGER, .option = true, .value = 1}},
      .shape = shape, .flops = flops, .forward = conv_forward, .backward = conv_backward, .fresh = true,
      .keeps = AT_KEEP(0) | AT_KEEP(1), .plain = true,
      .help = "conv1d(x [B, T, C], weight [O, C / groups, k] [, bias [O], stride = 1, padding = 0], {dilation = 1, "
              "groups = 1}) -> "
              "[B, T', O]\n"
              "Windows of k steps, `dilation` apart, times the weight, every `stride` steps. padding: zeros at both "
              "ends, {before, after}, "
              "\"same\" (T' = T; stride 1, an odd rest at the end) or \"causal\" (all before). With groups, outputs of "
              "a group see its "
              "channels only; groups = C is depthwise. T' = (T + before + after - dilation (k - 1) - 1) / stride + 1, "
              "rounded down.\n"
              "Example: attn.conv1d(attn.ones(1, 5, 2), attn.ones(3, 2, 3), nil, {padding = \"causal\"})");

AT_OP(
    conv2d,
    .args = {{"x", AT_FLOAT},
             {"weight", AT_FLOAT},
             {"bias", AT_FLOAT, .optional = true},
             {"stride", AT_COUNTS, .optional = true, .named = true, .value = 1},
             {"padding", AT_COUNTS, .optional = true, .named = true, .choices = "same"},
             {"dilation", AT_COUNTS, .option = true, .value = 1},
             {"groups", AT_INTEGER, .option = true, .value = 1}},
    .shape = shape, .flops = flops, .forward = conv_forward, .backward = conv_backward, .fresh = true,
    .keeps = AT_KEEP(0) | AT_KEEP(1), .plain = true,
    .help = "conv2d(x [B, C, H, W], weight [O, C / groups, kh, kw] [, bias [O], stride = 1, padding = 0], {dilation = "
            "1, groups = 1}) "
            "-> [B, O, H', W']\n"
            "Windows of kh x kw pixels, `dilation` apart, times the weight, every `stride` pixels, with `padding` "
            "zeros on all sides; "
            "each a number or {height, width}. padding \"same\": H' = H, W' = W (stride 1; an odd rest at the end). "
            "With groups, "
            "outputs of a group see its channels only; groups = C is depthwise. "
            "H' = (H + 2 padding - dilation (kh - 1) - 1) / stride + 1, rounded down.\n"
            "Example: attn.conv2d(attn.ones(1, 2, 4, 5), attn.ones(3, 2, 3, 3), nil, {stride = {1, 2}, padding = 1})");
