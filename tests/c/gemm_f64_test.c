#define AT_TYPE 64
#include "gemm_cases.h"
