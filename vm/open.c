/*
 * luaopen_attn: the library's table. What is written in Lua (attn.data, attn.search, attn.checkgrad ...) is loaded when first named.
 */
#include "vm/bind.h"

#include <string.h>

/* The standard library's modules that are fields of attn. */
static const char *const modules[] = {
    "checkpoint", "estimate", "dist",   "sequential", "init",  "parameter", "checkgrad", "allclose", "search",
    "schedule",   "penalty",  "data",   "text",       "trees", "metric",    "train",     "fit",      "run",
    "show",       "task",     "corpus", "translate",  "map",   "progress",  "profile",   "explain",  NULL};

/* attn.<name> that is not there: a module, under "attn.<name>" as require knows it. */
static int lazy(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TTABLE || lua_type(L, 2) != LUA_TSTRING)
        return 0;
    const char *name = lua_tostring(L, 2);
    for (int k = 0; modules[k]; k++)
        if (strcmp(name, modules[k]) == 0) {
            vm_require(L, name);
            lua_pushvalue(L, 2);
            lua_pushvalue(L, -2);
            lua_rawset(L, 1);
            return 1;
        }
    return 0;
}

/* attn.internal.named_modules() -> list of their names */
static int list_named(lua_State *L)
{
    lua_newtable(L);
    for (int k = 0; modules[k]; k++) {
        lua_pushstring(L, modules[k]);
        lua_rawseti(L, -2, k + 1);
    }
    return 1;
}

/* attn.describe{name =, signature =, help =, example =}: documentation of a function written in Lua, in the registry of all. */
static int describe(lua_State *L)
{
    if (lua_type(L, 1) != LUA_TTABLE || lua_getfield(L, 1, "name") != LUA_TSTRING)
        vm_error(L, "describe: argument is %s, expected a table with a name", vm_describe(L, 1).text);
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.docs");
    lua_insert(L, -2);
    lua_pushvalue(L, 1);
    lua_rawset(L, -3);
    return 0;
}

/* attn.internal.docs() -> name -> text or record of describe: everything that is documented by hand */
static int docs(lua_State *L)
{
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.docs");
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, -3);) {
        lua_pushvalue(L, -2);
        if (lua_type(L, -2) == LUA_TLIGHTUSERDATA)
            lua_pushstring(L, lua_touserdata(L, -2));
        else
            lua_pushvalue(L, -2);
        lua_rawset(L, -5);
        lua_pop(L, 1);
    }
    return 1;
}

static void registry_table(lua_State *L, const char *name)
{
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, name);
}

/* upvalue 1: what to say */
static int say(lua_State *L)
{
    lua_pushvalue(L, lua_upvalueindex(1));
    return 1;
}

int luaopen_attn(lua_State *L)
{
    lua_newtable(L);
    int lib = lua_gettop(L);
    registry_table(L, "attn.methods");
    registry_table(L, "attn.docs");
    registry_table(L, "attn.internal");
    lua_pushstring(L, AT_VERSION);
    lua_setfield(L, lib, "_VERSION");
    vm_open_tensor(L, lib);
    vm_open_op(L, lib);
    vm_open_graph(L, lib);
    vm_open_layer(L, lib);
    vm_open_cache(L);
    vm_open_module(L, lib);
    vm_open_optim(L, lib);
    vm_open_io(L, lib);
    vm_open_random(L, lib);
    vm_open_sys(L, lib);
    vm_open_process(L);
    vm_open_gc(L, lib);
    vm_open_scope(L, lib);
    vm_open_profile(L);
    vm_open_json(L, lib);
    vm_open_text(L, lib);
    lua_pushcfunction(L, describe);
    lua_setfield(L, lib, "describe");
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.internal");
    lua_pushcfunction(L, docs);
    lua_setfield(L, -2, "docs");
    lua_pushcfunction(L, list_named);
    lua_setfield(L, -2, "named_modules");
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
    lua_insert(L, -2);
    lua_setfield(L, -2, "attn.internal");
    vm_open_search(L);
    lua_settop(L, lib);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, lazy);
    lua_setfield(L, -2, "__index");
    lua_pushliteral(L,
                    "attn " AT_VERSION
                    ": tensors, layers, attention, encoders, decoders, optimizers; attn help, or ?NAME in the session");
    lua_pushcclosure(L, say, 1);
    lua_setfield(L, -2, "__tostring");
    lua_setmetatable(L, lib);
    return 1;
}
