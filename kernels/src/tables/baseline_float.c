#define NNFAST_TABLE nnfast_baseline_float
#define NNFAST_ISA "baseline"
#include "../kernels.c"
