/*
 * The flag that stops long work, as loops see it: kernels include this and no more of parallel.c's.
 */
#ifndef AT_CORE_STOP_H
#define AT_CORE_STOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

extern atomic_int at_stop; /* at_interrupt's own, here so that looking at it costs a load */
bool at_stop_now(void);

/* Whether loops are to end early. Whoever ends one so leaves garbage and answers for at_uninterrupted being asked. */
static inline bool at_cut_short(void)
{
    return atomic_load_explicit(&at_stop, memory_order_relaxed) != 0 && at_stop_now();
}

/* A long loop in one thread, which a Ctrl-C can end between two pieces of it:
 *     AT_PIECES(i, end, n)
 *         for (; i < end; i++) ...
 * The body leaves i at end. */
enum { AT_PIECE = 1 << 16 }; /* tens of microseconds; a row of fewer elements never looks at the flag */
#define AT_PIECES(i, end, n)                                                                                           \
    for (size_t i = 0, end = (n) < AT_PIECE ? (n) : AT_PIECE; i < (n) && (i == 0 || !at_cut_short());                  \
         end = (n)-i < AT_PIECE ? (n) : i + AT_PIECE)

#endif
