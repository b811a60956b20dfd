/* Tensors: see tensor.h. */
#include "attn/core/tensor.h"

#include "attn/core/alloc.h"
#include "attn/core/later.h"
#include "attn/core/op.h"
#include "attn/core/walk.h"

#include <stdio.h>
#include <string.h>

enum { INLINE_BYTES = 1984 }; /* up to here the numbers stand in the block of the storage record itself */

static const struct {
    const char *name;
    size_t bytes;
} dtypes[AT_ALL_DTYPES] = {
    [AT_F32] = {"float32", 4}, [AT_F64] = {"float64", 8},   [AT_I64] = {"int64", 8}, [AT_BOOL] = {"bool", 1},
    [AT_U8] = {"uint8", 1},    [AT_BF16] = {"bfloat16", 2}, [AT_I8] = {"int8", 1},
};

size_t at_dtype_bytes(at_dtype dtype) { return dtypes[dtype].bytes; }
const char *at_dtype_name(at_dtype dtype) { return dtypes[dtype].name; }

bool at_dtype_named(const char *name, at_dtype *dtype)
{
    for (int d = 0; d < AT_ALL_DTYPES; d++)
        if (d != AT_DTYPES && strcmp(name, dtypes[d].name) == 0) {
            *dtype = (at_dtype)d;
            return true;
        }
    return false;
}

bool at_count_elements(size_t ndim, const size_t *size, size_t *count)
{
    size_t n = 1;
    bool empty = false, large = false;
    for (size_t d = 0; d < ndim; d++) {
        if (size[d] == 0)
            empty = true;
        else if (__builtin_mul_overflow(n, size[d], &n) || n > (size_t)1 << 40)
            n = 1, large = true;
    }
    *count = empty ? 0 : n;
    return !large; /* also if empty: steps are products of sizes */
}

/* ---- storage ---- */

static at_storage *storage_new(size_t bytes)
{
    bool in_line = bytes <= INLINE_BYTES;
    at_storage *s = at_alloc(in_line ? 64 + bytes : sizeof *s);
    if (!s)
        return NULL;
    size_t room = bytes;
    char *data = in_line ? (char *)s + 64 : at_alloc_roomy(&room);
    *s = (at_storage){.refs = 1, .bytes = bytes, .room = room, .data = data};
    if (!s->data) {
        at_free(s, sizeof *s);
        return NULL;
    }
    return s;
}

void at_storage_release(at_storage *s)
{
    if (!s || --s->refs > 0)
        return;
    if (s->bytes <= INLINE_BYTES) {
        at_free(s, 64 + s->bytes);
    } else {
        at_free(s->data, s->room);
        at_free(s, sizeof *s);
    }
}

/* ---- records ---- */

static at_tensor *record_new(at_dtype dtype, size_t ndim)
{
    at_tensor *t = at_alloc(sizeof *t);
    if (t) {
        t->storage = NULL;
        t->data = NULL;
        t->node = NULL;
        t->grad = NULL;
        t->refs = t->uses = 1;
        t->index = 0;
        t->dtype = (uint8_t)dtype;
        t->ndim = (uint8_t)ndim;
        t->requires_grad = t->rests = t->listed = false;
        t->wanted = 0;
    }
    return t;
}

at_tensor *at_tensor_new(at_dtype dtype, size_t ndim, const size_t *size, at_error *e)
{
    size_t count;
    if (!at_count_elements(ndim, size, &count)) {
        at_error_set(e, "a tensor of shape %s is too large", at_describe_shape(ndim, size).text);
        return NULL;
    }
    size_t bytes = count * dtypes[dtype].bytes;
    if (dtype == AT_I8)
        bytes = at_scales_place(count) + size[0] * sizeof(float);
    at_tensor *t = record_new(dtype, ndim);
    at_storage *s = t ? storage_new(bytes) : NULL;
    if (!s) {
        at_free(t, sizeof *t);
        at_error_memory(e, "a tensor", bytes);
        return NULL;
    }
    t->storage = s;
    t->data = s->data;
    ptrdiff_t step = 1;
    for (size_t d = ndim; d-- > 0;) {
        t->size[d] = size[d];
        t->step[d] = step;
        step *= (ptrdiff_t)size[d];
    }
    return t;
}

at_tensor *at_tensor_zeros(at_dtype dtype, size_t ndim, const size_t *size, at_error *e)
{
    at_tensor *t = at_tensor_new(dtype, ndim, size, e);
    if (t)
        at_zero(t->data, t->storage->bytes);
    return t;
}

at_tensor *at_scalar(at_dtype dtype, double value, at_error *e)
{
    at_tensor *t = at_tensor_new(dtype, 0, NULL, e);
    if (t)
        at_fill(t, value);
    return t;
}

void at_view_into(at_tensor *v, const at_tensor *t, size_t ndim, const size_t *size, const ptrdiff_t *step,
                  ptrdiff_t offset)
{
    v->storage = t->storage;
    v->data = t->data + offset * (ptrdiff_t)dtypes[t->dtype].bytes;
    v->dtype = t->dtype;
    v->ndim = (uint8_t)ndim;
    for (size_t d = 0; d < ndim; d++) {
        v->size[d] = size[d];
        v->step[d] = step[d];
    }
}

at_tensor *at_view_of(const at_tensor *t, size_t ndim, const size_t *size, const ptrdiff_t *step, ptrdiff_t offset,
                      at_error *e)
{
    at_tensor *v = record_new(t->dtype, ndim);
    if (!v) {
        at_error_memory(e, "a view", sizeof *v);
        return NULL;
    }
    at_view_into(v, t, ndim, size, step, offset);
    v->storage->refs++;
    return v;
}

at_tensor *at_detach(const at_tensor *t, at_error *e) { return at_view_of(t, t->ndim, t->size, t->step, 0, e); }

/*
 * Releasing a tensor may release its node, that node's inputs, their nodes ... A chain of 100,000 steps is one chain, so what
 * falls to zero goes on a list, and the outermost call works the list off.
 */
static at_tensor *doomed;
static bool releasing;

static void end_record(at_tensor *t)
{
    t->next = doomed;
    doomed = t;
    if (releasing)
        return;
    releasing = true;
    while ((t = doomed)) {
        doomed = t->next;
        at_node *node = t->node;
        if (node) {
            /* the record stays with its node: another output's gradient may need its shape, numbers or gradient */
            t->node = NULL;
            at_node_output_dropped(node, t);
        } else {
            at_record_free(t);
        }
    }
    releasing = false;
}

void at_record_free(at_tensor *t)
{
    at_release(t->grad);
    at_storage_release(t->storage);
    at_free(t, sizeof *t);
}

void at_release(at_tensor *t)
{
    if (!t)
        return;
    if (at_later && t->uses == 1) {
        at_later_tensor(t);
        return;
    }
    if (--t->uses == 0 && t->refs > 1) {
        at_storage_release(t->storage);
        t->storage = NULL;
    }
    if (--t->refs == 0)
        end_record(t);
}

void at_unhold(at_tensor *t)
{
    if (t && --t->refs == 0)
        end_record(t);
}

size_t at_numel(const at_tensor *t)
{
    size_t n = 1;
    for (size_t d = 0; d < t->ndim; d++)
        n *= t->size[d];
    return n;
}

bool at_contiguous(const at_tensor *t)
{
    ptrdiff_t step = 1;
    for (size_t d = t->ndim; d-- > 0;) {
        if (t->size[d] != 1 && t->step[d] != step)
            return at_numel(t) == 0;
        step *= (ptrdiff_t)t->size[d];
    }
    return true;
}

bool at_same_shape(const at_tensor *a, const at_tensor *b)
{
    return a->ndim == b->ndim && memcmp(a->size, b->size, a->ndim * sizeof *a->size) == 0;
}

/* ---- walking ---- */

at_walk at_walk_broadcast(size_t count, const at_tensor *const *t, size_t ndim, const size_t *shape)
{
    at_walk w = {.n = 1, .count = count};
    /* from the innermost dimension outwards; a dimension merges with the one inside it when every tensor allows it */
    ptrdiff_t step[AT_WALK];
    size_t extent[AT_MAX_DIM], dims = 0;
    ptrdiff_t steps[AT_MAX_DIM][AT_WALK];
    bool empty = false;
    for (size_t i = 0; i < ndim; i++) {
        size_t d = ndim - 1 - i, n = shape[d];
        if (n == 0)
            empty = true;
        if (n == 1)
            continue;
        bool merges = dims > 0;
        for (size_t k = 0; k < count; k++) {
            size_t own = t[k]->ndim;
            bool has = i < own && t[k]->size[own - 1 - i] != 1;
            step[k] = has ? t[k]->step[own - 1 - i] : 0;
            if (dims > 0 && step[k] != steps[dims - 1][k] * (ptrdiff_t)extent[dims - 1])
                merges = false;
        }
        if (merges) {
            extent[dims - 1] *= n;
        } else {
            extent[dims] = n;
            memcpy(steps[dims++], step, sizeof step);
        }
    }
    for (size_t k = 0; k < count; k++) {
        w.at[k] = t[k]->data;
        w.step[k] = dims ? steps[0][k] : 0;
    }
    w.n = empty ? 0 : dims ? extent[0] : 1;
    w.ndim = empty || dims < 2 ? 0 : dims - 1;
    for (size_t d = 0; d < w.ndim; d++) {
        w.size[d] = extent[d + 1];
        for (size_t k = 0; k < count; k++)
            w.jump[k][d] = steps[d + 1][k] * (ptrdiff_t)dtypes[t[k]->dtype].bytes;
    }
    return w;
}

at_walk at_walk_of(size_t count, const at_tensor *const *t)
{
    return at_walk_broadcast(count, t, t[0]->ndim, t[0]->size);
}

bool at_walk_next(at_walk *w)
{
    if (at_cut_short())
        return false;
    for (size_t d = 0; d < w->ndim; d++) {
        bool carry = ++w->index[d] == w->size[d];
        ptrdiff_t by = carry ? 1 - (ptrdiff_t)w->size[d] : 1;
        for (size_t k = 0; k < w->count; k++)
            w->at[k] += by * w->jump[k][d];
        if (!carry)
            return true;
        w->index[d] = 0;
    }
    return false;
}

/* ---- elements ---- */

double at_element(const at_tensor *t, ptrdiff_t offset)
{
    switch (t->dtype) {
    case AT_F32: return ((const float *)(const void *)t->data)[offset];
    case AT_F64: return ((const double *)(const void *)t->data)[offset];
    case AT_I64: return (double)((const int64_t *)(const void *)t->data)[offset];
    case AT_U8: return ((const uint8_t *)t->data)[offset];
    case AT_BF16: {
        uint32_t bits = (uint32_t)((const uint16_t *)(const void *)t->data)[offset] << 16;
        float x;
        memcpy(&x, &bits, sizeof x);
        return x;
    }
    case AT_I8: return ((const int8_t *)t->data)[offset] * at_scales(t)[(size_t)offset / t->size[1]];
    default: return ((const uint8_t *)t->data)[offset] != 0;
    }
}

int64_t at_to_int64(double x)
{
    return x >= 9223372036854775807.0 ? INT64_MAX : x <= -9223372036854775808.0 ? INT64_MIN : x != x ? 0 : (int64_t)x;
}

/*
 * A transposed copy reads one side across its rows: a cache line for every element. In tiles every line is used whole.
 * Takes the two innermost dimensions out of the walk, if one side is dense along the one and the other along the other.
 */
typedef struct tiles {
    size_t n, m;                /* elements of a row, rows */
    ptrdiff_t step[2], jump[2]; /* within a row, from row to row; in elements */
} tiles;

enum { TILE = 16 };
/* numbers moved without a look at them */
typedef uint32_t __attribute__((may_alias)) word4;
typedef uint64_t __attribute__((may_alias)) word8;

static bool take_tiles(at_walk *w, size_t bytes, tiles *t)
{
    if (w->ndim == 0 || w->n < TILE || w->size[0] < TILE)
        return false;
    *t = (tiles){.n = w->n, .m = w->size[0]};
    for (int k = 0; k < 2; k++) {
        t->step[k] = w->step[k];
        t->jump[k] = w->jump[k][0] / (ptrdiff_t)bytes;
    }
    if (!((t->step[0] == 1 && t->jump[1] == 1) || (t->step[1] == 1 && t->jump[0] == 1)))
        return false;
    w->ndim--;
    for (size_t d = 0; d < w->ndim; d++) {
        w->size[d] = w->size[d + 1];
        for (int k = 0; k < 2; k++)
            w->jump[k][d] = w->jump[k][d + 1];
    }
    return true;
}

#define TILES(type, put)                                                                                               \
    do {                                                                                                               \
        const type *x = (const type *)(const void *)w.at[1];                                                           \
        type *y = (type *)(void *)w.at[0];                                                                             \
        for (size_t r = 0; r < t.m; r += TILE)                                                                         \
            for (size_t c = 0; c < t.n && !at_cut_short(); c += TILE)                                                  \
                for (size_t j = r; j < t.m && j < r + TILE; j++)                                                       \
                    for (size_t i = c; i < t.n && i < c + TILE; i++)                                                   \
                        y[(ptrdiff_t)j * t.jump[0] + (ptrdiff_t)i * t.step[0]] put                                     \
                            x[(ptrdiff_t)j * t.jump[1] + (ptrdiff_t)i * t.step[1]];                                    \
    } while (0)

#define COPY(to, from, convert)                                                                                        \
    do {                                                                                                               \
        const from *x = (const from *)(const void *)at[1];                                                             \
        to *y = (to *)(void *)at[0];                                                                                   \
        for (size_t i = 0; i < n; i++)                                                                                 \
            y[(ptrdiff_t)i * step[0]] = (to)convert(x[(ptrdiff_t)i * step[1]]);                                        \
    } while (0)
#define TRUTH(x) ((x) != 0)

static inline uint8_t narrow(int64_t x) { return x > 255 ? 255 : x > 0 ? (uint8_t)x : 0; }

/* context: the two dtypes as one number */
static void copy_row(size_t n, char *const *at, const ptrdiff_t *step, void *context)
{
    switch (*(const int *)context) {
    case AT_F32 *AT_DTYPES + AT_F32: COPY(float, float, ); break;
    case AT_F32 *AT_DTYPES + AT_F64: COPY(float, double, ); break;
    case AT_F32 *AT_DTYPES + AT_I64: COPY(float, int64_t, ); break;
    case AT_F32 *AT_DTYPES + AT_BOOL: COPY(float, uint8_t, ); break;
    case AT_F64 *AT_DTYPES + AT_F32: COPY(double, float, ); break;
    case AT_F64 *AT_DTYPES + AT_F64: COPY(double, double, ); break;
    case AT_F64 *AT_DTYPES + AT_I64: COPY(double, int64_t, ); break;
    case AT_F64 *AT_DTYPES + AT_BOOL: COPY(double, uint8_t, ); break;
    case AT_I64 *AT_DTYPES + AT_F32: COPY(int64_t, float, at_to_int64); break;
    case AT_I64 *AT_DTYPES + AT_F64: COPY(int64_t, double, at_to_int64); break;
    case AT_I64 *AT_DTYPES + AT_I64: COPY(int64_t, int64_t, ); break;
    case AT_I64 *AT_DTYPES + AT_BOOL: COPY(int64_t, uint8_t, ); break;
    case AT_BOOL *AT_DTYPES + AT_F32: COPY(uint8_t, float, TRUTH); break;
    case AT_BOOL *AT_DTYPES + AT_F64: COPY(uint8_t, double, TRUTH); break;
    case AT_BOOL *AT_DTYPES + AT_I64: COPY(uint8_t, int64_t, TRUTH); break;
    case AT_BOOL *AT_DTYPES + AT_U8: COPY(uint8_t, uint8_t, TRUTH); break;
    case AT_BOOL *AT_DTYPES + AT_BOOL: COPY(uint8_t, uint8_t, TRUTH); break;
    case AT_F32 *AT_DTYPES + AT_U8: COPY(float, uint8_t, ); break;
    case AT_F64 *AT_DTYPES + AT_U8: COPY(double, uint8_t, ); break;
    case AT_I64 *AT_DTYPES + AT_U8: COPY(int64_t, uint8_t, ); break;
    case AT_U8 *AT_DTYPES + AT_F32: COPY(uint8_t, float, at_to_uint8); break;
    case AT_U8 *AT_DTYPES + AT_F64: COPY(uint8_t, double, at_to_uint8); break;
    case AT_U8 *AT_DTYPES + AT_I64: COPY(uint8_t, int64_t, narrow); break;
    case AT_U8 *AT_DTYPES + AT_BOOL: COPY(uint8_t, uint8_t, TRUTH); break;
    default: COPY(uint8_t, uint8_t, ); break;
    }
}

void at_copy_bytes(char *to, const char *from, size_t bytes)
{
    AT_PIECES(i, end, bytes)
    {
        memcpy(to + i, from + i, end - i);
        i = end;
    }
}

void at_copy_elements(at_tensor *dst, const at_tensor *src)
{
    if (dst->dtype == src->dtype && at_contiguous(dst) && at_contiguous(src)) {
        if (dst->data != src->data)
            at_copy_bytes(dst->data, src->data, at_numel(src) * dtypes[src->dtype].bytes);
        return;
    }
    const at_tensor *both[] = {dst, src};
    at_walk w = at_walk_of(2, both);
    tiles t;
    size_t bytes = dtypes[dst->dtype].bytes;
    if (dst->dtype == src->dtype && take_tiles(&w, bytes, &t)) {
        do
            if (bytes == 1)
                TILES(uint8_t, =);
            else if (bytes == 4)
                TILES(word4, =);
            else
                TILES(word8, =);
        while (at_walk_next(&w));
        return;
    }
    at_run_in_order(&w, both, copy_row, &(int){dst->dtype * AT_DTYPES + src->dtype});
}

size_t at_places(const at_tensor *x, int64_t *to)
{
    size_t n = at_numel(x), count = 0, index[AT_MAX_DIM] = {0};
    ptrdiff_t at = 0;

    AT_PIECES(i, end, n)
    for (; i < end; i++) {
        if (x->dtype == AT_BOOL ? x->data[at] != 0 : at_element(x, at) != 0) {
            if (to)
                to[count] = (int64_t)i;
            count++;
        }
        for (size_t d = x->ndim; d-- > 0;) {
            at += x->step[d];
            if (++index[d] < x->size[d])
                break;
            at -= x->step[d] * (ptrdiff_t)index[d];
            index[d] = 0;
        }
    }
    return count;
}

/* Element number i, in row order, of the first `lead` dimensions: how far from t->data, in elements. */
static ptrdiff_t offset_of(const at_tensor *t, size_t lead, size_t i)
{
    ptrdiff_t at = 0;
    for (size_t d = lead; d-- > 0; i /= t->size[d])
        at += (ptrdiff_t)(i % t->size[d]) * t->step[d];
    return at;
}

/* What is left of t without its first `lead` dimensions. */
static at_tensor row_of(const at_tensor *t, size_t lead)
{
    at_tensor row = *t;
    row.ndim = (uint8_t)(t->ndim - lead);
    memmove(row.size, row.size + lead, row.ndim * sizeof *row.size);
    memmove(row.step, row.step + lead, row.ndim * sizeof *row.step);
    return row;
}

void at_put_rows(at_tensor *t, size_t lead, const int64_t *place, size_t n, const at_tensor *src)
{
    size_t rows = src->ndim - (t->ndim - lead), bytes = dtypes[t->dtype].bytes;
    at_tensor to = row_of(t, lead), from = row_of(src, rows);
    bool single = at_numel(&to) == 1 && t->dtype == src->dtype;

    for (size_t k = 0; k < n && !at_cut_short(); k++) {
        to.data = t->data + offset_of(t, lead, (size_t)place[k]) * (ptrdiff_t)bytes;
        from.data = src->data + offset_of(src, rows, k) * (ptrdiff_t)dtypes[src->dtype].bytes;
        if (single)
            memcpy(to.data, from.data, bytes);
        else
            at_copy_elements(&to, &from);
    }
}

#define ADD(type)                                                                                                      \
    do {                                                                                                               \
        const type *x = (const type *)(const void *)at[1];                                                             \
        type *y = (type *)(void *)at[0];                                                                               \
        for (size_t i = 0; i < n; i++)                                                                                 \
            y[(ptrdiff_t)i * step[0]] += x[(ptrdiff_t)i * step[1]];                                                    \
    } while (0)

static void add_row(size_t n, char *const *at, const ptrdiff_t *step, void *context)
{
    if (*(const at_dtype *)context == AT_F32)
        ADD(float);
    else
        ADD(double);
}

void at_add_elements(at_tensor *dst, const at_tensor *src)
{
    const at_tensor *both[] = {dst, src};
    at_walk w = at_walk_of(2, both);
    tiles t;
    if (take_tiles(&w, dtypes[dst->dtype].bytes, &t)) {
        do
            if (dst->dtype == AT_F32)
                TILES(float, +=);
            else
                TILES(double, +=);
        while (at_walk_next(&w));
        return;
    }
    at_run_in_order(&w, both, add_row, &(at_dtype){(at_dtype)dst->dtype});
}

#define FILL(type, v)                                                                                                  \
    do {                                                                                                               \
        type *y = (type *)(void *)at[0], x = (type)(v);                                                                \
        for (size_t i = 0; i < n; i++)                                                                                 \
            y[(ptrdiff_t)i * step[0]] = x;                                                                             \
    } while (0)

typedef struct filling {
    at_dtype dtype;
    double value;
} filling;

static void fill_row(size_t n, char *const *at, const ptrdiff_t *step, void *context)
{
    const filling *f = context;
    switch (f->dtype) {
    case AT_F32: FILL(float, f->value); break;
    case AT_F64: FILL(double, f->value); break;
    case AT_I64: FILL(int64_t, at_to_int64(f->value)); break;
    case AT_U8: FILL(uint8_t, at_to_uint8(f->value)); break;
    default: FILL(uint8_t, f->value != 0); break;
    }
}

void at_fill(at_tensor *t, double value)
{
    const at_tensor *one[] = {t};
    at_walk w = at_walk_of(1, one);
    at_run_in_order(&w, one, fill_row, &(filling){(at_dtype)t->dtype, value});
}

/* ---- text ---- */

at_text at_describe_shape(size_t ndim, const size_t *size)
{
    at_text t;
    int at = snprintf(t.text, sizeof t.text, "[");
    for (size_t d = 0; d < ndim && at < (int)sizeof t.text; d++)
        at += snprintf(t.text + at, sizeof t.text - (size_t)at, d ? ", %zu" : "%zu", size[d]);
    if (at < (int)sizeof t.text - 1)
        strcpy(t.text + at, "]");
    return t;
}

at_text at_describe(const at_tensor *t)
{
    at_text text, shape = at_describe_shape(t->ndim, t->size);
    snprintf(text.text, sizeof text.text, "%s %.140s", dtypes[t->dtype].name, shape.text);
    return text;
}
