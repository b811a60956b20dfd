/*
 * attend: softmax attention over products, tile by tile; nothing of size Tq x Tk is kept.
 *
 *   q     [B, Tq, H, D]           k [B, Tk, Hk, D], v [B, Tk, Hk, Dv]: query heads 1 .. H / Hk read the first key head, and so on
 *   bias  [B or 1, H or 1, Tq or 1, Tk] added; -inf leaves a key out        mask the shapes of bias, key_mask [B, Tk]: false leaves out
 *   span  op/attend.h: which keys a query may look at; tiles nobody may look at are not computed
 *   y     [B, Tq, H, Dv]          w [B, H, Tq, W], only if asked for: y has the same bits with and without
 *
 *   s_ij = scale q_i . k_j + bias_ij - m_h |i - j|    p = softmax_j s    y_i = sum_j drop(p_ij) v_j
 *
 * Kept for the backward pass: y and lse_i = log sum_j exp(s_ij), from which p is computed again (Dao et al. 2022):
 *
 *   dv_j += sum_i drop(p_ij) dy_i     dp_ij = drop(dy_i . v_j) + dw_ij     delta_i = sum_j p_ij dp_ij = y_i . dy_i + sum_j w_ij dw_ij
 *   ds_ij = p_ij (dp_ij - delta_i)    dq_i += scale sum_j ds_ij k_j        dk_j += scale sum_i ds_ij q_i        dbias += ds
 *
 * A tile is s' [keys, queries]: lanes run over queries. Only q and dy are turned, once per block of queries; keys and values are read
 * where they stand, and nothing as large as an input is copied. Where spans cut a tile (causal order, windows, lengths), it is taken in
 * parts: runs of keys with the vectors of columns that look at them; the rest is not computed. Blocks of queries go over the pool; the
 * backward pass goes by key heads, whose dk and dv nobody else touches. A bias that many share gets its gradient in a pass of its own,
 * block by block of queries, so that its sum has one order.
 *
 * score, look   programs of the script's score_mod and mask_mod (op/machine.h): s_ij goes through the first before the bias is added, and
 * its gradient through score_back, which adds up those of what it captured in slots of key heads; the second leaves out pairs, and is
 * asked of the places of a whole tile first: most tiles are skipped, or taken without it.
 *
 * Keys left out must be finite, or 0 times NaN would spread: the caller sees to it (attention.c).
 */
#include <math.h>
#include <string.h>

#include "attn/op/attend.h"
#include "attn/core/parallel.h"
#include "attn/op/modify.h"
#include "attn/op/rows.h"
#include "attn/kernel/attend.h"
#include "attn/kernel/map.h"
#include "attn/kernel/pack.h"
#include "attn/kernel/random.h"
#include "attn/kernel/reduce.h"

enum { Q, KEY, V, BIAS, MASK, KEY_MASK, SPAN, SCORE, LOOK, SCORE_BACK, TENSORS }; /* the last two: one list */
enum { SCALE, OFFSET, ALIBI, DROPOUT, WEIGHTS };
enum { LSE };
enum {
    QB = 64,    /* queries of a block */
    STRIP = 16, /* of them, so many are taken or left out together: the widest vector */
    STRIPS = QB / STRIP,
    KB = 128 /* keys of a tile: two tiles stay in the second cache beside their keys and values */
};

typedef struct sizes {
    size_t B, Tq, Tk, H, Hk, D, Dv, W;
    int captured;
    size_t machine[3], reach; /* bytes that the programs of a slot take */
} sizes;

static sizes sizes_of(const at_call *c)
{
    const at_tensor *q = c->in[Q], *k = c->in[KEY], *v = c->in[V];
    sizes n = {q->size[0], q->size[1], k->size[1], q->size[2],
               k->size[2], q->size[3], v->size[3], at_span_width(c->in[SPAN], k->size[1])};
    n.captured = c->n_in - TENSORS;
    for (int m = SCORE; m <= SCORE_BACK; m++) {
        at_program p = c->in[m] ? at_program_of(c->in[m]) : (at_program){0};
        n.machine[m - SCORE] = c->in[m] ? at_machine_bytes(&p, QB, KB) : 0;
        if (m == LOOK)
            n.reach = at_room64(p.registers * sizeof(at_reach));
    }
    return n;
}

static size_t blocks(size_t Tq) { return at_ratio(Tq, QB); }

/* Scratch of one slot: tiles [KB, QB], q and dy turned [wide, QB], y or a block's rows [QB, wide], and a number per column. */
typedef struct room {
    real *s, *dp, *q, *dy, *rows, *max, *sum, *factor, *lse, *delta, *lo, *hi;
    real *raw; /* scores before score_mod */
    char *machine[3];
    at_reach *reach;
} room;

static size_t wider(const sizes *n) { return n->D > n->Dv ? n->D : n->Dv; }

static size_t tile_bytes(const sizes *n) { return at_round64((2 * KB + 3 * wider(n) + 7) * QB * sizeof(real)); }

static size_t raw_bytes(const sizes *n) { return n->machine[0] ? KB * QB * sizeof(real) : 0; }

static size_t room_bytes(const sizes *n)
{
    return tile_bytes(n) + raw_bytes(n) + n->machine[0] + n->machine[1] + n->machine[2] + n->reach;
}

static room room_at(const sizes *n, char *at)
{
    real *p = (real *)(void *)at;
    size_t tile = KB * QB, turned = wider(n) * QB;
    real *column = p + 2 * tile + 3 * turned;
    char *more = at + tile_bytes(n), *machines = more + raw_bytes(n);
    return (room){
        .s = p,
        .dp = p + tile,
        .q = p + 2 * tile,
        .dy = p + 2 * tile + turned,
        .rows = p + 2 * tile + 2 * turned,
        .max = column,
        .sum = column + QB,
        .factor = column + 2 * QB,
        .lse = column + 3 * QB,
        .delta = column + 4 * QB,
        .lo = column + 5 * QB,
        .hi = column + 6 * QB,
        .raw = (real *)(void *)more,
        .machine = {machines, machines + n->machine[0], machines + n->machine[0] + n->machine[1]},
        .reach = (at_reach *)(void *)(machines + n->machine[0] + n->machine[1] + n->machine[2])};
}

static bool fits(const at_tensor *t, const sizes *n)
{
    return t->ndim == 4 && (t->size[0] == 1 || t->size[0] == n->B) && (t->size[1] == 1 || t->size[1] == n->H) &&
           (t->size[2] == 1 || t->size[2] == n->Tq) && t->size[3] == n->Tk;
}

/* The script's functions: programs that fit, and places within what they read. */
static bool check_functions(at_call *c)
{
    int n = c->n_in - TENSORS;
    if (n < 0 || n >= AT_MAX_CUSTOM || !c->in[SCORE] != !c->in[SCORE_BACK] ||
        (c->in[SCORE] && c->in[SCORE_BACK]->dtype != AT_I64))
        return at_fail(c, "the functions do not go together");
    if ((c->in[SCORE] && (!at_program_check(c, c->in[SCORE], TENSORS, n, 1, 1) ||
                          !at_program_check(c, c->in[SCORE_BACK], TENSORS, n, 2, 1))) ||
        (c->in[LOOK] && !at_program_check(c, c->in[LOOK], TENSORS, n, 0, 1)) || !at_program_integers(c, TENSORS, n))
        return false;
    const at_tensor *q = c->in[Q];
    at_sight look = {"mask_mod",  q->size[0],  q->size[2],      q->size[1], c->in[KEY]->size[1], c->arg[OFFSET].integer,
                     c->in[SPAN], c->in[MASK], c->in[KEY_MASK], NULL};
    at_sight score = look;
    score.name = "score_mod";
    score.look = c->in[LOOK];
    return (!c->in[LOOK] || at_places_check(c, c->in[LOOK], TENSORS, n, &look)) &&
           (!c->in[SCORE] || at_places_check(c, c->in[SCORE], TENSORS, n, &score));
}

static bool shape(at_call *c)
{
    const at_tensor *q = c->in[Q], *k = c->in[KEY], *v = c->in[V];
    if (q->ndim != 4 || k->ndim != 4 || v->ndim != 4 || k->size[3] != q->size[3] || k->size[0] != q->size[0] ||
        v->size[0] != k->size[0] || v->size[1] != k->size[1] || v->size[2] != k->size[2] || k->size[2] == 0 ||
        q->size[2] % k->size[2] != 0)
        return at_fail(c, "query %s, key %s and value %s do not go together", at_describe(q).text, at_describe(k).text,
                       at_describe(v).text);
    sizes n = {
        .B = q->size[0], .Tq = q->size[1], .Tk = k->size[1], .H = q->size[2], .D = q->size[3]}; /* of masks to check */
    for (int m = BIAS; m <= MASK; m++)
        if (c->in[m] && !fits(c->in[m], &n))
            return at_fail(c, "%s has shape %s, expected [%zu, %zu, %zu, %zu]", m == BIAS ? "bias" : "mask",
                           at_describe_shape(c->in[m]->ndim, c->in[m]->size).text, n.B, n.H, n.Tq, n.Tk);
    if (!at_span_check(c, c->in[SPAN], n.B, n.Tq, n.Tk) || !check_functions(c))
        return false;
    n = sizes_of(c);
    if (!at_out(c, 4, (size_t[]){n.B, n.Tq, n.H, n.Dv}))
        return false;
    if (c->arg[WEIGHTS].flag && !at_out(c, 4, (size_t[]){n.B, n.H, n.Tq, n.W}))
        return false;
    if (c->arg[DROPOUT].number > 0)
        c->random = at_random_reserve(n.B * n.H * blocks(n.Tq) * QB * at_round_up(n.Tk, KB));
    size_t sums = at_recording(c) ? at_array_sums(c, TENSORS, n.captured) : 0;
    at_want_scratch(c, AT_SLOTS * room_bytes(&n) + at_sum_slots(sums, AT_SLOTS) * sums * sizeof(double));
    return at_save(c, at_call_dtype(c), n.B * n.H * n.Tq);
}

/* ---- a tile ---- */

/* One block of queries of one head: i0 .. i0 + n - 1. */
typedef struct job {
    const at_call *c;
    sizes n;
    size_t b, h, i0, rows, width, lanes; /* width: rows in whole vectors, of so many lanes */
    size_t lo, hi;                       /* keys that any query of the block may look at */
    size_t full_lo, full_hi;             /* keys that every one may look at */
    at_span strip[STRIPS];               /* keys that any query of a strip may look at */
    room r;
    at_array *array;
    bool back;             /* SCORE_BACK too */
    at_machine machine[3]; /* of SCORE, SCORE_BACK, LOOK; set up for the block's queries */
} job;

static bool has(const job *j, int program) { return j->c->in[program] != NULL; }

static void open_machines(job *j)
{
    for (int m = SCORE; m <= SCORE_BACK; m++) {
        if (!has(j, m) || (m == SCORE_BACK && !j->back))
            continue;
        at_program p = at_program_of(j->c->in[m]);
        at_machine *machine = &j->machine[m - SCORE];
        *machine = at_machine_at(&p, j->r.machine[m - SCORE], QB, KB, j->array);
        at_machine_head(machine, j->b, j->h);
        at_machine_queries(machine, j->c->arg[OFFSET].integer + (int64_t)j->i0, j->width);
    }
}

static job job_of(const at_call *c, const sizes *n, size_t b, size_t h, size_t block, room r, at_array *array,
                  bool back)
{
    size_t W = K->product->packed_size(1, 1);
    job j = {.c = c,
             .n = *n,
             .b = b,
             .h = h,
             .i0 = block * QB,
             .hi = n->Tk,
             .full_hi = n->Tk,
             .lanes = W,
             .r = r,
             .array = array,
             .back = back};
    j.rows = n->Tq - j.i0 < QB ? n->Tq - j.i0 : QB;
    j.width = at_round_up(j.rows, W);
    open_machines(&j);
    if (!c->in[SPAN])
        return j;
    j.lo = n->Tk, j.hi = 0;
    for (size_t v = 0; v * STRIP < j.rows; v++) {
        size_t lo = n->Tk, hi = 0;
        for (size_t i = v * STRIP; i < at_min_size((v + 1) * STRIP, j.rows); i++) {
            at_span s = at_span_of(c->in[SPAN], n->Tq, n->Tk, b, j.i0 + i);
            if (s.n > 0) {
                lo = at_min_size(lo, s.lo);
                hi = at_max_size(hi, s.lo + s.n);
            }
            j.full_lo = at_max_size(j.full_lo, s.lo);
            j.full_hi = at_min_size(j.full_hi, s.lo + s.n);
        }
        j.strip[v] = (at_span){lo, hi > lo ? hi - lo : 0};
        j.lo = at_min_size(j.lo, lo);
        j.hi = at_max_size(j.hi, hi);
    }
    j.lo = at_min_size(j.lo, j.hi) / KB * KB; /* tiles have the same bounds for every block: dropout counts by them */
    return j;
}

static const real *head_row(const at_tensor *t, size_t b, size_t i, size_t h)
{
    return (const real *)(const void *)t->data + ((b * t->size[1] + i) * t->size[2] + h) * t->size[3];
}

static size_t head_step(const at_tensor *t) { return t->size[2] * t->size[3]; }

/* Place of row i of a bias or mask that may be broadcast. */
static size_t shared_row(const at_tensor *t, size_t b, size_t h, size_t i)
{
    return (((t->size[0] > 1 ? b : 0) * t->size[1] + (t->size[1] > 1 ? h : 0)) * t->size[2] +
            (t->size[2] > 1 ? i : 0)) *
           t->size[3];
}

/* A tile: keys first .. first + keys - 1. Its parts are runs of keys with the columns that look at them, whole strips. */
typedef struct part {
    size_t key, keys, column, columns;
} part;

typedef struct tile {
    size_t first, keys;
    bool cut;    /* some query does not look at all of it */
    bool nobody; /* mask_mod leaves nothing of it */
    bool looked; /* mask_mod leaves some of it */
    size_t parts;
    part part[(2 * STRIPS + 1) * STRIPS / 2]; /* at most: between any two bounds every other strip */
    at_span strip[STRIPS];                    /* rows of the tile that a strip looks at */
} tile;

/* Splits what is cut: between two neighbouring bounds of strips each strip is in or out. */
static void split(const job *j, tile *t)
{
    size_t strips = at_ratio(j->width, STRIP);
    for (size_t v = 0; v < strips; v++) {
        size_t lo = at_max_size(j->strip[v].lo, t->first),
               hi = at_min_size(j->strip[v].lo + j->strip[v].n, t->first + t->keys);
        t->strip[v] = hi > lo ? (at_span){lo - t->first, hi - lo} : (at_span){0, 0};
    }
    for (size_t from = 0, to; from < t->keys; from = to) {
        to = t->keys;
        for (size_t v = 0; v < strips; v++) {
            at_span s = t->strip[v];
            if (s.n > 0 && s.lo > from)
                to = at_min_size(to, s.lo);
            else if (s.lo + s.n > from)
                to = at_min_size(to, s.lo + s.n);
        }
        for (size_t v = 0; v < strips; v++) {
            at_span s = t->strip[v];
            size_t column = v * STRIP, columns = at_min_size(j->width - column, STRIP);
            part *last = t->parts > 0 ? &t->part[t->parts - 1] : NULL;
            if (from < s.lo || from >= s.lo + s.n)
                continue;
            if (last && last->key == from && last->column + last->columns == column)
                last->columns += columns;
            else
                t->part[t->parts++] = (part){from, to - from, column, columns};
        }
    }
}

/* What mask_mod says of a whole tile, from the ranges of its places. */
static void look_over(const job *j, tile *t)
{
    t->nobody = t->looked = false;
    if (!has(j, LOOK))
        return;
    at_box box = at_box_of(j->b, j->h, j->c->arg[OFFSET].integer + (int64_t)j->i0, j->rows, (int64_t)t->first, t->keys);
    at_reach seen = at_program_reach(&j->machine[LOOK - SCORE].program, &box, j->array, j->r.reach, NULL);
    t->nobody = seen.hi <= 0;
    t->looked = seen.lo <= 0;
}

static void take_tile(const job *j, size_t first, tile *t)
{
    t->first = first;
    t->keys = at_min_size(j->hi - first, KB);
    look_over(j, t);
    if (t->nobody)
        return;
    t->cut = j->c->in[SPAN] && (first < j->full_lo || first + t->keys > j->full_hi);
    t->parts = 0;
    if (t->cut) {
        split(j, t);
        return;
    }
    t->part[t->parts++] = (part){0, t->keys, 0, j->width};
    for (size_t v = 0; v < STRIPS; v++)
        t->strip[v] = (at_span){0, t->keys};
}

/* The rows that column i looks at, with its strip. */
static at_span rows_of(const tile *t, size_t i) { return t->strip[i / STRIP]; }

/* s [keys, width] = x b of a tile, x rows of the head's keys or values, b [D, QB] turned. */
static void inner_products(const job *j, const tile *t, int which, size_t D, const real *b, real *s)
{
    const at_tensor *x = j->c->in[which];
    size_t hk = j->h / (j->n.H / j->n.Hk);
    for (size_t k = 0; k < t->parts; k++) {
        const part *p = &t->part[k];
        K->product->tile_gemm(false, p->keys, p->columns, D, head_row(x, j->b, t->first + p->key, hk), head_step(x),
                              b + p->column, QB, s + p->key * QB + p->column, QB, false);
    }
}

/* y [queries, D] += s' x: what the block's queries get from the rows of a tile's keys or values. */
static void give_queries(const job *j, const tile *t, int which, size_t D, const real *s, real *y, size_t ldy)
{
    const at_tensor *x = j->c->in[which];
    size_t hk = j->h / (j->n.H / j->n.Hk);
    for (size_t k = 0; k < t->parts; k++) {
        const part *p = &t->part[k];
        if (p->column < j->rows)
            K->product->tile_gemm(
                true, at_min_size(p->columns, j->rows - p->column), D, p->keys, s + p->key * QB + p->column, QB,
                head_row(x, j->b, t->first + p->key, hk), head_step(x), y + p->column * ldy, ldy, true);
    }
}

/* y [keys, D] += s x: what a tile's keys get from the rows of the block, x [queries, D]. */
static void give_keys(const job *j, const tile *t, size_t D, const real *s, const real *x, size_t ldx, real *y,
                      size_t ldy)
{
    for (size_t k = 0; k < t->parts; k++) {
        const part *p = &t->part[k];
        if (p->column < j->rows)
            K->product->tile_gemm(
                false, p->keys, D, at_min_size(p->columns, j->rows - p->column), s + p->key * QB + p->column, QB,
                x + p->column * ldx, ldx, y + (t->first + p->key) * ldy, ldy, true);
    }
}

/* A program over the parts of a tile: its inputs and its result are tiles. LOOK takes out of its result what mask_mod leaves out. */
static void run_program(job *j, const tile *t, int program, real *const input[2], real *gate, real *to)
{
    at_machine *m = &j->machine[program - SCORE];
    at_machine_keys(m, (int64_t)t->first, t->keys);
    for (size_t k = 0; k < t->parts; k++) {
        const part *p = &t->part[k];
        size_t at = p->key * QB + p->column;
        at_place in[2] = {{input[0] ? input[0] + at : NULL, QB, 1}, {input[1] ? input[1] + at : NULL, QB, 1}};
        at_machine_pairs(
            m, &(at_pairs){.from = {p->key, p->column},
                           .rows = p->keys,
                           .columns = p->columns,
                           .input = in,
                           .gate = {gate ? gate + at : NULL, QB, 1},
                           .result = &(at_target){to + at, NULL, QB, 1},
                           .results = 1,
                           .keep = program == LOOK});
    }
}

/* Adds bias and distances and takes out what may not be seen. */
static void adjust(const job *j, const tile *t)
{
    const at_call *c = j->c;
    real *s = j->r.s;
    if (c->in[BIAS]) {
        const at_tensor *bias = c->in[BIAS];
        const real *x = at_in(c, BIAS);
        for (size_t i = 0; i < j->rows; i++) {
            const real *row = x + shared_row(bias, j->b, j->h, j->i0 + i) + t->first;
            for (size_t k = 0; k < t->keys; k++)
                s[k * QB + i] += row[k];
        }
    }
    if (c->arg[ALIBI].integer > 0) {
        size_t heads = (size_t)c->arg[ALIBI].integer;
        real slope = (real)at_alibi_slope(j->h % heads, heads);
        real first = (real)(c->arg[OFFSET].integer + (int64_t)j->i0);
        for (size_t k = 0; k < t->keys; k++) {
            real place = (real)(t->first + k);
            for (size_t i = 0; i < j->rows; i++) {
                real d = first + (real)i - place;
                s[k * QB + i] -= slope * (d < 0 ? -d : d);
            }
        }
    }
    if (t->cut) {
        for (size_t i = 0; i < j->width; i++) {
            at_span span = {0, 0};
            if (i < j->rows)
                span = at_span_of(c->in[SPAN], j->n.Tq, j->n.Tk, j->b, j->i0 + i);
            j->r.lo[i] = (real)(at_min_size(at_max_size(span.lo, t->first), t->first + t->keys) - t->first);
            j->r.hi[i] = (real)(at_min_size(at_max_size(span.lo + span.n, t->first), t->first + t->keys) - t->first);
        }
        for (size_t i = 0; i < j->width; i += j->lanes)
            K->attend->cut(rows_of(t, i).lo, rows_of(t, i).lo + rows_of(t, i).n, j->r.lo + i, j->r.hi + i, s + i, QB);
    }
    if (c->in[KEY_MASK])
        for (size_t k = 0; k < t->keys; k++)
            if (!c->in[KEY_MASK]->data[j->b * j->n.Tk + t->first + k])
                for (size_t i = 0; i < j->width; i++)
                    s[k * QB + i] = -INFINITY;
    if (c->in[MASK])
        for (size_t i = 0; i < j->rows; i++) {
            const char *row = c->in[MASK]->data + shared_row(c->in[MASK], j->b, j->h, j->i0 + i) + t->first;
            for (size_t k = 0; k < t->keys; k++)
                if (!row[k])
                    s[k * QB + i] = -INFINITY;
        }
}

/* r.q = scale q of the block, turned */
static void open_queries(const job *j)
{
    const at_tensor *q = j->c->in[Q];
    size_t D = j->n.D;
    real scale = (real)j->c->arg[SCALE].number;
    K->pack->transpose(j->rows, D, head_row(q, j->b, j->i0, j->h), head_step(q), j->r.q, QB);
    if (j->rows == QB) {
        K->map->scale(D * QB, scale, j->r.q, j->r.q);
        return;
    }
    for (size_t d = 0; d < D; d++) {
        K->map->scale(j->rows, scale, j->r.q + d * QB, j->r.q + d * QB);
        K->map->fill(j->width - j->rows, 0, j->r.q + d * QB + j->rows);
    }
}

/* r.s = scores of a tile */
static void scores(job *j, const tile *t)
{
    inner_products(j, t, KEY, j->n.D, j->r.q, has(j, SCORE) ? j->r.raw : j->r.s);
    if (has(j, SCORE))
        run_program(j, t, SCORE, (real *const[2]){j->r.raw}, NULL, j->r.s);
    adjust(j, t);
    if (t->looked)
        run_program(j, t, LOOK, (real *const[2]){NULL}, NULL, j->r.s);
}

/* r.s = weights of a tile, from its scores */
static void weights(const job *j, const tile *t)
{
    for (size_t i = 0; i < j->width; i += j->lanes)
        K->attend->weights(rows_of(t, i).n, j->r.lse + i, j->r.s + rows_of(t, i).lo * QB + i, QB);
}

/* x with dropout's mask of this tile applied, into y (may be x). */
static void drop_tile(const job *j, const tile *t, const real *x, real *y)
{
    const at_call *c = j->c;
    double p = c->arg[DROPOUT].number;
    size_t tiles = at_round_up(j->n.Tk, KB) * QB;
    size_t first = ((j->b * j->n.H + j->h) * blocks(j->n.Tq) + j->i0 / QB) * tiles + t->first * QB;
    K->random->dropout(c->random.seed, c->random.counter, first, t->keys * QB, at_random_threshold(1 - p),
                       (real)(1 / (1 - p)), x, y, false);
}

/* ---- forward ---- */

typedef struct pass {
    const at_call *c;
    sizes n;
    size_t per_slot, tasks;
    size_t slots, sums; /* of gradients of captured tensors, in each slot; 0: there are none to add up */
} pass;

static pass pass_of(const at_call *c, size_t tasks, size_t sums)
{
    sizes n = sizes_of(c);
    return (pass){c, n, room_bytes(&n), tasks, at_min_size(tasks, at_sum_slots(sums, AT_SLOTS)), sums};
}

static double *sums_of(const pass *p) { return (double *)(void *)(p->c->work + AT_SLOTS * p->per_slot); }

static room room_of(const pass *p, size_t slot) { return room_at(&p->n, p->c->work + slot * p->per_slot); }

static void write_weights(job *j)
{
    const at_call *c = j->c;
    size_t W = j->n.W;
    real *w = at_outp(c, 1) + ((j->b * j->n.H + j->h) * j->n.Tq + j->i0) * W;
    memset(w, 0, j->rows * W * sizeof(real));
    for (size_t j0 = j->lo; j0 < j->hi; j0 += KB) {
        tile t;
        take_tile(j, j0, &t);
        if (t.nobody)
            continue;
        scores(j, &t);
        weights(j, &t);
        for (size_t i = 0; i < j->rows; i++) {
            at_span span = at_span_of(c->in[SPAN], j->n.Tq, j->n.Tk, j->b, j->i0 + i);
            for (size_t k = 0; k < t.keys; k++)
                if (j0 + k >= span.lo && j0 + k < span.lo + span.n)
                    w[i * W + j0 + k - span.lo] = j->r.s[k * QB + i];
        }
    }
}

static void forward_block(job *j)
{
    const at_call *c = j->c;
    const room *r = &j->r;
    size_t Dv = j->n.Dv;
    for (size_t i = 0; i < j->width; i++) {
        r->max[i] = -INFINITY;
        r->sum[i] = 0;
    }
    memset(r->rows, 0, j->rows * Dv * sizeof(real));
    open_queries(j);
    for (size_t j0 = j->lo; j0 < j->hi; j0 += KB) {
        tile t;
        take_tile(j, j0, &t);
        if (t.nobody)
            continue;
        scores(j, &t);
        for (size_t i = 0; i < j->width; i += j->lanes)
            K->attend->softmax(rows_of(&t, i).n, r->s + rows_of(&t, i).lo * QB + i, QB, r->max + i, r->sum + i,
                               r->factor + i);
        if (c->arg[DROPOUT].number > 0)
            drop_tile(j, &t, r->s, r->s);
        for (size_t i = 0; i < j->rows && j0 > j->lo; i++)
            if (r->factor[i] != 1)
                K->map->scale(Dv, r->factor[i], r->rows + i * Dv, r->rows + i * Dv);
        give_queries(j, &t, V, Dv, r->s, r->rows, Dv);
    }
    real *y = at_outp(c, 0) + ((j->b * j->n.Tq + j->i0) * j->n.H + j->h) * Dv;
    real *saved = at_savedp(c, LSE) + (j->b * j->n.H + j->h) * j->n.Tq + j->i0;
    K->map->vlog(j->width, r->sum, r->factor);
    for (size_t i = 0; i < j->width; i++) {
        bool seen = i < j->rows && (r->sum[i] > 0 || isnan(r->sum[i]));
        r->lse[i] = seen ? r->max[i] + r->factor[i] : INFINITY;
        if (i < j->rows) {
            saved[i] = r->lse[i];
            K->map->scale(Dv, seen ? 1 / r->sum[i] : 0, r->rows + i * Dv, y + i * j->n.H * Dv);
        }
    }
    if (c->arg[WEIGHTS].flag)
        write_weights(j);
}

/* A slot takes blocks of one head after the other, so that its keys and values come from the second cache; first and last in turn, as
 * with causal order late ones are long. */
static void forward_tasks(size_t begin, size_t end, void *context)
{
    const pass *p = context;
    size_t per_head = blocks(p->n.Tq);
    at_array array[AT_MAX_CUSTOM];
    at_arrays(p->c, TENSORS, p->n.captured, array, NULL);
    for (size_t slot = begin; slot < end; slot++) {
        room r = room_of(p, slot);
        for (size_t t = p->tasks * slot / p->slots; t < p->tasks * (slot + 1) / p->slots; t++) {
            size_t head = t / per_head, k = t % per_head, block = k % 2 ? per_head - 1 - k / 2 : k / 2;
            job j = job_of(p->c, &p->n, head / p->n.H, head % p->n.H, block, r, array, false);
            forward_block(&j);
        }
    }
}

static void attend_forward(const at_call *c)
{
    sizes n = sizes_of(c);
    pass p = pass_of(c, n.B * n.H * blocks(n.Tq), 0);
    at_for(p.slots, 1, forward_tasks, &p);
}

/* ---- backward ---- */

/* Everything of a block that does not depend on the keys: lse, delta, q and dy turned. */
static void open_block(job *j)
{
    const at_call *c = j->c;
    const room *r = &j->r;
    size_t Dv = j->n.Dv, step = j->n.H * Dv, first = (j->b * j->n.H + j->h) * j->n.Tq + j->i0;
    size_t row = ((j->b * j->n.Tq + j->i0) * j->n.H + j->h) * Dv;
    const real *lse = at_savedp(c, LSE) + first;
    const real *dy = at_dout(c, 0), *dw = c->n_out > 1 ? at_dout(c, 1) : NULL;
    for (size_t i = 0; i < j->width; i++) {
        r->lse[i] = i < j->rows ? lse[i] : INFINITY;
        r->delta[i] = 0;
    }
    for (size_t i = 0; i < j->rows; i++) {
        if (dy)
            r->delta[i] = (real)K->reduce->dot(Dv, at_outp(c, 0) + row + i * step, dy + row + i * step);
        if (dw)
            r->delta[i] +=
                (real)K->reduce->dot(j->n.W, at_outp(c, 1) + (first + i) * j->n.W, dw + (first + i) * j->n.W);
    }
    if (dy) {
        K->pack->transpose(j->rows, Dv, dy + row, step, r->dy, QB);
        for (size_t d = 0; d < Dv; d++)
            K->map->fill(j->width - j->rows, 0, r->dy + d * QB + j->rows);
    }
    open_queries(j);
}

/* ds of the scores that score_mod read, from those that it gave; the gradients of what it captured on the way. */
static void back_through(job *j, const tile *t, real scale)
{
    run_program(j, t, SCORE_BACK, (real *const[2]){j->r.raw, j->r.dp}, j->r.dp, j->r.dp);
    if (scale != 1)
        K->map->scale(t->keys * QB, scale, j->r.dp, j->r.dp);
}

/* r.s = p and r.dp = `scale` ds of one tile, without score_mod where the job has no way back; adds to dv of the head on the way if it is
 * not NULL. */
static void back_tile(job *j, const tile *t, real scale, real *dv)
{
    const at_call *c = j->c;
    const room *r = &j->r;
    size_t Dv = j->n.Dv;
    bool drops = c->arg[DROPOUT].number > 0, through = has(j, SCORE) && j->back;
    const real *dy = at_dout(c, 0), *dw = c->n_out > 1 ? at_dout(c, 1) : NULL;
    scores(j, t);
    weights(j, t);
    if (dy) {
        if (dv && drops)
            drop_tile(j, t, r->s, r->dp);
        if (dv)
            give_keys(j, t, Dv, drops ? r->dp : r->s, dy + ((j->b * j->n.Tq + j->i0) * j->n.H + j->h) * Dv, j->n.H * Dv,
                      dv, j->n.Hk * Dv);
        inner_products(j, t, V, Dv, r->dy, r->dp);
        if (drops)
            drop_tile(j, t, r->dp, r->dp);
    } else {
        memset(r->dp, 0, t->keys * QB * sizeof(real));
    }
    if (dw)
        for (size_t i = 0; i < j->rows; i++) {
            at_span span = at_span_of(c->in[SPAN], j->n.Tq, j->n.Tk, j->b, j->i0 + i);
            const real *row = dw + ((j->b * j->n.H + j->h) * j->n.Tq + j->i0 + i) * j->n.W;
            for (size_t k = 0; k < t->keys; k++)
                if (t->first + k >= span.lo && t->first + k < span.lo + span.n)
                    r->dp[k * QB + i] += row[t->first + k - span.lo];
        }
    for (size_t i = 0; i < j->width; i += j->lanes) {
        size_t at = rows_of(t, i).lo * QB + i;
        K->attend->back(rows_of(t, i).n, r->s + at, r->delta + i, through ? 1 : scale, r->dp + at, QB);
    }
    if (through)
        back_through(j, t, scale);
}

/* All queries that read one key head. */
static void backward_tasks(size_t begin, size_t end, void *context)
{
    const pass *p = context;
    const at_call *c = p->c;
    const sizes *n = &p->n;
    size_t group = n->H / n->Hk;
    real *dq = at_din(c, Q), *dk = at_din(c, KEY), *dv = at_din(c, V), scale = (real)c->arg[SCALE].number;
    at_array array[AT_MAX_CUSTOM];
    for (size_t slot = begin; slot < end; slot++) {
        room r = room_of(p, slot);
        double *sums = sums_of(p) + slot * p->sums;
        memset(sums, 0, p->sums * sizeof *sums);
        at_arrays(c, TENSORS, n->captured, array, sums);
        for (size_t task = slot; task < p->tasks; task += p->slots) {
            size_t b = task / n->Hk, hk = task % n->Hk;
            real *dk_head = dk ? dk + (b * n->Tk * n->Hk + hk) * n->D : NULL;
            real *dv_head = dv ? dv + (b * n->Tk * n->Hk + hk) * n->Dv : NULL;
            for (size_t h = hk * group; h < (hk + 1) * group; h++)
                for (size_t i = 0; i < blocks(n->Tq); i++) {
                    job j = job_of(c, n, b, h, i, r, array, true);
                    if (j.lo >= j.hi)
                        continue;
                    open_block(&j);
                    for (size_t j0 = j.lo; j0 < j.hi; j0 += KB) {
                        tile t;
                        take_tile(&j, j0, &t);
                        if (t.nobody)
                            continue;
                        back_tile(&j, &t, scale, dv_head);
                        if (dk)
                            give_keys(&j, &t, n->D, r.dp, head_row(c->in[Q], b, j.i0, h), head_step(c->in[Q]), dk_head,
                                      n->Hk * n->D);
                        if (dq)
                            give_queries(&j, &t, KEY, n->D, r.dp, dq + ((b * n->Tq + j.i0) * n->H + h) * n->D,
                                         n->H * n->D);
                    }
                }
        }
    }
}

/* Gradient of the bias: a task is one row block of one part of the bias; the heads and rows that share it follow in order. */
static void bias_tasks(size_t begin, size_t end, void *context)
{
    const pass *p = context;
    const at_call *c = p->c;
    const sizes *n = &p->n;
    const at_tensor *bias = c->in[BIAS];
    real *db = at_din(c, BIAS);
    size_t per = bias->size[2] > 1 ? blocks(n->Tq) : 1;
    at_array array[AT_MAX_CUSTOM];
    at_arrays(c, TENSORS, n->captured, array, NULL);
    for (size_t slot = begin; slot < end; slot++)
        for (size_t task = slot; task < p->tasks; task += AT_SLOTS) {
            room r = room_of(p, slot);
            size_t part_of = task / per, bb = part_of / bias->size[1], hh = part_of % bias->size[1];
            for (size_t b = 0; b < n->B; b++)
                for (size_t h = 0; h < n->H; h++) {
                    if ((bias->size[0] > 1 && b != bb) || (bias->size[1] > 1 && h != hh))
                        continue;
                    size_t first = bias->size[2] > 1 ? task % per : 0,
                           last = bias->size[2] > 1 ? first + 1 : blocks(n->Tq);
                    for (size_t i = first; i < last; i++) {
                        job j = job_of(c, n, b, h, i, r, array, false);
                        if (j.lo >= j.hi)
                            continue;
                        open_block(&j);
                        for (size_t j0 = j.lo; j0 < j.hi; j0 += KB) {
                            tile t;
                            take_tile(&j, j0, &t);
                            if (t.nobody)
                                continue;
                            back_tile(&j, &t, 1, NULL);
                            for (size_t row = 0; row < j.rows; row++) {
                                real *to = db + shared_row(bias, b, h, j.i0 + row) + j0;
                                at_span s = rows_of(&t, row);
                                for (size_t k = s.lo; k < s.lo + s.n; k++)
                                    to[k] += r.dp[k * QB + row];
                            }
                        }
                    }
                }
        }
}

static void attend_backward(const at_call *c)
{
    size_t sums = at_array_sums(c, TENSORS, c->n_in - TENSORS);
    pass p = pass_of(c, c->in[KEY]->size[0] * c->in[KEY]->size[2], sums);
    bool wanted = at_din(c, Q) || at_din(c, KEY) || at_din(c, V);
    for (int k = TENSORS; k < c->n_in; k++)
        wanted = wanted || at_din(c, k);
    if (wanted) {
        at_for(p.slots, 1, backward_tasks, &p);
        at_arrays_give(c, TENSORS, p.n.captured, sums_of(&p), p.slots, sums);
    }
    if (c->in[BIAS] && at_din(c, BIAS)) {
        const at_tensor *bias = c->in[BIAS];
        p.tasks = bias->size[0] * bias->size[1] * (bias->size[2] > 1 ? blocks(p.n.Tq) : 1);
        at_for(at_min_size(p.tasks, AT_SLOTS), 1, bias_tasks, &p);
    }
}

/* Of the products, of the pairs in spans: two of them, on the way back five. */
static double flops(const at_call *c, bool back)
{
    const at_tensor *q = c->in[Q], *span = c->in[SPAN];
    double pairs = 0, D = (double)q->size[3], Dv = (double)c->in[V]->size[3];

    for (size_t r = 0; span && r < q->size[0] * q->size[1]; r++)
        pairs += (double)at_ids(span)[2 * r + 1];
    if (!span)
        pairs = (double)(q->size[0] * q->size[1] * c->in[KEY]->size[1]);
    return 2 * pairs * (double)q->size[2] * (back ? 3 * D + 2 * Dv : D + Dv);
}

AT_OP(attend,
      .args = {{"query", AT_FLOAT},
               {"key", AT_FLOAT},
               {"value", AT_FLOAT},
               {"bias", AT_FLOAT, .optional = true},
               {"mask", AT_MASK, .optional = true},
               {"key_mask", AT_MASK, .optional = true},
               {"span", AT_IDS, .optional = true},
               {"score", AT_IDS, .optional = true},
               {"look", AT_IDS, .optional = true},
               {"score_back_and_captured", AT_TENSORS, .optional = true},
               {"scale", AT_NUMBER},
               {"offset", AT_INTEGER},
               {"alibi", AT_INTEGER},
               {"dropout", AT_NUMBER},
               {"weights", AT_FLAG}},
      .shape = shape, .flops = flops, .forward = attend_forward, .backward = attend_backward, .outs = 2,
      .internal = true,
      .help = "attend(query, key, value, bias, mask, key_mask, span, score, look, {score_back, captured}, scale,"
              " offset, alibi, dropout, weights) -> y, w\n"
              "Softmax attention over products, tile by tile.");
