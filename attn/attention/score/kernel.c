/*
 * kernel: e = log k(q, k), so that softmax gives k(q, k_j) / sum k             (Tsai et al. 2019)
 *
 *   exponential  k = exp(q . k / sqrt(d))              e = q . k / sqrt(d)
 *   rbf          k = exp(-|q - k|^2 / (2 sqrt(d)))     e = -|q - k|^2 / (2 sqrt(d))
 *   polynomial   k = (q . k / sqrt(d))^2               e = log((q . k / sqrt(d))^2); -inf where q and k are orthogonal
 */
#include "attn/attention/part.h"

#include <math.h>

enum { KERNEL };
enum { EXPONENTIAL, RBF, POLYNOMIAL };

static const at_field fields[] = {
    [KERNEL] = {"kernel", AT_FIELD_CHOICE, .value = EXPONENTIAL, .choices = "exponential|rbf|polynomial", .help = "k"},
    {0},
};

static void configure(const at_layer *l, size_t d, at_pair *pair)
{
    pair->scale = 1 / sqrt((double)d);
    switch (at_part_setting(l, AT_PART_SCORE, KERNEL)->integer) {
    case RBF:
        pair->kind = AT_PAIR_DISTANCE;
        pair->scale /= 2;
        break;
    case POLYNOMIAL: pair->act = AT_ACT_LOG_SQUARE; break;
    default: break;
    }
}

AT_SCORE(kernel, .part.formula = "log k(q, k)", .part.source = "Tsai et al. 2019", .pair = AT_PAIR_DOT,
         .act = AT_ACT_NONE, .same_width = true, .part.fields = fields, .configure = configure);
