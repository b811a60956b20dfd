/*
 * Convolutions of images with 3 x 3 taps by minimal filtering F(2 x 2, 3 x 3): for each tile of 2 x 2 results and each pair of
 * channels 16 products instead of 36, between 4 x 4 pixels and a weight that are both transformed (kernel/winograd.c has the
 * matrices).
 *
 * A part of the batch, images or a band of one, is laid out with its zeros, channels innermost. Its tiles become 16 planes
 * v [tiles, C], the weight is 16 matrices u [C, O], 16 products give m [tiles, O], from which y comes. The gradient of the weight is
 * the sum over tiles of the products of v and d [tiles, O], which is dy spread over the 16 planes.
 *
 * The transforms subtract neighbours: an infinite pixel would make NaN of results that do not see it. An image or
 * band whose results are not all finite is therefore done again as the sum that it stands for.
 */
#include <string.h>

#include "attn/op/rooms.h"
#include "attn/op/winograd.h"
#include "attn/kernel/pack.h"
#include "attn/kernel/window.h"
#include "attn/kernel/winograd.h"

enum {
    PLANES = 16,
    TAPS = 9,
    VOLUME = 1 << 18,  /* numbers in the planes of a part: half of the second-level cache */
    TILES = 24,        /* in a part at least, however many channels */
    PARTS = 8,         /* a batch is cut into as many at least, for the threads */
    CHANNELS = 64,     /* of x and of y in a part of the weight's gradient */
    PARTIAL = 1 << 20, /* numbers in partial gradients of the weight */
    SUM = 64,          /* tiles in one sum */
    TRANSFORMS = 150,  /* what the transforms of a tile cost beside its products, a channel */
    LANES = 64 / sizeof(real)
};

typedef AT_REAL(at_filter) filter;

typedef struct job {
    filter f;
    size_t high, wide;            /* tiles of an image */
    size_t images, rows, columns; /* of tiles, in a part */
    size_t bands, stripes, parts; /* of an image, of the batch */
    size_t tiles;                 /* in a part, at most */
    size_t of_group;              /* numbers of the transformed weight in one plane */
    real *taps, *u;
    at_rooms rooms;
    /* the gradient of the weight */
    const real *dy;
    real *dw, *partial;
    size_t pieces, inner, outer; /* the batch in so many; channels of x and of y at a time */
} job;

/* From one plane to the next: planes must not fall into the same sets of the caches. */
static size_t plane_of(size_t n) { return (at_ratio(n, LANES) | 1) * LANES; }

/* Parts of about so many tiles. */
static void plan(job *j, size_t tiles)
{
    const filter *f = &j->f;

    j->high = at_ratio(f->rows, 2);
    j->wide = at_ratio(f->columns, 2);
    tiles = at_max_size(tiles, TILES);
    j->columns = at_ratio(j->wide, at_ratio(j->wide, tiles));
    j->stripes = at_ratio(j->wide, j->columns);
    j->rows = at_min_size(j->high, at_max_size(tiles / j->columns, 1));
    if (f->B * f->G * j->stripes * at_ratio(j->high, j->rows) < PARTS)
        j->rows = at_ratio(j->high, at_min_size(at_ratio(PARTS, f->B * f->G * j->stripes), j->high));
    j->bands = at_ratio(j->high, j->rows);
    j->rows = at_ratio(j->high, j->bands);
    j->images = 1;
    if (j->bands * j->stripes == 1)
        j->images = at_max_size(1, at_min_size(tiles / (j->high * j->wide), f->B * f->G / PARTS));
    j->images = at_min_size(j->images, f->B);
    j->parts = at_ratio(f->B, j->images) * j->bands * j->stripes;
    j->tiles = j->images * j->rows * j->columns;
}

typedef struct part {
    size_t image, images, row, rows, column, columns; /* in tiles */
    size_t high, wide;                                /* pixels of y */
    size_t pitch;                                     /* pixels of x in a row */
} part;

static part part_of(const job *j, size_t n)
{
    size_t band = n / j->stripes % j->bands;
    part p = {
        .image = n / (j->stripes * j->bands) * j->images, .row = band * j->rows, .column = n % j->stripes * j->columns};

    p.images = at_min_size(j->images, j->f.B - p.image);
    p.rows = at_min_size(j->rows, j->high - p.row);
    p.columns = at_min_size(j->columns, j->wide - p.column);
    p.high = at_min_size(2 * p.rows, j->f.rows - 2 * p.row);
    p.wide = at_min_size(2 * p.columns, j->f.columns - 2 * p.column);
    p.pitch = 2 * p.columns + 2;
    return p;
}

/* Numbers a channel in the grid of an image of a part, at most */
static size_t grid_of(const job *j) { return (2 * j->rows + 2) * (2 * j->columns + 2); }

/* n channels of an image [., H, W] to pixels side by side, [high, wide] of them from (row, column) on; those outside of it stay. */
static void lay_image(size_t n, const real *x, size_t H, size_t W, ptrdiff_t row, ptrdiff_t column, size_t high,
                      size_t wide, real *to)
{
    ptrdiff_t left = column < 0 ? -column : 0, right = (ptrdiff_t)W - column;

    right = right < (ptrdiff_t)wide ? right : (ptrdiff_t)wide;
    for (ptrdiff_t i = 0; i < (ptrdiff_t)high; i++)
        if (row + i >= 0 && row + i < (ptrdiff_t)H && left < right)
            K->pack->transpose(n, (size_t)(right - left), x + (row + i) * (ptrdiff_t)W + column + left, H * W,
                               to + ((size_t)i * wide + (size_t)left) * n, n);
}

/* Channels [c, c + n) of group g of x, of image b of this part. What is outside of x is so for all images: the grid holds zeros. */
static void lay_out(const job *j, const part *p, size_t b, size_t g, size_t c, size_t n, real *grid)
{
    const filter *f = &j->f;

    lay_image(n, f->x + (((p->image + b) * f->G + g) * f->C + c) * f->H * f->W, f->H, f->W,
              (ptrdiff_t)(2 * p->row) - f->top, (ptrdiff_t)(2 * p->column) - f->left, 2 * p->rows + 2, p->pitch, grid);
}

/* Tiles stand in the order row, column, image. */
static size_t tile_of(const part *p, size_t b, size_t row) { return row * p->columns * p->images + b; }

/* The same to planes, by way of the grid */
static void take_in(const job *j, const part *p, size_t b, size_t g, size_t c, size_t n, real *grid, real *v,
                    size_t plane)
{
    lay_out(j, p, b, g, c, n, grid);
    for (size_t r = 0; r < p->rows; r++)
        K->winograd->input(p->columns, n, grid + 2 * r * p->pitch * n, p->pitch * n, v + tile_of(p, b, r) * n, plane,
                           p->images * n);
}

/* Tiles that a plane is needed of, `count` times n, `step` apart: where a size is odd, the last row and column do without some. */
typedef struct span {
    size_t count, n, step;
} span;

static span span_of(const part *p, size_t plane)
{
    size_t rows = p->rows - (plane / 4 == 3 && p->high % 2), row = p->columns * p->images;

    if (plane % 4 < 3 || p->wide % 2 == 0 || p->images == 1) /* of one image it would save little */
        return (span){1, rows * row, 0};
    return (span){rows, row - p->images, row};
}

/* ---- y ---- */

/* The weight for tiles of outputs as K->pack->packed_gemm reads them: taps [C, 9, width], u [16][C, width]. */
static void prepare(size_t begin, size_t end, void *context)
{
    const job *j = context;
    const filter *f = &j->f;
    size_t count = at_ratio(f->O, K->pack->tile);

    for (size_t unit = begin; unit < end && !at_cut_short(); unit++) {
        size_t g = unit / count, o = unit % count * K->pack->tile, n = at_min_size(f->O - o, K->pack->tile),
               width = K->pack->packed_size(n, 1);
        const real *w = f->weight + g * f->O * f->C * TAPS + o * f->w_o;
        real *taps = j->taps + (g * j->of_group + o * f->C) * TAPS, *u = j->u + g * j->of_group * PLANES + o * f->C;
        for (size_t c = 0; c < f->C; c++, taps += TAPS * width, u += width) {
            K->pack->transpose(n, TAPS, w + c * f->w_c, f->w_o, taps, width);
            for (size_t t = 0; t < TAPS; t++)
                memset(taps + t * width + n, 0, (width - n) * sizeof *taps);
            K->winograd->weight(width, taps + (f->turned ? (TAPS - 1) * width : 0),
                                f->turned ? -(ptrdiff_t)width : (ptrdiff_t)width, u, j->of_group);
        }
    }
}

/* y [high, wide, O] of an image as the sum itself; a row leaves out the taps that see only zeros above and below x */
static void sum_up(const job *j, const part *p, size_t g, const real *grid, const real *bias, real *y)
{
    const filter *f = &j->f;

    for (size_t r = 0; r < p->high; r++, y += p->wide * f->O) {
        for (size_t v = 0; v < p->wide; v++)
            for (size_t o = 0; o < f->O; o++)
                y[v * f->O + o] = bias ? bias[o] : 0;
        for (size_t t = 0; t < TAPS && !at_cut_short(); t++) {
            ptrdiff_t from = (ptrdiff_t)(2 * p->row + r + t / 3) - f->top;
            if (from < 0 || from >= (ptrdiff_t)f->H)
                continue;
            for (size_t o = 0; o < f->O; o += K->pack->tile) {
                size_t n = at_min_size(f->O - o, K->pack->tile), width = K->pack->packed_size(n, 1);
                const real *taps = j->taps + (g * j->of_group + o * f->C) * TAPS;
                K->pack->tile_gemm(false, p->wide, n, f->C, grid + ((r + t / 3) * p->pitch + t % 3) * f->C, f->C,
                                   taps + (f->turned ? TAPS - 1 - t : t) * width, TAPS * width, y + o, f->O, true);
            }
        }
    }
}

/* y [high, wide, O] of image b to where it belongs, by way of `turned` if it is added to what is there */
static void hand_out(const job *j, const part *p, size_t b, size_t g, const real *y, real *turned)
{
    const filter *f = &j->f;
    size_t plane = f->rows * f->columns, whole = p->wide == f->columns, rows = whole ? 1 : p->high,
           n = whole ? p->high * p->wide : p->wide;
    real *to = f->y + ((p->image + b) * f->G + g) * f->O * plane + 2 * p->row * f->columns + 2 * p->column;

    for (size_t r = 0; r < rows; r++, y += n * f->O, to += f->columns) {
        if (!f->add) {
            K->pack->transpose(n, f->O, y, f->O, to, plane);
            continue;
        }
        K->pack->transpose(n, f->O, y, f->O, turned, n);
        K->window->block(f->O, n, turned, n, to, plane, true);
    }
}

/* Numbers in y of an image of a part */
static size_t of_image(const job *j) { return plane_of(4 * j->rows * j->columns * j->f.O); }

/* One group of a part. Grid and y are those of one image after the other: they stay in the first caches. */
static void convolve(const void *context, size_t unit, real *room)
{
    const job *j = context;
    const filter *f = &j->f;
    size_t g = unit % f->G, of_v = plane_of(j->tiles * f->C), of_m = plane_of(j->tiles * f->O), of_y = of_image(j);
    part p = part_of(j, unit / f->G);
    real *grid = room, *y = grid + plane_of(grid_of(j) * f->C), *turned = y + of_y, *v = turned + of_y,
         *m = v + PLANES * of_v;
    const real *bias = f->bias ? f->bias + g * f->O : NULL, *u = j->u + g * j->of_group * PLANES;

    memset(grid, 0, grid_of(j) * f->C * sizeof *grid);
    for (size_t b = 0; b < p.images; b++)
        take_in(j, &p, b, g, 0, f->C, grid, v, of_v);
    for (size_t n = 0; n < PLANES && !at_cut_short(); n++) {
        span s = span_of(&p, n);
        for (size_t i = 0; i < s.count; i++)
            K->pack->packed_gemm(s.n, f->O, f->C, v + n * of_v + i * s.step * f->C, f->C, u + n * j->of_group,
                                 m + n * of_m + i * s.step * f->O, f->O, false);
    }
    for (size_t b = 0; b < p.images && !at_cut_short(); b++) {
        bool finite = true;
        for (size_t r = 0; r < p.rows; r++)
            if (!K->winograd->output(p.wide, 2 * r + 1 < p.high, f->O, m + tile_of(&p, b, r) * f->O, of_m,
                                     p.images * f->O, bias, y + 2 * r * p.wide * f->O, p.wide * f->O))
                finite = false;
        if (!finite) {
            lay_out(j, &p, b, g, 0, f->C, grid);
            sum_up(j, &p, g, grid, bias, y);
        }
        hand_out(j, &p, b, g, y, turned);
    }
}

/* Memory within `work` of `bytes`; without work it says how much that is. */
static size_t furnish(job *j, char *work, size_t bytes)
{
    const filter *f = &j->f;
    size_t used = 0;

    j->of_group = K->pack->packed_size(f->O, f->C);
    j->taps = at_take(work, &used, f->G * TAPS * j->of_group, sizeof(real));
    j->u = at_take(work, &used, f->G * PLANES * j->of_group, sizeof(real));
    return at_take_rooms(&j->rooms,
                         plane_of(grid_of(j) * f->C) + 2 * of_image(j) +
                             PLANES * (plane_of(j->tiles * f->C) + plane_of(j->tiles * f->O)),
                         work, used, bytes);
}

static job job_of(const filter *f)
{
    job j = {.f = *f};

    plan(&j, VOLUME / (PLANES * (f->C + f->O)));
    return j;
}

bool AT_REAL(at_winograd_pays)(const filter *f)
{
    size_t C = at_round_up(f->C, LANES), O = at_round_up(f->O, LANES),
           n = at_ratio(f->rows, 2) * at_ratio(f->columns, 2);

    return f->B * n >= TILES &&
           TAPS * f->C * f->O * f->rows * f->columns > n * (PLANES * f->C * O + TRANSFORMS * (C + O));
}

size_t AT_REAL(at_winograd_room)(const filter *f)
{
    job j = job_of(f);
    return furnish(&j, NULL, 0);
}

void AT_REAL(at_winograd)(const filter *f, char *work, size_t bytes)
{
    job j = job_of(f);

    furnish(&j, work, bytes);
    at_for(f->G * at_ratio(f->O, K->pack->tile), 1, prepare, &j);
    at_take_turns(&j.rooms, j.parts * f->G, convolve, &j);
}

/* ---- the gradient of the weight ---- */

static job gradient_of(const filter *f)
{
    job j = {.f = *f, .inner = at_min_size(f->C, CHANNELS), .outer = at_min_size(f->O, CHANNELS)};

    plan(&j, VOLUME / (PLANES * (j.inner + j.outer)));
    j.pieces = at_min_size(j.parts, at_max_size(1, at_min_size(2 * PARTS, PARTIAL / (f->G * f->O * f->C * TAPS))));
    return j;
}

static size_t furnish_gradient(job *j, char *work, size_t bytes)
{
    const filter *f = &j->f;
    size_t used = 0;

    j->partial = at_take(work, &used, j->pieces * f->G * f->O * f->C * TAPS, sizeof(real));
    return at_take_rooms(
        &j->rooms,
        plane_of(grid_of(j) * j->inner) + plane_of(4 * j->rows * j->columns * j->outer) +
            PLANES * (plane_of(j->tiles * j->inner) + plane_of(j->tiles * j->outer) + plane_of(j->inner * j->outer)),
        work, used, bytes);
}

/* What a unit of the weight's gradient is about, and its room */
typedef struct share {
    size_t g, c, o, channels, m; /* channels [c, c + channels) of x, [o, o + m) of y */
    size_t begin, end;           /* parts */
    real *to;                    /* [9][G O, C] */
    real *grid, *dy, *v, *d, *u;
    size_t of_v, of_d, of_u;
} share;

static void clear(const job *j, const share *s)
{
    memset(s->grid, 0, grid_of(j) * j->inner * sizeof *s->grid);
    memset(s->dy, 0, 4 * j->rows * j->columns * j->outer * sizeof *s->dy);
}

/* dy of image b of a part, two rows and columns for each tile */
static void lay_gradient(const job *j, const part *p, const share *s, size_t b)
{
    const filter *f = &j->f;

    lay_image(s->m, j->dy + (((p->image + b) * f->G + s->g) * f->O + s->o) * f->rows * f->columns, f->rows, f->columns,
              (ptrdiff_t)(2 * p->row), (ptrdiff_t)(2 * p->column), 2 * p->rows, 2 * p->columns, s->dy);
}

/* Adds the products of tiles [first, first + n) in one plane, few in one sum: its error grows with its length. */
static void sum_tiles(const share *s, size_t plane, size_t first, size_t n)
{
    const real *d = s->d + plane * s->of_d + first * s->m, *v = s->v + plane * s->of_v + first * s->channels;

    for (size_t k; n > 0; n -= k, d += k * s->m, v += k * s->channels) {
        k = at_min_size(n, SUM);
        K->pack->tile_gemm(true, s->m, s->channels, k, d, s->m, v, s->channels, s->u + plane * s->of_u, s->channels,
                           true);
    }
}

/* Filtered; false: not all of it is finite */
static bool weigh_tiles(const job *j, const share *s)
{
    const filter *f = &j->f;
    bool finite = true;

    memset(s->u, 0, PLANES * s->of_u * sizeof *s->u);
    for (size_t n = s->begin; n < s->end && !at_cut_short(); n++) {
        part p = part_of(j, n);
        clear(j, s);
        for (size_t b = 0; b < p.images; b++) {
            take_in(j, &p, b, s->g, s->c, s->channels, s->grid, s->v, s->of_v);
            lay_gradient(j, &p, s, b);
            for (size_t r = 0; r < p.rows; r++)
                K->winograd->spread(p.columns, s->m, s->dy + r * 4 * p.columns * s->m, 2 * p.columns * s->m,
                                    s->d + tile_of(&p, b, r) * s->m, s->of_d, p.images * s->m);
        }
        for (size_t k = 0; k < PLANES; k++) {
            span part_of_k = span_of(&p, k);
            for (size_t i = 0; i < part_of_k.count; i++)
                sum_tiles(s, k, i * part_of_k.step, part_of_k.n);
        }
    }
    for (size_t o = 0; o < s->m; o++)
        if (!K->winograd->collect(s->channels, s->u + o * s->channels, s->of_u, s->to + o * f->C, f->G * f->O * f->C))
            finite = false;
    return finite;
}

/* The sum itself of image b: of each tap over the pixels of y whose window holds one of x there */
static void weigh_pixels(const job *j, const part *p, const share *s, size_t b)
{
    const filter *f = &j->f;

    lay_out(j, p, b, s->g, s->c, s->channels, s->grid);
    lay_gradient(j, p, s, b);
    for (size_t q = 0; q < p->high * TAPS; q++) {
        size_t t = q % TAPS, r = q / TAPS;
        ptrdiff_t row = (ptrdiff_t)(2 * p->row + r + t / 3) - f->top,
                  left = f->left - (ptrdiff_t)(2 * p->column + t % 3), right = left + (ptrdiff_t)f->W;
        left = left < 0 ? 0 : left;
        right = right < (ptrdiff_t)p->wide ? right : (ptrdiff_t)p->wide;
        if (row < 0 || row >= (ptrdiff_t)f->H || left >= right)
            continue;
        K->pack->tile_gemm(
            true, s->m, s->channels, (size_t)(right - left), s->dy + (r * 2 * p->columns + (size_t)left) * s->m, s->m,
            s->grid + ((r + t / 3) * p->pitch + (size_t)left + t % 3) * s->channels, s->channels,
            s->to + t * f->G * f->O * f->C, f->C, true);
    }
}

/* Some channels of x and of y of one group, over a part of the batch */
static void weigh(const void *context, size_t unit, real *room)
{
    const job *j = context;
    const filter *f = &j->f;
    size_t wide = at_ratio(f->C, j->inner), high = at_ratio(f->O, j->outer), piece = unit / (wide * high * f->G);
    share s = {.g = unit / (wide * high) % f->G,
               .c = unit % wide * j->inner,
               .o = unit / wide % high * j->outer,
               .begin = j->parts * piece / j->pieces,
               .end = j->parts * (piece + 1) / j->pieces};

    s.channels = at_min_size(j->inner, f->C - s.c);
    s.m = at_min_size(j->outer, f->O - s.o);
    s.of_v = plane_of(j->tiles * j->inner);
    s.of_d = plane_of(j->tiles * j->outer);
    s.of_u = plane_of(j->inner * j->outer);
    s.grid = room;
    s.dy = s.grid + plane_of(grid_of(j) * j->inner);
    s.v = s.dy + plane_of(4 * j->rows * j->columns * j->outer);
    s.d = s.v + PLANES * s.of_v;
    s.u = s.d + PLANES * s.of_d;
    s.to = j->partial + (piece * TAPS * f->G * f->O + s.g * f->O + s.o) * f->C + s.c;
    if (weigh_tiles(j, &s))
        return;
    for (size_t t = 0; t < TAPS; t++)
        for (size_t o = 0; o < s.m; o++)
            memset(s.to + (t * f->G * f->O + o) * f->C, 0, s.channels * sizeof *s.to);
    for (size_t n = s.begin; n < s.end; n++) {
        part p = part_of(j, n);
        clear(j, &s);
        for (size_t b = 0; b < p.images && !at_cut_short(); b++)
            weigh_pixels(j, &p, &s, b);
    }
}

/* The parts of the sum in their order */
static void gather(size_t begin, size_t end, void *context)
{
    const job *j = context;
    size_t C = j->f.C, plane = j->f.G * j->f.O * C;

    for (size_t o = begin; o < end; o++) {
        real *sum = j->partial + o * C, *to = j->dw + o * C * TAPS;
        for (size_t piece = 1; piece < j->pieces; piece++)
            K->window->block(TAPS, C, sum + piece * TAPS * plane, plane, sum, plane, true);
        for (size_t c = 0; c < C; c++)
            for (size_t t = 0; t < TAPS; t++)
                to[c * TAPS + t] += sum[t * plane + c];
    }
}

size_t AT_REAL(at_winograd_gradient_room)(const filter *f)
{
    job j = gradient_of(f);
    return furnish_gradient(&j, NULL, 0);
}

void AT_REAL(at_winograd_gradient)(const filter *f, const real *dy, real *dw, char *work, size_t bytes)
{
    job j = gradient_of(f);

    j.dy = dy;
    j.dw = dw;
    furnish_gradient(&j, work, bytes);
    at_take_turns(&j.rooms, j.pieces * f->G * at_ratio(f->O, j.outer) * at_ratio(f->C, j.inner), weigh, &j);
    at_for(f->G * f->O, at_ratio(AT_GRAIN, f->C * TAPS * j.pieces), gather, &j);
}
