/*
 * linear: weights phi(q_i) . phi(k_j) / sum_j phi(q_i) . phi(k_j), phi = elu + 1          (Katharopoulos et al. 2020)
 *
 *   c_i = phi(q_i)' S / (phi(q_i)' z),  S = sum_j phi(k_j) v_j',  z = sum_j phi(k_j)
 *
 * The weights are never formed (op/attend_linear.c): O(Tq + Tk) time, causal order by running sums, a cache of fixed
 * size. Asked for, they are made beside the context, in O(Tq Tk). Since no score exists, there is nothing that another
 * distribution, a window, a bias or a mask of single pairs could act on.
 */
#include "attn/attention/part.h"

AT_SCORE(linear, .part.formula = "weights phi(q) . phi(k) / sum, phi = elu + 1, in O(T)",
         .part.source = "Katharopoulos et al. 2020", .pair = AT_PAIR_DOT, .act = AT_ACT_NONE, .same_width = true,
         .direct = true);
