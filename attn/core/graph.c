/* The graph: see graph.h. */
#include "attn/core/graph.h"

#include "attn/core/alloc.h"
#include "attn/core/parallel.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool at_anomaly;
void (*at_free_extra)(void *extra);

/* ---- contiguous: the one movement that calls make by themselves ---- */

static bool contiguous_shape(at_call *c)
{
    return at_out_type(c, c->in[0]->dtype, c->in[0]->ndim, c->in[0]->size);
}

static void contiguous_forward(const at_call *c)
{
    at_copy_elements(c->out[0], c->in[0]);
}

static void contiguous_backward(const at_call *c)
{
    if (c->in[0]->grad)
        at_add_elements(c->in[0]->grad, c->out[0]->grad);
}

AT_MOVE_OP(contiguous,
    .args = {{"x", AT_ANY}},
    .shape = contiguous_shape, .forward = contiguous_forward, .backward = contiguous_backward,
    .strided = true, .keeps = AT_KEEP_NOTHING, .idle = at_contiguous,
    .help = "contiguous(x) -> y like x\n"
            "The same elements in row order in memory of their own; x itself if it is so already.");

at_tensor *at_make_contiguous(at_tensor *t, at_error *e)
{
    static const at_op_entry entry = {{&at_op_contiguous, &at_op_contiguous, &at_op_contiguous, &at_op_contiguous}};
    if (at_contiguous(t))
        return at_retain(t);
    at_call *c = at_call_new(&entry, 1, e);
    if (!c)
        return NULL;
    c->in[0] = t;
    at_tensor *y = at_call_run(c, e) ? at_call_take(c, 0) : NULL;
    at_call_end(c);
    return y;
}

/* ---- order ---- */

typedef struct nodes {
    at_node **list;
    size_t n, room;
} nodes;

static bool push(nodes *a, at_node *node, at_error *e)
{
    if (a->n == a->room) {
        size_t room = a->room ? 2 * a->room : 64;
        at_node **grown = at_realloc(a->list, a->room * sizeof *a->list, room * sizeof *a->list);
        if (!grown)
            return at_error_memory(e, "the backward pass", room * sizeof *a->list);
        a->list = grown;
        a->room = room;
    }
    a->list[a->n++] = node;
    return true;
}

static void drop_nodes(nodes *a)
{
    at_free(a->list, a->room * sizeof *a->list);
}

static at_node *maker(const at_tensor *t)
{
    return at_needs_grad(t) ? t->node : NULL;
}

/* Every node that loss depends on, consumers before producers, each with one more reference. */
static bool sort(at_node *root, nodes *order, at_error *e)
{
    static uint32_t epoch;
    nodes stack = {0};
    uint32_t mark = ++epoch;
    bool ok = push(&stack, root, e);
    root->mark = mark;
    root->pending = 0;
    while (ok && stack.n) {
        at_node *node = stack.list[--stack.n];
        if (node->done)
            ok = at_error_set(e, "backward: a part of the graph was freed by an earlier backward pass (at %s)", node->op->name);
        else if (node->busy)
            ok = at_error_set(e, "backward: the graph is in use by a backward pass that is running (at %s)", node->op->name);
        for (int k = 0; ok && k < node->n_in; k++) {
            at_node *from = maker(node->in[k]);
            if (!from)
                continue;
            if (from->mark != mark) {
                from->mark = mark;
                from->pending = 0;
                ok = push(&stack, from, e);
            }
            from->pending++;
        }
    }
    drop_nodes(&stack);
    ok = ok && push(order, root, e);
    if (ok)
        root->refs++;
    for (size_t i = 0; ok && i < order->n; i++) {
        at_node *node = order->list[i];
        for (int k = 0; ok && k < node->n_in; k++) {
            at_node *from = maker(node->in[k]);
            if (from && --from->pending == 0 && (ok = push(order, from, e)))
                from->refs++;
        }
    }
    return ok;
}

static bool check_versions(const at_node *node, at_error *e)
{
    bool same = true;
    for (int k = 0; k < node->n_in; k++) {
        const at_tensor *t = node->in[k];
        if (t && (at_keeps_in(node->op, k) ? t->storage->version : t->dtype) != node->version[k])
            same = false;
    }
    for (int k = 0; k < node->n_out; k++)
        if (at_keeps_out(node->op, k) && node->out[k]->storage->version != node->out_version[k])
            same = false;
    return same || at_error_set(e, "backward: a tensor that %s needs for its gradient was changed in place", node->op->name);
}

/* ---- plan ---- */

/*
 * Gradients of intermediate results are short-lived. The plan walks the order once and lets a later gradient reuse the storage
 * of an earlier one that will be done with by then: all memory is there before the first number, and no more than a pass that
 * allocates as it goes would take. Free storages hang in chains by size; the link stands in their unused first bytes.
 */
enum { UNWRITTEN = 1, CHAINS = 48, LOOK = 8 };

typedef struct plan {
    at_storage *chain[CHAINS];
    bool only_wanted;
} plan;

static int chain_of(size_t bytes)
{
    return 63 - __builtin_clzll(bytes | 1);
}

static void plan_free(plan *p, at_storage *s)
{
    if (s->bytes < sizeof s)
        return;
    at_storage **chain = &p->chain[chain_of(s->bytes)];
    memcpy(s->data, chain, sizeof s);
    *chain = s;
}

static at_storage *plan_take(plan *p, size_t bytes)
{
    if (bytes < sizeof(at_storage *))
        return NULL;
    at_storage *head = p->chain[chain_of(bytes)], *s = head, *before = NULL;
    for (int i = 0; s && i < LOOK; i++) {
        at_storage *next;
        memcpy(&next, s->data, sizeof next);
        if (s->bytes == bytes) {
            if (before)
                memcpy(before->data, &next, sizeof next);
            else
                p->chain[chain_of(bytes)] = next;
            s->refs++;
            return s;
        }
        before = s;
        s = next;
    }
    return NULL;
}

/* A tensor like `like`, contiguous, at `data`. */
static at_tensor *spread(at_storage *s, char *data, const at_tensor *like, at_error *e)
{
    ptrdiff_t step[AT_MAX_DIM], n = 1;
    at_tensor over = {.storage = s, .data = data, .dtype = like->dtype};
    for (size_t d = like->ndim; d-- > 0;) {
        step[d] = n;
        n *= (ptrdiff_t)like->size[d];
    }
    return at_view_of(&over, like->ndim, like->size, step, 0, e);
}

/* A gradient for t, contiguous, not yet written. */
static bool plan_gradient(plan *p, at_tensor *t, at_error *e)
{
    size_t bytes = at_numel(t) * at_dtype_bytes((at_dtype)t->dtype);
    at_storage *s = t->node ? plan_take(p, bytes) : NULL;
    if (s) {
        t->grad = spread(s, s->data, t, e);
        at_storage_release(s);
    } else {
        t->grad = at_tensor_new((at_dtype)t->dtype, t->ndim, t->size, e);
    }
    if (t->grad)
        t->grad->index = UNWRITTEN;
    return t->grad != NULL;
}

static bool gathers(const plan *p, const at_tensor *t)
{
    return at_needs_grad(t) && (t->node || !p->only_wanted || t->wanted);
}

/* Gradients that this pass must not touch, put aside: of tensors that ask for none, or that are not among the wanted ones. */
typedef struct aside {
    struct { at_tensor *t, *grad; } *list;
    size_t n, room;
} aside;

static bool put_aside(aside *a, const plan *p, const nodes *order, at_error *e)
{
    for (size_t i = 0; i < order->n; i++)
        for (int k = 0; k < order->list[i]->n_in; k++) {
            at_tensor *t = order->list[i]->in[k];
            if (!t || !t->grad || gathers(p, t))
                continue;
            if (a->n == a->room) {
                size_t room = a->room ? 2 * a->room : 16;
                void *grown = at_realloc(a->list, a->room * sizeof *a->list, room * sizeof *a->list);
                if (!grown)
                    return at_error_memory(e, "the backward pass", room * sizeof *a->list);
                a->list = grown;
                a->room = room;
            }
            at_hold(t);
            a->list[a->n].t = t;
            a->list[a->n++].grad = t->grad;
            t->grad = NULL;
        }
    return true;
}

static void put_back(aside *a)
{
    for (size_t i = 0; i < a->n; i++) {
        a->list[i].t->grad = a->list[i].grad;
        at_unhold(a->list[i].t);
    }
    at_free(a->list, a->room * sizeof *a->list);
}

/* A view of all elements in their order, of a tensor that nobody else has given a gradient yet: both can have the same one. */
static bool same_gradient(const plan *p, const at_node *node)
{
    const at_tensor *t = node->in[0], *y = node->op->view ? node->out[0] : NULL;
    return y && y->grad && !y->wanted && !t->wanted && !t->grad && gathers(p, t) && t->data == y->data &&
           at_numel(t) == at_numel(y) && at_contiguous(t) && at_contiguous(y);
}

static bool make_plan(plan *p, const nodes *order, size_t *scratch, at_error *e)
{
    for (size_t i = 0; i < order->n; i++) {
        at_node *node = order->list[i];
        if (node->scratch > *scratch)
            *scratch = node->scratch;
        if (same_gradient(p, node)) {
            at_tensor *dy = node->out[0]->grad;
            if (!(node->in[0]->grad = spread(dy->storage, dy->data, node->in[0], e)))
                return false;
            node->in[0]->grad->index = UNWRITTEN;
            continue;
        }
        for (int k = 0; k < node->n_in; k++) {
            at_tensor *t = node->in[k];
            if (gathers(p, t) && !t->grad && !plan_gradient(p, t, e))
                return false;
        }
        for (int k = 0; k < node->n_out; k++) {
            at_tensor *t = node->out[k];
            if (t->grad && !t->wanted)
                plan_free(p, t->grad->storage);
        }
    }
    return true;
}

/* ---- pass ---- */

static void drop_gradient(at_tensor *t)
{
    at_tensor *grad = t->grad;
    t->grad = NULL;
    at_release(grad);
}

/* What same_gradient planned. */
static bool shares_gradient(const at_node *node)
{
    return node->op->view && node->in[0]->grad->storage == node->out[0]->grad->storage;
}

/* The gradient of a view is the same view of the gradient: shape, asked again, says which elements those are. */
static bool view_backward(at_node *node, at_error *e)
{
    at_tensor *dx = node->in[0]->grad;
    if (!dx || shares_gradient(node))
        return true;
    at_call again;
    at_tensor part;
    memcpy(&again, node, sizeof *node);
    again.in = &dx;
    again.n_in = 1;
    again.n_out = 0;
    again.error = e;
    again.into = &part;
    if (!node->op->shape(&again))
        return false;
    at_add_elements(&part, node->out[0]->grad);
    return true;
}

static bool finite_and_nan(const at_tensor *t, bool *nan)
{
    bool finite = true;
    at_walk w = at_walk_of(1, &t);
    do {
        for (size_t i = 0; i < w.n; i++) {
            ptrdiff_t at = (ptrdiff_t)i * w.step[0];
            double x = t->dtype == AT_F32 ? ((const float *)(const void *)w.at[0])[at] : ((const double *)(const void *)w.at[0])[at];
            if (isnan(x))
                *nan = true;
            finite = finite && isfinite(x);
        }
    } while (at_walk_next(&w));
    return finite;
}

static bool anomalous(const char *pass, const at_call *c, bool finite_in, bool nan_in, const at_tensor *made, at_error *e)
{
    bool nan = false, finite = finite_and_nan(made, &nan);
    if (finite || (nan ? nan_in : !finite_in))
        return true;
    char place[128] = "";
    const char *source = c->source;
    int line = c->line;
    if (!line && at_where)
        at_where(&source, &line);
    if (line)
        snprintf(place, sizeof place, " called at %.80s:%d", source ? source : "?", line);
    return at_error_set(e, "anomaly: the %s pass of %s%s made %s (%s)", pass, c->op->name, place, nan ? "NaN" : "infinity",
                        at_describe(made).text);
}

bool at_anomaly_forward(at_call *c, at_error *e)
{
    bool finite = true, nan = false;
    for (int k = 0; k < c->n_in; k++)
        if (c->in[k] && at_is_float(c->in[k]))
            finite = finite_and_nan(c->in[k], &nan) && finite;
    for (int k = 0; k < c->n_out; k++)
        if (at_is_float(c->out[k]) && !c->op->view && !anomalous("forward", c, finite, nan, c->out[k], e))
            return false;
    return true;
}

static bool anomaly_backward(const at_node *node, bool finite, bool nan, at_error *e)
{
    for (int k = 0; k < node->n_in; k++)
        if (node->in[k] && node->in[k]->grad && !anomalous("backward", node, finite, nan, node->in[k]->grad, e))
            return false;
    return true;
}

static bool run_node(at_node *node, char *work, at_error *e)
{
    bool any = false;
    uint32_t first = 0;         /* bit per in: nobody has written its gradient before */
    node->fresh = 0;
    for (int k = 0; k < node->n_in; k++) {
        at_tensor *grad = node->in[k] ? node->in[k]->grad : NULL;
        any = any || grad;
        if (!grad || grad->index != UNWRITTEN)
            continue;
        grad->index = 0;
        if (k < 32)
            first |= 1u << k;
        if (node->op->fresh && k < 32)
            node->fresh |= 1u << k;
        else if (!shares_gradient(node))
            at_zero(grad->data, at_numel(grad) * at_dtype_bytes((at_dtype)grad->dtype));
    }
    if (!any)
        return true;    /* its inputs are parameters that nobody asked about */
    bool finite = true, nan = false;
    if (at_anomaly)
        for (int k = 0; k < node->n_out; k++)
            if (node->out[k]->grad)
                finite = finite_and_nan(node->out[k]->grad, &nan) && finite;
    node->work = work ? work : at_no_work;
    bool ok = true;
    if (node->op->view)
        ok = view_backward(node, e);
    else if (node->op->custom)
        ok = node->op->custom(node, e);
    else
        node->op->backward(node);
    node->work = NULL;
    ok = ok && at_uninterrupted(e) && (!at_anomaly || anomaly_backward(node, finite, nan, e));
    for (int k = 0; !ok && k < node->n_in && k < 32; k++)
        if (first >> k & 1 && node->in[k] && node->in[k]->grad)
            node->in[k]->grad->index = UNWRITTEN;       /* undo drops it */
    return ok;
}

/* Takes back what a pass that did not finish has left: gradients of results, and gradients nobody has written. */
static void undo(const nodes *order, at_tensor *loss)
{
    for (size_t i = 0; i < order->n; i++)
        for (int k = 0; k < order->list[i]->n_in; k++) {
            at_tensor *t = order->list[i]->in[k];
            if (t && t->grad && (t->node || t->grad->index == UNWRITTEN))
                drop_gradient(t);
        }
    drop_gradient(loss);
}

static bool pass(at_tensor *loss, at_tensor *gradient, bool only_wanted, at_error *e)
{
    if (!loss->node) {
        if (!loss->requires_grad)
            return at_error_set(e, "backward: the tensor neither requires nor carries a gradient (%s)", at_describe(loss).text);
        if (only_wanted && !loss->wanted)
            return true;
        bool first = !loss->grad;
        if (first && !(loss->grad = at_tensor_zeros((at_dtype)loss->dtype, loss->ndim, loss->size, e)))
            return false;
        at_tensor *one = gradient ? at_retain(gradient) : at_tensor_new((at_dtype)loss->dtype, loss->ndim, loss->size, e);
        if (!one) {
            if (first)
                drop_gradient(loss);
            return false;
        }
        if (!gradient)
            at_fill(one, 1);
        at_add_elements(loss->grad, one);
        at_release(one);
        return at_uninterrupted(e);
    }
    nodes order = {0};
    bool foreign = false;       /* code of the script has run, which may have written anywhere */
    plan p = {.only_wanted = only_wanted};
    aside others = {0};
    size_t scratch = 0;
    char *work = NULL;
    at_node *root = loss->node;
    bool ok = sort(root, &order, e);
    for (size_t i = 0; ok && i < order.n; i++)
        ok = check_versions(order.list[i], e);
    for (size_t i = 0; ok && i < order.n; i++)
        order.list[i]->busy = true;
    if (ok) {
        ok = put_aside(&others, &p, &order, e) && plan_gradient(&p, loss, e) && make_plan(&p, &order, &scratch, e);
        if (ok && scratch && !(work = at_alloc(scratch)))
            ok = at_error_memory(e, "the backward pass", scratch);
        if (ok) {
            loss->grad->index = 0;
            if (gradient)
                at_copy_elements(loss->grad, gradient);
            else
                at_fill(loss->grad, 1);
        }
        for (size_t i = 0; ok && i < order.n; i++) {
            at_node *node = order.list[i];
            ok = (!foreign || check_versions(node, e)) && run_node(node, work, e);
            if (!ok)
                break;
            foreign = foreign || node->op->custom;
            for (int k = 0; k < node->n_out; k++)
                if (node->out[k]->grad && !node->out[k]->wanted)
                    drop_gradient(node->out[k]);
            at_node_finish(node);
        }
        at_free(work, scratch);
        if (!ok)
            undo(&order, loss);
    }
    put_back(&others);
    for (size_t i = 0; i < order.n; i++) {
        order.list[i]->busy = false;
        at_node_unref(order.list[i]);
    }
    drop_nodes(&order);
    return ok;
}

static bool check_gradient(const at_tensor *loss, const at_tensor *gradient, at_error *e)
{
    if (!loss->storage)
        return at_error_set(e, "backward: tensor was freed");
    if (!at_is_float(loss))
        return at_error_set(e, "backward: the tensor is %s, expected float32 or float64", at_dtype_name((at_dtype)loss->dtype));
    if (!gradient && at_numel(loss) != 1)
        return at_error_set(e, "backward: the tensor has %zu elements, expected 1 or a gradient (%s)", at_numel(loss),
                            at_describe(loss).text);
    if (gradient && (!gradient->storage || gradient->dtype != loss->dtype || !at_same_shape(gradient, loss)))
        return at_error_set(e, "backward: gradient is %s, expected %s", at_describe(gradient).text, at_describe(loss).text);
    return true;
}

bool at_backward(at_tensor *loss, at_tensor *gradient, at_error *e)
{
    return check_gradient(loss, gradient, e) && pass(loss, gradient, false, e);
}

bool at_gradients(at_tensor *loss, at_tensor *gradient, size_t n, at_tensor *const *x, at_tensor **result, at_error *e)
{
    if (!check_gradient(loss, gradient, e))
        return false;
    at_tensor **before = at_alloc(n * sizeof *before);
    if (!before)
        return at_error_memory(e, "grad", n * sizeof *before);
    for (size_t k = 0; k < n; k++) {
        at_retain(x[k]);        /* a custom node may run code that frees the script's handle */
        before[k] = x[k]->grad;
        x[k]->grad = NULL;
        x[k]->wanted = true;
    }
    bool ok = pass(loss, gradient, true, e);
    for (size_t k = 0; k < n; k++) {
        result[k] = ok ? at_retain(x[k]->grad) : NULL;
        x[k]->wanted = false;
    }
    /* backwards, so that a tensor listed twice gets its first, true one again */
    for (size_t k = n; k-- > 0;) {
        at_release(x[k]->grad);
        x[k]->grad = before[k];
        at_release(x[k]);
    }
    at_free(before, n * sizeof *before);
    return ok;
}
