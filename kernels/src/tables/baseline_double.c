#define NNFAST_DOUBLE
#define NNFAST_TABLE nnfast_baseline_double
#define NNFAST_ISA "baseline"
#include "../kernels.c"
