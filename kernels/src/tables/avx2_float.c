#define NNFAST_TABLE nnfast_avx2_float
#define NNFAST_ISA "avx2"
#include "../kernels.c"
