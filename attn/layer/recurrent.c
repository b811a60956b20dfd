/* What recurrent encoders and decoders check alike: see recurrent.h. */
#include "attn/layer/recurrent.h"

#include <math.h>
#include <stdio.h>

/* Gates of a cell: rows of its weights are gates * hidden. */
static size_t gates_of(int64_t cell) { return cell == AT_CELL_GRU ? 3 : cell == AT_CELL_LSTM ? 4 : 1; }

bool at_cell_params(at_layer *l, const char *prefix, const char *suffix, int64_t cell, size_t inputs, size_t hidden,
                    bool keeps, at_error *e)
{
    static const char *const names[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
    size_t rows = gates_of(cell) * hidden; /* at most 2^33 */
    for (int k = 0; k < 4; k++) {
        char name[96];
        snprintf(name, sizeof name, "%s%s%s", prefix, names[k], suffix);
        double bound = 1 / sqrt((double)hidden);
        size_t size[] = {rows, k == 0 ? inputs : hidden};
        if (!(k < 2 && keeps ? at_matrix(l, name, size[0], size[1], AT_INIT_UNIFORM, bound, e)
                             : at_param(l, name, k < 2 ? 2 : 1, size, AT_INIT_UNIFORM, bound, e)))
            return false;
    }
    return true;
}

bool at_check_lengths(at_build *g, const char *name, const at_tensor *lengths, size_t B, size_t T)
{
    if (!lengths)
        return true;
    if (lengths->ndim != 1 || lengths->size[0] != B)
        return at_refuse(g, "%s has shape %s, expected [%zu]", name,
                         at_describe_shape(lengths->ndim, lengths->size).text, B) != NULL;
    for (size_t b = 0; b < B; b++) {
        int64_t n = at_ids(lengths)[(ptrdiff_t)b * lengths->step[0]];
        if (n < 0 || n > (int64_t)T)
            return at_refuse(g, "%s[%zu] is %lld, expected 0 to %zu", name, b + 1, (long long)n, T) != NULL;
    }
    return true;
}

static bool read_field(at_build *g, const at_layer *l, const at_table *state, const char *field, size_t layers,
                       size_t B, size_t hidden, at_tensor **t)
{
    char name[16];
    at_value v = at_table_get(state, field);
    snprintf(name, sizeof name, "state.%s", field);
    if (v.type == AT_NIL)
        return true;
    if (v.type != AT_TENSOR)
        return at_refuse(g, "%s is %s, expected a tensor", name, at_describe_value(v).text) != NULL;
    if (!v.tensor->storage)
        return at_refuse(g, "%s: tensor was freed", name) != NULL;
    if (!at_expect(g, l, name, v.tensor, 3, 3, (int64_t)hidden))
        return false;
    if (v.tensor->size[0] != layers || v.tensor->size[1] != B)
        return at_refuse(g, "%s has shape %s, expected [%zu, %zu, %zu]", name,
                         at_describe_shape(3, v.tensor->size).text, layers, B, hidden) != NULL;
    *t = v.tensor;
    return true;
}

bool at_read_state(at_build *g, const at_layer *l, at_value state, int64_t cell, size_t layers, size_t B, size_t hidden,
                   at_tensor **h, at_tensor **c)
{
    *h = *c = NULL;
    if (state.type == AT_NIL)
        return true;
    if (state.type != AT_TABLE)
        return at_refuse(g, "state is %s, expected a table with h%s", at_describe_value(state).text,
                         cell == AT_CELL_LSTM ? " and c" : "") != NULL;
    if (at_table_get(state.table, "h").type == AT_NIL)
        return at_refuse(g, "state has no field h, expected {h = [%zu, %zu, %zu]%s}", layers, B, hidden,
                         cell == AT_CELL_LSTM ? ", c = ..." : "") != NULL;
    if (cell != AT_CELL_LSTM && at_table_get(state.table, "c").type != AT_NIL)
        return at_refuse(g, "state has a field c, which only cell lstm has") != NULL;
    return read_field(g, l, state.table, "h", layers, B, hidden, h) &&
           read_field(g, l, state.table, "c", layers, B, hidden, c);
}
