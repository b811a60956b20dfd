/*
 * Every layer, attention, encoder and decoder, from their records: constructor, call, methods, fields. parameters(), state(), load() and
 * the other things that layers share with modules written in Lua are stdlib/module.lua's, over attn.internal.members.
 */
#include "vm/bind.h"

#include <stdio.h>
#include <string.h>

static at_layer *layer_at(lua_State *L, int at, const char *where)
{
    return (at_layer *)vm_check_object(L, at, &at_layer_class, where);
}

/* ---- constructors ---- */

/* Whether a field that may be anything holds a module written in Lua. */
static bool holds_module(lua_State *L, const at_layer_kind *kind)
{
    bool found = false;
    for (size_t k = 0; kind->fields && kind->fields[k].name && !found; k++)
        if (kind->fields[k].kind == AT_FIELD_VALUE) {
            lua_pushstring(L, kind->fields[k].name);
            lua_rawget(L, 1);
            found = vm_is_module(L, -1);
            lua_pop(L, 1);
        }
    return found;
}

/* The engine calls no Lua: what is built around a module, decoder.rnn, is built in Lua, by stdlib/decoder_rnn.lua. */
static int construct_in_lua(lua_State *L, const at_layer_kind *kind)
{
    vm_require(L, luaL_gsub(L, kind->name, ".", "_"));
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    return 1;
}

/* Functions of symbols among the fields become programs: stdlib/expression.lua. */
static void compile_functions(lua_State *L, const at_layer_kind *kind)
{
    bool found = false;
    for (size_t k = 0; kind->fields && kind->fields[k].name && !found; k++) {
        const char *name = kind->fields[k].name;
        if (strcmp(name, "score_mod") != 0 && strcmp(name, "mask_mod") != 0)
            continue;
        lua_pushstring(L, name);
        found = lua_rawget(L, 1) == LUA_TFUNCTION;
        lua_pop(L, 1);
    }
    if (!found)
        return;
    vm_require(L, "expression");
    lua_getfield(L, -1, "configure");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_replace(L, 1);
    lua_settop(L, 1);
}

/* attn.layer.linear{...}; upvalue 1: the kind */
static int construct(lua_State *L)
{
    const at_layer_kind *kind = lua_touserdata(L, lua_upvalueindex(1));
    const char *where = at_layer_where(kind);
    lua_settop(L, 1);
    if (lua_isnil(L, 1))
        lua_newtable(L), lua_replace(L, 1);
    if (lua_type(L, 1) != LUA_TTABLE)
        vm_error(L, "%s: argument is %s, expected a table of fields", where, vm_describe(L, 1).text);
    if (holds_module(L, kind))
        return construct_in_lua(L, kind);
    compile_functions(L, kind);
    at_arena *arena = vm_push_arena(L);
    vm_object_box *box = vm_push_object_box(L, &at_layer_class);
    for (int attempt = 0; !box->o; attempt++) {
        at_error e;
        at_error_clear(&e);
        at_value config =
            vm_read_value(L, 1, arena, where); /* again each time: a finalizer may have changed the table */
        vm_running = L;
        box->o = (at_object *)at_layer_new(kind, config.table, &e);
        if (!box->o)
            vm_retry(L, &e, attempt);
    }
    vm_account(L);
    return 1;
}

/* ---- calls ---- */

/* Positional arguments fill the method's list; a table behind them, or in place of an optional tensor, is the options. */
static const at_table *read_call(lua_State *L, int top, const at_method *m, const char *where, at_arena *arena,
                                 at_pass *p)
{
    int at = 2;
    const at_table *options = NULL;
    for (int k = 0; k < AT_CALL_ARGS && m->arg[k].name && at <= top; k++, at++) {
        if (m->arg[k].type != AT_TABLE && m->arg[k].optional && lua_type(L, at) == LUA_TTABLE)
            break;
        p->arg[k] = vm_read_value(L, at, arena, where);
    }
    if (at <= top && lua_type(L, at) == LUA_TTABLE)
        options = vm_read_value(L, at++, arena, where).table;
    else if (at <= top && lua_isnil(L, at))
        at++;
    if (at <= top)
        vm_error(L, "%s: argument %d is %s, expected nothing more", where, at - 1, vm_describe(L, at).text);
    return options;
}

static int call_method(lua_State *L, const at_layer_kind *kind, const at_method *m)
{
    const char *where = at_layer_where(kind);
    at_error e;
    at_pass p;
    int top = lua_gettop(L), base = top + vm_profile_enter(L, 1);
    for (int attempt = 0;; attempt++) {
        at_error_clear(&e);
        at_build *g = vm_push_build(L, where, &e);
        memset(&p, 0, sizeof p);
        at_layer *l = layer_at(L, 1, where); /* now that Lua has allocated: a finalizer could have closed it */
        const at_table *options = read_call(L, top, m, where, &g->arena, &p);
        g->training = l->training;
        vm_running = L;
        bool ok = at_layer_call(g, l, m, &p, options);
        if (ok) {
            int before = lua_gettop(L);
            for (int k = 0; k < p.results; k++)
                vm_push_value(L, p.result[k]);
            at_build_end(g);
            vm_account(L);
            return lua_gettop(L) - before;
        }
        at_object *failed = g->failed;
        at_build_end(g);
        lua_settop(L, base);
        if (!e.memory)
            vm_raise_of(L, &e, failed);
        vm_retry(L, &e, attempt);
    }
}

static int call_layer(lua_State *L)
{
    at_layer *l = layer_at(L, 1, "call");
    return call_method(L, l->kind, &l->kind->methods[0]);
}

/* layer:step(...) and the like; upvalue 1: the method's name */
static int call_named(lua_State *L)
{
    const char *name = lua_tostring(L, lua_upvalueindex(1));
    at_layer *l = layer_at(L, 1, name);
    const at_method *m = at_method_named(l->kind, name);
    if (!m)
        vm_error(L, "%s: there is no method '%s'", at_layer_where(l->kind), name);
    return call_method(L, l->kind, m);
}

/* ---- fields ---- */

static void push_choice(lua_State *L, const char *choices, int64_t place)
{
    for (; place > 0; place--)
        choices = strchr(choices, '|') + 1;
    lua_pushlstring(L, choices, strcspn(choices, "|"));
}

static bool push_setting(lua_State *L, const at_layer *l, const char *name)
{
    for (size_t k = 0; l->kind->fields && l->kind->fields[k].name; k++) {
        const at_field *f = &l->kind->fields[k];
        if (strcmp(f->name, name) != 0)
            continue;
        if (f->kind == AT_FIELD_INTEGER) {
            lua_pushinteger(L, l->set[k].integer);
        } else if (f->kind == AT_FIELD_NUMBER) {
            lua_pushnumber(L, l->set[k].number);
        } else if (f->kind == AT_FIELD_FLAG) {
            lua_pushboolean(L, l->set[k].flag);
        } else if (f->kind == AT_FIELD_CHOICE) {
            push_choice(L, f->choices, l->set[k].integer);
        } else if (f->kind == AT_FIELD_COUNTS && l->set[k].counts[0] == AT_WORD) {
            push_choice(L, f->choices, l->set[k].counts[1]);
        } else if (f->kind == AT_FIELD_COUNTS && l->set[k].counts[0] == l->set[k].counts[1]) {
            lua_pushinteger(L, l->set[k].counts[0]);
        } else if (f->kind == AT_FIELD_COUNTS) {
            lua_createtable(L, 2, 0);
            for (int i = 0; i < 2; i++) {
                lua_pushinteger(L, l->set[k].counts[i]);
                lua_rawseti(L, -2, i + 1);
            }
        } else {
            return false;
        }
        return true;
    }
    return false;
}

/* layer.name, layer:name; upvalue 1: methods of all layers */
static int index_layer(lua_State *L)
{
    at_layer *l = (at_layer *)vm_object_at(L, 1, &at_layer_class);
    if (!l)
        vm_error(L, "index: %s is no layer", vm_describe(L, 1).text);
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL)
        return 1;
    if (lua_type(L, 2) != LUA_TSTRING)
        vm_error(L, "%s: a field is named by %s, expected a string", at_layer_where(l->kind), vm_describe(L, 2).text);
    const char *name = lua_tostring(L, 2);
    at_tensor *t;
    at_layer *inner;
    if (strcmp(name, "training") == 0)
        lua_pushboolean(L, l->training);
    else if (strcmp(name, "dtype") == 0)
        lua_pushstring(L, at_dtype_name(l->dtype));
    else if ((t = at_weight_named(l, name)))
        vm_push_tensor(L, t);
    else if ((inner = at_inner_named(l, name)))
        vm_push_object(L, (at_object *)inner);
    else if (at_method_named(l->kind, name)) {
        lua_pushvalue(L, 2);
        lua_pushcclosure(L, call_named, 1);
    } else if (!push_setting(L, l, name))
        lua_pushnil(L);
    return 1;
}

static int newindex_layer(lua_State *L)
{
    at_layer *l = layer_at(L, 1, "assignment");
    const char *where = at_layer_where(l->kind);
    if (lua_type(L, 2) != LUA_TSTRING)
        vm_error(L, "%s: a field is named by %s, expected a string", where, vm_describe(L, 2).text);
    at_tensor *t = vm_check_any_tensor(L, 3, where, lua_tostring(L, 2));
    at_error e;
    at_error_clear(&e);
    vm_releases(L);
    if (!at_layer_set(l, lua_tostring(L, 2), t, &e))
        vm_raise(L, &e);
    return 0;
}

static int equal_object(lua_State *L)
{
    at_object *a = vm_object_at(L, 1, NULL);
    lua_pushboolean(L, a && a == vm_object_at(L, 2, NULL));
    return 1;
}

/* ---- what stdlib/module.lua builds on ---- */

typedef struct listing {
    lua_State *L;
    int n;
} listing;

static bool list_member(void *context, const char *name, at_member *m)
{
    listing *list = context;
    lua_State *L = list->L;
    lua_createtable(L, 4, 0);
    lua_pushstring(L, name);
    lua_rawseti(L, -2, 1);
    vm_push_tensor(L, m->tensor);
    lua_rawseti(L, -2, 2);
    lua_pushboolean(L, m->buffer);
    lua_rawseti(L, -2, 3);
    lua_pushboolean(L, m->matrix);
    lua_rawseti(L, -2, 4);
    lua_rawseti(L, -2, ++list->n);
    return true;
}

/* members(layer) -> list of {name, tensor, is_buffer, may be kept for inference}, inner layers included */
static int members(lua_State *L)
{
    at_layer *l = layer_at(L, 1, "members");
    lua_newtable(L);
    at_layer_walk(l, list_member, &(listing){L, 0});
    return 1;
}

/* inner(layer) -> list of {name, layer or tensor} one level down, for tostring */
static int inner_members(lua_State *L)
{
    at_layer *l = layer_at(L, 1, "inner");
    lua_createtable(L, (int)l->members, 0);
    for (size_t k = 0; k < l->members; k++) {
        lua_createtable(L, 2, 0);
        lua_pushstring(L, l->member[k].name);
        lua_rawseti(L, -2, 1);
        if (l->member[k].layer)
            vm_push_object(L, (at_object *)l->member[k].layer);
        else
            vm_push_tensor(L, l->member[k].tensor);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)k + 1);
    }
    return 1;
}

/* title(layer) -> "linear  8 -> 4" without the counts */
static int title(lua_State *L)
{
    at_layer *l = layer_at(L, 1, "title");
    char text[256] = "";
    if (l->kind->summary) {
        l->kind->summary(l, text, sizeof text);
    } else {
        size_t n = 0;
        for (size_t k = 0; l->kind->fields && l->kind->fields[k].name && n < sizeof text; k++) {
            if (!(l->given >> k & 1) || !push_setting(L, l, l->kind->fields[k].name))
                continue;
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s = %s", n ? ", " : "", l->kind->fields[k].name,
                                  luaL_tolstring(L, -1, NULL));
            lua_pop(L, 2);
        }
    }
    lua_pushstring(L, at_layer_where(l->kind));
    lua_pushstring(L, text);
    return 2;
}

static int train_layer(lua_State *L)
{
    at_layer_train(layer_at(L, 1, "train"), lua_toboolean(L, 2));
    return 0;
}

/* convert(layer or tensor, dtype): in place; what is no float tensor is left alone */
static int convert(lua_State *L)
{
    vm_tensor_box *box = vm_tensor_at(L, 1);
    at_layer *l = box ? NULL : layer_at(L, 1, "to");
    at_tensor *t = box ? vm_check_any_tensor(L, 1, "to", NULL) : NULL;
    at_dtype dtype = vm_check_dtype(L, 2, "to");
    if (dtype != AT_F32 && dtype != AT_F64)
        vm_error(L, "to: dtype is %s, expected float32 or float64", at_dtype_name(dtype));
    at_error e;
    at_error_clear(&e);
    vm_releases(L);
    if (!(l ? at_layer_to(l, dtype, &e) : at_convert(t, dtype, &e)))
        vm_raise(L, &e);
    vm_account(L);
    return 0;
}

/* rest(tensor [, made]): no gradient any more; the numbers of made, a weight kept for inference, which gets the old ones */
static int rest(lua_State *L)
{
    at_tensor *t = vm_check_any_tensor(L, 1, "to_inference", NULL);
    at_tensor *made = lua_isnoneornil(L, 2) ? NULL : vm_check_any_tensor(L, 2, "to_inference", NULL);
    if (t->node)
        vm_error(L, "to_inference: a tensor is the result of an operation, expected one of its own (t:detach())");
    if (made && (!at_is_kept(made) || made->node || t->dtype != AT_F32 || !at_same_shape(made, t)))
        vm_error(L, "to_inference: argument 2 is %s, expected a weight kept for inference beside %s",
                 at_describe(made).text, at_describe(t).text);
    vm_releases(L);
    at_rest(t, made);
    return 0;
}

/* wake(tensor): the end of that for its gradient. rests(tensor) -> whether it is so */
static int wake(lua_State *L)
{
    at_wake(vm_check_any_tensor(L, 1, "to", NULL));
    return 0;
}

static int rests(lua_State *L)
{
    lua_pushboolean(L, vm_check_any_tensor(L, 1, "rests", NULL)->rests);
    return 1;
}

/* identity(tensor) -> a value that is equal for two handles of one tensor */
static int identity(lua_State *L)
{
    lua_pushlightuserdata(L, vm_check_any_tensor(L, 1, "identity", NULL));
    return 1;
}

/* misspelling(wrong, word): how far they are, or nil if they are no misspelling of each other */
static int misspelling(lua_State *L)
{
    size_t n, m;
    const char *a = luaL_checklstring(L, 1, &n), *b = luaL_checklstring(L, 2, &m);
    int far = at_misspelling(a, n, b, m);
    if (far < AT_FAR)
        lua_pushinteger(L, far);
    else
        lua_pushnil(L);
    return 1;
}

/* raise(message): an error at the script's own line, whatever of the library stands in between */
static int raise_message(lua_State *L) { vm_raise_text(L, luaL_checkstring(L, 1)); }

/* kind(value) -> "tensor", "layer", "module", or nil */
static int kind_of(lua_State *L)
{
    if (vm_tensor_at(L, 1))
        lua_pushstring(L, "tensor");
    else if (vm_object_at(L, 1, &at_layer_class))
        lua_pushstring(L, "layer");
    else if (vm_is_module(L, 1))
        lua_pushstring(L, "module");
    else if (vm_object_at(L, 1, NULL))
        lua_pushstring(L, at_class_word(vm_object_at(L, 1, NULL)->class));
    else
        lua_pushnil(L);
    return 1;
}

/* Pushes a list of {name =, kind =, required =, default =, choices =, help =}. */
static void push_fields(lua_State *L, const at_field *f)
{
    static const char *const kinds[] = {
        "", "integer", "number", "flag", "choice", "counts", "tensor", "ids", "mask", "table", "layer", "value",
    };
    lua_newtable(L);
    for (int k = 1; f && f->name; f++, k++) {
        lua_newtable(L);
        lua_pushstring(L, f->name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, kinds[f->kind]);
        lua_setfield(L, -2, "kind");
        lua_pushboolean(L, f->required);
        lua_setfield(L, -2, "required");
        lua_pushnumber(L, f->value);
        lua_setfield(L, -2, "default");
        lua_pushboolean(L, f->value >= f->low && (f->high == 0 || f->value <= f->high));
        lua_setfield(L, -2, "allowed"); /* else the default means: not given */
        if (f->choices) {
            lua_pushstring(L, f->choices);
            lua_setfield(L, -2, "choices");
        }
        if (f->help) {
            lua_pushstring(L, f->help);
            lua_setfield(L, -2, "help");
        }
        lua_rawseti(L, -2, k);
    }
}

/* attn.layers() -> list of {name =, help =, fields = {{name =, kind =, required =, choices =}...}, methods = {{name =, help =, options =
 * as fields}...}} */
static int layers(lua_State *L)
{
    lua_newtable(L);
    for (int i = 0; at_layers[i]; i++) {
        const at_layer_kind *kind = at_layers[i];
        lua_newtable(L);
        lua_pushstring(L, kind->name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, kind->help ? kind->help : "");
        lua_setfield(L, -2, "help");
        push_fields(L, kind->fields);
        lua_setfield(L, -2, "fields");
        lua_newtable(L);
        for (int k = 0; kind->methods[k].name; k++) {
            lua_newtable(L);
            lua_pushstring(L, kind->methods[k].name);
            lua_setfield(L, -2, "name");
            lua_pushstring(L, kind->methods[k].help ? kind->methods[k].help : "");
            lua_setfield(L, -2, "help");
            push_fields(L, kind->methods[k].options);
            lua_setfield(L, -2, "options");
            lua_rawseti(L, -2, k + 1);
        }
        lua_setfield(L, -2, "methods");
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

void vm_open_layer(lua_State *L, int lib)
{
    static const luaL_Reg internals[] = {
        {"members", members},
        {"inner", inner_members},
        {"title", title},
        {"train", train_layer},
        {"convert", convert},
        {"rest", rest},
        {"wake", wake},
        {"rests", rests},
        {"identity", identity},
        {"kind", kind_of},
        {"raise", raise_message},
        {"misspelling", misspelling},
        {NULL, NULL}};
    static const luaL_Reg meta[] = {{"__newindex", newindex_layer}, {"__call", call_layer}, {"__gc", vm_free_object},
                                    {"__close", vm_free_object},    {"__eq", equal_object}, {NULL, NULL}};
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.internal");
    vm_set_functions(L, -1, internals);
    lua_pop(L, 1);
    luaL_newmetatable(L, at_layer_class.name);
    vm_set_functions(L, -1, meta);
    vm_push_protocol(L); /* parameters, state, ...: shared with modules */
    lua_pushcclosure(L, index_layer, 1);
    lua_setfield(L, -2, "__index");
    vm_protocol_tostring(L);
    lua_setfield(L, -2, "__tostring");
    lua_pushstring(L, "layer");
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    for (int i = 0; at_layers[i]; i++) {
        const char *name = vm_push_path(L, lib, at_layers[i]->name);
        lua_pushlightuserdata(L, (void *)(uintptr_t)at_layers[i]);
        lua_pushcclosure(L, construct, 1);
        lua_setfield(L, -2, name);
        lua_pop(L, 1);
    }
    lua_pushcfunction(L, layers);
    lua_setfield(L, lib, "layers");
}
