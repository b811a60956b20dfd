/*
 * Programs of symbols (kernel/code.h) at work: checked, given room, run over blocks of pairs, and over ranges of places. Typed, everything
 * static.
 *
 * What depends on a head, a query or a key alone is computed once for a block of them; what depends on the pair in chunks of AT_CHUNK
 * numbers. Queries may be the columns of a block and keys its rows (tiles), or the other way round (rows of scores).
 *
 * What depends on the distance alone, the query's place less x of the key, is one row of at most AT_CHUNK numbers for as many rows of a
 * tile as have their distances among them, each shifted by its x: 191 numbers for 64 queries and 128 keys where x is the key's place.
 * Gradients of what is read by it are summed along it first. Where x jumps too far, and in rows of scores, it is computed pair by pair.
 *
 * A program over ranges of places gives ranges of values: whether a mask holds nowhere or everywhere in a tile, whether indices stay within
 * captured tensors. Only what is exact has a range: integers, truths, floats that are not rounded.
 */
#ifndef AT_OP_MACHINE_H
#define AT_OP_MACHINE_H

#include <math.h>
#include <string.h>

#include "attn/core/op.h"
#include "attn/core/parallel.h"
#include "attn/kernel/expression.h"

enum { AT_BEHIND = AT_BY_PAIR + 1, AT_STAGES }; /* a last stage: behind all pairs */
enum { AT_CHUNK = 1024, AT_MOST_REGISTERS = 4096, AT_MOST_INSTRUCTIONS = 65536 };

typedef struct at_program {
    size_t registers, stored; /* stored: those of pairs that are no inputs */
    const int64_t *kind, *code;
    const int64_t *distance;     /* its instruction, NULL: none */
    const int64_t *final;        /* the register of pairs that result 0 is read from, NULL: none */
    size_t stage[AT_STAGES + 1]; /* instructions of each kind: stage[k] .. stage[k + 1] - 1 */
} at_program;

static inline bool at_is_end(int64_t code) { return code >= AT_CODE_scatter; }

static inline int at_code_arguments(int64_t code)
{
    if (code <= AT_CODE_distance)
        return code <= AT_CODE_logical_not ? 1 : 2;
    switch (code) {
    case AT_CODE_select: return 3;
    case AT_CODE_scatter:
    case AT_CODE_settle: return 2;
    case AT_CODE_gather_float:
    case AT_CODE_gather_integer:
    case AT_CODE_gather_bool:
    case AT_CODE_bound:
    case AT_CODE_collect:
    case AT_CODE_result: return 1;
    default: return 0;
    }
}

/* Whether an instruction of a stage may read a register of a kind. */
static inline bool at_may_read(const int64_t *code, int64_t stage, int argument, int64_t kind)
{
    if (code[0] == AT_CODE_distance)
        return kind == (argument == 0 ? AT_BY_QUERY : AT_BY_KEY);
    return kind == AT_UNIFORM || stage == AT_BY_PAIR || kind == (stage == AT_BEHIND ? AT_BY_DISTANCE : stage);
}

static inline int64_t at_stage_of(const int64_t *code, const int64_t *kind)
{
    return code[0] == AT_CODE_settle ? AT_BEHIND : at_is_end(code[0]) ? AT_BY_PAIR : kind[code[1]];
}

static inline at_program at_program_of(const at_tensor *t)
{
    const int64_t *x = at_ids(t);
    at_program p = {.registers = (size_t)x[0], .kind = x + 2, .code = x + 2 + x[0]};
    size_t n = (size_t)x[1];
    for (size_t r = 0; r < p.registers; r++)
        p.stored += p.kind[r] == AT_BY_PAIR;
    for (int k = 1; k <= AT_STAGES; k++)
        p.stage[k] = n;
    for (size_t i = n; i-- > 0;) {
        const int64_t *code = p.code + i * AT_CODE_WORDS;
        for (int64_t k = at_stage_of(code, p.kind); k > 0; k--)
            p.stage[k] = i;
        if (code[0] == AT_CODE_distance)
            p.distance = code;
        if (code[0] == AT_CODE_result && code[1] == 0)
            p.final = p.kind[code[2]] == AT_BY_PAIR ? &code[2] : NULL;
    }
    return p;
}

static inline bool at_program_refuse(at_call *c) { return at_fail(c, "the program is none that a function made"); }

/* Captured tensors are in[first] .. in[first + arrays - 1]. A program out of stdlib/expression.lua passes; nothing else may do harm. */
static inline bool at_program_check(at_call *c, const at_tensor *t, int first, int arrays, int inputs, int results)
{
    const int64_t *x = at_ids(t);
    size_t n = at_numel(t);
    if (t->ndim != 1 || n < 2 || x[0] < 1 || x[0] > AT_MOST_REGISTERS || x[1] < 0 || x[1] > AT_MOST_INSTRUCTIONS ||
        n != 2 + (size_t)x[0] + (size_t)x[1] * AT_CODE_WORDS)
        return at_program_refuse(c);
    const int64_t *kind = x + 2, *code = kind + x[0];
    for (int64_t r = 0; r < x[0]; r++)
        if (kind[r] < 0 || kind[r] >= AT_INPUT + inputs)
            return at_program_refuse(c);
    int64_t before = AT_UNIFORM;
    for (int64_t i = 0; i < x[1]; i++, code += AT_CODE_WORDS) {
        bool gathers = code[0] >= AT_CODE_gather_float && code[0] <= AT_CODE_gather_bool;
        if (code[0] < 0 || code[0] >= AT_CODE_COUNT || code[1] < 0)
            return at_program_refuse(c);
        bool adds = code[0] == AT_CODE_scatter || code[0] == AT_CODE_settle, takes = adds || code[0] == AT_CODE_bound;
        bool end = at_is_end(code[0]), collects = code[0] == AT_CODE_collect;
        if (code[1] >= (takes ? arrays : code[0] == AT_CODE_result ? results : x[0]))
            return at_program_refuse(c);
        int64_t now = at_stage_of(code, kind);
        if (now < before || (!end && now >= AT_INPUT) || (collects && kind[code[1]] != AT_BY_DISTANCE) ||
            (code[0] == AT_CODE_distance) != (now == AT_BY_DISTANCE && before < AT_BY_DISTANCE) ||
            ((code[0] == AT_CODE_query || code[0] == AT_CODE_key) && now != AT_BY_QUERY + (code[0] - AT_CODE_query)) ||
            (code[0] >= AT_CODE_constant_float && code[0] <= AT_CODE_constant_bool && now != AT_UNIFORM &&
             now != AT_BY_DISTANCE) ||
            ((code[0] == AT_CODE_batch || code[0] == AT_CODE_head) && now != AT_UNIFORM))
            return at_program_refuse(c);
        for (int k = 0; k < at_code_arguments(code[0]); k++)
            if (code[2 + k] < 0 || code[2 + k] >= x[0] || !at_may_read(code, now, k, kind[code[2 + k]]))
                return at_program_refuse(c);
        if (gathers && (code[3] < 0 || code[3] >= arrays))
            return at_program_refuse(c);
        if (gathers || takes) {
            const at_tensor *a = c->in[first + (gathers ? code[3] : code[1])];
            int dtype = code[0] == AT_CODE_gather_integer ? AT_I64
                        : code[0] == AT_CODE_gather_bool  ? AT_BOOL
                                                          : AT_REAL_DTYPE;
            if (code[0] != AT_CODE_bound && a->dtype != dtype)
                return at_program_refuse(c);
            if (at_numel(a) == 0)
                return at_fail(c, "a captured tensor is empty (%s)", at_describe(a).text);
        }
        before = now;
    }
    return true;
}

/* Integers of captured tensors must fit into registers. */
static inline bool at_program_integers(at_call *c, int first, int arrays)
{
    for (int k = first; AT_TYPE == 32 && k < first + arrays; k++)
        for (size_t i = 0, n = c->in[k]->dtype == AT_I64 ? at_numel(c->in[k]) : 0; i < n; i++)
            if (at_ids(c->in[k])[i] != (int32_t)at_ids(c->in[k])[i])
                return at_fail(c, "a captured tensor holds %lld, expected integers of 32 bits beside float32 (%s)",
                               (long long)at_ids(c->in[k])[i], at_describe(c->in[k]).text);
    return true;
}

/* Whether a program reads a place. */
static inline bool at_program_reads(const at_program *p, int64_t place)
{
    for (size_t i = 0; i < p->stage[AT_STAGES]; i++)
        if (p->code[i * AT_CODE_WORDS] == place)
            return true;
    return false;
}

/* ---- over blocks ---- */

/* A truth: all bits of a word, or none. */
static inline bool at_is_true(const real *x)
{
    char bits[sizeof *x];
    memcpy(bits, x, sizeof bits);
    return bits[0] != 0;
}

#if AT_TYPE == 32
typedef int32_t at_word;
#else
typedef int64_t at_word;
#endif

static inline int64_t at_integer(const real *x)
{
    at_word w;
    memcpy(&w, x, sizeof w);
    return w;
}

/* first, first + 1, ...: wraps around */
static inline void at_count_from(int64_t first, size_t n, real *x)
{
    for (size_t i = 0; i < n; i++) {
        at_word w = (at_word)((uint64_t)first + i);
        memcpy(x + i, &w, sizeof w);
    }
}

typedef struct at_machine {
    at_program program;
    real **store;  /* of each register */
    size_t *shift; /* of each row of a tile: where its distances begin */
    at_place *reg;
    at_block block;
} at_machine;

static inline size_t at_room64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

static inline size_t at_register_words(int64_t kind, size_t queries, size_t keys)
{
    return kind == AT_UNIFORM    ? 1
           : kind == AT_BY_QUERY ? queries
           : kind == AT_BY_KEY   ? keys
           : kind < AT_INPUT     ? AT_CHUNK
                                 : 0;
}

/* Bytes that a machine needs for blocks of at most so many queries and keys. */
static inline size_t at_machine_bytes(const at_program *p, size_t queries, size_t keys)
{
    size_t bytes = at_room64(p->registers * (sizeof(real *) + sizeof(at_place))) + at_room64(keys * sizeof(size_t));
    for (size_t r = 0; r < p->registers; r++)
        bytes += at_room64(at_register_words(p->kind[r], queries, keys) * sizeof(real));
    return bytes;
}

static inline at_machine at_machine_at(const at_program *p, char *room, size_t queries, size_t keys, at_array *array)
{
    at_machine m = {.program = *p, .block.array = array};
    m.reg = (at_place *)(void *)room;
    m.store = (real **)(void *)(m.reg + p->registers);
    room += at_room64(p->registers * (sizeof(real *) + sizeof(at_place)));
    m.shift = (size_t *)(void *)room;
    room += at_room64(keys * sizeof(size_t));
    for (size_t r = 0; r < p->registers; r++) {
        m.store[r] = (real *)(void *)room;
        room += at_room64(at_register_words(p->kind[r], queries, keys) * sizeof(real));
    }
    return m;
}

static inline void at_machine_run(at_machine *m, size_t from, size_t to, size_t rows, size_t columns)
{
    m->block.rows = rows;
    m->block.columns = columns;
    m->block.reg = m->reg;
    K->expression->run(m->program.code + from * AT_CODE_WORDS, to - from, &m->block);
}

/* What depends on `kind` alone, for n places; `stage`: its instructions, or those behind all pairs. */
static inline void at_machine_stage(at_machine *m, int stage, int kind, size_t n)
{
    const at_program *p = &m->program;
    size_t from = p->stage[stage] + (stage == AT_BY_DISTANCE); /* its first are the distances themselves */
    if (from >= p->stage[stage + 1])
        return;
    for (size_t r = 0; r < p->registers; r++)
        m->reg[r] = (at_place){m->store[r], 0, p->kind[r] == kind && kind != AT_UNIFORM};
    m->block.gate.p = NULL;
    at_machine_run(m, from, p->stage[stage + 1], 1, n);
}

/* The batch and head of what follows, counted from 0; then blocks of queries and of keys, the first counted from 0. */
static inline void at_machine_head(at_machine *m, size_t b, size_t h)
{
    m->block.place[0] = (int64_t)b + 1;
    m->block.place[1] = (int64_t)h + 1;
    at_machine_stage(m, AT_UNIFORM, AT_UNIFORM, 1);
}

static inline void at_machine_queries(at_machine *m, int64_t first, size_t n)
{
    m->block.place[2] = first + 1;
    at_machine_stage(m, AT_BY_QUERY, AT_BY_QUERY, n);
}

static inline void at_machine_keys(at_machine *m, int64_t first, size_t n)
{
    m->block.place[3] = first + 1;
    at_machine_stage(m, AT_BY_KEY, AT_BY_KEY, n);
}

/* A block of pairs: rows and columns are places from[0] .. and from[1] .. of the blocks of keys and queries (with `turned` of queries and
 * keys). Inputs, results and gate stand for its first pair. Results that are written, and go through no gate, share no memory with
 * inputs: what they are made of passes through them. */
typedef struct at_pairs {
    bool turned;
    size_t from[2], rows, columns;
    const at_place *input;
    at_place gate;
    const at_target *result;
    int results;
    bool add, keep; /* at_target */
} at_pairs;

static inline at_place at_place_on(at_place p, size_t r, size_t c)
{
    return (at_place){p.p ? p.p + r * p.row + c * p.column : NULL, p.row, p.column};
}

static inline void at_machine_chunk(at_machine *m, const at_pairs *x, size_t r0, size_t rows, size_t c0, size_t columns,
                                    bool shifted)
{
    enum { MOST = AT_MAX_CUSTOM };
    const at_program *p = &m->program;
    at_target result[MOST];
    int64_t row = x->turned ? AT_BY_QUERY : AT_BY_KEY;
    for (size_t r = 0; r < p->registers; r++) {
        int64_t kind = p->kind[r];
        if (kind == AT_BY_DISTANCE && shifted)
            m->reg[r] = (at_place){m->store[r], AT_SHIFTED, 1};
        else if (kind == AT_BY_DISTANCE || kind == AT_BY_PAIR)
            m->reg[r] = (at_place){m->store[r], columns, 1};
        else if (kind == AT_UNIFORM)
            m->reg[r] = (at_place){m->store[r], 0, 0};
        else if (kind == row)
            m->reg[r] = (at_place){m->store[r] + x->from[0] + r0, 1, 0};
        else if (kind < AT_BY_PAIR)
            m->reg[r] = (at_place){m->store[r] + x->from[1] + c0, 0, 1};
        else
            m->reg[r] = at_place_on(x->input[kind - AT_INPUT], r0, c0);
    }
    for (int k = 0; k < x->results; k++) {
        at_target t = x->result[k];
        size_t at = r0 * t.row + c0 * t.column;
        result[k] = (at_target){t.p ? t.p + at : NULL, t.sum ? t.sum + at : NULL, t.row, t.column};
    }
    if (p->final && x->results > 0 && result[0].p && result[0].column == 1 && !x->add && !x->keep && !x->gate.p)
        m->reg[*p->final] = (at_place){result[0].p, result[0].row, 1};
    m->block.shift = m->shift + r0;
    m->block.result = result;
    m->block.add = x->add;
    m->block.keep = x->keep;
    m->block.gate = at_place_on(x->gate, r0, c0);
    at_machine_run(m, p->stage[shifted ? AT_BY_PAIR : AT_BY_DISTANCE], p->stage[shifted ? AT_BEHIND : AT_STAGES], rows,
                   columns);
}

/* Rows from r0 on whose distances are few beside their pairs: computes them, and shifts. 0: not worth it. */
static inline size_t at_machine_distances(at_machine *m, const at_pairs *x, size_t r0, size_t *count)
{
    enum { FEWER = 4, LEAST = 8 };
    const at_program *p = &m->program;
    if (!p->distance || x->turned || x->columns > AT_CHUNK)
        return 0;
    const real *base = m->store[p->distance[3]] + x->from[0] + r0;
    int64_t lo = INT64_MAX, hi = INT64_MIN;
    size_t n = 0;
    for (; r0 + n < x->rows; n++) {
        int64_t b = at_integer(base + n), least = b < lo ? b : lo, most = b > hi ? b : hi;
        size_t room = at_min_size(AT_CHUNK, at_max_size(2 * x->columns, (n + 1) * x->columns / FEWER));
        if ((uint64_t)most - (uint64_t)least + x->columns > room)
            break;
        lo = least, hi = most;
    }
    if (n < LEAST && r0 + n < x->rows)
        return 0;
    for (size_t r = 0; r < n; r++)
        m->shift[r0 + r] = (size_t)(hi - at_integer(base + r));
    *count = (size_t)(hi - lo) + x->columns;
    int64_t first = (int64_t)((uint64_t)at_integer(m->store[p->distance[2]] + x->from[1]) - (uint64_t)hi);
    at_count_from(first, *count, m->store[p->distance[1]]);
    at_machine_stage(m, AT_BY_DISTANCE, AT_BY_DISTANCE, *count);
    return n;
}

static inline void at_machine_pairs(at_machine *m, const at_pairs *x)
{
    size_t wide = x->columns < AT_CHUNK ? x->columns : AT_CHUNK, high = wide ? AT_CHUNK / wide : 1;
    for (size_t r = 0, rows; r < x->rows; r += rows) {
        size_t count, shifted = at_machine_distances(m, x, r, &count);
        rows = shifted ? shifted : at_min_size(high, x->rows - r);
        for (size_t s = r; s < r + rows; s += high)
            for (size_t c = 0; c < x->columns; c += wide)
                at_machine_chunk(m, x, s, at_min_size(high, r + rows - s), c, at_min_size(wide, x->columns - c),
                                 shifted);
        if (shifted)
            at_machine_stage(m, AT_BEHIND, AT_BY_DISTANCE, count);
    }
}

/* ---- captured tensors ---- */

/* Fills array[] from in[first] ...; the gradient of tensor k is to be summed behind `sums`, which may be NULL. */
static inline void at_arrays(const at_call *c, int first, int count, at_array *array, double *sums)
{
    for (int k = 0; k < count; k++) {
        const at_tensor *t = c->in[first + k];
        array[k] = (at_array){t->data, at_numel(t), NULL};
        if (sums && t->grad && at_is_float(t)) {
            array[k].sum = sums;
            sums += array[k].n;
        }
    }
}

/* Numbers of all gradients of captured tensors. */
static inline size_t at_array_sums(const at_call *c, int first, int count)
{
    size_t n = 0;
    for (int k = first; k < first + count; k++)
        if (at_is_float(c->in[k]))
            n += at_numel(c->in[k]);
    return n;
}

/* Slots that sum apart, of at most `most`: as few as keep their sums within a bound. By the sizes only. */
static inline size_t at_sum_slots(size_t sums, size_t most)
{
    enum { MOST_SUMS = 1 << 22 };
    size_t slots = sums ? MOST_SUMS / sums : most;
    return slots < 1 ? 1 : slots < most ? slots : most;
}

/* Gradients from the sums of the slots, in their order. */
static inline void at_arrays_give(const at_call *c, int first, int count, const double *sums, size_t slots,
                                  size_t per_slot)
{
    for (int k = first; k < first + count; k++) {
        real *d = at_is_float(c->in[k]) ? at_din(c, k) : NULL;
        for (size_t i = 0, n = d ? at_numel(c->in[k]) : 0; i < n; i++) {
            double sum = 0;
            for (size_t s = 0; s < slots; s++)
                sum += sums[s * per_slot + i];
            d[i] += (real)sum;
        }
        sums += d ? at_numel(c->in[k]) : 0;
    }
}

/* ---- over ranges ---- */

/* Values from lo to hi; truths are 0 and 1. Unknown: all numbers, and NaN. */
typedef struct at_reach {
    double lo, hi;
} at_reach;

#define AT_UNKNOWN ((at_reach){-INFINITY, INFINITY})

static inline bool at_known(at_reach a) { return a.lo > -INFINITY || a.hi < INFINITY; }

static inline at_reach at_whole_reach(double lo, double hi)
{
    double most =
        AT_TYPE == 32 ? 2147483647.0 : 9007199254740992.0; /* beyond, integers wrap around, or double rounds */
    return lo >= -most && hi <= most ? (at_reach){lo, hi} : AT_UNKNOWN;
}

static inline at_reach at_corners(double a, double b, double c, double d)
{
    return at_whole_reach(fmin(fmin(a, b), fmin(c, d)), fmax(fmax(a, b), fmax(c, d)));
}

static inline at_reach at_truth_reach(bool always, bool never) { return (at_reach){always, !never}; }

static inline at_reach at_gather_reach(int64_t code, at_reach i, const at_array *t)
{
    enum { FAR = 4096 };
    double lo = fmax(i.lo, 0), hi = fmin(i.hi, (double)t->n - 1);
    if (!(hi - lo < FAR) || !at_known(i))
        return code == AT_CODE_gather_bool ? (at_reach){0, 1} : AT_UNKNOWN;
    at_reach r = {INFINITY, -INFINITY};
    lo = fmin(lo, (double)t->n - 1), hi = fmax(hi, 0);
    for (size_t k = (size_t)lo; k <= (size_t)hi; k++) {
        double x = code == AT_CODE_gather_float     ? (double)((const real *)t->data)[k]
                   : code == AT_CODE_gather_integer ? (double)((const int64_t *)t->data)[k]
                                                    : ((const uint8_t *)t->data)[k] != 0;
        if (isnan(x))
            return AT_UNKNOWN;
        r = (at_reach){fmin(r.lo, x), fmax(r.hi, x)};
    }
    return r;
}

static inline at_reach at_reach_of(const int64_t *code, const at_reach *reg, const at_array *array)
{
    int n = at_code_arguments(code[0]);
    at_reach a = n > 0 ? reg[code[2]] : AT_UNKNOWN, b = n > 1 ? reg[code[3]] : AT_UNKNOWN;
    double number;
    switch (code[0]) {
    case AT_CODE_constant_float:
        memcpy(&number, &code[2], sizeof number);
        return isnan(number) ? AT_UNKNOWN : (at_reach){(double)(real)number, (double)(real)number};
    case AT_CODE_constant_integer:
    case AT_CODE_constant_bool: return (at_reach){(double)code[2], (double)code[2]};
    case AT_CODE_gather_float:
    case AT_CODE_gather_integer:
    case AT_CODE_gather_bool: return at_gather_reach(code[0], a, &array[code[3]]);
    case AT_CODE_logical_not: return (at_reach){1 - a.hi, 1 - a.lo};
    case AT_CODE_logical_and: return (at_reach){fmin(a.lo, b.lo), fmin(a.hi, b.hi)};
    case AT_CODE_logical_or: return (at_reach){fmax(a.lo, b.lo), fmax(a.hi, b.hi)};
    case AT_CODE_logical_xor:
        return a.lo == a.hi && b.lo == b.hi ? at_truth_reach(a.lo != b.lo, a.lo == b.lo) : (at_reach){0, 1};
    case AT_CODE_lt:
    case AT_CODE_int_lt: return at_truth_reach(a.hi < b.lo, a.lo >= b.hi);
    case AT_CODE_le:
    case AT_CODE_int_le: return at_truth_reach(a.hi <= b.lo && at_known(a) && at_known(b), a.lo > b.hi);
    case AT_CODE_eq:
    case AT_CODE_int_eq:
        return at_truth_reach(a.lo == a.hi && b.lo == b.hi && a.lo == b.lo, a.hi < b.lo || b.hi < a.lo);
    case AT_CODE_select:
        a = reg[code[3]], b = reg[code[4]];
        if (reg[code[2]].lo == 1)
            return a;
        return reg[code[2]].hi == 0 ? b : (at_reach){fmin(a.lo, b.lo), fmax(a.hi, b.hi)};
    default: break;
    }
    if (n == 0 || !at_known(a) || (n > 1 && !at_known(b)))
        return AT_UNKNOWN;
    switch (code[0]) {
    case AT_CODE_to_float: return (at_reach){(double)(real)a.lo, (double)(real)a.hi};
    case AT_CODE_neg:
    case AT_CODE_int_neg: return (at_reach){-a.hi, -a.lo};
    case AT_CODE_abs:
    case AT_CODE_int_abs: return (at_reach){a.lo > 0 ? a.lo : a.hi < 0 ? -a.hi : 0, fmax(fabs(a.lo), fabs(a.hi))};
    case AT_CODE_sign:
    case AT_CODE_int_sign: return (at_reach){(a.lo > 0) - (a.lo < 0), (a.hi > 0) - (a.hi < 0)};
    case AT_CODE_relu: return (at_reach){fmax(a.lo, 0), fmax(a.hi, 0)};
    case AT_CODE_floor: return (at_reach){floor(a.lo), floor(a.hi)};
    case AT_CODE_ceil: return (at_reach){ceil(a.lo), ceil(a.hi)};
    case AT_CODE_round: return (at_reach){rint(a.lo), rint(a.hi)};
    case AT_CODE_minimum:
    case AT_CODE_int_minimum: return (at_reach){fmin(a.lo, b.lo), fmin(a.hi, b.hi)};
    case AT_CODE_maximum:
    case AT_CODE_int_maximum: return (at_reach){fmax(a.lo, b.lo), fmax(a.hi, b.hi)};
    case AT_CODE_int_add: return at_whole_reach(a.lo + b.lo, a.hi + b.hi);
    case AT_CODE_distance:
    case AT_CODE_int_sub: return at_whole_reach(a.lo - b.hi, a.hi - b.lo);
    case AT_CODE_int_mul: return at_corners(a.lo * b.lo, a.lo * b.hi, a.hi * b.lo, a.hi * b.hi);
    case AT_CODE_int_idiv:
        if (b.lo <= 0 && b.hi >= 0)
            return AT_UNKNOWN;
        return at_corners(floor(a.lo / b.lo), floor(a.lo / b.hi), floor(a.hi / b.lo), floor(a.hi / b.hi));
    case AT_CODE_int_mod:
        if (b.lo <= 0)
            return AT_UNKNOWN;
        if (b.lo == b.hi && floor(a.lo / b.lo) == floor(a.hi / b.lo))
            return (at_reach){a.lo - b.lo * floor(a.lo / b.lo), a.hi - b.lo * floor(a.hi / b.lo)};
        return (at_reach){0, b.hi - 1};
    default: return AT_UNKNOWN;
    }
}

/* Ranges of the places batch, head, query and key, from 1. */
typedef struct at_box {
    at_reach place[4];
} at_box;

/* The range of result 0. inside: set to whether every index is within its tensor; may be NULL. reg: room for the registers. */
static inline at_reach
at_program_reach(const at_program *p, const at_box *box, const at_array *array, at_reach *reg, bool *inside)
{
    at_reach y = AT_UNKNOWN;
    if (inside)
        *inside = true;
    for (size_t r = 0; r < p->registers; r++)
        reg[r] = AT_UNKNOWN;
    for (size_t i = 0; i < p->stage[AT_STAGES]; i++) {
        const int64_t *code = p->code + i * AT_CODE_WORDS;
        if (code[0] == AT_CODE_result)
            y = reg[code[2]];
        else if (code[0] == AT_CODE_bound && inside)
            *inside = *inside && reg[code[2]].lo >= 1 && reg[code[2]].hi <= (double)code[3];
        else if (code[0] >= AT_CODE_batch && code[0] <= AT_CODE_key)
            reg[code[1]] = box->place[code[0] - AT_CODE_batch];
        else if (!at_is_end(code[0]))
            reg[code[1]] = at_reach_of(code, reg, array);
    }
    return y;
}

#endif
