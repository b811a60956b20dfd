/*
 * tostring of a tensor: a line with dtype and shape, then the values, aligned, on one scale, the middle elided where there are many.
 *
 *     float32 [3, 5]
 *       0.1719  0.2350  0.1684  0.2168  0.2079
 */
#include "vm/bind.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROWS = 12, COLUMNS = 12, EDGE = 3, BLOCKS = 6 };

typedef struct style {
    int digits; /* behind the point; -1: whole numbers */
    bool scientific;
    int width;
} style;

static int show(char *text, size_t room, const style *s, const at_tensor *t, ptrdiff_t at)
{
    if (t->dtype == AT_BOOL)
        return snprintf(text, room, "%s", ((const uint8_t *)t->data)[at] ? "true" : "false");
    if (t->dtype == AT_I64)
        return snprintf(text, room, "%lld", (long long)((const int64_t *)(const void *)t->data)[at]);
    double x = at_element(t, at);
    if (t->dtype == AT_U8)
        return snprintf(text, room, "%.0f", x);
    if (isnan(x))
        return snprintf(text, room, "nan");
    if (s->scientific)
        return snprintf(text, room, "%.4e", x);
    return snprintf(text, room, "%.*f", s->digits < 0 ? 0 : s->digits, x);
}

/* Calls what(index of an element) for the elements that will be printed. */
static bool elided(size_t i, size_t n, size_t most) { return n > most && i >= EDGE && i < n - EDGE; }

static void measure(const at_tensor *t, size_t d, ptrdiff_t at, style *s, double *largest, double *smallest,
                    bool *whole)
{
    if (d == t->ndim) {
        double x = at_element(t, at), a = fabs(x);
        if (isfinite(x) && a > *largest)
            *largest = a;
        if (isfinite(x) && a > 0 && a < *smallest)
            *smallest = a;
        if (isfinite(x) && x != floor(x))
            *whole = false;
        return;
    }
    size_t most = d + 1 == t->ndim ? COLUMNS : d + 2 == t->ndim ? ROWS : BLOCKS;
    for (size_t i = 0; i < t->size[d]; i++) {
        if (elided(i, t->size[d], most)) {
            i = t->size[d] - EDGE - 1;
            continue;
        }
        measure(t, d + 1, at + (ptrdiff_t)i * t->step[d], s, largest, smallest, whole);
    }
}

static void widths(const at_tensor *t, size_t d, ptrdiff_t at, style *s)
{
    char text[64];
    if (d == t->ndim) {
        int n = show(text, sizeof text, s, t, at);
        if (n > s->width)
            s->width = n;
        return;
    }
    size_t most = d + 1 == t->ndim ? COLUMNS : d + 2 == t->ndim ? ROWS : BLOCKS;
    for (size_t i = 0; i < t->size[d]; i++)
        if (elided(i, t->size[d], most))
            i = t->size[d] - EDGE - 1;
        else
            widths(t, d + 1, at + (ptrdiff_t)i * t->step[d], s);
}

static void add_row(luaL_Buffer *b, const at_tensor *t, size_t d, ptrdiff_t at, const style *s)
{
    char text[64];
    size_t n = d < t->ndim ? t->size[d] : 1;
    ptrdiff_t step = d < t->ndim ? t->step[d] : 0;
    for (size_t i = 0; i < n; i++) {
        if (elided(i, n, COLUMNS)) {
            luaL_addstring(b, "  ...");
            i = n - EDGE - 1;
            continue;
        }
        int len = show(text, sizeof text, s, t, at + (ptrdiff_t)i * step);
        luaL_addstring(b, "  ");
        for (int k = len; k < s->width; k++)
            luaL_addchar(b, ' ');
        luaL_addlstring(b, text, (size_t)len);
    }
}

static void add_block(luaL_Buffer *b, const at_tensor *t, size_t d, ptrdiff_t at, const style *s, char *place)
{
    if (d + 2 < t->ndim) {
        for (size_t i = 0; i < t->size[d]; i++) {
            if (elided(i, t->size[d], BLOCKS)) {
                luaL_addstring(b, "\n  ...");
                i = t->size[d] - EDGE - 1;
                continue;
            }
            char here[128];
            snprintf(here, sizeof here, "%.90s%s%zu", place, *place ? ", " : "", i + 1);
            add_block(b, t, d + 1, at + (ptrdiff_t)i * t->step[d], s, here);
        }
        return;
    }
    if (*place) {
        luaL_addstring(b, "\n  [");
        luaL_addstring(b, place);
        luaL_addstring(b, "]");
    }
    if (d + 1 >= t->ndim) {
        luaL_addstring(b, "\n");
        add_row(b, t, d, at, s);
        return;
    }
    for (size_t i = 0; i < t->size[d]; i++) {
        luaL_addstring(b, "\n");
        if (elided(i, t->size[d], ROWS)) {
            luaL_addstring(b, "  ...");
            i = t->size[d] - EDGE - 1;
            continue;
        }
        add_row(b, t, d + 1, at + (ptrdiff_t)i * t->step[d], s);
    }
}

int vm_tensor_tostring(lua_State *L)
{
    vm_tensor_box *box = vm_tensor_at(L, 1);
    if (!box || !box->t || !box->t->storage) {
        lua_pushstring(L, "a freed tensor");
        return 1;
    }
    const at_tensor *t = box->t;
    style s = {.digits = 4};
    double largest = 0, smallest = INFINITY;
    bool whole = true;
    measure(t, 0, 0, &s, &largest, &smallest, &whole);
    if (at_is_float(t)) {
        s.scientific = largest >= 1e6 || (largest > 0 && largest < 1e-3);
        if (whole && !s.scientific)
            s.digits = -1;
        else if (largest >= 1000)
            s.digits = 2;
    }
    widths(t, 0, 0, &s);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, at_describe(t).text);
    if (at_needs_grad(t))
        luaL_addstring(&b, t->node ? "  on the tape" : "  requires grad");
    char place[1] = "";
    if (at_numel(t) > 0)
        add_block(&b, t, 0, 0, &s, place);
    luaL_pushresult(&b);
    return 1;
}
