#define NNFAST_BF16_TABLE nnfast_amx
#define NNFAST_UNIT "amx"
#include "../bf16_kernels.c"
