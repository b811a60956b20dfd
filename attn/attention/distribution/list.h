/* Distributions: name, what a row of scores becomes, source. */
AT_DISTRIBUTION_ENTRY(softmax, "exp(e_j) / sum exp(e)", "Bahdanau et al. 2015")
AT_DISTRIBUTION_ENTRY(sparsemax, "the nearest point of the simplex", "Martins, Astudillo 2016")
AT_DISTRIBUTION_ENTRY(entmax15, "max(e_j/2 - tau, 0)^2", "Peters et al. 2019")
AT_DISTRIBUTION_ENTRY(sigmoid, "sigmoid(e_j), each key for itself", "Kim et al. 2017")
AT_DISTRIBUTION_ENTRY(hard_sample, "one key drawn from softmax (in eval mode the most likely), with its log-probability", "Xu et al. 2015")
AT_DISTRIBUTION_ENTRY(hard_max, "the key with the greatest score", "Xu et al. 2015, without drawing")
