/*
 * map: a function of the script, element by element: y = f(x1, x2, ...), one pass and one result.
 *
 *   x      any dtypes, shapes that broadcast
 *   dx_k   dy df/dx_k, which is a program too; summed over the dimensions x_k was broadcast over, in an order that depends on
 *          the sizes only
 *
 * Dimensions along which every x steps evenly are one; the last is the columns of a block, the one before its rows.
 */
#include "attn/op/machine.h"
#include "attn/op/rows.h"

enum { PROGRAM, BACK, FIRST };

/* How y is walked: [outer ..., rows, columns], with the steps of every x. */
typedef struct sizes {
    size_t ndim, size[AT_MAX_DIM], step[AT_MAX_CUSTOM][AT_MAX_DIM];
    int inputs;
    size_t rows, columns, blocks, tall; /* a task is `tall` rows of one block */
} sizes;

static sizes sizes_of(const at_call *c, size_t ndim, const size_t *size)
{
    sizes n = {.inputs = c->n_in - FIRST};
    size_t step[AT_MAX_CUSTOM], inner = 1;
    size_t whole[AT_MAX_DIM] = {1}, dims = ndim ? ndim : 1;
    if (ndim)
        memcpy(whole, size, ndim * sizeof *size);
    for (int k = 0; k < n.inputs; k++)
        step[k] = 1;
    /* from the last dimension: place 0 is the columns */
    for (size_t d = dims; d-- > 0; inner *= whole[d]) {
        bool joins = n.ndim > 0;
        size_t now[AT_MAX_CUSTOM];
        for (int k = 0; k < n.inputs; k++) {
            const at_tensor *x = c->in[FIRST + k];
            size_t behind = dims - 1 - d, has = behind < x->ndim ? x->size[x->ndim - 1 - behind] : 1;
            now[k] = has == 1 ? 0 : step[k];
            step[k] *= has;
            joins = joins && now[k] == n.step[k][n.ndim - 1] * n.size[n.ndim - 1];
        }
        if (joins) {
            n.size[n.ndim - 1] *= whole[d];
            continue;
        }
        if (whole[d] == 1 && n.ndim > 0)
            continue;
        n.size[n.ndim] = whole[d];
        for (int k = 0; k < n.inputs; k++)
            n.step[k][n.ndim] = now[k];
        n.ndim++;
    }
    n.columns = n.size[0];
    n.rows = n.ndim > 1 ? n.size[1] : 1;
    n.blocks = 1;
    for (size_t d = 2; d < n.ndim; d++)
        n.blocks *= n.size[d];
    n.tall = at_grain_rows(n.columns);
    if (n.ndim == 1 && n.columns > AT_GRAIN) { /* one long row: cut as well */
        n.rows = n.columns / AT_GRAIN;
        n.tall = 1;
    }
    return n;
}

/* A task in order: rows of a block; of one long row a stretch of columns. */
typedef struct task {
    size_t row, rows, column, columns, outer;
} task;

static size_t per_block(const sizes *n) { return n->rows ? at_ratio(n->rows, n->tall) : 0; }

static task task_of(const sizes *n, size_t t)
{
    size_t per = per_block(n);
    if (n->ndim == 1) {
        size_t from = n->columns * t / n->rows, to = n->columns * (t + 1) / n->rows;
        return (task){0, 1, from, to - from, 0};
    }
    size_t row = t % per * n->tall;
    return (task){row, n->rows - row < n->tall ? n->rows - row : n->tall, 0, n->columns, t / per};
}

/* Where x_k (or with k = inputs the result) stands at the first element of a task; steps of its rows and columns. */
static size_t offset_of(const sizes *n, const task *t, int k, size_t *row, size_t *column)
{
    size_t at = 0, rest = t->outer, dense = n->columns * (n->ndim > 1 ? n->size[1] : 1);
    bool result = k == n->inputs;
    *column = result ? 1 : n->step[k][0];
    *row = n->ndim == 1 ? 0 : result ? n->columns : n->step[k][1];
    for (size_t d = 2; d < n->ndim; d++) {
        at += rest % n->size[d] * (result ? dense : n->step[k][d]);
        rest /= n->size[d];
        dense *= n->size[d];
    }
    return at + t->row * *row + t->column * *column;
}

static bool is_wide(const at_call *c, int k) { return at_numel(c->in[FIRST + k]) == at_numel(c->out[0]); }

/* Sums of the gradients of what is broadcast, in a slot. */
static size_t sums_of(const at_call *c)
{
    size_t n = 0;
    for (int k = 0; k < c->n_in - FIRST; k++)
        n += is_wide(c, k) ? 0 : at_numel(c->in[FIRST + k]);
    return n;
}

static size_t most_bytes(const at_call *c)
{
    at_program f = at_program_of(c->in[PROGRAM]), b = at_program_of(c->in[BACK]);
    return at_max_size(at_machine_bytes(&f, 0, 0), at_machine_bytes(&b, 0, 0));
}

static bool map_shape(at_call *c)
{
    at_tensor shape = {.ndim = 0};
    if (c->n_in == FIRST)
        return at_fail(c, "there are no tensors");
    if (c->n_in - FIRST >= AT_MAX_CUSTOM)
        return at_fail(c, "there are %d tensors, expected at most %d", c->n_in - FIRST, AT_MAX_CUSTOM - 1);
    for (int k = FIRST; k < c->n_in; k++) {
        size_t size[AT_MAX_DIM], ndim;
        const at_tensor *x = c->in[k];
        if (!at_is_float(x))
            return at_fail(c, "tensor %d is %s, expected a float tensor", k - FIRST + 1, at_describe(x).text);
        if (!at_broadcast(&shape, x, &ndim, size))
            return at_fail(c, "the shapes do not broadcast (tensor %d: %s, those before: %s)", k - FIRST + 1,
                           at_describe(x).text, at_describe_shape(shape.ndim, shape.size).text);
        shape.ndim = (uint8_t)ndim;
        memcpy(shape.size, size, ndim * sizeof *size);
    }
    int inputs = c->n_in - FIRST;
    if (!at_program_check(c, c->in[PROGRAM], FIRST, 0, inputs, 1) ||
        !at_program_check(c, c->in[BACK], FIRST, 0, inputs + 1, inputs) || !at_out(c, shape.ndim, shape.size))
        return false;
    size_t sums = at_recording(c) ? sums_of(c) : 0;
    at_want_scratch(c, AT_SLOTS * most_bytes(c) + at_sum_slots(sums, AT_SLOTS) * sums * sizeof(double));
    return true;
}

typedef struct pass {
    const at_call *c;
    sizes n;
    size_t tasks, slots, sums;
} pass;

static pass pass_of(const at_call *c, size_t sums)
{
    sizes n = sizes_of(c, c->out[0]->ndim, c->out[0]->size);
    size_t tasks = at_numel(c->out[0]) ? n.blocks * (n.ndim == 1 ? n.rows : per_block(&n)) : 0;
    return (pass){c, n, tasks, at_min_size(tasks, at_sum_slots(sums, AT_SLOTS)), sums};
}

static void open_task(const pass *p, const task *t, at_place *input)
{
    for (int k = 0; k < p->n.inputs; k++) {
        at_place x = {.p = NULL};
        size_t at = offset_of(&p->n, t, k, &x.row, &x.column);
        x.p = (real *)(uintptr_t)(at_in(p->c, FIRST + k) + at);
        input[k] = x;
    }
}

static void forward_tasks(size_t begin, size_t end, void *context)
{
    const pass *p = context;
    at_program program = at_program_of(p->c->in[PROGRAM]);
    for (size_t slot = begin; slot < end; slot++) {
        at_machine m = at_machine_at(&program, p->c->work + slot * most_bytes(p->c), 0, 0, NULL);
        at_machine_head(&m, 0, 0);
        for (size_t i = slot; i < p->tasks; i += p->slots) {
            at_place input[AT_MAX_CUSTOM];
            task t = task_of(&p->n, i);
            at_target y = {0};
            open_task(p, &t, input);
            y.p = at_outp(p->c, 0) + offset_of(&p->n, &t, p->n.inputs, &y.row, &y.column);
            at_machine_pairs(
                &m, &(at_pairs){.rows = t.rows, .columns = t.columns, .input = input, .result = &y, .results = 1});
        }
    }
}

static void map_forward(const at_call *c)
{
    pass p = pass_of(c, 0);
    at_for(p.slots, 1, forward_tasks, &p);
}

static void backward_tasks(size_t begin, size_t end, void *context)
{
    const pass *p = context;
    const at_call *c = p->c;
    at_program program = at_program_of(c->in[BACK]);
    double *all = (double *)(void *)(c->work + AT_SLOTS * most_bytes(c));
    for (size_t slot = begin; slot < end; slot++) {
        at_machine m = at_machine_at(&program, c->work + slot * most_bytes(c), 0, 0, NULL);
        at_machine_head(&m, 0, 0);
        memset(all + slot * p->sums, 0, p->sums * sizeof(double));
        for (size_t i = slot; i < p->tasks; i += p->slots) {
            at_place input[AT_MAX_CUSTOM];
            at_target dx[AT_MAX_CUSTOM];
            double *sums = all + slot * p->sums;
            task t = task_of(&p->n, i);
            open_task(p, &t, input);
            for (int k = 0; k < p->n.inputs; k++) {
                real *d = at_din(c, FIRST + k);
                bool wide = is_wide(c, k);
                size_t at = offset_of(&p->n, &t, k, &dx[k].row, &dx[k].column);
                dx[k].p = d && wide ? d + at : NULL;
                dx[k].sum = d && !wide ? sums + at : NULL;
                sums += d && !wide ? at_numel(c->in[FIRST + k]) : 0;
            }
            at_place dy = {.p = NULL};
            size_t at = offset_of(&p->n, &t, p->n.inputs, &dy.row, &dy.column);
            dy.p = (real *)(uintptr_t)(at_dout(c, 0) + at);
            input[p->n.inputs] = dy;
            at_machine_pairs(&m, &(at_pairs){.rows = t.rows,
                                             .columns = t.columns,
                                             .input = input,
                                             .result = dx,
                                             .results = p->n.inputs,
                                             .add = true});
        }
    }
}

static void map_backward(const at_call *c)
{
    pass p = pass_of(c, sums_of(c));
    at_for(p.slots, 1, backward_tasks, &p);
    const double *sums = (const double *)(const void *)(c->work + AT_SLOTS * most_bytes(c));
    for (int k = 0; k < p.n.inputs; k++)
        if (at_din(c, FIRST + k) && !is_wide(c, k)) {
            at_arrays_give(c, FIRST + k, 1, sums, p.slots, p.sums);
            sums += at_numel(c->in[FIRST + k]);
        }
}

AT_OP(map, .args = {{"program", AT_IDS}, {"back", AT_IDS}, {"tensors", AT_TENSORS}}, .shape = map_shape,
      .forward = map_forward, .backward = map_backward, .internal = true, .library = true, .keeps = 0xffff,
      .help = "map(program, back, tensors...) -> y\nA program of stdlib/expression.lua, element by element.");
