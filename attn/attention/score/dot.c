/*
 * dot, scaled_dot, cosine: products of query and key.
 *
 *   dot         e = q . k                       (Luong et al. 2015)
 *   scaled_dot  e = q . k / sqrt(d)             (Vaswani et al. 2017): unit variance for inputs of unit variance
 *   cosine      e = beta q . k / (|q| |k|)      (Graves et al. 2014): unit vectors first, a zero vector stays zero
 */
#include "attn/attention/part.h"

#include <math.h>

enum { BETA };

static const at_field cosine_fields[] = {
    [BETA] = {"beta", AT_FIELD_NUMBER, .value = 1, .help = "sharpness"},
    {0},
};

static void scale_by_width(const at_layer *l, size_t d, at_pair *pair)
{
    (void)l;
    pair->scale = 1 / sqrt((double)d);
}

static void scale_by_beta(const at_layer *l, size_t d, at_pair *pair)
{
    (void)d;
    pair->scale = at_part_setting(l, AT_PART_SCORE, BETA)->number;
}

static at_tensor *unit_key(at_build *g, const at_layer *l, at_tensor *k)
{
    (void)l;
    return at_unary(g, AT_ID_unit_rows, k);
}

static void unit_query(at_build *g, const at_layer *l, at_tensor *q, int64_t first, at_pair *pair)
{
    (void)l, (void)first;
    pair->query = at_unary(g, AT_ID_unit_rows, q);
}

static void plain_dot(at_build *g, const at_layer *l, at_tensor *memory, at_plain_attention *out)
{
    (void)g, (void)l;
    out->pair = AT_PAIR_DOT;
    out->keys = memory;
    out->scale = 1;
}

static void plain_scaled(at_build *g, const at_layer *l, at_tensor *memory, at_plain_attention *out)
{
    plain_dot(g, l, memory, out);
    out->scale = 1 / sqrt((double)at_attention_of(l)->key);
}

AT_SCORE(dot, .part.formula = "q . k", .part.source = "Luong et al. 2015", .pair = AT_PAIR_DOT, .act = AT_ACT_NONE,
         .same_width = true, .plain = plain_dot);

AT_SCORE(scaled_dot, .part.formula = "q . k / sqrt(d)", .part.source = "Vaswani et al. 2017", .pair = AT_PAIR_DOT,
         .act = AT_ACT_NONE, .same_width = true, .configure = scale_by_width, .plain = plain_scaled);

AT_SCORE(cosine, .part.formula = "beta q . k / (|q| |k|)", .part.source = "Graves et al. 2014", .pair = AT_PAIR_DOT,
         .act = AT_ACT_NONE, .same_width = true, .part.fields = cosine_fields, .configure = scale_by_beta,
         .key = unit_key, .query = unit_query);
