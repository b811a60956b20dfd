/*
 * Tensors: a shape, steps and a reference-counted storage that views share.
 *
 * Two counts: `refs` keeps the record alive (shape, place in the graph), `uses` keeps its numbers. A graph node whose backward
 * pass needs only the shape of an input holds a reference without a use, so that the storage goes with its last real user.
 */
#ifndef AT_CORE_TENSOR_H
#define AT_CORE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "attn/core/error.h"

enum { AT_MAX_DIM = 8 };

static inline size_t at_min_size(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t at_max_size(size_t a, size_t b) { return a > b ? a : b; }

/* How many of `unit` hold n, and the size of them all: both round up. */
static inline size_t at_ratio(size_t n, size_t unit) { return n / unit + (n % unit != 0); }
static inline size_t at_round_up(size_t n, size_t unit) { return at_ratio(n, unit) * unit; }

/* uint8 is for storage (images, bytes): it is moved, compared and converted, nothing is computed in it. Behind AT_DTYPES stand the types
 * of weights kept for inference (kept.h), which operations do not have. */
typedef enum at_dtype { AT_F32, AT_F64, AT_I64, AT_BOOL, AT_U8, AT_DTYPES, AT_BF16, AT_I8, AT_ALL_DTYPES } at_dtype;

typedef struct at_storage {
    uint32_t refs;
    uint32_t version;   /* counts in-place writes; a node compares before its backward pass reads */
    size_t bytes, room; /* of the elements, and of the block they stand in */
    char *data;
} at_storage;

typedef struct at_call at_node;

typedef struct at_tensor {
    at_storage *storage; /* NULL once nobody uses the numbers */
    char *data;          /* first element */
    at_node *node;       /* what made it, NULL for a leaf; owns a reference to the node while refs > 0 */
    struct at_tensor *grad;
    struct at_tensor *next; /* on the list of records about to go, or of those whose last release waits (later.h) */
    uint32_t refs, uses;
    uint16_t index; /* which output of node */
    uint8_t dtype, ndim;
    bool requires_grad; /* a leaf that gathers a gradient */
    bool rests;         /* it would, were its model not kept for inference */
    uint8_t wanted; /* the backward pass, counted from the outermost, that was asked for this gradient by name; 0: none */
    bool listed;    /* while a backward pass lists tensors: it has this one */
    size_t size[AT_MAX_DIM];
    ptrdiff_t step[AT_MAX_DIM]; /* in elements */
} at_tensor;

size_t at_dtype_bytes(at_dtype dtype);
const char *at_dtype_name(at_dtype dtype);
bool at_dtype_named(const char *name, at_dtype *dtype);
static inline bool at_is_float(const at_tensor *t) { return t->dtype <= AT_F64; }
static inline bool at_is_kept(const at_tensor *t) { return t->dtype > AT_DTYPES; }

/* What a message says of such a tensor after its name. */
#define AT_KEPT_FOR "kept for inference: linear and embedding read it, :to(\"float32\") makes float32 of it"

/* Product of sizes; false if it exceeds 2^40 elements. */
bool at_count_elements(size_t ndim, const size_t *size, size_t *count);

/* A contiguous tensor with undefined contents and one reference; NULL with the error set. size may be NULL if ndim is 0. */
at_tensor *at_tensor_new(at_dtype dtype, size_t ndim, const size_t *size, at_error *e);

/* The same, zero-filled. */
at_tensor *at_tensor_zeros(at_dtype dtype, size_t ndim, const size_t *size, at_error *e);

/* A tensor without dimensions. */
at_tensor *at_scalar(at_dtype dtype, double value, at_error *e);

/* Another record over the storage of t, outside the graph, with the same shape. */
at_tensor *at_detach(const at_tensor *t, at_error *e);

/* Another record over the storage of t: its own shape and steps, `offset` elements after t's first. Outside the graph. */
at_tensor *at_view_of(const at_tensor *t, size_t ndim, const size_t *size, const ptrdiff_t *step, ptrdiff_t offset,
                      at_error *e);

/* The same into a record of the caller's, without a reference to the storage: it is good as long as t is. */
void at_view_into(at_tensor *v, const at_tensor *t, size_t ndim, const size_t *size, const ptrdiff_t *step,
                  ptrdiff_t offset);

static inline at_tensor *at_retain(at_tensor *t)
{
    if (t) {
        t->refs++;
        t->uses++;
    }
    return t;
}

/* Gives back a reference and a use; NULL is allowed. Releases chains of nodes with a loop, never by recursion. */
void at_release(at_tensor *t);

/* A reference without a use, and its end. */
static inline void at_hold(at_tensor *t) { t->refs++; }
void at_unhold(at_tensor *t);

void at_storage_release(at_storage *s);

/* Frees a record that nothing refers to any more, with its gradient and its hold on the storage. */
void at_record_free(at_tensor *t);

size_t at_numel(const at_tensor *t);
/* Of int8: the scales of its rows, which stand behind its elements. */
static inline size_t at_scales_place(size_t count) { return at_round_up(count, 64); }
static inline float *at_scales(const at_tensor *t) { return (float *)(void *)(t->data + at_scales_place(at_numel(t))); }
bool at_contiguous(const at_tensor *t);
bool at_same_shape(const at_tensor *a, const at_tensor *b);
static inline bool at_needs_grad(const at_tensor *t) { return t && (t->requires_grad || (t->node && at_is_float(t))); }

/* A double as int64: the nearest end of the range for what does not fit, 0 for NaN (a plain cast would be undefined). */
int64_t at_to_int64(double x);

/* A double as uint8: cut towards zero, the nearest end of 0..255 for what does not fit, 0 for NaN. */
static inline uint8_t at_to_uint8(double x) { return x >= 255 ? 255 : x > 0 ? (uint8_t)x : 0; }

/* What moves elements below ends early after at_interrupt (at_cut_short, parallel.h). */

void at_copy_bytes(char *to, const char *from, size_t bytes);

/* Copies the elements of src into dst: same shape, any steps, any two dtypes (at_to_int64, at_to_uint8). They may be the
 * same, but not overlap otherwise. */
void at_copy_elements(at_tensor *dst, const at_tensor *src);

/* dst += src, element by element: same shape and float type, any steps (0 sums over a broadcast dimension). */
void at_add_elements(at_tensor *dst, const at_tensor *src);

/* The numbers, in row order from 0, of the elements of x that are not 0, into `to` (NULL: nowhere); returns how many. */
size_t at_places(const at_tensor *x, int64_t *to);

/*
 * Writes into t at places of its first `lead` dimensions, numbered in row order from 0: place[k] gets row k of src, whose first
 * dimensions count the rows, in row order, and whose others are those of t; any steps, dtypes as in at_copy_elements. In order, so
 * that the last of equal places stays. t and src must not overlap.
 */
void at_put_rows(at_tensor *t, size_t lead, const int64_t *place, size_t n, const at_tensor *src);

void at_fill(at_tensor *t, double value);

/* The element at an offset counted from t->data, as a double (int64 beyond 2^53 rounds), also of a weight kept for inference. */
double at_element(const at_tensor *t, ptrdiff_t offset);

/* "float32 [8, 20, 32]" */
typedef struct at_text {
    char text[160];
} at_text;
at_text at_describe(const at_tensor *t);
at_text at_describe_shape(size_t ndim, const size_t *size);

/*
 * Walks several tensors of one shape, dimensions merged where all steps allow it: `rows` rows of `n` elements.
 *
 *     at_walk w = at_walk_of(2, (const at_tensor *[]){a, b});
 *     do { use w.n elements at w.at[k] with step w.step[k] } while (at_walk_next(&w));
 *
 * With no elements at all w.n is 0 and there is one turn. A row may be everything: rows.h has the loops that a Ctrl-C ends within
 * a row as well.
 */
enum { AT_WALK = 4 };
typedef struct at_walk {
    size_t n;
    ptrdiff_t step[AT_WALK]; /* of the innermost dimension, in elements */
    char *at[AT_WALK];
    size_t count, ndim;
    size_t size[AT_MAX_DIM], index[AT_MAX_DIM];
    ptrdiff_t jump[AT_WALK][AT_MAX_DIM]; /* in bytes */
} at_walk;

/* The tensors broadcast to `shape`: a missing or size-1 dimension gets step 0. They must be broadcastable to it. */
at_walk at_walk_broadcast(size_t count, const at_tensor *const *t, size_t ndim, const size_t *shape);
at_walk at_walk_of(size_t count, const at_tensor *const *t);
bool at_walk_next(at_walk *w);

#endif
