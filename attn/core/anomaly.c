/* Anomaly mode: see anomaly.h. */
#include "attn/core/anomaly.h"

#include "attn/core/contiguous.h"
#include "attn/core/walk.h"

#include <math.h>
#include <stdio.h>

bool at_anomaly;

bool at_anomaly_scan(const at_tensor *t, bool *nan)
{
    bool finite = true;
    at_walk w = at_walk_of(1, &t);
    do {
        for (size_t i = 0; i < w.n; i++) {
            ptrdiff_t at = (ptrdiff_t)i * w.step[0];
            double x = t->dtype == AT_F32 ? ((const float *)(const void *)w.at[0])[at]
                                          : ((const double *)(const void *)w.at[0])[at];
            if (isnan(x))
                *nan = true;
            finite = finite && isfinite(x);
        }
    } while (at_walk_next(&w));
    return finite;
}

static at_text place_of(const at_call *c)
{
    at_text place = {""};
    const char *source = c->source;
    int line = c->line;
    if (!line && at_where)
        at_where(&source, &line);
    if (line)
        snprintf(place.text, sizeof place.text, " called at %.80s:%d", source ? source : "?", line);
    return place;
}

bool at_anomaly_given(const at_call *c, int k, bool gradient, at_error *e)
{
    char name[32];
    return at_error_set(
        e, "anomaly: %s%s of %s%s %s NaN%s (%s)", gradient ? "the gradient of " : "",
        at_input_name(c, k, name, sizeof name), c->op->name, place_of(c).text, gradient ? "held" : "holds",
        gradient ? " before the backward pass" : "", at_describe(c->in[k]).text);
}

/* The first input with a NaN in it that was (a node: will be) read, or -1; *finite turns false at one that is not finite. */
static int nan_input(const at_call *c, bool *finite)
{
    int first = -1;
    for (int k = 0; k < c->n_in; k++) {
        const at_tensor *t = c->in[k];
        bool nan = false;
        if (t && t->storage && at_is_float(t) && (!c->recorded || at_keeps_in(c->op, k)))
            *finite = at_anomaly_scan(t, &nan) && *finite;
        if (nan && first < 0)
            first = k;
    }
    return first;
}

static bool made(const char *pass_name, const at_call *c, bool nan, const at_tensor *t, at_error *e)
{
    return at_error_set(e, "anomaly: the %s pass of %s%s made %s (%s)", pass_name, c->op->name, place_of(c).text,
                        nan ? "NaN" : "infinity", at_describe(t).text);
}

bool at_anomaly_forward(at_call *c, at_error *e)
{
    if (c->op == &at_op_contiguous) /* nobody called it: the operation that it is for will say */
        return true;
    for (int i = 0; i < c->n_out; i++) {
        bool nan = false, finite = true;
        if (!at_is_float(c->out[i]) || c->op->view || at_anomaly_scan(c->out[i], &nan))
            continue;
        int k = nan_input(c, &finite);
        if (nan && k >= 0)
            return at_anomaly_given(c, k, false, e);
        if (nan || finite)
            return made("forward", c, nan, c->out[i], e);
    }
    return true;
}

bool at_anomaly_backward(const at_node *node, bool finite, bool nan, at_error *e)
{
    for (int i = 0; i < node->n_in; i++) {
        const at_tensor *grad = node->in[i] ? node->in[i]->grad : NULL;
        bool nan_made = false, any = true;
        if (!grad || at_anomaly_scan(grad, &nan_made) || (nan_made ? nan : !finite))
            continue;
        int k = nan_made ? nan_input(node, &any) : -1;
        return k >= 0 ? at_anomaly_given(node, k, false, e) : made("backward", node, nan_made, grad, e);
    }
    return true;
}
