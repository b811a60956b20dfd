#define AT_TYPE 64
#include "kernel_cases.h"
