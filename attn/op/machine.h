/*
 * Programs of symbols (kernel/code.h) at work: checked, given room, run over blocks of pairs, and over ranges of places. Typed, everything
 * static.
 *
 * What depends on a head, a query or a key alone is computed once for a block of them; what depends on the pair in chunks of AT_CHUNK
 * numbers. Queries may be the columns of a block and keys its rows (tiles), or the other way round (rows of scores).
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

enum { AT_CHUNK = 512, AT_MOST_REGISTERS = 4096, AT_MOST_INSTRUCTIONS = 65536 };

typedef struct at_program {
    size_t registers, stored; /* stored: those of pairs that are no inputs */
    const int64_t *kind, *code;
    size_t stage[5]; /* instructions of each kind: stage[k] .. stage[k + 1] - 1 */
} at_program;

static inline bool at_is_end(int64_t code) { return code >= AT_CODE_scatter; }

static inline int at_code_arguments(int64_t code)
{
    if (code <= AT_CODE_logical_xor)
        return code <= AT_CODE_logical_not ? 1 : 2;
    switch (code) {
    case AT_CODE_select: return 3;
    case AT_CODE_scatter: return 2;
    case AT_CODE_gather_float:
    case AT_CODE_gather_integer:
    case AT_CODE_gather_bool:
    case AT_CODE_bound:
    case AT_CODE_result: return 1;
    default: return 0;
    }
}

static inline int64_t at_depends(int64_t kind) { return kind < AT_BY_PAIR ? kind : AT_BY_PAIR; }

static inline at_program at_program_of(const at_tensor *t)
{
    const int64_t *x = at_ids(t);
    at_program p = {.registers = (size_t)x[0], .kind = x + 2, .code = x + 2 + x[0]};
    size_t n = (size_t)x[1];
    for (size_t r = 0; r < p.registers; r++)
        p.stored += p.kind[r] == AT_BY_PAIR;
    for (int k = 1; k <= 4; k++)
        p.stage[k] = n;
    for (size_t i = n; i-- > 0;) {
        const int64_t *code = p.code + i * AT_CODE_WORDS;
        for (int64_t k = at_is_end(code[0]) ? AT_BY_PAIR : p.kind[code[1]]; k > 0; k--)
            p.stage[k] = i;
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
        bool end = at_is_end(code[0]), takes = code[0] == AT_CODE_scatter || code[0] == AT_CODE_bound;
        int64_t now = end ? AT_BY_PAIR : code[1] < x[0] ? kind[code[1]] : AT_INPUT;
        if (now < before || now >= AT_INPUT || (end && code[1] >= (takes ? arrays : results)) ||
            ((code[0] == AT_CODE_query || code[0] == AT_CODE_key) && now != AT_BY_QUERY + (code[0] - AT_CODE_query)) ||
            (code[0] >= AT_CODE_constant_float && code[0] <= AT_CODE_constant_bool && now != AT_UNIFORM) ||
            ((code[0] == AT_CODE_batch || code[0] == AT_CODE_head) && now != AT_UNIFORM))
            return at_program_refuse(c);
        for (int k = 0; k < at_code_arguments(code[0]); k++)
            if (code[2 + k] < 0 || code[2 + k] >= x[0] || (at_depends(kind[code[2 + k]]) & ~now))
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
    for (size_t i = 0; i < p->stage[4]; i++)
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

typedef struct at_machine {
    at_program program;
    real **store; /* of each register */
    at_place *reg;
    at_block block;
} at_machine;

static inline size_t at_room64(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

static inline size_t at_register_words(int64_t kind, size_t queries, size_t keys)
{
    return kind == AT_UNIFORM    ? 1
           : kind == AT_BY_QUERY ? queries
           : kind == AT_BY_KEY   ? keys
           : kind == AT_BY_PAIR  ? AT_CHUNK
                                 : 0;
}

/* Bytes that a machine needs for blocks of at most so many queries and keys. */
static inline size_t at_machine_bytes(const at_program *p, size_t queries, size_t keys)
{
    size_t bytes = at_room64(p->registers * (sizeof(real *) + sizeof(at_place)));
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
    for (size_t r = 0; r < p->registers; r++) {
        m.store[r] = (real *)(void *)room;
        room += at_room64(at_register_words(p->kind[r], queries, keys) * sizeof(real));
    }
    return m;
}

/* What depends on `kind` alone, for n places. */
static inline void at_machine_stage(at_machine *m, int kind, size_t n)
{
    const at_program *p = &m->program;
    if (p->stage[kind] == p->stage[kind + 1])
        return;
    for (size_t r = 0; r < p->registers; r++)
        m->reg[r] = (at_place){m->store[r], 0, p->kind[r] == kind && kind != AT_UNIFORM};
    m->block.rows = 1;
    m->block.columns = n;
    m->block.reg = m->reg;
    K->expression->run(p->code + p->stage[kind] * AT_CODE_WORDS, p->stage[kind + 1] - p->stage[kind], &m->block);
}

/* The batch and head of what follows, counted from 0; then blocks of queries and of keys, the first counted from 0. */
static inline void at_machine_head(at_machine *m, size_t b, size_t h)
{
    m->block.place[0] = (int64_t)b + 1;
    m->block.place[1] = (int64_t)h + 1;
    at_machine_stage(m, AT_UNIFORM, 1);
}

static inline void at_machine_queries(at_machine *m, int64_t first, size_t n)
{
    m->block.place[2] = first + 1;
    at_machine_stage(m, AT_BY_QUERY, n);
}

static inline void at_machine_keys(at_machine *m, int64_t first, size_t n)
{
    m->block.place[3] = first + 1;
    at_machine_stage(m, AT_BY_KEY, n);
}

/* A block of pairs: rows and columns are places from[0] .. and from[1] .. of the blocks of keys and queries (with `turned` of queries and
 * keys). Inputs, results and gate stand for its first pair. */
typedef struct at_pairs {
    bool turned;
    size_t from[2], rows, columns;
    const at_place *input;
    at_place gate;
    const at_target *result;
    int results;
    bool add;
} at_pairs;

static inline at_place at_place_on(at_place p, size_t r, size_t c)
{
    return (at_place){p.p ? p.p + r * p.row + c * p.column : NULL, p.row, p.column};
}

static inline void at_machine_chunk(at_machine *m, const at_pairs *x, size_t r0, size_t rows, size_t c0, size_t columns)
{
    enum { MOST = AT_MAX_CUSTOM };
    const at_program *p = &m->program;
    at_target result[MOST];
    int64_t row = x->turned ? AT_BY_QUERY : AT_BY_KEY;
    for (size_t r = 0; r < p->registers; r++) {
        int64_t kind = p->kind[r];
        if (kind == AT_BY_PAIR)
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
    m->block.rows = rows;
    m->block.columns = columns;
    m->block.reg = m->reg;
    m->block.result = result;
    m->block.add = x->add;
    m->block.gate = at_place_on(x->gate, r0, c0);
    K->expression->run(p->code + p->stage[3] * AT_CODE_WORDS, p->stage[4] - p->stage[3], &m->block);
}

static inline void at_machine_pairs(at_machine *m, const at_pairs *x)
{
    size_t wide = x->columns < AT_CHUNK ? x->columns : AT_CHUNK, high = wide ? AT_CHUNK / wide : 1;
    for (size_t r = 0; r < x->rows; r += high)
        for (size_t c = 0; c < x->columns; c += wide)
            at_machine_chunk(m, x, r, x->rows - r < high ? x->rows - r : high, c,
                             x->columns - c < wide ? x->columns - c : wide);
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
    for (size_t i = 0; i < p->stage[4]; i++) {
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
