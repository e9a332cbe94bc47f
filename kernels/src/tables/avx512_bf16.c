#define NNFAST_BF16_TABLE nnfast_avx512_bf16
#define NNFAST_UNIT "avx512_bf16"
#include "../bf16_kernels.c"
