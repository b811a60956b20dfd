#define AT_TYPE 32
#include "kernel_cases.h"
