/*
 * Memory as scripts see it. Lua's collector knows a box as 16 bytes, so it is told by force: a full collection whenever the engine's
 * live bytes have grown by so much since the last one that its cost does not matter: 4 times Lua's own heap (a collection reads
 * some 5 MB of that in a millisecond), within 4 MiB (what fits the caches is reused while it is warm) and 256 MiB, or a quarter of
 * what is live if that is more. This works in both collector modes; steps told to the collector do not (in generational mode it
 * never frees an old tensor that way).
 *
 * Finalizers run wherever Lua allocates, so also while a function of the binding looks at a tensor, layer or optimizer that it has
 * from a box and does not hold. What is let go in a finalizer therefore waits (attn/core/later.h) until a call outside of any finalizer
 * is at a place where it looks at nothing: vm_account, vm_collect, or the start of a function that lets go itself. Calls of the script's
 * functions that a function of the binding makes knowingly are such places too.
 *
 * attn.scope: boxes made inside are listed in a table; when the function returns, all are emptied but those it returns or keeps.
 */
#include "vm/bind.h"

#include <string.h>

#define MIB ((size_t)1 << 20)

static size_t budget = 4 * MIB;
static bool collecting;
static int scopes;          /* how many attn.scope calls are running */
static const char scope_key;

#if LUA_VERSION_RELEASE_NUM < 50404
#error "Lua 5.4.4 or later is needed: lua_gc says there whether a finalizer is running"
#endif

bool vm_releases(lua_State *L)
{
    at_later = lua_gc(L, LUA_GCCOUNT) < 0;
    if (at_later)
        return false;
    at_let_go();
    return vm_bury(L);
}

void vm_collect(lua_State *L)
{
    if (collecting || lua_gc(L, LUA_GCCOUNT) < 0)
        return;
    collecting = true;
    lua_gc(L, LUA_GCCOLLECT);
    collecting = false;
    vm_releases(L);
    size_t live = at_live_bytes(), heap = (size_t)lua_gc(L, LUA_GCCOUNT) << 10, growth = 4 * heap;
    growth = growth < 4 * MIB ? 4 * MIB : growth > 256 * MIB ? 256 * MIB : growth;
    budget = live + (growth > live / 4 ? growth : live / 4);
}

void vm_account(lua_State *L)
{
    if (at_later)
        vm_releases(L);
    if (at_live_bytes() > budget)
        vm_collect(L);
}

/* ---- scope ---- */

/* The table of the innermost scope: boxes as keys, and the table of the scope around it under scope_key. */
void vm_scope_note(lua_State *L)
{
    if (scopes == 0)
        return;
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &scope_key) == LUA_TTABLE) {
        lua_pushvalue(L, -2);
        lua_pushboolean(L, true);
        lua_rawset(L, -3);
    }
    lua_pop(L, 1);
}

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
        bool outer = lua_rawgetp(L, -1, &scope_key) == LUA_TTABLE;
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

static void leave(lua_State *L, int outer)
{
    lua_pushvalue(L, outer);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &scope_key);
    scopes--;
}

static int scope(lua_State *L)
{
    vm_check_function(L, 1, "scope", "fn");
    int arguments = lua_gettop(L) - 1;
    lua_newtable(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &scope_key);
    lua_rotate(L, 1, 2);                            /* made, outer, f, arguments */
    lua_pushvalue(L, 2);
    lua_rawsetp(L, 1, &scope_key);
    lua_pushvalue(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &scope_key);
    scopes++;
    int status = lua_pcall(L, arguments, LUA_MULTRET, 0);
    leave(L, 2);
    int results = lua_gettop(L) - 2;
    if (status == LUA_OK)
        keep(L, 3, 2 + results, 1, false);         /* what is returned belongs to the scope around this one */
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
    if (scopes == 0)
        return;
    int top = lua_gettop(L);
    luaL_checkstack(L, 2, "attn.keep");
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &scope_key) == LUA_TTABLE)
        keep(L, from, to, top + 1, true);
    lua_settop(L, top);
}

static int keep_values(lua_State *L)
{
    vm_scope_keep(L, 1, lua_gettop(L));
    return lua_gettop(L);
}

static int memory(lua_State *L)
{
    if (vm_releases(L))
        vm_collect(L);      /* what custom functions kept has become garbage just now */
    at_memory m = at_memory_now();
    lua_createtable(L, 0, 4);
    lua_pushinteger(L, (lua_Integer)m.live);
    lua_setfield(L, -2, "live");
    lua_pushinteger(L, (lua_Integer)m.peak);
    lua_setfield(L, -2, "peak");
    lua_pushinteger(L, (lua_Integer)(m.limit && m.limit < budget ? m.limit : budget));
    lua_setfield(L, -2, "budget");
    lua_pushinteger(L, (lua_Integer)m.cached);
    lua_setfield(L, -2, "cached");
    return 1;
}

static int memory_limit(lua_State *L)
{
    int64_t bytes = vm_check_integer(L, 1, "memory_limit", "bytes");
    if (bytes < 0)
        vm_error(L, "memory_limit: bytes is %lld, expected at least 0", (long long)bytes);
    at_memory_limit((size_t)bytes);
    return 0;
}

static int reset_peak(lua_State *L)
{
    (void)L;
    at_memory_reset_peak();
    return 0;
}

/* For tests: attn.internal.fail_allocation(n, times) makes `times` allocations fail from the nth on, counted from now (true: all of
 * them; default 1); n = 0 turns it off; returns the count so far. */
static int fail_allocation(lua_State *L)
{
    lua_Integer nth = luaL_optinteger(L, 1, 0);
    lua_Integer times = lua_isboolean(L, 2) && lua_toboolean(L, 2) ? LUA_MAXINTEGER : luaL_optinteger(L, 2, 1);
    lua_pushinteger(L, (lua_Integer)at_alloc_count());
    at_alloc_fail(nth > 0 ? (uint64_t)nth : 0, times > 0 ? (uint64_t)times : 0);
    return 1;
}

void vm_open_gc(lua_State *L, int lib)
{
    static const luaL_Reg functions[] = {
        {"scope", scope}, {"keep", keep_values}, {"memory", memory}, {"memory_limit", memory_limit},
        {"reset_peak_memory", reset_peak}, {NULL, NULL}
    };
    static const vm_doc docs[] = {
        {"scope", "scope(fn, ...) -> what fn(...) returns\n"
                  "Calls fn and frees at once every tensor made inside, except those it returns (also in tables), passes to\n"
                  "attn.keep, or that a layer, optimizer, cache or the tape holds. Use of a freed one is an error."},
        {"keep", "keep(...) -> ...\nTakes tensors (also in tables) out of the attn.scope that is running: they live on."},
        {"memory", "memory() -> {live =, peak =, budget =, cached =}\n"
                   "Bytes of tensors and graphs: in use, most so far, at which the next full collection comes, kept for reuse."},
        {"memory_limit", "memory_limit(bytes)\nMore live bytes than this are an 'out of memory' error; 0 lifts the limit."},
        {"reset_peak_memory", "reset_peak_memory()\nattn.memory().peak counts from now."},
        {NULL, NULL}
    };
    vm_set_functions(L, lib, functions);
    vm_describe_functions(L, docs);
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.internal");
    lua_pushcfunction(L, fail_allocation);
    lua_setfield(L, -2, "fail_allocation");
    lua_pop(L, 1);
}
