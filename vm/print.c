/*
 * tostring of a tensor: a line with dtype, shape and how many entries are NaN or infinite, then the values, aligned, on one scale, the
 * middle elided where there are more than fit. An exact 0 is written 0, so that it is told from what is small.
 *
 *     float32 [3]
 *        4.5398e-05  9.9995e-01           0
 *
 * One number stands on the line of its shape; a mask of several dimensions is drawn.
 */
#include "vm/bind.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    ROWS = 12,
    COLUMNS = 12,
    EDGE = 3,
    BLOCKS = 6,
    MASK_ROWS = 40,
    MASK_COLUMNS = 100,
    MARGIN = 2,
    COUNTED = 1 << 24
};

typedef struct style {
    int digits; /* behind the point; -1: whole numbers */
    bool scientific, mask;
    int width;
    size_t rows, columns, edge; /* the most that is shown; what of a longer row */
} style;

static int show(char *text, size_t room, const style *s, const at_tensor *t, ptrdiff_t at)
{
    if (t->dtype == AT_BOOL) {
        bool is = ((const uint8_t *)t->data)[at] != 0;
        return s->mask ? snprintf(text, room, "%s", is ? "\u2588" : "\u00b7")
                       : snprintf(text, room, "%s", is ? "true" : "false");
    }
    if (t->dtype == AT_I64)
        return snprintf(text, room, "%lld", (long long)((const int64_t *)(const void *)t->data)[at]);
    double x = at_element(t, at);
    if (t->dtype == AT_U8)
        return snprintf(text, room, "%.0f", x);
    if (isnan(x))
        return snprintf(text, room, "nan");
    if (x == 0)
        return snprintf(text, room, "0");
    if (s->scientific)
        return snprintf(text, room, "%.4e", x);
    return snprintf(text, room, "%.*f", s->digits < 0 ? 0 : s->digits, x);
}

static bool elided(size_t i, size_t n, size_t most, size_t edge) { return n > most && i >= edge && i < n - edge; }

/* Calls what(element) for those that are shown. */
static void each_shown(const at_tensor *t, size_t d, ptrdiff_t at, const style *s,
                       void (*what)(void *, const at_tensor *, ptrdiff_t), void *context)
{
    if (d == t->ndim) {
        what(context, t, at);
        return;
    }
    bool last = d + 1 == t->ndim;
    size_t most = last ? s->columns : d + 2 == t->ndim ? s->rows : BLOCKS, edge = last ? s->edge : EDGE;
    for (size_t i = 0; i < t->size[d]; i++)
        if (elided(i, t->size[d], most, edge))
            i = t->size[d] - edge - 1;
        else
            each_shown(t, d + 1, at + (ptrdiff_t)i * t->step[d], s, what, context);
}

typedef struct range {
    double largest, smallest; /* of the magnitudes that are neither 0 nor infinite */
    bool whole;
} range;

static void measure(void *context, const at_tensor *t, ptrdiff_t at)
{
    range *r = context;
    double x = at_element(t, at), a = fabs(x);
    if (!isfinite(x) || a == 0)
        return;
    r->largest = a > r->largest ? a : r->largest;
    r->smallest = a < r->smallest ? a : r->smallest;
    r->whole = r->whole && x == floor(x);
}

static void widen(void *context, const at_tensor *t, ptrdiff_t at)
{
    style *s = context;
    char text[64];
    int n = show(text, sizeof text, s, t, at);
    s->width = n > s->width ? n : s->width;
}

static void add_row(luaL_Buffer *b, const at_tensor *t, size_t d, ptrdiff_t at, const style *s)
{
    char text[64];
    size_t n = d < t->ndim ? t->size[d] : 1;
    ptrdiff_t step = d < t->ndim ? t->step[d] : 0;
    if (s->mask)
        luaL_addstring(b, "  ");
    for (size_t i = 0; i < n; i++) {
        if (elided(i, n, s->columns, s->edge)) {
            luaL_addstring(b, s->mask ? "..." : "  ...");
            i = n - s->edge - 1;
            continue;
        }
        int len = show(text, sizeof text, s, t, at + (ptrdiff_t)i * step);
        if (!s->mask) {
            luaL_addstring(b, "  ");
            for (int k = len; k < s->width; k++)
                luaL_addchar(b, ' ');
        }
        luaL_addlstring(b, text, (size_t)len);
    }
}

static void add_block(luaL_Buffer *b, const at_tensor *t, size_t d, ptrdiff_t at, const style *s, char *place)
{
    if (d + 2 < t->ndim) {
        for (size_t i = 0; i < t->size[d]; i++) {
            if (elided(i, t->size[d], BLOCKS, EDGE)) {
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
        if (elided(i, t->size[d], s->rows, EDGE)) {
            luaL_addstring(b, "  ...");
            i = t->size[d] - EDGE - 1;
            continue;
        }
        add_row(b, t, d + 1, at + (ptrdiff_t)i * t->step[d], s);
    }
}

/* Columns of the terminal that is printed to; a file takes the usual number of entries, however wide. */
static size_t room(void)
{
    struct winsize w;
    if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
        return w.ws_col > MARGIN ? w.ws_col - MARGIN : 1;
    return 0;
}

static void fit(style *s, size_t columns)
{
    size_t each = s->mask ? 1 : (size_t)s->width + 2, usual = s->mask ? MASK_COLUMNS : COLUMNS;
    size_t most = columns ? columns / each : usual;
    s->columns = most < usual ? most : usual;
    if (s->columns < 2)
        s->columns = 2;
    s->edge = s->columns > 2 * EDGE + 1 ? (s->mask ? (s->columns - 3) / 2 : EDGE)
                                        : (s->columns > 2 ? (s->columns - 1) / 2 : 1);
}

/* "  2 nan, 1 inf" */
static void add_broken(luaL_Buffer *b, const at_tensor *t)
{
    size_t n = at_numel(t), nan = 0, infinite = 0;
    char text[64];
    if ((!at_is_float(t) && !at_is_kept(t)) || !at_contiguous(t) || n > COUNTED)
        return;
    for (size_t i = 0; i < n; i++) {
        double x = at_element(t, (ptrdiff_t)i);
        nan += isnan(x) != 0;
        infinite += isinf(x) != 0;
    }
    if (nan + infinite == 0)
        return;
    snprintf(text, sizeof text,
             nan && infinite ? "  %zu nan, %zu inf"
             : nan           ? "  %zu nan"
                             : "  %zu inf",
             nan ? nan : infinite, infinite);
    luaL_addstring(b, text);
}

int vm_tensor_tostring(lua_State *L)
{
    vm_tensor_box *box = vm_tensor_at(L, 1);
    if (!box || !box->t || !box->t->storage) {
        lua_pushstring(L, "a freed tensor");
        return 1;
    }
    const at_tensor *t = box->t;
    bool mask = t->dtype == AT_BOOL && t->ndim >= 2;
    style s = {.digits = 4, .mask = mask, .rows = mask ? MASK_ROWS : ROWS};
    fit(&s, 0);
    range r = {.smallest = INFINITY, .whole = true};
    each_shown(t, 0, 0, &s, measure, &r);
    if (at_is_float(t) || at_is_kept(t)) {
        s.scientific =
            r.largest >= 1e6 || (r.largest > 0 && !r.whole && (r.largest > 1000 * r.smallest || r.smallest < 1e-4));
        if (r.whole && !s.scientific)
            s.digits = -1;
        else if (r.largest >= 1000)
            s.digits = 2;
    }
    each_shown(t, 0, 0, &s, widen, &s);
    fit(&s, room());
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, at_describe(t).text);
    if (at_needs_grad(t))
        luaL_addstring(&b, t->node ? "  on the tape" : "  requires grad");
    if (t->ndim > 0)
        add_broken(&b, t);
    char place[1] = "";
    if (t->ndim == 0)
        add_row(&b, t, 0, 0, &s);
    else if (at_numel(t) > 0)
        add_block(&b, t, 0, 0, &s, place);
    luaL_pushresult(&b);
    return 1;
}
