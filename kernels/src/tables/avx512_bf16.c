#define NNFAST_HALF_TABLE nnfast_avx512_bf16
#define NNFAST_UNIT "avx512_bf16"
#include "../half_kernels.c"
