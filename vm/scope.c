/*
 * attn.scope: boxes made inside are listed in a table; when the function returns, all are emptied but those it returns or keeps.
 */
#include "vm/bind.h"

static const char around; /* in the table of a scope, beside the boxes: the table of the scope around it */

/* Takes the tensor on top out of the scope at `made`: into the one around it, or out of all of them. */
static void take_out(lua_State *L, int made, bool all)
{
    int tensor = lua_gettop(L);
    lua_pushvalue(L, made);
    do {
        lua_pushvalue(L, tensor);
        bool listed = lua_rawget(L, -2) != LUA_TNIL;
        lua_pop(L, 1);
        if (listed) {
            lua_pushvalue(L, tensor);
            lua_pushnil(L);
            lua_rawset(L, -3);
        }
        bool outer = lua_rawgetp(L, -1, &around) == LUA_TTABLE;
        lua_remove(L, -2);
        if (outer && listed && !all) {
            lua_pushvalue(L, tensor);
            lua_pushboolean(L, true);
            lua_rawset(L, -3);
        }
        all = all && outer;
    } while (all);
    lua_settop(L, tensor);
}

/* Takes out the value on top if it is a tensor, notes it in `seen` if it is a table met for the first time: under itself, and in
 * the list of those whose contents are still to be looked at. */
static void keep_one(lua_State *L, int made, int seen, bool all)
{
    if (vm_tensor_at(L, -1)) {
        take_out(L, made, all);
    } else if (lua_type(L, -1) == LUA_TTABLE) {
        lua_pushvalue(L, -1);
        if (lua_rawget(L, seen) == LUA_TNIL) {
            lua_pushvalue(L, -2);
            lua_pushboolean(L, true);
            lua_rawset(L, seen);
            lua_pushvalue(L, -2);
            lua_rawseti(L, seen, (lua_Integer)lua_rawlen(L, seen) + 1);
        }
        lua_pop(L, 1);
    }
}

/* The same for values from..to of the stack and for everything that tables among them lead to: a loop, as a list may be deep. */
static void keep(lua_State *L, int from, int to, int made, bool all)
{
    luaL_checkstack(L, 12, "attn.scope");
    lua_newtable(L);
    int seen = lua_gettop(L);
    for (int at = from; at <= to; at++) {
        lua_pushvalue(L, at);
        keep_one(L, made, seen, all);
        lua_pop(L, 1);
    }
    for (lua_Integer i = 1; lua_rawgeti(L, seen, i) == LUA_TTABLE; i++) {
        for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1))
            keep_one(L, made, seen, all);
        lua_pop(L, 1);
    }
    lua_settop(L, seen - 1);
}

static int scope(lua_State *L)
{
    vm_check_function(L, 1, "scope", "fn");
    int arguments = lua_gettop(L) - 1;
    lua_newtable(L);
    vm_scope_push(L);
    lua_rotate(L, 1, 2); /* made, outer, f, arguments */
    lua_pushvalue(L, 2);
    lua_rawsetp(L, 1, &around);
    vm_scope_enter(L, 1);
    int status = lua_pcall(L, arguments, LUA_MULTRET, 0);
    vm_scope_leave(L, 2);
    int results = lua_gettop(L) - 2;
    if (status == LUA_OK)
        keep(L, 3, 2 + results, 1, false); /* what is returned belongs to the scope around this one */
    vm_releases(L);
    for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1)) {
        vm_tensor_box *box = vm_tensor_at(L, -2);
        if (box) {
            at_tensor *t = box->t;
            box->t = NULL;
            at_release(t);
        }
    }
    vm_bury(L);
    return status == LUA_OK ? results : lua_error(L);
}

void vm_scope_keep(lua_State *L, int from, int to)
{
    int top = lua_gettop(L);
    luaL_checkstack(L, 2, "attn.keep");
    if (vm_scope_push(L))
        keep(L, from, to, top + 1, true);
    lua_settop(L, top);
}

static int keep_values(lua_State *L)
{
    vm_scope_keep(L, 1, lua_gettop(L));
    return lua_gettop(L);
}

void vm_open_scope(lua_State *L, int lib)
{
    static const luaL_Reg functions[] = {{"scope", scope}, {"keep", keep_values}, {NULL, NULL}};
    static const vm_doc docs[] = {
        {"scope",
         "scope(fn, ...) -> what fn(...) returns\n"
         "Calls fn and frees at once every tensor made inside, except those it returns (also in tables), passes to\n"
         "attn.keep, or that a layer, optimizer, cache or the tape holds. Use of a freed one is an error."},
        {"keep",
         "keep(...) -> ...\nTakes tensors (also in tables) out of the attn.scope that is running: they live on."},
        {NULL, NULL}};
    vm_set_functions(L, lib, functions);
    vm_describe_functions(L, docs);
}
