/*
 * What is let go, and when.
 *
 * Finalizers run wherever Lua allocates, so also while a function of the binding looks at a tensor, layer or optimizer that it has
 * from a box and does not hold. What is let go in a finalizer therefore waits (attn/core/later.h) until a call outside of any finalizer
 * is at a place where it looks at nothing: vm_account, vm_collect, or the start of a function that lets go itself. Calls of the script's
 * functions that a function of the binding makes knowingly are such places too.
 *
 * Values of Lua that a node of the graph keeps (attn.custom) hang in a table of the registry. A node may go where there is no Lua state
 * at hand, so they are let go at the next of these places.
 */
#include "vm/bind.h"

#if LUA_VERSION_RELEASE_NUM < 50404
#error "Lua 5.4.4 or later is needed: lua_gc says there whether a finalizer is running"
#endif

static const char kept_key; /* registry: the table of kept values, by address */
static vm_kept *gone;

void vm_keep(lua_State *L, vm_kept *k)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &kept_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        lua_pushvalue(L, -1);
        lua_rawsetp(L, LUA_REGISTRYINDEX, &kept_key);
    }
    lua_insert(L, -2);
    lua_rawsetp(L, -2, k);
    lua_pop(L, 1);
}

void vm_push_kept(lua_State *L, const vm_kept *k)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &kept_key);
    lua_rawgetp(L, -1, k);
    lua_remove(L, -2);
}

void vm_kept_gone(void *kept)
{
    vm_kept *k = kept;
    k->next = gone;
    gone = k;
}

bool vm_bury(lua_State *L)
{
    if (!gone)
        return false;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &kept_key);
    while (gone) {
        vm_kept *k = gone;
        gone = k->next;
        lua_pushnil(L);
        lua_rawsetp(L, -2, k);
    }
    lua_pop(L, 1);
    return true;
}

bool vm_releases(lua_State *L)
{
    at_later = lua_gc(L, LUA_GCCOUNT) < 0;
    if (at_later)
        return false;
    at_let_go();
    return vm_bury(L);
}

static void gone_before(void *kept) { (void)kept; }

void vm_closed(void)
{
    at_free_extra = gone_before;
    at_let_go();
}
