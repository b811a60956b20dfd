/*
 * predictive: keys around a place that the query predicts                       (Luong et al. 2015, local-p)
 *
 *   p = S sigmoid(v' tanh(W q))    weight [dim, query], v [dim]; S the number of valid keys, places 1 .. S
 *   keys with p - D <= s <= p + D, their weights times exp(-(s - p)^2 / (2 sigma^2)), sigma = D / 2, not renormalised
 *
 * q is the query as it comes, before projections; heads share the place. The gradient reaches p through the Gaussian
 * only: which keys take part is a step function of p.
 */
#include "attn/attention/part.h"

#include <math.h>

enum { WEIGHT, V };

enum { RADIUS };

static const at_field fields[] = {
    [RADIUS] = {"radius", AT_FIELD_NUMBER, .required = true, .low = 0, .high = 9e15, .help = "keys on either side"},
    {0},
};

static bool check(const at_setting *s, at_error *e)
{
    return s[RADIUS].number > 0 ||
           at_error_set(
               e, "attention: window.radius is %.14g, expected more than 0: a Gaussian of that width has no factor",
               s[RADIUS].number);
}

static at_tensor *place(at_build *g, const at_layer *l, at_tensor *query, at_tensor *valid)
{
    at_tensor *hidden =
        at_tanh(g, at_linear(g, query, at_part_param_of(l, AT_PART_WINDOW, WEIGHT), NULL)); /* [B, Tq, dim] */
    at_tensor *v = at_unsqueeze(g, at_part_param_of(l, AT_PART_WINDOW, V), 1);
    at_tensor *share = at_unary(g, AT_ID_sigmoid, at_linear(g, hidden, v, NULL)); /* [B, Tq, 1] */
    if (!share)
        return NULL;
    int64_t size[] = {(int64_t)query->size[0], (int64_t)query->size[1]};
    return at_mul(g, at_reshape(g, share, 2, size), at_unsqueeze(g, valid, 2));
}

static double sigma(const at_setting *s) { return s[RADIUS].number / 2; }

static void cut(const at_setting *s, int64_t i, int64_t step, double p, at_range *range)
{
    (void)i, (void)step;
    double lo = ceil(p - s[RADIUS].number) - 1, hi = floor(p + s[RADIUS].number);
    if (!(p == p)) { /* a query of NaN looks nowhere */
        range->hi = range->lo;
        return;
    }
    if (lo > (double)range->lo)
        range->lo = lo > (double)range->hi ? range->hi : (int64_t)lo;
    if (hi < (double)range->hi)
        range->hi = hi < (double)range->lo ? range->lo : (int64_t)hi;
}

AT_WINDOW(predictive,
          .part.formula = "radius = D: |s - p| <= D, p = S sigmoid(v' tanh(W q)), times exp(-(s - p)^2 / (2 (D/2)^2))",
          .part.source = "Luong et al. 2015, local-p", .part.fields = fields, .sigma = sigma,
          .part.param = {[WEIGHT] = {"weight", {AT_SIZE_DIM, AT_SIZE_QUERY}}, [V] = {"v", {AT_SIZE_DIM}}},
          .check = check, .place = place, .cut = cut);
