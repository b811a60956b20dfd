/* Values, tables, and configurations read by named fields: see value.h. */
#include "attn/build/value.h"

#include "attn/core/alloc.h"
#include "attn/core/op.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- arena ---- */

typedef struct at_chunk {
    struct at_chunk *next;
    size_t bytes, used;
} at_chunk;

enum { FIRST_CHUNK = 2048, LARGE_CHUNK = 1 << 18 };

void *at_arena_alloc(at_arena *a, size_t bytes)
{
    bytes = (bytes + 15) & ~(size_t)15;
    if (!a->chunk || a->chunk->bytes - a->chunk->used < bytes) {
        size_t room = (sizeof(at_chunk) + 15) & ~(size_t)15;
        size_t total = a->chunk ? 2 * a->chunk->bytes : FIRST_CHUNK; /* a large arena is few chunks */
        total = total > LARGE_CHUNK ? LARGE_CHUNK : total;
        total = total < room + bytes ? room + bytes : total;
        at_chunk *chunk = at_alloc(total);
        if (!chunk)
            return NULL;
        *chunk = (at_chunk){.next = a->chunk, .bytes = total, .used = room};
        a->chunk = chunk;
    }
    void *block = (char *)a->chunk + a->chunk->used;
    a->chunk->used += bytes;
    return block;
}

void at_arena_free(at_arena *a)
{
    while (a->chunk) {
        at_chunk *next = a->chunk->next;
        at_free(a->chunk, a->chunk->bytes);
        a->chunk = next;
    }
}

/* ---- tables ---- */

at_table *at_table_new(at_arena *a)
{
    at_table *t = at_arena_alloc(a, sizeof *t);
    if (t)
        *t = (at_table){0};
    return t;
}

bool at_table_add(at_arena *a, at_table *t, const char *key, int64_t index, at_value value)
{
    if (t->n == t->room) {
        size_t room = t->room ? 2 * t->room : 8;
        at_entry *entry = at_arena_alloc(a, room * sizeof *entry);
        if (!entry)
            return false;
        if (t->n)
            memcpy(entry, t->entry, t->n * sizeof *entry);
        t->entry = entry;
        t->room = room;
    }
    t->entry[t->n++] = (at_entry){.key = key, .index = index, .value = value};
    return true;
}

at_value at_table_get(const at_table *t, const char *key)
{
    for (size_t i = 0; t && i < t->n; i++)
        if (t->entry[i].key && strcmp(t->entry[i].key, key) == 0)
            return t->entry[i].value;
    return (at_value){.type = AT_NIL};
}

at_text at_describe_value(at_value v)
{
    at_text t;
    switch (v.type) {
    case AT_NIL: snprintf(t.text, sizeof t.text, "nil"); break;
    case AT_TRUTH: snprintf(t.text, sizeof t.text, "%s", v.truth ? "true" : "false"); break;
    case AT_WHOLE: snprintf(t.text, sizeof t.text, "%lld", (long long)v.whole); break;
    case AT_REAL_NUMBER: snprintf(t.text, sizeof t.text, "%.14g", v.number); break;
    case AT_TEXT: snprintf(t.text, sizeof t.text, "'%.60s'", v.text); break;
    case AT_OTHER: snprintf(t.text, sizeof t.text, "%.100s", v.text); break;
    case AT_TENSOR: return at_describe(v.tensor);
    case AT_OBJECT: {
        const char *dot = strrchr(at_class_word(v.object->class), '.'); /* "attn.layer" */
        snprintf(t.text, sizeof t.text, "a %s", dot ? dot + 1 : at_class_word(v.object->class));
        break;
    }
    default: snprintf(t.text, sizeof t.text, "a table"); break;
    }
    return t;
}

/* ---- words ---- */

int at_choice(const char *word, const char *choices)
{
    size_t n = strlen(word);
    int place = 0;
    for (const char *at = choices; *at; place++) {
        size_t len = strcspn(at, "|");
        if (len == n && memcmp(at, word, n) == 0)
            return place;
        at += len + (at[len] == '|');
    }
    return -1;
}

int at_misspelling(const char *wrong, size_t n, const char *word, size_t m)
{
    enum { LONGEST = 64 };
    int rows[3][LONGEST + 1], *before = rows[0], *last = rows[1], *row = rows[2];
    size_t same = 0;
    if (n > LONGEST || m > LONGEST)
        return AT_FAR;
    for (size_t j = 0; j <= m; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *free = before;
        before = last;
        last = row;
        row = free;
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int keep = last[j - 1] + (wrong[i - 1] != word[j - 1]);
            int edit = 1 + (last[j] < row[j - 1] ? last[j] : row[j - 1]);
            row[j] = keep < edit ? keep : edit;
            bool swapped = i > 1 && j > 1 && wrong[i - 1] == word[j - 2] && wrong[i - 2] == word[j - 1];
            if (swapped && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
    }
    if (row[m] >= (int)n || row[m] > (n < 6 ? 1 : (int)n / 3))
        return AT_FAR;
    while (same < n && same < m && wrong[same] == word[same])
        same++;
    return 2 * ((LONGEST + 1) * row[m] - (int)same) + (n != m);
}

at_text at_suggest(const char *open, const char *wrong, const char *words, const char *close)
{
    at_text t = {""};
    int best = AT_FAR;
    for (const char *at = words; *at;) {
        size_t len = strcspn(at, "|");
        int d = at_misspelling(wrong, strlen(wrong), at, len);
        if (d < best)
            snprintf(t.text, sizeof t.text, "%sdid you mean '%.*s'?%s", open, (int)len, at, close);
        best = d < best ? d : best;
        at += len + (at[len] == '|');
    }
    return t;
}

/* ---- fields ---- */

/* "a|b" as "a, b" */
static void join(char *out, size_t room, const char *words)
{
    size_t at = 0;
    for (; *words && at + 3 < room; words++) {
        if (*words == '|') {
            out[at++] = ',';
            out[at++] = ' ';
        } else {
            out[at++] = *words;
        }
    }
    out[at] = 0;
}

static void field_names(const at_field *fields, char *out, size_t room)
{
    size_t at = 0;
    out[0] = 0;
    for (const at_field *f = fields; f->name; f++) {
        int wrote = snprintf(out + at, room - at, at ? "|%s" : "%s", f->name);
        if (wrote < 0 || (size_t)wrote >= room - at)
            break;
        at += (size_t)wrote;
    }
}

static const char *expected(const at_field *f)
{
    switch (f->kind) {
    case AT_FIELD_INTEGER: return "an integer";
    case AT_FIELD_NUMBER: return "a number";
    case AT_FIELD_FLAG: return "true or false";
    case AT_FIELD_CHOICE: return "a string";
    case AT_FIELD_COUNTS: return f->choices ? "a number, a table of two or a word" : "an integer or a table of two";
    case AT_FIELD_TENSOR: return "a float tensor";
    case AT_FIELD_IDS: return "an int64 tensor";
    case AT_FIELD_MASK: return "a bool tensor";
    case AT_FIELD_TABLE: return "a table";
    case AT_FIELD_OBJECT: return "a layer";
    default: return "a value";
    }
}

static bool mistyped(const char *where, const char *name, const at_field *f, at_value v, at_error *e)
{
    bool tensor = f->kind == AT_FIELD_TENSOR || f->kind == AT_FIELD_IDS || f->kind == AT_FIELD_MASK;
    return at_error_set(e, "%s: %s is %s, expected %s%s", where, name, at_describe_value(v).text, expected(f),
                        tensor && v.type == AT_TABLE ? AT_MAKES_TENSOR : "");
}

static bool check_bounds(const char *where, const char *name, const at_field *f, double x, at_error *e)
{
    if (f->high > f->low && !(x >= f->low && x <= f->high)) {
        if (f->high >= 2147483648.0)
            return at_error_set(e, "%s: %s is %.14g, expected at least %.14g", where, name, x, f->low);
        return at_error_set(e, "%s: %s is %.14g, expected %.14g to %.14g", where, name, x, f->low, f->high);
    }
    return true;
}

static bool read_tensor(const char *where, const char *name, const at_field *f, at_value v, at_error *e)
{
    if (v.type != AT_TENSOR)
        return mistyped(where, name, f, v, e);
    if (!v.tensor->storage)
        return at_error_set(e, "%s: %s: tensor was freed", where, name);
    at_dtype dtype = (at_dtype)v.tensor->dtype;
    bool fits = f->kind == AT_FIELD_IDS    ? dtype == AT_I64
                : f->kind == AT_FIELD_MASK ? dtype == AT_BOOL
                                           : dtype <= AT_F64;
    return fits || mistyped(where, name, f, v, e);
}

static int read_choice(const char *where, const char *name, const at_field *f, at_value v, at_error *e)
{
    int place = at_choice(v.text, f->choices);
    char list[300];

    if (place >= 0)
        return place;
    join(list, sizeof list, f->choices);
    at_error_set(e, "%s: %s is '%.40s', expected one of %s%s", where, name, v.text, list,
                 at_suggest(" (", v.text, f->choices, ")").text);
    return -1;
}

static bool read_counts(const char *where, const char *name, const at_field *f, at_value v, at_setting *to, at_error *e)
{
    if (v.type == AT_TEXT && f->choices) {
        to->counts[0] = AT_WORD;
        return (to->counts[1] = read_choice(where, name, f, v, e)) >= 0;
    }
    size_t n = v.type == AT_TABLE ? v.table->n : 1;
    if (n < 1 || n > 2)
        return mistyped(where, name, f, v, e);
    for (size_t i = 0; i < n; i++) {
        at_value one = v.type == AT_TABLE ? v.table->entry[i].value : v;
        size_t place = v.type == AT_TABLE && n == 2 ? (size_t)v.table->entry[i].index - 1 : i;
        double x = one.type == AT_WHOLE ? (double)one.whole : one.type == AT_REAL_NUMBER ? one.number : NAN;
        if (x != floor(x) || place > 1 || (v.type == AT_TABLE && v.table->entry[i].key))
            return mistyped(where, name, f, v, e);
        if (!check_bounds(where, name, f, x, e))
            return false;
        if (fabs(x) > INT32_MAX)
            return at_error_set(e, "%s: %s is %.14g, which is too large", where, name, x);
        to->counts[place] = (int32_t)x;
    }
    if (n == 1)
        to->counts[1] = to->counts[0];
    return true;
}

bool at_read_field(const char *where, const char *name, const at_field *f, at_value v, at_setting *to, at_error *e)
{
    switch (f->kind) {
    case AT_FIELD_INTEGER:
        if (v.type == AT_REAL_NUMBER && v.number == floor(v.number) && fabs(v.number) < 9e15)
            v = at_whole_value((int64_t)v.number);
        if (v.type != AT_WHOLE)
            return mistyped(where, name, f, v, e);
        to->integer = v.whole;
        return check_bounds(where, name, f, (double)v.whole, e);
    case AT_FIELD_NUMBER:
        if (v.type != AT_WHOLE && v.type != AT_REAL_NUMBER)
            return mistyped(where, name, f, v, e);
        to->number = v.type == AT_WHOLE ? (double)v.whole : v.number;
        if (isnan(to->number))
            return mistyped(where, name, f, v, e);
        return check_bounds(where, name, f, to->number, e);
    case AT_FIELD_FLAG:
        if (v.type != AT_TRUTH)
            return mistyped(where, name, f, v, e);
        to->flag = v.truth;
        return true;
    case AT_FIELD_CHOICE:
        if (v.type != AT_TEXT)
            return mistyped(where, name, f, v, e);
        return (to->integer = read_choice(where, name, f, v, e)) >= 0;
    case AT_FIELD_COUNTS: return read_counts(where, name, f, v, to, e);
    case AT_FIELD_TENSOR:
    case AT_FIELD_IDS:
    case AT_FIELD_MASK: to->value = v; return read_tensor(where, name, f, v, e);
    case AT_FIELD_TABLE: to->value = v; return v.type == AT_TABLE || mistyped(where, name, f, v, e);
    case AT_FIELD_OBJECT: to->value = v; return v.type == AT_OBJECT || mistyped(where, name, f, v, e);
    default: to->value = v; return true;
    }
}

void at_default_field(const at_field *f, at_setting *to)
{
    memset(to, 0, sizeof *to);
    if (f->kind == AT_FIELD_INTEGER || f->kind == AT_FIELD_CHOICE)
        to->integer = (int64_t)f->value;
    else if (f->kind == AT_FIELD_COUNTS)
        to->counts[0] = to->counts[1] = (int32_t)f->value;
    else if (f->kind == AT_FIELD_NUMBER)
        to->number = f->value;
    else if (f->kind == AT_FIELD_FLAG)
        to->flag = f->value != 0;
    else
        to->value = (at_value){.type = AT_NIL};
}

bool at_read_fields(const char *where, const at_field *fields, const at_table *t, at_setting *setting, uint32_t *given,
                    at_error *e)
{
    char names[400], list[400];
    size_t n = 0;
    *given = 0;
    for (; fields[n].name; n++)
        at_default_field(&fields[n], &setting[n]);
    field_names(fields, names, sizeof names);
    join(list, sizeof list, names);
    for (size_t i = 0; t && i < t->n; i++) {
        const at_entry *entry = &t->entry[i];
        if (!entry->key && n == 0)
            return at_error_set(e, "%s: unknown field %lld (there are none)", where, (long long)entry->index);
        if (!entry->key)
            return at_error_set(e, "%s: unknown field %lld, fields have names (known: %s)", where,
                                (long long)entry->index, list);
        size_t k = 0;
        while (k < n && strcmp(fields[k].name, entry->key) != 0)
            k++;
        if (k == n) {
            if (n == 0)
                return at_error_set(e, "%s: unknown field '%.40s' (there are none)", where, entry->key);
            return at_error_set(e, "%s: unknown field '%.40s' (known: %s%s)", where, entry->key, list,
                                at_suggest("; ", entry->key, names, "").text);
        }
        if (entry->value.type == AT_NIL)
            continue;
        if (!at_read_field(where, fields[k].name, &fields[k], entry->value, &setting[k], e))
            return false;
        *given |= 1u << k;
    }
    for (size_t k = 0; k < n; k++)
        if (fields[k].required && !(*given >> k & 1))
            return at_error_set(e, "%s: field '%s' is missing (known: %s)", where, fields[k].name, list);
    return true;
}
