/*
 * Units of work that need a room of memory each, over the pool. Typed, everything static.
 *
 * Scratch is asked for in shape, for as many threads as there are then; a thread uses the room of its number. Should there be more
 * threads when the work is done, the units are cut into as many blocks as there are rooms.
 */
#ifndef AT_OP_ROOMS_H
#define AT_OP_ROOMS_H

#include "attn/core/parallel.h"
#include "attn/op/rows.h"

typedef struct at_rooms {
    size_t size, count; /* numbers in each */
    real *first;
} at_rooms;

/* `count` elements of `size` bytes from the scratch, of which *bytes are taken; NULL without scratch, which says how much it takes. */
static inline void *at_take(char *work, size_t *bytes, size_t count, size_t size)
{
    char *at = work ? work + *bytes : NULL;

    *bytes += at_round64(count * size);
    return at;
}

/* Rooms of at least `size` numbers in what is left of the scratch. Returns the bytes of everything. */
static inline size_t at_take_rooms(at_rooms *r, size_t size, char *work, size_t used, size_t bytes)
{
    size_t each = at_max_size(at_round64(size * sizeof(real)), 64);

    r->size = each / sizeof(real);
    r->first = (real *)(void *)(work ? work + used : NULL);
    r->count = work ? (bytes - used) / each : (size_t)at_threads();
    return used + r->count * each;
}

typedef void at_unit(const void *context, size_t unit, real *room);

typedef struct at_turn {
    at_unit *fn;
    const void *context;
    const at_rooms *rooms;
    size_t units, each; /* 0: the room of the thread that is at work */
} at_turn;

static inline void at_turns(size_t begin, size_t end, void *context)
{
    const at_turn *t = context;
    size_t which = t->each ? begin : (size_t)at_worker(), from = t->each ? begin * t->each : begin;
    size_t to = t->each ? at_min_size(end * t->each, t->units) : end;

    for (size_t unit = from; unit < to && !at_cut_short(); unit++)
        t->fn(t->context, unit, t->rooms->first + which * t->rooms->size);
}

static inline void at_take_turns(const at_rooms *rooms, size_t units, at_unit *fn, const void *context)
{
    at_turn t = {fn, context, rooms, units, 0};

    if ((size_t)at_threads() > rooms->count)
        t.each = at_ratio(units, rooms->count);
    at_for(t.each ? at_ratio(units, t.each) : units, 1, at_turns, &t);
}

#endif
