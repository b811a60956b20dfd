/*
 * Where modules come from. package.path is left as Lua made it. The library's modules, the script's own folder and the one above it
 * (where a script of another family stands: require "family.name") are looked up by the searcher that replaces Lua's file searcher,
 * before it looks along package.path.
 */
#include "vm/vm.h"

#include <string.h>

static const char FOLDER[] = "attn.script_folder"; /* registry: the templates of the script's folder */
static const char OPEN[] = "attn.searcher";        /* and whether the library's modules are found */

/* Looks for module `name` in a path. upvalue 1: package, 2: package.searchpath as it was at start. Returns the number
 * of results for require if it is found; else leaves one string, the places looked at. */
static int search(lua_State *L, const char *name)
{
    /* on top: the path */
    lua_pushvalue(L, lua_upvalueindex(2));
    lua_pushstring(L, name);
    lua_rotate(L, -3, -1); /* searchpath, name, path */
    lua_call(L, 2, 2);
    if (lua_isnil(L, -2)) {
        lua_remove(L, -2);
        return 0;
    }
    lua_pop(L, 1);
    const char *file = lua_tostring(L, -1);
    if (vm_load_file(L, file) != LUA_OK)
        return luaL_error(L, "error loading module '%s' from file '%s':\n\t%s", name, file, lua_tostring(L, -1));
    lua_insert(L, -2);
    return 2;
}

/* A module of the library: two results for require; else one string, that it is none. */
static int library_searcher(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);

    if (strncmp(name, "attn.", 5) != 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    int status = vm_load_module(L, name + 5);
    if (status == LUA_OK) {
        lua_pushliteral(L, ":attn:");
        return 2;
    }
    if (status != -1)
        return luaL_error(L, "error loading module '%s':\n\t%s", name, lua_tostring(L, -1));
    lua_pushfstring(L, "no module '%s' in the library\n\t", name);
    return 1;
}

static int searcher(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    int n = library_searcher(L);

    if (n == 2)
        return n;
    if (lua_getfield(L, LUA_REGISTRYINDEX, FOLDER) == LUA_TSTRING && (n = search(L, name)) > 0)
        return n;
    lua_pop(L, 1); /* scripts compare the message with Lua's, which knows no such folder */
    if (lua_getfield(L, lua_upvalueindex(1), "path") != LUA_TSTRING)
        return luaL_error(L, "'package.path' must be a string");
    if ((n = search(L, name)) > 0)
        return n;
    lua_concat(L, 2);
    return 1;
}

void vm_script_folder(lua_State *L, const char *script)
{
    const char *slash = strrchr(script, '/');

    if (slash)
        lua_pushlstring(L, script, (size_t)(slash - script) + (slash == script));
    else
        lua_pushliteral(L, ".");
    const char *folder = lua_tostring(L, -1);
    if (!strpbrk(folder, ";?")) /* both mean something else in a path */
        lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s/../?.lua", folder, folder, folder);
    else
        lua_pushnil(L);
    lua_setfield(L, LUA_REGISTRYINDEX, FOLDER);
    lua_pop(L, 1);
}

void vm_open_search(lua_State *L)
{
    if (lua_getfield(L, LUA_REGISTRYINDEX, OPEN) == LUA_TNIL && lua_getglobal(L, LUA_LOADLIBNAME) == LUA_TTABLE &&
        lua_getfield(L, -1, "searchers") == LUA_TTABLE) {
        lua_pushcfunction(L, library_searcher);
        lua_rawseti(L, -2, luaL_len(L, -2) + 1);
        lua_pushboolean(L, 1);
        lua_setfield(L, LUA_REGISTRYINDEX, OPEN);
    }
}

void vm_open_load(lua_State *L)
{
    lua_pushboolean(L, 1);
    lua_setfield(L, LUA_REGISTRYINDEX, OPEN);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_attn);
    lua_setfield(L, -2, "attn");

    lua_getglobal(L, LUA_LOADLIBNAME);
    lua_getfield(L, -1, "searchers");
    lua_pushvalue(L, -2);
    lua_getfield(L, -3, "searchpath");
    lua_pushcclosure(L, searcher, 2);
    lua_rawseti(L, -2, 2);
    lua_pop(L, 3);
}
