/*
 * What a record says of its configuration: the fields it can be told, the parameters it learns. Layers, optimizers, and
 * the parts that attention is put together from have them.
 */
#ifndef AT_CORE_PART_H
#define AT_CORE_PART_H

#include <stdbool.h>

/* Kinds of a field are those of at_arg (AT_INTEGER, AT_NUMBER, AT_FLAG, AT_CHOICE, AT_COUNTS) and of at_type, counted from
 * AT_FIELD_TABLE. */
typedef enum at_field_kind {
    AT_FIELD_INTEGER = 1,
    AT_FIELD_NUMBER,
    AT_FIELD_FLAG,
    AT_FIELD_CHOICE,
    AT_FIELD_COUNTS, /* a number, or a table of one or two, each within the bounds; or a word of .choices, if there are any */
    AT_FIELD_TENSOR, /* float tensor */
    AT_FIELD_IDS,    /* int64 tensor */
    AT_FIELD_MASK,   /* bool tensor */
    AT_FIELD_TABLE,
    AT_FIELD_OBJECT,
    AT_FIELD_VALUE /* anything: the layer looks itself */
} at_field_kind;

typedef struct at_field {
    const char *name;
    at_field_kind kind;
    bool required;
    double value;        /* default */
    double low, high;    /* inclusive bounds when high > low; AT_POSITIVE is 1..2^31 */
    const char *choices; /* "gru|lstm|rnn"; of a table: what its `type` may be */
    const char *help;
} at_field;

#define AT_POSITIVE .low = 1, .high = 2147483648.0
#define AT_PROBABILITY .low = 0, .high = 1

/* A size of a parameter: the number itself, or a symbol of those who declare it (negative); 0: no further dimension. */
typedef int at_size;

typedef enum at_when { AT_ALWAYS, AT_SINGLE, AT_MULTI } at_when;

typedef struct at_part_param {
    const char *name;
    at_size size[2];
    bool bias;            /* dropped by bias = false */
    bool zero;            /* starts at zero, not uniform in +-1 / sqrt(its last size) */
    at_when when;         /* only with this kind of output */
    const char *fixed_by; /* the flag among the part's fields that makes it a buffer when it is false; NULL: none */
    const char *unless;   /* the number among the part's fields in whose presence (not 0) it is left out; NULL: none */
} at_part_param;

enum { AT_PART_PARAMS = 6, AT_PART_FIELDS = 4 };

/* A part of attention: one of a list that a script chooses from by name. The first member of every such record. */
typedef struct at_part {
    const char *name, *formula, *source; /* the last two stand in the help */
    const at_field
        *fields; /* its own, ended by a NULL name; NULL: none. Parts may share a field, told in the same words */
    at_part_param param[AT_PART_PARAMS];
} at_part;

#endif
