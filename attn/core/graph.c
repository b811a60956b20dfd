/* The graph: see graph.h. */
#include "attn/core/graph.h"

#include "attn/core/alloc.h"
#include "attn/core/anomaly.h"
#include "attn/core/parallel.h"
#include "attn/core/profile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

static void drop_nodes(nodes *a) { at_free(a->list, a->room * sizeof *a->list); }

static at_node *maker(const at_tensor *t) { return at_needs_grad(t) ? t->node : NULL; }

/* Every node that loss depends on, consumers before producers, each with one more reference. */
static bool sort(const char *name, at_node *root, nodes *order, at_error *e)
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
            ok = at_error_set(e, "%s: a part of the graph was freed by an earlier backward pass (at %s)", name,
                              node->op->name);
        else if (node->busy)
            ok = at_error_set(e, "%s: the graph is in use by a backward pass that is running (at %s)", name,
                              node->op->name);
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

static bool check_versions(const char *name, const at_node *node, at_error *e)
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
    return same ||
           at_error_set(e, "%s: a tensor that %s needs for its gradient was changed in place", name, node->op->name);
}

/* ---- plan ---- */

/*
 * Gradients of intermediate results are short-lived. The plan walks the order once and lets a later gradient reuse the storage
 * of an earlier one that will be done with by then: all memory is there before the first number, and no more than a pass that
 * allocates as it goes would take. Free storages hang in chains by size; the link stands in their unused first bytes.
 */
enum { UNWRITTEN = 1, CHAINS = 48, LOOK = 8 };

/*
 * What a pass gathers is its own until it ends. Operations find gradients at at_tensor.grad; for a leaf (and for what
 * at_gradients was asked about) a script sees that place too, so a slot keeps the one of the two that is not there now. While
 * code of the script runs in a custom node that is the pass's, and a pass inside this one begins where a first one would.
 */
typedef struct slot {
    at_tensor *t, *other;
    uint8_t wanted; /* t's mark before this pass */
    bool own;       /* the gradient is made by this pass, not one to add to */
} slot;

typedef struct pass {
    const char *name;
    uint8_t depth; /* how many are running, this one included; its mark at at_tensor.wanted */
    bool only_wanted;
    slot *slot;
    size_t n, room;
    at_storage *chain[CHAINS];
} pass;

static int chain_of(size_t bytes) { return 63 - __builtin_clzll(bytes | 1); }

static void plan_free(pass *p, at_storage *s)
{
    if (s->bytes < sizeof s)
        return;
    at_storage **chain = &p->chain[chain_of(s->bytes)];
    memcpy(s->data, chain, sizeof s);
    *chain = s;
}

static at_storage *plan_take(pass *p, size_t bytes)
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
static bool plan_gradient(pass *p, at_tensor *t, at_error *e)
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

static bool wanted(const pass *p, const at_tensor *t) { return t->wanted == p->depth; }

static bool gathers(const pass *p, const at_tensor *t)
{
    return at_needs_grad(t) && (t->node || !p->only_wanted || wanted(p, t));
}

static bool add_slot(pass *p, at_tensor *t, at_error *e)
{
    if (t->listed)
        return true;
    if (p->n == p->room) {
        size_t room = p->room ? 2 * p->room : 16;
        slot *grown = at_realloc(p->slot, p->room * sizeof *grown, room * sizeof *grown);
        if (!grown)
            return at_error_memory(e, "the backward pass", room * sizeof *grown);
        p->slot = grown;
        p->room = room;
    }
    slot *s = &p->slot[p->n++];
    *s = (slot){.t = t, .wanted = t->wanted, .own = true};
    at_hold(t); /* code of the script may free its handle */
    t->listed = true;
    if (!p->only_wanted && t->requires_grad) {
        s->own = !t->grad; /* added to where it stands: no second one in memory */
    } else {
        s->other = t->grad;
        t->grad = NULL;
    }
    return true;
}

/* Slots for the n tensors x, and for every leaf of the graph. */
static bool add_slots(pass *p, at_tensor *loss, const nodes *order, size_t n, at_tensor *const *x, at_error *e)
{
    bool ok = loss->node || add_slot(p, loss, e);
    for (size_t k = 0; ok && k < n; k++)
        if ((ok = add_slot(p, x[k], e)))
            x[k]->wanted = p->depth;
    for (size_t i = 0; ok && i < order->n; i++)
        for (int k = 0; ok && k < order->list[i]->n_in; k++) {
            at_tensor *t = order->list[i]->in[k];
            ok = !t || t->node || !(t->requires_grad || t->grad) || add_slot(p, t, e);
        }
    for (size_t i = 0; i < p->n; i++)
        p->slot[i].t->listed = false;
    return ok;
}

static void swap_gradients(pass *p)
{
    for (slot *s = p->slot; s < p->slot + p->n; s++) {
        at_tensor *grad = s->t->grad;
        s->t->grad = s->other;
        s->other = grad;
    }
}

/* Leaves gradients and marks as scripts are to see them. What came to a leaf meanwhile, from a pass inside this one, is added. */
static void end_slots(pass *p, bool ok)
{
    for (slot *s = p->slot; s < p->slot + p->n; s++) {
        at_tensor *t = s->t, *grad = t->grad;
        if (grad && (p->only_wanted || (s->own && !ok) ||
                     grad->dtype != t->dtype)) { /* a layer was converted: as it does itself */
            at_release(grad);
            grad = NULL;
        }
        if (grad && s->other) {
            at_add_elements(grad, s->other);
            at_release(s->other);
        }
        t->grad = grad ? grad : s->other;
        t->wanted = s->wanted;
        at_unhold(t);
    }
    at_free(p->slot, p->room * sizeof *p->slot);
}

/* A view of all elements in their order, of a tensor that nobody else has given a gradient yet: both can have the same one. */
static bool same_gradient(const pass *p, const at_node *node)
{
    const at_tensor *t = node->in[0], *y = node->op->view ? node->out[0] : NULL;
    return y && y->grad && !wanted(p, y) && !wanted(p, t) && !t->grad && gathers(p, t) && t->data == y->data &&
           at_numel(t) == at_numel(y) && at_contiguous(t) && at_contiguous(y);
}

static bool make_plan(pass *p, at_tensor *loss, const nodes *order, size_t *scratch, at_error *e)
{
    if (gathers(p, loss) && !loss->grad && !plan_gradient(p, loss, e))
        return false;
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
            if (t->grad && !wanted(p, t))
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

/* Of what a pass begins with. */
static bool anomaly_given(const pass *p, const nodes *order, const at_tensor *gradient, at_error *e)
{
    bool nan = false;
    if (gradient && (at_anomaly_scan(gradient, &nan), nan))
        return at_error_set(e, "anomaly: gradient of %s holds NaN (%s)", p->name, at_describe(gradient).text);
    for (size_t i = 0; i < order->n; i++)
        for (int k = 0; k < order->list[i]->n_in; k++) {
            const at_tensor *t = order->list[i]->in[k];
            if (t && t->grad && t->grad->index != UNWRITTEN && (at_anomaly_scan(t->grad, &nan), nan))
                return at_anomaly_given(order->list[i], k, true, e);
        }
    return true;
}

static bool run_custom(pass *p, at_node *node, at_error *e)
{
    at_tensor *dy[AT_MAX_OUT], *dx[AT_MAX_CUSTOM];
    for (int k = 0; k < node->n_out; k++)
        dy[k] = node->out[k]->grad;
    for (int k = 0; k < node->n_in; k++)
        dx[k] = node->in[k]->grad;
    swap_gradients(p);
    bool ok = node->op->custom(node, dy, dx, e);
    swap_gradients(p);
    return ok;
}

static bool compute(pass *p, at_node *node, char *work, at_error *e)
{
    bool finite = true, nan = false;
    if (at_anomaly)
        for (int k = 0; k < node->n_out; k++)
            if (node->out[k]->grad)
                finite = at_anomaly_scan(node->out[k]->grad, &nan) && finite;
    node->work = work ? work : at_no_work;
    bool ok = true;
    if (node->op->view)
        ok = view_backward(node, e);
    else if (node->op->custom)
        ok = run_custom(p, node, e);
    else
        node->op->backward(node);
    node->work = NULL;
    return ok && at_uninterrupted(e) && (!at_anomaly || at_anomaly_backward(node, finite, nan, e));
}

static bool run_node(pass *p, at_node *node, char *work, at_error *e)
{
    bool any = false;
    at_timing t;
    if (at_profiling)
        at_profile_begin(&t, node);
    node->fresh = 0;
    for (int k = 0; k < node->n_in; k++) {
        at_tensor *grad = node->in[k] ? node->in[k]->grad : NULL;
        any = any || grad;
        if (!grad || grad->index != UNWRITTEN)
            continue;
        grad->index = 0;
        if (node->op->fresh && k < 32)
            node->fresh |= 1u << k;
        else if (!shares_gradient(node))
            at_zero(grad->data, at_numel(grad) * at_dtype_bytes((at_dtype)grad->dtype));
    }
    /* else its inputs are parameters that nobody asked about */
    bool ok = !any || compute(p, node, work, e);
    if (at_profiling)
        at_profile_end(&t, any && ok ? node : NULL, AT_BACKWARD);
    return ok;
}

/* Drops what a pass that did not finish has left at results. */
static void undo(const nodes *order, at_tensor *loss)
{
    for (size_t i = 0; i < order->n; i++)
        for (int k = 0; k < order->list[i]->n_in; k++) {
            at_tensor *t = order->list[i]->in[k];
            if (t && t->node)
                drop_gradient(t);
        }
    if (loss->node)
        drop_gradient(loss);
}

static bool check_loss(const char *name, const at_tensor *loss, const at_tensor *gradient, at_error *e)
{
    if (!loss->storage)
        return at_error_set(e, "%s: tensor was freed", name);
    if (!at_is_float(loss))
        return at_error_set(e, "%s: the tensor is %s, expected float32 or float64", name,
                            at_dtype_name((at_dtype)loss->dtype));
    if (!gradient && at_numel(loss) != 1)
        return at_error_set(e, "%s: the tensor has %zu elements, expected 1 or a gradient (%s)", name, at_numel(loss),
                            at_describe(loss).text);
    if (gradient && (!gradient->storage || gradient->dtype != loss->dtype || !at_same_shape(gradient, loss)))
        return at_error_set(e, "%s: gradient is %s, expected %s", name, at_describe(gradient).text,
                            at_describe(loss).text);
    return at_needs_grad(loss) || at_error_set(e, "%s: the tensor neither requires nor carries a gradient (%s)%s", name,
                                               at_describe(loss).text, at_grad_enabled ? "" : "; recording is off");
}

/* The gradient that the pass begins with; none at a leaf that at_gradients was not asked about. */
static void seed(at_tensor *loss, const at_tensor *gradient)
{
    float narrow = 1;
    double wide = 1;
    at_tensor one = *loss; /* of one element */
    one.data = loss->dtype == AT_F32 ? (char *)&narrow : (char *)&wide;
    if (loss->grad && loss->grad->index == UNWRITTEN) {
        loss->grad->index = 0;
        at_copy_elements(loss->grad, gradient ? gradient : &one);
    } else if (loss->grad) {
        at_add_elements(loss->grad, gradient ? gradient : &one);
    }
}

static bool walk(pass *p, const nodes *order, char *work, at_error *e)
{
    bool foreign = false; /* code of the script has run, which may have written anywhere */
    for (size_t i = 0; i < order->n; i++) {
        at_node *node = order->list[i];
        if ((foreign && !check_versions(p->name, node, e)) || !run_node(p, node, work, e))
            return false;
        foreign = foreign || node->op->custom;
        for (int k = 0; k < node->n_out; k++)
            if (node->out[k]->grad && !wanted(p, node->out[k]))
                drop_gradient(node->out[k]);
        at_node_finish(node);
    }
    return true;
}

/* x, result: see at_gradients; NULL for all leaves. */
static bool pass_over(const char *name, at_tensor *loss, at_tensor *gradient, size_t n, at_tensor *const *x,
                      at_tensor **result, at_error *e)
{
    static uint8_t running;
    if (!check_loss(name, loss, gradient, e))
        return false;
    if (running == UINT8_MAX)
        return at_error_set(e, "%s: more than %d backward passes inside one another", name, UINT8_MAX);
    pass p = {.name = name, .depth = ++running, .only_wanted = result};
    nodes order = {0};
    bool ok = !loss->node || sort(name, loss->node, &order, e);
    for (size_t i = 0; ok && i < order.n; i++)
        ok = check_versions(name, order.list[i], e);
    if (ok) {
        size_t scratch = 0;
        char *work = NULL;
        for (size_t i = 0; i < order.n; i++)
            order.list[i]->busy = true;
        ok = add_slots(&p, loss, &order, n, x, e) && make_plan(&p, loss, &order, &scratch, e) &&
             (!at_anomaly || anomaly_given(&p, &order, gradient, e));
        if (ok && scratch && !(work = at_alloc(scratch)))
            ok = at_error_memory(e, "the backward pass", scratch);
        if (ok)
            seed(loss, gradient);
        ok = ok && at_uninterrupted(e) && walk(&p, &order, work, e);
        at_free(work, scratch);
        for (size_t k = 0; ok && k < n; k++)
            result[k] = at_retain(x[k]->grad);
        if (!ok)
            undo(&order, loss);
        end_slots(&p, ok);
        for (size_t i = 0; i < order.n; i++)
            order.list[i]->busy = false;
    }
    for (size_t i = 0; i < order.n; i++)
        at_node_unref(order.list[i]);
    drop_nodes(&order);
    running--;
    return ok;
}

static bool run(const char *name, at_tensor *loss, at_tensor *gradient, size_t n, at_tensor *const *x,
                at_tensor **result, at_error *e)
{
    at_timing t;
    if (at_profiling)
        at_profile_begin(&t, NULL);
    bool ok = pass_over(name, loss, gradient, n, x, result, e);
    if (at_profiling)
        at_profile_end_named(&t, name, AT_BACKWARD, 0);
    return ok;
}

bool at_backward(at_tensor *loss, at_tensor *gradient, at_error *e)
{
    return run("backward", loss, gradient, 0, NULL, NULL, e);
}

bool at_gradients(at_tensor *loss, at_tensor *gradient, size_t n, at_tensor *const *x, at_tensor **result, at_error *e)
{
    for (size_t k = 0; k < n; k++)
        result[k] = NULL;
    return run("grad", loss, gradient, n, x, result, e);
}
