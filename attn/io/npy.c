/*
 * npy, NumPy's format of one array: "\x93NUMPY", version (2 bytes), length of the header (2 bytes, from version 2.0 on
 * 4), a Python dictionary {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, padded to a multiple of 64, then
 * the numbers.
 *
 * Written: version 1.0, C order. Read: versions 1.0 to 3.0, either byte order, Fortran order by transposition. Objects
 * ('O'), which are pickles, strings and records are refused.
 */
#include "attn/io/io.h"

#include "attn/core/alloc.h"
#include "attn/core/parallel.h"

#include <stdio.h>
#include <string.h>

enum { MAX_HEADER = 10000 }; /* NumPy's own limit */

typedef struct array {
    at_file_type type;
    bool swap, fortran;
    size_t ndim, size[AT_MAX_DIM];
} array;

/* ---- the dictionary ---- */

typedef struct cursor {
    const char *at, *end;
    bool bad;
} cursor;

static void skip_space(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t'))
        c->at++;
}

static bool accept(cursor *c, const char *word)
{
    size_t n = strlen(word);
    skip_space(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0)
        return false;
    c->at += n;
    return true;
}

static void expect(cursor *c, const char *word) { c->bad = !accept(c, word) || c->bad; }

/* 'text' or "text", without escapes, into a buffer. */
static void read_string(cursor *c, char *text, size_t room)
{
    text[0] = 0;
    skip_space(c);
    char quote = c->at < c->end ? *c->at : 0;
    const char *from = c->at + 1, *to = from;
    if (quote != '\'' && quote != '"') {
        c->bad = true;
        return;
    }
    while (to < c->end && *to != quote)
        to++;
    if (to >= c->end || (size_t)(to - from) >= room) {
        c->bad = true;
        return;
    }
    memcpy(text, from, (size_t)(to - from));
    text[to - from] = 0;
    c->at = to + 1;
}

static void read_shape(cursor *c, array *a)
{
    expect(c, "(");
    while (!c->bad && !accept(c, ")")) {
        uint64_t n = 0;
        skip_space(c);
        const char *from = c->at;
        while (c->at < c->end && *c->at >= '0' && *c->at <= '9' && n < (uint64_t)1 << 53)
            n = n * 10 + (uint64_t)(*c->at++ - '0');
        if (c->at == from || a->ndim == AT_MAX_DIM || n > (uint64_t)1 << 53)
            c->bad = true;
        else
            a->size[a->ndim++] = (size_t)n;
        if (!accept(c, ",")) {
            expect(c, ")");
            break;
        }
    }
}

static bool read_type(const char *path, const char *descr, array *a, at_error *e)
{
    static const struct {
        char code[4];
        at_file_type type;
    } types[] = {
        {"f8", AT_FILE_F64}, {"f4", AT_FILE_F32}, {"f2", AT_FILE_F16}, {"i8", AT_FILE_I64},
        {"i4", AT_FILE_I32}, {"i2", AT_FILE_I16}, {"i1", AT_FILE_I8},  {"u8", AT_FILE_U64},
        {"u4", AT_FILE_U32}, {"u2", AT_FILE_U16}, {"u1", AT_FILE_U8},  {"b1", AT_FILE_BOOL},
    };
    bool ordered = descr[0] && strchr("<>|=", descr[0]);
    a->swap = descr[0] == '>';
    for (size_t k = 0; ordered && k < sizeof types / sizeof types[0]; k++)
        if (strcmp(descr + 1, types[k].code) == 0) {
            a->type = types[k].type;
            return true;
        }
    if (descr[0] == 'O' || (ordered && descr[1] == 'O'))
        return at_error_set(e, "%.200s: the array holds Python objects, which are not loaded", path);
    return at_error_set(e, "%.200s: the array has the dtype '%.20s', which is not supported", path, descr);
}

static bool read_dictionary(const char *path, const char *text, size_t n, array *a, at_error *e)
{
    cursor c = {text, text + n, false};
    char key[32], descr[32] = "";
    int seen[3] = {0};
    expect(&c, "{");
    while (!c.bad && !accept(&c, "}")) {
        read_string(&c, key, sizeof key);
        expect(&c, ":");
        if (strcmp(key, "descr") == 0) {
            seen[0]++;
            if (accept(&c, "["))
                return at_error_set(e, "%.200s: the array holds records, which are not loaded", path);
            read_string(&c, descr, sizeof descr);
        } else if (strcmp(key, "fortran_order") == 0) {
            seen[1]++;
            a->fortran = accept(&c, "True");
            if (!a->fortran)
                expect(&c, "False");
        } else if (strcmp(key, "shape") == 0) {
            seen[2]++;
            a->ndim = 0;
            read_shape(&c, a);
        } else {
            c.bad = true;
        }
        if (!accept(&c, ",")) {
            expect(&c, "}");
            break;
        }
    }
    skip_space(&c);
    for (const char *p = descr; *p; p++)
        c.bad = c.bad || (unsigned char)*p < 32 || (unsigned char)*p > 126;
    if (c.bad || c.at != c.end || seen[0] != 1 || seen[1] != 1 || seen[2] != 1)
        return at_error_set(e,
                            "%.200s: the header is no dictionary of descr, fortran_order and a shape of up to %d sizes",
                            path, AT_MAX_DIM);
    return read_type(path, descr, a, e);
}

/* ---- loading ---- */

/* Header read and checked; *data is the place of the first number. */
static bool read_header(at_source *s, array *a, uint64_t *data, at_error *e)
{
    unsigned char start[12];
    char text[MAX_HEADER];
    if (s->size < sizeof start || !at_source_read(s, 0, start, sizeof start, e) || memcmp(start, "\x93NUMPY", 6) != 0)
        return at_error_set(e, "%.200s: not an npy file", s->path);
    if (start[6] < 1 || start[6] > 3 || start[7] != 0)
        return at_error_set(e, "%.200s: npy version %d.%d is not known", s->path, start[6], start[7]);
    uint64_t from = start[6] == 1 ? 10 : 12, length = start[8] | (uint64_t)start[9] << 8;
    if (start[6] > 1)
        length |= (uint64_t)start[10] << 16 | (uint64_t)start[11] << 24;
    if (length > MAX_HEADER || length > s->size - from)
        return at_error_set(e, "%.200s: the header would be %llu bytes long: cut off, or not an npy file", s->path,
                            (unsigned long long)length);
    if (!at_source_read(s, from, text, (size_t)length, e) || !read_dictionary(s->path, text, (size_t)length, a, e))
        return false;
    size_t n;
    *data = from + length;
    if (!at_count_elements(a->ndim, a->size, &n) || n * at_file_type_bytes(a->type) != s->size - *data)
        return at_error_set(e, "%.200s: the file has %llu bytes of numbers, which is not what shape %s needs", s->path,
                            (unsigned long long)(s->size - *data), at_describe_shape(a->ndim, a->size).text);
    return true;
}

/* The array as the file has it, and if that is column by column, in row order. */
static at_tensor *load(at_source *s, at_error *e)
{
    array a = {0};
    uint64_t data;
    if (!read_header(s, &a, &data, e))
        return NULL;
    size_t size[AT_MAX_DIM];
    for (size_t d = 0; d < a.ndim; d++)
        size[d] = a.size[a.fortran ? a.ndim - 1 - d : d];
    at_tensor *t = at_tensor_new(at_file_type_dtype(a.type), a.ndim, size, e);
    if (!t)
        return NULL;
    if (!at_source_elements(s, data, a.type, a.swap, t, "the array", e)) {
        at_release(t);
        return NULL;
    }
    if (!a.fortran || a.ndim < 2)
        return t;
    ptrdiff_t step[AT_MAX_DIM];
    for (size_t d = 0; d < a.ndim; d++)
        step[d] = t->step[a.ndim - 1 - d];
    at_tensor *view = at_view_of(t, a.ndim, a.size, step, 0, e), *made = NULL;
    if (view && (made = at_tensor_new((at_dtype)t->dtype, a.ndim, a.size, e)))
        at_copy_elements(made, view);
    if (made && !at_uninterrupted(e)) {
        at_release(made);
        made = NULL;
    }
    at_release(view);
    at_release(t);
    return made;
}

at_tensor *at_npy_load(const char *path, at_error *e)
{
    at_source s;
    if (!at_source_open(&s, path, e))
        return NULL;
    at_tensor *t = load(&s, e);
    at_source_close(&s);
    return t;
}

/* ---- saving ---- */

bool at_npy_save(const char *path, const at_tensor *t, at_error *e)
{
    static const char *const codes[AT_DTYPES] = {
        [AT_F32] = "<f4", [AT_F64] = "<f8", [AT_I64] = "<i8", [AT_BOOL] = "|b1", [AT_U8] = "|u1",
    };
    char header[512] = "\x93NUMPY\1";
    size_t at = 10;
    at += (size_t)snprintf(
        header + at, sizeof header - at, "{'descr': '%s', 'fortran_order': False, 'shape': (", codes[t->dtype]);
    for (size_t d = 0; d < t->ndim; d++)
        at += (size_t)snprintf(header + at, sizeof header - at,
                               t->ndim == 1 ? "%zu,"
                               : d          ? ", %zu"
                                            : "%zu",
                               t->size[d]);
    at += (size_t)snprintf(header + at, sizeof header - at, "), }");
    while (at % 64 != 63)
        header[at++] = ' ';
    header[at++] = '\n';
    header[8] = (char)((at - 10) & 255);
    header[9] = (char)((at - 10) >> 8);
    at_file *f = at_file_create(path, e);
    if (!f)
        return false;
    if (at_file_write(f, header, at, e) && at_file_elements(f, t, at_file_type_of(t), e))
        return at_file_commit(f, e);
    at_file_abort(f);
    return false;
}
