/* Where time goes: see profile.h. */
#include "attn/core/profile.h"

#include "attn/core/alloc.h"
#include "attn/core/parallel.h"
#include "attn/core/speed.h"

#include <string.h>
#include <time.h>

enum { MOST_EVENTS = 1000000 };

bool at_profiling;
uint32_t at_profile_path;

static at_profile p; /* the one that is running */
static struct {
    uint64_t begin;
    uint64_t own;     /* bytes allocated for p, which no operation has asked for */
    uint32_t session; /* counts starts, so that what began before one is known */
    uint32_t first;   /* what nodes of this session hold begins here: module 0, the script */
    at_timing *innermost;
} run;

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t allocated(void) { return at_memory_now().total - run.own; }

/* Room for one more of n entries; false, noted, if there is none. */
static bool room(void **list, size_t n, size_t *most, size_t bytes)
{
    if (n < *most)
        return true;
    size_t more = *most ? 2 * *most : 64;
    uint64_t before = at_memory_now().total;
    void *grown = at_realloc(*list, *most * bytes, more * bytes);
    run.own += at_memory_now().total - before;
    if (!grown)
        return !(p.lost = true);
    *list = grown;
    *most = more;
    return true;
}

static void add_event(uint64_t begin, uint64_t ns, uint32_t what, bool module)
{
    if (p.events == MOST_EVENTS)
        p.lost = true;
    else if (room((void **)&p.event, p.events, &p.event_room, sizeof *p.event))
        p.event[p.events++] = (at_profile_event){begin - run.begin, ns, what, module};
}

/* ---- modules ---- */

/* The module of this name inside `above`, a new one if need be; `above` if there is no memory. */
static uint32_t module_in(uint32_t above, const char *name)
{
    uint32_t *link = &p.module[above].below, last = 0;
    for (uint32_t k = *link; k; k = p.module[k].beside) {
        if (strcmp(p.module[k].name, name) == 0)
            return k;
        last = k;
    }
    if (!room((void **)&p.module, p.modules, &p.module_room, sizeof *p.module))
        return above;
    uint64_t before = at_memory_now().total;
    char *copy = at_alloc(strlen(name) + 1);
    run.own += at_memory_now().total - before;
    if (!copy) {
        p.lost = true;
        return above;
    }
    strcpy(copy, name);
    uint32_t made = (uint32_t)p.modules++;
    p.module[made] = (at_profile_module){.name = copy, .above = above};
    link = last ? &p.module[last].beside : &p.module[above].below;
    return *link = made;
}

at_profile_scope at_profile_enter(const char *name)
{
    at_profile_scope s = {.begin = now(), .before = at_profile_path, .session = run.session};
    at_profile_path = module_in(at_profile_path, name);
    return s;
}

void at_profile_leave(at_profile_scope s)
{
    if (!at_profiling || s.session != run.session)
        return;
    add_event(s.begin, now() - s.begin, at_profile_path, true);
    at_profile_path = s.before;
}

/* ---- rows ---- */

static void count(const char *name, at_dtype dtype, at_pass_kind pass, uint64_t ns, uint64_t bytes, at_cost cost,
                  const at_timing *t)
{
    uint32_t path = at_profile_path;
    uint32_t *rows = &p.module[path].rows, k = *rows;
    while (k && (p.row[k - 1].name != name || p.row[k - 1].dtype != dtype || p.row[k - 1].pass != pass))
        k = p.row[k - 1].next;
    if (!k) {
        if (!room((void **)&p.row, p.rows, &p.row_room, sizeof *p.row))
            return;
        p.row[p.rows++] = (at_profile_row){.name = name, .dtype = dtype, .pass = pass, .path = path, .next = *rows};
        k = *rows = (uint32_t)p.rows;
    }
    at_profile_row *row = &p.row[k - 1];
    row->calls++;
    row->ns += ns - t->inside;
    row->allocated += bytes - t->inside_allocated;
    row->flops += cost.flops;
    row->moved += cost.moved;
    add_event(t->begin, ns, k - 1, false);
}

void at_profile_begin(at_timing *t, const at_node *node)
{
    *t = (at_timing){.outer = run.innermost, .allocated = allocated(), .path = at_profile_path};
    run.innermost = t;
    if (node)
        at_profile_path = node->path >= run.first ? node->path - run.first : 0;
    t->begin = now();
}

/* Takes t from the list; false if that is of another session. */
static bool taken(const at_timing *t, uint64_t *ns, uint64_t *bytes)
{
    if (!at_profiling || run.innermost != t)
        return false;
    *ns = now() - t->begin;
    *bytes = allocated() - t->allocated;
    run.innermost = t->outer;
    if (t->outer) {
        t->outer->inside += *ns;
        t->outer->inside_allocated += *bytes;
    }
    return true;
}

void at_profile_end(at_timing *t, at_call *c, at_pass_kind pass)
{
    uint64_t ns, bytes;
    if (!taken(t, &ns, &bytes))
        return;
    if (c && pass == AT_FORWARD)
        c->path = run.first + at_profile_path;
    if (c)
        count(c->op->name, c->op->dtype, pass, ns, bytes, at_call_cost(c, pass), t);
    at_profile_path = t->path;
}

void at_profile_end_named(at_timing *t, const char *name, at_pass_kind pass, double moved)
{
    uint64_t ns, bytes;
    if (taken(t, &ns, &bytes))
        count(name, AT_DTYPES, pass, ns, bytes, (at_cost){.moved = moved}, t);
}

/* ---- sessions ---- */

void at_profile_free(at_profile *of)
{
    for (size_t k = 1; k < of->modules; k++)
        at_free(of->module[k].name, strlen(of->module[k].name) + 1);
    at_free(of->row, of->row_room * sizeof *of->row);
    at_free(of->module, of->module_room * sizeof *of->module);
    at_free(of->event, of->event_room * sizeof *of->event);
    *of = (at_profile){0};
}

bool at_profile_start(void)
{
    if (at_profiling || !room((void **)&p.module, 0, &p.module_room, sizeof *p.module))
        return false;
    p.module[p.modules++] = (at_profile_module){0};
    run.first = run.first ? run.first : 1; /* 0 stands in nodes that nobody looked at */
    run.session++;
    run.innermost = NULL;
    at_profiling = true;
    run.begin = now();
    return true;
}

at_profile at_profile_stop(void)
{
    at_profile measured = p;
    measured.ns = at_profiling ? now() - run.begin : 0;
    run.first += (uint32_t)p.modules;
    p = (at_profile){0};
    at_profiling = false;
    at_profile_path = 0;
    return measured;
}

/* ---- costs and limits ---- */

static double bytes_of(const at_tensor *t)
{
    return t ? (double)at_numel(t) * (double)at_dtype_bytes((at_dtype)t->dtype) : 0;
}

at_cost at_call_cost(const at_call *c, at_pass_kind pass)
{
    bool back = pass == AT_BACKWARD;
    at_cost cost = {0};
    double made = 0;
    for (int k = 0; k < c->n_out; k++)
        made += bytes_of(c->out[k]);
    for (int k = 0; k < c->n_out; k++) {
        const at_tensor *y = c->out[k];
        cost.moved += back ? bytes_of(y->grad) + (at_keeps_out(c->op, k) ? bytes_of(y) : 0) : bytes_of(y);
    }
    for (int k = 0; k < c->n_in; k++) {
        const at_tensor *x = c->in[k];
        double read = bytes_of(x);
        if (c->op->picks && read > made)
            read = made;
        if (x)
            cost.moved += back ? bytes_of(x->grad) + (at_keeps_in(c->op, k) ? read : 0) : read;
    }
    if (c->op->view && (!back || (c->in[0]->grad && c->in[0]->grad->storage == c->out[0]->grad->storage)))
        cost.moved = 0;
    if (c->op->flops)
        cost.flops = c->op->flops(c, back);
    return cost;
}

static double seconds_since(uint64_t begin) { return 1e-9 * (double)(now() - begin); }

typedef struct copy {
    char *to, *from;
} copy;

static void copy_block(size_t begin, size_t end, void *context)
{
    const copy *c = context;
    memcpy(c->to + begin, c->from + begin, end - begin);
}

static double copy_speed(void)
{
    enum { BYTES = 32 << 20, TIMES = 3 };
    char *both = at_alloc(2 * (size_t)BYTES);
    double best = 0;
    if (!both)
        return 0;
    at_zero(both, 2 * (size_t)BYTES);
    for (int k = 0; k < TIMES; k++) {
        uint64_t begin = now();
        at_for(BYTES, 1 << 20, copy_block, &(copy){both, both + BYTES});
        double speed = 2 * (double)BYTES / seconds_since(begin);
        best = speed > best ? speed : best;
    }
    at_free(both, 2 * (size_t)BYTES);
    return best;
}

at_limits at_measure_limits(void)
{
    static at_limits known;
    static int threads;
    if (threads != at_threads()) {
        threads = at_threads();
        known = (at_limits){.flops = {at_product_speed_f32(now), at_product_speed_f64(now)}, .moved = copy_speed()};
    }
    return known;
}
