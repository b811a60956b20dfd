/* Sorting a row in place, greatest first, for the distributions that are found by a threshold. For op/ only. */
#ifndef AT_CORE_DESCEND_H
#define AT_CORE_DESCEND_H

#include <stddef.h>

#include "attn/core/real.h"

static inline void at_sink(real *z, size_t i, size_t n)
{
    real value = z[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && z[child + 1] < z[child])
            child++;
        if (!(z[child] < value))
            break;
        z[i] = z[child];
    }
    z[i] = value;
}

/* Greatest first: a heap with the least on top, taken off from the end. */
static inline void at_sort_descending(real *z, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        at_sink(z, i, n);
    while (n > 1) {
        real least = z[0];
        z[0] = z[--n];
        at_sink(z, 0, n);
        z[n] = least;
    }
}

#endif
