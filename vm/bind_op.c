/*
 * Every operation, from its record: arguments by signature, results in boxes. There is no code for a single operation here.
 */
#include "vm/bind.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What read_args finds before anything is owned. Tensors are anchored by the Lua stack or by a list that stands there. */
typedef struct args {
    const at_op *op;
    int base; /* the arguments stand above it */
    size_t n_in;
    at_tensor *in[8];
    uint32_t is_number; /* bit per in: a number stands there instead */
    double number[8];
    int64_t whole; /* the number, where it is to be int64 */
    at_dtype number_dtype;
    int list_at, list_from, list_to; /* the place of a table of tensors, or a range of the stack */
    size_t list_n;
    at_scalar_value scalar[AT_MAX_SCALAR];
    uint32_t given;
    int n_sizes;
    int64_t sizes[AT_MAX_DIM];
} args;

static const char *short_name(const at_op *op)
{
    const char *dot = strrchr(op->name, '.');
    return dot ? dot + 1 : op->name;
}

static const char *expected(const at_arg *a)
{
    switch (a->kind) {
    case AT_FLOAT:
    case AT_WEIGHT:
    case AT_ANY: return "a tensor";
    case AT_OPERAND: return "a tensor or a number";
    case AT_IDS: return "an int64 tensor";
    case AT_MASK: return "a bool tensor";
    case AT_LIST:
    case AT_TENSORS: return "a list of tensors";
    case AT_NUMBER: return "a number";
    case AT_INTEGER:
    case AT_DIM:
    case AT_NEW_DIM: return "an integer";
    case AT_DIMS: return "an integer or a table of integers";
    case AT_COUNTS: return a->choices ? "a number, a table of two or a word" : "an integer or a table of two";
    case AT_FLAG: return "true or false";
    default: return "a string";
    }
}

/* Whether it is also a method of its first argument. */
static bool is_method(const at_op *op)
{
    return !op->plain && !op->internal && !strchr(op->name, '.') && op->args[0].kind < AT_LIST &&
           op->args[0].kind != AT_END;
}

static _Noreturn void wrong(lua_State *L, const at_op *op, const at_arg *a, int at)
{
    char remedy[100] = "";
    if (a->kind < AT_LIST && lua_type(L, at) == LUA_TTABLE)
        snprintf(remedy, sizeof remedy, AT_MAKES_TENSOR);
    else if (a == op->args && a->kind != AT_OPERAND && is_method(op) && !lua_isuserdata(L, at))
        snprintf(remedy, sizeof remedy, " (x:%.40s(...), with a colon)", op->name);
    if (lua_isnoneornil(L, at))
        vm_error(L, "%s: %s is missing, expected %s%s", short_name(op), a->name, expected(a), remedy);
    vm_error(L, "%s: %s is %s, expected %s%s", short_name(op), a->name, vm_describe(L, at).text, expected(a), remedy);
}

static int64_t read_choice(lua_State *L, const at_op *op, const at_arg *a, int at)
{
    int place = lua_type(L, at) == LUA_TSTRING ? at_choice(lua_tostring(L, at), a->choices) : -1;
    if (place < 0) {
        char words[200];
        size_t n = 0;
        for (const char *c = a->choices; *c && n + 3 < sizeof words; c++) {
            words[n++] = *c == '|' ? ',' : *c;
            if (*c == '|')
                words[n++] = ' ';
        }
        words[n] = 0;
        const char *word = lua_type(L, at) == LUA_TSTRING ? lua_tostring(L, at) : "";
        vm_error(L, "%s: %s is %s, expected one of %s%s", short_name(op), a->name, vm_describe(L, at).text, words,
                 at_suggest(" (", word, a->choices, ")").text);
    }
    return place;
}

/* The integers at a stack place, one or a table of at most `most`, into out; how many. */
static int read_integers(lua_State *L, const args *r, const at_arg *a, int at, int most, int64_t *out)
{
    int n = lua_type(L, at) == LUA_TTABLE ? (int)(lua_rawlen(L, at) <= (size_t)most ? lua_rawlen(L, at) : 0) : 1,
        whole = 1;
    if (n == 0)
        wrong(L, r->op, a, at);
    for (int i = 0; i < n; i++) {
        if (lua_type(L, at) == LUA_TTABLE)
            lua_rawgeti(L, at, i + 1);
        else
            lua_pushvalue(L, at);
        out[i] = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &whole) : (whole = 0);
        if (!whole)
            wrong(L, r->op, a, at);
        lua_pop(L, 1);
    }
    return n;
}

static int64_t read_dims(lua_State *L, const args *r, const at_arg *a, int at)
{
    int64_t dims[AT_MAX_DIM], set = 0;
    int n = read_integers(L, r, a, at, AT_MAX_DIM, dims);
    for (int i = 0; i < n; i++) {
        int64_t bit = at_dim_bit(dims[i]);
        const at_tensor *x = r->in[0];
        if (bit == 0 && x->ndim == 0)
            vm_error(L, "%s: x is a scalar, expected at least 1 dimension (x: %s)", short_name(r->op),
                     at_describe(x).text);
        if (bit == 0) /* a set has no place for it */
            vm_error(L, "%s: %s is %lld, expected 1..%d or -%d..-1 (x: %s)", short_name(r->op), a->name,
                     (long long)dims[i], x->ndim, x->ndim, at_describe(x).text);
        if (set & bit)
            vm_error(L, "%s: %s holds %lld twice", short_name(r->op), a->name, (long long)dims[i]);
        set |= bit;
    }
    return set;
}

static void read_counts(lua_State *L, args *r, const at_arg *a, int k, int at)
{
    if (lua_type(L, at) == LUA_TSTRING && a->choices) {
        r->scalar[k].counts[1] = (int32_t)read_choice(L, r->op, a, at);
        r->scalar[k].counts[0] = AT_WORD;
        return;
    }
    int64_t n[2];
    if (read_integers(L, r, a, at, 2, n) == 1)
        n[1] = n[0];
    for (int i = 0; i < 2; i++) {
        if (n[i] < -INT32_MAX || n[i] > INT32_MAX)
            vm_error(L, "%s: %s is %lld, which is too large", short_name(r->op), a->name, (long long)n[i]);
        r->scalar[k].counts[i] = (int32_t)n[i];
    }
}

static void read_scalar(lua_State *L, args *r, const at_arg *a, int k, int at)
{
    int whole = 1;
    switch (a->kind) {
    case AT_NUMBER:
        if (lua_type(L, at) != LUA_TNUMBER)
            wrong(L, r->op, a, at);
        r->scalar[k].number = lua_tonumber(L, at);
        break;
    case AT_INTEGER:
    case AT_DIM:
    case AT_NEW_DIM:
        if (lua_type(L, at) != LUA_TNUMBER)
            wrong(L, r->op, a, at);
        r->scalar[k].integer = lua_tointegerx(L, at, &whole);
        if (!whole)
            wrong(L, r->op, a, at);
        break;
    case AT_FLAG:
        if (lua_type(L, at) == LUA_TNUMBER && a > r->op->args &&
            (a[-1].kind == AT_DIM || a[-1].kind == AT_DIMS)) /* a list of dimensions, it seems */
            vm_error(L, "%s: %s is %s and %s, expected one dimension (and perhaps %s, true or false)",
                     short_name(r->op), a[-1].name, vm_describe(L, at - 1).text, vm_describe(L, at).text, a->name);
        if (lua_type(L, at) != LUA_TBOOLEAN)
            wrong(L, r->op, a, at);
        r->scalar[k].flag = lua_toboolean(L, at);
        break;
    case AT_CHOICE: r->scalar[k].integer = read_choice(L, r->op, a, at); break;
    case AT_DIMS: r->scalar[k].integer = read_dims(L, r, a, at); break;
    case AT_COUNTS: read_counts(L, r, a, k, at); break;
    default:
        if (lua_type(L, at) != LUA_TSTRING)
            wrong(L, r->op, a, at);
        r->scalar[k].string = lua_tostring(L, at);
        break;
    }
    r->given |= 1u << k;
}

/* Entry i of a list is no tensor: itself, or because the list has a hole there. */
static _Noreturn void wrong_entry(lua_State *L, const args *r, const at_arg *a, size_t i, int at)
{
    vm_error(L, "%s: %s[%zu] is %s, expected a tensor", short_name(r->op), a->name, i, vm_describe(L, at).text);
}

/* A table has entries besides 1 to n: behind a hole, or with names. */
static _Noreturn void wrong_table(lua_State *L, const args *r, const at_arg *a, int at, size_t n)
{
    for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1)) {
        bool place = lua_isinteger(L, -2);
        if (place && lua_tointeger(L, -2) >= 1 && (size_t)lua_tointeger(L, -2) <= n)
            continue;
        if (place) {
            lua_rawgeti(L, at, (lua_Integer)n + 1);
            wrong_entry(L, r, a, n + 1, -1);
        }
        vm_error(L, "%s: %s has an entry under %s, expected tensors from 1 on", short_name(r->op), a->name,
                 vm_describe(L, -2).text);
    }
    vm_error(L, "%s: %s changed while it was read", short_name(r->op), a->name);
}

static at_tensor *tensor_of(lua_State *L, const args *r, const at_arg *a, int at)
{
    vm_tensor_box *box = vm_tensor_at(L, at);
    if (!box)
        wrong(L, r->op, a, at);
    if (!box->t || !box->t->storage)
        vm_error(L, "%s: %s: tensor was freed", short_name(r->op), a->name);
    return box->t;
}

static int read_list(lua_State *L, args *r, const at_arg *a, int at, int top)
{
    if (lua_type(L, at) == LUA_TTABLE) {
        r->list_at = at;
        r->list_n = lua_rawlen(L, at);
        if (r->list_n > UINT16_MAX)
            vm_error(L, "%s: %s has %zu tensors, expected at most %d", short_name(r->op), a->name, r->list_n,
                     UINT16_MAX);
        for (size_t i = 1; i <= r->list_n; i++) {
            lua_rawgeti(L, at, (lua_Integer)i);
            if (!vm_tensor_at(L, -1))
                wrong_entry(L, r, a, i, -1);
            tensor_of(L, r, a, -1);
            lua_pop(L, 1);
        }
        size_t entries = 0;
        for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1))
            entries++;
        if (entries != r->list_n)
            wrong_table(L, r, a, at, r->list_n);
        at++;
    } else if (!lua_isnoneornil(L, at) && !vm_tensor_at(L, at)) {
        wrong(L, r->op, a, at);
    } else {
        r->list_from = at;
        while (at <= top && vm_tensor_at(L, at))
            tensor_of(L, r, a, at++);
        r->list_to = at;
        r->list_n = (size_t)(at - r->list_from);
    }
    if (r->list_n == 0)
        vm_error(L, "%s: %s is empty, expected at least one tensor", short_name(r->op), a->name);
    return at;
}

static int read_sizes(lua_State *L, args *r, const at_arg *a, int at)
{
    if (lua_type(L, at) == LUA_TTABLE) {
        size_t n = lua_rawlen(L, at);
        if (n > AT_MAX_DIM)
            vm_error(L, "%s: %s has %zu entries, expected at most %d", short_name(r->op), a->name, n, AT_MAX_DIM);
        for (size_t i = 0; i < n; i++) {
            lua_rawgeti(L, at, (lua_Integer)i + 1);
            r->sizes[r->n_sizes++] = vm_check_integer(L, -1, short_name(r->op), a->name);
            lua_pop(L, 1);
        }
        return at + 1;
    }
    for (; !lua_isnoneornil(L, at); at++) {
        if (r->n_sizes == AT_MAX_DIM)
            vm_error(L, "%s: %s: more than %d", short_name(r->op), a->name, AT_MAX_DIM);
        r->sizes[r->n_sizes++] = vm_check_integer(L, at, short_name(r->op), a->name);
    }
    if (r->n_sizes == 0 && !a->optional)
        wrong(L, r->op, a, at);
    return at;
}

static void read_options(lua_State *L, args *r, int at)
{
    if (lua_type(L, at) != LUA_TTABLE)
        vm_error(L, "%s: options are %s, expected a table", short_name(r->op), vm_describe(L, at).text);
    for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1)) {
        const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        char known[200] = "";
        size_t n = 0;
        bool found = false;
        int k = 0, in = 0;
        for (const at_arg *a = r->op->args; a->kind != AT_END; a++) {
            bool scalar = a->kind >= AT_NUMBER && a->kind != AT_SIZES;
            if (a->option || a->named) {
                if (n < sizeof known)
                    n += (size_t)snprintf(known + n, sizeof known - n, n ? "|%s" : "%s", a->name);
                if (strcmp(a->name, name) == 0) {
                    if (scalar)
                        read_scalar(L, r, a, k, lua_gettop(L));
                    else
                        r->in[in] = tensor_of(L, r, a, lua_gettop(L));
                    found = true;
                    break;
                }
            }
            k += scalar;
            in += a->kind < AT_LIST;
        }
        if (!found) {
            at_text near = at_suggest("; ", name, known, "");
            const char *list = luaL_gsub(L, known, "|", ", ");
            vm_error(L, "%s: unknown option '%.40s' (known: %s%s)", short_name(r->op), name, list, near.text);
        }
    }
}

/* The first tensor that computes: conditions and ids say nothing about the dtype. */
static const at_tensor *partner(lua_State *L, const args *r)
{
    int at = r->base + 1;
    for (const at_arg *a = r->op->args; a->kind != AT_END; a++) {
        vm_tensor_box *box = a->kind == AT_FLOAT || a->kind == AT_OPERAND ? vm_tensor_at(L, at) : NULL;
        if (box && box->t && !at_is_kept(box->t))
            return box->t;
        at += !a->option;
    }
    return NULL;
}

/* A number where a tensor could stand becomes a tensor without dimensions, of the dtype of its partner; make_call makes it. */
static void read_operand(lua_State *L, args *r, const at_arg *a, int at)
{
    if (lua_type(L, at) != LUA_TNUMBER) {
        r->in[r->n_in++] = tensor_of(L, r, a, at);
        return;
    }
    const at_tensor *other = partner(L, r);
    r->number_dtype = other ? (at_dtype)other->dtype : AT_F32;
    if (r->number_dtype == AT_BOOL)
        r->number_dtype = lua_isinteger(L, at) ? AT_I64 : AT_F32;
    else if (r->number_dtype == AT_U8 && r->op->dtype != AT_DTYPES)
        r->number_dtype = AT_I64;
    int whole = 1;
    if (r->number_dtype == AT_I64 || r->number_dtype == AT_U8)
        r->whole = lua_tointegerx(L, at, &whole);
    if (r->number_dtype == AT_U8 && (!whole || r->whole < 0 || r->whole > 255))
        vm_error(L, "%s: %s is %.14g, expected an integer from 0 to 255 (the other side is uint8)", short_name(r->op),
                 a->name, lua_tonumber(L, at));
    if (!whole)
        vm_error(L, "%s: %s is %.14g, expected an integer (the other side is int64)", short_name(r->op), a->name,
                 lua_tonumber(L, at));
    r->number[r->n_in] = lua_tonumber(L, at);
    r->is_number |= 1u << r->n_in;
    r->in[r->n_in++] = NULL;
}

/* Reads the arguments: what is on the stack above `base`. Nothing here makes Lua allocate, so no finalizer runs that could free
 * a tensor already read. */
static void read_args(lua_State *L, args *r, const at_op *op, int base)
{
    int at = base + 1, k = 0, top = lua_gettop(L);
    bool options = false;
    for (const at_arg *a = op->args; a->kind != AT_END; a++)
        options = options || a->option || a->named;
    r->op = op;
    r->base = base;
    r->n_in = r->list_n = 0;
    r->list_at = r->n_sizes = 0;
    r->given = r->is_number = 0;
    for (const at_arg *a = r->op->args; a->kind != AT_END; a++) {
        bool scalar = a->kind >= AT_NUMBER && a->kind != AT_SIZES;
        if (a->option) {
            if (scalar)
                k++;
            else
                r->in[r->n_in++] = NULL;
            continue;
        }
        bool list = a->kind == AT_SIZES || a->kind == AT_LIST || a->kind == AT_TENSORS ||
                    ((a->kind == AT_DIMS || a->kind == AT_COUNTS) && lua_istable(L, at) && lua_rawlen(L, at) > 0);
        bool table = options && !list && lua_istable(L, at); /* the options, early */
        if (a->optional && (lua_isnoneornil(L, at) || table)) {
            if (!table)
                at++;
            if (!scalar && a->kind < AT_NUMBER)
                r->in[r->n_in++] = NULL;
            k += scalar;
            continue;
        }
        if (a->kind == AT_LIST || a->kind == AT_TENSORS)
            at = read_list(L, r, a, at, top);
        else if (a->kind == AT_SIZES)
            at = read_sizes(L, r, a, at);
        else if (a->kind == AT_OPERAND)
            read_operand(L, r, a, at++);
        else if (!scalar)
            r->in[r->n_in++] = tensor_of(L, r, a, at++);
        else
            read_scalar(L, r, a, k++, at++);
    }
    if (options && !lua_isnoneornil(L, at))
        read_options(L, r, at++);
    if (at <= top && !lua_isnoneornil(L, at))
        vm_error(L, "%s: argument %d is %s, expected nothing more", short_name(r->op), at - base,
                 vm_describe(L, at).text);
}

/* made[]: the tensors that stand for numbers, released by the caller. */
static at_call *make_call(lua_State *L, const at_op_entry *entry, const args *r, at_tensor **made, at_error *e)
{
    at_call *c = at_call_new(entry, r->n_in + r->list_n, e);
    if (!c)
        return NULL;
    for (size_t i = 0; i < r->n_in; i++) {
        c->in[i] = r->in[i];
        if (!(r->is_number >> i & 1))
            continue;
        c->in[i] = at_tensor_new(r->number_dtype, 0, NULL, e);
        if (!c->in[i]) {
            at_call_end(c);
            return NULL;
        }
        if (r->number_dtype == AT_I64)
            memcpy(c->in[i]->data, &r->whole, sizeof r->whole);
        else if (r->number_dtype == AT_U8)
            *(uint8_t *)c->in[i]->data = (uint8_t)r->whole;
        else
            r->number_dtype == AT_F32 ? (void)(*(float *)(void *)c->in[i]->data = (float)r->number[i])
                                      : (void)(*(double *)(void *)c->in[i]->data = r->number[i]);
        made[i] = c->in[i];
    }
    for (size_t i = 0; i < r->list_n; i++) {
        if (r->list_at) {
            lua_rawgeti(L, r->list_at, (lua_Integer)i + 1); /* cannot raise: the stack was checked */
            c->in[r->n_in + i] = vm_tensor_at(L, -1)->t;
            lua_pop(L, 1);
        } else {
            c->in[r->n_in + i] = vm_tensor_at(L, r->list_from + (int)i)->t;
        }
    }
    for (int k = 0; k < AT_MAX_SCALAR; k++)
        if (r->given >> k & 1)
            c->arg[k] = r->scalar[k];
    c->given = r->given;
    c->n_sizes = r->n_sizes;
    memcpy(c->sizes, r->sizes, sizeof c->sizes);
    return c;
}

/* ---- symbols: what stdlib/expression.lua calls a function of the script with ---- */

bool vm_symbolic;

bool vm_is_symbol(lua_State *L, int at)
{
    if (lua_type(L, at) != LUA_TTABLE || !lua_getmetatable(L, at))
        return false;
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.symbol");
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

int vm_apply_symbolic(lua_State *L, const char *name)
{
    luaL_checkstack(L, 4, name);
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.apply");
    lua_insert(L, 1);
    lua_pushstring(L, name);
    lua_insert(L, 2);
    lua_call(L, lua_gettop(L) - 1, 1);
    return 1;
}

/* symbolic(metatable of symbols, apply) -> {those before}: from now on apply(name, ...) is what an operation does that meets a
 * symbol; without arguments as before. */
static int symbolic(lua_State *L)
{
    lua_settop(L, 2);
    lua_createtable(L, 2, 0);
    for (int k = 1; k <= 2; k++) {
        const char *name = k == 1 ? "attn.symbol" : "attn.apply";
        lua_getfield(L, LUA_REGISTRYINDEX, name);
        lua_rawseti(L, 3, k);
        lua_pushvalue(L, k);
        lua_setfield(L, LUA_REGISTRYINDEX, name);
    }
    vm_symbolic = !lua_isnil(L, 1);
    return 1;
}

/* codes() -> name of an instruction -> its number */
static int list_codes(lua_State *L)
{
#define AT_CODE(name) #name,
    static const char *const names[] = {AT_CODES(AT_CODE)};
#undef AT_CODE
    lua_createtable(L, 0, AT_CODE_COUNT);
    for (int k = 0; k < AT_CODE_COUNT; k++) {
        lua_pushinteger(L, k);
        lua_setfield(L, -2, names[k]);
    }
    return 1;
}

/* attn.<name>(...), t:<name>(...), and the operators; upvalue 1: the entry. */
static int call_op(lua_State *L)
{
    const at_op_entry *entry = lua_touserdata(L, lua_upvalueindex(1));
    const at_op *op = at_any_op(entry);
    for (int at = vm_symbolic ? lua_gettop(L) : 0; at > 0; at--)
        if (vm_is_symbol(L, at))
            return vm_apply_symbolic(L, short_name(op));
    int outs = op->outs ? op->outs : 1;
    args r;
    if (op->idle) {
        read_args(L, &r, op, 0);
        if (op->idle(r.in[0])) {
            lua_settop(L, 1);
            return 1;
        }
    }
    luaL_checkstack(L, outs + 4, op->name);
    vm_tensor_box *box[AT_MAX_OUT];
    for (int k = 0; k < outs; k++)
        box[k] = vm_push_box(L);
    lua_rotate(L, 1, outs); /* below the arguments, so that nothing seems to stand where one is missing */
    at_error e;
    vm_running = L;
    for (int attempt = 0;; attempt++) {
        at_error_clear(&e);
        read_args(L, &r, op, outs);
        at_tensor *made[8] = {NULL};
        at_call *c = make_call(L, entry, &r, made, &e);
        bool ok = c && at_call_run(c, &e);
        int n = ok ? c->n_out : 0;
        for (int k = 0; k < n; k++)
            box[k]->t = at_call_take(c, k);
        at_call_end(c);
        for (size_t k = 0; r.is_number >> k; k++)
            at_release(made[k]);
        if (ok) {
            vm_account(L);
            lua_settop(L, n);
            return n;
        }
        vm_retry(L, &e, attempt);
    }
}

/* Lua hands its operand to a unary operator twice. */
static int call_unary(lua_State *L)
{
    lua_settop(L, 1);
    return call_op(L);
}

static const char *const kind_names[] = {
    [AT_FLOAT] = "tensor",    [AT_OPERAND] = "operand", [AT_IDS] = "ids",       [AT_MASK] = "mask",
    [AT_ANY] = "any",         [AT_LIST] = "list",       [AT_NUMBER] = "number", [AT_INTEGER] = "integer",
    [AT_DIM] = "dim",         [AT_NEW_DIM] = "dim",     [AT_DIMS] = "dims",     [AT_COUNTS] = "counts",
    [AT_FLAG] = "flag",       [AT_CHOICE] = "choice",   [AT_SIZES] = "sizes",   [AT_STRING] = "string",
    [AT_TENSORS] = "tensors", [AT_WEIGHT] = "tensor",
};

/* attn.operations() -> list of records: what the registry test, the help and the fuzzer walk. */
static int operations(lua_State *L)
{
    lua_createtable(L, AT_OPS, 0);
    for (int id = 0; id < AT_OPS; id++) {
        const at_op *op = at_any_op(&at_ops[id]);
        lua_newtable(L);
        lua_pushstring(L, op->name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, op->help ? op->help : "");
        lua_setfield(L, -2, "help");
        lua_pushstring(L, op->gradient == AT_SEEDED                                       ? "seeded"
                          : op->gradient == AT_NO_GRADIENT || !(op->backward || op->view) ? "none"
                                                                                          : "checked");
        lua_setfield(L, -2, "gradient");
        lua_pushboolean(L, op->internal);
        lua_setfield(L, -2, "internal");
        lua_pushboolean(L, op->plain);
        lua_setfield(L, -2, "plain");
        lua_newtable(L);
        int n = 0;
        for (const at_arg *a = op->args; a->kind != AT_END; a++) {
            lua_newtable(L);
            lua_pushstring(L, a->name);
            lua_setfield(L, -2, "name");
            lua_pushstring(L, kind_names[a->kind]);
            lua_setfield(L, -2, "kind");
            lua_pushboolean(L, a->optional);
            lua_setfield(L, -2, "optional");
            lua_pushboolean(L, a->option);
            lua_setfield(L, -2, "option");
            if (a->choices) {
                lua_pushstring(L, a->choices);
                lua_setfield(L, -2, "choices");
            }
            lua_rawseti(L, -2, ++n);
        }
        lua_setfield(L, -2, "args");
        lua_rawseti(L, -2, id + 1);
    }
    return 1;
}

void vm_open_op(lua_State *L, int lib)
{
    static const struct {
        const char *operator, * op;
        bool unary;
    } operators[] = {
        {"__add", "add", false},        {"__sub", "sub", false},          {"__mul", "mul", false},
        {"__div", "div", false},        {"__pow", "pow", false},          {"__unm", "neg", true},
        {"__idiv", "idiv", false},      {"__mod", "mod", false},          {"__band", "logical_and", false},
        {"__bor", "logical_or", false}, {"__bxor", "logical_xor", false}, {"__bnot", "logical_not", true},
    };
    luaL_getmetatable(L, VM_TENSOR);
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.methods");
    lua_getfield(L, -1, VM_TENSOR);
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.internal");
    int meta = lua_gettop(L) - 3, methods = meta + 2, internal = meta + 3;
    lua_pushcfunction(L, symbolic);
    lua_setfield(L, internal, "symbolic");
    lua_pushcfunction(L, list_codes);
    lua_setfield(L, internal, "codes");
    for (int id = 0; id < AT_OPS; id++) {
        const at_op *op = at_any_op(&at_ops[id]);
        if (op->internal && !op->library)
            continue;
        lua_pushlightuserdata(L, (void *)(uintptr_t)&at_ops[id]);
        lua_pushcclosure(L, call_op, 1);
        if (op->library) {
            lua_setfield(L, internal, op->name);
            continue;
        }
        const char *name = vm_push_path(L, lib, op->name);
        lua_pushvalue(L, -2);
        lua_setfield(L, -2, name);
        lua_pop(L, 1);
        if (is_method(op)) {
            lua_pushvalue(L, -1);
            lua_setfield(L, methods, op->name);
        }
        for (size_t k = 0; k < sizeof operators / sizeof *operators; k++)
            if (strcmp(op->name, operators[k].op) == 0) {
                lua_pushlightuserdata(L, (void *)(uintptr_t)&at_ops[id]);
                lua_pushcclosure(L, operators[k].unary ? call_unary : call_op, 1);
                lua_setfield(L, meta, operators[k].operator);
            }
        lua_pop(L, 1);
    }
    lua_settop(L, meta - 1);
    lua_pushcfunction(L, operations);
    lua_setfield(L, lib, "operations");
}
