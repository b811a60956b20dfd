/*
 * Matrix products over the pool.
 *
 * A large product is cut as Goto and van de Geijn 2008 do: KC columns of op(A) against NC columns of op(B) at a time.
 * Those of B are packed into tiles by all threads together, then blocks of C are given out. A needs no packing, its few
 * rows of a tile are streams; a transposed A is packed too. Every element of C is one chain over k, cut
 * every KC, whatever the other sizes are.
 *
 * With few rows packing is most of the work, and B is read in place instead (kernel/pack.c).
 *
 * OpenBLAS does the products of float32 at which it is faster or not 3 % slower, and all large ones where this build has no
 * vectors wider than 16 bytes. Time of OpenBLAS over ours (above 1: ours is faster), one thread, OpenBLAS 0.3.21 without threads:
 *
 *   op  m      n      k       AVX-512   AVX2             op  m    n      k      AVX-512   AVX2
 *   NT  1,280  1,536  256     1.2       1.2              NN  64   768    768    1.3       0.7
 *   NN  2,048  1,536  384     1.3       1.2              TN  64   768    768    1.2       0.7
 *   TN  1,024  512    1,280   1.7       1.3              NT  64   768    768    1.1       0.7
 *   TN  8,000  256    1,280   1.3       1.1              NT  256  768    768    1.1       0.8-1.0
 *   NT  1,280  8,000  256     1.2       1.1              NT  256  3,072  768    1.1       0.8 *
 *   NN  512    768    768     1.5       1.2              NT  64   1,536  512    1.2       0.7 *
 *   NN  384    768    768     1.2       1.02             NN  64   512    1,536  0.6 *     0.8 *    rows 2 KiB apart
 *   NN  32     768    768     1.5       0.7              TN  20   20     64     0.29 *    0.72 *
 *
 * * goes to OpenBLAS (openblas_is_faster): with AVX2 all of up to 256 rows, if there are columns for BLAS_BLOCKS blocks: with fewer
 * ours wins as soon as there are more threads. Base: 0.3 to 0.5 everywhere.
 * Measured on a Xeon (Sapphire Rapids, 2 MiB of second-level cache) with tests/bench/gemm.c: medians over repetitions in turn of
 * the time of the thread, on a machine with other work, so +- 10 %. `make bench` repeats it. float64 is not measured; there OpenBLAS
 * does the products of the base level only.
 */
#include "attn/core/gemm.h"

#include <cblas.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "attn/core/parallel.h"
#include "attn/core/tensor.h"
#include "attn/kernel/bf16.h"
#include "attn/kernel/map.h"
#include "attn/kernel/pack.h"

#if AT_TYPE == 32
#define blas_gemm cblas_sgemm
#else
#define blas_gemm cblas_dgemm
#endif
enum {
    /* fastest of KC 256, 384, 512, NC 256 to 2048 and MB 48, 96, 192 with 2 MiB of second-level cache, which holds a block of A
     * and the panel of B */
    DEPTH = 2048, /* KC in bytes */
    KC = DEPTH / sizeof(real),
    NC = 256,
    WIDE = 2048, /* the same with inputs rounded, whose rows of A are packed for every panel */
    DEEP = 32,   /* divides KC: what is summed by itself with inputs rounded to bfloat16 (kernel/bf16.h) */
    MB = 96,
    MC = 2048,           /* rows of a transposed A that are packed together */
    PART = 1 << 18,      /* multiplications in a block of work: 5 us with AVX2, against 1 to wake a thread */
    PARTS = 16,          /* blocks of C, as few as keep four threads busy */
    PACK_PART = 1 << 14, /* numbers copied in a block of work */
    FEW = 48,            /* rows up to which packing B costs more than it gains; twice that if B is not turned */
    FEW_PART = 1 << 15,  /* multiplications in a block of work there: small, so that threads end together */
    FEW_DEPTH = 1 << 22, /* of one call there: milliseconds */
    SMALL = 4096,        /* numbers on the stack when there is no memory */
    /* OpenBLAS packs what it needs of both matrices for every block of C: as few as keep four threads busy, none of fewer rows or
     * columns (128 took up to twice the time of one call), and none so large that Ctrl-C waits */
    BLAS_BLOCKS = 4,
    BLAS_SIDE = 256,
    LARGEST = 1024
};

typedef struct product {
    bool ta, tb;
    size_t m, n, k;
    real alpha;
    const real *a;
    size_t lda;
    const real *b;
    size_t ldb;
    real beta; /* 1 with a bias */
    real *c;
    size_t ldc;
    const real *bias; /* [n], what every row of C starts from; or NULL */
    const at_gemm_end *end;
} product;

/* Rows and columns of C hold their last values. */
static void finish(const product *p, size_t i, size_t m, size_t j, size_t n)
{
    if (p->end)
        p->end->fn(p->end->context, i, m, j, n);
}

/* ---- memory of a thread, kept until the thread ends ---- */

enum { PANEL, LEFT, BLAS_BUFFER, AREAS };
void *at_gemm_area(int which);

#if AT_TYPE == 32
static pthread_key_t area_key;
static pthread_once_t area_once = PTHREAD_ONCE_INIT;
static bool have_key;

static void free_areas(void *p)
{
    void **area = p;

    for (int i = 0; i < AREAS; i++)
        free(area[i]);
    free(area);
}

static void make_key(void) { have_key = pthread_key_create(&area_key, free_areas) == 0; }

/* NULL: no memory. PANEL: WIDE KC numbers of either type, LEFT: MC KC, BLAS_BUFFER: what OpenBLAS works in, of which it touches
 * what it needs; aligned as its kernels want it. */
void *at_gemm_area(int which)
{
    static const size_t bytes[AREAS] = {(size_t)WIDE * DEPTH, (size_t)MC * DEPTH, (size_t)128 << 20};
    static _Thread_local void **area;

    if (!area) {
        pthread_once(&area_once, make_key);
        void **fresh = have_key ? calloc(AREAS, sizeof *fresh) : NULL;
        if (!fresh || pthread_setspecific(area_key, fresh) != 0) {
            free(fresh);
            return NULL;
        }
        area = fresh;
    }
    if (!area[which] && posix_memalign(&area[which], 4096, bytes[which]) != 0)
        area[which] = NULL;
    return area[which];
}
#endif

/* ---- OpenBLAS ---- */

/* In every thread that calls it: in the OpenMP flavour the number is the calling thread's own, and a worker of ours would
 * find that of the machine. */
static void one_thread(void)
{
    static _Thread_local bool done;

    if (!done) {
        openblas_set_num_threads(1);
        done = true;
    }
}

#if AT_TYPE == 32
/* In place of OpenBLAS's own (the Makefile's --wrap), which tries for ever when there is no memory. Never NULL: blas_blocks has
 * asked before. */
void *__wrap_blas_memory_alloc(int position);
void __wrap_blas_memory_free(void *buffer);

void *__wrap_blas_memory_alloc(int position)
{
    (void)position;
    return at_gemm_area(BLAS_BUFFER);
}

void __wrap_blas_memory_free(void *buffer) { (void)buffer; }

static at_gemm_way chosen;

at_gemm_way at_gemm_use(const at_gemm_way *way)
{
    at_gemm_way before = chosen;

    if (way)
        chosen = *way;
    return before;
}

/* $ATTN_GEMM; -1 if it is none of the words. */
static int wanted_way(void)
{
    const char *wanted = getenv("ATTN_GEMM");

    if (!wanted || !*wanted)
        return AT_GEMM_FASTER;
    return strcasecmp(wanted, "own") == 0 ? AT_GEMM_OWN : strcasecmp(wanted, "openblas") == 0 ? AT_GEMM_OPENBLAS : -1;
}

bool at_gemm_check(at_error *e)
{
    return wanted_way() >= 0 || at_error_set(e, "ATTN_GEMM is '%.40s', expected own or openblas", getenv("ATTN_GEMM"));
}

__attribute__((constructor)) static void choose(void)
{
    int wanted = wanted_way();
    chosen = wanted < 0 ? AT_GEMM_FASTER : (at_gemm_way)wanted;
}

const char *at_blas_name(void)
{
    static const char *const ways[] = {"", ", ATTN_GEMM=own", ", ATTN_GEMM=openblas"};
    static char name[96];

    snprintf(name, sizeof name, "OpenBLAS (%s)%s", openblas_get_corename(), ways[chosen]);
    return name;
}
#endif

/* ---- the general case ---- */

/* What of it is at work: rows from i, columns from j, k from l. */
typedef struct stage {
    const product *p;
    size_t i, mb, j, nb, l, kb;
    real *panel, *left;         /* packed: of B, and of a transposed A */
    size_t rows, groups, tiles; /* a block of C: `rows` rows, `tiles` tiles; `groups` of them side by side */
} stage;

static void pack_tiles(size_t begin, size_t end, void *ctx)
{
    const stage *s = ctx;
    const product *p = s->p;
    size_t j = begin * K->product->tile,
           columns = (end * K->product->tile < s->nb ? end * K->product->tile : s->nb) - j;
    const real *from = p->tb ? p->b + (s->j + j) * p->ldb + s->l : p->b + s->l * p->ldb + s->j + j;
    real *to = s->panel + j * s->kb;

    K->product->pack(!p->tb, columns, s->kb, p->alpha, from, p->ldb, to);
}

/* Where rows of a transposed A from `row` on are packed: rounded ones fill whole tiles. */
static real *left_at(const stage *s, size_t row) { return s->left + row * at_round_up(s->kb, DEEP); }

/* A block of rows each */
static void pack_left(size_t begin, size_t end, void *ctx)
{
    const stage *s = ctx;
    const product *p = s->p;

    for (size_t i = begin * s->rows; i < at_min_size(end * s->rows, s->mb); i += s->rows)
        K->product->pack_rows(at_min_size(s->rows, s->mb - i), s->kb, p->a + s->l * p->lda + s->i + i, p->lda,
                              left_at(s, i));
}

/* C = beta C, or the bias */
static void start_block(const product *p, size_t i, size_t m, size_t j, size_t n)
{
    for (size_t r = i; r < i + m; r++) {
        real *c = p->c + r * p->ldc + j;
        if (p->bias)
            memcpy(c, p->bias + j, n * sizeof *c);
        else if (p->beta == 0)
            K->map->fill(n, 0, c);
        else if (p->beta != 1)
            K->map->scale(n, p->beta, c, c);
    }
}

static void multiply_blocks(size_t begin, size_t end, void *ctx)
{
    const stage *s = ctx;
    const product *p = s->p;

    for (size_t block = begin; block < end; block++) {
        size_t row = block / s->groups * s->rows, i = s->i + row, m = at_min_size(s->rows, s->mb - row);
        size_t j = block % s->groups * s->tiles * K->product->tile,
               n = at_min_size(s->nb - j, s->tiles * K->product->tile);
        const real *a = p->a + i * p->lda + s->l, *b = s->panel + j * s->kb;
        real *c = p->c + i * p->ldc + s->j + j;
        bool add = s->l > 0 || p->beta != 0;
        bool from_bias = !p->ta && p->bias && s->l == 0;
        if (s->l == 0 && p->beta != 0 && !from_bias)
            start_block(p, i, m, s->j + j, n);
        if (from_bias)
            K->product->packed_gemm_from(m, n, s->kb, a, p->lda, b, c, p->ldc, p->bias + s->j + j, 0);
        else if (p->ta)
            K->product->rows_gemm(m, n, s->kb, left_at(s, row), b, c, p->ldc, add);
        else
            K->product->packed_gemm(m, n, s->kb, a, p->lda, b, c, p->ldc, add);
        if (s->l + s->kb == p->k)
            finish(p, i, m, s->j + j, n);
    }
}

/* Blocks of C: at least PART multiplications, MB rows, as few columns as leave work for every thread */
static void multiply_columns(stage *s)
{
    size_t tiles = at_ratio(s->nb, K->product->tile), parts = s->mb * s->nb * s->kb / PART;
    size_t high = at_ratio(s->mb, s->rows);

    parts = parts < 1 ? 1 : at_min_size(parts, PARTS);
    s->tiles = at_ratio(tiles, at_min_size(tiles, at_ratio(parts, high)));
    s->groups = at_ratio(tiles, s->tiles);
    at_for(tiles, at_ratio(PACK_PART, K->product->tile * s->kb), pack_tiles, s);
    at_for(high * s->groups, 1, multiply_blocks, s);
}

static void multiply(const product *p)
{
    _Alignas(64) real small[SMALL], few_rows[SMALL];
    real *own = at_gemm_area(PANEL), *left = p->ta ? at_gemm_area(LEFT) : NULL;
    stage s = {.p = p, .panel = own ? own : small, .left = left ? left : few_rows};
    size_t columns = !own ? K->product->tile : at_rounds() ? WIDE : NC, most = own ? KC : SMALL / K->product->tile;
    size_t depth = at_round_up(at_ratio(p->k, at_ratio(p->k, most)), DEEP);
    size_t high = !p->ta ? p->m : left ? MC : SMALL / depth / 6 * 6;

    for (s.l = 0; s.l < p->k && !at_cut_short(); s.l += depth)
        for (s.i = 0; s.i < p->m; s.i += high) {
            s.kb = at_min_size(depth, p->k - s.l);
            s.mb = at_min_size(high, p->m - s.i);
            s.rows = at_ratio(at_ratio(s.mb, at_ratio(s.mb, MB)), 6) * 6;
            if (p->ta)
                at_for(at_ratio(s.mb, s.rows), at_ratio(PACK_PART, s.rows * s.kb), pack_left, &s);
            for (s.j = 0; s.j < p->n; s.j += columns) {
                s.nb = at_min_size(columns, p->n - s.j);
                multiply_columns(&s);
            }
        }
}

/* ---- few rows: B is read where it stands ---- */

static void few_columns(size_t begin, size_t end, void *ctx)
{
    const product *p = ctx;
    real *c = p->c + begin;

    if (p->beta != 0)
        start_block(p, 0, p->m, begin, end - begin);
    /* a product may be one block with a depth of any size: in pieces, for at_cut_short */
    for (size_t l = 0; l < p->k && !at_cut_short(); l += FEW_DEPTH)
        K->product->few_gemm(
            !p->tb, p->m, end - begin, at_min_size(p->k - l, FEW_DEPTH), p->a + l, p->lda,
            p->b + (p->tb ? begin * p->ldb + l : begin + l * p->ldb), p->ldb, c, p->ldc, p->beta != 0 || l > 0);
    for (size_t r = 0; r < p->m && p->alpha != 1; r++)
        K->map->scale(end - begin, p->alpha, c + r * p->ldc, c + r * p->ldc);
    finish(p, 0, p->m, begin, end - begin);
}

static void few(const product *p)
{
    size_t columns = FEW_PART / p->m / p->k / K->product->tile * K->product->tile;

    at_for(p->n, columns < K->product->tile ? K->product->tile : columns, few_columns, (void *)(uintptr_t)p);
}

/* ---- which way ---- */

static void start_all(size_t begin, size_t end, void *ctx)
{
    const product *p = ctx;

    start_block(p, begin, end - begin, 0, p->n);
    finish(p, begin, end - begin, 0, p->n);
}

static bool fits_int(const product *p)
{
    return p->m <= INT_MAX && p->n <= INT_MAX && p->k <= INT_MAX && p->lda <= INT_MAX && p->ldb <= INT_MAX &&
           p->ldc <= INT_MAX;
}

typedef struct blocks {
    const product *p;
    size_t rows, columns, wide; /* of a block of C; blocks side by side */
} blocks;

static void blas_blocks(size_t begin, size_t end, void *ctx)
{
    const blocks *s = ctx;

    for (size_t block = begin; block < end; block++) {
        size_t i = block / s->wide * s->rows, j = block % s->wide * s->columns;
        product p = *s->p;
        p.m = at_min_size(s->rows, p.m - i);
        p.n = at_min_size(s->columns, p.n - j);
        p.a += p.ta ? i : i * p.lda;
        p.b += p.tb ? j * p.ldb : j;
        p.c += i * p.ldc + j;
        p.bias = p.bias ? p.bias + j : NULL;
        p.end = NULL;
        if (!at_gemm_area(BLAS_BUFFER)) {
            multiply(&p);
            finish(s->p, i, p.m, j, p.n);
            continue;
        }
        one_thread();
        if (p.bias)
            start_block(&p, 0, p.m, 0, p.n);
        blas_gemm(CblasRowMajor, p.ta ? CblasTrans : CblasNoTrans, p.tb ? CblasTrans : CblasNoTrans, (int)p.m, (int)p.n,
                  (int)p.k, p.alpha, p.a, (int)p.lda, p.b, (int)p.ldb, p.beta, p.c, (int)p.ldc);
        finish(s->p, i, p.m, j, p.n);
    }
}

/* Half a side of a block, or the whole if that would be too small: 64 is a multiple of the tiles of every OpenBLAS. */
static size_t half(size_t side)
{
    size_t part = at_ratio(at_ratio(side, 2), 64) * 64;

    return part < BLAS_SIDE ? side : part;
}

static void blas(const product *p)
{
    size_t wanted = at_min_size(p->m * p->n * p->k / (4 * PART), BLAS_BLOCKS);
    size_t rows = at_ratio(at_ratio(p->m, at_ratio(p->m, LARGEST)), 64) * 64;
    size_t columns = at_ratio(at_ratio(p->n, at_ratio(p->n, LARGEST)), 64) * 64;

    while (at_ratio(p->m, rows) * at_ratio(p->n, columns) < wanted) {
        size_t high = half(rows), wide = half(columns);
        if (high < rows && (rows > columns || wide == columns))
            rows = high;
        else if (wide < columns)
            columns = wide;
        else
            break;
    }
    blocks s = {p, rows, columns, at_ratio(p->n, columns)};
    at_for(at_ratio(p->m, rows) * s.wide, 1, blas_blocks, &s);
}

/* The table at the top; few: of ours, B would be read in place. */
static bool openblas_is_faster(const product *p, bool few)
{
    at_simd level = at_cpu_simd();

    if (level == AT_SIMD_BASE)
        return !few;
    if (sizeof(real) != sizeof(float))
        return false;
    if (few) /* rows of B that share the sets of the caches, and B is too large for the second-level one */
        return !p->tb && p->m > 16 && p->ldb % 512 == 0 && p->n * p->k > 1 << 19;
    if (p->ta && p->m * p->n * p->k <= (level == AT_SIMD_AVX2 ? PART / 4 : PART))
        return true;
    return level == AT_SIMD_AVX2 && p->m <= 256 && p->k >= 256 && p->n >= BLAS_BLOCKS * BLAS_SIDE;
}

static void run(const product *p)
{
    if (p->m == 0 || p->n == 0)
        return;
    if (p->k == 0) {
        at_for(p->m, at_ratio(PACK_PART, p->n), start_all, (void *)(uintptr_t)p);
        return;
    }
    product q = *p;
    /* a column is a row of the product turned round, where its elements are side by side */
    if (p->n == 1 && p->m > 1 && p->ldc == 1 && !p->bias && (p->tb || p->ldb == 1))
        q = (product){false, !p->ta, 1,       p->m, p->k, p->alpha, p->b, p->k,
                      p->a,  p->lda, p->beta, p->c, p->m, NULL,     NULL};
    if (q.m == 1 && q.ta && q.lda == 1)
        q.ta = false;
    /* in place: not for short dot products (tb), whose lanes have to be added up at the end; and many rows only with
     * tiles of four cache lines, as single ones keep missing */
    size_t rows = q.tb ? 4 + q.k / 16 : K->product->tile * sizeof(real) >= 256 ? 2 * FEW : 12;
    bool small = q.m <= rows && q.m <= (q.tb ? FEW : 2 * FEW);
    if (!q.tb && q.n * q.k <= PACK_PART && q.m * q.n * q.k <= 2 * PART)
        small = true;
    bool rounds = at_rounds(), in_place = !rounds && small && !q.ta && (q.alpha == 1 || q.beta == 0);
    bool can = !rounds && p->alpha != 0 && fits_int(p); /* with alpha 0 OpenBLAS would leave the product out */
    at_gemm_way way = at_gemm_use(NULL);
    if (can && (way == AT_GEMM_OPENBLAS || (way == AT_GEMM_FASTER && openblas_is_faster(&q, in_place))))
        blas(p);
    else if (in_place)
        few(&q);
    else
        multiply(p);
}

void real_gemm(bool ta, bool tb, size_t m, size_t n, size_t k, real alpha, const real *a, size_t lda, const real *b,
               size_t ldb, real beta, real *c, size_t ldc)
{
    run(&(product){ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, NULL, NULL});
}

void real_gemm_bias(bool ta, bool tb, size_t m, size_t n, size_t k, const real *a, size_t lda, const real *b,
                    size_t ldb, const real *bias, real *c, size_t ldc, const at_gemm_end *end)
{
    product p = {ta, tb, m, n, k, 1, a, lda, b, ldb, bias ? 1 : 0, c, ldc, bias, end};

    if (n == 1) { /* a column: the product is better turned round */
        for (size_t i = 0; bias && i < m; i++)
            c[i * ldc] = *bias;
        p.bias = NULL;
        p.end = NULL;
    }
    run(&p);
    if (n == 1 && end)
        end->fn(end->context, 0, m, 0, 1);
}

/* ---- many of one shape ---- */

typedef struct batch {
    product p;
    size_t step_a, step_b, step_c;
    const real *const *a, *const *b; /* or NULL: steps */
    real *const *c;
} batch;

static void run_some(size_t begin, size_t end, void *ctx)
{
    const batch *x = ctx;

    for (size_t i = begin; i < end; i++) {
        product p = x->p;
        p.a = x->a ? x->a[i] : p.a + i * x->step_a;
        p.b = x->b ? x->b[i] : p.b + i * x->step_b;
        p.c = x->c ? x->c[i] : p.c + i * x->step_c;
        run(&p);
    }
}

/* Over the products when each is too small to be cut well or there are many, else each over the pool by itself. */
static void run_batch(size_t count, batch *x)
{
    size_t work = x->p.m * x->p.n * x->p.k;

    if (count >= 8 || work < 8 * PART)
        at_for(count, work >= PART ? 1 : at_ratio(PART, work + 1), run_some, x);
    else
        run_some(0, count, x);
}

void real_gemm_batch(size_t count, bool ta, bool tb, size_t m, size_t n, size_t k, real alpha, const real *a,
                     size_t lda, size_t step_a, const real *b, size_t ldb, size_t step_b, real beta, real *c,
                     size_t ldc, size_t step_c)
{
    run_batch(count, &(batch){{ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, NULL, NULL},
                              step_a,
                              step_b,
                              step_c,
                              NULL,
                              NULL,
                              NULL});
}

void real_gemm_list(size_t count, bool ta, bool tb, size_t m, size_t n, size_t k, real alpha, const real *const *a,
                    size_t lda, const real *const *b, size_t ldb, real beta, real *const *c, size_t ldc)
{
    run_batch(count,
              &(batch){{ta, tb, m, n, k, alpha, NULL, lda, NULL, ldb, beta, NULL, ldc, NULL, NULL}, 0, 0, 0, a, b, c});
}

/* ---- packed once ---- */

typedef struct packing {
    bool transposed;
    size_t n, k;
    const real *w;
    size_t ldw;
    real *packed;
} packing;

static void pack_part(size_t begin, size_t end, void *ctx)
{
    const packing *x = ctx;
    size_t j = begin * K->product->tile, columns = at_min_size(end * K->product->tile, x->n) - j;

    K->product->pack(x->transposed, columns, x->k, 1, x->w + (x->transposed ? j : j * x->ldw), x->ldw,
                     x->packed + j * x->k);
}

void real_pack(bool transposed, size_t n, size_t k, const real *w, size_t ldw, real *packed)
{
    packing x = {transposed, n, k, w, ldw, packed};

    at_for(at_ratio(n, K->product->tile), at_ratio(PACK_PART, K->product->tile * (k + 1)), pack_part, &x);
}

typedef struct rows {
    size_t n, k;
    const real *x;
    size_t ldx;
    const real *packed;
    real *y;
    size_t ldy;
    bool accumulate;
} rows;

static void packed_rows(size_t begin, size_t end, void *ctx)
{
    const rows *r = ctx;

    K->product->packed_gemm(end - begin, r->n, r->k, r->x + begin * r->ldx, r->ldx, r->packed, r->y + begin * r->ldy,
                            r->ldy, r->accumulate);
}

void real_packed_gemm(size_t m, size_t n, size_t k, const real *x, size_t ldx, const real *packed, real *y, size_t ldy,
                      bool accumulate)
{
    rows r = {n, k, x, ldx, packed, y, ldy, accumulate};

    at_for(m, 16, packed_rows, &r);
}
