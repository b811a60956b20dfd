/*
 * Views: narrow, select, transpose, t, permute, reshape, flatten, view, expand, unsqueeze, squeeze, diagonal, unfold. Any dtype.
 *
 * The result shares the storage of x: only sizes, steps and the first element are new. There is no forward and no
 * backward here: the gradient of a view is the same view of the gradient, for which `shape` is asked again with the
 * gradient of x in its place. So `shape` leaves the arguments as they are.
 *
 * reshape and flatten ask for a contiguous x, so one that is not is copied first; view refuses instead.
 */
#include <stdio.h>
#include <string.h>

#include "attn/core/op.h"

#define VIEW(id, with_strides, text, ...)                                                                              \
    AT_MOVE_OP(id, .args = __VA_ARGS__, .shape = id##_shape, .view = true, .strided = with_strides,                    \
               .keeps = AT_KEEP_NOTHING, .help = text)

static bool narrow_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t d = (size_t)c->arg[0].integer, size[AT_MAX_DIM];
    int64_t start = c->arg[1].integer, length = c->arg[2].integer, n = (int64_t)x->size[d];

    if (start < 1 || start > n + 1)
        return at_fail(c, "start is %lld, expected 1..%lld (x: %s)", (long long)start, (long long)n,
                       at_describe(x).text);
    if (length < 0 || length > n - start + 1)
        return at_fail(c, "length is %lld, expected 0..%lld from start %lld (x: %s)", (long long)length,
                       (long long)(n - start + 1), (long long)start, at_describe(x).text);
    memcpy(size, x->size, sizeof size);
    size[d] = (size_t)length;
    return at_out_view(c, x->ndim, size, x->step, (start - 1) * x->step[d]);
}
VIEW(narrow, true,
     "narrow(x, d, start, length) -> view [..., length, ...]\n"
     "length entries of dimension d, from number start on. Any dtype; shares memory with x.",
     {{"x", AT_ANY}, {"d", AT_DIM}, {"start", AT_INTEGER}, {"length", AT_INTEGER}});

static bool select_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t d = (size_t)c->arg[0].integer, size[AT_MAX_DIM], ndim = 0;
    ptrdiff_t step[AT_MAX_DIM];
    int64_t i = c->arg[1].integer, n = (int64_t)x->size[d];

    if (i == 0 || i > n || i < -n)
        return at_fail(c, "i is %lld, expected 1..%lld or -%lld..-1 (x: %s)", (long long)i, (long long)n, (long long)n,
                       at_describe(x).text);
    i = i > 0 ? i - 1 : i + n;
    for (size_t k = 0; k < x->ndim; k++)
        if (k != d) {
            size[ndim] = x->size[k];
            step[ndim++] = x->step[k];
        }
    return at_out_view(c, ndim, size, step, i * x->step[d]);
}
VIEW(select, true,
     "select(x, d, i) -> view without dimension d\n"
     "Entry i of dimension d; a negative i counts from the end. Any dtype; shares memory with x.",
     {{"x", AT_ANY}, {"d", AT_DIM}, {"i", AT_INTEGER}});

static bool transpose_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t a = (size_t)c->arg[0].integer, b = (size_t)c->arg[1].integer, size[AT_MAX_DIM];
    ptrdiff_t step[AT_MAX_DIM];

    memcpy(size, x->size, sizeof size);
    memcpy(step, x->step, sizeof step);
    size[a] = x->size[b];
    size[b] = x->size[a];
    step[a] = x->step[b];
    step[b] = x->step[a];
    return at_out_view(c, x->ndim, size, step, 0);
}
VIEW(transpose, true,
     "transpose(x, d1 = -2, d2 = -1) -> view\n"
     "Dimensions d1 and d2 in each other's place. Any dtype; shares memory with x.",
     {{"x", AT_ANY}, {"d1", AT_DIM, .optional = true, .value = -2}, {"d2", AT_DIM, .optional = true, .value = -1}});

static bool t_shape(at_call *c)
{
    const at_tensor *x = c->in[0];

    if (x->ndim > 2)
        return at_fail(c, "x has %d dimensions, expected at most 2; transpose swaps two of more (x: %s)", x->ndim,
                       at_describe(x).text);
    size_t last = x->ndim ? x->ndim - 1 : 0;
    return at_out_view(c, x->ndim, (size_t[]){x->size[last], x->size[0]}, (ptrdiff_t[]){x->step[last], x->step[0]}, 0);
}
VIEW(t, true,
     "t(x) -> view\n"
     "A matrix with rows and columns in each other's place; of fewer dimensions x itself. Any dtype; shares memory\n"
     "with x.",
     {{"x", AT_ANY}});

static bool permute_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t size[AT_MAX_DIM];
    ptrdiff_t step[AT_MAX_DIM];
    unsigned seen = 0;

    if (c->n_sizes != x->ndim)
        return at_fail(c, "%d dimensions are given, expected all %d (x: %s)", c->n_sizes, x->ndim, at_describe(x).text);
    for (int k = 0; k < c->n_sizes; k++) {
        int64_t d = c->sizes[k], n = x->ndim;
        if (d == 0 || d > n || d < -n)
            return at_fail(c, "d is %lld, expected 1..%lld or -%lld..-1 (x: %s)", (long long)d, (long long)n,
                           (long long)n, at_describe(x).text);
        d = d > 0 ? d - 1 : d + n;
        if (seen >> d & 1)
            return at_fail(c, "dimension %lld is given twice (x: %s)", (long long)d + 1, at_describe(x).text);
        seen |= 1u << d;
        size[k] = x->size[d];
        step[k] = x->step[d];
    }
    return at_out_view(c, x->ndim, size, step, 0);
}
VIEW(permute, true,
     "permute(x, d...) -> view\n"
     "The dimensions in the order given: permute(x, 2, 1) transposes a matrix. Any dtype; shares memory with x.",
     {{"x", AT_ANY}, {"d", AT_SIZES}});

/* Checks the sizes of reshape and view against x and fills in the one that is -1. */
static bool complete(at_call *c, size_t *size)
{
    const at_tensor *x = c->in[0];
    size_t n = at_numel(x), known = 1;
    int open = -1;

    for (int k = 0; k < c->n_sizes; k++) {
        if (c->sizes[k] == -1 && open < 0) {
            open = k;
            continue;
        }
        if (c->sizes[k] < 0)
            return at_fail(c, "size %d is %lld, expected at least 0, or -1 once (x: %s)", k + 1, (long long)c->sizes[k],
                           at_describe(x).text);
        size[k] = (size_t)c->sizes[k];
    }
    if (open >= 0)
        size[open] = 1;
    /* too large also with a 0 among the sizes: steps are their products */
    bool large = !at_count_elements((size_t)c->n_sizes, size, &known);
    if (open >= 0 && !large && known > 0 && n % known == 0) {
        size[open] = n / known;
        known = n;
    }
    if (large || known != n || (open >= 0 && n == 0 && size[open] != 0)) {
        at_text text = {""};
        size_t at = 0;
        for (int k = 0; k < c->n_sizes && at < sizeof text.text - 24; k++)
            at +=
                (size_t)snprintf(text.text + at, sizeof text.text - at, k ? ", %lld" : "%lld", (long long)c->sizes[k]);
        return at_fail(c, "%zu elements do not fit the shape [%s] (x: %s)", n, text.text, at_describe(x).text);
    }
    return true;
}

static bool reshape_shape(at_call *c)
{
    size_t size[AT_MAX_DIM];
    ptrdiff_t step[AT_MAX_DIM], n = 1;

    if (!complete(c, size))
        return false;
    for (int k = c->n_sizes; k-- > 0;) {
        step[k] = n;
        n *= (ptrdiff_t)size[k];
    }
    return at_out_view(c, (size_t)c->n_sizes, size, step, 0);
}
VIEW(reshape, false,
     "reshape(x, size...) -> y\n"
     "The same elements in another shape; one size may be -1 and follows from the others. Any dtype; shares memory "
     "with x if x is contiguous, else with a copy.",
     {{"x", AT_ANY}, {"size", AT_SIZES, .optional = true}});

/*
 * The new dimensions are dealt out to runs of old ones that lie in memory as one: within such a run a step is the
 * product of the sizes behind it.
 */
static bool view_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t size[AT_MAX_DIM];
    ptrdiff_t step[AT_MAX_DIM];
    int k = c->n_sizes - 1;

    if (!complete(c, size))
        return false;
    if (at_numel(x) == 0)
        return reshape_shape(c);
    for (size_t d = x->ndim; d > 0;) {
        /* the run of old dimensions that ends at d - 1 */
        ptrdiff_t base = x->step[--d], reach = (ptrdiff_t)x->size[d] * base;
        size_t run = x->size[d], filled = 1;
        while (d > 0 && (x->size[d - 1] == 1 || run == 1 || x->step[d - 1] == reach)) {
            d--;
            if (run == 1 && x->size[d] != 1)
                base = x->step[d];
            run *= x->size[d];
            reach = base * (ptrdiff_t)run;
        }
        while (k >= 0 && (filled < run || size[k] == 1)) {
            step[k] = base * (ptrdiff_t)filled;
            filled *= size[k--];
        }
        if (filled != run)
            return at_fail(c, "the shape does not fit the steps of x, expected a contiguous x or reshape (x: %s)",
                           at_describe(x).text);
    }
    for (; k >= 0; k--)
        step[k] = 1;
    return at_out_view(c, (size_t)c->n_sizes, size, step, 0);
}
VIEW(view, true,
     "view(x, size...) -> view\n"
     "As reshape, but never copies: an error where the elements of x do not lie in memory as the shape needs it.",
     {{"x", AT_ANY}, {"size", AT_SIZES, .optional = true}});

static bool expand_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t size[AT_MAX_DIM], count;
    ptrdiff_t step[AT_MAX_DIM];
    int lead = c->n_sizes - x->ndim;

    if (lead < 0)
        return at_fail(c, "%d sizes are given, expected at least %d (x: %s)", c->n_sizes, x->ndim, at_describe(x).text);
    for (int k = 0; k < c->n_sizes; k++) {
        int64_t n = c->sizes[k];
        bool old = k >= lead;
        if (n < 0 && (n != -1 || !old))
            return at_fail(c, "size %d is %lld, expected at least 0%s (x: %s)", k + 1, (long long)n,
                           old ? ", or -1 for that of x" : "", at_describe(x).text);
        size[k] = n == -1 ? x->size[k - lead] : (size_t)n;
        step[k] = old ? x->step[k - lead] : 0;
        if (old && size[k] != x->size[k - lead]) {
            if (x->size[k - lead] != 1)
                return at_fail(c, "size %d is %lld, expected %zu (x: %s)", k + 1, (long long)n, x->size[k - lead],
                               at_describe(x).text);
            step[k] = 0;
        }
    }
    if (!at_count_elements((size_t)c->n_sizes, size, &count))
        return at_fail(c, "shape %s is too large", at_describe_shape((size_t)c->n_sizes, size).text);
    return at_out_view(c, (size_t)c->n_sizes, size, step, 0);
}
VIEW(expand, true,
     "expand(x, size...) -> view\n"
     "Dimensions of size 1 repeated to the sizes given, and new ones in front, without a copy; -1 keeps a size. Any "
     "dtype.",
     {{"x", AT_ANY}, {"size", AT_SIZES}});

static bool unsqueeze_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t d = (size_t)c->arg[0].integer, size[AT_MAX_DIM];
    ptrdiff_t step[AT_MAX_DIM];

    if (x->ndim == AT_MAX_DIM)
        return at_fail(c, "x has %d dimensions, expected at most %d (x: %s)", x->ndim, AT_MAX_DIM - 1,
                       at_describe(x).text);
    for (size_t k = 0; k <= x->ndim; k++) {
        size_t from = k > d ? k - 1 : k;
        size[k] = k == d ? 1 : x->size[from];
        /* as if the rows behind it were one: a contiguous x stays contiguous */
        step[k] = k != d ? x->step[from] : d < x->ndim ? x->step[d] * (ptrdiff_t)x->size[d] : 1;
    }
    return at_out_view(c, x->ndim + 1u, size, step, 0);
}
VIEW(unsqueeze, true,
     "unsqueeze(x, d) -> view with one dimension more\n"
     "A dimension of size 1 put in as dimension d. Any dtype; shares memory with x.",
     {{"x", AT_ANY}, {"d", AT_NEW_DIM}});

static bool squeeze_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t size[AT_MAX_DIM], ndim = 0;
    ptrdiff_t step[AT_MAX_DIM];
    bool one = c->given & 1;

    for (size_t k = 0; k < x->ndim; k++) {
        if (x->size[k] == 1 && (!one || (int64_t)k == c->arg[0].integer))
            continue;
        size[ndim] = x->size[k];
        step[ndim++] = x->step[k];
    }
    return at_out_view(c, ndim, size, step, 0);
}
VIEW(squeeze, true,
     "squeeze(x [, d]) -> view\n"
     "Without the dimensions of size 1, or without dimension d if its size is 1. Any dtype; shares memory with x.",
     {{"x", AT_ANY}, {"d", AT_DIM, .optional = true}});

static bool flatten_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t first = (size_t)c->arg[0].integer, last = (size_t)c->arg[1].integer, size[AT_MAX_DIM], ndim = 0;
    ptrdiff_t step[AT_MAX_DIM], n = 1;

    if (first > last)
        return at_fail(c, "first is dimension %zu, expected at most last, %zu (x: %s)", first + 1, last + 1,
                       at_describe(x).text);
    for (size_t k = 0; k < x->ndim; k++)
        if (k > first && k <= last)
            size[ndim - 1] *= x->size[k];
        else
            size[ndim++] = x->size[k];
    for (size_t k = ndim; k-- > 0; n *= (ptrdiff_t)size[k])
        step[k] = n;
    return at_out_view(c, ndim, size, step, 0);
}
VIEW(flatten, false,
     "flatten(x, first = 1, last = -1) -> y\n"
     "Dimensions first to last as one. Any dtype; shares memory with x if x is contiguous, else with a copy.",
     {{"x", AT_ANY}, {"first", AT_DIM, .optional = true, .value = 1}, {"last", AT_DIM, .optional = true, .value = -1}});

static bool diagonal_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t size[AT_MAX_DIM], d = x->ndim - 2u;
    ptrdiff_t step[AT_MAX_DIM];

    if (x->ndim < 2)
        return at_fail(c, "x has %d dimension%s, expected at least 2 (x: %s)", x->ndim, x->ndim == 1 ? "" : "s",
                       at_describe(x).text);
    memcpy(size, x->size, sizeof size);
    memcpy(step, x->step, sizeof step);
    if (size[d + 1] < size[d])
        size[d] = size[d + 1];
    step[d] += step[d + 1];
    return at_out_view(c, d + 1, size, step, 0);
}
VIEW(diagonal, true,
     "diagonal(x [..., n, m]) -> view [..., min(n, m)]\n"
     "The diagonal of the last two dimensions. Any dtype; shares memory with x.",
     {{"x", AT_ANY}});

static bool unfold_shape(at_call *c)
{
    const at_tensor *x = c->in[0];
    size_t d = (size_t)c->arg[0].integer, sizes[AT_MAX_DIM];
    int64_t n = (int64_t)x->size[d], size = c->arg[1].integer, step = c->arg[2].integer;
    ptrdiff_t steps[AT_MAX_DIM];

    if (size < 0 || size > n)
        return at_fail(c, "size is %lld, expected 0..%lld (x: %s)", (long long)size, (long long)n, at_describe(x).text);
    if (step < 1)
        return at_fail(c, "step is %lld, expected at least 1", (long long)step);
    if (x->ndim == AT_MAX_DIM)
        return at_fail(c, "x has %d dimensions, expected at most %d (x: %s)", x->ndim, AT_MAX_DIM - 1,
                       at_describe(x).text);
    memcpy(sizes, x->size, sizeof sizes);
    memcpy(steps, x->step, sizeof steps);
    sizes[d] = (size_t)((n - size) / step + 1);
    steps[d] = sizes[d] > 1 ? x->step[d] * step : x->step[d];
    sizes[x->ndim] = (size_t)size;
    steps[x->ndim] = x->step[d];
    size_t count;
    if (!at_count_elements(x->ndim + 1u, sizes, &count))
        return at_fail(c, "shape %s is too large", at_describe_shape(x->ndim + 1u, sizes).text);
    return at_out_view(c, x->ndim + 1u, sizes, steps, 0);
}
VIEW(unfold, true,
     "unfold(x, d, size, step) -> view [..., windows, ..., size]\n"
     "All windows of `size` entries of dimension d, `step` apart: dimension d counts the windows, a new last dimension "
     "the places in "
     "one. Any dtype; shares memory with x, and windows that overlap share entries.",
     {{"x", AT_ANY}, {"d", AT_DIM}, {"size", AT_INTEGER}, {"step", AT_INTEGER}});
