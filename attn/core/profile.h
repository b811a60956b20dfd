/*
 * Where time goes: what ran, how often and how long, by operation, pass and module. Off, it is a flag that calls look at.
 *
 * The time of what an operation calls for itself (a copy that makes an input contiguous, the nodes of a backward pass) is that of
 * what was called. Only the thread that runs the script is looked at: it takes part in every loop and waits for its end.
 */
#ifndef AT_CORE_PROFILE_H
#define AT_CORE_PROFILE_H

#include "attn/core/op.h"

extern bool at_profiling;
/* The module that runs: 0 while none does, and always while at_profiling is off. */
extern uint32_t at_profile_path;

typedef enum at_pass_kind { AT_FORWARD, AT_BACKWARD, AT_UPDATE } at_pass_kind;

/* One operation of one type in one module and pass. */
typedef struct at_profile_row {
    const char *name;
    at_dtype dtype; /* AT_DTYPES: of any */
    at_pass_kind pass;
    uint32_t path, next;
    uint64_t calls, ns, allocated; /* allocated: bytes */
    double flops, moved;           /* operations on numbers, bytes read and written: at_call_cost */
} at_profile_row;

/* A module inside the module `above`; number 0 is the script. */
typedef struct at_profile_module {
    char *name;
    uint32_t above, below, beside, rows; /* numbers; 0 ends a chain, rows are counted from 1 */
} at_profile_module;

typedef struct at_profile_event {
    uint64_t begin, ns;
    uint32_t what; /* a row, or a module */
    bool module;
} at_profile_event;

typedef struct at_profile {
    uint64_t ns;
    at_profile_row *row;
    at_profile_module *module;
    at_profile_event *event; /* in the order of their ends: the first million */
    size_t rows, modules, events, row_room, module_room, event_room;
    bool lost; /* memory ran out, or there were more events: not everything is there */
} at_profile;

/* False while one is running, or without memory. */
bool at_profile_start(void);
/* What was measured, for at_profile_free. */
at_profile at_profile_stop(void);
void at_profile_free(at_profile *p);

/* ---- what is measured: only while at_profiling is on ---- */

typedef struct at_timing {
    struct at_timing *outer;
    uint64_t begin, inside, allocated, inside_allocated;
    uint32_t path;
} at_timing;

/* node: in a backward pass, which then runs in the module that the forward pass ran in; else NULL. */
void at_profile_begin(at_timing *t, const at_node *node);
/* c: NULL if it failed and does not count. */
void at_profile_end(at_timing *t, at_call *c, at_pass_kind pass);
/* The same of what is no call. The name stays. */
void at_profile_end_named(at_timing *t, const char *name, at_pass_kind pass, double moved);

/* A module that runs until at_profile_leave with what was given here. The name is copied. */
typedef struct at_profile_scope {
    uint64_t begin;
    uint32_t before, session;
} at_profile_scope;
at_profile_scope at_profile_enter(const char *name);
void at_profile_leave(at_profile_scope s);

/* ---- what it could be ---- */

/* flops: a product and its addition are two; 0 for operations that have no formula. moved: bytes of what is read and written, each
 * once. Of the pass that has run. */
typedef struct at_cost {
    double flops, moved;
} at_cost;
at_cost at_call_cost(const at_call *c, at_pass_kind pass);

/* What this machine can do with the threads in use: products of square matrices, copies of what is in no cache. A tenth of a second,
 * once; 0 where memory was short. */
typedef struct at_limits {
    double flops[2]; /* a second: AT_F32, AT_F64 */
    double moved;    /* bytes a second */
} at_limits;
at_limits at_measure_limits(void);

#endif
