/*
 * Plain values as JSON, every kind kept: see io.h. What JSON has not is an object of one field: {"number": "inf"},
 * {"bytes": "00ff"}, {"tensor": "model.weight"}, {"table": [key, value, ...]}. Keys may be any bytes, so tables are
 * lists of pairs.
 */
#include "attn/io/io.h"

#include "attn/core/alloc.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- writing ---- */

static void add(at_json *j, const char *text, size_t n)
{
    if (j->failed)
        return;
    if (n > j->room - j->n) {
        size_t room = j->room ? j->room : 1024;
        while (room - j->n < n)
            room *= 2; /* n is at most what stands in memory already */
        char *grown = at_realloc(j->text, j->room, room);
        if (!grown) {
            j->failed = true;
            return;
        }
        j->text = grown;
        j->room = room;
    }
    memcpy(j->text + j->n, text, n);
    j->n += n;
}

void at_json_text(at_json *j, const char *text) { add(j, text, strlen(text)); }

void at_json_quote(at_json *j, const char *text, size_t n)
{
    add(j, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 32 && c != '"' && c != '\\')
            continue;
        char escape[8];
        add(j, text + from, i - from);
        if (c < 32)
            snprintf(escape, sizeof escape, "\\u%04x", c);
        else
            snprintf(escape, sizeof escape, "\\%c", c);
        at_json_text(j, escape);
        from = i + 1;
    }
    add(j, text + from, n - from);
    add(j, "\"", 1);
}

void at_json_free(at_json *j)
{
    at_free(j->text, j->room);
    *j = (at_json){0};
}

void at_tree_truth(at_json *j, bool x) { at_json_text(j, x ? "true" : "false"); }

void at_tree_whole(at_json *j, int64_t x)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)x);
    at_json_text(j, text);
}

void at_tree_number(at_json *j, double x)
{
    char text[64];
    if (isfinite(x)) {
        snprintf(text, sizeof text - 2, "%.17g", x);
        char *comma = strchr(text, ','); /* the script may have set another locale */
        if (comma)
            *comma = '.';
        if (!strpbrk(text, ".e"))
            strcat(text, ".0");
    } else {
        snprintf(text, sizeof text, "{\"number\":\"%s\"}", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
    }
    at_json_text(j, text);
}

void at_tree_string(at_json *j, const char *text, size_t n)
{
    if (at_is_utf8(text, n)) {
        at_json_quote(j, text, n);
        return;
    }
    at_json_text(j, "{\"bytes\":\"");
    for (size_t i = 0; i < n; i++) {
        const char *digits = "0123456789abcdef";
        unsigned char c = (unsigned char)text[i];
        add(j, (char[]){digits[c >> 4], digits[c & 15]}, 2);
    }
    at_json_text(j, "\"}");
}

void at_tree_tensor(at_json *j, const char *name)
{
    at_json_text(j, "{\"tensor\":");
    at_json_quote(j, name, strlen(name));
    at_json_text(j, "}");
}

/* ---- reading ---- */

at_tree *at_tree_parse(const char *text, size_t n, at_arena *arena, at_error *e)
{
    json_error_t error;
    return (at_tree *)at_json_read(
        text, n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, "the tree of values", arena, &error, e);
}

static int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

static void look_number(const json_t *v, at_tree_node *node)
{
    const char *text = json_string_value(v);
    node->kind = AT_NODE_NUMBER;
    if (text && strcmp(text, "inf") == 0)
        node->number = INFINITY;
    else if (text && strcmp(text, "-inf") == 0)
        node->number = -INFINITY;
    else if (text && strcmp(text, "nan") == 0)
        node->number = NAN;
    else
        node->kind = AT_NODE_BAD;
}

static void look_object(json_t *v, at_tree_node *node)
{
    if (json_object_size(v) != 1)
        return;
    const char *what = json_object_iter_key(json_object_iter(v));
    const json_t *inside = json_object_iter_value(json_object_iter(v));
    if (strcmp(what, "number") == 0) {
        look_number(inside, node);
    } else if (strcmp(what, "table") == 0 && json_is_array(inside) && json_array_size(inside) % 2 == 0) {
        node->kind = AT_NODE_TABLE;
        node->items = inside;
        node->length = json_array_size(inside);
    } else if ((strcmp(what, "bytes") == 0 || strcmp(what, "tensor") == 0) && json_is_string(inside)) {
        node->kind = what[0] == 'b' ? AT_NODE_BYTES : AT_NODE_TENSOR;
        node->text = json_string_value(inside);
        node->length = json_string_length(inside);
        bool hex = node->length % 2 == 0;
        for (size_t i = 0; hex && i < node->length; i++)
            hex = digit(node->text[i]) >= 0;
        if (node->kind == AT_NODE_BYTES && !hex)
            node->kind = AT_NODE_BAD;
    }
}

static at_tree_node look(json_t *v)
{
    at_tree_node node = {.kind = AT_NODE_BAD};
    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_TRUE:
    case JSON_FALSE:
        node.kind = AT_NODE_TRUTH;
        node.truth = json_is_true(v);
        break;
    case JSON_INTEGER:
        node.kind = AT_NODE_WHOLE;
        node.whole = json_integer_value(v);
        break;
    case JSON_REAL:
        node.kind = AT_NODE_NUMBER;
        node.number = json_real_value(v);
        break;
    case JSON_STRING:
        node.kind = AT_NODE_STRING;
        node.text = json_string_value(v);
        node.length = json_string_length(v);
        break;
    case JSON_ARRAY:
        node.kind = AT_NODE_LIST;
        node.items = v;
        node.length = json_array_size(v);
        break;
    case JSON_OBJECT: look_object(v, &node); break;
    default: break;
    }
    return node;
}

at_tree_node at_tree_root(const at_tree *t) { return look((json_t *)(uintptr_t)t); }

at_tree_node at_tree_item(const at_tree_node *parent, size_t k) { return look(json_array_get(parent->items, k)); }

void at_tree_bytes(const at_tree_node *node, char *bytes)
{
    for (size_t i = 0; i + 1 < node->length; i += 2)
        bytes[i / 2] = (char)(digit(node->text[i]) << 4 | digit(node->text[i + 1]));
}
