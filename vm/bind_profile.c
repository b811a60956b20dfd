/*
 * The profiler for stdlib/profile_report.lua: what was measured as tables, and which layers and modules are running. Those are told
 * by values that close when the call ends, however it ends.
 */
#include "vm/bind.h"

#define RUNNING "attn.running" /* registry: the list of what runs, the innermost last */
#define SCOPE "attn.profile_scope"
#define PROFILE "attn.profile"
#define PROFILE_MAGIC 0x656c69666f72702du
#define SCOPE_MAGIC 0x65706f63732d6d76u

typedef struct scope_box {
    uint64_t magic;
    at_profile_scope scope;
    lua_Integer depth; /* of what was running around it */
    bool open;
} scope_box;

static int scope_end(lua_State *L)
{
    scope_box *b = lua_touserdata(L, 1);
    if (!b || lua_rawlen(L, 1) != sizeof *b || b->magic != SCOPE_MAGIC || !b->open)
        return 0;
    b->open = false;
    at_profile_leave(b->scope);
    if (lua_getfield(L, LUA_REGISTRYINDEX, RUNNING) == LUA_TTABLE)
        for (lua_Integer k = (lua_Integer)lua_rawlen(L, -1); k > b->depth; k--) {
            lua_pushnil(L);
            lua_rawseti(L, -2, k);
        }
    return 0;
}

int vm_profile_enter(lua_State *L, int at)
{
    if (!at_profiling)
        return 0;
    luaL_checkstack(L, 8, "profile");
    scope_box *b = vm_push_owner(L, sizeof *b, SCOPE, scope_end);
    b->magic = SCOPE_MAGIC;
    int place = lua_gettop(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, RUNNING);
    b->depth = (lua_Integer)lua_rawlen(L, -1);
    vm_require(L, "profile_report");
    lua_getfield(L, -1, "name_in");
    lua_rawgeti(L, place + 1, b->depth);
    lua_pushvalue(L, at);
    lua_call(L, 2, 1);
    const char *name = luaL_checkstring(L, -1);
    lua_pushvalue(L, at);
    lua_rawseti(L, place + 1, b->depth + 1);
    lua_toclose(L, place);
    b->scope = at_profile_enter(name);
    b->open = true;
    lua_settop(L, place);
    return 1;
}

/* ---- what was measured ---- */

typedef struct profile_box {
    uint64_t magic;
    at_profile profile;
} profile_box;

static int profile_end(lua_State *L)
{
    profile_box *b = lua_touserdata(L, 1);
    if (b && lua_rawlen(L, 1) == sizeof *b && b->magic == PROFILE_MAGIC)
        at_profile_free(&b->profile);
    return 0;
}

static int start(lua_State *L)
{
    if (at_profiling)
        vm_error(L, "profile: one is running already");
    lua_newtable(L);
    lua_setfield(L, LUA_REGISTRYINDEX, RUNNING);
    if (!at_profile_start())
        vm_error(L, "profile: out of memory");
    return 0;
}

/* profile_stop() -> what was measured, for profile_read and profile_event */
static int stop(lua_State *L)
{
    profile_box *b = vm_push_owner(L, sizeof *b, PROFILE, profile_end);
    b->magic = PROFILE_MAGIC;
    b->profile = at_profile_stop();
    return 1;
}

static const at_profile *profile_at(lua_State *L, int at)
{
    const profile_box *b = lua_touserdata(L, at);
    if (!b || lua_rawlen(L, at) != sizeof *b || b->magic != PROFILE_MAGIC)
        vm_error(L, "profile: argument %d is %s, expected a profile", at, vm_describe(L, at).text);
    return &b->profile;
}

static void set_number(lua_State *L, const char *name, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

static void set_count(lua_State *L, const char *name, uint64_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, name);
}

static void set_text(lua_State *L, const char *name, const char *text)
{
    lua_pushstring(L, text);
    lua_setfield(L, -2, name);
}

static const char *const passes[] = {"forward", "backward", "update"};

static void push_row(lua_State *L, const at_profile_row *row)
{
    lua_createtable(L, 0, 9);
    set_text(L, "name", row->name);
    set_text(L, "pass", passes[row->pass]);
    set_text(L, "dtype", row->dtype < AT_DTYPES ? at_dtype_name(row->dtype) : "any");
    set_count(L, "module", row->path + 1);
    set_count(L, "calls", row->calls);
    set_count(L, "allocated", row->allocated);
    set_number(L, "seconds", 1e-9 * (double)row->ns);
    set_number(L, "flops", row->flops);
    set_number(L, "moved", row->moved);
}

/* profile_read(p) -> {seconds =, rows = {...}, modules = {{name =, above =}...}, events = n, lost =}; module 1 is the script */
static int read(lua_State *L)
{
    lua_createtable(L, 0, 5);
    const at_profile *p = profile_at(L, 1);
    set_number(L, "seconds", 1e-9 * (double)p->ns);
    set_count(L, "events", p->events);
    lua_pushboolean(L, p->lost);
    lua_setfield(L, -2, "lost");
    lua_newtable(L);
    for (size_t k = 0; k < p->rows; k++) {
        push_row(L, &p->row[k]);
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    lua_setfield(L, -2, "rows");
    lua_newtable(L);
    for (size_t k = 0; k < p->modules; k++) {
        lua_createtable(L, 0, 2);
        set_text(L, "name", k ? p->module[k].name : "");
        if (k)
            set_count(L, "above", p->module[k].above + 1);
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    lua_setfield(L, -2, "modules");
    return 1;
}

/* profile_event(p, i) -> number of its row or module, whether it is a module, begin and length in seconds */
static int event(lua_State *L)
{
    const at_profile *p = profile_at(L, 1);
    int64_t i = vm_check_integer(L, 2, "profile", "event");
    if (i < 1 || i > (int64_t)p->events)
        vm_error(L, "profile: event %lld, there are %zu", (long long)i, p->events);
    const at_profile_event *e = &p->event[i - 1];
    lua_pushinteger(L, (lua_Integer)e->what + 1);
    lua_pushboolean(L, e->module);
    lua_pushnumber(L, 1e-9 * (double)e->begin);
    lua_pushnumber(L, 1e-9 * (double)e->ns);
    return 4;
}

/* machine_limits() -> operations a second in float32, in float64, bytes a second; 0: not known */
static int limits(lua_State *L)
{
    at_limits l = at_measure_limits();
    lua_pushnumber(L, l.flops[AT_F32]);
    lua_pushnumber(L, l.flops[AT_F64]);
    lua_pushnumber(L, l.moved);
    return 3;
}

void vm_open_profile(lua_State *L)
{
    static const luaL_Reg internals[] = {{"profile_start", start}, {"profile_stop", stop},     {"profile_read", read},
                                         {"profile_event", event}, {"machine_limits", limits}, {NULL, NULL}};
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.internal");
    vm_set_functions(L, -1, internals);
    lua_pop(L, 1);
}
