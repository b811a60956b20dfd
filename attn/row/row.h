/*
 * The contract of a distribution: from scores to weights. One constant record, one typed file, one line in list.h.
 *
 * op/rows.c walks the scores of attention, with masks, biases, distances and spans, and calls the record row by row;
 * attn.softmax and its like are the same records along a dimension (op/softmax.c).
 *
 *   forward   n scores x to n weights y, all written. left: bytes, 0 where a key is left out, whose x is not read and
 *             whose y is 0; NULL: no key is
 *   backward  dx += its gradient, from y and dy
 *
 * A row with nothing left, or of minus infinities only, gives zeros, without gradient. A NaN in a row may spread in it.
 *
 * With .square both get n rows of n one behind the other, all rows of a head and a sentence; left has n n bytes then.
 */
#ifndef AT_ROW_ROW_H
#define AT_ROW_ROW_H

#include <stddef.h>
#include <stdint.h>

#include "attn/core/part.h"

/* Ids of all: AT_ROW_softmax, ... */
#define AT_ROW_ENTRY(id) AT_ROW_##id,
enum {
#include "attn/row/list.h"
    AT_ROWS
};
#undef AT_ROW_ENTRY

enum { AT_ROW_PARAMS = 2, AT_ROW_FIELDS = 2 };

/* What a record says of itself, in either type. */
typedef struct at_row_kind {
    at_part part;  /* at most AT_ROW_PARAMS parameters, and AT_ROW_FIELDS fields that are numbers, flags or choices */
    bool internal; /* no choice of scripts */
    bool one_key;  /* keeps one key, so that dropout means nothing */
    bool samples;  /* draws, and gives log-probability and probabilities besides: at_beside */
    bool square;   /* see above; queries and keys are one sequence */
    bool rereads;  /* backward gets x and left again */
    uint8_t stats; /* numbers that forward leaves to backward, per row or square */
    uint16_t own_bytes; /* of scratch, for each score */
} at_row_kind;

/* By id. */
extern const at_row_kind *const at_row_kinds[AT_ROWS];

#ifdef AT_TYPE

#include <math.h>

#include "attn/core/real.h"

/* What stands beside a row, for records that ask for it. */
typedef struct at_beside {
    double set[AT_ROW_FIELDS];        /* the record's fields */
    const real *param[AT_ROW_PARAMS]; /* its parameters, those of this head */
    real *dparam[AT_ROW_PARAMS];      /* backward adds; NULL: not wanted */
    real *stat;
    const real *x; /* .rereads, backward */
    const uint8_t *left;
    /* .samples */
    double uniform;         /* forward: a number in 0 .. 1 to draw by; negative: the likeliest key is taken */
    real *logp, *p;         /* written by forward, read by backward: 1 and n numbers */
    const real *dlogp, *dp; /* backward; NULL: none came, and so may dy be */
} at_beside;

/* own: n times own_bytes of scratch, 64-byte aligned. */
typedef struct at_row {
    at_row_kind is;
    void (*forward)(size_t n, const real *x, const uint8_t *left, real *y, void *own, const at_beside *b);
    void (*backward)(size_t n, const real *y, const real *dy, real *dx, void *own, const at_beside *b); /* NULL: flat */
} at_row;

#define AT_ROW(id, ...) const at_row AT_REAL(at_row_##id) = {.is.part.name = #id, __VA_ARGS__}

/* By id. */
extern const at_row *const AT_REAL(at_rows)[AT_ROWS];

static inline bool at_left(const uint8_t *left, size_t j) { return !left || left[j]; }

#endif

#endif
