/*
 * Functions of pairs inside attention: what the composed operations and the tiles share. Typed, everything static.
 *
 * An index of a captured tensor must lie within it for every pair that is seen: within the span, in no mask left out. Where ranges of
 * places do not show it, the pairs are walked.
 */
#ifndef AT_OP_MODIFY_H
#define AT_OP_MODIFY_H

#include "attn/core/alloc.h"
#include "attn/op/attend.h"
#include "attn/op/machine.h"

/* The pairs of a call. Masks as op/attend.c has them; look: a program that says which pairs are seen besides, NULL: none. */
typedef struct at_sight {
    const char *name; /* of the function, for messages */
    size_t B, H, Tq, Tk;
    int64_t offset;
    const at_tensor *span, *mask, *key_mask, *look;
} at_sight;

static inline at_box at_box_of(size_t b, size_t h, int64_t query, size_t queries, int64_t key, size_t keys)
{
    double B = (double)b + 1, H = (double)h + 1, q = (double)query + 1, k = (double)key + 1;
    return (at_box){{{B, B}, {H, H}, {q, q + (double)queries - 1}, {k, k + (double)keys - 1}}};
}

/* Whether masks and span leave a pair in. */
static inline bool at_left_in(const at_sight *s, size_t b, size_t h, size_t i, size_t j)
{
    at_span span = at_span_of(s->span, s->Tq, s->Tk, b, i);
    if (j < span.lo || j >= span.lo + span.n)
        return false;
    const at_tensor *m = s->mask, *k = s->key_mask;
    if (k && !k->data[(ptrdiff_t)b * k->step[0] + (ptrdiff_t)j * k->step[1]])
        return false;
    return !m ||
           m->data[(m->size[0] > 1 ? (ptrdiff_t)b * m->step[0] : 0) + (m->size[1] > 1 ? (ptrdiff_t)h * m->step[1] : 0) +
                   (m->size[2] > 1 ? (ptrdiff_t)i * m->step[2] : 0) + (ptrdiff_t)j * m->step[3]];
}

enum { AT_WALK_QUERIES = 64, AT_WALK_KEYS = 128 };

typedef struct at_walking {
    at_machine m, look;
    at_reach *reach;
    real *seen;
} at_walking;

static inline void at_walk_tile(at_walking *w, const at_sight *s, const at_array *array, size_t b, size_t h, size_t i0,
                                size_t j0)
{
    size_t rows = at_min_size(AT_WALK_QUERIES, s->Tq - i0), columns = at_min_size(AT_WALK_KEYS, s->Tk - j0);
    at_box box = at_box_of(b, h, s->offset + (int64_t)i0, rows, (int64_t)j0, columns);
    bool inside;
    at_program_reach(&w->m.program, &box, array, w->reach, &inside);
    if (inside)
        return;
    at_place seen = {w->seen, AT_WALK_KEYS, 1};
    if (s->look) {
        at_machine_queries(&w->look, s->offset + (int64_t)i0, rows);
        at_machine_keys(&w->look, (int64_t)j0, columns);
        at_target to = {seen.p, NULL, seen.row, seen.column};
        at_machine_pairs(&w->look,
                         &(at_pairs){.turned = true, .rows = rows, .columns = columns, .result = &to, .results = 1});
    }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++) {
            real *x = w->seen + i * AT_WALK_KEYS + j;
            *x = at_left_in(s, b, h, i0 + i, j0 + j) && (!s->look || at_is_true(x));
        }
    at_target nowhere[2] = {{0}};
    at_machine_queries(&w->m, s->offset + (int64_t)i0, rows);
    at_machine_keys(&w->m, (int64_t)j0, columns);
    at_machine_pairs(&w->m, &(at_pairs){.turned = true,
                                        .rows = rows,
                                        .columns = columns,
                                        .input = &seen, /* the indices do not depend on the score */
                                        .gate = seen,
                                        .result = nowhere,
                                        .results = 1});
}

/* False, with a message, if an index is out of range. */
static inline bool at_places_check(at_call *c, const at_tensor *program, int first, int count, const at_sight *s)
{
    at_program p = at_program_of(program), look = s->look ? at_program_of(s->look) : p;
    if (!at_program_reads(&p, AT_CODE_bound) || s->B * s->H * s->Tq * s->Tk == 0)
        return true;
    at_array array[AT_MAX_CUSTOM];
    at_stray stray = {.found = false};
    at_arrays(c, first, count, array, NULL);
    size_t bytes[] = {at_machine_bytes(&p, AT_WALK_QUERIES, AT_WALK_KEYS),
                      at_machine_bytes(&look, AT_WALK_QUERIES, AT_WALK_KEYS),
                      AT_WALK_QUERIES * AT_WALK_KEYS * sizeof(real), at_room64(p.registers * sizeof(at_reach))};
    size_t all = bytes[0] + bytes[1] + bytes[2] + bytes[3];
    char *room = at_alloc(all);
    if (!room)
        return at_error_memory(c->error, "attention", all);
    at_walking w = {.m = at_machine_at(&p, room, AT_WALK_QUERIES, AT_WALK_KEYS, array),
                    .look = at_machine_at(&look, room + bytes[0], AT_WALK_QUERIES, AT_WALK_KEYS, array),
                    .seen = (real *)(void *)(room + bytes[0] + bytes[1]),
                    .reach = (at_reach *)(void *)(room + bytes[0] + bytes[1] + bytes[2])};
    bool inside;
    at_box box = at_box_of(0, 0, s->offset, s->Tq, 0, s->Tk);
    box.place[0].hi = (double)s->B;
    box.place[1].hi = (double)s->H;
    at_program_reach(&p, &box, array, w.reach, &inside);
    w.m.block.stray = &stray;
    for (size_t b = 0; b < s->B && !inside && !stray.found; b++)
        for (size_t h = 0; h < s->H && !stray.found; h++) {
            at_machine_head(&w.m, b, h);
            at_machine_head(&w.look, b, h);
            for (size_t i = 0; i < s->Tq && !stray.found && !at_cut_short(); i += AT_WALK_QUERIES)
                for (size_t j = 0; j < s->Tk && !stray.found; j += AT_WALK_KEYS)
                    at_walk_tile(&w, s, array, b, h, i, j);
        }
    at_free(room, all);
    if (!stray.found)
        return at_uninterrupted(c->error);
    return at_error_set(
        c->error, "attention: %s: place %lld of dimension %lld of a captured tensor, expected 1 to %lld (%s)", s->name,
        (long long)stray.place, (long long)stray.dim, (long long)stray.size,
        at_describe(c->in[first + stray.array]).text);
}

#endif
