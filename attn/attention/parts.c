/*
 * The parts of attention: what there is to choose from, and what a configuration says to each. See part.h.
 *
 * The only file that includes their lists. Everything is read from the records at run time: words to choose from, help,
 * fields of their own. Several parts may share a field; the list of the layer has it once.
 */
#include "attn/attention/part.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define AT_SCORE_ENTRY(id) extern const at_score at_score_##id;
#include "attn/attention/score/list.h"
#undef AT_SCORE_ENTRY
#define AT_WINDOW_ENTRY(id) extern const at_window at_window_##id;
#include "attn/attention/window/list.h"
#undef AT_WINDOW_ENTRY
#define AT_POSITION_ENTRY(id) extern const at_position at_position_##id;
#include "attn/attention/position/list.h"
#undef AT_POSITION_ENTRY

#define AT_SCORE_ENTRY(id) &at_score_##id,
static const at_score *const scores[] = {
#include "attn/attention/score/list.h"
};
#undef AT_SCORE_ENTRY
#define AT_WINDOW_ENTRY(id) &at_window_##id,
static const at_window *const windows[] = {
#include "attn/attention/window/list.h"
};
#undef AT_WINDOW_ENTRY
#define AT_POSITION_ENTRY(id) &at_position_##id,
static const at_position *const positions[] = {
#include "attn/attention/position/list.h"
};
#undef AT_POSITION_ENTRY

static const char *const words[AT_PART_KINDS] = {"score", "distribution", "window", "position"};

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* The parts of a kind in order, NULL behind the last. Distributions that are no choice of scripts stand last in their list. */
static const at_part *part_at(at_part_kind kind, size_t i)
{
    switch (kind) {
    case AT_PART_SCORE: return i < COUNT(scores) ? &scores[i]->part : NULL;
    case AT_PART_DISTRIBUTION: return i < AT_ROWS && !at_row_kinds[i]->internal ? &at_row_kinds[i]->part : NULL;
    case AT_PART_WINDOW: return i < COUNT(windows) ? &windows[i]->part : NULL;
    case AT_PART_POSITION: return i < COUNT(positions) ? &positions[i]->part : NULL;
    default: return NULL;
    }
}

const at_part *at_part_of(const at_attention *a, at_part_kind kind)
{
    switch (kind) {
    case AT_PART_SCORE: return &a->score->part;
    case AT_PART_DISTRIBUTION: return &a->distribution->part;
    case AT_PART_WINDOW: return a->window ? &a->window->part : NULL;
    case AT_PART_POSITION: return a->position ? &a->position->part : NULL;
    default: return NULL;
    }
}

/* ---- words ---- */

static void append(char *text, size_t room, const char *more)
{
    size_t at = strlen(text), n = strlen(more);
    assert(at + n < room);
    memcpy(text + at, more, n + 1);
}

const char *at_part_choices(at_part_kind kind)
{
    static char text[AT_PART_KINDS][1024];
    char *t = text[kind];
    if (*t)
        return t;
    if (kind == AT_PART_POSITION)
        append(t, sizeof text[0], "none");
    for (size_t i = 0; part_at(kind, i); i++) {
        append(t, sizeof text[0], *t ? "|" : "");
        append(t, sizeof text[0], part_at(kind, i)->name);
    }
    return t;
}

double at_part_place(at_part_kind kind, const char *name)
{
    int place = at_choice(name, at_part_choices(kind));
    assert(place >= 0);
    return place;
}

void at_part_help(char *text, size_t room, at_part_kind kind)
{
    const at_part *p;
    for (size_t i = 0; (p = part_at(kind, i)); i++) {
        bool table = kind == AT_PART_WINDOW;
        const char *line[] = {
            "  ", table ? "{type = \"" : "", p->name, table ? "\", ...}" : "", ": ", p->formula, "  (", p->source,
            ")\n"};
        for (size_t k = 0; k < COUNT(line); k++)
            append(text, room, line[k]);
    }
}

/* ---- fields ---- */

/* Place of a name among fields, -1 if it is not there. */
static int find(const at_field *fields, const char *name)
{
    for (int k = 0; fields && fields[k].name; k++)
        if (strcmp(fields[k].name, name) == 0)
            return k;
    return -1;
}

/* Names of the parts of a kind that have a field, or of all: "'a', 'b' or 'c'" with the quote given. Returns how many. */
static int owners(at_part_kind kind, const char *field, char quote, char *text, size_t room)
{
    const char *name[AT_ROWS + COUNT(scores) + COUNT(windows) + COUNT(positions)];
    int n = 0;
    for (size_t i = 0; part_at(kind, i); i++)
        if (!field || find(part_at(kind, i)->fields, field) >= 0)
            name[n++] = part_at(kind, i)->name;
    text[0] = 0;
    for (int k = 0; k < n; k++) {
        append(text, room, k == 0 ? "" : k + 1 < n ? ", " : " or ");
        append(text, room, (char[]){quote, 0});
        append(text, room, name[k]);
        append(text, room, (char[]){quote, 0});
    }
    return n;
}

void at_part_fields(at_field *list, int n)
{
    static char help[AT_MAX_FIELD][800];
    for (at_part_kind kind = 0; kind < AT_PART_KINDS; kind++) {
        const at_part *p;
        for (size_t i = 0; kind != AT_PART_WINDOW && (p = part_at(kind, i));
             i++) /* those stand in a table of their own */
            for (const at_field *f = p->fields; f && f->name; f++) {
                char who[600];
                if (find(list, f->name) >= 0)
                    continue;
                assert(n + 1 < AT_MAX_FIELD);
                owners(kind, f->name, '"', who, sizeof who);
                const char *line[] = {"of ", words[kind], " = ", who, ": ", f->help ? f->help : ""};
                for (size_t k = 0; k < COUNT(line); k++)
                    append(help[n], sizeof help[n], line[k]);
                list[n] = *f;
                list[n].required = false; /* only where the part is chosen */
                list[n].help = help[n];
                n++;
            }
    }
}

/* ---- reading a configuration ---- */

static bool was_given(const at_layer *l, int field) { return l->given >> field & 1; }

/* The fields of the chosen part of a kind, which stand among those of the layer. */
static bool read_own(at_layer *l, at_part_kind kind, at_error *e)
{
    at_attention *a = l->own;
    const at_part *p = at_part_of(a, kind);
    for (int k = 0; p && p->fields && p->fields[k].name; k++) {
        const at_field *f = &p->fields[k];
        int at = find(l->kind->fields, f->name);
        assert(k < AT_PART_FIELDS && at >= 0);
        if (f->required && !was_given(l, at))
            return at_error_set(e, "attention: %s \"%s\" needs %s, %s", words[kind], p->name, f->name, f->help);
        a->chosen[kind].set[k] = l->set[at];
    }
    return true;
}

/* Fields that were given must belong to a part that was chosen. */
static bool check_owner(const at_layer *l, const at_field *f, at_error *e)
{
    const at_attention *a = l->own;
    for (at_part_kind kind = 0; kind < AT_PART_KINDS; kind++) {
        char who[600];
        const at_part *p = at_part_of(a, kind);
        if (kind == AT_PART_WINDOW || owners(kind, f->name, '"', who, sizeof who) == 0)
            continue;
        if (!p || find(p->fields, f->name) < 0)
            return at_error_set(e, "attention: %s belongs to %s = %s, but %s is \"%s\"", f->name, words[kind], who,
                                words[kind], p ? p->name : "none");
    }
    return true;
}

/* {type =, radius =} or {type =, left =, right =} */
static bool read_window(at_attention *a, const at_table *t, at_error *e)
{
    at_value type = at_table_get(t, "type");
    int place = type.type == AT_TEXT ? at_choice(type.text, at_part_choices(AT_PART_WINDOW)) : -1;
    char list[600];
    if (place < 0) {
        owners(AT_PART_WINDOW, NULL, '\'', list, sizeof list);
        return at_error_set(e, "attention: window.type is %s, expected %s", at_describe_value(type).text, list);
    }
    a->window = windows[place];
    const at_field *fields = a->window->part.fields;
    for (size_t i = 0; i < t->n; i++) {
        const char *name = t->entry[i].key;
        if (name && (strcmp(name, "type") == 0 || find(fields, name) >= 0))
            continue;
        snprintf(list, sizeof list, "type");
        for (const at_field *f = fields; f && f->name; f++) {
            append(list, sizeof list, ", ");
            append(list, sizeof list, f->name);
        }
        return at_error_set(e, "attention: window has an unknown field '%.40s' (known to \"%s\": %s)",
                            name ? name : "1", a->window->part.name, list);
    }
    at_setting *set = a->chosen[AT_PART_WINDOW].set;
    for (int k = 0; fields && fields[k].name; k++) {
        const at_field *f = &fields[k];
        at_value v = at_table_get(t, f->name);
        char name[64];
        snprintf(name, sizeof name, "window.%s", f->name);
        at_default_field(f, &set[k]);
        if (v.type == AT_NIL && !f->required)
            continue;
        if (f->kind == AT_FIELD_NUMBER || f->kind == AT_FIELD_INTEGER) {
            double x = v.type == AT_WHOLE ? (double)v.whole : v.type == AT_REAL_NUMBER ? v.number : -INFINITY;
            if (f->high > f->low && !(x >= f->low && x < f->high))
                return at_error_set(e, "attention: %s is %s, expected a number from %.14g", name,
                                    at_describe_value(v).text, f->low);
        }
        if (!at_read_field("attention", name, f, v, &set[k], e))
            return false;
    }
    return !a->window->check || a->window->check(set, e);
}

bool at_part_read(at_layer *l, const int at[AT_PART_KINDS], at_error *e)
{
    at_attention *a = l->own;
    int position = (int)l->set[at[AT_PART_POSITION]].integer;
    a->score = scores[l->set[at[AT_PART_SCORE]].integer];
    a->row = (int)l->set[at[AT_PART_DISTRIBUTION]].integer;
    a->distribution = at_row_kinds[a->row];
    a->position = position ? positions[position - 1] : NULL;
    if (was_given(l, at[AT_PART_WINDOW]) && !read_window(a, l->set[at[AT_PART_WINDOW]].value.table, e))
        return false;
    for (int k = 0; l->kind->fields[k].name; k++)
        if (was_given(l, k) && !check_owner(l, &l->kind->fields[k], e))
            return false;
    for (at_part_kind kind = 0; kind < AT_PART_KINDS; kind++)
        if (kind != AT_PART_WINDOW && !read_own(l, kind, e))
            return false;
    return true;
}
