/*
 * Tensors as scripts see them: construction, indexing, conversion, in-place writes. Views are made by the operations `select` and
 * `narrow`, so that indexing is on the tape like everything else.
 */
#include "vm/bind.h"

#include <math.h>
#include <string.h>

/* ---- running an operation from here ---- */

/* Applies an operation to the tensor at stack place `at` (and the one at `second`, if that is not 0); the result is left on top. */
static void push_result(lua_State *L, int at, int second, int id, int n, const int64_t *arg)
{
    vm_tensor_box *box = vm_push_box(L);
    for (int attempt = 0;; attempt++) {
        const char *name = at_any_op(&at_ops[id])->name;
        at_tensor *t = vm_check_any_tensor(L, at, name, "self"),
                  *other = second ? vm_check_tensor(L, second, name, "index") : NULL;
        at_error e;
        at_error_clear(&e);
        vm_running = L;
        at_call *c = at_call_new(&at_ops[id], second ? 2 : 1, &e);
        if (c) {
            c->in[0] = t;
            if (second)
                c->in[1] = other;
            for (int k = 0; k < n; k++)
                c->arg[k].integer = arg[k];
            c->given = (1u << n) - 1;
            if (at_call_run(c, &e))
                box->t = at_call_take(c, 0);
            at_call_end(c);
        }
        if (box->t)
            return;
        vm_retry(L, &e, attempt);
    }
}

/* The same with a view of one tensor. */
static void push_view(lua_State *L, int at, int id, int n, const int64_t *arg) { push_result(L, at, 0, id, n, arg); }

/* ---- constructors ---- */

/* Reads `{dtype = ...}` at a stack place; other fields are errors. */
static at_dtype read_dtype(lua_State *L, int at, at_dtype otherwise, const char *where)
{
    if (lua_isnoneornil(L, at))
        return otherwise;
    if (lua_type(L, at) != LUA_TTABLE)
        vm_error(L, "%s: options are %s, expected a table", where, vm_describe(L, at).text);
    at_dtype dtype = otherwise;
    for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), "dtype") != 0)
            vm_error(L, "%s: unknown option %s (known: dtype%s)", where, vm_describe(L, -2).text,
                     lua_type(L, -2) == LUA_TSTRING ? at_suggest("; ", lua_tostring(L, -2), "dtype", "").text : "");
        dtype = vm_check_dtype(L, lua_gettop(L), where);
    }
    return dtype;
}

/* A new tensor in a box on top; retried once after a collection. */
static at_tensor *push_new(lua_State *L, const char *where, at_dtype dtype, size_t ndim, const size_t *size)
{
    at_error e;
    at_error_clear(&e);
    vm_tensor_box *box = vm_push_box(L);
    box->t = at_tensor_new(dtype, ndim, size, &e);
    if (!box->t && e.memory) {
        vm_collect(L);
        at_error_clear(&e);
        box->t = at_tensor_new(dtype, ndim, size, &e);
    }
    if (!box->t) {
        at_error_place(&e, where);
        vm_raise(L, &e);
    }
    vm_account(L);
    return box->t;
}

/* The end of a constructor: the new tensor is on top, filled if no Ctrl-C came. */
static int made(lua_State *L)
{
    vm_poll(L);
    return 1;
}

static at_tensor *sized(lua_State *L, const char *where, at_dtype otherwise, int at)
{
    size_t size[AT_MAX_DIM];
    int next;
    size_t n = vm_check_sizes(L, at, size, &next, where);
    at_dtype dtype = read_dtype(L, next, otherwise, where);
    if (lua_gettop(L) > next)
        vm_error(L, "%s: argument %d is %s, expected nothing more", where, next + 1, vm_describe(L, next + 1).text);
    return push_new(L, where, dtype, n, size);
}

static int fill_with(lua_State *L, const char *where, double value)
{
    at_fill(sized(L, where, AT_F32, 1), value);
    return made(L);
}

static int zeros(lua_State *L) { return fill_with(L, "zeros", 0); }
static int ones(lua_State *L) { return fill_with(L, "ones", 1); }

/* Filled with zeros as well: what was in memory before is nobody's business, and NaN in it would be a riddle. */
static int empty(lua_State *L) { return fill_with(L, "empty", 0); }

/* at_fill by way of a double would round what is beyond 2^53. */
static void fill_whole(at_tensor *t, int64_t value)
{
    at_tensor spread = *t;
    memset(spread.step, 0, sizeof spread.step);
    spread.data = (char *)&value;
    at_copy_elements(t, &spread);
}

/* The number at a stack place, for a tensor of uint8. */
static int64_t check_byte(lua_State *L, int at, const char *where, const char *name)
{
    int64_t x = vm_check_integer(L, at, where, name);
    if (x < 0 || x > 255)
        vm_error(L, "%s: %s is %lld, expected an integer from 0 to 255 for uint8", where, name, (long long)x);
    return x;
}

static int full(lua_State *L)
{
    size_t size[AT_MAX_DIM];
    int next;
    if (lua_type(L, 1) != LUA_TTABLE)
        vm_error(L, "full: sizes are %s, expected a table", vm_describe(L, 1).text);
    size_t n = vm_check_sizes(L, 1, size, &next, "full");
    bool truth = lua_type(L, 2) == LUA_TBOOLEAN;
    double value = truth ? lua_toboolean(L, 2) : vm_check_number(L, 2, "full", "value");
    at_dtype dtype = read_dtype(L, 3, truth ? AT_BOOL : AT_F32, "full");
    if (dtype == AT_I64 && !truth) {
        int64_t whole = vm_check_integer(L, 2, "full", "value");
        fill_whole(push_new(L, "full", dtype, n, size), whole);
    } else {
        if (dtype == AT_U8 && !truth)
            value = (double)check_byte(L, 2, "full", "value");
        at_fill(push_new(L, "full", dtype, n, size), value);
    }
    return made(L);
}

static at_tensor *check_float(lua_State *L, at_tensor *t, const char *where)
{
    if (!at_is_float(t))
        vm_error(L, "%s: dtype is %s, expected float32 or float64", where, at_dtype_name((at_dtype)t->dtype));
    return t;
}

static int randint(lua_State *L)
{
    int64_t low = vm_check_integer(L, 1, "randint", "low"), high = vm_check_integer(L, 2, "randint", "high");
    if (low > high)
        vm_error(L, "randint: low is %lld, above high %lld", (long long)low, (long long)high);
    at_tensor *t = sized(L, "randint", AT_I64, 3);
    if (t->dtype != AT_I64 && t->dtype != AT_U8)
        vm_error(L, "randint: dtype is %s, expected int64 or uint8", at_dtype_name((at_dtype)t->dtype));
    if (t->dtype == AT_U8 && (low < 0 || high > 255))
        vm_error(L, "randint: %lld to %lld is not within 0 to 255, what uint8 holds", (long long)low, (long long)high);
    size_t n = at_numel(t);
    at_random stream = at_random_reserve(n);
    if (t->dtype == AT_I64) {
        at_random_integer(stream, n, low, high, (int64_t *)(void *)t->data);
        return made(L);
    }
    at_tensor *draw = push_new(L, "randint", AT_I64, t->ndim, t->size);
    at_random_integer(stream, n, low, high, (int64_t *)(void *)draw->data);
    at_copy_elements(t, draw);
    lua_pop(L, 1);
    return made(L);
}

static int bernoulli(lua_State *L)
{
    double p = vm_check_number(L, 1, "bernoulli", "p");
    if (!(p >= 0 && p <= 1))
        vm_error(L, "bernoulli: p is %.14g, expected 0 to 1", p);
    at_tensor *t = sized(L, "bernoulli", AT_F32, 2);
    size_t n = at_numel(t);
    at_random stream = at_random_reserve(n);
    if (t->dtype == AT_BOOL) {
        at_random_bernoulli(stream, n, p, (uint8_t *)t->data);
        return made(L);
    }
    size_t size = n;
    at_tensor *draw = push_new(L, "bernoulli", AT_BOOL, 1, &size);
    at_random_bernoulli(stream, n, p, (uint8_t *)draw->data);
    at_tensor flat = *draw;
    flat.ndim = t->ndim;
    memcpy(flat.size, t->size, sizeof flat.size);
    memcpy(flat.step, t->step, sizeof flat.step);
    at_copy_elements(t, &flat);
    lua_pop(L, 1);
    return made(L);
}

static int arange(lua_State *L)
{
    int n = lua_gettop(L);
    bool table = n > 0 && lua_istable(L, n), whole = true;
    int numbers = table ? n - 1 : n;
    if (numbers < 1 || numbers > 3)
        vm_error(L, "arange: %d numbers, expected first, last and perhaps step", numbers);
    double v[3] = {1, 1, 1};
    int64_t w[3] = {1, 1, 1}; /* the same where all are integers: beyond 2^53 they are no doubles */
    for (int k = 0; k < numbers; k++) {
        v[k] = vm_check_number(L, k + 1, "arange", k == 0 ? "first" : k == 1 ? "last" : "step");
        w[k] = lua_tointeger(L, k + 1);
        whole = whole && lua_isinteger(L, k + 1);
    }
    if (numbers == 1) {
        v[1] = v[0];
        w[1] = w[0];
        v[0] = w[0] = 1;
    }
    if (v[2] == 0 || !isfinite(v[0]) || !isfinite(v[1]) || !isfinite(v[2]))
        vm_error(L, "arange: step is %.14g from %.14g to %.14g, expected finite numbers and a step that is not 0", v[2],
                 v[0], v[1]);
    double steps = floor((v[1] - v[0]) / v[2] + 1e-9);
    if (whole && steps >= 0) {
        bool up = w[2] > 0;
        uint64_t distance = up ? (uint64_t)w[1] - (uint64_t)w[0] : (uint64_t)w[0] - (uint64_t)w[1];
        steps = (up ? w[1] < w[0] : w[1] > w[0]) ? -1 : (double)(distance / (up ? (uint64_t)w[2] : -(uint64_t)w[2]));
    }
    if (steps > 1e12)
        vm_error(L, "arange: %.14g elements are too many", steps + 1);
    size_t count = steps < 0 ? 0 : (size_t)steps + 1;
    at_dtype dtype = read_dtype(L, table ? n : n + 1, whole ? AT_I64 : AT_F32, "arange");
    for (int k = 0; dtype == AT_U8 && count > 0 && k < 2; k++) {
        double end = k ? v[0] + (double)(count - 1) * v[2] : v[0];
        if (!whole || end < 0 || end > 255)
            vm_error(L, "arange: %.14g is among the numbers, expected integers from 0 to 255 for uint8",
                     whole ? end : v[k]);
    }
    at_tensor *t = push_new(L, "arange", dtype, 1, &count);
    AT_PIECES(i, end, count)
    for (; i < end; i++) {
        double x = v[0] + (double)i * v[2];
        switch (dtype) {
        case AT_F32: ((float *)(void *)t->data)[i] = (float)x; break;
        case AT_F64: ((double *)(void *)t->data)[i] = x; break;
        case AT_I64:
            ((int64_t *)(void *)t->data)[i] = whole ? (int64_t)((uint64_t)w[0] + i * (uint64_t)w[2]) : at_to_int64(x);
            break;
        case AT_U8: ((uint8_t *)t->data)[i] = at_to_uint8(x); break;
        default: ((uint8_t *)t->data)[i] = x != 0; break;
        }
    }
    return made(L);
}

static int linspace(lua_State *L)
{
    double first = vm_check_number(L, 1, "linspace", "first"), last = vm_check_number(L, 2, "linspace", "last");
    int64_t n = vm_check_integer(L, 3, "linspace", "count");
    if (n < 0 || n > (int64_t)1 << 40)
        vm_error(L, "linspace: count is %lld, expected 0..2^40", (long long)n);
    at_dtype dtype = read_dtype(L, 4, AT_F32, "linspace");
    if (dtype != AT_F32 && dtype != AT_F64)
        vm_error(L, "linspace: dtype is %s, expected float32 or float64", at_dtype_name(dtype));
    size_t count = (size_t)n;
    at_tensor *t = push_new(L, "linspace", dtype, 1, &count);
    AT_PIECES(i, end, count)
    for (; i < end; i++) {
        double share = count > 1 ? (double)i / (double)(count - 1) : 0;
        double x = i > 0 && i == count - 1 ? last : first + share * (last - first);
        dtype == AT_F32 ? (void)(((float *)(void *)t->data)[i] = (float)x) : (void)(((double *)(void *)t->data)[i] = x);
    }
    return made(L);
}

/* Each place i takes what stands at a place up to i drawn for it, and i goes there. The draws stand where the result will. */
static int randperm(lua_State *L)
{
    int64_t n = vm_check_integer(L, 1, "randperm", "n");
    if (n < 0 || n > (int64_t)1 << 40)
        vm_error(L, "randperm: n is %lld, expected 0..2^40", (long long)n);
    if (lua_gettop(L) > 1)
        vm_error(L, "randperm: argument 2 is %s, expected nothing more", vm_describe(L, 2).text);
    size_t count = (size_t)n;
    at_tensor *t = push_new(L, "randperm", AT_I64, 1, &count);
    int64_t *y = (int64_t *)(void *)t->data;
    at_random_integer(at_random_reserve(count), count, 0, INT64_MAX, y);
    AT_PIECES(i, end, count)
    for (; i < end; i++) {
        size_t j = (size_t)(((unsigned __int128)(uint64_t)y[i] * (i + 1)) >> 63);
        y[i] = y[j];
        y[j] = (int64_t)i + 1;
    }
    return made(L);
}

static int eye(lua_State *L)
{
    int64_t n = vm_check_integer(L, 1, "eye", "n");
    if (n < 0 || n > 1 << 20)
        vm_error(L, "eye: n is %lld, expected 0 to 1048576", (long long)n);
    at_dtype dtype = read_dtype(L, 2, AT_F32, "eye");
    at_tensor *t = push_new(L, "eye", dtype, 2, (size_t[]){(size_t)n, (size_t)n});
    at_fill(t, 0);
    at_tensor diagonal = *t;
    diagonal.ndim = 1;
    diagonal.step[0] = n + 1;
    at_fill(&diagonal, 1);
    return made(L);
}

/* ---- like another tensor ---- */

/* A new tensor of x's shape, and of its dtype if the options at stack place `at` name no other. */
static at_tensor *push_like(lua_State *L, const char *where, int at)
{
    at_tensor *x = vm_check_tensor(L, 1, where, "x");
    at_dtype dtype = read_dtype(L, at, (at_dtype)x->dtype, where);
    if (lua_gettop(L) > at)
        vm_error(L, "%s: argument %d is %s, expected nothing more", where, at + 1, vm_describe(L, at + 1).text);
    x = vm_check_tensor(L, 1, where, "x");
    size_t size[AT_MAX_DIM];
    memcpy(size, x->size, sizeof size);
    return push_new(L, where, dtype, x->ndim, size);
}

static int fill_like(lua_State *L, const char *where, double value)
{
    at_fill(push_like(L, where, 2), value);
    return made(L);
}

static int zeros_like(lua_State *L) { return fill_like(L, "zeros_like", 0); }
static int ones_like(lua_State *L) { return fill_like(L, "ones_like", 1); }
static int empty_like(lua_State *L) { return fill_like(L, "empty_like", 0); }

static int full_like(lua_State *L)
{
    bool truth = lua_type(L, 2) == LUA_TBOOLEAN;
    double value = truth ? lua_toboolean(L, 2) : vm_check_number(L, 2, "full_like", "value");
    at_tensor *t = push_like(L, "full_like", 3);
    if (t->dtype == AT_I64 && !truth)
        fill_whole(t, vm_check_integer(L, 2, "full_like", "value"));
    else
        at_fill(t, t->dtype == AT_U8 && !truth ? (double)check_byte(L, 2, "full_like", "value") : value);
    return made(L);
}

static int fill_random(lua_State *L, at_tensor *t, const char *where, bool normal)
{
    size_t n = at_numel(check_float(L, t, where));
    at_random stream = at_random_reserve(n);
    if (t->dtype == AT_F32)
        (normal ? at_random_normal_f32 : at_random_uniform_f32)(stream, n, (float *)(void *)t->data);
    else
        (normal ? at_random_normal_f64 : at_random_uniform_f64)(stream, n, (double *)(void *)t->data);
    return made(L);
}

static int rand_like(lua_State *L) { return fill_random(L, push_like(L, "rand_like", 2), "rand_like", false); }
static int randn_like(lua_State *L) { return fill_random(L, push_like(L, "randn_like", 2), "randn_like", true); }
static int rand_uniform(lua_State *L) { return fill_random(L, sized(L, "rand", AT_F32, 1), "rand", false); }
static int rand_normal(lua_State *L) { return fill_random(L, sized(L, "randn", AT_F32, 1), "randn", true); }

/* ---- from and to nested tables ---- */

static void nested_shape(lua_State *L, int at, size_t *ndim, size_t *size, bool *truth)
{
    *ndim = 0;
    lua_pushvalue(L, at);
    while (lua_type(L, -1) == LUA_TTABLE) {
        if (*ndim == AT_MAX_DIM)
            vm_error(L, "tensor: the table is nested more than %d deep", AT_MAX_DIM);
        size[(*ndim)++] = lua_rawlen(L, -1);
        if (size[*ndim - 1] == 0) {
            lua_pushnil(L);
            break;
        }
        luaL_checkstack(L, 4, "tensor");
        lua_rawgeti(L, -1, 1);
    }
    *truth = lua_type(L, -1) == LUA_TBOOLEAN;
}

static void read_nested(lua_State *L, at_tensor *t, size_t d, char **to)
{
    if (d == t->ndim) {
        int type = lua_type(L, -1);
        if (type != LUA_TNUMBER && type != LUA_TBOOLEAN)
            vm_error(L, "tensor: an element is %s, expected a number%s", vm_describe(L, -1).text,
                     type == LUA_TTABLE ? " (the rows are nested unevenly)" : "");
        double x = type == LUA_TBOOLEAN ? lua_toboolean(L, -1) : lua_tonumber(L, -1);
        switch (t->dtype) {
        case AT_F32: *(float *)(void *)*to = (float)x; break;
        case AT_F64: *(double *)(void *)*to = x; break;
        case AT_I64: {
            int whole = 1;
            int64_t i = type == LUA_TBOOLEAN ? (int64_t)x : lua_tointegerx(L, -1, &whole);
            if (!whole)
                vm_error(L, "tensor: an element is %.14g, expected an integer for int64", x);
            *(int64_t *)(void *)*to = i;
            break;
        }
        case AT_U8:
            if (x != at_to_uint8(x))
                vm_error(L, "tensor: an element is %.14g, expected an integer from 0 to 255 for uint8", x);
            *(uint8_t *)*to = (uint8_t)x;
            break;
        default: *(uint8_t *)*to = x != 0; break;
        }
        *to += at_dtype_bytes((at_dtype)t->dtype);
        return;
    }
    if (lua_type(L, -1) != LUA_TTABLE)
        vm_error(L, "tensor: a row is %s, expected a table of %zu", vm_describe(L, -1).text, t->size[d]);
    if (lua_rawlen(L, -1) != t->size[d])
        vm_error(L, "tensor: a row of dimension %zu has %zu elements, expected %zu", d + 1, (size_t)lua_rawlen(L, -1),
                 t->size[d]);
    for (size_t i = 1; i <= t->size[d]; i++) {
        vm_poll(L);
        lua_rawgeti(L, -1, (lua_Integer)i);
        read_nested(L, t, d + 1, to);
        lua_pop(L, 1);
    }
}

static int tensor(lua_State *L)
{
    size_t ndim, size[AT_MAX_DIM];
    bool truth;
    int type = lua_type(L, 1);
    if (type != LUA_TTABLE && type != LUA_TNUMBER && type != LUA_TBOOLEAN)
        vm_error(L, "tensor: argument 1 is %s, expected a nested table or a number", vm_describe(L, 1).text);
    lua_settop(L, 2);
    nested_shape(L, 1, &ndim, size, &truth);
    lua_settop(L, 2);
    at_dtype dtype = read_dtype(L, 2, truth ? AT_BOOL : AT_F32, "tensor");
    at_tensor *t = push_new(L, "tensor", dtype, ndim, size);
    luaL_checkstack(L, (int)ndim + 8, "tensor");
    lua_pushvalue(L, 1);
    char *to = t->data;
    read_nested(L, t, 0, &to);
    lua_pop(L, 1);
    return 1;
}

static void push_element(lua_State *L, const at_tensor *t, ptrdiff_t offset)
{
    if (t->dtype == AT_I64)
        lua_pushinteger(L, ((const int64_t *)(const void *)t->data)[offset]);
    else if (t->dtype == AT_U8)
        lua_pushinteger(L, ((const uint8_t *)t->data)[offset]);
    else if (t->dtype == AT_BOOL)
        lua_pushboolean(L, ((const uint8_t *)t->data)[offset] != 0);
    else
        lua_pushnumber(L, at_element(t, offset));
}

static void push_nested(lua_State *L, const at_tensor *t, size_t d, ptrdiff_t offset)
{
    if (d == t->ndim) {
        push_element(L, t, offset);
        return;
    }
    luaL_checkstack(L, 3, "totable");
    lua_createtable(L, (int)(t->size[d] < 1 << 24 ? t->size[d] : 0), 0);
    for (size_t i = 0; i < t->size[d]; i++) {
        vm_poll(L);
        push_nested(L, t, d + 1, offset + (ptrdiff_t)i * t->step[d]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* Also a weight kept for inference. */
static at_tensor *any_self(lua_State *L, const char *where)
{
    if (!vm_tensor_at(L, 1))
        vm_error(L, "%s: self is %s, expected a tensor (x:%s(...), with a colon)", where, vm_describe(L, 1).text,
                 where);
    return vm_check_any_tensor(L, 1, where, "self");
}

static at_tensor *self(lua_State *L, const char *where)
{
    any_self(L, where);
    return vm_check_tensor(L, 1, where, "self");
}

/* Without elements there may be tables without number: [1000000000, 0] has a thousand million empty rows. */
enum { EMPTY_TABLES = 1 << 20 };

static void check_tables(lua_State *L, const at_tensor *t)
{
    size_t tables = 1;
    for (size_t d = 0; at_numel(t) == 0 && t->size[d] != 0; d++)
        if (__builtin_mul_overflow(tables, t->size[d], &tables) || tables > EMPTY_TABLES)
            vm_error(L, "totable: the tensor has no elements, but more than %d empty rows (%s)", EMPTY_TABLES,
                     at_describe(t).text);
}

static int totable(lua_State *L)
{
    at_tensor *t = self(L, "totable");
    check_tables(L, t);
    push_nested(L, t, 0, 0);
    return 1;
}

static int item(lua_State *L)
{
    at_tensor *t = self(L, "item");
    if (at_numel(t) != 1)
        vm_error(L, "item: the tensor has %zu elements, expected 1 (%s)", at_numel(t), at_describe(t).text);
    push_element(L, t, 0);
    return 1;
}

/* ---- shape ---- */

static size_t check_dim(lua_State *L, const at_tensor *t, int at, const char *where)
{
    int64_t d = vm_check_integer(L, at, where, "d"), n = t->ndim;
    if (d == 0 || d > n || d < -n)
        vm_error(L, "%s: d is %lld, expected 1..%lld or -%lld..-1 (%s)", where, (long long)d, (long long)n,
                 (long long)n, at_describe(t).text);
    return (size_t)(d > 0 ? d - 1 : d + n);
}

static const char SIZES[] = "attn.sizes"; /* metatable of shapes, which are plain tables but for print */

static int sizes_tostring(lua_State *L)
{
    lua_pushliteral(L, "[");
    for (lua_Integer d = 1; lua_rawgeti(L, 1, d) != LUA_TNIL; d++) {
        const char *text = luaL_tolstring(L, -1, NULL);
        lua_pushfstring(L, "%s%s%s", lua_tostring(L, 2), d > 1 ? ", " : "", text);
        lua_replace(L, 2);
        lua_settop(L, 2);
    }
    lua_pop(L, 1);
    lua_pushliteral(L, "]");
    lua_concat(L, 2);
    return 1;
}

static void push_shape(lua_State *L, const at_tensor *t)
{
    lua_createtable(L, t->ndim, 0);
    for (int d = 0; d < t->ndim; d++) {
        lua_pushinteger(L, (lua_Integer)t->size[d]);
        lua_rawseti(L, -2, d + 1);
    }
    luaL_setmetatable(L, SIZES);
}

static int size_of(lua_State *L)
{
    at_tensor *t = any_self(L, "size");
    if (lua_isnoneornil(L, 2))
        push_shape(L, t);
    else
        lua_pushinteger(L, (lua_Integer)t->size[check_dim(L, t, 2, "size")]);
    return 1;
}

static int dim(lua_State *L)
{
    lua_pushinteger(L, any_self(L, "dim")->ndim);
    return 1;
}

static int numel(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)at_numel(any_self(L, "numel")));
    return 1;
}

static int is_contiguous(lua_State *L)
{
    lua_pushboolean(L, at_contiguous(any_self(L, "is_contiguous")));
    return 1;
}

static int length(lua_State *L)
{
    at_tensor *t = any_self(L, "#");
    if (t->ndim == 0)
        vm_error(L, "#: the tensor has no dimensions (%s)", at_describe(t).text);
    lua_pushinteger(L, (lua_Integer)t->size[0]);
    return 1;
}

/* ---- copies ---- */

static int detach(lua_State *L)
{
    vm_tensor_box *box = vm_push_box(L);
    at_error e;
    for (int attempt = 0; !box->t; attempt++) {
        at_tensor *t = any_self(L, "detach");
        at_error_clear(&e);
        box->t = at_detach(t, &e);
        if (!box->t)
            vm_retry(L, &e, attempt);
    }
    return 1;
}

/* The operation cast; to its own dtype gives the tensor itself. */
static int to(lua_State *L)
{
    at_tensor *t = any_self(L, "to");
    const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
    at_dtype dtype = AT_F32;
    if (!at_dtype_named(name, &dtype))
        vm_check_dtype(L, 2, "to");
    if (t->dtype == dtype) {
        lua_settop(L, 1);
        return 1;
    }
    push_view(L, 1, AT_ID_cast, 1, (int64_t[]){dtype});
    vm_account(L);
    return 1;
}

static void split_by(lua_State *L, const char *where, bool chunks)
{
    at_tensor *t = self(L, where);
    int64_t n = vm_check_integer(L, 2, where, chunks ? "n" : "size");
    lua_settop(L, 3);
    if (lua_isnil(L, 3)) {
        lua_pushinteger(L, 1);
        lua_replace(L, 3);
    }
    size_t d = check_dim(L, t, 3, where), total = t->size[d];
    if (n < 1)
        vm_error(L, "%s: %s is %lld, expected at least 1", where, chunks ? "n" : "size", (long long)n);
    size_t size = chunks ? (total + (size_t)n - 1) / (size_t)n : (size_t)n;
    if (size == 0)
        size = 1;
    lua_newtable(L);
    lua_Integer k = 0;
    for (size_t start = 0; start < total || k == 0; start += size) {
        size_t len = total - start < size ? total - start : size;
        push_view(L, 1, AT_ID_narrow, 3, (int64_t[]){(int64_t)d + 1, (int64_t)start + 1, (int64_t)len});
        lua_rawseti(L, 4, ++k);
    }
}

static int split(lua_State *L)
{
    split_by(L, "split", false);
    return 1;
}
static int chunk(lua_State *L)
{
    split_by(L, "chunk", true);
    return 1;
}

/* ---- in-place writes ---- */

/* The tensor may be written to: it is no part of a graph, or no_grad is on. */
static void check_writable(lua_State *L, const at_tensor *t, const char *where)
{
    if (at_grad_enabled && at_needs_grad(t))
        vm_error(L, "%s: the tensor %s a gradient; in-place writes are not recorded, use attn.no_grad", where,
                 t->node ? "carries" : "requires");
}

/* A number or boolean at stack place `from` as an element of t. */
static uint64_t check_element(lua_State *L, const at_tensor *t, int from, const char *where)
{
    uint64_t word = 0;
    at_tensor one = {.dtype = t->dtype, .data = (char *)&word};
    bool number = lua_type(L, from) == LUA_TNUMBER;
    if (t->dtype == AT_I64 && number)
        fill_whole(&one, vm_check_integer(L, from, where, "value"));
    else if (t->dtype == AT_U8 && number)
        at_fill(&one, (double)check_byte(L, from, where, "value"));
    else
        at_fill(&one, number ? lua_tonumber(L, from) : lua_toboolean(L, from));
    return word;
}

/* A tensor that may be written into t: it loses no gradient, and its dtype fits. */
static at_tensor *check_source(lua_State *L, const at_tensor *t, int from, const char *where)
{
    at_tensor *src = vm_check_tensor(L, from, where, "value");
    if (at_grad_enabled && at_needs_grad(src) && at_is_float(t))
        vm_error(L,
                 "%s: value %s a gradient, which an in-place write would lose; use cat, stack, where or scatter_add, "
                 "or value:detach()",
                 where, src->node ? "carries" : "requires");
    if (at_is_float(src) && !at_is_float(t))
        vm_error(L, "%s: value is %s, the tensor %s", where, at_dtype_name((at_dtype)src->dtype),
                 at_dtype_name((at_dtype)t->dtype));
    return src;
}

/* Whether a number or boolean stands at a stack place. */
static bool is_element(lua_State *L, int at)
{
    return lua_type(L, at) == LUA_TNUMBER || lua_type(L, at) == LUA_TBOOLEAN;
}

/* What is to be written into places of t that have this shape: the value at stack place `from` (a number, boolean or tensor, broadcast),
 * as a record of the caller's. word: room for a number. A tensor that shares t's storage is copied into a box that is left on top. */
static at_tensor read_source(lua_State *L, at_tensor *t, size_t ndim, const size_t *shape, int from, uint64_t *word,
                             const char *where)
{
    at_tensor spread = {.ndim = (uint8_t)ndim, .dtype = t->dtype}, both = spread;
    memcpy(spread.size, shape, ndim * sizeof *shape);
    if (is_element(L, from)) {
        *word = check_element(L, t, from, where);
        spread.data = (char *)word;
        return spread;
    }
    at_tensor *src = check_source(L, t, from, where);
    size_t n, size[AT_MAX_DIM];
    both = spread;
    if (!at_broadcast(&both, src, &n, size) || n != ndim || memcmp(size, shape, n * sizeof *size) != 0)
        vm_error(L, "%s: value is %s, expected shape %s", where, at_describe(src).text,
                 at_describe_shape(ndim, shape).text);
    if (src->storage == t->storage) { /* the two may overlap */
        at_tensor *copy = push_new(L, where, (at_dtype)src->dtype, src->ndim, src->size);
        at_copy_elements(copy, src);
        src = copy;
    }
    spread.dtype = src->dtype;
    spread.data = src->data;
    for (size_t i = 0; i < ndim; i++) {
        size_t d = ndim - 1 - i;
        bool has = i < src->ndim && src->size[src->ndim - 1 - i] != 1;
        spread.step[d] = has ? src->step[src->ndim - 1 - i] : 0;
    }
    return spread;
}

/* Writes the value at stack place `from` into t. */
static void write(lua_State *L, at_tensor *t, int from, const char *where)
{
    uint64_t word;
    check_writable(L, t, where);
    at_tensor value = read_source(L, t, t->ndim, t->size, from, &word, where);
    at_copy_elements(t, &value);
    t->storage->version++;
    vm_poll(L); /* written in part */
}

/* t[ids] = value, t[mask] = value; the tensors stand at 1, 2 and perhaps 3. */
static void write_places(lua_State *L, at_tensor *t)
{
    const char *where = "assignment";
    at_tensor *index = vm_check_tensor(L, 2, where, "index");
    size_t shape[AT_MAX_DIM], ndim, lead = 1;
    uint64_t word;
    if (index->dtype != AT_I64 && index->dtype != AT_BOOL)
        vm_error(L, "%s: the index is %s, expected int64 or bool", where, at_describe(index).text);
    if (index->dtype == AT_BOOL) { /* as numbers of rows, from 0 */
        lead = index->ndim;
        if (lead == 0 || lead > t->ndim || memcmp(index->size, t->size, lead * sizeof *t->size) != 0)
            vm_error(L, "%s: the mask has not the sizes of the first dimensions of the tensor (tensor: %s, mask: %s)",
                     where, at_describe(t).text, at_describe(index).text);
    } else if (t->ndim == 0) {
        vm_error(L, "%s: the tensor has no dimensions (%s)", where, at_describe(t).text);
    }
    ndim = index->dtype == AT_BOOL ? 1 : index->ndim;
    if (ndim + t->ndim - lead > AT_MAX_DIM)
        vm_error(L, "%s: the index has too many dimensions (tensor: %s, index: %s)", where, at_describe(t).text,
                 at_describe(index).text);
    size_t n = index->dtype == AT_BOOL ? at_places(index, NULL) : at_numel(index);
    vm_poll(L);
    at_tensor *place = push_new(L, where, AT_I64, 1, &n);
    int64_t *at = (int64_t *)(void *)place->data;
    if (index->dtype == AT_BOOL) {
        at_places(index, at);
        shape[0] = n;
    } else {
        at_tensor flat = *index;
        flat.data = place->data;
        size_t step = 1;
        for (size_t d = index->ndim; d-- > 0; step *= index->size[d])
            flat.step[d] = (ptrdiff_t)step;
        at_copy_elements(&flat, index);
        for (size_t i = 0; i < n; i++)
            if (at[i]-- < 1 || at[i] >= (int64_t)t->size[0])
                vm_error(L, "%s: id %lld is out of range, expected 1..%zu (tensor: %s)", where, (long long)at[i] + 1,
                         t->size[0], at_describe(t).text);
        memcpy(shape, index->size, ndim * sizeof *shape);
    }
    vm_poll(L);
    memcpy(shape + ndim, t->size + lead, (t->ndim - lead) * sizeof *shape);
    at_tensor value = read_source(L, t, ndim + t->ndim - lead, shape, 3, &word, where);
    at_put_rows(t, lead, at, n, &value);
    t->storage->version++;
    vm_poll(L); /* written in part */
}

static int copy_(lua_State *L)
{
    write(L, self(L, "copy_"), 2, "copy_");
    lua_settop(L, 1);
    return 1;
}

static int fill_(lua_State *L)
{
    at_tensor *t = self(L, "fill_");
    if (!is_element(L, 2))
        vm_error(L, "fill_: value is %s, expected a number", vm_describe(L, 2).text);
    write(L, t, 2, "fill_");
    lua_settop(L, 1);
    return 1;
}

static int requires_grad_(lua_State *L)
{
    at_tensor *t = self(L, "requires_grad_");
    if (lua_type(L, 2) != LUA_TBOOLEAN && !lua_isnone(L, 2))
        vm_error(L, "requires_grad_: argument is %s, expected true or false", vm_describe(L, 2).text);
    bool on = lua_isnone(L, 2) || lua_toboolean(L, 2);
    if (on && !at_is_float(t))
        vm_error(L, "requires_grad_: the tensor is %s, expected float32 or float64", at_dtype_name((at_dtype)t->dtype));
    if (t->node)
        vm_error(L, "requires_grad_: the tensor was computed from others; only a leaf can be told (use detach)");
    t->requires_grad = on;
    t->rests = false;
    lua_settop(L, 1);
    return 1;
}

static int zero_grad(lua_State *L)
{
    at_tensor *t = any_self(L, "zero_grad");
    vm_releases(L);
    if (t->node)
        return 0; /* has a gradient only while a backward pass is running, which needs it */
    at_tensor *grad = t->grad;
    t->grad = NULL;
    at_release(grad);
    return 0;
}

/* ---- indexing ---- */

/* From the tensor at stack place `at` to the view that the index at `index` names; leaves it on top. */
static void push_indexed(lua_State *L, int at, int index)
{
    if (lua_type(L, index) == LUA_TNUMBER) {
        push_view(L, at, AT_ID_select, 2, (int64_t[]){1, vm_check_integer(L, index, "index", "i")});
        return;
    }
    at_tensor *t = vm_tensor_at(L, at)->t;
    size_t entries = lua_rawlen(L, index), d = 0;
    if (entries > t->ndim)
        vm_error(L, "index: %zu entries, expected at most %d (%s)", entries, t->ndim, at_describe(t).text);
    lua_pushvalue(L, at);
    for (size_t k = 1; k <= entries; k++) {
        lua_rawgeti(L, index, (lua_Integer)k);
        int entry = lua_gettop(L);
        if (lua_type(L, entry) == LUA_TNUMBER) {
            const at_tensor *now = vm_tensor_at(L, entry - 1)->t;
            int64_t i = vm_check_integer(L, entry, "index", "i"), n = (int64_t)now->size[d];
            if (i == 0 || i > n || i < -n)
                vm_error(L, "index: entry %zu is %lld, expected 1..%lld or -%lld..-1 (%s)", k, (long long)i,
                         (long long)n, (long long)n, at_describe(vm_check_tensor(L, at, "index", "self")).text);
            push_view(L, entry - 1, AT_ID_select, 2, (int64_t[]){(int64_t)d + 1, i});
            lua_replace(L, entry - 1);
        } else if (lua_type(L, entry) == LUA_TTABLE && lua_rawlen(L, entry) == 2) {
            at_tensor *now = vm_tensor_at(L, entry - 1)->t;
            int64_t n = (int64_t)now->size[d], range[2];
            for (int side = 0; side < 2; side++) {
                lua_rawgeti(L, entry, side + 1);
                range[side] = vm_check_integer(L, -1, "index", side ? "last" : "first");
                if (range[side] < 0)
                    range[side] += n + 1;
                lua_pop(L, 1);
            }
            if (range[0] < 1 || range[1] > n || range[0] > range[1] + 1)
                vm_error(L, "index: the range {%lld, %lld} is outside 1..%lld of dimension %zu (%s)",
                         (long long)range[0], (long long)range[1], (long long)n, k,
                         at_describe(vm_check_tensor(L, at, "index", "self")).text);
            push_view(L, entry - 1, AT_ID_narrow, 3, (int64_t[]){(int64_t)d + 1, range[0], range[1] - range[0] + 1});
            lua_replace(L, entry - 1);
            d++;
        } else if (lua_type(L, entry) == LUA_TTABLE && lua_rawlen(L, entry) == 0) {
            d++;
        } else {
            vm_error(L, "index: entry %zu is %s, expected a number, {first, last} or {}", k,
                     vm_describe(L, entry).text);
        }
        lua_pop(L, 1);
    }
}

static int field(lua_State *L, vm_tensor_box *box, const char *name)
{
    if (!box->t || !box->t->storage)
        vm_error(L, "%s: tensor was freed", name);
    at_tensor *t = box->t;
    if (strcmp(name, "shape") == 0)
        push_shape(L, t);
    else if (strcmp(name, "dtype") == 0)
        lua_pushstring(L, at_dtype_name((at_dtype)t->dtype));
    else if (strcmp(name, "grad") == 0)
        vm_push_tensor(L, t->node ? NULL : t->grad); /* a result has one only while a backward pass is running */
    else if (strcmp(name, "requires_grad") == 0)
        lua_pushboolean(L, at_needs_grad(t));
    else
        lua_pushnil(L);
    return 1;
}

/*
 * ipairs asks for element #t + 1 to learn that there is none. Everywhere else a place beyond the end is a mistake, and nil would hide
 * it: so it is nil for the iterator of ipairs (upvalue 2 of __index) only, which is the function that called.
 */
static bool past_end_of_ipairs(lua_State *L, const at_tensor *t)
{
    lua_Debug ar;
    int whole;
    lua_Integer i = lua_tointegerx(L, 2, &whole);
    if (!whole || t->ndim == 0 || i < 1 || (uint64_t)i != t->size[0] + 1 || !lua_getstack(L, 1, &ar))
        return false;
    lua_getinfo(L, "f", &ar);
    bool same = lua_rawequal(L, -1, lua_upvalueindex(2));
    lua_pop(L, 1);
    return same;
}

/* t.name, t:name, t[i], t[{...}]; upvalue 1: the methods. */
static int index_tensor(lua_State *L)
{
    vm_tensor_box *box = vm_tensor_at(L, 1);
    if (!box)
        vm_error(L, "index: %s is no tensor", vm_describe(L, 1).text);
    if (lua_type(L, 2) == LUA_TSTRING) {
        lua_pushvalue(L, 2);
        if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
            return 1;
        return field(L, box, lua_tostring(L, 2));
    }
    if (vm_symbolic && vm_is_symbol(L, 2))
        return vm_apply_symbolic(L, "index");
    if (!box->t || !box->t->storage)
        vm_error(L, "index: tensor was freed");
    if (vm_tensor_at(L, 2)) {
        at_tensor *index = vm_check_tensor(L, 2, "index", "the index");
        if (index->dtype != AT_I64 && index->dtype != AT_BOOL)
            vm_error(L, "index: the index is %s, expected int64 or bool", at_describe(index).text);
        push_result(L, 1, 2, index->dtype == AT_BOOL ? AT_ID_select_rows : AT_ID_select_ids, 0, NULL);
        vm_account(L);
        return 1;
    }
    if (lua_type(L, 2) != LUA_TNUMBER && lua_type(L, 2) != LUA_TTABLE)
        vm_error(L, "index: %s, expected a number, a table or a name, or a tensor of ids or a mask",
                 vm_describe(L, 2).text);
    if (lua_type(L, 2) == LUA_TNUMBER && past_end_of_ipairs(L, box->t)) {
        lua_pushnil(L);
        return 1;
    }
    push_indexed(L, 1, 2);
    return 1;
}

static int newindex_tensor(lua_State *L)
{
    at_tensor *t = vm_check_tensor(L, 1, "assignment", "self");
    if (lua_type(L, 2) == LUA_TSTRING) {
        const char *name = lua_tostring(L, 2);
        if (strcmp(name, "grad") != 0)
            vm_error(L, "assignment: a tensor has no field '%.40s' to write (known: grad%s)", name,
                     at_suggest("; ", name, "grad", "").text);
        at_tensor *grad = lua_isnil(L, 3) ? NULL : vm_check_tensor(L, 3, "grad", "value"), *old = t->grad;
        if (grad && (grad->dtype != t->dtype || !at_same_shape(grad, t) || !at_contiguous(grad) || grad->node))
            vm_error(L, "grad: value is %s, expected a contiguous %s outside the tape", at_describe(grad).text,
                     at_describe(t).text);
        if (t->node)
            vm_error(L, "grad: the tensor was computed from others; only a leaf keeps a gradient");
        at_error e;
        at_error_clear(&e);
        at_tensor *kept = grad ? at_detach(grad, &e) : NULL; /* a record of its own, so that none refers to itself */
        if (grad && !kept)
            vm_raise(L, &e);
        vm_releases(L);
        t->grad = kept;
        at_release(old);
        return 0;
    }
    bool places = vm_tensor_at(L, 2);
    if (!places && lua_type(L, 2) != LUA_TNUMBER && lua_type(L, 2) != LUA_TTABLE)
        vm_error(L, "assignment: the index is %s, expected a number or a table, or a tensor of ids or a mask",
                 vm_describe(L, 2).text);
    check_writable(L, t, "assignment");
    if (places) {
        write_places(L, t);
        return 0;
    }
    push_indexed(L, 1, 2);
    write(L, vm_tensor_at(L, -1)->t, 3, "assignment");
    return 0;
}

static int free_tensor(lua_State *L) /* free, __gc and __close: may run more than once */
{
    vm_tensor_box *box = vm_tensor_at(L, 1);
    if (box) {
        vm_releases(L);
        at_tensor *t = box->t;
        box->t = NULL;
        at_release(t);
        vm_bury(L);
    }
    return 0;
}

static int equal(lua_State *L)
{
    vm_tensor_box *a = vm_tensor_at(L, 1), *b = vm_tensor_at(L, 2);
    lua_pushboolean(L, a && b && a->t && a->t == b->t);
    return 1;
}

static const luaL_Reg functions[] = {
    {"tensor", tensor},
    {"zeros", zeros},
    {"ones", ones},
    {"empty", empty},
    {"full", full},
    {"rand", rand_uniform},
    {"randn", rand_normal},
    {"randint", randint},
    {"bernoulli", bernoulli},
    {"arange", arange},
    {"eye", eye},
    {"linspace", linspace},
    {"randperm", randperm},
    {"zeros_like", zeros_like},
    {"ones_like", ones_like},
    {"empty_like", empty_like},
    {"full_like", full_like},
    {"rand_like", rand_like},
    {"randn_like", randn_like},
    {"split", split},
    {"chunk", chunk},
    {NULL, NULL}};

static const luaL_Reg methods[] = {
    {"size", size_of},
    {"dim", dim},
    {"numel", numel},
    {"item", item},
    {"totable", totable},
    {"to", to},
    {"detach", detach},
    {"copy_", copy_},
    {"fill_", fill_},
    {"requires_grad_", requires_grad_},
    {"zero_grad", zero_grad},
    {"split", split},
    {"chunk", chunk},
    {"free", free_tensor},
    {"is_contiguous", is_contiguous},
    {"zeros_like", zeros_like},
    {"ones_like", ones_like},
    {"empty_like", empty_like},
    {"full_like", full_like},
    {"rand_like", rand_like},
    {"randn_like", randn_like},
    {NULL, NULL}};

static const vm_doc docs[] = {
    {"tensor",
     "tensor(nested table or number, {dtype = \"float32\"}) -> tensor\n"
     "A tensor with these elements; bool if they are booleans. t[i] is entry i of the first dimension (-1 the "
     "last), a "
     "place beyond the end an error; ipairs(t) goes over all entries and ends. t[ids] (int64, any shape) are the "
     "entries with\n"
     "these numbers, t[mask] (bool, of the first dimensions) those where it is true; both may be assigned to."},
    {"zeros", "zeros(size..., {dtype = \"float32\"}) -> tensor\nFilled with 0. Sizes are numbers or one table."},
    {"ones", "ones(size..., {dtype = \"float32\"}) -> tensor\nFilled with 1."},
    {"empty", "empty(size..., {dtype = \"float32\"}) -> tensor\nA tensor to be written to; it holds zeros until then."},
    {"full", "full(sizes, value, {dtype = \"float32\"}) -> tensor\nFilled with value; sizes is a table."},
    {"rand", "rand(size..., {dtype = \"float32\"}) -> tensor\nUniform in [0, 1)."},
    {"randn", "randn(size..., {dtype = \"float32\"}) -> tensor\nNormal with mean 0 and deviation 1."},
    {"randint", "randint(low, high, size..., {dtype = \"int64\"}) -> tensor\nUniform integers low .. high, both "
                "included; int64 or uint8."},
    {"bernoulli", "bernoulli(p, size..., {dtype = \"float32\"}) -> tensor\n1 with probability p, else 0."},
    {"arange", "arange(first, last, step = 1) -> tensor\nfirst, first + step ... up to last (included); int64 if "
               "all are integers."},
    {"eye", "eye(n, {dtype = \"float32\"}) -> [n, n]\nThe identity matrix."},
    {"linspace", "linspace(first, last, count, {dtype = \"float32\"}) -> [count]\n"
                 "count numbers from first to last, both included, evenly apart; one number is first."},
    {"randperm", "randperm(n) -> int64 [n]\nThe numbers 1..n in random order."},
    {"zeros_like", "zeros_like(x, {dtype = that of x}) -> tensor of x's shape\nFilled with 0."},
    {"ones_like", "ones_like(x, {dtype = that of x}) -> tensor of x's shape\nFilled with 1."},
    {"empty_like",
     "empty_like(x, {dtype = that of x}) -> tensor of x's shape\nTo be written to; it holds zeros until then."},
    {"full_like", "full_like(x, value, {dtype = that of x}) -> tensor of x's shape\nFilled with value."},
    {"rand_like", "rand_like(x, {dtype = that of x}) -> tensor of x's shape\nUniform in [0, 1)."},
    {"randn_like", "randn_like(x, {dtype = that of x}) -> tensor of x's shape\nNormal with mean 0 and deviation 1."},
    {"split", "split(x, size, d = 1) -> list of views\nPieces of `size` along dimension d; the last may be smaller."},
    {"chunk", "chunk(x, n, d = 1) -> list of views\nAt most n pieces of equal size along dimension d; the last may "
              "be smaller."},
    {"tensor:size", "t:size([d]) -> size of dimension d, or a table of all sizes"},
    {"tensor:dim", "t:dim() -> number of dimensions"},
    {"tensor:numel", "t:numel() -> number of elements"},
    {"tensor:item", "t:item() -> the only element as a Lua number or boolean"},
    {"tensor:totable", "t:totable() -> nested tables of the elements"},
    {"tensor:to",
     "t:to(dtype) -> the same values in another dtype; t itself if it has it already. Differentiable between\n"
     "floats. A float is cut towards zero for int64 and uint8 (:round() first where that matters), which takes the "
     "nearest of\n"
     "0..255 for what it does not hold. A matrix of float32 may become \"bfloat16\", or \"int8\" with a scale for each "
     "row:\n"
     "a weight to read from (linear, embedding), from which nothing leads but :to(\"float32\"). See "
     "model:to_inference."},
    {"tensor:detach", "t:detach() -> the same storage outside the tape"},
    {"tensor:copy_",
     "t:copy_(src) -> t, with the values of src (broadcast) written into it\n"
     "Not recorded, nor is t[...] = src: where t or src has a gradient it is an error outside no_grad (to write\n"
     "into a result: cat, stack, where, scatter_add)."},
    {"tensor:fill_", "t:fill_(value) -> t, filled; not recorded"},
    {"tensor:requires_grad_", "t:requires_grad_(true or false) -> t, a leaf that gathers a gradient in t.grad"},
    {"tensor:zero_grad", "t:zero_grad()\nForgets t.grad."},
    {"tensor:free", "t:free()\nGives up this handle now; the storage goes with its last view, tape node or layer."},
    {"tensor:is_contiguous", "t:is_contiguous() -> whether the elements lie in row order without gaps"},
    {NULL, NULL}};

static const luaL_Reg meta[] = {{"__newindex", newindex_tensor}, {"__len", length}, {"__gc", free_tensor},
                                {"__close", free_tensor},        {"__eq", equal},   {NULL, NULL}};

void vm_open_tensor(lua_State *L, int lib)
{
    lua_newtable(L);
    vm_set_functions(L, -1, methods);
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.methods");
    lua_pushvalue(L, -2);
    lua_setfield(L, -2, VM_TENSOR);
    lua_pop(L, 1);
    luaL_newmetatable(L, VM_TENSOR);
    lua_pushvalue(L, -2);
    lua_getglobal(L, "ipairs");
    lua_newtable(L);
    lua_call(L, 1, 1); /* its iterator */
    lua_pushcclosure(L, index_tensor, 2);
    lua_setfield(L, -2, "__index");
    vm_set_functions(L, -1, meta);
    lua_pushcfunction(L, vm_tensor_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushstring(L, "tensor");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 2);
    luaL_newmetatable(L, SIZES);
    lua_pushcfunction(L, sizes_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pop(L, 1);
    vm_set_functions(L, lib, functions);
    vm_describe_functions(L, docs);
}
