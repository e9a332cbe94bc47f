#define NNFAST_DOUBLE
#define NNFAST_TABLE nnfast_avx512_double
#define NNFAST_ISA "avx512"
#include "../kernels.c"
