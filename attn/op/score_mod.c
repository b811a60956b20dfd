/*
 * score_mod: a function of the script of every score and its places; mask_mod: one that says which pairs may attend. The composed forms
 * of what op/attend.c does in its tiles.
 *
 *   e, y     [B, H, Tq, W] by span (op/attend.h)      mask, key_mask: pairs that do not count where indices are checked
 *   de       dy df/de, and 0 wherever dy is 0: a masked score may be NaN or infinite without harm
 *   tensors  captured: their gradients are summed in slots of rows, then slot by slot
 *   m        [B or 1, H or 1, Tq, Tk] bool, B and H where the function reads them
 */
#include "attn/op/modify.h"
#include "attn/op/rows.h"

/* ---- score_mod ---- */

enum { E, SPAN, MASK, KEY_MASK, PROGRAM, BACK, TENSORS };
enum { KEYS, OFFSET };

static int captured(const at_call *c, int first) { return c->n_in - first; }

static bool too_many(at_call *c, int first)
{
    return captured(c, first) >= AT_MAX_CUSTOM &&
           !at_fail(c, "there are %d captured tensors, expected fewer than %d", captured(c, first), AT_MAX_CUSTOM);
}

/* One query or a few at a time: queries are rows, keys columns. */
static size_t machine_bytes(const at_tensor *program, size_t keys)
{
    at_program p = at_program_of(program);
    return at_machine_bytes(&p, 1, keys);
}

static size_t slot_bytes(const at_call *c)
{
    size_t keys = (size_t)c->arg[KEYS].integer;
    return at_max_size(machine_bytes(c->in[PROGRAM], keys), machine_bytes(c->in[BACK], keys));
}

static bool shape(at_call *c)
{
    const at_tensor *e = c->in[E];
    int n = captured(c, TENSORS);
    if (e->ndim != 4)
        return at_fail(c, "e does not fit (e: %s)", at_describe(e).text);
    at_sight s = {
        "score_mod", e->size[0],  e->size[1],      e->size[2], (size_t)c->arg[KEYS].integer, c->arg[OFFSET].integer,
        c->in[SPAN], c->in[MASK], c->in[KEY_MASK], NULL};
    if (too_many(c, TENSORS) || !at_span_check(c, c->in[SPAN], s.B, s.Tq, s.Tk) ||
        !at_program_check(c, c->in[PROGRAM], TENSORS, n, 1, 1) || !at_program_check(c, c->in[BACK], TENSORS, n, 2, 1) ||
        !at_program_integers(c, TENSORS, n) || !at_places_check(c, c->in[PROGRAM], TENSORS, n, &s))
        return false;
    size_t sums = at_recording(c) ? at_array_sums(c, TENSORS, n) : 0;
    at_want_scratch(c, AT_SLOTS * slot_bytes(c) + at_sum_slots(sums, AT_SLOTS) * sums * sizeof(double));
    return at_out(c, 4, e->size);
}

typedef struct pass {
    const at_call *c;
    bool back;
    size_t rows, slots, sums, per_slot;
} pass;

static void rows_of_slot(const pass *p, size_t slot)
{
    const at_call *c = p->c;
    const at_tensor *e = c->in[E];
    size_t H = e->size[1], Tq = e->size[2], W = e->size[3], Tk = (size_t)c->arg[KEYS].integer;
    at_array array[AT_MAX_CUSTOM];
    double *sums = p->back ? (double *)(void *)(c->work + AT_SLOTS * p->per_slot) + slot * p->sums : NULL;
    at_arrays(c, TENSORS, captured(c, TENSORS), array, sums);
    if (sums)
        memset(sums, 0, p->sums * sizeof *sums);
    at_program program = at_program_of(c->in[p->back ? BACK : PROGRAM]);
    at_machine m = at_machine_at(&program, c->work + slot * p->per_slot, 1, Tk, array);
    size_t head = SIZE_MAX, from = p->rows * slot / p->slots, to = p->rows * (slot + 1) / p->slots;
    for (size_t r = from; r < to && !at_cut_short(); r++) {
        size_t i = r % Tq;
        at_span span = at_span_of(c->in[SPAN], Tq, Tk, r / Tq / H, i);
        if (head != r / Tq) {
            head = r / Tq;
            at_machine_head(&m, head / H, head % H);
            at_machine_keys(&m, 0, Tk);
        }
        at_machine_queries(&m, c->arg[OFFSET].integer + (int64_t)i, 1);
        real *x = (real *)(uintptr_t)(at_in(c, E) + r * W);
        at_pairs pairs = {.turned = true, .from = {0, span.lo}, .rows = 1, .columns = span.n, .results = 1};
        if (p->back) {
            real *dy = (real *)(uintptr_t)(at_dout(c, 0) + r * W);
            at_target de = {at_din(c, E) ? at_din(c, E) + r * W : NULL, NULL, W, 1};
            pairs.input = (at_place[]){{x, W, 1}, {dy, W, 1}};
            pairs.gate = pairs.input[1];
            pairs.result = &de;
            pairs.add = true;
            at_machine_pairs(&m, &pairs);
        } else {
            real *y = at_outp(c, 0) + r * W;
            pairs.input = &(at_place){x, W, 1};
            pairs.result = &(at_target){y, NULL, W, 1};
            at_machine_pairs(&m, &pairs);
            memset(y + span.n, 0, (W - span.n) * sizeof(real));
        }
    }
}

static void slots(size_t begin, size_t end, void *context)
{
    for (size_t slot = begin; slot < end; slot++)
        rows_of_slot(context, slot);
}

static pass pass_of(const at_call *c, bool back)
{
    const at_tensor *e = c->in[E];
    pass p = {.c = c, .back = back, .rows = e->size[0] * e->size[1] * e->size[2], .per_slot = slot_bytes(c)};
    p.sums = back ? at_array_sums(c, TENSORS, captured(c, TENSORS)) : 0;
    p.slots = at_min_size(p.rows, at_sum_slots(p.sums, AT_SLOTS));
    return p;
}

static void score_mod_forward(const at_call *c)
{
    pass p = pass_of(c, false);
    at_for(p.slots, 1, slots, &p);
}

static void score_mod_backward(const at_call *c)
{
    pass p = pass_of(c, true);
    at_for(p.slots, 1, slots, &p);
    at_arrays_give(c, TENSORS, captured(c, TENSORS), (const double *)(const void *)(c->work + AT_SLOTS * p.per_slot),
                   p.slots, p.sums);
}

AT_OP(score_mod,
      .args = {{"e", AT_FLOAT},
               {"span", AT_IDS, .optional = true},
               {"mask", AT_MASK, .optional = true},
               {"key_mask", AT_MASK, .optional = true},
               {"program", AT_IDS},
               {"back", AT_IDS},
               {"tensors", AT_TENSORS, .optional = true},
               {"keys", AT_INTEGER},
               {"offset", AT_INTEGER}},
      .shape = shape, .forward = score_mod_forward, .backward = score_mod_backward, .internal = true,
      .keeps = 0xffff & ~(AT_KEEP(MASK) | AT_KEEP(KEY_MASK)),
      .help = "score_mod(e [B, H, Tq, W] [, span, mask, key_mask], program, back, tensors, keys, offset) -> like e\n"
              "A function of the script of every score.");

/* ---- mask_mod ---- */

enum { LOOK, LOOK_SPAN, LOOK_MASK, LOOK_KEY_MASK, LOOK_TENSORS };
enum { BATCH, HEADS, QUERIES, LOOK_KEYS, LOOK_OFFSET };

static bool look_shape(at_call *c)
{
    int n = captured(c, LOOK_TENSORS);
    at_sight s = {
        "mask_mod",
        (size_t)c->arg[BATCH].integer,
        (size_t)c->arg[HEADS].integer,
        (size_t)c->arg[QUERIES].integer,
        (size_t)c->arg[LOOK_KEYS].integer,
        c->arg[LOOK_OFFSET].integer,
        c->in[LOOK_SPAN],
        c->in[LOOK_MASK],
        c->in[LOOK_KEY_MASK],
        NULL};
    if (too_many(c, LOOK_TENSORS) || !at_program_check(c, c->in[LOOK], LOOK_TENSORS, n, 0, 1) ||
        !at_program_integers(c, LOOK_TENSORS, n) || !at_places_check(c, c->in[LOOK], LOOK_TENSORS, n, &s))
        return false;
    at_program p = at_program_of(c->in[LOOK]);
    at_want_scratch(c, AT_SLOTS * (machine_bytes(c->in[LOOK], s.Tk) + at_room64(s.Tk * sizeof(real))));
    return at_out_type(c, AT_BOOL, 4,
                       (size_t[]){at_program_reads(&p, AT_CODE_batch) ? s.B : 1,
                                  at_program_reads(&p, AT_CODE_head) ? s.H : 1, s.Tq, s.Tk});
}

static void look_slots(size_t begin, size_t end, void *context)
{
    const at_call *c = context;
    const at_tensor *y = c->out[0];
    size_t H = y->size[1], Tq = y->size[2], Tk = y->size[3], rows = y->size[0] * H * Tq;
    size_t machine = machine_bytes(c->in[LOOK], Tk), per_slot = machine + at_room64(Tk * sizeof(real));
    at_array array[AT_MAX_CUSTOM];
    at_arrays(c, LOOK_TENSORS, captured(c, LOOK_TENSORS), array, NULL);
    at_program program = at_program_of(c->in[LOOK]);
    for (size_t slot = begin; slot < end; slot++) {
        char *room = c->work + slot * per_slot;
        real *truth = (real *)(void *)(room + machine);
        at_machine m = at_machine_at(&program, room, 1, Tk, array);
        size_t head = SIZE_MAX, from = rows * slot / AT_SLOTS, to = rows * (slot + 1) / AT_SLOTS;
        for (size_t r = from; r < to && !at_cut_short(); r++) {
            if (head != r / Tq) {
                head = r / Tq;
                at_machine_head(&m, head / H, head % H);
                at_machine_keys(&m, 0, Tk);
            }
            at_machine_queries(&m, c->arg[LOOK_OFFSET].integer + (int64_t)(r % Tq), 1);
            at_machine_pairs(
                &m,
                &(at_pairs){
                    .turned = true, .rows = 1, .columns = Tk, .result = &(at_target){truth, NULL, Tk, 1}, .results = 1});
            for (size_t j = 0; j < Tk; j++)
                y->data[r * Tk + j] = at_is_true(truth + j);
        }
    }
}

static void mask_mod_forward(const at_call *c) { at_for(AT_SLOTS, 1, look_slots, (void *)(uintptr_t)c); }

AT_OP(mask_mod,
      .args = {{"program", AT_IDS},
               {"span", AT_IDS, .optional = true},
               {"mask", AT_MASK, .optional = true},
               {"key_mask", AT_MASK, .optional = true},
               {"tensors", AT_TENSORS, .optional = true},
               {"batch", AT_INTEGER},
               {"heads", AT_INTEGER},
               {"queries", AT_INTEGER},
               {"keys", AT_INTEGER},
               {"offset", AT_INTEGER}},
      .shape = look_shape, .forward = mask_mod_forward, .internal = true,
      .help = "mask_mod(program [, span, mask, key_mask], tensors, batch, heads, queries, keys, offset) -> bool [B or "
              "1, H or 1, "
              "Tq, Tk]\nA function of the script that says which pairs may attend.");
