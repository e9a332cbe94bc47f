#define NNFAST_HALF_TABLE nnfast_amx
#define NNFAST_UNIT "amx"
#include "../half_kernels.c"
