#define AT_TYPE 32
#include "gemm_cases.h"
