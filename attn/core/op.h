/*
 * The contract of an operation.
 *
 * An operation is one constant record beside its code: arguments, shape check, forward, backward, help. `shape` is the only step
 * that may fail or allocate: it checks, declares outputs and asks for saved buffers and scratch. `forward` and `backward` only
 * compute. The record of a call is also its node in the graph: what forward read is where backward finds it.
 */
#ifndef AT_CORE_OP_H
#define AT_CORE_OP_H

#include "attn/core/error.h"
#ifdef AT_TYPE
#include "attn/core/real.h"
#endif
#include "attn/core/random.h"
#include "attn/core/tensor.h"

enum {
    AT_MAX_ARG = 16,
    AT_MAX_SCALAR = 8,
    AT_MAX_OUT = 4,
    AT_MAX_SAVED = 10,
    AT_MAX_CUSTOM = 32
}; /* inputs of a custom node */

/* Kinds of arguments. The tensors come first in at_call.in, in order; the others in at_call.arg, in order. */
typedef enum at_kind {
    AT_END,
    AT_FLOAT,   /* tensor of the operation's float type */
    AT_OPERAND, /* the same, or a number (which becomes a tensor without dimensions); int64 if the operation has it */
    AT_IDS,     /* tensor of int64 */
    AT_MASK,    /* tensor of bool */
    AT_ANY,     /* tensor of any dtype (one dtype for all arguments of this kind) */
    AT_WEIGHT,  /* AT_FLOAT (AT_ANY in a record for any dtype), or beside float32 a weight kept for inference */
    AT_LIST,    /* list of tensors of one dtype, all in at_call.in; only as the last tensor argument */
    AT_TENSORS, /* the same of any dtypes; floats are of the operation's type */
    AT_NUMBER,  /* arg.number */
    AT_INTEGER, /* arg.integer */
    AT_DIM,     /* dimension of the first tensor, 1.. or negative; arg.integer counts from 0 */
    AT_NEW_DIM, /* the same for a result with one dimension more */
    AT_DIMS,   /* one dimension or a table of them: arg.integer is a set, bit d for dimension d from 0; 0: none given */
    AT_COUNTS, /* a number, or a table of one or two: arg.counts; or a word of .choices, if there are any */
    AT_FLAG,   /* arg.flag */
    AT_CHOICE, /* one of the words of .choices; arg.integer is its place */
    AT_SIZES,  /* numbers or one table of them: at_call.sizes; at most one such argument */
    AT_STRING  /* arg.string, borrowed for the time of `shape` */
} at_kind;

typedef struct at_arg {
    const char *name;
    at_kind kind;
    bool optional;
    bool option;         /* a field of the trailing table of options; a tensor there is optional too */
    bool named;          /* stands among the arguments and may be given in the table of options instead */
    double value;        /* default of a number, integer, dimension, flag, choice, or of both counts */
    const char *choices; /* "mean|sum|none" */
} at_arg;

typedef union at_scalar_value {
    double number;
    int64_t integer;
    bool flag;
    const char *string;
    int32_t counts[2]; /* one number given: twice that */
} at_scalar_value;

/* counts[0] where a word was given; counts[1] is then its place among the choices. */
enum { AT_WORD = INT32_MIN };

/* A set of dimensions (AT_DIMS) as scripts write them: -1 .. -8 stand behind 1 .. 8 until the tensor is known. */
static inline int64_t at_dim_bit(int64_t d)
{
    return d >= 1 && d <= 8 ? (int64_t)1 << (d - 1) : d <= -1 && d >= -8 ? (int64_t)1 << (7 - d) : 0;
}

typedef struct at_op at_op;

/* One operation for every dtype it has: NULL where there is none. */
typedef struct at_op_entry {
    const at_op *of[AT_DTYPES];
} at_op_entry;

typedef struct at_call {
    const at_op_entry *entry;
    const at_op *op; /* the member of entry for the dtype at hand; before at_call_run any member */
    uint32_t refs;   /* the caller's and one for each output that is alive */
    uint16_t n_in, n_out, n_saved;
    bool recorded;  /* part of a graph: backward may come */
    bool done;      /* backward has been here and given everything back */
    bool busy;      /* part of a backward pass that is running */
    uint16_t taken; /* bit per out: the caller has it */
    uint32_t given; /* bit per arg: it was given, not defaulted */
    uint32_t fresh; /* during backward, bit per in: its gradient has not been written yet */
    at_tensor **in; /* may hold NULL for optional tensors; slots stand behind the record */
    at_tensor *out[AT_MAX_OUT], *saved[AT_MAX_SAVED];
    at_scalar_value arg[AT_MAX_SCALAR];
    int n_sizes;
    int64_t sizes[AT_MAX_DIM];
    size_t scratch;   /* bytes of `work` that forward or backward want; at_want_scratch */
    char *work;       /* during forward and backward */
    at_random random; /* the random stream that shape reserved */
    void *extra;      /* of attn.custom: what its backward function needs */
    at_error *error;  /* during shape; NULL afterwards */
    at_tensor *into; /* where at_out_view is to write its view; NULL: a new tensor. The backward pass allocates nothing */
    uint32_t *version; /* of each kept input, and below of each kept output, when recorded */
    uint32_t out_version[AT_MAX_OUT];
    int line;      /* script line that made it, 0 if unknown */
    uint32_t path; /* the module it ran in, while the profiler was on (profile.h) */
    const char *source;
    /* the backward pass's own */
    uint32_t pending;
    uint32_t mark;
} at_call;

typedef enum at_gradient { AT_CHECKED, AT_SEEDED, AT_NO_GRADIENT } at_gradient;

/* Which values backward reads. Bits of at_op.keeps; the default 0 means everything. */
#define AT_KEEP(k) (1u << (k))
#define AT_KEEP_OUT(k) (1u << (16 + (k)))
#define AT_KEEP_NOTHING (1u << 31)

struct at_op {
    const char *name; /* "softmax"; "loss.cross_entropy" lives in attn.loss */
    at_dtype dtype;   /* AT_DTYPES: moves elements of any dtype */
    at_arg args[AT_MAX_ARG];
    bool (*shape)(at_call *c);
    void (*forward)(const at_call *c);  /* NULL for views */
    void (*backward)(const at_call *c); /* adds into gradients; NULL if there is none (or for views: made here) */
    /* A backward pass that can fail and runs code of the script; only attn.custom. Adds into dx[k] where it is not NULL. Gradients
     * come as arguments: at_tensor.grad is the script's while it runs. */
    bool (*custom)(at_call *c, at_tensor *const *dy, at_tensor *const *dx, at_error *e);
    const char *help;
    uint8_t outs;                     /* most outputs; 0 means 1 */
    bool strided;                     /* reads inputs with any steps; otherwise they arrive contiguous */
    bool view;                        /* the output shares the first input's storage */
    bool (*idle)(const at_tensor *x); /* true: the result would equal x, and a script gets x itself; may be NULL */
    bool fresh;      /* backward looks at at_call.fresh and writes instead of adding; else gradients arrive zeroed */
    bool internal;   /* not a function of the script: part of a layer */
    bool library;    /* internal, and called by Lua modules of the library: attn.internal.NAME */
    bool bytes;      /* takes uint8, by way of int64 */
    bool plain;      /* a function, not a method as well */
    bool reads_kept; /* its list may hold weights kept for inference, as arguments of the kind AT_WEIGHT may be */
    bool picks;      /* reads of an input no more than it returns: rows of a table */
    uint32_t keeps;
    at_gradient gradient;
    /* Operations on numbers of a forward (backward) pass that has run, for the profiler: a product and its addition are two. NULL: of
     * those that move and change elements bytes alone are counted. */
    double (*flops)(const at_call *c, bool back);
};

/* Defines the record of an operation for this compilation's type: AT_OP(softmax, .args = ..., ...) */
#define AT_OP(id, ...) const at_op AT_REAL(at_op_##id) = {.name = #id, .dtype = AT_REAL_DTYPE, __VA_ARGS__}
#define AT_OP_NAMED(id, text, ...) const at_op AT_REAL(at_op_##id) = {.name = text, .dtype = AT_REAL_DTYPE, __VA_ARGS__}
/* The same for movement operations, which are compiled once for all dtypes. */
#define AT_MOVE_OP(id, ...) const at_op at_op_##id = {.name = #id, .dtype = AT_DTYPES, __VA_ARGS__}

/* ---- in shape ---- */

/* "softmax: <message>"; always false. Tensors in messages by at_describe(t).text. */
#define at_fail(c, ...) at_fail_at(c, __VA_ARGS__)
bool at_fail_at(at_call *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Declares the next output: of the operation's type, of another dtype, or sharing the storage of the first input. */
bool at_out(at_call *c, size_t ndim, const size_t *size);
bool at_out_type(at_call *c, at_dtype dtype, size_t ndim, const size_t *size);
bool at_out_view(at_call *c, size_t ndim, const size_t *size, const ptrdiff_t *step, ptrdiff_t offset);

/* A buffer that lives as long as the node: at_call.saved[k], k counting from 0. */
bool at_save(at_call *c, at_dtype dtype, size_t count);

/* At least `bytes` of at_call.work in forward and in backward (undefined contents each time). */
void at_want_scratch(at_call *c, size_t bytes);

/* at_call.work of 0 bytes: never NULL, so that nothing to do is no special case. */
extern char at_no_work[64];

/* dtype the operation runs in: that of its record. */
at_dtype at_call_dtype(const at_call *c);

/* True if a gradient may be asked of this call: what only backward needs is saved only then. */
bool at_recording(const at_call *c);

/* Name of the argument that input k belongs to; "tensor 3" (in the buffer) for members of a list. */
const char *at_input_name(const at_call *c, int k, char *buffer, size_t size);

/* ---- in forward and backward ---- */

#ifdef AT_TYPE
static inline const real *at_in(const at_call *c, int k) { return (const real *)(const void *)c->in[k]->data; }
static inline real *at_outp(const at_call *c, int k) { return (real *)(void *)c->out[k]->data; }
static inline real *at_savedp(const at_call *c, int k) { return (real *)(void *)c->saved[k]->data; }
/* Gradient of an input (NULL if none is wanted) and of an output (NULL if none came; never for an only output). */
static inline real *at_din(const at_call *c, int k)
{
    return c->in[k] && c->in[k]->grad ? (real *)(void *)c->in[k]->grad->data : NULL;
}
static inline const real *at_dout(const at_call *c, int k)
{
    return c->out[k]->grad ? (const real *)(const void *)c->out[k]->grad->data : NULL;
}
#endif
/* How many of the inputs from .. to - 1 a gradient is asked of. */
static inline int at_gradients_wanted(const at_call *c, int from, int to)
{
    int n = 0;
    for (int k = from; k < to; k++)
        n += c->in[k] && c->in[k]->grad;
    return n;
}
static inline const int64_t *at_ids(const at_tensor *t) { return (const int64_t *)(const void *)t->data; }
/* True if the gradient of input k is to be written, not added to (only where the record says .fresh). */
static inline bool at_is_fresh(const at_call *c, int k) { return k < 32 && (c->fresh >> k & 1); }

/* The rows of a contiguous tensor along dimension d (counted from 0): `rows` of n elements, `step` apart. */
typedef struct at_axis {
    size_t rows, n, step;
} at_axis;
at_axis at_along(const at_tensor *t, int64_t d);
static inline size_t at_row_start(at_axis a, size_t r) { return r / a.step * a.n * a.step + r % a.step; }

/* Shape two tensors broadcast to; false if they do not. */
bool at_broadcast(const at_tensor *a, const at_tensor *b, size_t *ndim, size_t *size);

/* ---- calling ---- */

/* A call with room for n_in tensors, all NULL, all arguments at their defaults. NULL: out of memory. Ended by at_call_end. */
at_call *at_call_new(const at_op_entry *entry, size_t n_in, at_error *e);

/* Any member of an entry, for its name, arguments and help. */
const at_op *at_any_op(const at_op_entry *entry);

/*
 * Checks arguments, runs shape and forward, records the call if a gradient may be asked for. Inputs in c->in are borrowed until
 * then and retained from then on. On success the outputs are taken with at_call_take.
 */
bool at_call_run(at_call *c, at_error *e);

/* Output k with the caller's own reference; NULL if it was taken before. */
at_tensor *at_call_take(at_call *c, int k);

/* The caller is done with the call; what was not taken is released. */
void at_call_end(at_call *c);

/* A tensor whose last handle went while its node may live on: from at_release only. */
void at_node_output_dropped(at_node *node, at_tensor *t);

/* Gives back everything the node holds but its own record; a later backward through it is an error. */
void at_node_finish(at_node *node);

/* Whether backward reads the numbers of an input or output. */
bool at_keeps_in(const at_op *op, int k);
bool at_keeps_out(const at_op *op, int k);

/* Gives back a reference to the node. */
void at_node_unref(at_node *node);

/* False inside no_grad: nothing is recorded. */
extern bool at_grad_enabled;

/* Frees at_call.extra; set by vm, whose values these are. */
extern void (*at_free_extra)(void *extra);

/* Says which script line is running, for anomaly mode; set by vm, may be NULL. */
extern void (*at_where)(const char **source, int *line);

#endif
