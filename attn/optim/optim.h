/*
 * Optimizers: a list of parameters, buffers beside each, and a rule that moves them against their gradients.
 *
 * One record per rule and float type, beside its code (sgd.c, adam.c ...). The loop over parameters, the names of the
 * state, lr, step counts and the checks of load() are optim.c's, once.
 */
#ifndef AT_OPTIM_OPTIM_H
#define AT_OPTIM_OPTIM_H

#include "attn/core/error.h"
#ifdef AT_TYPE
#include "attn/core/real.h"
#endif
#include "attn/core/tensor.h"
#include "attn/build/value.h"

enum { AT_OPTIM_STATE = 4, AT_OPTIM_OWN = 4, AT_OPTIM_SUMS = 2 };

typedef struct at_optim at_optim;

/* Parameters that share a configuration: the optimizer's, with what their table says otherwise. */
typedef struct at_group {
    at_setting set[AT_MAX_FIELD]; /* by the fields of the rule; values of tables are gone after creation */
    double own[AT_OPTIM_OWN];     /* the numbers of its table, if the rule has one */
    int owns;
    double factor; /* of the optimizer's lr */
} at_group;

/* What one parameter's update reads: n elements of parameter, gradient and buffers. */
typedef struct at_update {
    const at_group *group;
    double lr;     /* of this group */
    uint64_t step; /* of this parameter, 1 for its first */
    void *p;
    const void *g;
    void *state[AT_OPTIM_STATE];
    double sum[AT_OPTIM_SUMS]; /* what measure summed over the whole parameter */
} at_update;

typedef struct at_optim_kind {
    const char *name; /* "adam" */
    at_dtype dtype;
    const at_field *fields; /* begins with AT_OPTIM_FIELDS */
    /* Checks what fields cannot say and keeps numbers of tables in own[]; may be NULL. */
    bool (*check)(const at_optim *o, at_group *g, at_error *e);
    const char *state[AT_OPTIM_STATE];      /* names of the buffers */
    bool (*uses)(const at_group *g, int k); /* whether this configuration has buffer k; NULL: all */
    /* A first pass of a rule that needs sums over the whole parameter: adds elements begin .. end - 1; may be NULL. */
    void (*measure)(const at_update *u, size_t begin, size_t end, double *sum);
    /* Elements begin .. end - 1; runs on several threads. */
    void (*update)(const at_update *u, size_t begin, size_t end);
    const char *help;
} at_optim_kind;

/* A rule in float32 and float64; fields, check, state and uses are the same. */
typedef struct at_optim_entry {
    const at_optim_kind *of[2];
} at_optim_entry;

/* All of them, ended by an empty entry. */
extern const at_optim_entry at_optims[];

#define AT_OPTIM(id, ...)                                                                                              \
    const at_optim_kind AT_REAL(at_optim_##id) = {.name = #id, .dtype = AT_REAL_DTYPE, __VA_ARGS__}

/* The first fields of every rule; its own follow. The argument is the rest of lr's record: a default, or .required. */
enum { AT_OPTIM_PARAMS, AT_OPTIM_LR, AT_OPTIM_FIRST };
#define AT_AT_LEAST_0 .low = 0, .high = 1e300
#define AT_OPTIM_FIELDS(...)                                                                                           \
    [AT_OPTIM_PARAMS] = {"params", AT_FIELD_TABLE, .required = true,                                                   \
                         .help = "list of tensors to move, or of groups {params =, and fields of their own}"},         \
    [AT_OPTIM_LR] = {"lr", AT_FIELD_NUMBER, AT_AT_LEAST_0, .help = "learning rate", __VA_ARGS__}

typedef struct at_slot {
    at_tensor *param;
    at_tensor *state[AT_OPTIM_STATE]; /* NULL before the first update */
    uint64_t step;
    size_t group;
} at_slot;

struct at_optim {
    at_object base;
    const at_optim_entry *entry;
    double lr;
    size_t groups;
    at_group *group;
    size_t n, room;
    at_slot *slot;
};

extern const at_class at_optim_class;

/* A new optimizer. Parameters met twice count once, but not in two groups. NULL with the error set. */
at_optim *at_optim_new(const at_optim_entry *entry, const at_table *config, at_error *e);

static inline const char *at_optim_name(const at_optim *o) { return o->entry->of[0]->name; }

/* False and an error unless lr is a number from 0 on. */
bool at_optim_set_lr(at_optim *o, double lr, at_error *e);

/*
 * One update of every parameter that has a gradient. Buffers are allocated before the first number changes, so a
 * failure leaves everything as it was. An interrupt is an error too, but comes after the step: it is never done in part.
 */
bool at_optim_step(at_optim *o, at_error *e);

void at_optim_zero_grad(at_optim *o);

/* {kind = "adam", lr = 0.001, params = {{step = 3, m = tensor, v = tensor}, ...}}; the tensors are the optimizer's own.
 * NULL: out of memory. */
at_table *at_optim_state(const at_optim *o, at_arena *a);

/* Copies such a state; everything is checked first, and the error lists all differences (as many as fit). */
bool at_optim_load(at_optim *o, const at_table *state, at_error *e);

/* "lr 0.001, betas 0.9 0.999, eps 1e-08": for tostring. */
void at_optim_summary(const at_optim *o, char *text, size_t room);

/* The n (2 or 3) numbers of a table field, such as betas, each in [0, 1), into g->own; `usual` if the field is absent. */
bool at_optim_rates(const at_optim *o, at_group *g, int field, int n, const double *usual, at_error *e);

/*
 * The 2-norm of all gradients together (parameters met twice count once, those without a gradient not at all), summed
 * in an order that depends on the sizes only; gradients are then scaled by min(1, max / (norm + 1e-6)).
 */
bool at_clip_grad_norm(size_t n, at_tensor *const *params, double max, double *norm, at_error *e);

/* Every element of every gradient is cut to -max .. max; a NaN stays one. */
bool at_clip_grad_value(size_t n, at_tensor *const *params, double max, at_error *e);

/* Its typed parts, over contiguous elements; partial: one number per AT_CLIP_BLOCK elements. */
enum { AT_CLIP_BLOCK = 65536 };
double at_clip_sumsq_f32(size_t n, const void *g, double *partial);
double at_clip_sumsq_f64(size_t n, const void *g, double *partial);
void at_clip_scale_f32(size_t n, double factor, void *g);
void at_clip_scale_f64(size_t n, double factor, void *g);
void at_clip_cut_f32(size_t n, double max, void *g);
void at_clip_cut_f64(size_t n, double max, void *g);

#endif
