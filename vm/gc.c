/*
 * Memory as scripts see it. Lua's collector knows a box as 16 bytes, so it is told by force: a full collection whenever the engine's
 * live bytes have grown by so much since the last one that its cost does not matter: 4 times Lua's own heap (a collection reads
 * some 5 MB of that in a millisecond), within 4 MiB (what fits the caches is reused while it is warm) and 256 MiB, or a quarter of
 * what is live if that is more. This works in both collector modes; steps told to the collector do not (in generational mode it
 * never frees an old tensor that way).
 */
#include "vm/bind.h"

#define MIB ((size_t)1 << 20)

static size_t budget = 4 * MIB;
static bool collecting;

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

void vm_retry(lua_State *L, const at_error *e, int attempt)
{
    if (!e->memory || attempt > 0)
        vm_raise(L, e);
    vm_collect(L);
}

static int memory(lua_State *L)
{
    if (vm_releases(L))
        vm_collect(L); /* what custom functions kept has become garbage just now */
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
        {"memory", memory}, {"memory_limit", memory_limit}, {"reset_peak_memory", reset_peak}, {NULL, NULL}};
    static const vm_doc docs[] = {
        {"memory",
         "memory() -> {live =, peak =, budget =, cached =}\n"
         "Bytes of tensors and graphs: in use, most so far, at which the next full collection comes, kept for reuse."},
        {"memory_limit",
         "memory_limit(bytes)\nMore live bytes than this are an 'out of memory' error; 0 lifts the limit."},
        {"reset_peak_memory", "reset_peak_memory()\nattn.memory().peak counts from now."},
        {NULL, NULL}};
    vm_set_functions(L, lib, functions);
    vm_describe_functions(L, docs);
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.internal");
    lua_pushcfunction(L, fail_allocation);
    lua_setfield(L, -2, "fail_allocation");
    lua_pop(L, 1);
}
