/* Which of the compiled tables this CPU can run. */
#ifndef NNFAST_DISPATCH_H
#define NNFAST_DISPATCH_H

#include "kernels.h"

enum { ISA_BASELINE, ISA_AVX2, ISA_AVX512, N_ISAS };
enum { UNIT_AVX512_BF16, UNIT_AMX, N_UNITS }; /* for bfloat16 products */

const char *nnfast_isa_name(int isa);
int nnfast_isa_runs(int isa);                                 /* compiled in, and the CPU has it */
const Kernels *nnfast_kernels(int isa, int double_precision); /* NULL where it does not run */

const char *nnfast_unit_name(int unit);
int nnfast_unit_runs(int unit); /* compiled in, and the CPU and the operating system have it */
/* NULL where it does not run, or the process may not: the first call for AMX asks for its registers */
const Bf16Kernels *nnfast_bf16_kernels(int unit);

#endif
