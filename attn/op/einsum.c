/*
 * einsum: y[output labels] = sum over the other labels of the product of the operands, each read at its own labels.
 *
 *   "bid,bjd->bij"   labels are letters; a label twice in one operand is its diagonal; "..." stands for the dimensions
 *                    without a label, aligned at the right, where size 1 broadcasts; without "->" the output is "..."
 *                    and then the labels that occur once, in the order of the alphabet (NumPy)
 *
 * Operands are contracted from left to right, T_k = T_(k-1) X_k, and each step is a batched matrix product: labels in
 * both and in the result are the batch, labels in both and not in the result are summed, the others are rows and
 * columns. What lies in memory as such a product needs it is read in place, else packed. The backward pass is made of
 * the same steps: the gradient of either factor is the contraction of the result's gradient with the other, broadcast
 * over the labels that only it had.
 */
#include <ctype.h>
#include <string.h>

#include "attn/core/gemm.h"
#include "attn/op/rows.h"
#include "attn/kernel/reduce.h"

enum { LETTERS = 52, LABELS = LETTERS + AT_MAX_DIM, MAX_OPERANDS = AT_MAX_SAVED };

/* Labels in order, each at most once. */
typedef struct list {
    int n;
    uint8_t at[LABELS];
} list;

/* Numbers by label: `on` are its labels, outermost first. */
typedef struct view {
    real *data; /* not written where it is an operand */
    list on;
    uint64_t has;
    ptrdiff_t step[LABELS];
} view;

/* What a call keeps: labels and their sizes, and those of the results between. */
typedef struct plan {
    int operands;
    size_t size[LABELS];
    int ndim[MAX_OPERANDS];
    int8_t label[MAX_OPERANDS][AT_MAX_DIM]; /* -1: size 1, broadcast over the label it stands for */
    list out;
    list between[MAX_OPERANDS]; /* of T_k, k from 2 to operands - 1 (counted from 1) */
} plan;

static uint64_t bit(int label) { return (uint64_t)1 << label; }

static void push(list *l, int label) { l->at[l->n++] = (uint8_t)label; }

static uint64_t set_of(const list *l)
{
    uint64_t has = 0;
    for (int i = 0; i < l->n; i++)
        has |= bit(l->at[i]);
    return has;
}

static size_t count(const plan *p, const list *l)
{
    size_t n = 1;
    for (int i = 0; i < l->n; i++)
        n *= p->size[l->at[i]];
    return n;
}

/* ---- the equation ---- */

static int letter(char c) { return c >= 'a' && c <= 'z' ? 26 + c - 'a' : c >= 'A' && c <= 'Z' ? c - 'A' : -1; }

static char name_of(int label) { return (char)(label < 26 ? 'A' + label : 'a' + label - 26); }

/* Reads the labels of one term; *dots is where "..." stood, -1 if nowhere. */
static const char *read_term(at_call *c, const char *s, int *n, int8_t *label, int most, int *dots)
{
    *n = 0;
    *dots = -1;
    for (; *s && *s != ',' && !(s[0] == '-' && s[1] == '>'); s++) {
        if (isspace((unsigned char)*s))
            continue;
        if (s[0] == '.' && s[1] == '.' && s[2] == '.' && *dots < 0) {
            *dots = *n;
            s += 2;
            continue;
        }
        if (letter(*s) < 0) {
            at_fail(c, "'%c' in the equation, expected letters, one '...' a term, ',' and '->' (equation: %.80s)",
                    isprint((unsigned char)*s) ? *s : '?', c->arg[0].string);
            return NULL;
        }
        if (*n == most) {
            at_fail(c, "a term has more than %d labels (equation: %.80s)", most, c->arg[0].string);
            return NULL;
        }
        label[(*n)++] = (int8_t)letter(*s);
    }
    return s;
}

static bool set_size(at_call *c, plan *p, uint64_t *seen, int k, int label, size_t size)
{
    if (!(*seen & bit(label)) || (label >= LETTERS && p->size[label] == 1)) {
        p->size[label] = size;
        *seen |= bit(label);
        return true;
    }
    if (p->size[label] == size || (label >= LETTERS && size == 1))
        return true;
    if (label >= LETTERS)
        return at_fail(c, "the dimensions of '...' do not broadcast (operand %d: %s)", k + 1,
                       at_describe(c->in[k]).text);
    return at_fail(c, "label '%c' has size %zu in operand %d, expected %zu (operand %d: %s)", name_of(label), size,
                   k + 1, p->size[label], k + 1, at_describe(c->in[k]).text);
}

/* The operands' terms: labels and sizes into p, how often each letter stands there into times, the dimensions of the longest
 * '...' into widest. What follows them, NULL after an error. */
static const char *read_operands(at_call *c, plan *p, int *times, int *widest)
{
    const char *s = c->arg[0].string;
    int8_t letters[LABELS];
    int n, dots;
    uint64_t seen = 0;

    for (int k = 0; k < p->operands; k++) {
        const at_tensor *x = c->in[k];
        if (k > 0 && *s++ != ',') {
            at_fail(c, "the equation has %d operand%s, but %d tensors are given (equation: %.80s)", k,
                    k == 1 ? "" : "s", p->operands, c->arg[0].string);
            return NULL;
        }
        if (!(s = read_term(c, s, &n, letters, AT_MAX_DIM, &dots)))
            return NULL;
        int rest = x->ndim - n;
        if (rest < 0 || (rest > 0 && dots < 0)) {
            at_fail(c, "operand %d has %d dimensions, but %d label%s (operand %d: %s)", k + 1, x->ndim, n,
                    n == 1 ? "" : "s", k + 1, at_describe(x).text);
            return NULL;
        }
        p->ndim[k] = x->ndim;
        for (int d = 0; d < x->ndim; d++) {
            bool dot = dots >= 0 && d >= dots && d < dots + rest;
            int label = dot ? LETTERS + rest - 1 - (d - dots) : letters[d - (dots >= 0 && d >= dots + rest ? rest : 0)];
            if (!set_size(c, p, &seen, k, label, x->size[d]))
                return NULL;
            p->label[k][d] = (int8_t)label;
            if (!dot)
                times[label]++;
        }
        if (dots >= 0 && rest > *widest)
            *widest = rest;
    }
    if (*s == ',') {
        at_fail(c, "the equation has more operands than the %d tensors given (equation: %.80s)", p->operands,
                c->arg[0].string);
        return NULL;
    }
    return s;
}

/* The output's term, behind the operands: its labels into p->out. Without an arrow the letters that stand once, sorted. */
static bool read_output(at_call *c, plan *p, const char *s, const int *times, int widest)
{
    int8_t letters[LABELS];
    int n, dots;
    uint64_t used = 0;

    if (*s == '-') {
        if (!(s = read_term(c, s + 2, &n, letters, LETTERS, &dots)))
            return false;
        if (*s)
            return at_fail(c, "the equation goes on behind its output (equation: %.80s)", c->arg[0].string);
    } else {
        n = dots = 0;
        for (int label = 0; label < LETTERS; label++)
            if (times[label] == 1)
                letters[n++] = (int8_t)label;
    }
    for (int i = 0; i <= n; i++) {
        if (i == dots)
            for (int w = widest; w-- > 0;)
                push(&p->out, LETTERS + w);
        if (i == n)
            break;
        if (!times[(int)letters[i]] || used & bit(letters[i]))
            return at_fail(c, "output label '%c' %s (equation: %.80s)", name_of(letters[i]),
                           times[(int)letters[i]] ? "stands twice" : "is in no operand", c->arg[0].string);
        used |= bit(letters[i]);
        push(&p->out, letters[i]);
    }
    if (p->out.n > AT_MAX_DIM)
        return at_fail(c, "the output has %d dimensions, expected at most %d (equation: %.80s)", p->out.n, AT_MAX_DIM,
                       c->arg[0].string);
    return true;
}

static bool read_equation(at_call *c, plan *p)
{
    int widest = 0, times[LETTERS] = {0};
    const char *s = read_operands(c, p, times, &widest);

    if (!s || !read_output(c, p, s, times, widest))
        return false;
    for (int k = 0; k < p->operands; k++)
        for (int d = 0; d < p->ndim[k]; d++)
            if (c->in[k]->size[d] != p->size[(int)p->label[k][d]])
                p->label[k][d] = -1;
    return true;
}

/* ---- views ---- */

/* A tensor's numbers by label, with its own steps or, for its gradient, those of a contiguous tensor. */
static view operand(const plan *p, const at_tensor *t, int k, char *data, bool contiguous)
{
    view v = {.data = (real *)(void *)data};
    ptrdiff_t dense[AT_MAX_DIM], step = 1;

    for (int d = p->ndim[k]; d-- > 0; step *= (ptrdiff_t)t->size[d])
        dense[d] = step;
    for (int d = 0; d < p->ndim[k]; d++) {
        int label = p->label[k][d];
        if (label < 0)
            continue;
        if (!(v.has & bit(label))) {
            v.has |= bit(label);
            push(&v.on, label);
        }
        v.step[label] += contiguous ? dense[d] : t->step[d];
    }
    return v;
}

static view dense(const plan *p, const list *on, void *data)
{
    view v = {.data = data, .on = *on, .has = set_of(on)};
    ptrdiff_t step = 1;

    for (int i = on->n; i-- > 0; step *= (ptrdiff_t)p->size[on->at[i]])
        v.step[on->at[i]] = step;
    return v;
}

/* The labels of `on` that are in the set, in that order. */
static list among(const list *on, uint64_t set)
{
    list l = {0};
    for (int i = 0; i < on->n; i++)
        if (set & bit(on->at[i]))
            push(&l, on->at[i]);
    return l;
}

/* The one step of several labels taken as one, 0 if they are a single element; false if there is none. */
static bool merged(const plan *p, const view *v, const list *l, ptrdiff_t *step)
{
    ptrdiff_t next = 0;

    *step = 0;
    for (int i = l->n; i-- > 0;) {
        ptrdiff_t own = v->step[l->at[i]], n = (ptrdiff_t)p->size[l->at[i]];
        if (n == 1)
            continue;
        if (*step == 0)
            *step = own;
        else if (own != next)
            return false;
        if (own <= 0)
            return false;
        next = own * n;
    }
    return true;
}

/* ---- moving: rows over the outer labels, the innermost one in the loop ---- */

typedef struct moving {
    const plan *p;
    const view *v;
    const list *order; /* of the dense side */
    const list *extra; /* labels of v that the dense side lacks */
    real *dense;
    size_t inner, extras;
    ptrdiff_t inner_step;
    bool out, add; /* from the dense side to v; by adding */
} moving;

static ptrdiff_t offset(const plan *p, const view *v, const list *l, int n, size_t r)
{
    ptrdiff_t at = 0;
    for (int i = n; i-- > 0; r /= p->size[l->at[i]])
        at += (ptrdiff_t)(r % p->size[l->at[i]]) * v->step[l->at[i]];
    return at;
}

static void move_rows(size_t begin, size_t end, void *context)
{
    const moving *m = context;
    ptrdiff_t step = m->inner_step;
    int outer = m->order->n ? m->order->n - 1 : 0;

    for (size_t r = begin; r < end; r++) {
        real *dense_row = m->dense + r * m->inner;
        ptrdiff_t base = offset(m->p, m->v, m->order, outer, r);
        if (!m->out)
            memset(dense_row, 0, m->inner * sizeof(real));
        for (size_t e = 0; e < m->extras; e++) {
            real *x = m->v->data + base + offset(m->p, m->v, m->extra, m->extra->n, e);
            if (!m->out)
                for (ptrdiff_t i = 0; i < (ptrdiff_t)m->inner; i++)
                    dense_row[i] += x[i * step];
            else if (m->add)
                for (ptrdiff_t i = 0; i < (ptrdiff_t)m->inner; i++)
                    x[i * step] += dense_row[i];
            else
                for (ptrdiff_t i = 0; i < (ptrdiff_t)m->inner; i++)
                    x[i * step] = dense_row[i];
        }
    }
}

static void run_move(moving *m)
{
    size_t n = count(m->p, m->order);
    int last = m->order->n - 1;

    m->inner = last >= 0 ? m->p->size[m->order->at[last]] : 1;
    m->inner_step = last >= 0 ? m->v->step[m->order->at[last]] : 0;
    m->extras = count(m->p, m->extra);
    if (n > 0)
        at_for(n / m->inner, at_grain_rows(m->inner * m->extras), move_rows, m);
}

/* dense [order] = v summed over `sum`. */
static void pack(const plan *p, const view *v, const list *order, const list *sum, real *to)
{
    run_move(&(moving){.p = p, .v = v, .order = order, .extra = sum, .dense = to});
}

/* v (+)= dense [order], repeated over `repeat`. */
static void unpack(const plan *p, const view *v, const list *order, const list *repeat, real *from, bool add)
{
    run_move(&(moving){.p = p, .v = v, .order = order, .extra = repeat, .dense = from, .out = true, .add = add});
}

/* ---- one step: c (+)= a b ---- */

typedef struct matrix {
    const real *data;
    bool turned; /* stored the other way round than rows before summed labels */
    size_t ld, step;
    bool packed;
} matrix;

typedef struct product {
    list batch, rows, columns, summed, a_only, b_only, c_only;
    matrix a, b;
    bool swapped; /* a and b in each other's place, so that c is written in place */
    bool in_place;
    size_t ldc, step_c;
    size_t count, m, n, k;
    size_t a_room, b_room, c_room; /* elements of work */
} product;

/* How `v` is a batch of matrices [rows, cols], if it lies in memory as one. */
static bool as_matrix(const plan *p, const view *v, const list *batch, const list *rows, const list *cols, matrix *x)
{
    ptrdiff_t down, right, step;
    size_t m = count(p, rows), n = count(p, cols);

    if (!merged(p, v, batch, &step) || !merged(p, v, rows, &down) || !merged(p, v, cols, &right))
        return false;
    *x = (matrix){.data = v->data, .step = (size_t)step};
    if ((right == 1 || n == 1) && (m == 1 || down >= (ptrdiff_t)n)) {
        x->ld = m == 1 ? n : (size_t)down;
        return true;
    }
    x->turned = true;
    x->ld = n == 1 ? m : (size_t)right;
    return (down == 1 || m == 1) && (n == 1 || right >= (ptrdiff_t)m);
}

/* b may be NULL: c (+)= a. */
static product plan_product(const plan *p, const view *a, const view *b, const view *c)
{
    uint64_t has_b = b ? b->has : 0;
    product s = {
        .batch = among(&c->on, a->has & has_b),
        .rows = among(&c->on, a->has & ~has_b),
        .columns = among(&c->on, has_b & ~a->has),
        .summed = among(&a->on, has_b & ~c->has),
        .a_only = among(&a->on, ~has_b & ~c->has),
        .c_only = among(&c->on, ~(a->has | has_b)),
    };
    matrix to;

    if (b)
        s.b_only = among(&b->on, ~a->has & ~c->has);
    s.count = count(p, &s.batch);
    s.m = count(p, &s.rows);
    s.n = count(p, &s.columns);
    s.k = count(p, &s.summed);
    if (!b) {
        s.c_room = s.m;
        return s;
    }
    if (s.c_only.n == 0 && as_matrix(p, c, &s.batch, &s.rows, &s.columns, &to)) {
        s.in_place = true;
        s.swapped = to.turned;
        s.ldc = to.ld;
        s.step_c = to.step;
    } else {
        s.c_room = s.count * s.m * s.n;
    }
    if (s.a_only.n || !as_matrix(p, a, &s.batch, &s.rows, &s.summed, &s.a)) {
        s.a = (matrix){.ld = s.k, .step = s.m * s.k, .packed = true};
        s.a_room = s.count * s.m * s.k;
    }
    if (s.b_only.n || !as_matrix(p, b, &s.batch, &s.columns, &s.summed, &s.b)) {
        s.b = (matrix){.ld = s.k, .step = s.n * s.k, .packed = true};
        s.b_room = s.count * s.n * s.k;
    }
    return s;
}

static size_t room_of(const product *s) { return s->a_room + s->b_room + s->c_room; }

static list joined(const list *a, const list *b, const list *c)
{
    list l = *a;
    for (int i = 0; i < b->n; i++)
        push(&l, b->at[i]);
    for (int i = 0; i < c->n; i++)
        push(&l, c->at[i]);
    return l;
}

typedef struct dots {
    const product *s;
    real *c;
    bool add;
} dots;

/* Products without rows and columns: an element or a dot product for each of the batch. */
static void dot_block(size_t begin, size_t end, void *context)
{
    const dots *d = context;
    const product *s = d->s;

    for (size_t i = begin; i < end; i++) {
        const real *a = s->a.data + i * s->a.step, *b = s->b.data + i * s->b.step;
        real y = (real)(s->k == 1 ? *a * *b : K->reduce->dot(s->k, a, b));
        real *c = d->c + i * (s->in_place ? s->step_c : 1);
        *c = d->add ? *c + y : y;
    }
}

static void multiply(const plan *p, const view *a, const view *b, const view *c, real *work, bool add)
{
    product s = plan_product(p, a, b, c);
    static const list none = {0};

    if (!b) {
        pack(p, a, &s.rows, &s.a_only, work);
        unpack(p, c, &s.rows, &s.c_only, work, add);
        return;
    }
    list order_a = joined(&s.batch, &s.rows, &s.summed), order_b = joined(&s.batch, &s.columns, &s.summed);
    list order_c = joined(&s.batch, &s.rows, &s.columns);
    if (s.a.packed) {
        s.a.data = work;
        pack(p, a, &order_a, &s.a_only, work);
        work += s.a_room;
    }
    if (s.b.packed) {
        s.b.data = work;
        pack(p, b, &order_b, &s.b_only, work);
        work += s.b_room;
    }
    real *to = s.in_place ? c->data : work;
    bool onto = add && s.in_place;
    size_t ldc = s.in_place ? s.ldc : s.n, step_c = s.in_place ? s.step_c : s.m * s.n;
    if (s.count * s.m * s.n == 0)
        return;
    if (s.m == 1 && s.n == 1 && !s.a.turned && !s.b.turned)
        at_for(s.count, at_grain_rows(s.k), dot_block, &(dots){&s, to, onto});
    else if (s.swapped)
        real_gemm_batch(s.count, s.b.turned, !s.a.turned, s.n, s.m, s.k, 1, s.b.data, s.b.ld ? s.b.ld : 1, s.b.step,
                        s.a.data, s.a.ld ? s.a.ld : 1, s.a.step, onto ? 1 : 0, to, ldc, step_c);
    else
        real_gemm_batch(s.count, s.a.turned, !s.b.turned, s.m, s.n, s.k, 1, s.a.data, s.a.ld ? s.a.ld : 1, s.a.step,
                        s.b.data, s.b.ld ? s.b.ld : 1, s.b.step, onto ? 1 : 0, to, ldc, step_c);
    if (!s.in_place)
        unpack(p, c, &order_c, s.c_only.n ? &s.c_only : &none, work, add);
}

/* ---- the operation ---- */

static plan *plan_in(const at_call *c) { return (plan *)(void *)c->saved[0]->data; }

/* T_k, k from 1: the first operand, a result between (saved), or y. */
static view result(const at_call *c, const plan *p, int k)
{
    if (k == 1)
        return operand(p, c->in[0], 0, c->in[0]->data, false);
    if (k == p->operands)
        return dense(p, &p->out, c->out[0]->data);
    return dense(p, &p->between[k - 1], c->saved[k - 1]->data);
}

/* The result of the first k + 1 operands, of which the labels `later` are still needed, saved by the call; its size into n. */
static bool save_between(at_call *c, plan *p, int k, const view *t, const view *x, uint64_t later, size_t *n)
{
    list *on = &p->between[k];
    size_t sizes[LABELS];

    *on = among(&t->on, later);
    for (int i = 0; i < x->on.n; i++)
        if ((later & ~t->has) & bit(x->on.at[i]))
            push(on, x->on.at[i]);
    for (int i = 0; i < on->n; i++)
        sizes[i] = p->size[on->at[i]];
    if (!at_count_elements((size_t)on->n, sizes, n))
        return at_fail(c, "the product of the first %d operands is too large", k + 1);
    return at_save(c, AT_REAL_DTYPE, *n);
}

/* Scratch for y = t x, the k-th product, and for its gradients. */
static size_t product_room(const at_call *c, const plan *p, int k, const view *t, const view *x, const view *y)
{
    product s = plan_product(p, t, x, y);
    size_t most = room_of(&s);

    if (!at_recording(c))
        return most;
    view dt = k == 1 ? operand(p, c->in[0], 0, NULL, true) : *t, dx = operand(p, c->in[k], k, NULL, true);
    s = plan_product(p, y, x, &dt);
    most = at_max_size(most, room_of(&s));
    s = plan_product(p, y, t, &dx);
    return at_max_size(most, room_of(&s));
}

static bool shape(at_call *c)
{
    plan p = {.operands = c->n_in};
    size_t size[AT_MAX_DIM], most = 0, between = 0;

    if (!c->arg[0].string)
        return at_fail(c, "the equation is missing");
    if (c->n_in > MAX_OPERANDS)
        return at_fail(c, "%d operands, expected at most %d", c->n_in, MAX_OPERANDS);
    if (!read_equation(c, &p))
        return false;
    for (int i = 0; i < p.out.n; i++)
        size[i] = p.size[p.out.at[i]];
    if (!at_save(c, AT_BOOL, sizeof p) || !at_out(c, (size_t)p.out.n, size))
        return false;
    /* what later operands or the output still need stays in the results between */
    uint64_t later[MAX_OPERANDS + 1] = {0};
    later[p.operands] = set_of(&p.out);
    for (int k = p.operands; k-- > 0;)
        later[k] = later[k + 1] | operand(&p, c->in[k], k, NULL, false).has;
    view t = operand(&p, c->in[0], 0, c->in[0]->data, false);
    for (int k = 1; k < p.operands; k++) {
        view x = operand(&p, c->in[k], k, c->in[k]->data, false), y;
        size_t n = 0;
        if (k + 1 == p.operands) {
            y = dense(&p, &p.out, c->out[0]->data);
        } else {
            if (!save_between(c, &p, k, &t, &x, later[k + 1], &n))
                return false;
            y = dense(&p, &p.between[k], c->saved[k]->data);
        }
        between = at_max_size(between, n);
        most = at_max_size(most, product_room(c, &p, k, &t, &x, &y));
        t = y;
    }
    if (p.operands == 1)
        most = at_max_size(at_numel(c->in[0]), at_numel(c->out[0]));
    memcpy(c->saved[0]->data, &p, sizeof p);
    at_want_scratch(c, (most + 2 * between) * sizeof(real));
    return true;
}

static void einsum_forward(const at_call *c)
{
    const plan *p = plan_in(c);
    real *work = (real *)(void *)c->work;
    view t = result(c, p, 1);

    if (p->operands == 1) {
        view y = dense(p, &p->out, c->out[0]->data);
        multiply(p, &t, NULL, &y, work, false);
        return;
    }
    for (int k = 1; k < p->operands; k++) {
        view x = operand(p, c->in[k], k, c->in[k]->data, false), y = result(c, p, k + 1);
        if (count(p, &y.on) > 0)
            multiply(p, &t, &x, &y, work, false);
        t = y;
    }
}

static void einsum_backward(const at_call *c)
{
    const plan *p = plan_in(c);
    size_t between = 0;

    for (int k = 1; k + 1 < p->operands; k++)
        between = at_max_size(between, count(p, &p->between[k]));
    real *spare[2] = {(real *)(void *)c->work, (real *)(void *)c->work + between}, *work = spare[1] + between;
    view dy = dense(p, &p->out, c->out[0]->grad->data);
    if (p->operands == 1) {
        view dx = operand(p, c->in[0], 0, c->in[0]->grad->data, true);
        multiply(p, &dy, NULL, &dx, work, true);
        return;
    }
    for (int k = p->operands - 1; k > 0; k--) {
        view t = result(c, p, k), x = operand(p, c->in[k], k, c->in[k]->data, false);
        if (c->in[k]->grad) {
            view dx = operand(p, c->in[k], k, c->in[k]->grad->data, true);
            multiply(p, &dy, &t, &dx, work, true);
        }
        view dt = t;
        if (k == 1) {
            if (!c->in[0]->grad)
                return;
            dt = operand(p, c->in[0], 0, c->in[0]->grad->data, true);
        } else {
            dt.data = spare[k % 2];
        }
        multiply(p, &dy, &x, &dt, work, k == 1);
        dy = dt;
    }
}

static double flops(const at_call *c, bool back)
{
    const plan *p = plan_in(c);
    double sum = 0;

    for (int k = 1; k < p->operands; k++) {
        uint64_t on = result(c, p, k).has | operand(p, c->in[k], k, NULL, false).has;
        double once = 2;
        for (int label = 0; label < LABELS; label++)
            if (on & bit(label))
                once *= (double)p->size[label];
        sum += once * (back ? at_gradients_wanted(c, k, k + 1) + (k > 1 || c->in[0]->grad) : 1);
    }
    return sum;
}

AT_OP(einsum, .args = {{"equation", AT_STRING}, {"operands", AT_LIST}}, .shape = shape, .flops = flops,
      .forward = einsum_forward, .backward = einsum_backward, .strided = true, .keeps = 0xffff,
      .help = "einsum(equation, operands...) -> y\n"
              "Sum of products by labels: einsum(\"bid,bjd->bij\", a, b). A label twice in one operand is its "
              "diagonal, \"...\" the dimensions without a label, which broadcast; without \"->\" the output has the "
              "labels that occur once, sorted.");
