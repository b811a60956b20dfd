/* Optimizers, by the name of their records. */
AT_OPTIM_ENTRY(sgd)
AT_OPTIM_ENTRY(adam)
AT_OPTIM_ENTRY(adamw)
AT_OPTIM_ENTRY(adagrad)
AT_OPTIM_ENTRY(adadelta)
AT_OPTIM_ENTRY(rmsprop)
