#define NNFAST_DOUBLE
#define NNFAST_TABLE nnfast_avx2_double
#define NNFAST_ISA "avx2"
#include "../kernels.c"
