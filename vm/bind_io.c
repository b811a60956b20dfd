/*
 * Files: attn.save and attn.load, attn.safetensors, attn.npy, attn.image, attn.lines.
 *
 * A checkpoint is a safetensors file whose metadata has the field "attn": the saved table as JSON, in which tensors are
 * named. Modules, layers and optimizers are replaced by their state(). Loading makes tables, numbers, strings and
 * tensors, and runs nothing. The field "format" is FORMAT; its files have a checksum. Those of FORMAT_1 have none.
 */
#include "vm/bind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 64, PATH = 800 };

#define FORMAT "attn checkpoint 2"
#define FORMAT_1 "attn checkpoint 1"

#define WORK "attn.io"
#define WORK_MAGIC 0x6b726f772d6f692du

/* Everything that saving or loading owns, in a box: any lua_ call may raise. */
typedef struct work {
    uint64_t magic;
    at_named *list;
    size_t n, room; /* room 0: the list is as the engine made it */
    at_string_map metadata;
    size_t metadata_room;
    at_json json;
    at_lines *lines;
    at_tensor *tensor;
    at_arena arena;  /* names of the list, while saving; the tree, while loading */
    char path[PATH]; /* of the value at hand, for messages */
} work;

static void clear(work *w)
{
    if (w->room > 0) {
        for (size_t i = 0; i < w->n; i++)
            at_release(w->list[i].tensor);
        at_free(w->list, w->room * sizeof *w->list);
    } else {
        at_named_free(w->list, w->n);
    }
    w->list = NULL;
    w->n = w->room = 0;
    if (w->metadata_room > 0)
        at_free(w->metadata.pair, w->metadata_room * sizeof *w->metadata.pair);
    else
        at_string_map_free(&w->metadata);
    w->metadata = (at_string_map){0};
    w->metadata_room = 0;
    at_json_free(&w->json);
    at_lines_close(w->lines);
    w->lines = NULL;
    at_release(w->tensor);
    w->tensor = NULL;
    at_arena_free(&w->arena);
}

static int work_end(lua_State *L)
{
    work *w = lua_touserdata(L, 1);
    if (w && lua_rawlen(L, 1) == sizeof *w && w->magic == WORK_MAGIC)
        clear(w);
    return 0;
}

static work *push_work(lua_State *L)
{
    work *w = vm_push_owner(L, sizeof *w, WORK, work_end);
    w->magic = WORK_MAGIC;
    return w;
}

/* "load: " before the engine's message, at the script's line. */
static _Noreturn void fail(lua_State *L, work *w, const char *where, at_error *e)
{
    clear(w);
    if (e->interrupted)
        vm_raise(L, e);
    vm_error(L, "%s: %.460s", where, e->text);
}

/* ---- lists of named tensors and metadata ---- */

/* Adds a tensor under a name that is copied. The box keeps a reference. */
static void add_tensor(lua_State *L, work *w, const char *where, const char *name, at_tensor *t)
{
    if (w->n == w->room) {
        size_t room = w->room ? 2 * w->room : 32;
        at_named *grown = at_realloc(w->list, w->room * sizeof *grown, room * sizeof *grown);
        if (!grown)
            vm_error(L, "%s: out of memory", where);
        w->list = grown;
        w->room = room;
    }
    char *copy = at_arena_alloc(&w->arena, strlen(name) + 1);
    if (!copy)
        vm_error(L, "%s: out of memory", where);
    w->list[w->n++] = (at_named){strcpy(copy, name), at_retain(t)};
}

/* Strings stay on the Lua stack or in the script's table. */
static void add_metadata(lua_State *L, work *w, const char *where, const char *key, const char *value)
{
    if (w->metadata.n == w->metadata_room) {
        size_t room = w->metadata_room ? 2 * w->metadata_room : 8;
        at_string_pair *grown = at_realloc(w->metadata.pair, w->metadata_room * sizeof *grown, room * sizeof *grown);
        if (!grown)
            vm_error(L, "%s: out of memory", where);
        w->metadata.pair = grown;
        w->metadata_room = room;
    }
    w->metadata.pair[w->metadata.n++] = (at_string_pair){(char *)(uintptr_t)key, (char *)(uintptr_t)value};
}

static void save_work(lua_State *L, work *w, const char *where, const char *path, at_file_type narrow)
{
    at_error e;
    at_error_clear(&e);
    if (!at_safetensors_save(path, w->list, w->n, &w->metadata, narrow, &e))
        fail(L, w, where, &e);
    clear(w);
}

static void load_work(lua_State *L, work *w, const char *where, const char *path)
{
    at_error e;
    at_error_clear(&e);
    if (!at_safetensors_load(path, &w->list, &w->n, &w->metadata, &e) && e.memory) {
        vm_collect(L);
        at_error_clear(&e);
        at_safetensors_load(path, &w->list, &w->n, &w->metadata, &e);
    }
    if (e.failed)
        fail(L, w, where, &e);
}

/* ---- attn.safetensors ---- */

/* A key of a table that must be a string without byte 0. */
static const char *check_key(lua_State *L, int at, const char *where, const char *what)
{
    size_t n = 0;
    const char *key = lua_type(L, at) == LUA_TSTRING ? lua_tolstring(L, at, &n) : NULL;
    if (!key || strlen(key) != n)
        vm_error(L, "%s: a name in %s is %s, expected a string without byte 0", where, what, vm_describe(L, at).text);
    return key;
}

/* Argument 4: {dtype = "bf16" | "f16"} */
static at_file_type check_narrow(lua_State *L, const char *where)
{
    if (lua_isnoneornil(L, 4))
        return AT_FILE_TYPES;
    if (lua_type(L, 4) != LUA_TTABLE)
        vm_error(L, "%s: options is %s, expected a table {dtype =}", where, vm_describe(L, 4).text);
    for (lua_pushnil(L); lua_next(L, 4); lua_pop(L, 1))
        if (lua_type(L, -2) != LUA_TSTRING || strcmp(lua_tostring(L, -2), "dtype") != 0)
            vm_error(L, "%s: unknown option %s (known: dtype)", where, vm_describe(L, -2).text);
    lua_getfield(L, 4, "dtype");
    const char *word = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    bool brain = strcmp(word, "bf16") == 0;
    if (!lua_isnil(L, -1) && !brain && strcmp(word, "f16") != 0)
        vm_error(L, "%s: dtype is %s, expected \"bf16\" or \"f16\"", where, vm_describe(L, -1).text);
    bool given = !lua_isnil(L, -1);
    lua_pop(L, 1);
    return !given ? AT_FILE_TYPES : brain ? AT_FILE_BF16 : AT_FILE_F16;
}

static int safetensors_save(lua_State *L)
{
    const char *where = "safetensors.save", *path = vm_check_path(L, where);
    if (lua_type(L, 2) != LUA_TTABLE)
        vm_error(L, "%s: tensors is %s, expected a table of tensors", where, vm_describe(L, 2).text);
    if (!lua_isnoneornil(L, 3) && lua_type(L, 3) != LUA_TTABLE)
        vm_error(L, "%s: metadata is %s, expected a table of strings", where, vm_describe(L, 3).text);
    at_file_type narrow = check_narrow(L, where);
    lua_settop(L, 3);
    work *w = push_work(L);
    for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) {
        const char *name = check_key(L, -2, where, "tensors");
        char shown[80];
        snprintf(shown, sizeof shown, "tensors['%.60s']", name);
        add_tensor(L, w, where, name, vm_check_any_tensor(L, -1, where, shown));
    }
    if (!lua_isnil(L, 3))
        for (lua_pushnil(L); lua_next(L, 3); lua_pop(L, 1)) {
            const char *key = check_key(L, -2, where, "metadata");
            size_t n = 0;
            const char *value = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
            if (!value || strlen(value) != n)
                vm_error(L, "%s: metadata['%.60s'] is %s, expected a string without byte 0", where, key,
                         vm_describe(L, -1).text);
            add_metadata(L, w, where, key, value);
        }
    save_work(L, w, where, path, narrow);
    return 0;
}

static int safetensors_load(lua_State *L)
{
    const char *where = "safetensors.load", *path = vm_check_path(L, where);
    work *w = push_work(L);
    load_work(L, w, where, path);
    lua_createtable(L, 0, (int)w->n);
    for (size_t i = 0; i < w->n; i++) {
        lua_pushstring(L, w->list[i].name);
        vm_push_tensor(L, w->list[i].tensor);
        lua_rawset(L, -3);
    }
    lua_createtable(L, 0, w->metadata.n < 1 << 20 ? (int)w->metadata.n : 0);
    for (size_t i = 0; i < w->metadata.n; i++) {
        lua_pushstring(L, w->metadata.pair[i].key);
        lua_pushstring(L, w->metadata.pair[i].value);
        lua_rawset(L, -3);
    }
    clear(w);
    vm_account(L);
    return 2;
}

/* ---- attn.save: any value into the tree ---- */

static void write_value(lua_State *L, work *w, int names, int depth);

/* Extends the path by a key, for messages and names of tensors; returns the old length. */
static size_t enter(work *w, const char *key)
{
    size_t length = strlen(w->path);
    snprintf(w->path + length, sizeof w->path - length, length ? ".%s" : "%s", key);
    return length;
}

static size_t enter_index(work *w, lua_Integer i)
{
    char key[32];
    snprintf(key, sizeof key, "%lld", (long long)i);
    return enter(w, key);
}

static _Noreturn void refuse(lua_State *L, const work *w, const char *what)
{
    vm_error(L, "save: %.200s%s%s", w->path, w->path[0] ? ": " : "", what);
}

static bool is_taken(lua_State *L, int names, const char *name)
{
    bool taken = lua_getfield(L, names, name) != LUA_TNIL;
    lua_pop(L, 1);
    return taken;
}

/* The tensor is called by its path, or if that is taken, too long or no text, "tensor N". `names` holds those taken. */
static void write_tensor(lua_State *L, work *w, int names, at_tensor *t)
{
    if (t->dtype == AT_I8) /* it would come back without its scales */
        refuse(L, w, "is int8, " AT_KEPT_FOR);
    char name[PATH + 32];
    size_t length = strlen(w->path);
    bool good = length > 0 && length + 1 < sizeof w->path && at_is_utf8(w->path, length) &&
                !is_taken(L, names, w->path) && strcmp(w->path, "__metadata__") != 0;
    for (const char *c = w->path; *c; c++)
        good = good && (unsigned char)*c >= 32 && *c != 127;
    snprintf(name, sizeof name, "%s", w->path);
    for (size_t k = w->n + 1; !good; k++) {
        snprintf(name, sizeof name, "tensor %zu", k);
        good = !is_taken(L, names, name);
    }
    lua_pushboolean(L, true);
    lua_setfield(L, names, name);
    add_tensor(L, w, "save", name, t);
    at_tree_tensor(&w->json, name);
}

typedef struct key {
    const char *text;
    size_t n;
} key;

static int by_text(const void *a, const void *b)
{
    const key *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int order = n ? memcmp(x->text, y->text, n) : 0;
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

/* The table on top, by sorted names, so that equal tables give equal files. */
static void write_named(lua_State *L, work *w, int names, int depth, size_t n)
{
    int table = lua_gettop(L);
    key *keys = lua_newuserdatauv(L, n * sizeof *keys, 0);
    size_t i = 0;
    lua_createtable(L, n < 1 << 20 ? (int)n : 0,
                    0); /* holds the keys: state() of a module may remove them from the table */
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1), i++) {
        if (i == n || lua_type(L, -2) != LUA_TSTRING)
            refuse(L, w, "the table was changed while it was saved");
        keys[i].text = lua_tolstring(L, -2, &keys[i].n);
        lua_pushvalue(L, -2);
        lua_rawseti(L, table + 2, (lua_Integer)i + 1);
    }
    qsort(keys, i, sizeof *keys, by_text);
    at_json_text(&w->json, AT_TREE_TABLE);
    for (size_t k = 0; k < i; k++) {
        at_json_text(&w->json, k ? "," : "");
        at_tree_string(&w->json, keys[k].text, keys[k].n);
        at_json_text(&w->json, ",");
        size_t length = enter(w, keys[k].text);
        lua_pushlstring(L, keys[k].text, keys[k].n);
        lua_rawget(L, table);
        write_value(L, w, names, depth + 1);
        lua_pop(L, 1);
        w->path[length] = 0;
    }
    at_json_text(&w->json, AT_TREE_TABLE_END);
    lua_settop(L, table);
}

static void write_table(lua_State *L, work *w, int names, int depth)
{
    int table = lua_gettop(L);
    size_t strings = 0, numbers = 0, n = lua_rawlen(L, table);
    if (depth >= DEEPEST)
        refuse(L, w, "tables are nested more than 64 deep, or in a circle");
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TSTRING)
            strings++;
        else if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && (size_t)lua_tointeger(L, -2) <= n)
            numbers++;
        else {
            char text[300];
            snprintf(text, sizeof text, "a key is %s; keys can be strings, or 1 to n in a list",
                     vm_describe(L, -2).text);
            refuse(L, w, text);
        }
    }
    if (strings && numbers)
        refuse(L, w, "a table has both names and numbers as keys");
    if (numbers != (strings ? 0 : n))
        refuse(L, w, "a list has a hole");
    if (strings) {
        write_named(L, w, names, depth, strings);
        return;
    }
    at_json_text(&w->json, "[");
    for (size_t i = 1; i <= n; i++) {
        size_t length = enter_index(w, (lua_Integer)i);
        at_json_text(&w->json, i > 1 ? "," : "");
        lua_rawgeti(L, table, (lua_Integer)i);
        write_value(L, w, names, depth + 1);
        lua_pop(L, 1);
        w->path[length] = 0;
    }
    at_json_text(&w->json, "]");
}

/* A tensor, or the state of a module, layer or optimizer. */
static void write_userdata(lua_State *L, work *w, int names, int depth)
{
    vm_tensor_box *box = vm_tensor_at(L, -1);
    if (box && box->t && box->t->storage) {
        write_tensor(L, w, names, box->t);
        return;
    }
    if (box)
        refuse(L, w, "tensor was freed");
    if (!vm_is_module(L, -1) && !vm_object_at(L, -1, &at_layer_class) && !vm_object_at(L, -1, &at_optim_class)) {
        char text[200];
        snprintf(text, sizeof text, "%s cannot be saved", vm_describe(L, -1).text);
        refuse(L, w, text);
    }
    if (lua_getfield(L, -1, "state") != LUA_TFUNCTION)
        refuse(L, w, "has no method state");
    lua_pushvalue(L, -2);
    lua_call(L, 1, 1);
    if (lua_type(L, -1) != LUA_TTABLE)
        refuse(L, w, "its state is no table");
    write_table(L, w, names, depth);
    lua_pop(L, 1);
}

/* The value on top of the stack, which stays. */
static void write_value(lua_State *L, work *w, int names, int depth)
{
    size_t n;
    luaL_checkstack(L, 12, "save");
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN: at_tree_truth(&w->json, lua_toboolean(L, -1)); break;
    case LUA_TNUMBER:
        if (lua_isinteger(L, -1))
            at_tree_whole(&w->json, lua_tointeger(L, -1));
        else
            at_tree_number(&w->json, lua_tonumber(L, -1));
        break;
    case LUA_TSTRING: {
        const char *text = lua_tolstring(L, -1, &n);
        at_tree_string(&w->json, text, n);
        break;
    }
    case LUA_TTABLE: write_table(L, w, names, depth); break;
    case LUA_TUSERDATA: write_userdata(L, w, names, depth); break;
    default: {
        char text[200];
        snprintf(text, sizeof text, "%s cannot be saved", vm_describe(L, -1).text);
        refuse(L, w, text);
    }
    }
}

static int save(lua_State *L)
{
    const char *where = "save", *path = vm_check_path(L, where);
    if (lua_type(L, 2) != LUA_TTABLE)
        vm_error(L, "%s: argument 2 is %s, expected a table", where, vm_describe(L, 2).text);
    lua_settop(L, 2);
    work *w = push_work(L);
    lua_newtable(L);
    int names = lua_gettop(L);
    lua_pushvalue(L, 2);
    write_value(L, w, names, 0);
    if (w->json.failed)
        vm_error(L, "%s: out of memory", where);
    lua_pushlstring(L, w->json.text, w->json.n);
    at_json_free(&w->json);
    add_metadata(L, w, where, "attn", lua_tostring(L, -1));
    add_metadata(L, w, where, AT_CHECKSUM, "");
    add_metadata(L, w, where, "format", FORMAT);
    save_work(L, w, where, path, AT_FILE_TYPES);
    return 0;
}

/* ---- attn.load ---- */

/* A field of the metadata, or NULL. */
static const char *find_metadata(const work *w, const char *name)
{
    for (size_t i = 0; i < w->metadata.n; i++)
        if (strcmp(w->metadata.pair[i].key, name) == 0)
            return w->metadata.pair[i].value;
    return NULL;
}

static _Noreturn void malformed(lua_State *L, work *w, const char *path)
{
    clear(w);
    vm_error(L, "load: %.200s: the tree of values is damaged", path);
}

/* Pushes the value of a node. tensors: stack place of the tensors by name. */
static void push_node(lua_State *L, work *w, const char *path, at_tree_node node, int tensors, int depth)
{
    luaL_checkstack(L, 8, "load");
    switch (node.kind) {
    case AT_NODE_TRUTH: lua_pushboolean(L, node.truth); return;
    case AT_NODE_WHOLE: lua_pushinteger(L, node.whole); return;
    case AT_NODE_NUMBER: lua_pushnumber(L, node.number); return;
    case AT_NODE_STRING: lua_pushlstring(L, node.text, node.length); return;
    case AT_NODE_BYTES: {
        luaL_Buffer b;
        at_tree_bytes(&node, luaL_buffinitsize(L, &b, node.length / 2 + 1));
        luaL_pushresultsize(&b, node.length / 2);
        return;
    }
    case AT_NODE_TENSOR:
        lua_pushlstring(L, node.text, node.length);
        if (lua_rawget(L, tensors) == LUA_TNIL)
            malformed(L, w, path);
        return;
    case AT_NODE_LIST:
    case AT_NODE_TABLE: break;
    default: malformed(L, w, path);
    }
    if (depth >= DEEPEST)
        malformed(L, w, path);
    lua_newtable(L);
    for (size_t i = 0; node.kind == AT_NODE_LIST && i < node.length; i++) {
        push_node(L, w, path, at_tree_item(&node, i), tensors, depth + 1);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    for (size_t i = 0; node.kind == AT_NODE_TABLE && i + 1 < node.length; i += 2) {
        at_tree_node name = at_tree_item(&node, i);
        if (name.kind != AT_NODE_STRING && name.kind != AT_NODE_BYTES)
            malformed(L, w, path);
        push_node(L, w, path, name, tensors, depth + 1);
        push_node(L, w, path, at_tree_item(&node, i + 1), tensors, depth + 1);
        lua_rawset(L, -3);
    }
}

static int load(lua_State *L)
{
    const char *where = "load", *path = vm_check_path(L, where);
    lua_settop(L, 1);
    work *w = push_work(L);
    load_work(L, w, where, path);
    const char *text = find_metadata(w, "attn"), *format = find_metadata(w, "format");
    at_error e;
    at_error_clear(&e);
    at_tree *tree = text ? at_tree_parse(text, strlen(text), &w->arena, &e) : NULL;
    if (e.memory) {
        vm_collect(L);
        at_error_clear(&e);
        tree = at_tree_parse(text, strlen(text), &w->arena, &e);
    }
    if (!text)
        at_error_set(&e, "%.200s: not a file of attn.save (attn.safetensors.load reads others)", path);
    else if (format && strcmp(format, FORMAT_1) != 0 && !find_metadata(w, AT_CHECKSUM))
        at_error_set(&e, "%.200s: it has no checksum: the file is damaged, or another program wrote it", path);
    else if (!tree)
        at_error_set(&e, "%.200s: the tree of values is damaged", path);
    if (e.failed)
        fail(L, w, where, &e);
    lua_createtable(L, 0, (int)w->n);
    for (size_t i = 0; i < w->n; i++) {
        vm_push_tensor(L, w->list[i].tensor);
        lua_setfield(L, -2, w->list[i].name);
    }
    at_tree_node root = at_tree_root(tree);
    if (root.kind != AT_NODE_LIST && root.kind != AT_NODE_TABLE)
        malformed(L, w, path);
    push_node(L, w, path, root, lua_gettop(L), 0);
    clear(w);
    vm_account(L);
    return 1;
}

/* ---- attn.npy, attn.image: files of one tensor ---- */

static int load_one(lua_State *L, const char *where, at_tensor *(*read)(const char *path, at_error *e))
{
    const char *path = vm_check_path(L, where);
    work *w = push_work(L);
    at_error e;
    at_error_clear(&e);
    w->tensor = read(path, &e);
    if (!w->tensor && e.memory) {
        vm_collect(L);
        at_error_clear(&e);
        w->tensor = read(path, &e);
    }
    if (!w->tensor)
        fail(L, w, where, &e);
    vm_push_tensor(L, w->tensor);
    clear(w);
    vm_account(L);
    return 1;
}

static int save_one(lua_State *L, const char *where, const char *name,
                    bool (*write)(const char *path, const at_tensor *t, at_error *e))
{
    const char *path = vm_check_path(L, where);
    at_tensor *t = vm_check_tensor(L, 2, where, name);
    work *w = push_work(L);
    at_error e;
    at_error_clear(&e);
    if (!write(path, t, &e))
        fail(L, w, where, &e);
    return 0;
}

static int npy_load(lua_State *L) { return load_one(L, "npy.load", at_npy_load); }
static int bytes(lua_State *L) { return load_one(L, "data.bytes", at_bytes_load); }
static int idx(lua_State *L) { return load_one(L, "data.idx", at_idx_load); }
static int npy_save(lua_State *L) { return save_one(L, "npy.save", "t", at_npy_save); }
static int image_load(lua_State *L) { return load_one(L, "image.load", at_png_load); }
static int image_save(lua_State *L) { return save_one(L, "image.save", "x", at_png_save); }

/* ---- attn.lines ---- */

static int lines(lua_State *L)
{
    const char *where = "lines", *path = vm_check_path(L, where), *line;
    size_t length;
    work *w = push_work(L);
    at_error e;
    at_error_clear(&e);
    if (!(w->lines = at_lines_open(path, &e)))
        fail(L, w, where, &e);
    lua_newtable(L);
    for (lua_Integer i = 1; at_lines_next(w->lines, &line, &length, &e); i++) {
        lua_pushlstring(L, line, length);
        lua_rawseti(L, -2, i);
    }
    if (e.failed)
        fail(L, w, where, &e);
    clear(w);
    return 1;
}

void vm_open_io(lua_State *L, int lib)
{
    static const luaL_Reg functions[] = {{"save", save}, {"load", load}, {"lines", lines}, {NULL, NULL}};
    static const luaL_Reg safetensors[] = {{"save", safetensors_save}, {"load", safetensors_load}, {NULL, NULL}};
    static const luaL_Reg npy[] = {{"save", npy_save}, {"load", npy_load}, {NULL, NULL}};
    static const luaL_Reg image[] = {{"save", image_save}, {"load", image_load}, {NULL, NULL}};
    static const vm_doc docs[] = {
        {"save",
         "save(path, table)\n"
         "Writes a checkpoint: tensors, modules, layers and optimizers (as their state()), numbers, strings,\n"
         "booleans and tables of these, keys strings or 1 to n. The old file stays until the new one is on the disk;\n"
         "a checksum of all its bytes is in it."},
        {"load", "load(path) -> table\nWhat attn.save wrote; an error if its checksum is another. Runs no code."},
        {"lines", "lines(path) -> list of strings\nThe lines of a text file, plain or gzip, without their ends."},
        {"safetensors.save",
         "safetensors.save(path, tensors [, metadata [, {dtype =}]])\n"
         "Tensors by name, and strings by name, as a safetensors file. dtype \"bf16\" or \"f16\" writes all floats as\n"
         "BF16 or F16: to the nearest, halves to even, what is too large (F16: from 65,520) as infinity. A weight of "
         "int8\n"
         "(module:to_inference) is written as I8, its scales beside it as NAME.scale."},
        {"safetensors.load", "safetensors.load(path) -> tensors, metadata\n"
                             "Two tables. F16 and BF16 become float32, U8 uint8, all other integers int64."},
        {"npy.save", "npy.save(path, t)\nOne tensor in NumPy's format."},
        {"npy.load", "npy.load(path) -> tensor\n"
                     "An array of numbers in NumPy's format; half floats become float32, unsigned bytes uint8, other\n"
                     "integers int64."},
        {"image.load",
         "image.load(path) -> x [C, H, W]\n"
         "A PNG file as float32 in 0 .. 1: 1 channel is grey, 2 grey and alpha, 3 RGB, 4 RGBA; a palette gives 3, or "
         "4\n"
         "if it has transparency. Samples of 1 to 16 bits; at most 1,000,000 pixels a side and 2^28 numbers."},
        {"image.save",
         "image.save(path, x [C, H, W])\n"
         "Writes x as a PNG file of 8 bits: values are cut to 0 .. 1 and taken to the nearest of 256; 1 to 4 channels\n"
         "are grey, grey and alpha, RGB, RGBA."},
        {NULL, NULL}};
    static const luaL_Reg internals[] = {{"bytes", bytes}, {"idx", idx}, {NULL, NULL}}; /* of data.lua */
    vm_set_functions(L, lib, functions);
    lua_getfield(L, LUA_REGISTRYINDEX, "attn.internal");
    vm_set_functions(L, -1, internals);
    lua_pop(L, 1);
    lua_newtable(L);
    vm_set_functions(L, -1, safetensors);
    lua_setfield(L, lib, "safetensors");
    lua_newtable(L);
    vm_set_functions(L, -1, npy);
    lua_setfield(L, lib, "npy");
    lua_newtable(L);
    vm_set_functions(L, -1, image);
    lua_setfield(L, lib, "image");
    vm_describe_functions(L, docs);
}
