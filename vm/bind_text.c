/*
 * attn.unicode: categories, normal forms and widths of Unicode text, over utf8proc. Bytes that are not UTF-8 never
 * raise: they are of category "Cn", one column wide, and stay as they are.
 */
#include "vm/bind.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define WORK "attn.unicode"
#define WORK_MAGIC 0x74786574696e7531u

/* Text that utf8proc made, in a box: any lua_ call may raise. */
typedef struct work {
    uint64_t magic;
    utf8proc_uint8_t *text;
} work;

static int work_end(lua_State *L)
{
    work *w = lua_touserdata(L, 1);
    if (w && lua_rawlen(L, 1) == sizeof *w && w->magic == WORK_MAGIC) {
        free(w->text);
        w->text = NULL;
    }
    return 0;
}

static const char *check_text(lua_State *L, const char *where, size_t *n)
{
    if (lua_type(L, 1) != LUA_TSTRING)
        vm_error(L, "%s: text is %s, expected a string", where, vm_describe(L, 1).text);
    return lua_tolstring(L, 1, n);
}

static int category(lua_State *L)
{
    int64_t code = vm_check_integer(L, 1, "unicode.category", "code");
    if (code < 0 || code > 0x10FFFF)
        vm_error(L, "unicode.category: code is %lld, expected 0 to 1114111", (long long)code);
    lua_pushstring(L, utf8proc_category_string((utf8proc_int32_t)code));
    return 1;
}

static int normalize(lua_State *L)
{
    static const char *const names[] = {"NFC", "NFD", "NFKC", "NFKD"};
    static const int forms[] = {
        UTF8PROC_COMPOSE, UTF8PROC_DECOMPOSE, UTF8PROC_COMPOSE | UTF8PROC_COMPAT, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT};
    const char *where = "unicode.normalize", *form = "NFC";
    size_t n;
    int k = 0;
    const char *text = check_text(L, where, &n);
    if (!lua_isnoneornil(L, 2)) {
        if (lua_type(L, 2) != LUA_TSTRING)
            vm_error(L, "%s: form is %s, expected a string", where, vm_describe(L, 2).text);
        form = lua_tostring(L, 2);
    }
    while (k < 4 && strcmp(names[k], form) != 0)
        k++;
    if (k == 4)
        vm_error(L, "%s: form is '%.40s', expected NFC, NFD, NFKC or NFKD", where, form);
    if (n == 0 || n > INT_MAX || memchr(text, 0, n) || !at_is_utf8(text, n)) {
        lua_pushvalue(L, 1);
        return 1;
    }
    work *w = vm_push_owner(L, sizeof *w, WORK, work_end);
    w->magic = WORK_MAGIC;
    utf8proc_ssize_t length = utf8proc_map(
        (const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &w->text, (utf8proc_option_t)(forms[k] | UTF8PROC_STABLE));
    if (length < 0)
        vm_error(L, "%s: %s", where, utf8proc_errmsg(length));
    lua_pushlstring(L, (const char *)w->text, (size_t)length);
    free(w->text);
    w->text = NULL;
    return 1;
}

static int width(lua_State *L)
{
    size_t n, i = 0;
    lua_Integer columns = 0;
    const char *text = check_text(L, "unicode.width", &n);
    while (i < n) {
        utf8proc_int32_t code;
        utf8proc_ssize_t left = n - i > 8 ? 8 : (utf8proc_ssize_t)(n - i);
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)text + i, left, &code);
        columns += step > 0 ? utf8proc_charwidth(code) : 1;
        i += step > 0 ? (size_t)step : 1;
    }
    lua_pushinteger(L, columns);
    return 1;
}

void vm_open_text(lua_State *L, int lib)
{
    static const luaL_Reg functions[] = {
        {"category", category}, {"normalize", normalize}, {"width", width}, {NULL, NULL}};
    static const vm_doc docs[] = {
        {"unicode.category",
         "unicode.category(code) -> \"Lu\", \"Ll\", \"Nd\" ...\nThe general category of a code point."},
        {"unicode.normalize", "unicode.normalize(text [, form = \"NFC\"]) -> text\n"
                              "A normal form: NFC, NFD, NFKC or NFKD. Text that is not UTF-8 stays as it is."},
        {"unicode.width", "unicode.width(text) -> columns\nColumns that a text takes in a terminal."},
        {NULL, NULL}};
    lua_newtable(L);
    vm_set_functions(L, -1, functions);
    lua_setfield(L, lib, "unicode");
    vm_describe_functions(L, docs);
}
