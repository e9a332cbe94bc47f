#define NNFAST_TABLE nnfast_avx512_float
#define NNFAST_ISA "avx512"
#include "../kernels.c"
