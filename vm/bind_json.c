/*
 * attn.json: plain data as JSON (RFC 8259). Strict both ways: duplicate names, text after the value, NaN and strings
 * that are not UTF-8 are errors. 1 and 1.0 stay an integer and a float. An empty table is written as {}, because a
 * table cannot say what it would have held; null is the value attn.json.null, so that a list keeps its length.
 */
#include "vm/bind.h"

#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 200 };

#define WORK "attn.json"
#define WORK_MAGIC 0x6e6f736a2d6f692du

/* What reading or writing owns, in a box: any lua_ call may raise. */
typedef struct work {
    uint64_t magic;
    at_arena arena; /* what was read */
    at_json text;
    int indent; /* 0: all on one line */
} work;

static int work_end(lua_State *L)
{
    work *w = lua_touserdata(L, 1);
    if (w && lua_rawlen(L, 1) == sizeof *w && w->magic == WORK_MAGIC) {
        at_arena_free(&w->arena);
        at_json_free(&w->text);
    }
    return 0;
}

static work *push_work(lua_State *L)
{
    work *w = vm_push_owner(L, sizeof *w, WORK, work_end);
    w->magic = WORK_MAGIC;
    return w;
}

/* ---- reading ---- */

static void push_json(lua_State *L, json_t *v, int depth)
{
    const char *key;
    json_t *item;
    size_t i;
    if (depth > DEEPEST)
        vm_error(L, "json.decode: text is nested more than %d deep", DEEPEST);
    vm_poll(L);
    luaL_checkstack(L, 4, "json.decode");
    switch (json_typeof(v)) {
    case JSON_TRUE:
    case JSON_FALSE: lua_pushboolean(L, json_is_true(v)); break;
    case JSON_INTEGER: lua_pushinteger(L, json_integer_value(v)); break;
    case JSON_REAL: lua_pushnumber(L, json_real_value(v)); break;
    case JSON_STRING: lua_pushlstring(L, json_string_value(v), json_string_length(v)); break;
    case JSON_ARRAY:
        lua_newtable(L);
        json_array_foreach(v, i, item)
        {
            push_json(L, item, depth + 1);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        break;
    case JSON_OBJECT:
        lua_newtable(L);
        json_object_foreach(v, key, item)
        {
            lua_pushstring(L, key);
            push_json(L, item, depth + 1);
            lua_rawset(L, -3);
        }
        break;
    default: lua_pushlightuserdata(L, NULL);
    }
}

static int decode(lua_State *L)
{
    size_t n;
    at_error e;
    json_error_t wrong;
    json_t *root;
    if (lua_type(L, 1) != LUA_TSTRING)
        vm_error(L, "json.decode: text is %s, expected a string", vm_describe(L, 1).text);
    const char *text = lua_tolstring(L, 1, &n);
    lua_settop(L, 1);
    work *w = push_work(L);
    for (int attempt = 0;; attempt++) {
        at_error_clear(&e);
        root = at_json_read(text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, "json.decode",
                            &w->arena, &wrong, &e);
        if (root)
            break;
        if (!e.failed)
            vm_error(L, "json.decode: line %d, column %d: %.200s", wrong.line, wrong.column, wrong.text);
        vm_retry(L, &e, attempt);
    }
    push_json(L, root, 1);
    at_arena_free(&w->arena);
    return 1;
}

/* ---- writing ---- */

typedef struct name {
    const char *text;
    size_t n;
} name;

static int by_text(const void *a, const void *b)
{
    const name *x = a, *y = b;
    size_t n = x->n < y->n ? x->n : y->n;
    int order = n ? memcmp(x->text, y->text, n) : 0;
    return order ? order : (x->n > y->n) - (x->n < y->n);
}

static void new_line(work *w, int depth)
{
    if (w->indent == 0)
        return;
    at_json_text(&w->text, "\n");
    for (int k = 0; k < depth * w->indent; k++)
        at_json_text(&w->text, " ");
}

static void write_string(lua_State *L, work *w, const char *text, size_t n)
{
    for (const char *piece = text; piece <= text + n;) { /* U+0000 is text too, written as an escape */
        size_t length = strnlen(piece, (size_t)(text + n - piece));
        if (!at_is_utf8(piece, length))
            vm_error(L, "json.encode: a string is not UTF-8 text");
        piece += length + 1;
    }
    at_json_quote(&w->text, text, n);
}

/* The shortest digits that give x again, with a point or exponent, so that it is read as a float. */
static void write_number(lua_State *L, work *w, double x)
{
    char text[40];
    if (!isfinite(x))
        vm_error(L, "json.encode: %s is no number of JSON", isnan(x) ? "NaN" : "infinity");
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text - 2, "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    char *comma = strchr(text, localeconv()->decimal_point[0]); /* the script may have set another locale */
    if (comma)
        *comma = '.';
    if (!strpbrk(text, ".e"))
        strcat(text, ".0");
    at_json_text(&w->text, text);
}

static void write_value(lua_State *L, work *w, int depth);

/* The table on top, by sorted names, so that equal tables give equal text. */
static void write_object(lua_State *L, work *w, int depth, size_t n)
{
    int table = lua_gettop(L);
    name *names = lua_newuserdatauv(L, n * sizeof *names, 0);
    size_t i = 0;
    lua_createtable(L, n < 1 << 20 ? (int)n : 0, 0); /* holds the keys: a finalizer may take them from the table */
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        if (i == n || lua_type(L, -2) != LUA_TSTRING)
            vm_error(L, "json.encode: a table was changed while it was written");
        names[i].text = lua_tolstring(L, -2, &names[i].n);
        lua_pushvalue(L, -2);
        lua_rawseti(L, table + 2, (lua_Integer)++i);
    }
    qsort(names, i, sizeof *names, by_text);
    at_json_text(&w->text, "{");
    for (size_t k = 0; k < i; k++) {
        if (k > 0)
            at_json_text(&w->text, w->indent ? "," : ", ");
        new_line(w, depth);
        if (memchr(names[k].text, 0, names[k].n))
            vm_error(L, "json.encode: a key has a byte 0, which json.decode does not take there");
        write_string(L, w, names[k].text, names[k].n);
        at_json_text(&w->text, ": ");
        lua_pushlstring(L, names[k].text, names[k].n);
        lua_rawget(L, table);
        write_value(L, w, depth + 1);
        lua_pop(L, 1);
    }
    new_line(w, depth - 1);
    at_json_text(&w->text, "}");
    lua_settop(L, table);
}

static void write_table(lua_State *L, work *w, int depth)
{
    int table = lua_gettop(L);
    size_t strings = 0, numbers = 0, n = lua_rawlen(L, table);
    if (depth > DEEPEST)
        vm_error(L, "json.encode: tables are nested more than %d deep, or in a circle", DEEPEST);
    for (lua_pushnil(L); lua_next(L, table); lua_pop(L, 1)) {
        vm_poll(L);
        if (lua_type(L, -2) == LUA_TSTRING)
            strings++;
        else if (lua_isinteger(L, -2) && lua_tointeger(L, -2) >= 1 && (size_t)lua_tointeger(L, -2) <= n)
            numbers++;
        else
            vm_error(L, "json.encode: a key is %s; keys can be strings, or 1 to n in a list", vm_describe(L, -2).text);
    }
    if (strings && numbers)
        vm_error(L, "json.encode: a table has both names and numbers as keys");
    if (!strings && numbers != n)
        vm_error(L, "json.encode: a list has a hole");
    if (strings) {
        write_object(L, w, depth, strings);
        return;
    }
    if (n == 0) {
        at_json_text(&w->text, "{}");
        return;
    }
    at_json_text(&w->text, "[");
    for (size_t i = 1; i <= n; i++) {
        if (i > 1)
            at_json_text(&w->text, ", ");
        lua_rawgeti(L, table, (lua_Integer)i);
        if (lua_istable(L, -1))
            new_line(w, depth);
        write_value(L, w, depth + 1);
        lua_pop(L, 1);
    }
    at_json_text(&w->text, "]");
}

/* The value on top of the stack, which stays. */
static void write_value(lua_State *L, work *w, int depth)
{
    size_t n;
    char text[32];
    vm_poll(L);
    luaL_checkstack(L, 8, "json.encode");
    switch (lua_type(L, -1)) {
    case LUA_TBOOLEAN: at_json_text(&w->text, lua_toboolean(L, -1) ? "true" : "false"); return;
    case LUA_TNUMBER:
        if (!lua_isinteger(L, -1)) {
            write_number(L, w, lua_tonumber(L, -1));
            return;
        }
        snprintf(text, sizeof text, "%lld", (long long)lua_tointeger(L, -1));
        at_json_text(&w->text, text);
        return;
    case LUA_TSTRING: {
        const char *s = lua_tolstring(L, -1, &n);
        write_string(L, w, s, n);
        return;
    }
    case LUA_TTABLE: write_table(L, w, depth); return;
    case LUA_TLIGHTUSERDATA:
        if (!lua_touserdata(L, -1)) {
            at_json_text(&w->text, "null");
            return;
        }
        break;
    default: break;
    }
    vm_error(L, "json.encode: %s has no form in JSON", vm_describe(L, -1).text);
}

static int encode(lua_State *L)
{
    int64_t indent = lua_isnoneornil(L, 2) ? 0 : vm_check_integer(L, 2, "json.encode", "indent");
    if (lua_isnone(L, 1))
        vm_error(L, "json.encode: argument 1 is missing");
    if (indent < 0 || indent > 8)
        vm_error(L, "json.encode: indent is %lld, expected 0 to 8", (long long)indent);
    lua_settop(L, 1);
    work *w = push_work(L);
    w->indent = (int)indent;
    lua_pushvalue(L, 1);
    write_value(L, w, 1);
    if (w->text.failed) {
        at_json_free(&w->text);
        vm_collect(L);
        write_value(L, w, 1);
    }
    if (w->text.failed)
        vm_error(L, "json.encode: out of memory");
    lua_pushlstring(L, w->text.text, w->text.n);
    at_json_free(&w->text);
    return 1;
}

void vm_open_json(lua_State *L, int lib)
{
    static const luaL_Reg functions[] = {{"decode", decode}, {"encode", encode}, {NULL, NULL}};
    static const vm_doc docs[] = {
        {"json.decode", "json.decode(text) -> value\n"
                        "A value of JSON text: tables, strings, integers, floats, booleans; null is attn.json.null."},
        {"json.encode", "json.encode(value [, indent = 0]) -> text\n"
                        "A value as JSON, names sorted; with an indent one field on each line. An empty table is {}."},
        {NULL, NULL}};
    lua_newtable(L);
    vm_set_functions(L, -1, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_setfield(L, lib, "json");
    vm_describe_functions(L, docs);
}
