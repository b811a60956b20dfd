/* Boxes: the userdata that scripts hold tensors and objects by, and what else goes with a userdata. See bind.h. */
#include "vm/bind.h"

#include <string.h>

#define TENSOR_MAGIC 0x6e6574742d6e7474u
#define OBJECT_MAGIC 0x746a626f2d6e7474u
#define ARENA_MAGIC 0x616e65722d6e7474u
#define MODULE_MAGIC 0x656c75646f6d2d74u
#define VM_ARENA "attn.arena"
#define VM_BUILD "attn.build"

/* ---- what stands in a stack place ---- */

vm_tensor_box *vm_tensor_at(lua_State *L, int at)
{
    vm_tensor_box *box = lua_touserdata(L, at);
    if (!box || lua_type(L, at) != LUA_TUSERDATA || lua_rawlen(L, at) != sizeof *box || box->magic != TENSOR_MAGIC)
        return NULL;
    return box;
}

static vm_object_box *object_box(lua_State *L, int at)
{
    vm_object_box *box = lua_touserdata(L, at);
    if (!box || lua_type(L, at) != LUA_TUSERDATA || lua_rawlen(L, at) != sizeof *box || box->magic != OBJECT_MAGIC)
        return NULL;
    return box;
}

at_object *vm_object_at(lua_State *L, int at, const at_class *class)
{
    vm_object_box *box = object_box(L, at);
    return box && box->o && (!class || box->o->class == class) ? box->o : NULL;
}

typedef struct module_box {
    uint64_t magic;
    uint64_t spare[3]; /* another size than every other box */
} module_box;

bool vm_is_module(lua_State *L, int at)
{
    module_box *box = lua_touserdata(L, at);
    return box && lua_type(L, at) == LUA_TUSERDATA && lua_rawlen(L, at) == sizeof *box && box->magic == MODULE_MAGIC;
}

/* ---- the scope that is running: attn.scope is in scope.c ---- */

static int scopes;           /* how many attn.scope calls are running */
static const char scope_key; /* registry: the table of the innermost */

bool vm_scope_push(lua_State *L) { return lua_rawgetp(L, LUA_REGISTRYINDEX, &scope_key) == LUA_TTABLE; }

void vm_scope_enter(lua_State *L, int made)
{
    lua_pushvalue(L, made);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &scope_key);
    scopes++;
}

void vm_scope_leave(lua_State *L, int outer)
{
    lua_pushvalue(L, outer);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &scope_key);
    scopes--;
}

static void note(lua_State *L)
{
    if (scopes == 0)
        return;
    if (vm_scope_push(L)) {
        lua_pushvalue(L, -2);
        lua_pushboolean(L, true);
        lua_rawset(L, -3);
    }
    lua_pop(L, 1);
}

/* ---- new boxes ---- */

vm_tensor_box *vm_push_box(lua_State *L)
{
    vm_tensor_box *box = lua_newuserdatauv(L, sizeof *box, 1);
    *box = (vm_tensor_box){.magic = TENSOR_MAGIC};
    luaL_setmetatable(L, VM_TENSOR);
    note(L);
    return box;
}

vm_object_box *vm_push_object_box(lua_State *L, const at_class *class)
{
    vm_object_box *box = lua_newuserdatauv(L, sizeof *box, 1);
    *box = (vm_object_box){.magic = OBJECT_MAGIC};
    luaL_setmetatable(L, class->name);
    return box;
}

void vm_push_module_box(lua_State *L, int values)
{
    module_box *box = lua_newuserdatauv(L, sizeof *box, values);
    *box = (module_box){.magic = MODULE_MAGIC};
}

int vm_free_object(lua_State *L)
{
    vm_object_box *box = object_box(L, 1);
    if (box) {
        vm_releases(L);
        at_object *o = box->o;
        box->o = NULL;
        at_object_release(o);
    }
    return 0;
}

void vm_push_tensor(lua_State *L, at_tensor *t)
{
    if (!t) {
        lua_pushnil(L);
        return;
    }
    vm_tensor_box *box = vm_push_box(L);
    box->t = at_retain(t);
}

void vm_push_object(lua_State *L, at_object *o)
{
    vm_object_box *box = vm_push_object_box(L, o->class);
    box->o = at_object_retain(o);
}

/* ---- things that go with a box ---- */

typedef struct arena_box {
    uint64_t magic;
    at_arena arena;
} arena_box;

static int arena_end(lua_State *L)
{
    arena_box *box = lua_touserdata(L, 1);
    if (box && box->magic == ARENA_MAGIC)
        at_arena_free(&box->arena);
    return 0;
}

void *vm_push_owner(lua_State *L, size_t bytes, const char *name, lua_CFunction end)
{
    void *box = lua_newuserdatauv(L, bytes, 0);
    memset(box, 0, bytes);
    if (luaL_newmetatable(L, name)) {
        lua_pushcfunction(L, end);
        lua_setfield(L, -2, "__gc");
        lua_pushcfunction(L, end);
        lua_setfield(L, -2, "__close");
        lua_pushboolean(L, false);
        lua_setfield(L, -2, "__metatable");
    }
    lua_setmetatable(L, -2);
    return box;
}

at_arena *vm_push_arena(lua_State *L)
{
    arena_box *box = vm_push_owner(L, sizeof *box, VM_ARENA, arena_end);
    box->magic = ARENA_MAGIC;
    return &box->arena;
}

static int build_end(lua_State *L)
{
    at_build *g = lua_touserdata(L, 1);
    if (g && lua_rawlen(L, 1) == sizeof *g)
        at_build_end(g);
    return 0;
}

at_build *vm_push_build(lua_State *L, const char *where, at_error *e)
{
    at_build *g = vm_push_owner(L, sizeof *g, VM_BUILD, build_end);
    g->error = e;
    g->where = where;
    return g;
}
