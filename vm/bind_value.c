/* Values across the border: see bind.h. */
#include "vm/bind.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

lua_State *vm_running;

/* "softmax: x" or "softmax: argument 2" */
static const char *named(const char *name, int at, char *buffer, size_t room)
{
    if (name)
        return name;
    snprintf(buffer, room, "argument %d", at);
    return buffer;
}

at_tensor *vm_check_tensor(lua_State *L, int at, const char *where, const char *name)
{
    char buffer[32];
    at_tensor *t = vm_check_any_tensor(L, at, where, name);
    if (at_is_kept(t))
        vm_error(L, "%s: %s is %s, " AT_KEPT_FOR " (%s)", where, named(name, at, buffer, sizeof buffer),
                 at_dtype_name((at_dtype)t->dtype), at_describe(t).text);
    return t;
}

at_tensor *vm_check_any_tensor(lua_State *L, int at, const char *where, const char *name)
{
    char buffer[32];
    vm_tensor_box *box = vm_tensor_at(L, at);
    if (!box) {
        if (lua_isnoneornil(L, at))
            vm_error(L, "%s: %s is missing, expected a tensor", where, named(name, at, buffer, sizeof buffer));
        vm_error(L, "%s: %s is %s, expected a tensor", where, named(name, at, buffer, sizeof buffer),
                 vm_describe(L, at).text);
    }
    if (!box->t || !box->t->storage)
        vm_error(L, "%s: %s: tensor was freed", where, named(name, at, buffer, sizeof buffer));
    return box->t;
}

at_object *vm_check_object(lua_State *L, int at, const at_class *class, const char *where)
{
    at_object *o = vm_object_at(L, at, class);
    if (!o)
        vm_error(L, "%s: argument %d is %s, expected a %s", where, at, vm_describe(L, at).text, at_class_word(class));
    return o;
}

/* ---- values ---- */

at_text vm_describe(lua_State *L, int at)
{
    at_text t;
    vm_tensor_box *box = vm_tensor_at(L, at);
    at_object *o = vm_object_at(L, at, NULL);
    if (box && box->t && box->t->storage)
        return at_describe(box->t);
    if (box)
        snprintf(t.text, sizeof t.text, "a freed tensor");
    else if (o)
        snprintf(t.text, sizeof t.text, "a%s %s", strchr("aeiou", *at_class_word(o->class)) ? "n" : "",
                 at_class_word(o->class));
    else if (vm_is_module(L, at))
        snprintf(t.text, sizeof t.text, "a module");
    else if (lua_type(L, at) == LUA_TSTRING)
        snprintf(t.text, sizeof t.text, "the string '%.40s'", lua_tostring(L, at));
    else if (lua_isinteger(L, at))
        snprintf(t.text, sizeof t.text, "%lld", (long long)lua_tointeger(L, at));
    else if (lua_type(L, at) == LUA_TNUMBER)
        snprintf(t.text, sizeof t.text, "%.14g", lua_tonumber(L, at));
    else if (lua_type(L, at) == LUA_TBOOLEAN)
        snprintf(t.text, sizeof t.text, "%s", lua_toboolean(L, at) ? "true" : "false");
    else if (lua_isnoneornil(L, at))
        snprintf(t.text, sizeof t.text, "nil");
    else
        snprintf(t.text, sizeof t.text, "a %s", luaL_typename(L, at));
    return t;
}

enum { DEEPEST = 16 };

static at_table *read_table(lua_State *L, int at, at_arena *arena, const char *where, int depth);

static at_value read_value(lua_State *L, int at, at_arena *arena, const char *where, int depth)
{
    switch (lua_type(L, at)) {
    case LUA_TNIL:
    case LUA_TNONE: return (at_value){.type = AT_NIL};
    case LUA_TBOOLEAN: return at_truth_value(lua_toboolean(L, at));
    case LUA_TNUMBER:
        return lua_isinteger(L, at) ? at_whole_value(lua_tointeger(L, at)) : at_number_value(lua_tonumber(L, at));
    case LUA_TSTRING: return at_text_value(lua_tostring(L, at));
    case LUA_TTABLE: return at_table_value(read_table(L, at, arena, where, depth));
    case LUA_TUSERDATA: {
        vm_tensor_box *box = vm_tensor_at(L, at);
        if (box) {
            if (!box->t || !box->t->storage)
                vm_error(L, "%s: tensor was freed", where);
            return at_tensor_value(box->t);
        }
        at_object *o = vm_object_at(L, at, NULL);
        if (o)
            return at_object_value(o);
    } /* fall through */
    default: {
        at_text is = vm_describe(L, at);
        char *text = at_arena_alloc(arena, strlen(is.text) + 1);
        if (!text)
            vm_error(L, "%s: out of memory", where);
        return (at_value){.type = AT_OTHER, .text = strcpy(text, is.text)};
    }
    }
}

static at_table *read_table(lua_State *L, int at, at_arena *arena, const char *where, int depth)
{
    if (depth >= DEEPEST)
        vm_error(L, "%s: the table is nested more than %d deep", where, DEEPEST);
    luaL_checkstack(L, 6, where);
    at = lua_absindex(L, at);
    at_table *t = at_table_new(arena);
    bool ok = t != NULL;
    for (lua_pushnil(L); ok && lua_next(L, at); lua_pop(L, 1)) {
        at_value v = read_value(L, -1, arena, where, depth + 1);
        if (lua_type(L, -2) == LUA_TSTRING)
            ok = at_table_add(arena, t, lua_tostring(L, -2), 0, v);
        else if (lua_isinteger(L, -2))
            ok = at_table_add(arena, t, NULL, lua_tointeger(L, -2), v);
        else
            vm_error(L, "%s: a field is named by %s, expected a string", where, vm_describe(L, -2).text);
    }
    if (!ok)
        vm_error(L, "%s: out of memory", where);
    return t;
}

at_value vm_read_value(lua_State *L, int at, at_arena *arena, const char *where)
{
    return read_value(L, at, arena, where, 0);
}

void vm_push_value(lua_State *L, at_value v)
{
    luaL_checkstack(L, 4, "a result");
    switch (v.type) {
    case AT_NIL: lua_pushnil(L); break;
    case AT_TRUTH: lua_pushboolean(L, v.truth); break;
    case AT_WHOLE: lua_pushinteger(L, v.whole); break;
    case AT_REAL_NUMBER: lua_pushnumber(L, v.number); break;
    case AT_TEXT: lua_pushstring(L, v.text); break;
    case AT_TENSOR: vm_push_tensor(L, v.tensor); break;
    case AT_OBJECT: vm_push_object(L, v.object); break;
    case AT_OTHER: vm_error(L, "%s cannot be part of a state", v.text);
    case AT_TABLE:
        lua_createtable(L, 0, (int)v.table->n);
        for (size_t i = 0; i < v.table->n; i++) {
            vm_push_value(L, v.table->entry[i].value);
            if (v.table->entry[i].key)
                lua_setfield(L, -2, v.table->entry[i].key);
            else
                lua_rawseti(L, -2, v.table->entry[i].index);
        }
        if (v.table->batch) { /* read by attn.search.reorder */
            lua_createtable(L, 0, 1);
            lua_pushinteger(L, v.table->batch);
            lua_setfield(L, -2, "batch");
            lua_setmetatable(L, -2);
        }
        break;
    }
}

at_dtype vm_check_dtype(lua_State *L, int at, const char *where)
{
    at_dtype dtype = AT_F32;
    const char *name = lua_type(L, at) == LUA_TSTRING ? lua_tostring(L, at) : "";
    if (!at_dtype_named(name, &dtype) || dtype > AT_DTYPES)
        vm_error(L, "%s: dtype is %s, expected float32, float64, int64, bool or uint8%s", where,
                 vm_describe(L, at).text, at_suggest(" (", name, "float32|float64|int64|bool|uint8", ")").text);
    return dtype;
}

int64_t vm_check_integer(lua_State *L, int at, const char *where, const char *name)
{
    int whole = 0;
    lua_Integer n = lua_type(L, at) == LUA_TNUMBER ? lua_tointegerx(L, at, &whole) : 0;
    if (!whole)
        vm_error(L, "%s: %s is %s, expected an integer", where, name, vm_describe(L, at).text);
    return n;
}

void vm_check_function(lua_State *L, int at, const char *where, const char *name)
{
    if (lua_type(L, at) == LUA_TFUNCTION)
        return;
    if (luaL_getmetafield(L, at, "__call") == LUA_TNIL)
        vm_error(L, "%s: %s is %s, expected a function", where, name, vm_describe(L, at).text);
    lua_pop(L, 1);
}

double vm_check_number(lua_State *L, int at, const char *where, const char *name)
{
    if (lua_type(L, at) != LUA_TNUMBER)
        vm_error(L, "%s: %s is %s, expected a number", where, name, vm_describe(L, at).text);
    return lua_tonumber(L, at);
}

static size_t check_size(lua_State *L, int at, const char *where)
{
    int64_t n = vm_check_integer(L, at, where, "size");
    if (n < 0)
        vm_error(L, "%s: size is %lld, expected at least 0", where, (long long)n);
    return (size_t)n;
}

size_t vm_check_sizes(lua_State *L, int at, size_t *size, int *next, const char *where)
{
    size_t n = 0;
    if (lua_type(L, at) == LUA_TTABLE) {
        size_t count = lua_rawlen(L, at);
        if (count > AT_MAX_DIM)
            vm_error(L, "%s: %zu dimensions, expected at most %d", where, count, AT_MAX_DIM);
        for (; n < count; n++) {
            lua_rawgeti(L, at, (lua_Integer)n + 1);
            size[n] = check_size(L, -1, where);
            lua_pop(L, 1);
        }
        *next = at + 1;
        return n;
    }
    for (; !lua_isnoneornil(L, at) && lua_type(L, at) != LUA_TTABLE; at++) {
        if (n == AT_MAX_DIM)
            vm_error(L, "%s: more than %d dimensions", where, AT_MAX_DIM);
        size[n++] = check_size(L, at, where);
    }
    *next = at;
    return n;
}

/* ---- registration ---- */

void vm_set_functions(lua_State *L, int table, const luaL_Reg *f)
{
    table = lua_absindex(L, table);
    for (; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, table, f->name);
    }
}

const char *vm_push_path(lua_State *L, int lib, const char *path)
{
    lua_pushvalue(L, lib);
    for (const char *dot; (dot = strchr(path, '.')); path = dot + 1) {
        lua_pushlstring(L, path, (size_t)(dot - path));
        if (lua_gettable(L, -2) != LUA_TTABLE) {
            lua_pop(L, 1);
            lua_newtable(L);
            lua_pushlstring(L, path, (size_t)(dot - path));
            lua_pushvalue(L, -2);
            lua_settable(L, -4);
        }
        lua_remove(L, -2);
    }
    return path;
}

void vm_describe_functions(lua_State *L, const vm_doc *doc)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.docs");
    for (; doc->name; doc++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)doc->help); /* made a string when somebody asks */
        lua_setfield(L, -2, doc->name);
    }
    lua_pop(L, 1);
}

const char *vm_check_path(lua_State *L, const char *where)
{
    size_t n;
    if (lua_type(L, 1) != LUA_TSTRING)
        vm_error(L, "%s: path is %s, expected a string", where, vm_describe(L, 1).text);
    const char *path = lua_tolstring(L, 1, &n);
    if (n == 0 || strlen(path) != n)
        vm_error(L, "%s: path is empty or has a byte 0", where);
    return path;
}
