/*
 * Chunks are text.
 *
 * Lua does not check bytecode, so a damaged or hostile binary chunk can crash the process (a few flipped bytes do).
 * Every way in therefore refuses it: load, loadfile, dofile, require, the command line. ATTN_ALLOW_BYTECODE=1 keeps
 * Lua's own functions, for those who run Lua's test suite.
 */
#include "vm/vm.h"

#include <stdlib.h>
#include <string.h>

static const char no_binary[] = "binary chunks are not accepted";

static const char *text_mode(void)
{
    const char *allow = getenv("ATTN_ALLOW_BYTECODE");

    return allow && strcmp(allow, "1") == 0 ? "bt" : "t";
}

/* Lua says "attempt to load a binary chunk (mode is 't')": say what holds here. */
static void explain(lua_State *L)
{
    static const char lua_says[] = "attempt to load a binary chunk (mode is";
    const char *message = lua_tostring(L, -1), *at = message ? strstr(message, lua_says) : NULL;

    if (at) {
        lua_pushlstring(L, message, (size_t)(at - message));
        lua_pushstring(L, no_binary);
        lua_concat(L, 2);
        lua_replace(L, -2);
    }
}

int vm_load_file(lua_State *L, const char *path)
{
    int status = luaL_loadfilex(L, path, text_mode());

    if (status != LUA_OK)
        explain(L);
    return status;
}

int vm_load_text(lua_State *L, const char *text, size_t length, const char *chunk)
{
    int status = luaL_loadbufferx(L, text, length, chunk, text_mode());

    if (status != LUA_OK)
        explain(L);
    return status;
}

typedef struct pieces {
    bool started, binary; /* text came; the first character was that of bytecode */
} pieces;

/* The pieces of a chunk given by a function: argument 1 of load. Slot 5 keeps the piece that the parser reads. */
static const char *read_piece(lua_State *L, void *data, size_t *size)
{
    pieces *p = data;

    luaL_checkstack(L, 2, "too many nested functions");
    lua_pushvalue(L, 1);
    lua_call(L, 0, 1);
    if (lua_isnil(L, -1)) {
        lua_pop(L, 1);
        *size = 0;
        return NULL;
    }
    if (!lua_isstring(L, -1))
        luaL_error(L, "reader function must return a string");
    lua_replace(L, 5);
    const char *piece = lua_tolstring(L, 5, size);
    if (!p->started && piece[0] == LUA_SIGNATURE[0]) {
        p->binary = true;
        *size = 0;
        return NULL;
    }
    p->started = p->started || *size > 0;
    return piece;
}

static int load_failed(lua_State *L)
{
    luaL_pushfail(L);
    lua_insert(L, -2);
    return 2;
}

/* load(chunk [, name [, mode [, env]]]) */
static int text_load(lua_State *L)
{
    bool env = !lua_isnone(L, 4);
    pieces p = {false, false};
    size_t n;
    const char *text = lua_tolstring(L, 1, &n), *mode = luaL_optstring(L, 3, "t");
    int status;

    if (text) {
        const char *name = luaL_optstring(L, 2, text);
        p.binary = text[0] == LUA_SIGNATURE[0];
        status = luaL_loadbufferx(L, text, p.binary ? 0 : n, name, mode);
    } else {
        const char *name = luaL_optstring(L, 2, "=(load)");
        luaL_checktype(L, 1, LUA_TFUNCTION);
        lua_settop(L, 5);
        status = lua_load(L, read_piece, &p, name, mode);
    }
    if (p.binary) {
        lua_pushstring(L, no_binary);
        status = LUA_ERRSYNTAX;
    }
    if (status != LUA_OK)
        return load_failed(L);
    if (env) {
        lua_pushvalue(L, 4);
        if (!lua_setupvalue(L, -2, 1))
            lua_pop(L, 1);
    }
    return 1;
}

/* loadfile([path [, mode [, env]]]) */
static int text_loadfile(lua_State *L)
{
    const char *path = luaL_optstring(L, 1, NULL), *mode = luaL_optstring(L, 2, "t");
    bool env = !lua_isnone(L, 3);
    int status = vm_load_file(L, path);

    if (status == LUA_OK && !strchr(mode, 't')) {
        lua_pushfstring(L, "attempt to load a text chunk (mode is '%s')", mode);
        status = LUA_ERRSYNTAX;
    }
    if (status != LUA_OK)
        return load_failed(L);
    if (env) {
        lua_pushvalue(L, 3);
        if (!lua_setupvalue(L, -2, 1))
            lua_pop(L, 1);
    }
    return 1;
}

static int dofile_done(lua_State *L, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return lua_gettop(L) - 1;
}

/* dofile([path]): the chunk may yield */
static int text_dofile(lua_State *L)
{
    const char *path = luaL_optstring(L, 1, NULL);

    lua_settop(L, 1);
    if (vm_load_file(L, path) != LUA_OK)
        return lua_error(L);
    lua_callk(L, 0, LUA_MULTRET, 0, dofile_done);
    return dofile_done(L, LUA_OK, 0);
}

void vm_open_chunk(lua_State *L)
{
    if (strcmp(text_mode(), "t") != 0)
        return;
    lua_pushglobaltable(L);
    lua_pushcfunction(L, text_load);
    lua_setfield(L, -2, "load");
    lua_pushcfunction(L, text_loadfile);
    lua_setfield(L, -2, "loadfile");
    lua_pushcfunction(L, text_dofile);
    lua_setfield(L, -2, "dofile");
    lua_pop(L, 1);
}
